"""Levels at past midnights: the nearest count, carried there by the events between."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import Any

from django.db import models, router
from django.db.models import Case, Count, IntegerField, Max, Min, Q, Value, When

from stockandflow.batches import batched
from stockandflow.declarations import Stock
from stockandflow.membership.facets import NONE, OTHER, FacetColumn, FacetText
from stockandflow.models import Origin, StockFacetRecord, StockRecord, settled_moves
from stockandflow.periods import Calendar, Grain
from stockandflow.recording.buckets import LocalDate
from stockandflow.recording.counting import Counted
from stockandflow.spans import Span, merged, stretches, within

NEAR = timedelta(days=7)
"""How far before the first midnight a count is looked for, before all of them are."""
BOUNDS = 100
"""Instants within days that one query tells apart."""
AT_ONCE = 500
A_DAY = timedelta(hours=26)
"""No day is longer."""

Known = tuple[str, datetime]
"""A stock's slug and an instant."""
Facets = Mapping[str, Mapping[str, int]]
"""Facet slug → value key → objects."""
Position = tuple[date, int]
"""Where among the segments an instant lies: its local date, and how many bounds come until then."""


@dataclass(frozen=True)
class Level:
    """What a stock held just before an instant, and the instant of the count that tells it.

    ``facets`` has those facets whose values are known.
    """

    count: int
    carried_from: datetime
    facets: Facets = field(default_factory=dict)


@dataclass(frozen=True)
class _Anchor:
    """A count; ``late`` is in less out of the moves under way when it was taken, which it doesn't hold."""

    count: int
    late: int = 0
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
    counts = _Counts(wanted, calendar, counted)
    nearest = {
        (stock, at): found
        for stock, ordered in wanted.items()
        for at in ordered
        if (found := counts.nearest(stock.slug, at)) is not None
    }
    within_a_day = {key: span for key, span in _spans_of(nearest) if _within_a_day(span, calendar)}
    anchors = counts.read(
        {(stock.slug, found) for (stock, _), found in nearest.items()},
        with_facets={(stock.slug, nearest[stock, at]) for stock, at in within_a_day},
    )
    events = _Segments(list(wanted), calendar, [span for _, span in _spans_of(nearest)])
    levels: dict[Known, Level] = {}
    for (stock, at), (low, high) in _spans_of(nearest):
        found = nearest[stock, at]
        anchor, net = anchors[stock.slug, found], events.net(stock.slug, low, high)
        level = max(0, anchor.count + anchor.late + (net if found <= at else -net))
        levels[stock.slug, at] = Level(level, found)
    _carry_facets(levels, within_a_day, anchors, calendar)
    return levels


def carried_facets(stock: Stock) -> frozenset[str]:
    """The slugs of the facets that the stock has and that give an object one value. No query."""
    facets = (facet for facet in stock.applied_facets if facet.column(stock.model).capturable)
    return frozenset(facet.slug for facet in facets)


def _spans_of(
    nearest: Mapping[tuple[Stock, datetime], datetime],
) -> Iterator[tuple[tuple[Stock, datetime], Span]]:
    for (stock, at), found in nearest.items():
        yield (stock, at), (min(at, found), max(at, found))


def _within_a_day(span: Span, calendar: Calendar) -> bool:
    low, high = span
    return high - low <= A_DAY and high <= calendar.period(Grain.DAY, low).end


