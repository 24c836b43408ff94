"""Charts of a report: for each stock its river, sparkline, data table and, split by a facet, small multiples.

All of them are made of one ``reports.balance`` with a ``grain``, and of nothing else: no query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from django.utils.translation import gettext as _

from stockandflow.declarations import Stock
from stockandflow.drawing.dates import date_ticks
from stockandflow.drawing.layers import Layer, highest, shades, stacked
from stockandflow.drawing.river import (
    MOST_INFLOWS,
    MOST_OUTFLOWS,
    NORMAL,
    SMALL,
    River,
    Size,
    river,
)
from stockandflow.drawing.scales import count_axis, nice
from stockandflow.drawing.sparkline import Sparkline, sparkline
from stockandflow.membership.facets import NONE, OTHER
from stockandflow.periods import Calendar, Grain, Status
from stockandflow.reports import Balance, FlowLine, StockBalance
from stockandflow.site.dates import partial, per, period_name, short_span, tick_names
from stockandflow.site.naming import value_name
from stockandflow.site.tables import DataTable, Link, data_table, unlinked
from stockandflow.site.words import count

MOST_MULTIPLES = 6
"""Values of a facet with a chart of their own; the others share one."""


@dataclass(frozen=True)
class LegendLine:
    """A flow, or one pair of its stocks, over the whole range, with the shade of its bars."""

    shade: str
    line: FlowLine


@dataclass(frozen=True)
class Reading:
    """What is said of a period, where it stands on the chart: in % of the width."""

    x: str
    width: str
    text: str


@dataclass(frozen=True)
class Multiple:
    """The river of one value of a facet; ``number`` is how many there are now, "" in ``url`` leads nowhere."""

    name: str
    count: int | None
    url: str
    river: River
    summary: str


@dataclass(frozen=True)
class StockChart:
    """One stock over the periods of a report, as numbers and as geometry."""

    balance: Balance
    line: StockBalance
    grain: Grain
    river: River
    readings: tuple[Reading, ...]
    inflows: tuple[LegendLine, ...]
    """Largest first; those beyond what the river tells apart have the shade ``other``."""
    outflows: tuple[LegendLine, ...]
    table: DataTable
    multiples: tuple[Multiple, ...]
    levels: tuple[int | None, ...]
    """At the borders of the periods, one more than there are periods."""

    @property
    def stock(self) -> Stock:
        return self.line.stock

    @property
    def calendar(self) -> Calendar:
        return self.balance.process.calendar

    @cached_property
    def sparkline(self) -> Sparkline:
        return sparkline(self.levels)

    @property
    def in_words(self) -> str:
        """What the inflow is called: ``In per day``."""
        return _("In %(per)s") % {"per": per(self.grain)}

    @property
    def out_words(self) -> str:
        return _("Out %(per)s") % {"per": per(self.grain)}

    @property
    def open_words(self) -> str:
        """What is said of the last period while it is in progress, else ""."""
        return partial(self.grain) if self.balance.in_progress else ""

    @property
    def span(self) -> str:
        return short_span(self.balance.since, self.balance.until, self.calendar)

    @property
    def compared_words(self) -> str:
        """The dates of the dashed line, "" without one."""
        other = self.balance.compared
        return short_span(other.since, other.until, self.calendar) if other and other.parts else ""

    @property
    def summary(self) -> str:
        """What the chart shows, for those who can't see it."""
        return _summary(str(self.stock.name), self.line, self.grain, self.span)


def stock_charts(
    balance: Balance,
    grain: Grain,
    *,
    link: Link = unlinked,
    value_names: Mapping[str, str] | None = None,
    size: Size = NORMAL,
) -> tuple[StockChart, ...]:
    """The charts of each stock of a balance that was asked for with that ``grain``, in its order. No query.

    ``value_names`` are the names of the keys of its ``slices``.
    """
    return tuple(
        _chart(balance, place, grain, link, value_names or {}, size) for place in range(len(balance.stocks))
    )


