"""One process over a range."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from stockandflow.declarations import Process
from stockandflow.exceptions import InvalidInput
from stockandflow.periodic import schedule, silence
from stockandflow.registry import registry
from stockandflow.site.access import hidden_from, is_scoped, process_or_404
from stockandflow.site.bars import now_bars
from stockandflow.site.charts import stock_charts
from stockandflow.site.diagrams import addresses, drawing_of
from stockandflow.site.exports import asked_of_file, balance_file, export, export_links, no_file_without
from stockandflow.site.frames import admin_url, render_page
from stockandflow.site.links import linker
from stockandflow.site.part import part_page
from stockandflow.site.reporting import asked_balance, counted, last_recorded, report
from stockandflow.site.tabs import tabs
from stockandflow.site.uncounted import tells_nothing_counted


@require_safe
@login_required
@tells_nothing_counted
def process(request: HttpRequest, slug: str) -> HttpResponseBase:
    """One process over the range asked for: its ledger, and each stock's flows; or its numbers as a file.

    Invalid parameters are told beside their fields, above the report without them. The queries are those for the user,
    those of ``reports.balance``, one for each facet whose values are a queryset, one for when the schedule was run
    last, and one for the last record: fourteen at most with one event model. A request that sees but a part of the
    objects gets the stocks' counts of now, one query each, and no more.
    """
    shown = process_or_404(request.user, registry, slug)
    now = timezone.now()
    if made := export(request, shown, lambda kind: _file(request, shown, now, kind)):
        return made
    if is_scoped(request, shown):
        return part_page(
            request,
            shown,
            title=str(shown.name),
            stocks=shown.stocks,
            description=str(shown.description),
        )
    found = report(request.user, request.GET, shown, now, bars=shown.stocks)
    moved = any(line.inflow or line.outflow for line in found.balance.stocks)
    link = linker(request, shown)
    names = found.asked.values.get(found.asked.split_by) if found.asked.split_by else None
    context = {
        "process": shown,
        "asked": found.asked,
        "balance": found.balance,
        "broken": found.broken,
        "calendar": shown.calendar,
        "charts": stock_charts(found.balance, found.asked.grain, link=link, value_names=names),
        "bars": {line.stock: now_bars(line, found.asked, link) for line in found.balance.stocks},
        "drawing": drawing_of(
            found.balance, addresses(request, shown, found.asked), hidden_from(request.user, registry)
        ),
        "link": link,
        "kept": found.asked.query() if found.asked.parameters else "",
        "exports": export_links(request.user, shown, found.asked.query),
        "admin_url": admin_url(request, "process", shown.slug),
        "nothing_moved": not moved
        and not found.balance.suppressed
        and any(line.tracked and line.flows_known for line in found.balance.stocks),
        "recorded_at": last_recorded(list(shown.stocks)),
        "silence": silence(schedule, now=now),
        "tabs": tabs(request, shown, found.asked),
    }
    return render_page(request, "stockandflow/process.html", context, title=str(shown.name))


def _file(request: HttpRequest, process: Process, now: datetime, kind: str) -> HttpResponseBase:
    """The report as a file; raises InvalidInput for what the page would tell beside its fields."""
    asked = asked_of_file(request, process, now)
    found, broken = counted(process, lambda whole: asked_balance(request.user, whole, asked))
    if found is None or broken:
        raise InvalidInput(no_file_without(broken))
    return balance_file(found, process.calendar, kind)
