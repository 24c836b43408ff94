"""Derived levels: what every tracked stock held at each local midnight, kept beside the counts.

A report over whole days then reads two records of a stock, and no events.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from django.db import router
from django.db.models import F, Max, Min, Q, QuerySet
from django.db.models.functions import TruncDate
from django.utils.translation import gettext_noop

from stockandflow.batches import batched
from stockandflow.conf import conf
from stockandflow.declarations import Stock
from stockandflow.models import (
    LevelWatermark,
    Origin,
    Restatement,
    StockFacetRecord,
    StockRecord,
    Watermark,
)
from stockandflow.models.clock import SETTLING, snapshot, writing
from stockandflow.periods import Calendar, Grain, Status, aware
from stockandflow.recording.carrying import Facets, Known, Level, carried_facets, levels_at
from stockandflow.recording.counting import Counted
from stockandflow.recording.dirty import CAUSES, CHANGED, LAG, RECOMPUTED, TICK, Asked, settled
from stockandflow.recording.horizons import computable_since
from stockandflow.registry import Registry
from stockandflow.spans import Span, covering, stretches, within

LEVELS = ""
"""The calendar of the watermarks up to which the derived levels of all calendars have read the events."""
COUNTS = StockRecord._meta.label_lower
"""The watermark's event model for the counts that they have read."""
OTHER_COUNT = gettext_noop("another count")
TRIES = 5
AT_ONCE = 1000


@dataclass(frozen=True)
class _Touch:
    """Events or counts that are new, between their first and last instant, and the stocks whose levels they concern.

    An event changes the levels carried over it; within SETTLING before a count, also those carried from that. A count
    changes those carried over it, and those carried back to before it from a later one.
    """

    slugs: frozenset[str]
    low: datetime
    high: datetime
    cause: str

    def concerns(self, slug: str, at: datetime, carried_from: datetime) -> bool:
        if slug not in self.slugs:
            return False
        if self.low < at and carried_from <= self.high + SETTLING:
            return True
        return carried_from > max(self.low, at) and (at <= self.high or self.cause == OTHER_COUNT)

    @property
    def forward(self) -> Q:
        return Q(stock__in=self.slugs, timestamp__gt=self.low, carried_from__lte=self.high + SETTLING)

    @property
    def back(self) -> Q:
        over = Q(stock__in=self.slugs, carried_from__gt=self.low)
        return over & (
            Q(carried_from__gt=F("timestamp")) if self.cause == OTHER_COUNT else Q(timestamp__lte=self.high)
        )


@dataclass(frozen=True)
class _Mark:
    """What a run has read of one event model, or of the counts: up to ``last``, and all changed in place."""

    event_model: str
    last: int
    anew_since: datetime | None = None


