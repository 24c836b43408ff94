"""One stock of a process over a range."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from stockandflow.declarations import Process, Stock
from stockandflow.drawing.river import LARGE
from stockandflow.exceptions import InvalidInput
from stockandflow.periodic import schedule, silence
from stockandflow.ranges import last_date
from stockandflow.registry import registry
from stockandflow.reports import Balance, Extremes, Held, Kind, Number, StockBalance, extremes, members, rate
from stockandflow.site.access import hidden_from, is_scoped, may_list, process_or_404
from stockandflow.site.admin_lists import admin_list_url
from stockandflow.site.bars import now_bars
from stockandflow.site.charts import LegendLine, stock_charts
from stockandflow.site.dates import short_day
from stockandflow.site.diagrams import UNCOVERED, addresses, neighbourhood_of
from stockandflow.site.frames import Crumb, page_url, render_page
from stockandflow.site.links import FACET, linker, subject_key, timeline_url
from stockandflow.site.part import part_page, suppressed_page
from stockandflow.site.reporting import Report, last_recorded, report
from stockandflow.site.single import Tab, percent_of, series_export, series_links
from stockandflow.site.uncounted import tells_nothing_counted
from stockandflow.site.words import count, grouped

FIRST = 10
"""Objects that are listed here; the list behind the number has all."""
MOST_FACETS = 3
"""Facets by whose values the stock is shown as of now."""


@dataclass(frozen=True)
class FlowRow:
    """One way into or out of the stock."""

    legend: LegendLine
    flow_url: str
    objects_url: str
    other_name: str
    other_url: str
    text: str
    share: str
    """Of all that came, or of all that went."""
    rate: str
    """Of what the source held when the range began, "" where that says nothing."""


@dataclass(frozen=True)
class LevelFact:
    """One of the levels of the range that stand out, and the day that began or ended with it, "" for now."""

    text: str
    day: str
    url: str


@dataclass(frozen=True)
class ObjectRow:
    """One member."""

    name: str
    url: str


@require_safe
@login_required
@tells_nothing_counted
def stock(request: HttpRequest, slug: str, stock: str) -> HttpResponseBase:
    """One stock of a process over a range: what it is, its river, its neighbours, and the first of its objects.

    Its levels as a file, where the address asks for one. The queries are those of the process's page, and one for the
    objects, six where they are those of the past. A request that sees but a part of the objects gets the number of
    these.
    """
    process = process_or_404(request.user, registry, slug)
    shown = _stock_or_404(process, stock)
    crumbs = [Crumb(str(process.name), page_url(request, "process", process.slug))]
    title = str(shown.name)
    now = timezone.now()
    if made := series_export(request, process, shown, now):
        return made
    if is_scoped(request, process):
        return part_page(
            request, process, title=title, crumbs=crumbs, stocks=[shown], description=str(shown.description)
        )
    found = report(request.user, request.GET, process, now, bars=[shown], most_bars=MOST_FACETS)
    if any(line.stock is shown and line.suppressed for line in found.balance.stocks):
        return suppressed_page(
            request,
            process,
            found.asked,
            found.balance,
            title=title,
            crumbs=crumbs,
            description=str(shown.description),
        )
    context = _Page(request, process, shown, found).context()
    return render_page(request, "stockandflow/stock.html", context, title=title, crumbs=crumbs)


def _stock_or_404(process: Process, slug: str) -> Stock:
    for one in process.stocks:
        if one.slug == slug:
            return one
    raise Http404(f"The process {process.slug!r} has no stock {slug!r}.")


def _alone(balance: Balance, stock: Stock) -> Balance:
    """The balance with the line of that stock alone, so that the charts of the others aren't drawn."""
    compared = balance.compared
    return replace(
        balance,
        stocks=tuple(line for line in balance.stocks if line.stock is stock),
        parts=tuple(_alone(part, stock) for part in balance.parts),
        slices={key: _alone(one, stock) for key, one in balance.slices.items()},
        compared=None if compared is None else _alone(compared, stock),
    )


