"""What was reported then: the numbers as they were known at an instant, from records and restatements."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, overload

from django.db.models import Q, QuerySet

from stockandflow.declarations import ANY, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.membership.facets import NONE, OTHER
from stockandflow.models import (
    ALL,
    FlowFacetRecord,
    FlowRecord,
    Restatement,
    StockFacetRecord,
    StockRecord,
    told_since_of,
)
from stockandflow.periods import Calendar, Grain, Period, aware
from stockandflow.ranges import is_midnight
from stockandflow.reports.levels import Anchor, trackers_of
from stockandflow.reports.listing import facet_of
from stockandflow.reports.numbers import Kind, Measure, Number
from stockandflow.reports.results import NUMBERS, Balance, StockBalance

NOT_YET = "it wasn't computed yet, or was provisional and has changed since: provisional numbers aren't kept"
NO_RECORD = "there is no record of it"

Pair = tuple[str, str, str]
"""Flow slug, source key, sink key."""
Slice = tuple[str, str]
"""Facet slug, value key."""
WHOLE: Slice = ("", "")


@dataclass(frozen=True)
class Known:
    """What a number was known to be ``at`` an instant: None where it wasn't known, and ``reason`` says why."""

    number: Number
    at: datetime
    value: int | None
    reason: str = ""


@overload
def as_reported(what: Number, at: datetime) -> Known: ...
@overload
def as_reported(what: Balance, at: datetime) -> tuple[Known, ...]: ...
def as_reported(what: Number | Balance, at: datetime) -> Known | tuple[Known, ...]:
    """What a number, or every number of a balance and of its ``parts``, was known to be at ``at``.

    Each is told once: a pair of source and sink, and a level with which one part closes and the next opens, too. What
    was known neither then nor now is left out.

    It is what records held then: as they stand where they were computed until ``at``, else as the first restatement
    after it found them. Numbers that were read from events, and provisional ones that have changed since, aren't kept:
    they are None. Moves are told for whole days of the calendar, subjects for one stored period, one facet at a time;
    a level for an instant that has a record. Lines that a balance didn't have then are 0; those that it has no more are
    in the inflow and the outflow.

    Two queries for levels, and two for each grain that the ranges are made of; with facets two more each, and one for
    the declared values where they are a queryset and the slice is ``(other)``. Raises InvalidInput for a level now,
    which no record tells, for an ``at`` that is naive, and for what is neither number nor balance.
    """
    at = aware(at, "at")
    if isinstance(what, Number):
        return next(_told([what], at))
    if not isinstance(what, Balance):
        raise InvalidInput(
            f"as_reported() got {what!r}; give a Balance, or a Number, e.g. from balance.number()."
        )
    numbers = dict.fromkeys(number for one in (what, *what.parts) for number in numbers_of(one))
    return tuple(one for one in _told(numbers, at) if (one.value, one.number.value) != (None, None))


def numbers_of(balance: Balance) -> Iterator[Number]:
    """The numbers of one balance, without those of its parts; a pair stands with both its stocks and is told once."""
    for line in balance.stocks:
        for name in _names(line):
            number = balance.number(line, name)
            # A closing level counted just now was never recorded; then it is the one before ``at``.
            yield number if name != "closing" else replace(number, until=balance.at)
    pairs = [pair for line in balance.stocks for pair in (*line.inflows, *line.outflows)]
    for pair in dict.fromkeys((*pairs, *balance.beside)):
        yield from (balance.number(pair, name) for name in ("count", "subjects"))


def _names(line: StockBalance) -> list[str]:
    """The numbers of a stock's line that there are."""
    beside = {"reclassified": bool(line.slice), "unexplained": line.tracked and not line.slice}
    return [name for name in NUMBERS if beside.get(name, True)]


def _told(numbers: Iterable[Number], at: datetime) -> Iterator[Known]:
    numbers = list(numbers)
    parts = {number: list(_parts(number)) for number in numbers}
    book = _Book(at, [part for some in parts.values() for _, part, _ in some])
    for number in numbers:
        total: int | None = 0
        reason = ""
        for sign, part, opens_until in parts[number]:
            value, why = book.read(part, opens_until)
            reason = reason or why
            total = None if total is None or value is None else total + sign * value
        yield Known(number, at, total, reason)