def _chart(
    balance: Balance, place: int, grain: Grain, link: Link, names: Mapping[str, str], size: Size
) -> StockChart:
    line, calendar = balance.stocks[place], balance.process.calendar
    lines = [part.stocks[place] for part in balance.parts]
    levels = _levels(lines)
    inflows, outflows = _legend(line.inflows, MOST_INFLOWS), _legend(line.outflows, MOST_OUTFLOWS)
    starts = [calendar.local_date(part.since) for part in balance.parts]
    places = date_ticks(starts, week_start=calendar.week_start)
    ticks = [
        (at, name, essential)
        for (at, essential), name in zip(
            places, tick_names([starts[at] for at, _essential in places], grain), strict=True
        )
    ]
    before = _compared(balance, line.stock)
    drawn = river(
        _layers(inflows, [one.inflows for one in lines], MOST_INFLOWS),
        _layers(outflows, [one.outflows for one in lines], MOST_OUTFLOWS),
        levels,
        compared=before,
        ticks=ticks,
        gaps=[at for at, one in enumerate(lines) if one.status is Status.GAP],
        open_from=len(lines) - balance.in_progress,
        size=size if line.flows_known else Size(0, size.count),
    )
    years = {day.year for day in starts}
    statuses = [
        _("too few to be told") if one.suppressed else status_words(one.status, part.restated_of(one, "net"))
        for part, one in zip(balance.parts, lines, strict=True)
    ]
    readings = tuple(
        Reading(column.x, column.width, _reading(part, one, grain, calendar, was, year=len(years) > 1))
        for column, part, one, was in zip(
            drawn.columns, balance.parts, lines, [*before[1:], *[None] * len(lines)], strict=False
        )
    )
    return StockChart(
        balance=balance,
        line=line,
        grain=grain,
        river=drawn,
        readings=readings,
        inflows=inflows,
        outflows=outflows,
        table=data_table(balance, place, grain, statuses, link=link),
        multiples=_multiples(balance, line.stock, link, names),
        levels=tuple(levels),
    )


def _levels(lines: Sequence[StockBalance]) -> list[int | None]:
    """The levels at the borders of the periods, one more than there are periods."""
    return [*(line.opening for line in lines[:1]), *(line.closing for line in lines)]


def _compared(balance: Balance, stock: Stock) -> list[int | None]:
    """The levels of the other range; None where it has no such day. Nothing without one."""
    other = balance.compared
    if other is None:
        return []
    found: list[int | None] = []
    for part in other.parts:
        line = next(one for one in part.stocks if one.stock == stock)
        found += [line.opening] if not found else []
        found.append(line.closing if part.since < part.until else None)
    return found


def pair(line: FlowLine) -> str:
    """What tells a line from the others of its process."""
    return f"{line.flow.slug if line.flow else ''} {line.source} {line.sink}"


def _legend(lines: Sequence[FlowLine], most: int) -> tuple[LegendLine, ...]:
    by_pair = {pair(line): line for line in lines}
    folded = frozenset(key for key, line in by_pair.items() if line.flow is None)
    found = shades({key: line.count for key, line in by_pair.items()}, most, folded=folded)
    return tuple(LegendLine(shade, by_pair[key]) for key, shade in found.items())


def _layers(
    legend: Sequence[LegendLine], periods: Sequence[Sequence[FlowLine]], most: int
) -> tuple[Layer, ...]:
    counts = [{pair(line): line.count for line in lines} for lines in periods]
    values = {pair(one.line): [ones.get(pair(one.line), 0) for ones in counts] for one in legend}
    folded = frozenset(pair(one.line) for one in legend if one.line.flow is None)
    return stacked(values, most, folded=folded)


def _reading(
    part: Balance,
    line: StockBalance,
    grain: Grain,
    calendar: Calendar,
    was: int | None,
    *,
    year: bool,
) -> str:
    facts = {
        "period": period_name(part.since, part.until, grain, calendar, year=year),
        "inflow": count(line.inflow),
        "outflow": count(line.outflow),
        "count": count(line.closing),
        "was": count(was),
    }
    if not line.flows_known:
        text = _("%(period)s: count %(count)s") % facts
    else:
        text = _("%(period)s: in %(inflow)s · count %(count)s · out %(outflow)s") % facts
    if was is not None:
        text += _(" · count before %(was)s") % facts
    if line.suppressed:
        return f"{facts['period']}: {_('too few to be told')}"
    status = status_words(line.status, part.restated_of(line, "net"))
    return f"{text} ({status})" if status and line.status is not Status.FINAL else text