@dataclass(frozen=True)
class Derived:
    """Levels derived as of one instant, and not kept yet. ``after`` is the instant of the run before, if any."""

    at: datetime
    after: datetime | None
    levels: Mapping[Known, Level]
    touches: Sequence[_Touch]
    marks: Sequence[_Mark]
    reach: Mapping[tuple[str, str], Span] = field(default_factory=dict)
    facets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Stock slug → the facets whose values are carried."""

    def cause(self, slug: str, at: datetime, carried_from: datetime | None) -> str:
        """Why a level changed, as far as the new events and counts tell it."""
        causes = (
            touch.cause
            for touch in self.touches
            if carried_from is not None and touch.concerns(slug, at, carried_from)
        )
        return ", ".join(dict.fromkeys(causes)) or RECOMPUTED


@dataclass(frozen=True)
class Kept:
    """How many levels a run wrote that are new or changed, and how many final numbers, of facet values too, changed."""

    written: int = 0
    restated: int = 0


def record_levels(
    registry: Registry,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    restate: bool = False,
) -> Kept:
    """Bring the derived levels up to date: one for every tracked stock and midnight.

    Derived are the midnights that are new, from ``since`` on where given, but none before the day of a stock's first
    event or count; those that events or counts recorded since the last run concern; those that aren't final; with
    ``restate`` all in ``since <= t < until``, or all there are. Levels whose events were pruned stay as they are.
    """
    for _ in range(TRIES):
        derived = derive(registry, since=since, until=until, restate=restate)
        if derived is None:
            return Kept()
        kept = keep(derived)
        if kept is not None:
            return kept
    return Kept()  # others are at it all the time, and what they leave is taken up by the next run


def derive(
    registry: Registry,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    restate: bool = False,
    counted: Counted | None = None,
) -> Derived | None:
    """Derive the levels that a run must bring up to date, and write nothing; None where no stock is tracked.

    ``counted`` are counts to be stored in the transaction that keeps the levels. Queries: three for each event model,
    eight, and those of ``levels_at`` for each time zone.
    """
    stocks = [stock for stock in registry.stocks if registry.tracker_of(stock) is not None]
    if not stocks:
        return None
    event_models = {model for stock in stocks for model in registry.event_models_of(stock)}
    with ExitStack() as stack:
        databases = sorted({router.db_for_read(model) for model in event_models})
        at = min([stack.enter_context(snapshot(using)) for using in databases])
        asked = Asked(aware(since) if since else None, aware(until) if until else None, restate)
        return _Run(registry, stocks, at, counted, asked).derive()


class _Run:
    """What one run reads."""

    def __init__(
        self,
        registry: Registry,
        stocks: Sequence[Stock],
        at: datetime,
        counted: Counted | None,
        asked: Asked,
    ) -> None:
        self.stocks, self.at, self.counted, self.asked = stocks, at, counted, asked
        self.slugs = [stock.slug for stock in stocks]
        self.zones = _zones(registry, stocks)
        self.models = {stock.slug: registry.event_models_of(stock) for stock in stocks}
        using = router.db_for_write(StockRecord)
        self.watermarks = {
            mark.event_model: mark for mark in Watermark.objects.using(using).filter(calendar=LEVELS)
        }
        self.counts_mark = self.watermarks.get(COUNTS)
        self.kept_since = {slug: self._kept_since(slug) for slug in self.slugs}
        self.reached: dict[tuple[str, str], Span] = {
            (mark.stock, mark.timezone): (mark.since, mark.until)
            for mark in LevelWatermark.objects.using(using).filter(stock__in=self.slugs)
        }
        self.records = StockRecord.objects.using(using).filter(stock__in=self.slugs).order_by()
        self.touches: list[_Touch] = []
        self.marks: list[_Mark] = []
        self.first: dict[str, datetime] = {}

    def derive(self) -> Derived:
        for model in sorted({model for models in self.models.values() for model in models}, key=str):
            self._read_events(model)
        self._read_counts()
        wanted: dict[str, dict[Stock, set[datetime]]] = defaultdict(lambda: defaultdict(set))
        reach: dict[tuple[str, str], Span] = {}
        for stock, timezone, span, midnights in self._unfinished():
            reach[stock.slug, timezone] = span
            wanted[timezone][stock].update(midnights)
        for stock, timezone, at in self._touched():
            wanted[timezone][stock].add(at)
        levels: dict[Known, Level] = {}
        for timezone, of_stocks in wanted.items():
            kept = {stock: self._kept(stock, midnights) for stock, midnights in of_stocks.items()}
            levels |= levels_at(kept, Calendar(timezone), self.counted)
        known = {slug for slug, _ in levels}
        return Derived(
            at=self.at,
            after=self.counts_mark.computed_at if self.counts_mark else None,
            levels=levels,
            touches=self.touches,
            marks=self.marks,
            reach={key: span for key, span in reach.items() if key[0] in known},
            facets={stock.slug: carried_facets(stock) for stock in self.stocks},
        )

    def _kept_since(self, slug: str) -> datetime | None:
        """From when on the events tell the stock's levels, None for ever; those before stay as they are."""
        marks = (self.watermarks.get(model._meta.label_lower) for model in self.models[slug])
        horizon = max((mark.horizon for mark in marks if mark and mark.horizon), default=None)
        found = (computable_since(calendar, horizon) for calendar in self.zones[slug])
        return min((at for at in found if at is not None), default=None)

    def _kept(self, stock: Stock, midnights: set[datetime]) -> set[datetime]:
        """Those whose levels the events still tell."""
        since = self.kept_since[stock.slug]
        return midnights if since is None else {at for at in midnights if at >= since}

    def _read_events(self, model: type[Any]) -> None:
        """The events that are new, and where they are in time; those of the last LAG are read again next time."""
        label, mark = model._meta.label_lower, self.watermarks.get(model._meta.label_lower)
        slugs = frozenset(slug for slug, found in self.models.items() if model in found)
        rows: QuerySet[Any] = model._default_manager.using(router.db_for_read(model)).order_by()
        fresh = rows.filter(pk__gt=mark.event_id if mark else 0)
        moves = fresh.exclude(origin=Origin.INITIAL).annotate(sf_day=TruncDate("timestamp", tzinfo=UTC))
        found: dict[tuple[str, Any, str], Span] = {}
        for source, sink, origin, day, low, high in moves.values_list(
            "source", "sink", "origin", "sf_day"
        ).annotate(low=Min("timestamp"), high=Max("timestamp")):
            for slug in {source, sink} & slugs:
                before = found.get((slug, day, origin), (low, high))
                found[slug, day, origin] = min(low, before[0]), max(high, before[1])
        self.touches += [
            _Touch(frozenset({slug}), *span, CAUSES.get(origin, RECOMPUTED))
            for (slug, _, origin), span in found.items()
        ]
        if found:
            self._begin(slugs, min(low for low, _ in found.values()))
        anew_since = mark.anew_since if mark else None
        if anew_since is not None:
            self.touches.append(_Touch(slugs, anew_since, self.at, CHANGED))
            self._begin(slugs, anew_since)
        recent = Q(recorded_at__gte=self.at - LAG)
        self.marks.append(_Mark(label, settled(fresh, recent, mark), anew_since))

    def _read_counts(self) -> None:
        mark = self.counts_mark
        # Of all stocks: asked for these, SQLite would look through all that they have.
        counts = StockRecord.objects.using(self.records.db).exclude(method="derived").order_by()
        fresh = counts.filter(pk__gt=mark.event_id if mark else 0)
        ends = fresh.values_list("stock").annotate(low=Min("timestamp"), high=Max("timestamp"))
        spans = {slug: (low, high) for slug, low, high in ends if slug in self.models}
        if self.counted is not None:
            at = self.counted.at
            for slug in {count.slug for count in self.counted.counts} & self.models.keys():
                low, high = spans.get(slug, (at, at))
                spans[slug] = min(low, at), max(high, at)
        by_span: dict[Span, set[str]] = defaultdict(set)
        for slug, span in spans.items():
            by_span[span].add(slug)
            self._begin([slug], span[0])
        self.touches += [_Touch(frozenset(slugs), *span, OTHER_COUNT) for span, slugs in by_span.items()]
        recent = Q(timestamp__gte=self.at - LAG)
        self.marks.append(_Mark(COUNTS, settled(fresh, recent, mark)))

    def _begin(self, slugs: Iterable[str], at: datetime) -> None:
        for slug in slugs:
            self.first[slug] = min(at, self.first.get(slug, at))

    def _unfinished(self) -> Iterator[tuple[Stock, str, Span, list[datetime]]]:
        """Of each stock and time zone how far its levels will reach, and the midnights among these to be derived.

        Those are the ones that are new, that aren't final yet, and that were asked for.
        """
        unmarked = [
            slug
            for slug in self.slugs
            if any((slug, calendar.timezone) not in self.reached for calendar in self.zones[slug])
        ]
        begun = self._begun(unmarked if self.asked.since is None else self.slugs)
        for slug in begun.keys() & set(unmarked):
            self._begin([slug], begun[slug])
        last_run = self.counts_mark.computed_at if self.counts_mark else None
        open_since = None if last_run is None else last_run - conf().allowed_lateness
        midnights: dict[str, list[datetime]] = {}
        for stock in self.stocks:
            for calendar in self.zones[stock.slug]:
                known = self.reached.get((stock.slug, calendar.timezone))
                starts = [at for at in (self.first.get(stock.slug), known and known[0]) if at]
                if self.asked.since is not None and stock.slug in begun:
                    starts.append(max(self.asked.since, begun[stock.slug]))
                if not starts:
                    continue
                start = calendar.midnight(calendar.local_date(min(starts)))
                kept_since = self.kept_since[stock.slug]
                if kept_since is not None and start < kept_since:
                    start = min(kept_since, known[0]) if known else kept_since
                if start > self.at:
                    continue
                every = _midnights(midnights, calendar, start, self.at)
                parts = [(start, self.at)]
                if known is not None:
                    parts = [(start, known[0] - TICK), (min(known[1], open_since or known[1]), self.at)]
                if self.asked.restate:
                    parts.append((self.asked.since or start, (self.asked.until or self.at) - TICK))
                wanted = [at for low, high in parts for at in _between(every, max(low, start), high)]
                yield stock, calendar.timezone, (start, every[-1]), wanted

    def _begun(self, slugs: Sequence[str]) -> dict[str, datetime]:
        """Slug → the first event or count that tells the stock's level. One query for each event model, and one."""
        found: dict[str, datetime] = {}
        if not slugs:
            return found
        for model in {model for slug in slugs for model in self.models[slug]}:
            rows: QuerySet[Any] = model._default_manager.using(router.db_for_read(model)).order_by()
            first = rows.exclude(origin=Origin.INITIAL).aggregate(first=Min("timestamp"))["first"]
            if first is not None:
                found |= {
                    slug: min(first, found.get(slug, first)) for slug in slugs if model in self.models[slug]
                }
        counts = self.records.exclude(method="derived").filter(stock__in=slugs)
        for slug, first in counts.values_list("stock").annotate(first=Min("timestamp")):
            found[slug] = min(first, found.get(slug, first))
        return found

    def _touched(self) -> Iterator[tuple[Stock, str, datetime]]:
        """The levels that the new events and counts concern, with the time zone of their midnight."""
        stocks = {stock.slug: stock for stock in self.stocks}
        zones: dict[str, list[Calendar]] = defaultdict(list)
        for slug, timezone in self.reached:
            zones[slug].append(Calendar(timezone))
        touches = _joined(self.touches)
        if not touches:
            return
        low = min(touch.low for touch in touches)
        ours = self.records.filter(method="derived", carried_from__isnull=False)
        # What all of them imply leads a database to the recent end of an index.
        for all_of_them, conditions in (
            (Q(timestamp__gt=low), [touch.forward for touch in touches]),
            (Q(carried_from__gt=low), [touch.back for touch in touches]),
        ):
            found = ours.filter(all_of_them, Q(*conditions, _connector=Q.OR))
            for slug, at in found.values_list("stock", "timestamp"):
                for calendar in zones[slug]:
                    if calendar.midnight(calendar.local_date(at)) == at:
                        yield stocks[slug], calendar.timezone, at
                        break


