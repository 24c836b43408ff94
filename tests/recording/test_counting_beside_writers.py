"""Stocks counted while four processes write: every record's facets sum to it, and it is what the events say."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.db.models import F, Sum

from example.membership.models import Member, Plan, Status
from stockandflow import recording
from stockandflow.declarations import Stock
from stockandflow.models import StockFacetRecord, StockRecord
from stockandflow.registry import registry
from tests.databases import ROOT
from tests.long import long

pytestmark = pytest.mark.usefixtures("transactional_db")

WRITERS = 4
SEVERAL = 10
"""Totals of one stock, at least: the writers did something meanwhile."""


@contextmanager
def writers() -> Iterator[list[int]]:
    """Four processes that write inside; gives a list that holds the number of their writes afterwards."""
    command = [sys.executable, "-m", "tests.recording.writer", str(connection.settings_dict["NAME"])]
    started = [
        subprocess.Popen(
            [*command, str(seed)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for seed in range(WRITERS)
    ]
    written: list[int] = []
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
        yield written
        written += [int(process.communicate(timeout=60)[0]) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert {process.returncode for process in started} == {0}


@pytest.mark.parametrize("recordings", [60, pytest.param(1000, marks=long)])
def test_facets_sum_and_moves_are_those_of_the_count(recordings: int) -> None:
    for name in ("Basic", "Pro", "Team"):
        plan = Plan.objects.create(name=name, monthly_price=9)
    Member.objects.bulk_create(
        Member(name="m", email="m@example.org", plan=plan, status=status) for status in Status.values * 40
    )
    process = registry.process("membership")
    everybody = Stock("everybody", "Everybody", Member.objects.all(), process.stocks[0].facets)
    began = time.monotonic()
    with writers() as written:
        for _ in range(recordings):
            recording.store(recording.count([*process.stocks, everybody]))
    took = time.monotonic() - began

    records = StockRecord.objects.filter(method="counted")
    assert records.count() == recordings * 6
    parts = StockFacetRecord.objects.order_by().values("stock_record", "facet")
    sums = parts.annotate(total=Sum("count"), of=F("stock_record__count"))
    assert sums.count() == recordings * 6 * 2
    assert not sums.exclude(total=F("of")).exists()
    # The stocks of one run share the snapshot: none was counted before a move and another after it.
    totals = records.exclude(stock="everybody").order_by().values("timestamp").annotate(total=Sum("count"))
    assert dict(totals.values_list("timestamp", "total")) == dict(
        records.filter(stock="everybody").values_list("timestamp", "count")
    )
    # And so do the events: what came and went of them is what the stock holds, since all came within the hour.
    assert not records.exclude(stock="everybody").exclude(count=F("recent_net")).exists()
    assert min(written) > 0
    assert records.filter(stock="active").values("count").distinct().count() > SEVERAL
    sys.stdout.write(
        f"{connection.vendor}: {recordings} recordings of 6 stocks beside {WRITERS} writers in {took:.0f} s, "
        f"{sum(written)} writes\n"
    )
