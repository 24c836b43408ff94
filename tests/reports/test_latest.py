"""The latest counts: the last record of each stock, whatever else stands there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from stockandflow.models import StockRecord
from stockandflow.registry import registry
from stockandflow.reports import Latest, latest

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 1, tzinfo=UTC)


def test_the_last_record_of_each_stock_is_told_by_one_query() -> None:
    stocks = list(registry.process("membership").stocks)
    StockRecord.objects.bulk_create(
        StockRecord(stock=stock.slug, timestamp=AT + timedelta(hours=hour + number), count=10 * number + hour)
        for number, stock in enumerate(stocks[:3])
        for hour in range(4)
    )
    with CaptureQueriesContext(connection) as queries:
        found = latest([*stocks, stocks[0]])
    assert len(queries) == 1
    assert found == {
        stock.slug: Latest(10 * number + 3, AT + timedelta(hours=3 + number))
        for number, stock in enumerate(stocks[:3])
    }


def test_without_records_nothing_is_told() -> None:
    assert latest(registry.stocks) == {}
    assert latest([]) == {}