def _zones(registry: Registry, stocks: Sequence[Stock]) -> dict[str, list[Calendar]]:
    """Stock slug → a calendar for each time zone in which its midnights are wanted."""
    default = Calendar.default()
    found = {stock.slug: {default.timezone: default} for stock in stocks}
    for process in registry.processes:
        for stock in process.stocks:
            if stock.slug in found:
                found[stock.slug].setdefault(process.calendar.timezone, process.calendar)
    return {slug: list(calendars.values()) for slug, calendars in found.items()}


def _midnights(
    known: dict[str, list[datetime]], calendar: Calendar, start: datetime, until: datetime
) -> list[datetime]:
    """All midnights of the calendar in ``start <= t <= until``; ``known`` remembers them by time zone."""
    found = known.get(calendar.timezone)
    if found is None or found[0] > start:
        days = calendar.periods(Grain.DAY, start, until + TICK)
        found = known[calendar.timezone] = [day.start for day in days]
    return found[bisect_left(found, start) :]


def _between(ordered: Sequence[datetime], low: datetime, high: datetime) -> Sequence[datetime]:
    return ordered[bisect_left(ordered, low) : bisect_right(ordered, high)]


def _joined(touches: Sequence[_Touch]) -> list[_Touch]:
    """Touches that hold all of these, few enough for one query."""
    found: list[_Touch] = []
    counts = [touch for touch in touches if touch.cause == OTHER_COUNT]
    events = [touch for touch in touches if touch.cause != OTHER_COUNT]
    for alike in (counts, events):
        spans = covering((touch.low, touch.high) for touch in alike) if alike else []
        for low, high in spans:
            here = [touch for touch in alike if touch.low <= high and touch.high >= low]
            slugs = frozenset().union(*(touch.slugs for touch in here))
            found.append(_Touch(slugs, low, high, here[0].cause))
    return found


