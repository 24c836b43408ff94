"""Holding a period: who may take it over, and who may no longer note it as done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from stockandflow.exceptions import LeaseLost
from stockandflow.models import ScheduleEntry, ScheduleRun, StockRecord
from stockandflow.models.clock import DatabaseNow, database_now
from stockandflow.periodic import Entry, Frequency, Schedule, State, run
from stockandflow.periodic.claims import Claim, Heartbeat, Refusal, claim, hold_on_sqlite, settle
from stockandflow.periods import Calendar

AT = datetime(2025, 6, 18, 14, 38, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def nothing() -> None:
    return None


def entry_of(schedule: Schedule, **options: Any) -> Entry:
    return schedule.register(
        Frequency.HOURLY, nothing, **{"name": "it", "calendar": Calendar(), "atomic": False, **options}
    )


def taken(entry: Entry, owner: str, at: datetime = AT) -> Claim | Refusal:
    ScheduleEntry.objects.get_or_create(name=entry.name)
    current = entry.period(at)
    assert current is not None
    return claim(entry, current, at, owner, "default")


def held(entry: Entry, owner: str, at: datetime = AT) -> Claim:
    found = taken(entry, owner, at)
    assert isinstance(found, Claim)
    return found


def end_lease() -> None:
    ScheduleRun.objects.update(leased_until=DatabaseNow() - timedelta(seconds=1))


@pytest.mark.django_db
def test_a_claim_is_leased_by_the_databases_clock() -> None:
    before = database_now("default")
    held(entry_of(Schedule(), lease=timedelta(minutes=7)), "one")
    row = ScheduleRun.objects.get()
    assert (row.status, row.owner, row.attempt) == ("running", "one", 1)
    assert row.leased_until is not None
    assert before + timedelta(minutes=7) <= row.leased_until <= database_now("default") + timedelta(minutes=7)


@pytest.mark.django_db
def test_a_held_period_is_refused_to_everybody_else() -> None:
    entry = entry_of(Schedule())
    held(entry, "one")
    assert taken(entry, "two") == Refusal(entry.period(AT), busy=True)
    later = AT + timedelta(hours=1)
    assert taken(entry, "two", later) == Refusal(entry.period(later), busy=True), (
        "an entry doesn't overlap itself"
    )


@pytest.mark.django_db
def test_after_the_lease_anybody_takes_over_and_the_first_holder_can_settle_nothing() -> None:
    entry = entry_of(Schedule())
    first = held(entry, "one")
    end_lease()
    second = held(entry, "two")
    assert (first.attempt, second.attempt) == (1, 2)

    @transaction.atomic
    def come_too_late() -> None:
        StockRecord.objects.create(stock="late", timestamp=AT, count=1)
        settle(first, timedelta(), "too late")

    with pytest.raises(LeaseLost, match="taken over by another runner"):
        come_too_late()
    assert not StockRecord.objects.exists()
    with transaction.atomic():
        settle(second, timedelta(seconds=3), "in time")
    row = ScheduleRun.objects.get()
    assert (row.status, row.owner, row.message, row.duration) == (
        "done",
        "two",
        "in time",
        timedelta(seconds=3),
    )
    assert taken(entry, "three") == Refusal()


@pytest.mark.django_db
def test_a_stalled_holder_of_an_older_period_can_settle_nothing_either() -> None:
    entry = entry_of(Schedule())
    first = held(entry, "one")
    end_lease()
    held(entry, "two", AT + timedelta(hours=1))
    with pytest.raises(LeaseLost), transaction.atomic():
        settle(first, timedelta(), "")
    gone = ScheduleRun.objects.earliest("period_start")
    assert (gone.status, gone.message) == ("failed", "The runner was gone before the end.")


@pytest.mark.django_db
def test_one_owner_that_claims_again_is_told_apart_by_the_attempt() -> None:
    entry = entry_of(Schedule())
    first = held(entry, "one")
    end_lease()
    held(entry, "one")
    with pytest.raises(LeaseLost), transaction.atomic():
        settle(first, timedelta(), "")


@pytest.mark.django_db
def test_an_entry_whose_claim_was_lost_meanwhile_fails_and_its_effect_is_taken_back() -> None:
    schedule = Schedule()

    def stall() -> None:
        StockRecord.objects.create(stock="late", timestamp=AT, count=1)
        ScheduleRun.objects.update(attempt=2, owner="two")

    schedule.register(Frequency.HOURLY, stall, name="it", calendar=Calendar())
    (result,) = run(schedule, now=AT).results
    assert (result.state, result.message[:9]) == (State.FAILED, "LeaseLost")
    assert not StockRecord.objects.exists()


@pytest.mark.django_db
def test_on_sqlite_a_lost_claim_is_found_before_anything_is_done() -> None:
    entry = entry_of(Schedule())
    first = held(entry, "one")
    end_lease()
    held(entry, "two")
    if connection.vendor == "sqlite":
        with pytest.raises(LeaseLost):
            hold_on_sqlite(first)
    else:
        hold_on_sqlite(first)


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_renews_the_lease_while_the_work_goes_on() -> None:
    claimed = held(entry_of(Schedule(), lease=timedelta(seconds=1)), "one")
    before = ScheduleRun.objects.get()
    with Heartbeat() as heartbeat, heartbeat.of(claimed):
        time.sleep(1.2)
        during = ScheduleRun.objects.get()
    assert before.leased_until is not None
    assert during.leased_until is not None
    assert before.heartbeat_at is not None
    assert during.heartbeat_at is not None
    assert during.heartbeat_at > before.heartbeat_at
    assert during.leased_until > database_now("default") - timedelta(seconds=1)
    assert during.leased_until > before.leased_until


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_ends_with_the_claim() -> None:
    claimed = held(entry_of(Schedule(), lease=timedelta(seconds=1)), "one")
    end_lease()
    held(entry_of(Schedule()), "two")
    with Heartbeat() as heartbeat, heartbeat.of(claimed):
        time.sleep(0.6)
    row = ScheduleRun.objects.get()
    assert (row.owner, row.attempt) == ("two", 2)
    assert row.leased_until is not None
    assert row.leased_until > database_now("default") + timedelta(minutes=4)


KILLED = """
    import os, signal, sys
    from datetime import UTC, datetime, timedelta

    import django

    django.setup()
    from django.db import connection

    connection.settings_dict["NAME"] = sys.argv[1]
    from stockandflow.models import StockRecord
    from stockandflow.periodic import Frequency, Schedule, run
    from stockandflow.periods import Calendar

    def die():
        StockRecord.objects.create(stock="effect", timestamp=datetime.now(UTC), count=1)
        os.kill(os.getpid(), signal.SIGKILL)

    schedule = Schedule()
    schedule.register(Frequency.HOURLY, die, name="it", calendar=Calendar(), lease=timedelta(seconds=1))
    run(schedule, now=datetime.fromisoformat(sys.argv[2]))