class _Counts:
    """The counts that tell levels at given midnights."""

    def __init__(
        self, wanted: Mapping[Stock, Sequence[datetime]], calendar: Calendar, counted: Counted | None
    ) -> None:
        self.stocks = list(wanted)
        self.new = counted
        self.fresh = {count.slug: count for count in counted.counts} if counted else {}
        self.known: dict[str, list[datetime]] = {stock.slug: [] for stock in wanted}
        self.records = StockRecord.objects.using(router.db_for_read(StockRecord)).exclude(method="derived")
        self.records = self.records.filter(stock__in=list(self.known)).order_by()
        self._find(wanted, calendar)

    def _find(self, wanted: Mapping[Stock, Sequence[datetime]], calendar: Calendar) -> None:
        spans = stretches(at for ordered in wanted.values() for at in ordered)
        near = [(low - NEAR, high) for low, high in spans]
        low, high = near[0][0], near[-1][1]
        day = LocalDate("timestamp", calendar.offsets(low, high + timedelta(days=1)))
        # In one range too, for which the index is used everywhere.
        records = self.records.filter(within([(low, high)]), within(near))
        last = records.annotate(sf_day=day).values_list("stock", "sf_day")
        for slug, _, at in last.annotate(last=Max("timestamp")):
            self.known[slug].append(at)
        for slug, known in self.known.items():
            known.sort()
            if self.new is not None and slug in self.fresh:
                known.append(self.new.at)
        missing = {
            stock.slug
            for stock, ordered in wanted.items()
            for low, _ in spans
            if not self._begins_near(stock.slug, ordered, low)
        }
        if missing:
            self._find_afar(missing, spans)

    def _begins_near(self, slug: str, ordered: Sequence[datetime], low: datetime) -> bool:
        """Whether a count is known that lies near before the first midnight from ``low`` on, or there is none."""
        place = bisect_left(ordered, low)
        if place == len(ordered):
            return True
        known = self.known[slug]
        before = bisect_right(known, ordered[place])
        return before > 0 and known[before - 1] >= low - NEAR

    def _find_afar(self, slugs: set[str], spans: Sequence[Span]) -> None:
        sums: dict[str, Any] = {}
        for index, (low, _) in enumerate(spans):
            sums[f"before_{index}"] = Max("timestamp", filter=Q(timestamp__lte=low))
            sums[f"after_{index}"] = Min("timestamp", filter=Q(timestamp__gt=low))
        rows = self.records.filter(stock__in=slugs).values_list("stock").annotate(**sums)
        for slug, *found in rows:
            self.known[slug] = sorted({*self.known[slug], *(at for at in found if at is not None)})

    def nearest(self, slug: str, at: datetime) -> datetime | None:
        """The instant of the last count until then, or of the first after; None where there is no count."""
        known = self.known[slug]
        return known[max(0, bisect_right(known, at) - 1)] if known else None

    def read(self, wanted: set[Known], *, with_facets: set[Known]) -> dict[Known, _Anchor]:
        """The counts of these stocks and instants, with their facets where asked."""
        found: dict[Known, _Anchor] = {}
        recent: dict[Known, int] = {}
        keys: dict[int, Known] = {}
        for instants in batched(sorted({at for _, at in wanted}), AT_ONCE):
            rows = self.records.filter(timestamp__in=instants)
            for pk, slug, at, count, net in rows.values_list(
                "pk", "stock", "timestamp", "count", "recent_net"
            ):
                if (slug, at) in wanted:
                    found[slug, at] = _Anchor(count)
                    if net is not None:
                        recent[slug, at] = net
                    if (slug, at) in with_facets:
                        keys[pk] = slug, at
        for slug, new in self.fresh.items():
            if self.new is not None and (slug, self.new.at) in wanted - found.keys():
                single = {name: values for name, values in new.facets.items() if name not in new.multi_valued}
                found[slug, self.new.at] = _Anchor(new.total, facets=single)
                recent[slug, self.new.at] = self.new.recent.get(slug, 0)
        settled = settled_moves(self.stocks, {at for _, at in recent})
        for (slug, at), net in recent.items():
            found[slug, at] = replace(found[slug, at], late=settled[at][slug] - net)
        for key, facets in self._facets(keys).items():
            found[key] = replace(found[key], facets=facets)
        return found

    def _facets(self, keys: Mapping[int, Known]) -> dict[Known, dict[str, dict[str, int]]]:
        found: dict[Known, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
        records = StockFacetRecord.objects.using(self.records.db).filter(multi_valued=False).order_by("id")
        for pks in batched(list(keys), AT_ONCE):
            rows = records.filter(stock_record__in=pks)
            for pk, facet, value, count in rows.values_list("stock_record", "facet", "value", "count"):
                found[keys[pk]][facet][value] = count
        return found


class _Segments:
    """The moves of stocks in the segments into which midnights and the ends of spans cut the time."""

    def __init__(
        self, stocks: Sequence[Stock], calendar: Calendar, spans: Sequence[Span], facet: str | None = None
    ) -> None:
        self.calendar, self.facet = calendar, facet
        self._days: dict[datetime, date] = {}
        self.bounds = sorted({at for span in spans for at in span if not self._is_midnight(at)})
        self._moves: dict[str, list[tuple[Position, int, bool, str | None]]] = defaultdict(list)
        slugs: dict[type[Any], list[str]] = defaultdict(list)
        for stock in stocks:
            for model in stock.registry.event_models_of(stock):
                slugs[model].append(stock.slug)
        for pieces in self._pieces(merged(spans)):
            for model, members in slugs.items():
                self._read(model, members, pieces)
        for moves in self._moves.values():
            moves.sort(key=lambda move: move[0])
        self._at = {slug: [position for position, *_ in moves] for slug, moves in self._moves.items()}
        self._sums = {
            slug: [0, *accumulate(number for _, number, *_ in moves)] for slug, moves in self._moves.items()
        }

    def _day(self, at: datetime) -> date:
        if at not in self._days:
            self._days[at] = self.calendar.local_date(at)
        return self._days[at]

    def _is_midnight(self, at: datetime) -> bool:
        return self.calendar.midnight(self._day(at)) == at

    def _pieces(self, spans: Iterable[Span]) -> Iterator[list[Span]]:
        """The spans for each query, cut where it would have to tell apart more than BOUNDS instants."""
        pieces: list[Span] = []
        room = BOUNDS
        for low, high in spans:
            inside = self.bounds[bisect_right(self.bounds, low) : bisect_left(self.bounds, high)]
            start = low
            while len(inside) > room:
                yield [*pieces, (start, inside[room])]
                pieces, start, inside, room = [], inside[room], inside[room + 1 :], BOUNDS
            pieces.append((start, high))
            room -= len(inside)
        if pieces:
            yield pieces

    def _read(self, model: type[Any], slugs: Sequence[str], pieces: Sequence[Span]) -> None:
        low, high = pieces[0][0], pieces[-1][1]
        first, last = bisect_right(self.bounds, low), bisect_left(self.bounds, high)
        part: Any = Value(last)
        if first < last:
            part = Case(
                *(When(timestamp__lt=self.bounds[index], then=Value(index)) for index in range(first, last)),
                default=Value(last),
                output_field=IntegerField(),
            )
        windows = Q(*(Q(timestamp__gte=low, timestamp__lt=high) for low, high in pieces), _connector=Q.OR)
        rows: models.QuerySet[Any] = model._default_manager.using(router.db_for_read(model)).order_by()
        rows = rows.filter(windows, Q(source__in=slugs) | Q(sink__in=slugs)).exclude(origin=Origin.INITIAL)
        rows = rows.annotate(
            sf_day=LocalDate("timestamp", self.calendar.offsets(low, high)),
            sf_part=part,
            sf_value=FacetText(self.facet) if self.facet else Value(""),
        )
        kept = Q(facets__has_key=self.facet) if self.facet else None
        cells = rows.values_list("source", "sink", "sf_day", "sf_part", "sf_value").annotate(
            sf_count=Count("pk"), sf_kept=Count("pk", filter=kept)
        )
        for source, sink, day, number, value, count, known in cells:
            for slug, sign in ((source, -1), (sink, 1)):
                if slug in slugs:
                    self._moves[slug].append(((day, number), sign * count, known == count, value))

    def _place(self, slug: str, at: datetime) -> int:
        """How many of the stock's segments come before the instant."""
        day = self._day(at)
        midnight = not self.bounds or self._is_midnight(at)
        return bisect_left(self._at[slug], (day, -1 if midnight else bisect_right(self.bounds, at)))

    def net(self, slug: str, low: datetime, high: datetime) -> int:
        """In less out over one of the spans."""
        if slug not in self._at:
            return 0
        sums = self._sums[slug]
        return sums[self._place(slug, high)] - sums[self._place(slug, low)]

    def values(self, slug: str, low: datetime, high: datetime) -> list[tuple[str | None, int]] | None:
        """(Text that the events kept, in less out) over one of the spans; None where an event kept nothing."""
        if slug not in self._at:
            return []
        moves = self._moves[slug][self._place(slug, low) : self._place(slug, high)]
        return [(value, number) for _, number, _, value in moves] if all(move[2] for move in moves) else None


def _carry_facets(
    levels: dict[Known, Level],
    spans: Mapping[tuple[Stock, datetime], Span],
    anchors: Mapping[Known, _Anchor],
    calendar: Calendar,
) -> None:
    """Give the levels the facet values that the events of one day lead to."""
    wanted: dict[str, list[tuple[Stock, datetime]]] = defaultdict(list)
    for stock, at in spans:
        anchor = anchors[stock.slug, levels[stock.slug, at].carried_from]
        # Which values the moves have that were under way isn't known.
        for slug in anchor.facets if not anchor.late else ():
            wanted[slug].append((stock, at))
    for slug, pairs in wanted.items():
        stocks = list(dict.fromkeys(stock for stock, _ in pairs))
        columns = {stock: _Column.of(stock, slug) for stock in stocks}
        events = _Segments(stocks, calendar, [spans[pair] for pair in pairs], facet=slug)
        for stock, at in pairs:
            level, column = levels[stock.slug, at], columns[stock]
            moved = events.values(stock.slug, *spans[stock, at])
            if column is None or moved is None:
                continue
            sign = 1 if level.carried_from <= at else -1
            values = column.carried(anchors[stock.slug, level.carried_from].facets[slug], moved, sign)
            if min(values.values(), default=0) >= 0 and sum(values.values()) == level.count:
                levels[stock.slug, at] = replace(level, facets={**level.facets, slug: values})


@dataclass(frozen=True)
class _Column:
    """A facet of one stock: how a text becomes a key, and whether it declares its values.

    Which ones it declared is told by the count that is carried, which has them all: what came or went since has no say
    in what was known then.
    """

    column: FacetColumn
    declared: bool

    @classmethod
    def of(cls, stock: Stock, slug: str) -> _Column | None:
        """None where the stock has no such facet any more, or one that gives an object no single value."""
        facet = next((facet for facet in stock.applied_facets if facet.slug == slug), None)
        if facet is None or not (column := facet.column(stock.model)).capturable:
            return None
        return cls(column, facet.facet.values is not None)

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
