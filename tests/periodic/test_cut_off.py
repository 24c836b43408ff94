"""What ends in the middle: a process that is killed or stopped, a connection that the server ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import Error, connection, connections
from django.db.backends.signals import connection_created

from stockandflow.models import ScheduleRun
from stockandflow.models.clock import DatabaseNow
from stockandflow.periodic import Frequency, Schedule, State, run
from stockandflow.periods import Calendar
from tests.processes import (
    KILLED_AT_EACH_STATEMENT,
    begun,
    cut_off,
    cut_off_others,
    hears,
    said,
    tell,
)
from tests.testapp.models import Owner

pytestmark = pytest.mark.django_db(transaction=True)
AT = datetime(2025, 6, 18, 14, 38, tzinfo=UTC)
without_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has no server to be cut off from"
)


def effects() -> list[str]:
    return sorted(owner.name or "" for owner in Owner._default_manager.all())


def two_effects(name: str) -> None:
    for part in ("first", "second"):
        Owner._default_manager.create(name=f"{name} {part}")


def of(name: str, *, atomic: bool) -> Schedule:
    """A schedule of one entry, whose effect is two rows."""
    schedule = Schedule()

    def whole() -> None:
        two_effects(name)

    def in_steps() -> Any:
        return whole

    schedule.register(
        Frequency.HOURLY,
        whole if atomic else in_steps,
        name=name,
        atomic=atomic,
        calendar=Calendar(),
        lease=timedelta(seconds=30),
    )
    return schedule


def end_leases() -> None:
    ScheduleRun.objects.filter(status="running").update(leased_until=DatabaseNow() - timedelta(seconds=1))


KILLED = """
    from stockandflow.periodic import run
    from tests.periodic.test_cut_off import AT, end_leases, of

    atomic = sys.argv[2] == "True"

    def prepare(name):
        return lambda: run(of(name, atomic=atomic), now=AT)

    def recover(name):
        end_leases()
        assert not run(of(name, atomic=atomic), now=AT).failed

    killed_everywhere(prepare, recover)
"""


@pytest.mark.parametrize("atomic", [True, False])
def test_a_runner_that_is_killed_at_any_statement_leaves_each_effect_once(atomic: bool) -> None:
    kills = int(said(begun(KILLED_AT_EACH_STATEMENT, KILLED, arguments=(atomic,))))
    assert kills > 15
    names = list(ScheduleRun.objects.filter(status="done").values_list("entry__name", flat=True))
    assert len(names) == ScheduleRun.objects.count() == kills + 2
    assert effects() == sorted(f"{name} {part}" for name in names for part in ("first", "second"))


@without_server
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("atomic", [True, False])
def test_a_connection_that_the_server_ends_at_any_statement_is_told_and_loses_nothing(
    atomic: bool, after: bool
) -> None:
    number, cut, names = 0, True, []
    while cut:
        number, cut, count = number + 1, False, 0

        def sever(execute: Any, sql: str, params: Any, many: bool, context: Any, at: int = number) -> Any:
            nonlocal cut, count
            count += 1
            if count != at:
                return execute(sql, params, many, context)
            cut = True
            if after:
                result = execute(sql, params, many, context)
                cut_off(connection)
                return result
            cut_off(connection)
            return execute(sql, params, many, context)

        name = f"statement {number}"
        names.append(name)
        failed: bool
        with connection.execute_wrapper(sever):
            try:
                failed = bool(run(of(name, atomic=atomic), now=AT).failed)
            except Error:
                failed = True
        connection.close()
        kept = ScheduleRun.objects.filter(entry__name=name, status="done").exists()
        assert failed or kept, f"cut off at {name}, and nobody was told"
        end_leases()
        assert [result.state for result in run(of(name, atomic=atomic), now=AT).results] == [
            State.NOT_DUE if kept else State.DONE
        ]
    assert number > 10
    assert effects() == sorted(f"{name} {part}" for name in names for part in ("first", "second"))


@without_server
@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("atomic", [True, False])
def test_whatever_isolation_a_project_has_a_long_entry_commits_beside_heartbeats_and_other_runners(
    isolation: str, atomic: bool
) -> None:
    schedule = Schedule()
    others: list[State] = []

    def isolate(connection: Any, **_: Any) -> None:
        session = "SET SESSION TRANSACTION ISOLATION LEVEL"
        if connection.vendor == "postgresql":
            session = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL"
        with connection.cursor() as cursor:
            cursor.execute(f"{session} {isolation}")

    def look_in() -> None:
        try:
            others.extend(result.state for result in run(schedule, now=AT + timedelta(minutes=1)).results)
        finally:
            connections.close_all()

    def last_long() -> Any:
        two_effects("before")
        other = threading.Thread(target=look_in)
        other.start()
        time.sleep(0.8)  # two heartbeats
        other.join()
        return (lambda: two_effects("after")) if not atomic else two_effects("after")

    schedule.register(
        Frequency.HOURLY,
        last_long,
        name="it",
        atomic=atomic,
        calendar=Calendar(),
        lease=timedelta(seconds=1),
    )
    connection.close()
    connection_created.connect(isolate)
    try:
        (result,) = run(schedule, now=AT).results
    finally:
        connection_created.disconnect(isolate)
        connection.close()
    assert (result.state, result.message) == (State.DONE, "")
    assert others == [State.BUSY]
    assert effects() == ["after first", "after second", "before first", "before second"]


# As processes

HOLDING = """
    from datetime import datetime, timedelta

    from django.core.management import execute_from_command_line
    from stockandflow.periodic import Frequency, looping, schedule
    from stockandflow.periods import Calendar
    from tests.periodic.test_cut_off import two_effects

    looping.LONGEST_SLEEP = timedelta(seconds=1)

    def hold():
        two_effects("held")
        print("holding", flush=True)
        sys.stdin.readline()
        two_effects("then")

    schedule.register(
        Frequency.YEARLY, hold, name="it", calendar=Calendar(), lease=timedelta(seconds=1), catch_up="all"
    )
    execute_from_command_line(["manage.py", "run_periodic_schedule", "--only", "it", *sys.argv[2:]])