class _Page:
    """What the page of a stock shows."""

    def __init__(self, request: HttpRequest, process: Process, stock: Stock, found: Report) -> None:
        self.request, self.process, self.stock = request, process, stock
        self.asked, self.balance, self.broken = found.asked, found.balance, found.broken
        self.hidden = hidden_from(request.user, registry)
        self.link = linker(request, process)
        self.address = addresses(request, process, found.asked)
        self.may_list = may_list(request.user, process, stock.model)
        self.is_staff = bool(getattr(request.user, "is_staff", False))

    def context(self) -> dict[str, Any]:
        stock = self.stock
        common = {
            "process": self.process,
            "stock": stock,
            "description": stock.description,
            "asked": self.asked,
            "exports": series_links(self.request, self.process, self.asked),
            "balance": self.balance,
            "calendar": self.process.calendar,
            "definition": stock.definition,
            "sql": stock.sql if self.is_staff else "",
            "silence": silence(schedule, now=self.balance.at),
            "recorded_at": last_recorded([stock]),
            "tabs": self._tabs(),
            "may_list": self.may_list,
            "admin_url": admin_list_url(self.request, stock, self.asked.slice),
            "is_broken": stock in self.broken,
        }
        line = next((one for one in self.balance.stocks if one.stock is stock), None)
        if line is None:
            return {**common, "line": None}
        (chart,) = stock_charts(
            _alone(self.balance, stock),
            self.asked.grain,
            link=self.link,
            value_names=self.asked.values.get(self.asked.split_by or ""),
            size=LARGE,
        )
        return {
            **common,
            "line": line,
            "chart": chart,
            "bars": now_bars(line, self.asked, self.link),
            "link": self.link,
            "number_url": self._url(self.balance.number(line, "closing")),
            "inflows": [self._row(one, line, inward=True) for one in chart.inflows],
            "outflows": [self._row(one, line, inward=False) for one in chart.outflows],
            "levels": self._levels(line),
            "work_url": self._work_url(line),
            "unexplained_url": page_url(self.request, "unexplained", self.process.slug) + self.asked.query(),
            "drawing": neighbourhood_of(self.balance, stock, self.address, self.hidden),
            **self._objects(line),
        }

    def _url(self, number: Number) -> str:
        return self.link(number) or ""

    def _work_url(self, line: StockBalance) -> str:
        """Where the members are worked through, "" where there are none now or the user may not see them."""
        if not self.may_list or not self.balance.in_progress or not line.closing:
            return ""
        facets = urlencode({f"{FACET}{slug}": key for slug, key in self.asked.slice.items()})
        place = page_url(self.request, "work", self.process.slug, self.stock.slug)
        return f"{place}?{facets}" if facets else place

    def _row(self, legend: LegendLine, whole: StockBalance, *, inward: bool) -> FlowRow:
        line = legend.line
        total = whole.inflow if inward else whole.outflow
        other = line.source if inward else line.sink
        known = {stock.slug for stock in self.process.stocks}
        openings = [one.opening for one in self.balance.stocks if one.stock.slug == line.source]
        return FlowRow(
            legend=legend,
            flow_url=self.address("flow", line.flow.slug if line.flow else UNCOVERED),
            objects_url=self._url(self.balance.number(line, "count")),
            other_name=line.source_name if inward else line.sink_name,
            other_url=self.address("stock", other) if other in known else "",
            text=count(line.count),
            share=percent_of(line.count / total if total else None),
            rate=percent_of(rate(line.count, openings)),
        )

    def _levels(self, line: StockBalance) -> dict[str, Any] | None:
        found: Extremes | None = extremes(self.balance, self.stock)
        if found is None:
            return None
        whole = found.median == int(found.median)
        return {
            "lowest": self._level(found.lowest),
            "highest": self._level(found.highest),
            "median": grouped(found.median, 0 if whole else 1),
            "known": found.known,
            "unknown": found.unknown,
        }

    def _level(self, held: Held) -> LevelFact:
        is_now = self.balance.in_progress and held.at == self.balance.at
        number = Number(
            Kind.LEVEL,
            process=self.process,
            stock=self.stock,
            until=None if is_now else held.at,
            slice=tuple(sorted(self.balance.slice.items())),
            value=held.count,
        )
        calendar = self.process.calendar
        day = calendar.local_date(held.at) if held.at == self.balance.since else last_date(held.at, calendar)
        return LevelFact(
            count(held.count),
            "" if is_now else short_day(day, year=day.year != calendar.local_date(self.balance.at).year),
            self._url(number),
        )

    def _tabs(self) -> list[Tab]:
        """The whole, and each facet that the records keep of this stock."""
        slugs = [one.slug for one in self.stock.applied_facets if one.slug in self.asked.facets]
        if not slugs:
            return []
        rest = [
            Tab(self.asked.facets[slug], self.asked.query(split=slug), slug == self.asked.split_by)
            for slug in slugs
        ]
        whole = self.asked.query(split=None, **{f"facet-{slug}": None for slug in self.asked.slice})
        return [Tab("", whole, not self.asked.slice and self.asked.split_by not in slugs), *rest]

    def _objects(self, line: StockBalance) -> dict[str, Any]:
        """The first members at the end of the range, or why they can't be listed."""
        if not self.may_list or not line.closing:
            return {"objects": []}
        try:
            found = members(self.balance.number(line, "closing")).order_by("pk")[:FIRST]
            rows = [ObjectRow(str(one), self._timeline(one)) for one in found]
        except InvalidInput as error:
            return {"objects": [], "unlisted": str(error)}
        return {"objects": rows}

    def _timeline(self, member: Any) -> str:
        key = getattr(member, subject_key(self.stock.model, self.process).attname)
        return timeline_url(self.stock.model, key, self.process, self.request)
