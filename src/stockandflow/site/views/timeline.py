"""Everything that happened to one object."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from stockandflow.registry import registry
from stockandflow.site.access import process_or_404


@require_safe
@login_required
def timeline(request: HttpRequest, slug: str, model: str, pk: str) -> HttpResponse:
    """Everything that happened to one object."""
    shown = process_or_404(request.user, registry, slug)
    return HttpResponse(f"{shown.slug} {model} {pk}", content_type="text/plain")