"""
BOTH = ["held first", "held second", "then first", "then second"]


@without_server
def test_a_run_that_is_cut_off_ends_with_1_and_the_next_one_makes_it_good() -> None:
    first = begun(HOLDING)
    assert hears(first) == "holding"
    assert cut_off_others() >= 1
    tell(first)
    _, failure = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "1 of 1 entries failed: it (" in failure
    assert effects() == []
    time.sleep(1.1)
    second = begun(HOLDING)
    assert hears(second) == "holding"
    tell(second)
    said(second)
    assert effects() == BOTH
    assert ScheduleRun.objects.get().status == "done"


@without_server
def test_a_loop_that_is_cut_off_in_an_entry_and_between_two_runs_goes_on_by_itself() -> None:
    loop = begun(HOLDING, arguments=("--loop",))
    assert hears(loop) == "Running 1 entries as they come due; Ctrl-C ends it."
    assert hears(loop) == "holding"
    cut_off_others()
    tell(loop)
    assert hears(loop).startswith("failed  it")
    assert effects() == []
    assert hears(loop) == "holding"
    tell(loop)
    assert hears(loop).startswith("done  it")
    assert effects() == BOTH
    cut_off_others()
    ScheduleRun.objects.all().delete()  # it is due again
    assert hears(loop) == "holding"
    tell(loop)
    assert hears(loop).startswith("done  it")
    assert len(effects()) == 2 * len(BOTH)
    loop.send_signal(signal.SIGTERM)
    assert said(loop).strip() == "Ended; nothing is held."


STALLING = """
    from datetime import timedelta

    from stockandflow.periodic import Frequency, Schedule, run
    from stockandflow.periods import Calendar
    from tests.periodic.test_cut_off import AT, two_effects

    def hold():
        if atomic:
            two_effects("stalled")
        print("holding", flush=True)
        sys.stdin.readline()
        return None if atomic else lambda: two_effects("stalled")

    atomic = sys.argv[2] == "True"
    schedule = Schedule()
    schedule.register(
        Frequency.HOURLY, hold, name="it", calendar=Calendar(), lease=timedelta(seconds=1), atomic=atomic
    )
    (result,) = run(schedule, now=AT).results
    print(result.state.value, result.message)
"""


@pytest.mark.parametrize("atomic", [True, False])
def test_a_runner_that_is_stopped_past_its_lease_can_commit_nothing_when_it_goes_on(atomic: bool) -> None:
    if atomic and connection.vendor == "sqlite":
        pytest.skip("on SQLite a stopped process keeps everybody from writing, so nobody takes over")
    stalled = begun(STALLING, arguments=(atomic,))
    assert hears(stalled) == "holding"
    os.kill(stalled.pid, signal.SIGSTOP)
    try:
        time.sleep(1.3)
        assert [result.state for result in run(of("it", atomic=atomic), now=AT).results] == [State.DONE]
    finally:
        os.kill(stalled.pid, signal.SIGCONT)
    tell(stalled)
    assert said(stalled).startswith("failed LeaseLost: ")
    assert effects() == ["it first", "it second"]
    row = ScheduleRun.objects.get()
    assert (row.status, row.attempt) == ("done", 2)


def test_on_sqlite_a_runner_that_is_stopped_in_its_transaction_is_the_only_one_to_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("elsewhere others can take over")
    stalled = begun(STALLING, arguments=(True,))
    assert hears(stalled) == "holding"
    os.kill(stalled.pid, signal.SIGSTOP)
    try:
        time.sleep(1.3)
        connection.close()
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.1)
        assert [result.state for result in run(of("it", atomic=True), now=AT).results] == [State.FAILED]
    finally:
        os.kill(stalled.pid, signal.SIGCONT)
    tell(stalled)
    assert said(stalled).startswith("done")
    assert effects() == ["stalled first", "stalled second"]