"""


@pytest.mark.django_db(transaction=True)
def test_the_work_of_a_killed_runner_is_undone_and_taken_over_after_its_lease() -> None:
    arguments = [str(connection.settings_dict["NAME"]), AT.isoformat()]
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    schedule = Schedule()
    schedule.register(
        Frequency.HOURLY,
        lambda: StockRecord.objects.create(stock="effect", timestamp=AT, count=1),
        name="it",
        calendar=Calendar(),
    )
    assert ScheduleRun.objects.get().status == "running"
    assert run(schedule, now=AT).results[0].state is State.BUSY
    time.sleep(1.1)
    assert run(schedule, now=AT).results[0].state is State.DONE
    assert ScheduleRun.objects.get().attempt == 2
    assert StockRecord.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_a_period_that_is_settled_while_another_claims_it_is_not_taken_again() -> None:
    entry = entry_of(Schedule())
    number, reached = 0, True
    while reached:
        number, reached, count = number + 1, False, 0
        ScheduleEntry.objects.all().delete()
        with transaction.atomic():
            settle(held(entry, "one", AT + timedelta(hours=1)), timedelta(), "")  # so the mark is above
        first = held(entry, "one")
        settled: list[bool] = []

        def settle_first(mine: Claim = first, settled: list[bool] = settled) -> None:
            try:
                with transaction.atomic():
                    settle(mine, timedelta(), "")
                settled.append(True)
            finally:
                connection.close()

        thread = threading.Thread(target=settle_first)

        def beside(
            execute: Any,
            *arguments: Any,
            at: int = number,
            thread: threading.Thread = thread,
        ) -> Any:
            nonlocal reached, count
            count += 1
            if count == at:
                reached = True
                thread.start()
                thread.join(0.2)  # it may have to wait for us
            return execute(*arguments)

        with connection.execute_wrapper(beside):
            second = taken(entry, "two")
        if reached:
            thread.join()
            assert settled == [True]
            assert isinstance(second, Refusal), f"taken again when it was settled before statement {number}"
    assert number > 3, "before each statement of a claim"
