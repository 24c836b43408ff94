"""The index: the processes that a user may see."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from stockandflow.registry import registry
from stockandflow.site.access import visible
from stockandflow.site.exports import index_export, index_links
from stockandflow.site.frames import render_page


@require_safe
@login_required
def index(request: HttpRequest) -> HttpResponseBase:
    """The processes that the user may see, or their last recorded counts as a file. No query but those for the user."""
    seen = visible(request.user, registry)
    if made := index_export(request, seen):
        return made
    context = {
        "processes": seen,
        "any_registered": bool(registry.processes),
        "exports": index_links(request, seen),
    }
    return render_page(request, "stockandflow/index.html", context, title=_("Processes"))
