"""The causes of what is unexplained: when it arose, which objects it is, and what the capture can't see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import ceil

from django.db import connections
from django.db.models import DateTimeField, Q, Subquery, Value
from django.db.models.functions import Coalesce

from stockandflow.capture import Audit, Method, MissingMove, Skipped, blind_spots, method_for
from stockandflow.capture.auditing import NAMED, audit_tracker
from stockandflow.declarations import ModelTracker, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import StockRecord
from stockandflow.models.clock import snapshot
from stockandflow.models.records import settled_moves
from stockandflow.periods import checked_range
from stockandflow.reports.levels import Anchor, live, nearest_to, tracker_of, trackers_of
from stockandflow.reports.planning import Span
from stockandflow.reports.reading import read

ROUNDS = 3
"""How often windows are cut at most, however many counts there are."""
FEW = 16
"""Into how many a window is cut at least."""


@dataclass(frozen=True)
class Window:
    """Two counts of a stock between which something changed unseen; no count lies between them.

    It held ``opening`` before ``since`` and ``closing`` before ``until``, and the moves between make ``net``.
    """

    stock: Stock
    since: datetime
    until: datetime
    opening: int
    closing: int
    net: int

    @property
    def unexplained(self) -> int:
        return self.closing - self.opening - self.net

    @property
    def in_a_minute(self) -> bool:
        """Whether both counts are of one minute, so that its seconds alone tell them apart."""
        return self.since.replace(second=0, microsecond=0) == self.until.replace(second=0, microsecond=0)


@dataclass(frozen=True)
class Watched:
    """How a tracker is captured, what that can't see, in words, and its audit: what the events lack by now."""

    tracker: ModelTracker
    method: Method
    blind_spots: tuple[str, ...]
    audit: Audit


