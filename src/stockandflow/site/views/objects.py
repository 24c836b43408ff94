"""The objects behind one number."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from stockandflow.registry import registry
from stockandflow.site.access import process_or_404


@require_safe
@login_required
def objects(request: HttpRequest, slug: str) -> HttpResponse:
    """The objects behind one number."""
    shown = process_or_404(request.user, registry, slug)
    return HttpResponse(shown.slug, content_type="text/plain")
