"""The latest counts: what is known of stocks without counting them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, Subquery

from stockandflow.declarations import Stock
from stockandflow.models import StockRecord


@dataclass(frozen=True)
class Latest:
    """The last recorded count of a stock, and the instant of it."""

    count: int
    at: datetime


def latest(stocks: Iterable[Stock]) -> dict[str, Latest]:
    """Slug → the stock's last stored count, of those that have one. One query, which finds each in the index."""
    wanted = Q(pk__in=[])
    for slug in dict.fromkeys(stock.slug for stock in stocks):
        last = StockRecord.objects.filter(stock=slug).order_by("-timestamp").values("timestamp")[:1]
        wanted |= Q(stock=slug, timestamp=Subquery(last))
    rows = StockRecord.objects.filter(wanted).order_by().values_list("stock", "timestamp", "count")
    return {slug: Latest(number, at) for slug, at, number in rows}