def _parts(number: Number) -> Iterator[tuple[int, Number, datetime | None]]:
    """The numbers that records keep of which this one is made, each with its sign.

    With a level that opens a range goes where the range ends.
    """
    if number.kind is Kind.LEVEL and number.until is None:
        raise InvalidInput(
            f"The {number} is counted live, and no record keeps it; ask for a level at an instant."
        )
    if number.kind in (Kind.UNEXPLAINED, Kind.RECLASSIFIED):
        level = replace(number, kind=Kind.LEVEL, since=None)
        yield from ((1, level, None), (-1, replace(level, until=number.since), number.until))
    if number.kind in (Kind.NET, Kind.UNEXPLAINED, Kind.RECLASSIFIED):
        sign = 1 if number.kind is Kind.NET else -1
        for way, kind in ((sign, Kind.INFLOW), (-sign, Kind.OUTFLOW)):
            yield way, replace(number, kind=kind), None
    else:
        yield 1, number, None


@dataclass
class _Then:
    """A record as it was: (count, subjects) by slice, and whether it had been computed.

    ``unsplit`` are the facets that a level should have been split by and wasn't; moves of a flow that doesn't have a
    facet are under ``(none)``. It may be the sum of those of successive ``periods``; then its subjects aren't known.
    """

    computed: bool
    values: dict[Slice, tuple[int, int | None]]
    unsplit: set[str] = field(default_factory=set)
    periods: int = 1

    def value(self, number: Number, told: Collection[str] | None = None) -> tuple[int | None, str]:
        """What it said of a number, and why nothing.

        ``told`` are the values of its facet of which moves don't count under ``(other)``, None where no others do.
        """
        if not self.computed:
            return None, NOT_YET
        if number.slice and number.slice[0][0] in self.unsplit:
            return None, NO_RECORD
        moves = number.kind is not Kind.LEVEL
        if number.measure == "count" and moves and number.slice:
            return self._moves_with(*number.slice[0], told), ""
        count, subjects = self.values.get(number.slice[0] if number.slice else WHOLE, (0, 0))
        return (count, "") if number.measure == "count" else (subjects, "")

    def _moves_with(self, facet: str, value: str, told: Collection[str] | None) -> int:
        """The moves of one value, as balances count them."""
        counts = {key: count for (slug, key), (count, _) in self.values.items() if slug == facet}
        if value == NONE:
            whole, _ = self.values.get(WHOLE, (0, 0))
            return whole - sum(count for key, count in counts.items() if key != NONE)
        if value == OTHER and told is not None:
            return sum(count for key, count in counts.items() if key not in told)
        return counts.get(value, 0)


def _summed(some: list[_Then]) -> _Then:
    """What records of one flow, source and sink said together."""
    if len(some) == 1:
        return some[0]
    counts: Counter[Slice] = Counter()
    for then in some:
        counts.update({key: count for key, (count, _) in then.values.items()})
    return _Then(
        computed=all(then.computed for then in some),
        values={key: (count, None) for key, count in counts.items()},
        periods=len(some),
    )


Range = tuple[Calendar, datetime | None, datetime | None, Measure]
"""What tells the stored periods that make up a number's range."""


