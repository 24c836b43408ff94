"""The chart of a flow: its moves period by period, by pair of source and sink, with the mean of a week of periods.

It is made of one ``reports.balance`` with a ``grain``, and of nothing else: no query.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from stockandflow.declarations import Flow
from stockandflow.drawing.bars import LEAST_FOR_AVERAGE, Columns, columns, moving_average
from stockandflow.drawing.dates import date_ticks
from stockandflow.drawing.layers import shades, stacked
from stockandflow.periods import Grain, Status
from stockandflow.reports import Balance, FlowLine, Number, lines_of
from stockandflow.site import dates
from stockandflow.site.charts import LegendLine, Reading, pair, status_words
from stockandflow.site.dates import per, period_header, period_name, short_span, tick_names
from stockandflow.site.naming import place_name
from stockandflow.site.tables import Cell, Column, DataTable, Link, Row, unlinked
from stockandflow.site.words import count, grouped

MOST_PAIRS = 4
"""Pairs with a shade of their own."""
WINDOW = 7
"""How many periods the moving average is of: with days, a whole week."""


@dataclass(frozen=True)
class FlowChart:
    """A flow over the periods of a report, as numbers and as geometry."""

    name: str
    grain: Grain
    drawn: Columns
    pairs: tuple[LegendLine, ...]
    """Largest first; those beyond what bars tell apart have the shade ``other``."""
    readings: tuple[Reading, ...]
    table: DataTable
    span: str
    per: str
    open_words: str
    """What is said of the last period while it is in progress, else ""."""
    summary: str
    """What the chart shows, for those who can't see it."""


def flow_chart(balance: Balance, flow: Flow | None, grain: Grain, *, link: Link = unlinked) -> FlowChart:
    """The chart of a flow of a balance that was asked for with that ``grain``; None for the moves of no flow."""
    calendar = balance.process.calendar
    lines = {pair(line): line for line in lines_of(balance, flow)}
    by_part = [_lines(part, flow) for part in balance.parts]
    counts = {key: [_count(ones, key) for ones in by_part] for key in lines}
    totals = [None if ones is None else sum(line.count for line in ones.values()) for ones in by_part]
    over = len(by_part) - balance.in_progress
    partial = [at for at, part in enumerate(balance.parts) if part.known_since(flow)]
    whole = [None if at in partial else total for at, total in enumerate(totals[:over])]
    average = moving_average(whole, WINDOW) if over >= LEAST_FOR_AVERAGE else ()
    starts = [calendar.local_date(part.since) for part in balance.parts]
    places = date_ticks(starts, week_start=calendar.week_start)
    names = tick_names([starts[at] for at, _essential in places], grain)
    drawn = columns(
        stacked(counts, MOST_PAIRS),
        len(by_part),
        ticks=[(at, name, essential) for (at, essential), name in zip(places, names, strict=True)],
        open_from=over,
        partial=partial,
        average=[*average, *[None] * (len(by_part) - len(average))] if average else (),
    )
    chart = _Chart(balance, flow, grain, link, len({day.year for day in starts}) > 1)
    name = str(flow.name) if flow else _("Other")
    span = short_span(balance.since, balance.until, calendar)
    return FlowChart(
        name=name,
        grain=grain,
        drawn=drawn,
        pairs=tuple(
            LegendLine(shade, lines[key])
            for key, shade in shades({key: line.count for key, line in lines.items()}, MOST_PAIRS).items()
        ),
        readings=tuple(
            Reading(column.x, column.width, chart.reading(part, total, mean))
            for column, part, total, mean in zip(
                drawn.columns, balance.parts, totals, [*average, *[None] * len(totals)], strict=False
            )
        ),
        table=chart.table(lines, by_part),
        span=span,
        per=per(grain),
        open_words=dates.partial(grain) if balance.in_progress else "",
        summary=_("%(flow)s %(per)s, %(span)s: %(total)s in all")
        % {"flow": name, "per": per(grain), "span": span, "total": count(sum(filter(None, totals)))},
    )


