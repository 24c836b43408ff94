"""One process over a range."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from stockandflow.declarations import Process
from stockandflow.exceptions import InvalidInput
from stockandflow.periodic import schedule, silence
from stockandflow.registry import registry
from stockandflow.reports import Balance, balance
from stockandflow.site.access import process_or_404
from stockandflow.site.exports import balance_file, export, export_links
from stockandflow.site.filters import Asked, read_filters
from stockandflow.site.frames import render_page


@require_safe
@login_required
def process(request: HttpRequest, slug: str) -> HttpResponseBase:
    """One process over the range asked for: its ledger, and each stock's flows; or its numbers as a file.

    Invalid parameters are told beside their fields, above the report without them. The queries are those for the user,
    those of ``reports.balance``, one for each facet whose values are a queryset, and one for when the schedule was run
    last.
    """
    shown = process_or_404(request.user, registry, slug)
    now = timezone.now()
    asked = read_filters(request.GET, shown, now)
    if made := export(
        request,
        shown,
        lambda kind: balance_file(_balance(shown, asked), shown.calendar, kind),
        asked.errors,
    ):
        return made
    try:
        found = _balance(shown, asked)
    except InvalidInput as error:  # the database's clock may be behind ours
        asked = read_filters(request.GET, shown, now, errors={"since": str(error)})
        found = _balance(shown, asked)
    context = {
        "process": shown,
        "asked": asked,
        "balance": found,
        "calendar": shown.calendar,
        "exports": export_links(request.user, shown, asked.query),
        "silence": silence(schedule, now=now),
    }
    return render_page(request, "stockandflow/process.html", context, title=str(shown.name))


def _balance(process: Process, asked: Asked) -> Balance:
    return balance(
        process,
        asked.since,
        asked.until,
        grain=asked.grain,
        facets=asked.slice,
        split_by=asked.split_by,
        compare=asked.compare,
    )
