"""The chart of a flow: its moves period by period, by pair of source and sink, with the mean of a week of periods.

It is made of one ``reports.balance`` with a ``grain``, and of nothing else: no query.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from stockandflow.declarations import Flow
from stockandflow.drawing.bars import LEAST_FOR_AVERAGE, Columns, columns, moving_average
from stockandflow.drawing.dates import date_ticks
from stockandflow.drawing.layers import shades, stacked
from stockandflow.periods import Grain
from stockandflow.reports import Balance, FlowLine, Number, lines_of
from stockandflow.site.charts import LegendLine, Reading, pair, status_words
from stockandflow.site.dates import partial, per, period_header, period_name, short_span, tick_names
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
    by_part = [{pair(line): line for line in lines_of(part, flow)} for part in balance.parts]
    counts = {key: [ones[key].count if key in ones else 0 for ones in by_part] for key in lines}
    totals = [sum(line.count for line in ones.values()) for ones in by_part]
    over = len(by_part) - balance.in_progress
    average = moving_average(totals[:over], WINDOW) if over >= LEAST_FOR_AVERAGE else ()
    starts = [calendar.local_date(part.since) for part in balance.parts]
    places = date_ticks(starts, week_start=calendar.week_start)
    names = tick_names([starts[at] for at, _essential in places], grain)
    drawn = columns(
        stacked(counts, MOST_PAIRS),
        len(by_part),
        ticks=[(at, name, essential) for (at, essential), name in zip(places, names, strict=True)],
        open_from=over,
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
        open_words=partial(grain) if balance.in_progress else "",
        summary=_("%(flow)s %(per)s, %(span)s: %(total)s in all")
        % {"flow": name, "per": per(grain), "span": span, "total": count(sum(totals))},
    )


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

    def reading(self, part: Balance, total: int, mean: float | None) -> str:
        """What is said of one period."""
        text = _("%(period)s: %(total)s") % {"period": self.period(part), "total": count(total)}
        if mean is not None:
            text += _(" · mean of %(window)s %(mean)s") % {"window": WINDOW, "mean": grouped(mean, 1)}
        return f"{text} ({status_words(part.status)})" if part.in_progress else text

    def table(self, lines: dict[str, FlowLine], by_part: list[dict[str, FlowLine]]) -> DataTable:
        """The periods, newest first: each pair, and all of them where there are several."""
        several = len(lines) > 1
        rows = []
        for part, ones in zip(reversed(self.balance.parts), reversed(by_part), strict=True):
            cells = [self._cell(part, ones.get(key)) for key in lines]
            if several:
                total = sum(line.count for line in ones.values())
                number = total_number(part, self.flow, total) if total else None
                cells.append(Cell(count(total), (self.link(number) if number else None) or ""))
            rows.append(Row(self.period(part), tuple(cells), status_words(part.status)))
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

    def _cell(self, part: Balance, line: FlowLine | None) -> Cell:
        if line is None:
            return Cell(count(0))
        return Cell(count(line.count), self.link(part.number(line, "count")) or "")