def _lines(part: Balance, flow: Flow | None) -> dict[str, FlowLine] | None:
    """The lines of a flow in a part by what tells them apart; None of a part before its moves are known."""
    found = {pair(line): line for line in lines_of(part, flow)}
    since = part.known_since(flow)
    return None if since and since >= part.at and not found else found


def _count(lines: dict[str, FlowLine] | None, key: str) -> int | None:
    if lines is None:
        return None
    return lines[key].count if key in lines else 0


def total_number(balance: Balance, flow: Flow | None, value: int) -> Number | None:
    """The number of all moves of the flow in a balance; None where no one list has them: those of no flow."""
    if flow is None:
        return None
    lines = lines_of(balance, flow)
    return balance.number(lines[0], "count") if len(lines) == 1 else _of(balance, flow, value)


def _of(balance: Balance, flow: Flow, value: int) -> Number:
    slices = tuple(sorted(balance.slice.items()))
    made = Number.of_flow(flow, balance.since, balance.until)
    return Number(
        made.kind,
        process=balance.process,
        flow=flow,
        since=made.since,
        until=made.until,
        slice=slices,
        value=value,
    )


@dataclass(frozen=True)
class _Chart:
    balance: Balance
    flow: Flow | None
    grain: Grain
    link: Link
    year: bool

    def period(self, part: Balance) -> str:
        return period_name(part.since, part.until, self.grain, self.balance.process.calendar, year=self.year)

    def status(self, part: Balance, *, known: bool) -> str:
        """Whether the moves of a part can still change, and since when they are known."""
        if not known:
            return status_words(Status.GAP)
        if (since := part.known_since(self.flow)) is None:
            return status_words(part.status)
        day = self.balance.process.calendar.local_date(since)
        return _("partial, since %(day)s") % {"day": dates.short_day(day, year=True)}

    def reading(self, part: Balance, total: int | None, mean: float | None) -> str:
        """What is said of one period."""
        text = _("%(period)s: %(total)s") % {"period": self.period(part), "total": count(total)}
        if mean is not None:
            text += _(" · mean of %(window)s %(mean)s") % {"window": WINDOW, "mean": grouped(mean, 1)}
        told = not part.in_progress and total is not None and part.known_since(self.flow) is None
        return text if told else f"{text} ({self.status(part, known=total is not None)})"

    def table(self, lines: dict[str, FlowLine], by_part: list[dict[str, FlowLine] | None]) -> DataTable:
        """The periods, newest first: each pair, and all of them where there are several."""
        several = len(lines) > 1
        rows = [
            Row(
                self.period(part),
                tuple(self._cells(part, ones, lines)),
                self.status(part, known=ones is not None),
            )
            for part, ones in zip(reversed(self.balance.parts), reversed(by_part), strict=True)
        ]
        return DataTable(
            header=period_header(self.grain),
            columns=(
                *(
                    Column(place_name(line.source_name), f"→ {place_name(line.sink_name)}", "")
                    for line in lines.values()
                ),
                *([Column(_("All"), "", "")] if several else []),
            ),
            rows=tuple(rows),
            restated=(),
        )

    def _cells(
        self, part: Balance, ones: dict[str, FlowLine] | None, lines: dict[str, FlowLine]
    ) -> Iterator[Cell]:
        if ones is None:
            yield from [Cell(count(None))] * (len(lines) + (len(lines) > 1))
            return
        yield from (self._cell(part, ones.get(key)) for key in lines)
        if len(lines) > 1:
            total = sum(line.count for line in ones.values())
            number = total_number(part, self.flow, total) if total else None
            yield Cell(count(total), (self.link(number) if number else None) or "")

    def _cell(self, part: Balance, line: FlowLine | None) -> Cell:
        if line is None:
            return Cell(count(0))
        return Cell(count(line.count), self.link(part.number(line, "count")) or "")