def keep(derived: Derived) -> Kept | None:
    """Write what differs from the levels that are kept, in one transaction.

    A count of the very instant stays. A final level that changes becomes a new revision and leaves a restatement.
    None, and nothing is written, where another run was quicker: what this one read is older. At most 12 queries, and
    one more for every 1,000 records.
    """
    using = router.db_for_write(StockRecord)
    with writing(using):
        marks = Watermark.objects.using(using)
        mark, _ = marks.get_or_create(event_model=COUNTS, calendar=LEVELS)
        if marks.select_for_update().get(pk=mark.pk).computed_at != derived.after:
            return None
        kept = _Difference(derived, using).write()
        _advance(derived, using)
        marks.filter(pk=mark.pk).update(computed_at=derived.at)
    return kept


def _advance(derived: Derived, using: str) -> None:
    """Note what was read, and how far the levels reach."""
    marks = Watermark.objects.using(using)
    for mark in derived.marks:
        row, _ = marks.get_or_create(event_model=mark.event_model, calendar=LEVELS)
        marks.filter(pk=row.pk, event_id__lt=mark.last).update(event_id=mark.last)
        if mark.anew_since is not None:
            # Unless another import asked for more meanwhile.
            marks.filter(pk=row.pk, anew_since=mark.anew_since).update(anew_since=None)
    reach = LevelWatermark.objects.using(using)
    known = {
        (one.stock, one.timezone): one for one in reach.filter(stock__in={slug for slug, _ in derived.reach})
    }
    moved = []
    for key, (since, until) in derived.reach.items():
        one = known.get(key) or LevelWatermark(stock=key[0], timezone=key[1])
        if (one.since, one.until) != (since, until):
            one.since, one.until = since, until
            moved.append(one)
    reach.bulk_create([one for one in moved if one.pk is None])
    reach.bulk_update([one for one in moved if one.pk is not None], ["since", "until"])


