"""The index: the processes that a user may see."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from stockandflow.registry import registry
from stockandflow.site.access import visible
from stockandflow.site.frames import render_page


@require_safe
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """The processes that the user may see. No query but those for the user."""
    context = {"processes": visible(request.user, registry), "any_registered": bool(registry.processes)}
    return render_page(request, "stockandflow/index.html", context, title=_("Processes"))
