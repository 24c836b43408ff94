"""Levels at past midnights: the nearest count, carried there by the events between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from stockandflow.declarations import Stock
from stockandflow.membership.facets import NONE, OTHER, FacetColumn
from stockandflow.periods import Calendar, Grain
from stockandflow.recording.anchors import Anchor, Counts, Facets, Known
from stockandflow.recording.counting import Counted
from stockandflow.recording.segments import Segments
from stockandflow.spans import Span

A_DAY = timedelta(hours=26)
"""No day is longer."""


@dataclass(frozen=True)
class Level:
    """What a stock held just before an instant, and the instant of the count that tells it.

    ``facets`` has those facets whose values are known.
    """

    count: int
    carried_from: datetime
    facets: Facets = field(default_factory=dict)


def levels_at(
    midnights: Mapping[Stock, Iterable[datetime]], calendar: Calendar, counted: Counted | None = None
) -> dict[Known, Level]:
    """The level of each stock at midnights of the calendar, but for stocks that were never counted.

    It is that of the last count until then, or else of the first one after, carried by the events between; where that
    leads below nothing it is 0. ``counted`` is a count that isn't stored yet. Facet values are carried within one day,
    where all events between have kept them and none becomes negative.

    Queries, whatever the stocks, days and events: two for the counts; two more, and those of ``settled_moves``, for
    each 500 of them that tell a level; one for each event model and 100 of them, and one more for each facet there.
    """
    wanted = {stock: ordered for stock, given in midnights.items() if (ordered := sorted(set(given)))}
    if not wanted:
        return {}
    counts = Counts(wanted, calendar, counted)
    nearest = {
        (stock, at): found
        for stock, ordered in wanted.items()
        for at in ordered
        if (found := counts.nearest(stock.slug, at)) is not None
    }
    spans = {(stock, at): (min(at, found), max(at, found)) for (stock, at), found in nearest.items()}
    within_a_day = {key: span for key, span in spans.items() if _within_a_day(span, calendar)}
    anchors = counts.read(
        {(stock.slug, found) for (stock, _), found in nearest.items()},
        with_facets={(stock.slug, nearest[stock, at]) for stock, at in within_a_day},
    )
    events = Segments(wanted, calendar, spans.values())
    levels: dict[Known, Level] = {}
    for (stock, at), found in nearest.items():
        anchor, net = anchors[stock.slug, found], events.net(stock.slug, *spans[stock, at])
        level = max(0, anchor.count + anchor.late + (net if found <= at else -net))
        levels[stock.slug, at] = Level(level, found)
    _carry_facets(levels, within_a_day, anchors, calendar)
    return levels


def _within_a_day(span: Span, calendar: Calendar) -> bool:
    low, high = span
    return high - low <= A_DAY and high <= calendar.period(Grain.DAY, low).end


@dataclass(frozen=True)
class CarriedFacet:
    """A facet of one stock: how a text becomes a key, and whether it declares its values.

    Which ones it declared is told by the count that is carried, which has them all: what came or went since has no say
    in what was known then.
    """

    column: FacetColumn
    declared: bool

    def carried(
        self, values: Mapping[str, int], moved: Iterable[tuple[str | None, int]], sign: int
    ) -> dict[str, int]:
        """Value key → objects after these moves, forward or back; the order stays."""
        found = dict(values)
        for text, number in moved:
            key = self._key(text, values)
            found[key] = found.get(key, 0) + sign * number
        return {key: count for key, count in found.items() if count or self.declared}

    def _key(self, text: str | None, values: Mapping[str, int]) -> str:
        if text is None:
            return NONE
        key = self.column.key(text)
        return key if not self.declared or key in values else OTHER


def carried_facets(stock: Stock) -> dict[str, CarriedFacet]:
    """By slug, the facets that the stock has and that give an object one value. No query."""
    columns = {facet: facet.column(stock.model) for facet in stock.applied_facets}
    return {
        facet.slug: CarriedFacet(column, facet.facet.values is not None)
        for facet, column in columns.items()
        if column.capturable
    }


def _carry_facets(
    levels: dict[Known, Level],
    spans: Mapping[tuple[Stock, datetime], Span],
    anchors: Mapping[Known, Anchor],
    calendar: Calendar,
) -> None:
    """Give the levels the facet values that the events of one day lead to."""
    facets = {stock: carried_facets(stock) for stock in {stock for stock, _ in spans}}
    wanted: dict[str, list[tuple[Stock, datetime]]] = defaultdict(list)
    for stock, at in spans:
        anchor = anchors[stock.slug, levels[stock.slug, at].carried_from]
        # Which values the moves have that were under way isn't known.
        for slug in anchor.facets if not anchor.late else ():
            if slug in facets[stock]:
                wanted[slug].append((stock, at))
    for slug, pairs in wanted.items():
        stocks = dict.fromkeys(stock for stock, _ in pairs)
        events = Segments(stocks, calendar, [spans[pair] for pair in pairs], facet=slug)
        for stock, at in pairs:
            moved = events.values(stock.slug, *spans[stock, at])
            if moved is None:
                continue
            level = levels[stock.slug, at]
            sign = 1 if level.carried_from <= at else -1
            before = anchors[stock.slug, level.carried_from].facets[slug]
            values = facets[stock][slug].carried(before, moved, sign)
            if min(values.values(), default=0) >= 0 and sum(values.values()) == level.count:
                levels[stock.slug, at] = replace(level, facets={**level.facets, slug: values})
