"""A missed period: it is named, and run on its own, once, whoever asks for it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest

from stockandflow.exceptions import InvalidInput
from stockandflow.models import ScheduleEntry, ScheduleRun
from stockandflow.models.clock import DatabaseNow
from stockandflow.periodic import Bounds, Frequency, Schedule, State, overview, prune_runs, run, run_period
from tests.periodic.test_running import AT, DAY, HOUR, UTC_CALENDAR, effect, effects, of
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db
MIDNIGHT = AT.replace(hour=0, minute=0)


class Told:
    """Keeps the periods that it was called for, and fails while told to."""

    def __init__(self) -> None:
        self.periods: list[datetime] = []
        self.fails = False

    def __call__(self, period: Bounds) -> str:
        self.periods.append(period.start)
        effect()
        if self.fails:
            raise ValueError("no")
        return f"{period.start:%d}"


def daily(to_call: Any, **options: Any) -> Schedule:
    """A daily entry that was run three days before AT, and then at AT: two periods were missed."""
    schedule = of(Frequency.DAILY, to_call, **options)
    run(schedule, now=AT - 3 * DAY)
    run(schedule, now=AT)
    return schedule


def missed(schedule: Schedule, now: datetime = AT) -> list[datetime]:
    (found,) = overview(schedule, now=now)
    return [period.start for period in found.missed]


def test_the_periods_of_a_gap_are_named_newest_first_and_gone_once_they_are_run() -> None:
    told = Told()
    schedule = daily(told)
    assert missed(schedule) == [MIDNIGHT - DAY, MIDNIGHT - 2 * DAY]
    result = run_period(schedule, "it", MIDNIGHT - 2 * DAY, now=AT)
    assert (result.state, result.message) == (State.DONE, "16")
    assert told.periods == [MIDNIGHT - 3 * DAY, MIDNIGHT, MIDNIGHT - 2 * DAY]
    assert missed(schedule) == [MIDNIGHT - DAY]
    (found,) = overview(schedule, now=AT)
    assert [row.period_start for row in found.runs] == [MIDNIGHT, MIDNIGHT - 2 * DAY, MIDNIGHT - 3 * DAY]


def test_a_period_is_run_once_only() -> None:
    schedule = daily(Told())
    run_period(schedule, "it", MIDNIGHT - DAY, now=AT)
    again = run_period(schedule, "it", MIDNIGHT - DAY, now=AT)
    assert (again.state, again.message) == (State.NOT_DUE, "it was run for that period already")
    assert run_period(schedule, "it", MIDNIGHT - 3 * DAY, now=AT).state is State.NOT_DUE
    assert effects() == 3


@pytest.mark.django_db(transaction=True)
def test_of_many_who_ask_at_once_one_runs_the_period() -> None:
    gate = threading.Event()

    def slow(period: Bounds) -> None:
        effect()
        gate.wait(0.2)

    schedule = daily(slow)
    states: list[State] = []
    side_by_side(
        *[lambda: states.append(run_period(schedule, "it", MIDNIGHT - DAY, now=AT).state)] * 5,
        lambda: run(schedule, now=AT),
    )
    assert states.count(State.DONE) == 1
    assert set(states) <= {State.DONE, State.BUSY, State.NOT_DUE}
    assert effects() == 3
    assert ScheduleRun.objects.filter(period_start=MIDNIGHT - DAY).count() == 1


def test_the_days_of_silence_are_missed_before_anybody_runs_the_schedule_again() -> None:
    schedule = daily(Told())
    later = AT + 3 * DAY
    assert missed(schedule, later)[:2] == [MIDNIGHT + 2 * DAY, MIDNIGHT + DAY]
    run_period(schedule, "it", MIDNIGHT + 2 * DAY, now=later)
    assert missed(schedule, later)[0] == MIDNIGHT + DAY
    run(schedule, now=later)
    assert missed(schedule, later) == [MIDNIGHT + DAY, MIDNIGHT - DAY, MIDNIGHT - 2 * DAY]


def test_running_a_missed_period_is_not_taken_for_a_run_of_the_schedule() -> None:
    schedule = daily(Told())
    seen = ScheduleEntry.objects.get().seen_at
    run_period(schedule, "it", MIDNIGHT - DAY, now=AT + DAY)
    assert ScheduleEntry.objects.get().seen_at == seen


def test_a_failed_period_is_missed_once_it_is_over_and_can_be_run_again() -> None:
    told = Told()
    schedule = daily(told)
    told.fails = True
    run(schedule, now=AT + DAY)
    assert MIDNIGHT + DAY not in missed(schedule, AT + DAY)
    assert missed(schedule, AT + 2 * DAY)[0] == MIDNIGHT + DAY
    failed = run_period(schedule, "it", MIDNIGHT + DAY, now=AT + 2 * DAY)
    assert (failed.state, failed.message) == (State.FAILED, "ValueError: no")
    assert "raise ValueError" in ScheduleRun.objects.get(period_start=MIDNIGHT + DAY).traceback
    told.fails = False
    assert run_period(schedule, "it", MIDNIGHT + DAY, now=AT + 2 * DAY).state is State.DONE
    assert MIDNIGHT + DAY not in missed(schedule, AT + 2 * DAY)


def test_a_period_that_was_passed_over_can_be_run_by_hand() -> None:
    schedule = daily(Told(), catch_up="skip")
    assert ScheduleRun.objects.get(period_start=MIDNIGHT).status == "skipped"
    assert MIDNIGHT not in missed(schedule)
    assert missed(schedule, AT + DAY)[0] == MIDNIGHT
    assert run_period(schedule, "it", MIDNIGHT, now=AT + DAY).state is State.DONE


def test_a_runner_at_the_entry_is_left_alone() -> None:
    schedule = daily(Told())
    ScheduleRun.objects.filter(period_start=MIDNIGHT).update(
        status="running", leased_until=DatabaseNow() + HOUR
    )
    result = run_period(schedule, "it", MIDNIGHT - DAY, now=AT)
    assert (result.state, result.message) == (State.BUSY, "another runner is at it")
    assert not ScheduleRun.objects.filter(period_start=MIDNIGHT - DAY).exists()


def test_a_period_whose_run_would_have_been_deleted_is_run_no_more() -> None:
    schedule = daily(Told())
    prune_runs(timedelta(hours=1), now=AT)
    assert missed(schedule) == []
    assert run_period(schedule, "it", MIDNIGHT - DAY, now=AT).state is State.NOT_DUE
    assert effects() == 2


def test_what_cannot_be_run_for_one_period_is_refused_with_what_to_do() -> None:
    schedule = daily(Told(), catch_up="all")
    schedule.register(Frequency.DAILY, effect, name="untold", calendar=UTC_CALENDAR)
    schedule.register(Frequency.NEVER, Told(), name="never", calendar=UTC_CALENDAR)
    schedule.register(Frequency.DAILY, Told(), name="told", calendar=UTC_CALENDAR)
    for name, start, why in (
        ("it", MIDNIGHT - DAY, "catches up with what was missed by itself"),
        ("untold", MIDNIGHT - DAY, "give it a parameter of that name"),
        ("never", MIDNIGHT - DAY, "it never runs"),
        ("told", MIDNIGHT - HOUR, r"nearest begins at 2025-06-17T00:00"),
        ("told", MIDNIGHT, "isn't over; run what is due of it instead"),
        ("tolled", MIDNIGHT, "Did you mean 'told'"),
    ):
        with pytest.raises(InvalidInput, match=why):
            run_period(schedule, name, start, now=AT)
    assert [found.missed for found in overview(schedule, now=AT)] == [()] * 4


def test_more_missed_periods_than_are_listed_are_hinted_at() -> None:
    told = Told()
    schedule = of(Frequency.HOURLY, told)
    run(schedule, now=AT)
    run(schedule, now=AT + 9 * DAY)
    (found,) = overview(schedule, now=AT + 9 * DAY)
    assert (len(found.missed), found.more_missed) == (12, True)
    (gap,) = found.gaps
    assert gap.until - gap.since == 9 * DAY - HOUR


def test_the_queries_of_an_overview_grow_neither_with_the_entries_nor_with_the_runs(
    django_assert_num_queries: Any,
) -> None:
    schedule = daily(Told())
    with django_assert_num_queries(7):
        overview(schedule, now=AT)
    for number in range(6):
        schedule.register(Frequency.DAILY, Told(), name=f"n{number}", calendar=UTC_CALENDAR)
    for n in range(30):
        run(schedule, now=AT + 2 * n * DAY)
    with django_assert_num_queries(7):
        found = overview(schedule, now=AT + 60 * DAY)
    assert [len(one.runs) for one in found] == [24] * 7
