"""What tests of reports look at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from pytest_django import DjangoDbBlocker

from example.membership.models import Plan
from stockandflow import recording
from stockandflow.declarations import Process, Stock
from stockandflow.models import StockRecord
from stockandflow.registry import registry
from tests.reports.history import (
    SINCE,
    SLUGS,
    UNTIL,
    counted,
    histories,
    midnight,
    recorded_long_ago,
    written,
)
from tests.shared import kept_for_the_module


@pytest.fixture
def membership() -> Process:
    return registry.process("membership")


@pytest.fixture(scope="module")
def past(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Process]:
    """Membership with a past of 90 members from SINCE to UNTIL, 30 of them Pro, counted four times and recorded."""
    with kept_for_the_module(django_db_blocker):
        moves = histories(90, SINCE, UNTIL)
        written(moves[:60])
        written(moves[60:], Plan.objects.create(name="Pro", monthly_price=19))
        for at in (SINCE, midnight(2025, 7, 4) + timedelta(hours=3), midnight(2026, 1, 1), UNTIL):
            counted(moves, at)
        recorded_long_ago()
        recording.record(registry)
        yield registry.process("membership")


@pytest.fixture
def levels() -> Stock:
    """Trial at the midnights from 1 to 10 June 2025: 1 to 10."""
    StockRecord.objects.filter(stock="trial").delete()
    for day in range(1, 11):
        StockRecord.objects.create(stock="trial", timestamp=midnight(2025, 6, day), count=day)
    return SLUGS["trial"]
