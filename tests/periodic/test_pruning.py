"""Old runs are deleted; no period is run again for it, and none is lost, whatever the clock says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stockandflow.exceptions import InvalidInput
from stockandflow.models import ScheduleEntry, ScheduleRun
from stockandflow.periodic import Frequency, look, prune_runs, run
from tests.periodic.test_running import AT, DAY, HOUR, MINUTE, effects, of, runs, states

pytestmark = pytest.mark.django_db


def test_runs_whose_periods_ended_long_ago_go_and_the_entrys_latest_stays() -> None:
    schedule = of(Frequency.HOURLY)
    for n in range(5):
        run(schedule, now=AT + n * HOUR)
    start = AT.replace(minute=0)
    assert prune_runs(DAY, now=AT + DAY + 2 * HOUR) == 2
    assert runs() == [start + n * HOUR for n in (2, 3, 4)]
    assert prune_runs(DAY, now=AT + DAY + 2 * HOUR) == 0
    assert prune_runs(DAY, now=AT + 90 * DAY) == 2
    assert runs() == [start + 4 * HOUR], "never below the high-water mark"
    assert look(schedule, now=AT + 90 * DAY)[0].last_run == ScheduleRun.objects.get()


def test_failed_ones_go_too_and_one_that_somebody_is_at_stays() -> None:
    schedule = of(Frequency.HOURLY)
    for n in range(4):
        run(schedule, now=AT + n * HOUR)
    first, second, *_ = ScheduleRun.objects.order_by("period_start")
    ScheduleRun.objects.filter(pk=first.pk).update(status="failed")
    ScheduleRun.objects.filter(pk=second.pk).update(status="running")
    assert prune_runs(DAY, now=AT + 9 * DAY) == 2
    assert [row.status for row in ScheduleRun.objects.order_by("period_start")] == ["running", "done"]


@pytest.mark.parametrize("catch_up", ["latest", "all"])
@pytest.mark.parametrize("jump", [HOUR, -HOUR, DAY, -DAY, -30 * DAY])
def test_clocks_that_jump_re_run_and_lose_nothing_after_pruning_either(
    jump: timedelta, catch_up: str
) -> None:
    schedule = of(Frequency.TWELVE_MINUTELY, catch_up=catch_up)
    ticks = [AT + n * 12 * MINUTE for n in range(12)]
    seen = set()
    for number, at in enumerate(ticks):
        for skewed in (at, at + jump) if number >= 6 else (at,):
            run(schedule, now=skewed)
            seen.update(runs())
            prune_runs(HOUR, now=at)
    assert effects() == len(seen), "none twice"
    assert {at - 2 * MINUTE for at in ticks} <= seen, "none lost"


def test_a_runner_that_is_behind_what_is_kept_finds_nothing_due() -> None:
    schedule = of(Frequency.HOURLY)
    for n in range(4):
        run(schedule, now=AT + n * HOUR)
    assert prune_runs(DAY, now=AT + 9 * DAY) == 3
    assert states(schedule, AT) == ["not due"]
    assert look(schedule, now=AT)[0].due == ()
    assert states(schedule, AT - 9 * DAY) == ["not due"]
    assert states(schedule, AT + 4 * HOUR) == ["done"]


def test_an_entry_that_is_re_timed_runs_for_its_longer_period() -> None:
    for n in range(4):
        run(of(Frequency.HOURLY), now=AT + n * HOUR)
    prune_runs(HOUR, now=AT + 4 * HOUR)
    assert states(of(Frequency.YEARLY), AT + 4 * HOUR) == ["done"]


def test_an_entry_that_was_never_run_has_nothing_to_prune() -> None:
    ScheduleEntry.objects.create(name="new")
    assert prune_runs(DAY) == 0
    assert ScheduleEntry.objects.get().kept_since is None


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(InvalidInput):
        prune_runs(DAY, now=AT.replace(tzinfo=None))
