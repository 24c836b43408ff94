"""Runners beside each other, and entries beside each other: what one does doesn't hold up or end the rest."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.backends.signals import connection_created

from stockandflow import periodic
from stockandflow.models import ScheduleEntry, ScheduleRun, StockRecord
from stockandflow.models.clock import database_now
from stockandflow.periodic import Frequency, Schedule, State, look, overview, run
from stockandflow.periods import Calendar

AT = datetime(2025, 6, 18, 14, 38, tzinfo=UTC)


def register(schedule: Schedule, name: str, to_call: Any = int, **options: Any) -> None:
    schedule.register(Frequency.HOURLY, to_call, **{"name": name, "calendar": Calendar(), **options})


@contextmanager
def held(name: str) -> Iterator[None]:
    """Another connection holds the lock of that entry's row, as a runner does that was stopped there."""
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                ScheduleEntry.objects.select_for_update().get(name=name)
                locked.set()
                release.wait(60)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(30)
    try:
        yield
    finally:
        release.set()
        thread.join()


@pytest.mark.django_db(transaction=True)
def test_entries_that_are_due_share_a_connection_also_where_a_project_keeps_none() -> None:
    assert connection.settings_dict["CONN_MAX_AGE"] == 0
    schedule = Schedule()
    for number in range(6):
        register(schedule, f"entry {number}", StockRecord.objects.count)
    opened = []

    def note(**_: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            opened.append(1)

    connection.close()
    connection_created.connect(note)
    try:
        assert {result.state for result in run(schedule, now=AT).results} == {State.DONE}
    finally:
        connection_created.disconnect(note)
    assert len(opened) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_an_entry_whose_row_somebody_holds_is_passed_over_and_waits_for_the_next_run() -> None:
    schedule = Schedule()
    register(schedule, "stuck")
    register(schedule, "free")
    run(schedule, now=AT)
    later = AT + timedelta(hours=1)
    with held("stuck"):
        assert [result.state for result in run(schedule, now=later).results] == [State.BUSY, State.DONE]
    assert [result.state for result in run(schedule, now=later).results] == [State.DONE, State.NOT_DUE]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL leaves rows out of an UPDATE")
def test_to_note_that_somebody_looked_waits_for_nobody() -> None:
    schedule = Schedule()
    register(schedule, "stuck")
    register(schedule, "free")
    run(schedule, now=AT)
    later = AT + timedelta(minutes=5)
    with held("stuck"):
        assert {result.state for result in run(schedule, now=later).results} == {State.NOT_DUE}
    seen = dict(ScheduleEntry.objects.values_list("name", "seen_at"))
    assert seen == {"stuck": AT, "free": later}


@pytest.mark.django_db(transaction=True)
def test_one_thread_renews_the_leases_of_one_entry_after_the_other() -> None:
    schedule, threads, left = Schedule(), set[Any](), []

    def see(until: float) -> None:
        threading.Event().wait(until)
        threads.update(thread for thread in threading.enumerate() if thread.name == "heartbeat")
        (held_run,) = ScheduleRun.objects.filter(status="running")
        assert held_run.leased_until is not None
        left.append(held_run.leased_until - database_now("default"))

    register(schedule, "long lease", see, args=(0,), atomic=False)
    register(schedule, "short lease", see, args=(1.4,), atomic=False, lease=timedelta(seconds=1))
    register(schedule, "the next", see, args=(1.4,), atomic=False, lease=timedelta(seconds=1))
    assert {result.state for result in run(schedule, now=AT).results} == {State.DONE}
    assert len(threads) == 1
    assert min(left) > timedelta(0), "renewed"
    assert not any(thread.is_alive() for thread in threads), "it ends with the run"


@pytest.mark.django_db(transaction=True)
def test_an_entry_that_ends_the_process_fails_alone() -> None:
    def leave() -> None:
        StockRecord.objects.create(stock="effect", timestamp=AT, count=1)
        sys.exit(3)

    with periodic.schedule.set_aside():
        register(periodic.schedule, "leaving", leave)
        register(periodic.schedule, "after it")
        with pytest.raises(CommandError, match=r"1 of 2 entries failed: leaving \(SystemExit: 3\)"):
            call_command("run_periodic_schedule", verbosity=0)
    assert not StockRecord.objects.exists()
    runs = dict(ScheduleRun.objects.values_list("entry__name", "status"))
    assert runs == {"leaving": "failed", "after it": "done"}
    assert "sys.exit(3)" in ScheduleRun.objects.get(status="failed").traceback


@pytest.mark.django_db(transaction=True)
def test_a_signal_whose_handler_ends_the_process_ends_it_in_an_entry_too() -> None:
    class Leaving:
        def __call__(self, *_: Any) -> None:
            sys.exit(7)

    before = signal.signal(signal.SIGTERM, Leaving())
    schedule = Schedule()
    register(schedule, "cut short", lambda: os.kill(os.getpid(), signal.SIGTERM))
    register(schedule, "after it")
    try:
        with pytest.raises(SystemExit) as ended:
            run(schedule, now=AT)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 7
    assert list(ScheduleRun.objects.values_list("entry__name", "status")) == [("cut short", "failed")]


@pytest.mark.django_db
def test_an_entry_whose_name_is_written_in_another_way_is_the_same_where_the_database_finds_it() -> None:
    old, new = Schedule(), Schedule()
    register(old, "tidying")
    register(new, "Tidying")
    run(old, now=AT)
    same = connection.vendor == "mysql"
    assert bool(look(new, now=AT)[0].due) is not same
    assert (overview(new, now=AT)[0].pk is not None) is same
    assert run(new, now=AT).results[0].state is (State.NOT_DUE if same else State.DONE)
    assert sorted(ScheduleEntry.objects.values_list("name", flat=True)) == ["Tidying", "tidying"][: 2 - same]
    assert not look(new, now=AT)[0].due
