"""Series: one number of a stock or a flow over successive periods, of which only those that are over are points."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from django.db import router
from django.db.models import Count, F, Q, QuerySet

from stockandflow.conf import conf
from stockandflow.declarations import Flow, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import (
    ALL,
    Definition,
    FlowRecord,
    Origin,
    StockRecord,
    Watermark,
    settled_moves,
    told_since,
    told_since_of,
)
from stockandflow.models.clock import snapshot
from stockandflow.periods import Calendar, Grain, Period, Status, checked_calendar, checked_range
from stockandflow.reports.events import moves_within, refuse_pruned, touching
from stockandflow.reports.hours import by_hour
from stockandflow.reports.levels import (
    between,
    live,
    nearest_to,
    recorded,
    tracker_of,
    trackers_of,
)
from stockandflow.reports.numbers import Number

Measure = Literal["count", "subjects", "rate"]
Aggregate = Literal["closing", "first", "mean", "min", "max"]

MOST_POINTS = 4000
"""Ten years of days."""
LONGEST_BY_HOUR = timedelta(days=31)
"""Hours aren't stored: they are counted from the events of the range."""


@dataclass(frozen=True)
class Point:
    """One number over ``start <= t < end``; ``status`` says whether it can still change.

    ``computed_at`` is when it was computed; None for a count and for what was read just now.
    """

    start: datetime
    end: datetime
    value: float
    status: Status
    computed_at: datetime | None = None
    since: datetime | None = None
    """Where a part alone was computed, as in the month in which a flow's events begin: from when on."""


@dataclass(frozen=True)
class Break:
    """From ``at`` on the stock or flow has meant something else, so that numbers on the two sides don't compare."""

    at: datetime
    text: str


@dataclass(frozen=True)
class Series:
    """The numbers of a stock or flow in a calendar's periods, in order. Iterating gives ``points``.

    ``points`` are periods that are over. The one under way is ``open``, so that nothing compares it with whole ones by
    accident, and periods that weren't computed, or not whole, are ``gaps``, never 0. Of those that were in part
    ``partial`` says what is known, and since when.
    """

    of: Stock | Flow
    measure: str
    """Of a flow ``count``, ``subjects`` or ``rate``; of a stock ``closing``, ``first``, ``mean``, ``min``, ``max``."""
    grain: Grain
    calendar: Calendar
    since: datetime
    until: datetime
    points: tuple[Point, ...]
    open: Point | None
    gaps: tuple[Period, ...]
    breaks: tuple[Break, ...]
    partial: tuple[Point, ...] = ()
    suppressed: bool = False
    """Whether its numbers are hidden, since one of them is too small to be told; all its periods are gaps then."""

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)

    def number(self, point: Point) -> Number:
        """The number of one point, for ``members`` and ``as_reported``; an open period closes with the level now.

        Raises InvalidInput for what is worked out of several numbers: ``rate``, ``mean``, ``min`` and ``max``.
        """
        if self.measure not in ("count", "subjects", "closing", "first"):
            raise InvalidInput(
                f"The {self.measure} of {self.of.slug!r} is worked out of several numbers, so that no one list is "
                f"behind it; ask for the numbers of a series of its {'counts' if self.measure == 'rate' else 'levels'}."
            )
        if isinstance(self.of, Flow):
            measure: Any = self.measure
            found = Number.of_flow(self.of, point.since or point.start, point.end, measure=measure)
        else:
            last = None if point is self.open else point.end
            found = Number.level(self.of, point.start if self.measure == "first" else last)
        return replace(found, calendar=self.calendar, value=int(point.value))


def series(
    of: Stock | Flow,
    since: datetime,
    until: datetime,
    grain: Grain | str,
    *,
    measure: Measure | None = None,
    aggregate: Aggregate | None = None,
    calendar: Calendar | None = None,
) -> Series:
    """The numbers of a stock or a flow in all periods that overlap ``since <= t < until``, whole ones.

    Of a flow, ``measure`` is the ``count`` of its moves, the ``subjects`` that made them, or the ``rate``: moves out
    of its source stocks, as a share of what these held when the period began. Of a stock, ``aggregate`` is the level
    at the end of each period (``closing``), at its beginning (``first``), or the ``mean``, ``min`` or ``max`` of its
    levels at the ends of the days; the level now stands for the end of an open period, and of today. ``calendar`` is
    the project's unless given.

    Read from records, days and coarser; where none stands, there is a gap. Hours are read from events, for 31 days at
    most. Raises InvalidInput for a range, grain, measure or aggregate that can't be. At most seven queries and those of
    the snapshot.
    """
    calendar = checked_calendar(calendar) or Calendar.default()
    since, until = checked_range(since, until)
    kind = _kind(of, measure, aggregate)
    periods = _periods(calendar, grain, since, until)
    wanted = periods[0].grain
    if wanted is Grain.HOUR and kind not in ("count", "subjects", "closing"):
        raise InvalidInput(f"{kind!r} isn't told by the hour; take grain 'day' or a coarser one.")
    if wanted is Grain.DAY and kind in ("mean", "min", "max"):
        raise InvalidInput(
            f"aggregate is {kind!r}, of the levels at the ends of days; take a grain above 'day'."
        )
    using = of.queryset.db if isinstance(of, Stock) else router.db_for_read(of.flow_event_model)
    if wanted is Grain.HOUR:
        refuse_pruned(_event_models(of), since)
    with snapshot(using) as now:
        return _Series(of, kind, calendar, periods, now).read()


