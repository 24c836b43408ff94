"""One process over a range."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from stockandflow.exceptions import InvalidInput
from stockandflow.periodic import schedule, silence
from stockandflow.registry import registry
from stockandflow.reports import balance
from stockandflow.site.access import process_or_404
from stockandflow.site.filters import read_range
from stockandflow.site.frames import render_page


@require_safe
@login_required
def process(request: HttpRequest, slug: str) -> HttpResponse:
    """One process over the range asked for: its ledger, and each stock's flows.

    Invalid parameters are told beside their fields, above the report of the default range. The queries are those for
    the user, those of ``reports.balance``, and one for when the schedule was run last.
    """
    shown = process_or_404(request.user, registry, slug)
    calendar, now = shown.calendar, timezone.now()
    asked = read_range(request.GET, calendar, now)
    try:
        found = balance(shown, asked.since, asked.until)
    except InvalidInput as error:  # the database's clock may be behind ours
        asked = read_range(request.GET, calendar, now, errors={"since": str(error)})
        found = balance(shown, asked.since, asked.until)
    context = {
        "process": shown,
        "asked": asked,
        "balance": found,
        "calendar": calendar,
        "silence": silence(schedule, now=now),
    }
    return render_page(request, "stockandflow/process.html", context, title=str(shown.name))
