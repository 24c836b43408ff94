"""Derived levels: what every tracked stock held at each local midnight, kept beside the counts.

A report over whole days then reads two records of a stock, and no events.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import cached_property

from django.db import router
from django.db.models import Min, Q

from stockandflow.conf import conf
from stockandflow.declarations import Stock
from stockandflow.models import LevelWatermark, Origin, StockRecord, Watermark, stored_events, told_since
from stockandflow.models.clock import snapshot
from stockandflow.periods import TICK, Calendar, Grain, aware
from stockandflow.recording.anchors import Known
from stockandflow.recording.carrying import Level, carried_facets, levels_at
from stockandflow.recording.counting import Counted
from stockandflow.recording.dirty import Asked
from stockandflow.recording.horizons import computable_since
from stockandflow.recording.keeping import Derived, Kept, keep
from stockandflow.recording.touches import COUNTS, LEVELS, News, joined
from stockandflow.registry import Registry
from stockandflow.spans import Span

TRIES = 5


def record_levels(
    registry: Registry,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    restate: bool = False,
) -> Kept:
    """Bring the derived levels up to date: one for every tracked stock and midnight.

    Derived are the midnights that are new, from ``since`` on where given, but none before the day of a stock's first
    event or count, nor before its first count where the capture began later than that; those that events or counts
    recorded since the last run concern; those that aren't final; with ``restate`` all in ``since <= t < until``, or all
    there are. Levels whose events were pruned stay as they are.
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
    nine, and those of ``levels_at`` for each time zone.
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
    """What one run reads, and which midnights it derives."""

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
        mark = self.watermarks.get(COUNTS)
        self.last_run = mark.computed_at if mark else None
        self.kept_since = {slug: self._kept_since(slug) for slug in self.slugs}
        self.reached: dict[tuple[str, str], Span] = {
            (mark.stock, mark.timezone): (mark.since, mark.until)
            for mark in LevelWatermark.objects.using(using).filter(stock__in=self.slugs)
        }
        self.records = StockRecord.objects.using(using).filter(stock__in=self.slugs).order_by()
        self.unseen_until = told_since(registry.trackers)
        self.news = News(at, self.watermarks)
        self.midnights: dict[str, list[datetime]] = {}

    def derive(self) -> Derived:
        for model in sorted({model for models in self.models.values() for model in models}, key=str):
            slugs = frozenset(slug for slug, models in self.models.items() if model in models)
            self.news.add_events(model, slugs)
        self.news.add_counts(frozenset(self.slugs), self.counted)
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
            after=self.last_run,
            levels=levels,
            touches=self.news.touches,
            marks=self.news.marks,
            reach={key: span for key, span in reach.items() if key[0] in known},
            facets={stock.slug: frozenset(carried_facets(stock)) for stock in self.stocks},
        )

    def _kept_since(self, slug: str) -> datetime | None:
        """From when on the events tell the stock's levels, None for ever; those before stay as they are."""
        marks = (self.watermarks.get(model._meta.label_lower) for model in self.models[slug])
        horizon = max((mark.horizon for mark in marks if mark and mark.horizon), default=None)
        found = (computable_since(calendar, horizon) for calendar in self.zones[slug])
        return min((at for at in found if at is not None), default=None)

    @cached_property
    def first_counts(self) -> dict[str, datetime]:
        """Slug → the first count. One query, for stocks whose subjects have a past that no event tells."""
        counts = self.records.exclude(method="derived").filter(stock__in=list(self.unseen_until))
        return dict(counts.values_list("stock").annotate(first=Min("timestamp")))

    def _kept(self, stock: Stock, midnights: set[datetime]) -> set[datetime]:
        """Those whose levels the events still tell."""
        since = self.kept_since[stock.slug]
        return midnights if since is None else {at for at in midnights if at >= since}

    def _unfinished(self) -> Iterator[tuple[Stock, str, Span, list[datetime]]]:
        """Of each stock and time zone how far its levels will reach, and the midnights among these to be derived.

        Those are the ones that are new, that aren't final yet, and that were asked for.
        """
        unmarked = {
            slug
            for slug in self.slugs
            if any((slug, calendar.timezone) not in self.reached for calendar in self.zones[slug])
        }
        begun = self._begun(unmarked if self.asked.since is None else self.slugs)
        for slug in begun.keys() & unmarked:
            self.news.begin([slug], begun[slug])
        open_since = None if self.last_run is None else self.last_run - conf().allowed_lateness
        for stock in self.stocks:
            for calendar in self.zones[stock.slug]:
                known = self.reached.get((stock.slug, calendar.timezone))
                start = self._start(stock.slug, calendar, known, begun.get(stock.slug))
                if start is None or start > self.at:
                    continue
                every = self._midnights(calendar, start)
                parts = [(start, self.at)]
                if known is not None:
                    parts = [(start, known[0] - TICK), (min(known[1], open_since or known[1]), self.at)]
                if self.asked.restate:
                    parts.append((self.asked.since or start, (self.asked.until or self.at) - TICK))
                wanted = [at for low, high in parts for at in _between(every, max(low, start), high)]
                yield stock, calendar.timezone, (start, every[-1]), wanted

    def _start(
        self, slug: str, calendar: Calendar, known: Span | None, begun: datetime | None
    ) -> datetime | None:
        """The first midnight that the stock's levels will have, None where nothing tells any."""
        starts = [at for at in (self.news.first.get(slug), known and known[0]) if at]
        if self.asked.since is not None and begun is not None:
            starts.append(max(self.asked.since, begun))
        if not starts:
            return None
        start = calendar.midnight(calendar.local_date(min(starts)))
        unseen_until = self.unseen_until.get(slug)
        if unseen_until is not None and start <= unseen_until:
            # No event says what came before the capture began, so that a level is carried on only, from a count; but
            # whole days are to open with a level.
            start = calendar.period(Grain.DAY, unseen_until).start
            if (first := self.first_counts.get(slug)) is not None:
                start = min(start, calendar.period(Grain.DAY, first).end)
        kept_since = self.kept_since[slug]
        if kept_since is not None:
            start = max(start, kept_since)
        return min(start, known[0]) if known else start

    def _midnights(self, calendar: Calendar, start: datetime) -> list[datetime]:
        """All midnights of the calendar from ``start`` until now."""
        found = self.midnights.get(calendar.timezone)
        if found is None or found[0] > start:
            days = calendar.periods(Grain.DAY, start, self.at + TICK)
            found = self.midnights[calendar.timezone] = [day.start for day in days]
        return found[bisect_left(found, start) :]

    def _begun(self, slugs: Collection[str]) -> dict[str, datetime]:
        """Slug → the first event or count that tells the stock's level. One query for each event model, and one."""
        found: dict[str, datetime] = {}
        if not slugs:
            return found
        for model in {model for slug in slugs for model in self.models[slug]}:
            moves = stored_events(model).exclude(origin=Origin.INITIAL)
            first = moves.aggregate(first=Min("timestamp"))["first"]
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
        touches = joined(self.news.touches)
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


def _between(ordered: Sequence[datetime], low: datetime, high: datetime) -> Sequence[datetime]:
    return ordered[bisect_left(ordered, low) : bisect_right(ordered, high)]
