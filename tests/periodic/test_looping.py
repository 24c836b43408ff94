"""The loop: runs what is due until a signal says to end, and outlives a database that is away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, Error, connection
from django.utils import timezone

from stockandflow.models import ScheduleRun
from stockandflow.periodic import Frequency, Outcome, Schedule, State, ended_by_signals, loop
from stockandflow.periodic.looping import LONGEST_SLEEP, _sleep
from stockandflow.periodic.running import Result
from stockandflow.periods import Calendar

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db(transaction=True)


def of(to_call: Any, frequency: Frequency = Frequency.MINUTELY) -> Schedule:
    schedule = Schedule()
    schedule.register(frequency, to_call, name="entry", calendar=Calendar())
    return schedule


def states(outcome: Outcome | Error) -> list[State]:
    assert isinstance(outcome, Outcome), outcome
    return [result.state for result in outcome.results]


def test_it_runs_what_is_due_and_ends_when_told_between_two_entries() -> None:
    ended = threading.Event()
    schedule = of(ended.set)
    schedule.register(Frequency.HOURLY, lambda: "too late", name="second")
    assert [states(outcome) for outcome in loop(schedule, ended)] == [[State.DONE]]
    assert [run.entry.name for run in ScheduleRun.objects.all()] == ["entry"]


def test_it_runs_again_as_soon_as_something_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, slept = threading.Event(), []

    def wait(seconds: float) -> bool:
        slept.append(seconds)
        if len(slept) == 2:
            ended.set()
        return ended.is_set()

    monkeypatch.setattr(ended, "wait", wait)
    assert len(list(loop(of(lambda: None), ended))) == 2
    assert all(1 <= seconds <= 60 for seconds in slept)


def test_it_sleeps_until_the_next_is_due_and_a_minute_at_most() -> None:
    schedule, at = of(lambda: None), timezone.now()
    (entry,) = schedule.entries

    def sleep(*waits: tuple[State, float]) -> float:
        results = tuple(
            Result(entry, state, next_due=at + timedelta(seconds=seconds)) for state, seconds in waits
        )
        return _sleep(Outcome(at, results)).total_seconds()

    assert sleep((State.NOT_DUE, 7200), (State.DONE, 12)) == 12
    assert sleep((State.NOT_DUE, 7200)) == LONGEST_SLEEP.total_seconds()
    assert sleep((State.FAILED, 12), (State.BUSY, 5)) == LONGEST_SLEEP.total_seconds()
    assert sleep() == LONGEST_SLEEP.total_seconds()


def test_a_database_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, calls = threading.Event(), 0
    monkeypatch.setattr("stockandflow.periodic.looping.SHORTEST_SLEEP", timedelta(milliseconds=1))

    def away(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise DatabaseError("the database is away")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(away):
        found = list(loop(of(ended.set), ended))
    assert [type(outcome).__name__ for outcome in found] == ["DatabaseError"] * 3 + ["Outcome"]
    assert states(found[-1]) == [State.DONE]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_noted_and_the_second_ends_the_process(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with ended_by_signals() as ended:
        os.kill(os.getpid(), number)
        assert ended.wait(5)
        with pytest.raises(SystemExit) as exit_:
            signal.raise_signal(number)
    assert exit_.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_in_another_thread_signals_stay_as_they_are() -> None:
    before, found = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with ended_by_signals() as ended:
            found.append((ended.is_set(), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, before)]


LOOPING = """
    import sys, time

    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    connection.settings_dict["NAME"] = sys.argv[1]
    from stockandflow import periodic
    from stockandflow.periods import Calendar

    def slow():
        print("at it", flush=True)
        time.sleep(1.5)
        return "done all the same"

    with periodic.schedule.set_aside():
        periodic.schedule.register(periodic.HOURLY, slow, name="slow", calendar=Calendar())
        periodic.schedule.register(periodic.HOURLY, slow, name="later", calendar=Calendar())
        call_command("run_periodic_schedule", "--loop")
"""


def test_a_process_that_is_told_to_end_finishes_what_it_is_at_and_holds_nothing() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LOOPING), str(connection.settings_dict["NAME"])],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = [process.stdout.readline(), process.stdout.readline()]
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)
    assert told == ["Running 2 entries as they come due; Ctrl-C ends it.\n", "at it\n"]
    assert "done all the same" in rest
    assert rest.splitlines()[-1] == "Ended; nothing is held."
    assert process.returncode == 0
    assert [(run.entry.name, run.status) for run in ScheduleRun.objects.all()] == [("slow", "done")]