def _event_models(of: Stock | Flow) -> set[type[Any]]:
    if isinstance(of, Stock):
        return of.registry.event_models_of(of) if of.is_registered else set()
    return {of.flow_event_model}


def _kind(of: Any, measure: str | None, aggregate: str | None) -> str:
    """What is measured; raises InvalidInput for what there isn't."""
    if isinstance(of, Process):
        raise InvalidInput(
            f"series() got the process {of.slug!r}; ask for one of its stocks or flows, or for the parts of "
            "balance(process, since, until, grain=…)."
        )
    if not isinstance(of, Stock | Flow):
        raise InvalidInput(f"series() got {of!r}; give a Stock or a Flow, e.g. registry.stock('active').")
    stock = isinstance(of, Stock)
    wrong, wanted, other = (measure, "aggregate", Aggregate) if stock else (aggregate, "measure", Measure)
    if wrong is not None:
        raise InvalidInput(
            f"{'measure' if stock else 'aggregate'} is {wrong!r}, but {of.slug!r} is a {'stock' if stock else 'flow'}; "
            f"write {wanted}, one of {', '.join(get_args(other))}."
        )
    kind = aggregate or "closing" if stock else measure or "count"
    if kind not in get_args(other):
        raise InvalidInput(f"{wanted} is {kind!r}; write one of {', '.join(get_args(other))}.")
    if kind == "rate" and isinstance(of, Flow) and not any(isinstance(one, Stock) for one in of.sources):
        raise InvalidInput(
            f"The flow {of.slug!r} has no source stock, so there is nothing to take its rate of; ask for its count."
        )
    return kind


def _periods(calendar: Calendar, grain: Grain | str, since: datetime, until: datetime) -> list[Period]:
    first = calendar.period(grain, since)  # type: ignore[arg-type]
    if first.grain is Grain.HOUR and until - since > LONGEST_BY_HOUR:
        raise InvalidInput(
            f"grain is 'hour' over {(until - since).days} days; hours are read from events, for "
            f"{LONGEST_BY_HOUR.days} days at most. Take a shorter range, or grain 'day'."
        )
    found = []
    for period in calendar.periods(first.grain, since, until):
        found.append(period)
        if len(found) > MOST_POINTS:
            raise InvalidInput(
                f"grain is {first.grain.value!r}, and the range has more than {MOST_POINTS} of these; take a coarser "
                "grain or a shorter range."
            )
    return found


