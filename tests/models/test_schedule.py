"""The schedule's rows: one for each entry and period, and what they say of themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from stockandflow.models import ScheduleEntry, ScheduleRun
from stockandflow.models.clock import DatabaseNow, database_now

pytestmark = pytest.mark.django_db

AT = datetime(2025, 6, 18, tzinfo=UTC)
DAY = timedelta(days=1)


def test_there_is_one_run_for_an_entry_and_a_period() -> None:
    entry, other = (ScheduleEntry.objects.create(name=name) for name in ("sweeping", "dusting"))
    for one, start in ((entry, AT), (entry, AT + DAY), (other, AT)):
        ScheduleRun.objects.create(entry=one, period_start=start, period_end=start + DAY)
    with pytest.raises(IntegrityError), transaction.atomic():
        ScheduleRun.objects.create(entry=entry, period_start=AT, period_end=AT + 7 * DAY)


def test_there_is_one_entry_of_a_name() -> None:
    ScheduleEntry.objects.create(name="sweeping")
    with pytest.raises(IntegrityError), transaction.atomic():
        ScheduleEntry.objects.create(name="sweeping")


def test_a_run_names_its_entry_its_period_and_its_status() -> None:
    entry = ScheduleEntry(name="sweeping")
    run = ScheduleRun(entry=entry, period_start=AT, period_end=AT + DAY)
    assert (str(entry), str(run)) == ("sweeping", "sweeping: 2025-06-18 00:00 UTC (waiting)")


@pytest.mark.parametrize(
    ("status", "settled"),
    [("waiting", False), ("running", False), ("failed", False), ("done", True), ("skipped", True)],
)
def test_a_period_is_settled_when_it_was_run_or_passed_over(status: str, settled: bool) -> None:
    assert ScheduleRun(status=status).settled is settled


def test_the_databases_clock_is_an_expression_that_can_be_added_to() -> None:
    before = database_now("default")
    entry = ScheduleEntry.objects.create(
        name="sweeping", seen_at=DatabaseNow(), high_water=DatabaseNow() + DAY
    )
    entry.refresh_from_db()
    after = database_now("default")
    assert entry.seen_at is not None
    assert entry.high_water is not None
    assert before <= entry.seen_at <= after
    assert before + DAY <= entry.high_water <= after + DAY
    assert ScheduleEntry.objects.filter(seen_at__lte=DatabaseNow()).exists()
    assert not ScheduleEntry.objects.filter(high_water__lte=DatabaseNow()).exists()
