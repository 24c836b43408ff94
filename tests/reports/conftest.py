"""Levels that tests of reports look at."""

from __future__ import annotations

import pytest

from stockandflow.declarations import Stock
from stockandflow.models import StockRecord
from tests.reports.history import SLUGS
from tests.reports.test_reading import midnight


@pytest.fixture
def levels() -> Stock:
    """Trial at the midnights from 1 to 10 June 2025: 1 to 10."""
    StockRecord.objects.filter(stock="trial").delete()
    for day in range(1, 11):
        StockRecord.objects.create(stock="trial", timestamp=midnight(2025, 6, day), count=day)
    return SLUGS["trial"]
