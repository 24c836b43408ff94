"""Touches: what is new among events and counts since the levels read them last, and which levels that concerns."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from django.db import router
from django.db.models import F, Max, Min, Q
from django.db.models.functions import TruncDate
from django.utils.translation import gettext_noop

from stockandflow.models import Origin, StockRecord, Watermark, stored_events
from stockandflow.models.clock import SETTLING
from stockandflow.recording.counting import Counted
from stockandflow.recording.dirty import CAUSES, CHANGED, LAG, RECOMPUTED, settled
from stockandflow.spans import Span, covering

LEVELS = ""
"""The calendar of the watermarks up to which the derived levels of all calendars have read the events."""
COUNTS = StockRecord._meta.label_lower
"""The watermark's event model for the counts that they have read."""
OTHER_COUNT = gettext_noop("another count")


@dataclass(frozen=True)
class Touch:
    """Events or counts that are new, between their first and last instant, and the stocks whose levels they concern.

    An event changes the levels carried over it; within SETTLING before a count, also those carried from that. A count
    changes those carried over it, and those carried back to before it from a later one.
    """

    slugs: frozenset[str]
    low: datetime
    high: datetime
    cause: str

    @property
    def forward(self) -> Q:
        return Q(stock__in=self.slugs, timestamp__gt=self.low, carried_from__lte=self.high + SETTLING)

    @property
    def back(self) -> Q:
        over = Q(stock__in=self.slugs, carried_from__gt=self.low)
        return over & (
            Q(carried_from__gt=F("timestamp")) if self.cause == OTHER_COUNT else Q(timestamp__lte=self.high)
        )


class Causes:
    """Why levels change, by the touches of each stock and cause: found in a time that grows with their logarithm."""

    def __init__(self, touches: Iterable[Touch]) -> None:
        spans: dict[str, dict[str, list[Span]]] = defaultdict(lambda: defaultdict(list))
        for touch in touches:
            for slug in touch.slugs:
                spans[slug][touch.cause].append((touch.low, touch.high))
        self.of: dict[str, dict[str, tuple[list[datetime], list[datetime]]]] = {}
        """Slug → cause → when its touches begin, in order, and the last end of those until each."""
        for slug, causes in spans.items():
            self.of[slug] = {}
            for cause, found in causes.items():
                lows, highs = zip(*sorted(found), strict=True)
                self.of[slug][cause] = list(lows), list(accumulate(highs, max))

    def concerning(self, slug: str, at: datetime, carried_from: datetime) -> Iterator[str]:
        """The causes whose touches concern the level of the stock at ``at`` that is carried from a count."""
        for cause, (lows, highs) in self.of.get(slug, {}).items():
            forward, back = bisect_left(lows, at), bisect_left(lows, carried_from)
            if (forward and highs[forward - 1] >= carried_from - SETTLING) or (
                back and carried_from > at and (cause == OTHER_COUNT or highs[back - 1] >= at)
            ):
                yield cause


@dataclass(frozen=True)
class Mark:
    """What a run has read of one event model, or of the counts: up to ``last``, and all changed in place."""

    event_model: str
    last: int
    anew_since: datetime | None = None
    version: int = 0


class News:
    """What is read as of ``at``; ``first`` is stock slug → the first instant at which this tells the stock's level."""

    def __init__(self, at: datetime, watermarks: Mapping[str, Watermark]) -> None:
        self.at, self.watermarks = at, watermarks
        self.touches: list[Touch] = []
        self.marks: list[Mark] = []
        self.first: dict[str, datetime] = {}

    def begin(self, slugs: Iterable[str], at: datetime) -> None:
        for slug in slugs:
            self.first[slug] = min(at, self.first.get(slug, at))

    def add_events(self, model: type[Any], slugs: frozenset[str]) -> None:
        """Those of the stocks' event model; those of the last LAG are read again next time. Three queries."""
        label = model._meta.label_lower
        mark = self.watermarks.get(label)
        fresh = stored_events(model).filter(pk__gt=mark.event_id if mark else 0)
        moves = fresh.exclude(origin=Origin.INITIAL).annotate(sf_day=TruncDate("timestamp", tzinfo=UTC))
        found: dict[tuple[str, Any, str], Span] = {}
        for source, sink, origin, day, low, high in moves.values_list(
            "source", "sink", "origin", "sf_day"
        ).annotate(low=Min("timestamp"), high=Max("timestamp")):
            for slug in {source, sink} & slugs:
                before = found.get((slug, day, origin), (low, high))
                found[slug, day, origin] = min(low, before[0]), max(high, before[1])
        self.touches += [
            Touch(frozenset({slug}), *span, CAUSES.get(origin, RECOMPUTED))
            for (slug, _, origin), span in found.items()
        ]
        if found:
            self.begin(slugs, min(low for low, _ in found.values()))
        anew_since = mark.anew_since if mark else None
        if anew_since is not None:
            self.touches.append(Touch(slugs, anew_since, self.at, CHANGED))
            self.begin(slugs, anew_since)
        recent = Q(recorded_at__gte=self.at - LAG)
        version = mark.version if mark else 0
        self.marks.append(Mark(label, settled(fresh, recent, mark), anew_since, version))

    def add_counts(self, slugs: frozenset[str], counted: Counted | None) -> None:
        """Those of the stocks, stored and yet to be. Three queries."""
        mark = self.watermarks.get(COUNTS)
        # Of all stocks: asked for these, SQLite would look through all that they have.
        counts = StockRecord.objects.using(router.db_for_write(StockRecord)).exclude(method="derived")
        fresh = counts.order_by().filter(pk__gt=mark.event_id if mark else 0)
        ends = fresh.values_list("stock").annotate(low=Min("timestamp"), high=Max("timestamp"))
        spans = {slug: (low, high) for slug, low, high in ends if slug in slugs}
        if counted is not None:
            for slug in slugs.intersection(count.slug for count in counted.counts):
                low, high = spans.get(slug, (counted.at, counted.at))
                spans[slug] = min(low, counted.at), max(high, counted.at)
        for slug, span in spans.items():
            self.touches.append(Touch(frozenset({slug}), *span, OTHER_COUNT))
            self.begin([slug], span[0])
        recent = Q(timestamp__gte=self.at - LAG)
        self.marks.append(Mark(COUNTS, settled(fresh, recent, mark)))


def joined(touches: Sequence[Touch]) -> list[Touch]:
    """Touches that hold all of these, few enough for one query."""
    found: list[Touch] = []
    counts = [touch for touch in touches if touch.cause == OTHER_COUNT]
    events = [touch for touch in touches if touch.cause != OTHER_COUNT]
    for alike in (counts, events):
        spans = covering((touch.low, touch.high) for touch in alike) if alike else []
        for low, high in spans:
            here = [touch for touch in alike if touch.low <= high and touch.high >= low]
            slugs = frozenset().union(*(touch.slugs for touch in here))
            found.append(Touch(slugs, low, high, here[0].cause))
    return found