class _Series:
    def __init__(
        self, of: Stock | Flow, kind: str, calendar: Calendar, periods: list[Period], now: datetime
    ) -> None:
        self.of, self.kind, self.calendar, self.now = of, kind, calendar, now
        self.grain = periods[0].grain
        self.since, self.until = periods[0].start, periods[-1].end
        self.closed = [period for period in periods if period.end <= now]
        self.running = next((period for period in periods if now in period), None)

    def read(self) -> Series:
        found = list(self._points())
        partial = [point for point in found if point.status is Status.PARTIAL]
        points = {point.start: point for point in found if point not in partial}
        running = points.pop(self.running.start, None) if self.running else None
        return Series(
            of=self.of,
            measure=self.kind,
            grain=self.grain,
            calendar=self.calendar,
            since=self.since,
            until=self.until,
            points=tuple(points[period.start] for period in self.closed if period.start in points),
            open=running,
            gaps=tuple(period for period in self.closed if period.start not in points),
            breaks=self._breaks(),
            partial=tuple(partial),
        )

    def _breaks(self) -> tuple[Break, ...]:
        kind = "stock" if isinstance(self.of, Stock) else "flow"
        known = Definition.objects.filter(kind=kind, slug=self.of.slug, since__lt=self.until)
        rows = list(known.order_by("since").values_list("since", "text"))
        return tuple(Break(at, text) for at, text in rows[1:] if at >= self.since)

    def _points(self) -> Iterable[Point]:
        if isinstance(self.of, Stock):
            levels = self._levels_by_hour if self.grain is Grain.HOUR else self._levels
            return levels(self.of)
        return self._moves_by_hour(self.of) if self.grain is Grain.HOUR else self._moves(self.of)

    def _status(self, period: Period, computed_at: datetime | None) -> Status:
        return Status.of(period.end, computed_at, self.now, conf().allowed_lateness)

    # Flows.

    def _moves(self, flow: Flow) -> Iterator[Point]:
        mark = self._mark(flow)
        if mark is None or mark.since is None or mark.until is None:
            return
        rows = FlowRecord.objects.filter(
            calendar=self.calendar.key,
            grain=self.grain,
            start__gte=self.since,
            start__lt=self.until,
            flow=flow.slug,
        ).order_by("start")
        totals: dict[datetime, tuple[Period, int, int, datetime]] = {}
        leaving: Counter[datetime] = Counter()
        sources = {one.slug for one in flow.sources if isinstance(one, Stock)}
        wanted = Q(source=ALL) | Q(source__in=sources) if self.kind == "rate" else Q(source=ALL)
        for source, start, end, number, subjects, computed_at in rows.filter(wanted).values_list(
            "source", "start", "end", "count", "subjects", "computed_at"
        ):
            if source == ALL and mark.since < end and (end <= mark.until or self.now < end):
                totals[start] = Period(start, end, self.grain), number, subjects, computed_at
            elif source != ALL:
                leaving[start] += number
        held = self._held(flow, list(totals)) if self.kind == "rate" else {}
        for start, (period, number, subjects, computed_at) in totals.items():
            value: float | None = subjects if self.kind == "subjects" else number
            since = mark.since if start < mark.since else None
            status = self._status(period, computed_at)
            if self.kind == "rate":
                value = leaving[start] / held[start] if held.get(start) and not since else None
            if since and status is not Status.IN_PROGRESS:
                status = Status.PARTIAL
            if value is not None:
                yield Point(start, period.end, value, status, computed_at, since)

    def _held(self, flow: Flow, starts: list[datetime]) -> dict[datetime, int]:
        """Instant → what the flow's source stocks held together, where all of them are known."""
        sources = [one for one in flow.sources if isinstance(one, Stock)]
        found: dict[datetime, list[int]] = defaultdict(list)
        for at, number in self._records(sources, starts).values_list("timestamp", "count"):
            found[at].append(number)
        return {at: sum(numbers) for at, numbers in found.items() if len(numbers) == len(set(sources))}

    def _moves_by_hour(self, flow: Flow) -> Iterator[Point]:
        events = flow.all().exclude(origin=Origin.INITIAL)
        measure = Count("subject", distinct=True) if self.kind == "subjects" else Count("pk")
        end = min(self.until, self.now)
        counts = {
            hour: number for hour, (number,) in by_hour(events, self.calendar, self.since, end, n=measure)
        }
        known = self._moves_known_since(flow)
        for period in self._begun():
            if period in counts or known is None or known < period.end:
                yield Point(period.start, period.end, counts.get(period, 0), self._status_of_read(period))

    def _mark(self, flow: Flow) -> Watermark | None:
        label = flow.flow_event_model._meta.label_lower
        return Watermark.objects.filter(event_model=label, calendar=self.calendar.key).first()

    def _moves_known_since(self, flow: Flow) -> datetime | None:
        """Since when there are records of its moves, else since when the capture tells of them; None if always."""
        mark = self._mark(flow)
        if mark is not None and mark.since is not None:
            return mark.since
        return max(told_since(trackers_of(flow.stocks)).values(), default=None)

    def _begun(self) -> list[Period]:
        return [*self.closed, *([self.running] if self.running else [])]

    def _status_of_read(self, period: Period) -> Status:
        """What was read from events just now may change until a recording makes it final, which none does for hours."""
        return Status.IN_PROGRESS if self.now < period.end else Status.PROVISIONAL

    # Stocks.

    def _levels(self, stock: Stock) -> Iterator[Point]:
        return self._levels_at_midnights(stock) if tracker_of(stock) else self._counts(stock)

    def _now(self, stock: Stock) -> tuple[int, ...]:
        """The level now, by which the period under way is told beside those recorded in it."""
        return (live([stock], self.now)[stock.slug].count,) if self.running else ()

    def _records(self, stocks: Collection[Stock], instants: Collection[datetime]) -> QuerySet[StockRecord]:
        """Those of these instants, of many also those between; but levels carried back to before the capture began."""
        rows = StockRecord.objects.filter(stock__in=[stock.slug for stock in stocks])
        if len(instants) > MOST_POINTS + 1:  # each is a parameter, of which SQLite takes 32,766
            rows = rows.filter(timestamp__gte=min(instants), timestamp__lte=max(instants))
        else:
            rows = rows.filter(timestamp__in=instants)
        rows = rows.annotate(sf_told_since=told_since_of(trackers_of(stocks), rows.db))
        carried_on = Q(carried_from=None) | Q(timestamp__gte=F("carried_from"))
        return rows.filter(carried_on | Q(sf_told_since=None) | Q(timestamp__gt=F("sf_told_since")))

    def _levels_at_midnights(self, stock: Stock) -> Iterator[Point]:
        pick: Callable[[Period], list[datetime]] = {
            "closing": lambda period: [period.end],
            "first": lambda period: [period.start],
        }.get(self.kind, self._ends_of_days)
        wanted = {period: [at for at in pick(period) if at <= self.now] for period in self._begun()}
        instants = {at for ones in wanted.values() for at in ones}
        rows = self._records([stock], instants)
        known = {at: (n, made) for at, n, made in rows.values_list("timestamp", "count", "computed_at")}
        now = () if self.kind == "first" else self._now(stock)
        for period, ones in wanted.items():
            if any(at not in known for at in ones):
                continue
            if period is self.running:
                numbers = (*(known[at][0] for at in ones), *now)
                yield Point(period.start, period.end, self._together(numbers), Status.IN_PROGRESS)
                continue
            numbers, made = zip(*(known[at] for at in ones), strict=True)
            computed_at = min((at for at in made if at is not None), default=None)
            status = Status.FINAL if computed_at is None else self._status(period, computed_at)
            yield Point(period.start, period.end, self._together(numbers), status, computed_at)

    def _ends_of_days(self, period: Period) -> list[datetime]:
        return [day.end for day in self.calendar.periods(Grain.DAY, period.start, period.end)]

    def _together(self, numbers: tuple[int, ...]) -> float:
        if self.kind == "mean":
            return sum(numbers) / len(numbers)
        if self.kind in ("min", "max"):
            return min(numbers) if self.kind == "min" else max(numbers)
        return numbers[0]

    def _counts(self, stock: Stock) -> Iterator[Point]:
        """By the counts within each period, the first or last of them, for a stock that no event carries."""
        rows = StockRecord.objects.filter(
            stock=stock.slug, timestamp__gt=self.since, timestamp__lte=min(self.until, self.now)
        ).order_by("timestamp")
        # Not by a cursor on the server, which an error of the count now would leave open.
        counted = iter(rows.values_list("timestamp", "count"))
        at, number = next(counted, (None, 0))
        now = self._now(stock)
        for period in self._begun():
            inside: list[int] = []
            while at is not None and at <= period.end:
                inside.append(number)
                at, number = next(counted, (None, 0))
            if period is self.running:
                inside += now
            if inside:
                numbers = (inside[-1],) if self.kind == "closing" else tuple(inside)
                status = self._status(period, self.now)
                yield Point(period.start, period.end, self._together(numbers), status)

    def _levels_by_hour(self, stock: Stock) -> Iterator[Point]:
        """From the nearest count on by the events, hour by hour."""
        tracker = tracker_of(stock)
        if tracker is None:
            yield from self._counts(stock)
            return
        known = recorded({stock: [self.since]}, [], self.now).get(stock.slug, [])
        anchor = nearest_to(self.since, known) or replace(
            live([stock], self.now)[stock.slug], told_since=told_since([tracker]).get(stock.slug)
        )
        late = settled_moves([stock], [] if anchor.recent is None else [anchor.at])
        level = anchor.settled(late, stock.slug).count
        nets: Counter[Period] = Counter()
        low, high = between(anchor, self.since)
        for model in stock.registry.event_models_of(stock):
            events = moves_within(model, None, None).filter(touching([stock.slug]))
            carried = events.filter(timestamp__gte=low, timestamp__lt=high).values_list("source", "sink")
            for source, sink, number in carried.annotate(n=Count("pk")):
                net = number * ((sink == stock.slug) - (source == stock.slug))
                level += net if anchor.at < self.since else -net
            end = min(self.until, self.now)
            for hour, (source, sink, number) in by_hour(
                events, self.calendar, self.since, end, "source", "sink", n=Count("pk")
            ):
                nets[hour] += number * ((sink == stock.slug) - (source == stock.slug))
        for period in self._begun():
            level += nets[period]
            if anchor.tells(period.end):
                held = self._now(stock)[0] if period is self.running else max(0, level)
                yield Point(period.start, period.end, held, self._status_of_read(period))
