"""The figures on the index of the admin site: how many are in each stock now, and how that went in the last 30 days."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db.models import Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone

from stockandflow.admin.addresses import page_address, work_address
from stockandflow.admin.listings import Listing
from stockandflow.declarations import Flow, Stock
from stockandflow.drawing.sparkline import Sparkline, sparkline
from stockandflow.membership import CountRequest, count_stocks
from stockandflow.models import ALL, FlowRecord, StockRecord
from stockandflow.periods import Calendar, Grain
from stockandflow.ranges import end_of_day, last_days
from stockandflow.registry import registry
from stockandflow.site.access import narrows, scoped, visible

DAYS = 30
HEIGHT = 32


@dataclass(frozen=True)
class StockFigures:
    """What is told of a stock beside its link; None where it isn't recorded, or may not be told of a part.

    ``count`` is counted now; ``change`` is that less the level when the range began; ``inflow`` and ``outflow`` are the
    moves of the range. ``page`` is the address of its page among those of a process, ``work`` that where the user works
    through it; "" where there is none to see.
    """

    count: int
    change: int | None
    spark: Sparkline | None
    inflow: int | None
    outflow: int | None
    page: str
    work: str


@dataclass(frozen=True)
class FlowFigures:
    """What is told of a flow beside its link: its moves in the range, None where they aren't recorded, and its page."""

    count: int | None
    spark: Sparkline | None
    page: str


def figures(
    request: HttpRequest, listings: Collection[Listing], site: str
) -> dict[Listing, StockFigures | FlowFigures]:
    """The figures of these stocks and flows, which the user may see; ``site`` is the name of the admin site.

    Queries: one for each model whose stocks are counted (and each 60 stocks of it), two for recorded levels and one for
    recorded moves, however many stocks and flows there are; and those of the user's permissions.
    """
    stocks = [listing.declaration for listing in listings if isinstance(listing.declaration, Stock)]
    flows = [listing.declaration for listing in listings if isinstance(listing.declaration, Flow)]
    models = dict.fromkeys([*(stock.model for stock in stocks), *(flow.subject_model for flow in flows)])
    parts = {model for model in models if narrows(request, model)}
    calendar, now = Calendar.default(), timezone.now()
    since = last_days(DAYS, calendar, end_of_day(calendar, now))
    starts = [
        calendar.midnight(calendar.local_date(since) + timedelta(days=number)) for number in range(DAYS)
    ]
    counts = _counted(request, stocks)
    levels = _levels([stock.slug for stock in stocks if stock.model not in parts], starts)
    moves = _Moves(calendar, starts) if stocks or flows else None
    seen = visible(request.user, registry)
    declared: list[Stock | Flow] = [*stocks, *flows]
    pages = {told: page_address(site, seen, told) for told in declared}
    found: dict[Listing, StockFigures | FlowFigures] = {}
    for listing in listings:
        told, known = listing.declaration, moves
        if isinstance(told, Stock):
            work = work_address(site, seen, request.user, told)
            known = None if told.model in parts or registry.tracker_of(told) is None else moves
            found[listing] = _of_stock(
                told, counts[told.slug], levels.get(told.slug), known, pages[told], work
            )
        else:
            known = None if told.subject_model in parts else moves
            found[listing] = _of_flow(told, known, pages[told])
    return found


def _of_stock(
    stock: Stock,
    count: int,
    levels: Sequence[int | None] | None,
    moves: _Moves | None,
    page: str,
    work: str,
) -> StockFigures:
    opening = levels[0] if levels else None
    recorded = moves is not None and moves.any
    return StockFigures(
        count=count,
        change=None if opening is None else count - opening,
        spark=sparkline([*levels, count], height=HEIGHT) if levels else None,
        inflow=moves.into[stock.slug] if moves is not None and recorded else None,
        outflow=moves.out_of[stock.slug] if moves is not None and recorded else None,
        page=page,
        work=work,
    )


def _of_flow(flow: Flow, moves: _Moves | None, page: str) -> FlowFigures:
    by_day = moves.by_day.get(flow.slug) if moves is not None else None
    return FlowFigures(
        count=sum(by_day.values()) if by_day is not None else None,
        spark=sparkline([by_day.get(start) for start in moves.starts], height=HEIGHT)
        if by_day is not None and moves is not None
        else None,
        page=page,
    )


def _counted(request: HttpRequest, stocks: Sequence[Stock]) -> dict[str, int]:
    """Slug → how many of its members exist for this request. One query for each model."""
    requests = []
    for stock in stocks:
        members: QuerySet[Any] = stock.queryset
        requests.append(CountRequest(stock.slug, scoped(request, members)))
    return {slug: counted.total for slug, counted in count_stocks(requests).items()}


def _levels(slugs: Sequence[str], starts: Sequence[datetime]) -> dict[str, list[int | None]]:
    """Slug → the recorded level at each of these midnights, None where there is none; only of stocks with any.

    Of a stock whose midnights aren't derived from events, each day has the first count of it, however often it was
    counted. Two queries.
    """
    records = StockRecord.objects.filter(stock__in=slugs).order_by("timestamp")
    found: dict[str, dict[datetime, int]] = defaultdict(dict)
    known = records.filter(timestamp__in=starts).values_list("stock", "timestamp", "count")
    for slug, timestamp, number in known:
        found[slug][timestamp] = number
    if rest := [slug for slug in slugs if slug not in found]:
        wanted = Q()
        for slug in rest:
            firsts = [
                Subquery(
                    records.filter(stock=slug, timestamp__gte=start, timestamp__lt=end).values("timestamp")[
                        :1
                    ]
                )
                for start, end in pairwise([*starts, timezone.now()])
            ]
            wanted |= Q(stock=slug, timestamp__in=firsts)
        for slug, timestamp, number in records.filter(wanted).values_list("stock", "timestamp", "count"):
            found[slug][max(start for start in starts if start <= timestamp)] = number
    return {slug: [levels.get(start) for start in starts] for slug, levels in found.items()}


class _Moves:
    """The recorded moves of the days that begin at ``starts``. One query."""

    def __init__(self, calendar: Calendar, starts: Sequence[datetime]) -> None:
        self.starts = starts
        self.by_day: dict[str, dict[datetime, int]] = defaultdict(dict)
        self.into: Counter[str] = Counter()
        self.out_of: Counter[str] = Counter()
        rows = FlowRecord.objects.filter(
            grain=Grain.DAY, calendar=calendar.key, start__gte=starts[0], start__lte=starts[-1]
        ).order_by()
        for flow, source, sink, start, number in rows.values_list("flow", "source", "sink", "start", "count"):
            if sink == ALL:
                self.by_day[flow][start] = number
            else:
                self.into[sink] += number
                self.out_of[source] += number

    @property
    def any(self) -> bool:
        """Whether any day is recorded; without, nothing is known of what moved."""
        return bool(self.by_day)
