"""One flow of a process over a range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from stockandflow.declarations import Flow, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.periodic import schedule, silence
from stockandflow.registry import registry
from stockandflow.rendering.words import percent
from stockandflow.reports import Balance, FlowLine, is_small, latest_moves, lines_of, rate, rates, rhythm
from stockandflow.reports.rhythm import LONGEST, Slot
from stockandflow.site.access import hidden_from, is_scoped, may_list, process_or_404
from stockandflow.site.admin_lists import admin_list_url
from stockandflow.site.charts import LegendLine
from stockandflow.site.dates import short_day, short_span
from stockandflow.site.diagrams import UNCOVERED, addresses
from stockandflow.site.filters import Asked
from stockandflow.site.flow_chart import flow_chart, total_number
from stockandflow.site.frames import Crumb, page_url, render_page
from stockandflow.site.links import linker, timeline_url
from stockandflow.site.naming import state_name, value_name
from stockandflow.site.part import part_page, suppressed_page
from stockandflow.site.reporting import Report, last_recorded, report
from stockandflow.site.single import Tab, percent_of, series_export, series_links
from stockandflow.site.tables import Link
from stockandflow.site.uncounted import tells_nothing_counted
from stockandflow.site.week import HOUR, Week, read_slot, slot_words, week
from stockandflow.site.words import count, grouped

PAGE_SIZE = 25
MOST_PAGES = 200
"""Further back the list of objects is the way: each page reads all those before it."""


@dataclass(frozen=True)
class PairRow:
    """One source and sink of the flow."""

    pair: LegendLine
    url: str
    source_url: str
    sink_url: str
    per_day: str
    share: str
    rate: str
    """Of what the source held when the range began, "" where that says nothing."""
    was: str


@dataclass(frozen=True)
class ValueRow:
    """One value of a facet; ``width`` is its share of the greatest, in SVG."""

    name: str
    text: str
    url: str
    share: str
    width: str


@dataclass(frozen=True)
class EventRow:
    """One move of the latest."""

    at: datetime
    name: str
    url: str
    source: str
    sink: str
    facets: tuple[str, ...]


@require_safe
@login_required
@tells_nothing_counted
def flow(request: HttpRequest, slug: str, flow: str) -> HttpResponseBase:
    """One flow of a process over a range: its pairs and periods, when it moves, what moves, and the latest moves.

    ``-`` in place of a flow's slug is for the moves that no flow of the process covers. Its counts as a file, where
    the address asks for one. The queries are those of the
    process's page, two each for the hours of the week and the latest moves, and up to two more each with a facet. A
    request that sees but a part of the objects is told that flows aren't known of a part.
    """
    process = process_or_404(request.user, registry, slug)
    shown = _flow_or_404(process, flow)
    title = str(shown.name) if shown else _("Other")
    crumbs = [Crumb(str(process.name), page_url(request, "process", process.slug))]
    now = timezone.now()
    if shown and (made := series_export(request, process, shown, now)):
        return made
    if is_scoped(request, process):
        return part_page(request, process, title=title, crumbs=crumbs)
    facets = _facets(process, shown)
    found = report(
        request.user, request.GET, process, now, split_by=facets[0] if facets else None, compare="previous"
    )
    if found.balance.hides(shown):
        return suppressed_page(request, process, found.asked, found.balance, title=title, crumbs=crumbs)
    page = _Page(request, process, shown, found, facets)
    return render_page(request, "stockandflow/flow.html", page.context(), title=title, crumbs=crumbs)


def _flow_or_404(process: Process, slug: str) -> Flow | None:
    if slug == UNCOVERED:
        return None
    for one in process.flows:
        if one.slug == slug:
            return one
    raise Http404(f"The process {process.slug!r} has no flow {slug!r}.")


def _facets(process: Process, flow: Flow | None) -> list[str]:
    """The slugs of the facets by whose values the flow's moves are known."""
    stocks = set(process.stocks).intersection(flow.stocks if flow else ())
    known = {facet.slug for stock in stocks for facet in stock.applied_facets}
    return [
        facet.slug
        for facet in (flow.applied_facets if flow else ())
        if facet.slug in known and facet.column(flow.subject_model).capturable  # type: ignore[union-attr]
    ]