class _Difference:
    """The levels of a run beside those that are kept."""

    def __init__(self, derived: Derived, using: str) -> None:
        self.derived, self.using = derived, using
        self.lateness = conf().allowed_lateness
        self.old: dict[Known, StockRecord] = {}
        self.old_facets: dict[int, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
        if derived.levels:
            self._read()

    def _read(self) -> None:
        windows = within(stretches(at for _, at in self.derived.levels))
        slugs = {slug for slug, _ in self.derived.levels}
        records = StockRecord.objects.using(self.using).filter(windows, stock__in=slugs).order_by()
        self.old = {(one.stock, one.timestamp): one for one in records}
        ours = records.filter(method="derived").values("pk")
        facets = StockFacetRecord.objects.using(self.using).filter(stock_record__in=ours).order_by("id")
        for pk, facet, value, count in facets.values_list("stock_record", "facet", "value", "count"):
            self.old_facets[pk][facet][value] = count

    def write(self) -> Kept:
        """Write the new and the changed records, and tell of the others that they were derived anew."""
        same: list[int] = []
        changed: list[StockRecord] = []
        emptied: list[int] = []
        facets: dict[Known, Mapping[str, Mapping[str, int]]] = {}
        restated: list[Restatement] = []
        for key, derived in self.derived.levels.items():
            old = self.old.get(key)
            if old is not None and (old.method != "derived" or old.carried_from is None):
                continue  # a count, or a level that the project has brought
            final = old if old and self._is_final(old) else None
            before = self.old_facets.get(old.pk, {}) if old else {}
            level = replace(derived, facets={**self._past_facets(key[0], before), **derived.facets})
            if old and (old.count, old.carried_from, before) == (
                level.count,
                level.carried_from,
                level.facets,
            ):
                if final is None:
                    same.append(old.pk)
                continue
            restatements = list(self._restatements(key, level, final, before)) if final else []
            restated += restatements
            # A final number that stands keeps since when it has stood.
            stands = final.computed_at if final and not restatements else None
            revision = old.revision + bool(restatements) if old else 1
            changed.append(self._record(key, level, stands or self.derived.at, revision))
            if before != level.facets:
                facets[key] = level.facets
                emptied += [old.pk] if old and before else []
        records = StockRecord.objects.using(self.using)
        for pks in batched(same, AT_ONCE):
            records.filter(pk__in=pks).update(computed_at=self.derived.at)
        for pks in batched(emptied, AT_ONCE):
            StockFacetRecord.objects.using(self.using).filter(stock_record__in=pks).delete()
        StockRecord.objects.db_manager(self.using).put(changed)
        self._write_facets(facets)
        Restatement.objects.using(self.using).bulk_create(restated, batch_size=AT_ONCE)
        return Kept(len(changed), len(restated))

    def _past_facets(self, slug: str, before: Facets) -> Facets:
        """Those of these facets that the stock doesn't have any more: what was known of them stays."""
        return {
            facet: values
            for facet, values in before.items()
            if facet not in self.derived.facets.get(slug, ())
        }

    def _is_final(self, old: StockRecord) -> bool:
        return Status.of(old.timestamp, old.computed_at, self.derived.at, self.lateness) is Status.FINAL

    @staticmethod
    def _record(key: Known, level: Level, computed_at: datetime, revision: int) -> StockRecord:
        return StockRecord(
            stock=key[0],
            timestamp=key[1],
            count=level.count,
            method="derived",
            computed_at=computed_at,
            carried_from=level.carried_from,
            revision=revision,
        )

    def _write_facets(self, facets: Mapping[Known, Mapping[str, Mapping[str, int]]]) -> None:
        known = {key: values for key, values in facets.items() if values}
        if not known:
            return
        windows = within(stretches(at for _, at in known))
        records = StockRecord.objects.using(self.using).filter(windows, method="derived")
        keys = records.filter(stock__in={slug for slug, _ in known}).values_list("stock", "timestamp", "pk")
        StockFacetRecord.objects.using(self.using).bulk_create(
            [
                StockFacetRecord(stock_record_id=pk, facet=facet, value=value, count=count)
                for slug, at, pk in keys
                for facet, values in known.get((slug, at), {}).items()
                for value, count in values.items()
            ],
            batch_size=AT_ONCE,
        )

    def _restatements(
        self, key: Known, level: Level, old: StockRecord, before: Mapping[str, Mapping[str, int]]
    ) -> Iterator[Restatement]:
        """What changes of a final level: the count, and the values of those facets that were known.

        A facet whose values aren't known any more, as after late events that kept none, is restated to None.
        """
        slug, at = key
        numbers: dict[tuple[str, str], tuple[int, int | None]] = {("", ""): (old.count, level.count)}
        for facet, known in before.items():
            now = level.facets.get(facet)
            for value in known.keys() | (now or {}).keys():
                numbers[facet, value] = known.get(value, 0), None if now is None else now.get(value, 0)
        cause = self.derived.cause(slug, at, old.carried_from)
        for (facet, value), (old_count, new_count) in sorted(numbers.items()):
            if old_count != new_count:
                yield Restatement(
                    kind="stock",
                    slug=slug,
                    start=at,
                    end=at,
                    facet=facet,
                    value=value,
                    revision=old.revision + 1,
                    old_count=old_count,
                    new_count=new_count,
                    old_computed_at=old.computed_at,
                    at=self.derived.at,
                    cause=cause,
                )
