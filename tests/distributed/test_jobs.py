"""What a worker does for a message, also for one that comes twice or from another release."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from example.membership.models import Member, Plan, Status, WelcomeNote
from stockandflow import periodic
from stockandflow.distributed import deliver, run_entry
from stockandflow.models import ScheduleRun
from stockandflow.periods import Calendar

pytestmark = pytest.mark.django_db


def fail() -> None:
    raise RuntimeError("on fire")


@pytest.fixture(autouse=True)
def entries() -> Iterator[None]:
    """The project's schedule, with an entry that works and one that fails."""
    with periodic.schedule.set_aside():
        periodic.schedule.register(periodic.YEARLY, lambda: "one more", name="works", calendar=Calendar())
        periodic.schedule.register(periodic.YEARLY, fail, name="fails", calendar=Calendar())
        yield


def test_a_message_that_comes_twice_runs_its_entry_once() -> None:
    assert run_entry("works") == "done: one more"
    assert run_entry("works") == "not due"
    assert ScheduleRun.objects.get().attempt == 1


def test_an_entry_that_fails_is_noted_and_told_but_raises_nothing() -> None:
    assert run_entry("fails") == "failed: RuntimeError: on fire"
    assert ScheduleRun.objects.get().status == ScheduleRun.Status.FAILED


def test_a_message_for_an_entry_of_another_release_is_logged_and_dropped(caplog: Any) -> None:
    assert run_entry("works.once") == "dropped"
    assert "no entry 'works.once'" in caplog.text
    assert not ScheduleRun.objects.exists()


def test_what_a_database_holds_is_delivered_once() -> None:
    plan = Plan.objects.create(name="Solo", monthly_price=9)
    Member.objects.create(name="m", email="m@example.org", plan=plan)
    Member.objects.update(status=Status.ACTIVE)
    assert deliver("default") == "1 delivered"
    assert deliver("default") == "nothing to deliver"
    assert WelcomeNote.objects.count() == 1


def test_a_message_for_a_database_of_another_release_is_logged_and_dropped(caplog: Any) -> None:
    assert deliver("archive") == "dropped"
    assert "'archive'" in caplog.text