class _Page:
    """What the page of a flow shows."""

    def __init__(
        self, request: HttpRequest, process: Process, flow: Flow | None, found: Report, facets: Sequence[str]
    ) -> None:
        self.request, self.process, self.flow, self.facets = request, process, flow, facets
        self.asked: Asked = found.asked
        self.balance: Balance = found.balance
        self.hidden = hidden_from(request.user, registry)
        self.link: Link = linker(request, process)
        self.address = addresses(request, process, found.asked)
        self.lines = lines_of(self.balance, flow)
        self.total = sum(line.count for line in self.lines)
        models = {one.subject_model for one in ([flow] if flow else process.flows)}
        self.may_list = all(may_list(request.user, process, model) for model in models)
        self.known_since = self.balance.known_since(flow)
        self.errors = dict(self.asked.errors)

    def context(self) -> dict[str, Any]:
        balance = self.balance
        chart = flow_chart(balance, self.flow, self.asked.grain, link=self.link)
        number = total_number(balance, self.flow, self.total)
        before = self._before(self.lines)
        rhythm_since, pruned, of_week, slot = self._week()
        return {
            "process": self.process,
            "flow": self.flow,
            "description": self.flow.description if self.flow else _of_no_flow(),
            "asked": self.asked,
            "exports": series_links(self.request, self.process, self.asked) if self.flow else [],
            "balance": balance,
            "calendar": self.process.calendar,
            "chart": chart,
            "table": chart.table,
            "total": count(self.total),
            "known_since": self._known_since(),
            "known_later": bool(self.known_since and self.known_since >= balance.at),
            "total_url": (self.link(number) if number and self.total else None) or "",
            "per_day": self._per_day(self.total),
            "change": None if before is None else self.total - before,
            "changed": "" if before is None else percent(before, self.total, grouped, from_zero=_("from 0")),
            "before": before,
            "before_span": self._before_span(),
            "rate": self._rate(),
            "rate_of": self._sources(),
            "rows": [self._row(pair) for pair in chart.pairs],
            "nothing_moved": not self.total,
            "wider": self.asked.query(range="12mo", since=None, until=None),
            "tabs": self._tabs(),
            "values": self._values(),
            "hidden_values": balance.hidden_slices,
            "week": of_week,
            "week_since": rhythm_since,
            "pruned": pruned,
            "slot": slot and slot_words(slot),
            "may_list": self.may_list,
            **self._events(slot),
            "admin_url": admin_list_url(self.request, self.flow, {}, self._admin_filters())
            if self.flow
            else "",
            "silence": silence(schedule, now=balance.at),
            "recorded_at": last_recorded(list(self.process.stocks)),
        }

    # The numbers.

    def _known_since(self) -> str:
        """The first day whose moves are known, where that isn't the first of the range, else ""."""
        if self.known_since is None:
            return ""
        day = self.process.calendar.local_date(self.known_since)
        return _("Known since %(day)s") % {"day": short_day(day, year=True)}

    def _per_day(self, number: int) -> str:
        days = (self.balance.at - (self.known_since or self.balance.since)) / timedelta(days=1)
        return grouped(number / days, 1 if number / days < 100 else 0) if days > 0 else ""

    def _before(self, lines: Sequence[FlowLine]) -> int | None:
        """As many in the range that this one is compared with, None where there is none or they aren't all known."""
        other = self.balance.compared
        if other is None or other.known_since(self.flow):
            return None
        pairs = {(line.source, line.sink) for line in lines}
        every = lines is self.lines
        return sum(
            line.count for line in lines_of(other, self.flow) if every or (line.source, line.sink) in pairs
        )

    def _before_span(self) -> str:
        other = self.balance.compared
        return "" if other is None else short_span(other.since, other.until, self.process.calendar)

    def _rate(self) -> str:
        if self.flow is None or self.asked.slice or self.known_since:
            return ""
        return percent_of(rates(self.balance)[self.flow])

    def _sources(self) -> str:
        """The one source stock by name, "" where there are several, or it is hidden."""
        sources = [one for one in (self.flow.sources if self.flow else ()) if isinstance(one, Stock)]
        named = len(sources) == 1 and sources[0].slug not in self.hidden.stocks
        return str(sources[0].name) if named else ""

    def _row(self, pair: LegendLine) -> PairRow:
        line = pair.line
        openings = [one.opening for one in self.balance.stocks if one.stock.slug == line.source]
        before = self._before([line])
        return PairRow(
            pair=pair,
            url=self.link(self.balance.number(line, "count")) or "",
            source_url=self._stock_url(line.source),
            sink_url=self._stock_url(line.sink),
            per_day=self._per_day(line.count),
            share=percent_of(line.count / self.total if self.total else None),
            rate="" if self.known_since else percent_of(rate(line.count, openings)),
            was="" if before is None else count(before),
        )

    def _stock_url(self, key: str) -> str:
        if key not in {stock.slug for stock in self.process.stocks}:
            return ""
        return self.address("stock", key)

    # By facet.

    def _tabs(self) -> list[Tab]:
        split = next(iter(self.balance.slices.values()), None)
        current = next(iter(split.slice), "") if split else ""
        return [
            Tab(self.asked.facets.get(slug, slug), self.asked.query(split=slug), slug == current)
            for slug in self.facets
        ]

    def _values(self) -> list[ValueRow]:
        found = []
        for key, one in self.balance.slices.items():
            number = sum(line.count for line in lines_of(one, self.flow))
            if number:
                found.append((key, number, one))
        greatest = max((number for _key, number, _one in found), default=1)
        slug = next((next(iter(one.slice)) for _key, _number, one in found), "")
        names = self.asked.values.get(slug, {})
        rows = []
        for key, number, one in found:
            name = value_name(key, names)
            counted = total_number(one, self.flow, number)
            rows.append(
                ValueRow(
                    name,
                    count(number),
                    (self.link(counted) if counted else None) or "",
                    percent_of(number / self.total if self.total else None),
                    f"{number / greatest * 100:.1f}%",
                )
            )
        return rows

    # From events.

    def _week(self) -> tuple[datetime | None, str, Week | None, Slot | None]:
        """Since when, where that isn't the range's; why there is no table; the table; and the hour asked for."""
        try:
            slot = read_slot(self.request.GET)
        except InvalidInput:
            slot = None
        since, until = self.balance.since, self.balance.at
        cut = since < until - LONGEST
        if cut:
            since = until - LONGEST
        if not self.total:
            return None, "", None, slot
        try:
            found = rhythm(
                self.process, self.flow, since, until, facets=self.asked.slice, apart=self.balance.apart
            )
        except InvalidInput as error:
            return None, str(error), None, slot
        if any(is_small(number, self.balance.least) for number in found.counts.values()):
            few = _("Some hours of the week have fewer than %(least)s moves, so that none is told.")
            return None, few % {"least": count(self.balance.least)}, None, slot
        table = week(found, self.asked.query, slot, linked=self.may_list)
        return since if cut else None, "", table, slot

    def _events(self, slot: Slot | None) -> dict[str, Any]:
        if not self.may_list or not self.total:
            return {"events": []}
        given = self.request.GET.get("page", "")
        page = (
            min(max(int(given), 1), MOST_PAGES)
            if given.isascii() and given.isdigit() and len(given) < 6
            else 1
        )
        try:
            moves = latest_moves(
                self.process,
                self.flow,
                self.balance.since,
                self.balance.at,
                facets=self.asked.slice,
                apart=self.balance.apart,
                slot=slot,
                start=(page - 1) * PAGE_SIZE,
                limit=PAGE_SIZE + 1,
            )
        except InvalidInput as error:
            return {"events": [], "unlisted": str(error)}
        hour = f"{slot[0]}-{slot[1]:02}" if slot else None
        more = len(moves) > PAGE_SIZE and page < MOST_PAGES

        def at(number: int) -> str:
            return self.asked.query(**{HOUR: hour, "page": str(number) if number > 1 else None})

        return {
            "events": [self._event(move) for move in moves[:PAGE_SIZE]],
            "page": page,
            "newer": at(page - 1) if page > 1 else "",
            "older": at(page + 1) if more else "",
            "every_hour": self.asked.query(),
        }

    def _event(self, move: Any) -> EventRow:
        subject = move.subject
        model = type(move)._meta.get_field("subject").related_model
        if subject is None:
            name = _("%(name)s %(key)s, gone") % {"name": model._meta.verbose_name, "key": move.subject_id}
        else:
            name = str(subject)
        return EventRow(
            at=move.timestamp.astimezone(self.process.calendar.zone),
            name=name,
            url=timeline_url(model, move.subject_id, self.process, self.request),
            source=state_name(self.process, self.hidden.state(move.source)),
            sink=state_name(self.process, self.hidden.state(move.sink)),
            facets=tuple(self._labels(move.facets)),
        )

    def _labels(self, facets: Mapping[str, Any]) -> Iterator[str]:
        """The values that an event keeps of the flow's facets, as people call them."""
        for slug in self.facets:
            if (value := facets.get(slug)) is not None:
                yield self.asked.values.get(slug, {}).get(str(value), str(value))

    def _admin_filters(self) -> dict[str, str]:
        return {
            "timestamp__gte": self.balance.since.isoformat(),
            "timestamp__lt": self.balance.until.isoformat(),
        }


def _of_no_flow() -> str:
    return _("Moves that no flow of this process covers.")
