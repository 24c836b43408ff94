"""Silence: when the ticks stop, it shows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from stockandflow.models import ScheduleEntry
from stockandflow.models.clock import DatabaseNow, database_now
from stockandflow.periodic import Frequency, Schedule, Silence, run, silence
from stockandflow.periodic import schedule as project
from tests.periodic.test_running import AT, DAY, HOUR, MINUTE, UTC_CALENDAR, of

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


def test_it_is_silent_once_the_next_run_is_five_minutes_late() -> None:
    schedule = of(Frequency.HOURLY)
    run(schedule, now=AT)
    due = AT.replace(minute=0) + HOUR
    assert silence(schedule, now=due + 5 * MINUTE) is None
    assert silence(schedule, now=due + 5 * MINUTE + SECOND) == Silence(AT)
    assert silence(schedule, now=due + HOUR, grace=DAY) is None
    run(schedule, now=due + 6 * MINUTE)
    assert silence(schedule, now=due + 7 * MINUTE) is None


def test_the_most_frequent_entry_says_how_often_it_is_to_be_run() -> None:
    schedule = of(Frequency.DAILY)
    schedule.register(Frequency.MINUTELY, int, name="often", calendar=UTC_CALENDAR)
    schedule.register(Frequency.NEVER, int, name="never", calendar=UTC_CALENDAR)
    run(schedule, now=AT)
    assert silence(schedule, now=AT + 7 * MINUTE) == Silence(AT)


def test_a_schedule_that_was_never_run_is_silent_and_one_that_never_runs_is_not() -> None:
    assert silence(of(Frequency.DAILY), now=AT) == Silence(None)
    assert silence(of(Frequency.NEVER), now=AT) is None
    assert silence(Schedule()) is None


def test_a_failing_entry_is_not_silence() -> None:
    def fail() -> None:
        raise ValueError("no")

    schedule = of(Frequency.MINUTELY, fail)
    for n in range(9):
        run(schedule, now=AT + n * MINUTE)
    assert silence(schedule, now=AT + 9 * MINUTE) is None


def test_when_the_ticks_stop_the_check_fails_and_it_is_silent() -> None:
    run(project)
    call_command("run_periodic_schedule", "--check")
    assert silence(project) is None
    ScheduleEntry.objects.update(
        seen_at=DatabaseNow() - 3 * DAY, high_water=database_now("default") - 3 * DAY
    )
    ScheduleEntry.objects.get(name="stockandflow.deliver").runs.all().delete()
    with pytest.raises(CommandError, match=r"overdue\. Look whether the schedule is still called"):
        call_command("run_periodic_schedule", "--check")
    found = silence(project)
    assert found is not None
    assert found.since is not None
    assert found.since < database_now("default") - 2 * DAY
