"""One stock of a process over a range."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from stockandflow.registry import registry
from stockandflow.site.access import process_or_404


@require_safe
@login_required
def stock(request: HttpRequest, slug: str, stock: str) -> HttpResponse:
    """One stock of a process over a range."""
    shown = process_or_404(request.user, registry, slug)
    return HttpResponse(f"{shown.slug} {stock}", content_type="text/plain")