class _Book:
    """The records that some numbers are read from, as they were."""

    def __init__(self, at: datetime, numbers: list[Number]) -> None:
        self.at = at
        self.facets = {facet for number in numbers for facet, _ in number.slice}
        self.records: dict[tuple[str, datetime | None], Anchor] = {}
        levels = [number for number in numbers if number.kind is Kind.LEVEL]
        self.levels = self._levels(levels) if levels else {}
        moves = [number for number in numbers if number.kind is not Kind.LEVEL]
        self.periods = {one: _periods(*one) for one in map(_range, moves)}
        self.declared: dict[str, set[str] | None] = {}
        self.sums: dict[Range, dict[Pair, _Then]] = {}
        wanted: dict[tuple[Calendar, Grain], set[Period]] = defaultdict(set)
        for (calendar, *_), periods in self.periods.items():
            for period in periods:
                wanted[calendar, period.grain].add(period)
        self.flows: dict[tuple[Calendar, Period], dict[Pair, _Then]] = {}
        for (calendar, _), some in wanted.items():
            self.flows |= self._moves(calendar, some, moves)

    def read(self, number: Number, opens_until: datetime | None = None) -> tuple[int | None, str]:
        """The number as it was, and why it wasn't known; of a level also until when the range goes that it opens."""
        if len(number.slice) > 1:
            return None, f"{NO_RECORD}: records keep each facet by itself"
        if number.kind is Kind.LEVEL:
            then = self._level(number, opens_until)
            return then.value(number) if then else (None, NO_RECORD)
        if number.kind is Kind.NETTED:
            return None, f"{NO_RECORD}: net moves are read from events"
        periods = self.periods[_range(number)]
        if not periods:
            of = "subjects of one stored period" if number.measure == "subjects" else "moves of whole days"
            return None, f"{NO_RECORD}: records keep {of}"
        records = self._sums(_range(number))
        totals = [records.get((slug, ALL, ALL)) for slug in _flows(number)]
        known = [then for then in totals if then and then.computed and then.periods == len(periods)]
        if not totals or len(known) < len(totals):
            return None, NOT_YET
        total, told = 0, self._told_apart(number)
        facet = number.slice[0][0] if number.slice else ""
        split = facet_of(number, facet)[1] if facet else ()
        for pair, then in records.items():
            if _is_of(number, pair):
                if pair[0] in split and facet in self._unsplit(then.values):
                    return None, NO_RECORD
                value, reason = then.value(number, told)
                if value is None:
                    return None, reason
                total += value
        return total, ""

    def _told_apart(self, number: Number) -> Collection[str] | None:
        """The values that don't count under ``(other)``, where the number is of those; one query for each facet."""
        if not number.slice or number.slice[0][1] != OTHER:
            return None
        facet, _ = facet_of(number, number.slice[0][0])
        if facet.slug not in self.declared:
            stocks = number.process.stocks if number.process else ()
            owner = number.flow or number.stock or next(one for one in stocks if facet in one.applied_facets)
            self.declared[facet.slug] = facet.declared_keys(owner.subject_model)
        declared = self.declared[facet.slug]
        return None if declared is None else {NONE, *declared, *number.apart}

    def _sums(self, of: Range) -> dict[Pair, _Then]:
        """The records of a range's periods by flow, source and sink, summed."""
        if of not in self.sums:
            found: dict[Pair, list[_Then]] = defaultdict(list)
            for period in self.periods[of]:
                for pair, then in self.flows[of[0], period].items():
                    found[pair].append(then)
            self.sums[of] = {pair: _summed(some) for pair, some in found.items()}
        return self.sums[of]

    def _level(self, number: Number, opens_until: datetime | None) -> _Then | None:
        """The record of a level; those that were carried back to before the capture began tell what began with it."""
        key = _slug(number), number.until
        record = self.records.get(key)
        if key in self.levels and (record is None or record.tells(record.at, opens_until)):
            return self.levels[key]
        before = _slug(number), _midnight(number)
        record = self.records.get(before)
        began_then = record is not None and not record.tells(record.at) and record.begun == number.until
        return self.levels.get(before) if began_then else None

    def _levels(self, numbers: list[Number]) -> dict[tuple[str, datetime | None], _Then]:
        slugs = {_slug(number) for number in numbers}
        instants = {at for number in numbers for at in (number.until, _midnight(number)) if at}
        records = StockRecord.objects.filter(stock__in=slugs, timestamp__in=instants)
        trackers = trackers_of({number.stock for number in numbers if number.stock})
        records = records.annotate(sf_told_since=told_since_of(trackers, records.db))
        names = "pk", "stock", "timestamp", "count", "computed_at", "method", "carried_from", "sf_told_since"
        found: dict[Any, tuple[datetime | None, dict[Slice, tuple[int, int | None]]]] = {}
        by_pk = {}
        for pk, slug, instant, count, computed_at, method, carried, told in records.order_by().values_list(
            *names
        ):
            self.records[slug, instant] = Anchor(instant, count, carried_from=carried, told_since=told)
            # When a level was imported isn't kept.
            since = instant if method == "counted" else computed_at
            by_pk[pk] = found[slug, instant] = since, {WHOLE: (count, None)}
        if self.facets:
            facets = StockFacetRecord.objects.filter(stock_record__in=by_pk, facet__in=self.facets).order_by()
            for pk, facet, value, count in facets.values_list("stock_record", "facet", "value", "count"):
                by_pk[pk][1][facet, value] = count, None
        restated = Restatement.objects.filter(kind="stock", slug__in=slugs, start__in=instants)
        told = self._as_they_were(found, restated, lambda one: (one.slug, one.start))
        return {key: replace(then, unsplit=self._unsplit(then.values)) for key, then in told.items()}

    def _moves(
        self, calendar: Calendar, periods: set[Period], numbers: list[Number]
    ) -> dict[tuple[Calendar, Period], dict[Pair, _Then]]:
        grain = next(iter(periods)).grain
        when = {"calendar": calendar.key, "grain": grain.value, "start__gte": min(periods).start}
        when |= {"start__lte": max(periods).start}
        flows = {slug for number in numbers for slug in _flows(number)}
        stocks = {stock.slug for number in numbers for stock in _stocks(number)}
        sides = Q(source__in=stocks) | Q(sink__in=stocks)
        records = FlowRecord.objects.filter(Q(flow__in=flows) | sides, **when).order_by()
        names = "pk", "start", "flow", "source", "sink", "computed_at", "count", "subjects"
        found: dict[Any, tuple[datetime | None, dict[Slice, tuple[int, int | None]]]] = {}
        by_pk = {}
        for pk, start, flow, source, sink, computed_at, *measures in records.values_list(*names):
            by_pk[pk] = found[start, (flow, source, sink)] = computed_at, {WHOLE: tuple(measures)}
        if self.facets:
            facets = FlowFacetRecord.objects.filter(
                flow_record__in=records.values("pk"), facet__in=self.facets
            )
            rows = facets.order_by().values_list("flow_record", "facet", "value", "count", "subjects")
            for pk, facet, value, *measures in rows:
                by_pk[pk][1][facet, value] = tuple(measures)
        restated = Restatement.objects.filter(Q(slug__in=flows) | sides, kind="flow", **when)
        told = self._as_they_were(found, restated, lambda one: (one.start, (one.slug, one.source, one.sink)))
        books: dict[tuple[Calendar, Period], dict[Pair, _Then]] = {(calendar, one): {} for one in periods}
        by_start = {one.start: books[calendar, one] for one in periods}
        for (start, pair), then in told.items():
            if start in by_start:
                by_start[start][pair] = then
        return books

    def _as_they_were(
        self,
        records: dict[Any, tuple[datetime | None, dict[Slice, tuple[int, int | None]]]],
        restated: QuerySet[Restatement],
        key_of: Callable[[Restatement], Any],
    ) -> dict[Any, _Then]:
        """The records taken back to ``at``: what was restated since has its first old number. One query."""
        since = {key: computed_at for key, (computed_at, _) in records.items()}
        values = {key: numbers for key, (_, numbers) in records.items()}
        for one in restated.filter(at__gt=self.at).order_by("-at", "-id"):
            key = key_of(one)
            since[key] = one.old_computed_at
            of = (one.facet, one.value) if one.facet else WHOLE
            values.setdefault(key, {})[of] = one.old_count, one.old_subjects
        return {
            key: _Then(computed is not None and computed <= self.at, values[key])
            for key, computed in since.items()
        }

    def _unsplit(self, values: dict[Slice, tuple[int, int | None]]) -> set[str]:
        nothing = not values.get(WHOLE, (0, 0))[0]
        return set() if nothing else self.facets - {facet for facet, _ in values}


