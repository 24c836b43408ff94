"""The schedule and the capture: when each was last seen to."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from stockandflow.registry import registry
from stockandflow.site.access import visible


@require_safe
@login_required
def status(request: HttpRequest) -> HttpResponse:
    """The schedule and the capture: when each was last seen to."""
    slugs = [process.slug for process in visible(request.user, registry)]
    return HttpResponse(", ".join(slugs), content_type="text/plain")
