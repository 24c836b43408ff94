"""Counting every registered stock at one instant, and keeping the counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from stockandflow.declarations import Stock
from stockandflow.membership import StockCount, count_stocks
from stockandflow.models import StockRecord, recent_moves
from stockandflow.models.clock import snapshot
from stockandflow.models.records import call_after, call_before


@dataclass(frozen=True)
class Counted:
    """The stocks as they were at one instant, counted and not yet stored."""

    stocks: tuple[Stock, ...]
    at: datetime
    counts: tuple[StockCount, ...]
    recent: Mapping[str, int]


def count(stocks: Sequence[Stock]) -> Counted | None:
    """Count stocks with their facets, all under one instant; the stocks of one database from one snapshot.

    Queries: three for each database, and those of ``count_stocks`` and ``recent_moves``. None for no stocks.
    """
    call_before(stocks)
    by_database: dict[str, list[Stock]] = defaultdict(list)
    for stock in stocks:
        by_database[stock.queryset.db].append(stock)
    at: datetime | None = None
    counts: dict[str, StockCount] = {}
    recent: dict[str, int] = {}
    for using, members in by_database.items():
        with snapshot(using) as now:
            at = at or now
            counts.update(count_stocks([stock.count_request() for stock in members]))
            recent.update(recent_moves(members, now))
    if at is None:
        return None
    return Counted(tuple(stocks), at, tuple(counts[stock.slug] for stock in stocks), recent)


def store(counted: Counted | None) -> list[StockRecord]:
    """Keep counts as records, in the stocks' order; counts of one instant replace each other."""
    if counted is None:
        return []
    records = StockRecord.objects.store(counted.counts, counted.at, recent=counted.recent)
    call_after(counted.stocks, records)
    return records