def status_words(status: Status, restated: Sequence[object] = ()) -> str:
    """A status in the reader's language, with whether a number was restated."""
    words = {
        Status.IN_PROGRESS: _("in progress"),
        Status.PROVISIONAL: _("provisional"),
        Status.FINAL: _("final"),
        Status.GAP: _("not known"),
    }[status]
    return _("%(status)s, restated") % {"status": words} if restated else words


def _summary(name: str, line: StockBalance, grain: Grain, span: str) -> str:
    facts = {
        "stock": name,
        "per": per(grain),
        "span": span,
        "opening": count(line.opening),
        "closing": count(line.closing),
        "inflow": count(line.inflow),
        "outflow": count(line.outflow),
    }
    if not line.flows_known:
        return _("%(stock)s: count %(per)s, %(span)s. From %(opening)s to %(closing)s.") % facts
    return (
        _(
            "%(stock)s: inflow, count and outflow %(per)s, %(span)s. "
            "Count from %(opening)s to %(closing)s; in %(inflow)s, out %(outflow)s."
        )
        % facts
    )


# Small multiples.


def _multiples(balance: Balance, stock: Stock, link: Link, names: Mapping[str, str]) -> tuple[Multiple, ...]:
    """A river for each of the largest values of the facet, and one for the others, all on one scale."""
    slices: dict[str, list[StockBalance]] = {}
    wholes: dict[str, tuple[Balance, StockBalance]] = {}
    for key, one in balance.slices.items():
        for place, line in enumerate(one.stocks):
            if line.stock == stock and (line.closing or line.inflow or line.outflow):
                slices[key] = [part.stocks[place] for part in one.parts]
                wholes[key] = one, line
    ranked = sorted(slices, key=lambda key: (key in (OTHER, NONE), -(wholes[key][1].closing or 0)))
    if len(ranked) > MOST_MULTIPLES + 1:
        groups = [*([key] for key in ranked[:MOST_MULTIPLES]), ranked[MOST_MULTIPLES:]]
    else:
        groups = [[key] for key in ranked]
    drawn = [_Sums.of([slices[key] for key in keys]) for keys in groups]
    top = nice(max((highest(layers) for one in drawn for layers in (one.inflows, one.outflows)), default=1))
    axis = count_axis(level for one in drawn for level in one.levels)
    found = []
    for keys, sums in zip(groups, drawn, strict=True):
        name = (
            value_name(keys[0], names) if len(keys) == 1 else _("Other, %(number)s") % {"number": len(keys)}
        )
        whole, line = wholes[keys[0]]
        url = link(whole.number(line, "closing")) if len(keys) == 1 and line.closing else None
        found.append(
            Multiple(
                name=name,
                count=line.closing if len(keys) == 1 else sums.levels[-1],
                url=url or "",
                river=river(
                    sums.inflows,
                    sums.outflows,
                    sums.levels,
                    open_from=len(sums.levels) - 1 - balance.in_progress,
                    size=SMALL,
                    top=top,
                    axis=axis,
                ),
                summary=_("%(value)s: count from %(opening)s to %(closing)s")
                % {"value": name, "opening": count(sums.levels[0]), "closing": count(sums.levels[-1])},
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class _Sums:
    """What some slices of a stock are together, period by period."""

    inflows: tuple[Layer, ...]
    outflows: tuple[Layer, ...]
    levels: list[int | None]

    @classmethod
    def of(cls, slices: Sequence[Sequence[StockBalance]]) -> _Sums:
        periods = list(zip(*slices, strict=True))
        by_border = zip(*(_levels(lines) for lines in slices), strict=True)
        return cls(
            (Layer("", tuple(sum(line.inflow or 0 for line in lines) for lines in periods), "1"),),
            (Layer("", tuple(sum(line.outflow or 0 for line in lines) for lines in periods), "1"),),
            [None if None in ones else sum(filter(None, ones)) for ones in by_border],
        )
