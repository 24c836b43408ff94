"""Ticks: what is due is sent by name, and sent again until somebody has run it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from stockandflow import periodic
from stockandflow.models import ScheduleEntry, ScheduleRun
from stockandflow.models.clock import DatabaseNow, database_now
from stockandflow.periodic import Outcome, Schedule, State, loop, run
from stockandflow.periods import Calendar
from tests.distributed.test_tasks import PACKAGE
from tests.testapp.models import Owner

pytestmark = pytest.mark.django_db


def effect(name: str) -> str:
    Owner.objects.create(name=name)
    return "one more"


def of(*names: str, **options: Any) -> Schedule:
    made = Schedule()
    for name in names:
        made.register(periodic.YEARLY, effect, [name], name=name, calendar=Calendar(), **options)
    return made


@pytest.fixture
def project() -> Iterator[Schedule]:
    """The project's schedule, with one entry."""
    with periodic.schedule.set_aside():
        periodic.schedule.register(periodic.YEARLY, effect, ["it"], name="it", calendar=Calendar())
        yield periodic.schedule


def states(outcome: Outcome) -> list[State]:
    return [result.state for result in outcome.results]


def test_what_is_due_is_sent_and_not_run_until_somebody_has_run_it() -> None:
    schedule = of("a", "b")
    sent: list[str] = []
    for _ in range(2):
        assert states(run(schedule, send=sent.append)) == [State.SENT, State.SENT]
    assert sent == ["a", "b", "a", "b"]
    assert not Owner.objects.exists()
    run(schedule, only=["a"])
    assert states(run(schedule, send=sent.append)) == [State.NOT_DUE, State.SENT]
    assert sent[4:] == ["b"]


def test_a_tick_takes_five_queries_however_many_are_due(django_assert_num_queries: Any) -> None:
    schedule = of(*"abcdef")
    run(schedule, send=str)
    with django_assert_num_queries(4):
        run(schedule, send=str)  # none was run, so there is nothing to note
    run(schedule, only=["a"])
    with django_assert_num_queries(5):
        run(schedule, send=str)


def test_an_entry_that_a_runner_is_at_is_not_sent_until_the_lease_is_over() -> None:
    schedule = of("a")
    sent: list[str] = []
    run(schedule, send=str)
    now = database_now("default")
    period = schedule.entry("a").period(now)
    assert period is not None
    held = ScheduleRun.objects.create(
        entry=ScheduleEntry.objects.get(name="a"),
        period_start=period.start,
        period_end=period.end,
        status=ScheduleRun.Status.RUNNING,
        leased_until=DatabaseNow() + timedelta(minutes=1),
    )
    assert states(run(schedule, send=sent.append)) == [State.BUSY]
    ScheduleRun.objects.filter(pk=held.pk).update(leased_until=DatabaseNow() - timedelta(seconds=1))
    assert states(run(schedule, send=sent.append)) == [State.SENT]
    assert sent == ["a"]


def test_an_entry_that_waits_for_its_next_period_is_sent_to_be_passed_over() -> None:
    schedule = of("a", catch_up="skip")
    assert states(run(schedule, send=lambda name: run(schedule, only=[name]))) == [State.SENT]
    assert states(run(schedule, send=str)) == [State.NOT_DUE]
    assert ScheduleRun.objects.get().status == ScheduleRun.Status.SKIPPED


def test_one_that_cannot_be_sent_stops_no_other() -> None:
    sent = []

    def send(name: str) -> None:
        if name == "a":
            raise ConnectionError("no broker")
        sent.append(name)

    outcome = run(of("a", "b"), send=send)
    assert states(outcome) == [State.FAILED, State.SENT]
    assert outcome.failed[0].message == "ConnectionError: no broker"
    assert sent == ["b"]


@pytest.mark.django_db(transaction=True)
def test_a_loop_sends_too() -> None:
    ended = threading.Event()
    sent: list[str] = []
    for outcome in loop(of("a"), ended, send=sent.append):
        assert isinstance(outcome, Outcome)
        ended.set()
    assert sent == ["a"]


def test_the_command_sends_to_the_queue_of_the_settings(settings: Any, project: Schedule) -> None:
    settings.STOCKANDFLOW = {"QUEUE": "tasks"}
    settings.TASKS = {"default": {"BACKEND": f"{PACKAGE}.backends.dummy.DummyBackend"}}
    said = io.StringIO()
    call_command("run_periodic_schedule", "--enqueue", stdout=said)
    assert said.getvalue().split()[:2] == ["sent", "it"]
    assert not Owner.objects.exists()


def test_the_command_says_which_setting_it_wants(settings: Any) -> None:
    with pytest.raises(CommandError, match=r"'QUEUE'.*'celery' or 'tasks'"):
        call_command("run_periodic_schedule", "--enqueue")
    settings.STOCKANDFLOW = {"QUEUE": "rabbits"}
    with pytest.raises(CommandError, match=r"'rabbits'.*'celery', 'tasks'"):
        call_command("run_periodic_schedule", "--enqueue")
