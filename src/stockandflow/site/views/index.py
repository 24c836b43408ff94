"""The index: the processes that a user may see."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from stockandflow.declarations import Process
from stockandflow.periodic import schedule, silence
from stockandflow.periods import Calendar
from stockandflow.registry import registry
from stockandflow.site.access import SEEING, visible
from stockandflow.site.cards import cards
from stockandflow.site.exports import index_export, index_links
from stockandflow.site.frames import render_page

MOST_WITHOUT_SEARCH = 12
"""With more processes there is a field to search them."""


@require_safe
@login_required
def index(request: HttpRequest) -> HttpResponseBase:
    """The processes that the user may see, each as a card; beyond MOST_WITHOUT_SEARCH those that ``q`` finds.

    With a ``format`` it is their last recorded counts as a file.

    The queries are those for the user, those of ``cards``, which don't grow with the number of processes, and one for
    when the schedule was run last.
    """
    now = timezone.now()
    seen = visible(request.user, registry)
    if made := index_export(request, seen):
        return made
    wanted = request.GET.get("q", "").strip()
    found = [process for process in seen if _matches(process, wanted)]
    context = {
        "cards": cards(request, found, now),
        "any_visible": bool(seen),
        "any_registered": bool(registry.processes),
        "exports": index_links(request, seen),
        "sees_status": request.user.has_perm(SEEING),
        "searchable": len(seen) > MOST_WITHOUT_SEARCH or bool(wanted),
        "wanted": wanted,
        "calendar": Calendar.default(),
        "silence": silence(schedule, now=now) if seen else None,
    }
    return render_page(request, "stockandflow/index.html", context, title=_("Processes"))


def _matches(process: Process, wanted: str) -> bool:
    """Whether every word stands in the name, the description or a stock's name of the process."""
    text = " ".join(map(str, [process.name, process.description, *(stock.name for stock in process.stocks)]))
    return all(word in text.casefold() for word in wanted.casefold().split())