@dataclass(frozen=True)
class Causes:
    """What can be told of a change that no event accounts for. ``windows`` are in the order of time."""

    stocks: tuple[Stock, ...]
    windows: tuple[Window, ...]
    watched: tuple[Watched, ...]

    @property
    def missing(self) -> tuple[MissingMove, ...]:
        """The objects whose last event left them in ``source`` and whose row stands in ``sink``, by that move."""
        return tuple(move for one in self.watched for move in one.audit.missing if self._concerns(move))

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The objects that moved unseen before a later event, with the instants between which they did."""
        return tuple(move for one in self.watched for move in one.audit.skipped if self._concerns(move))

    def _concerns(self, move: MissingMove | Skipped) -> bool:
        return bool({stock.slug for stock in self.stocks} & {move.source, move.sink})


def causes(of: Stock | Process, since: datetime, until: datetime, *, limit: int = NAMED) -> Causes:
    """Why a stock, or the stocks of a process, changed over ``since <= t < until`` without an event.

    ``windows`` are the narrowest that counts tell: between which two the change and the moves disagree; for each stock
    up to ``limit``, where most is unexplained. Together, if there are no more, they are what the balance of the range
    shows. A stretch in which as much came unseen as went isn't looked into.

    ``watched`` tells of each tracker of these stocks which moves are missing by now, whenever they happened, with up to
    ``limit`` objects of each; a sweep writes them. So it is empty once all is repaired, and windows of the past stay.

    Queries: those of the snapshot; one for the counts, and one for each model for live ones where the range goes up to
    now; those of reading moves for each time that windows are cut, three times at most; and those of an audit of each
    tracker, which compares all its subjects with their events at once. Stocks in no tracker are left out, since nothing
    of them is unexplained. Raises InvalidInput for a range that is none, for what is neither stock nor process, and for
    a limit below 1.
    """
    since, until = checked_range(since, until)
    if not isinstance(of, Stock | Process):
        raise InvalidInput(f"causes() got {of!r}; give a Stock or a Process, e.g. registry.stock('active').")
    if limit < 1:
        raise InvalidInput(f"limit is {limit!r}; write 1 or more.")
    stocks = [
        stock for stock in (of.stocks if isinstance(of, Process) else [of]) if tracker_of(stock) is not None
    ]
    trackers = trackers_of(stocks)
    process = of if isinstance(of, Process) else _alone(of)
    windows: list[Window] = []
    if stocks:
        with snapshot(stocks[0].queryset.db) as now:
            counts = _counts(stocks, since, until, now)
            windows = _narrowed(process, stocks, counts, now, limit)
    return Causes(
        stocks=tuple(stocks),
        windows=tuple(sorted(windows, key=lambda one: (one.since, one.until))),
        watched=tuple(_watched(tracker, limit) for tracker in trackers),
    )


def _alone(stock: Stock) -> Process:
    """A process of the one stock, never registered."""
    flows = list(dict.fromkeys([*stock.inflows, *stock.outflows]))
    return Process(stock.slug, stock.name, [stock], flows=flows)


def _watched(tracker: ModelTracker, limit: int) -> Watched:
    connection = connections[tracker.database]
    method = method_for(tracker, connection)
    return Watched(
        tracker,
        method,
        blind_spots(tracker, method, connection.vendor),
        audit_tracker(tracker, tracker.database, chunk=None, named=limit),
    )


def _counts(
    stocks: Iterable[Stock], since: datetime, until: datetime, now: datetime
) -> dict[str, list[Anchor]]:
    """Slug → the counts that tell the range, in order: from that of its opening to that of its closing."""
    stocks = list(stocks)
    slugs = [stock.slug for stock in stocks]
    counted = StockRecord.objects.exclude(method="derived")
    wanted = Q()
    for slug in slugs:
        before = counted.filter(stock=slug, timestamp__lte=since).order_by("-timestamp")
        opening = Coalesce(
            Subquery(before.values("timestamp")[:1]), Value(since), output_field=DateTimeField()
        )
        wanted |= Q(stock=slug, timestamp__gte=opening)
    rows = counted.filter(wanted, timestamp__lte=min(until, now)).order_by("timestamp")
    known: dict[str, list[Anchor]] = defaultdict(list)
    for slug, at, number, recent in rows.values_list("stock", "timestamp", "count", "recent_net"):
        known[slug].append(Anchor(at, number, recent=recent))
    now_counted = live(stocks, now) if until > now else {}
    found = {}
    for slug in slugs:
        counts = [*known[slug], *([now_counted[slug]] if slug in now_counted else [])]
        first = nearest_to(since, counts)
        found[slug] = [one for one in counts if first is not None and one.at >= first.at]
    return found


@dataclass(frozen=True)
class _Stretch:
    """Some of a stock's counts that follow each other."""

    stock: Stock
    counts: tuple[Anchor, ...]

    @property
    def span(self) -> Span:
        return self.counts[0].at, self.counts[-1].at

    def pieces(self, most: int) -> list[_Stretch]:
        """The same in ``most`` parts or fewer, each of which begins with the count that ends the one before."""
        last = len(self.counts) - 1
        cuts = sorted({round(last * number / most) for number in range(most + 1)})
        return [_Stretch(self.stock, self.counts[low : high + 1]) for low, high in pairwise(cuts)]


def _narrowed(
    process: Process,
    stocks: Iterable[Stock],
    counts: Mapping[str, list[Anchor]],
    now: datetime,
    limit: int,
) -> list[Window]:
    """The windows without a count inside, found by cutting those of each stock in which most is unexplained."""
    stretches = [
        _Stretch(stock, tuple(counts[stock.slug])) for stock in stocks if len(counts[stock.slug]) > 1
    ]
    most = max([FEW, *(ceil(len(one.counts) ** (1 / ROUNDS)) for one in stretches)])
    windows: list[Window] = []
    while stretches:
        pieces = [piece for stretch in stretches for piece in stretch.pieces(most)]
        ends = {end for piece in pieces for end in (piece.counts[0], piece.counts[-1])}
        moves = read(process, {piece.span for piece in pieces}, now).moves
        late = settled_moves(stocks, {end.at for end in ends if end.recent is not None})
        by_stock: dict[Stock, list[tuple[Window, _Stretch]]] = defaultdict(list)
        for piece in pieces:
            slug = piece.stock.slug
            opening, closing = (end.settled(late, slug).count for end in (piece.counts[0], piece.counts[-1]))
            window = Window(piece.stock, *piece.span, opening, closing, moves[piece.span].net(slug))
            if window.unexplained:
                by_stock[piece.stock].append((window, piece))
        kept = [
            one
            for some in by_stock.values()
            for one in sorted(some, key=lambda one: -abs(one[0].unexplained))[:limit]
        ]
        if all(len(piece.counts) == 2 for _, piece in kept):
            return [window for window, _ in kept]
        stretches = [piece for _, piece in kept]
    return windows