def _slug(number: Number) -> str:
    return number.stock.slug if number.stock else ""


def _midnight(number: Number) -> datetime | None:
    """The last one up to the instant of a level."""
    calendar = _calendar(number)
    return number.until and calendar.midnight(calendar.local_date(number.until))


def _calendar(number: Number) -> Calendar:
    return number.calendar or (number.process.calendar if number.process else Calendar.default())


def _stocks(number: Number) -> list[Stock]:
    if number.stock is not None:
        return [number.stock]
    return list(number.process.stocks) if number.process and number.flow is None else []


def _flows(number: Number) -> list[str]:
    """The slugs of the flows whose total rows tell whether a period was computed."""
    if number.flow is not None:
        return [number.flow.slug]
    if number.stock is not None:
        return [flow.slug for flow in (*number.stock.inflows, *number.stock.outflows)]
    return [flow.slug for flow in number.process.flows] if number.process else []


def _is_of(number: Number, pair: Pair) -> bool:
    """Whether the record of that flow, source and sink is one of those that the number sums."""
    flow, source, sink = pair
    if number.stock is not None:
        return number.stock.slug == (sink if number.kind is Kind.INFLOW else source)
    if number.flow is not None and number.source == number.sink == ANY:
        return pair == (number.flow.slug, ALL, ALL)
    if source == ALL:
        return False
    known = [number.flow.slug] if number.flow else _flows(number)
    sides = number.source in (ANY, source) and number.sink in (ANY, sink)
    return sides and (flow in known) is (number.flow is not None)


def _range(number: Number) -> Range:
    return _calendar(number), number.since, number.until, number.measure


def _periods(
    calendar: Calendar, since: datetime | None, until: datetime | None, measure: Measure
) -> list[Period]:
    """The stored periods that make up a range, the coarsest where it is one; none where there are none."""
    if since is None or until is None:
        return []
    for grain in (Grain.DAY, Grain.WEEK, Grain.MONTH, Grain.QUARTER, Grain.YEAR):
        period = calendar.period(grain, since)
        if (period.start, period.end) == (since, until):
            return [period]
    if measure == "subjects" or not (is_midnight(since, calendar) and is_midnight(until, calendar)):
        return []
    return list(calendar.periods(Grain.DAY, since, until))
