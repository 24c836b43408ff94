"""``manage.py run_periodic_schedule`` runs what is due, and says so in a line for each entry."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from stockandflow import periodic
from stockandflow.management.commands.run_periodic_schedule import _period
from stockandflow.models import ScheduleEntry, ScheduleRun
from stockandflow.models.clock import database_now
from stockandflow.periodic import Schedule
from stockandflow.periods import Calendar

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
NIGHT = r"\d{4}-\d\d-\d\d 00:00 UTC"
DATE = r"\d{4}-\d\d-\d\d"


@pytest.fixture
def schedule(monkeypatch: pytest.MonkeyPatch) -> Schedule:
    """The project's schedule with two entries of its own instead of the example's."""
    monkeypatch.setattr(periodic.schedule, "_entries", {})
    periodic.schedule.register(periodic.DAILY, lambda: "swept", name="sweeping", calendar=Calendar())
    periodic.schedule.register(periodic.NEVER, lambda: "asked", name="asking")
    return periodic.schedule


def fail() -> None:
    raise RuntimeError("the printer\nis on fire")


def called(*arguments: str, **options: Any) -> tuple[list[str], str]:
    """The lines on stdout, and stderr."""
    out, err = StringIO(), StringIO()
    call_command("run_periodic_schedule", *arguments, stdout=out, stderr=err, **options)
    return out.getvalue().splitlines(), err.getvalue()


def matches(lines: list[str], *patterns: str) -> None:
    assert len(lines) == len(patterns), lines
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), f"{line!r} is no {pattern!r}"


@pytest.mark.usefixtures("schedule")
def test_a_run_tells_what_ran_for_which_period_how_long_and_with_what_message() -> None:
    lines, err = called()
    matches(lines, rf"done   sweeping  {DATE}  \d+\.\d\d s  swept", "never  asking")
    assert err == ""


@pytest.mark.parametrize(
    ("expression", "period"),
    [
        ("30 7 * * *", rf"({DATE}) 07:30 to (?!\1){DATE} 07:30 UTC"),
        ("*/20 * * * *", rf"{DATE} \d\d:[024]0 to ({DATE} 00:00|\d\d:[024]0) UTC"),
    ],
)
def test_a_period_that_ends_on_another_date_is_told_with_it(
    schedule: Schedule, expression: str, period: str
) -> None:
    schedule.register(expression, lambda: None, name="weighing", calendar=Calendar())
    (line,), _ = called("--dry-run", "--only", "weighing")
    assert re.fullmatch(rf"due  weighing  {period}", line)


@pytest.mark.usefixtures("schedule")
def test_a_second_run_tells_when_it_is_due_next() -> None:
    called()
    matches(called()[0], rf"not due  sweeping  next {NIGHT}", "never    asking")
    assert ScheduleRun.objects.count() == 1


def test_a_failing_entry_is_told_its_traceback_is_logged_and_the_command_fails(
    schedule: Schedule, caplog: pytest.LogCaptureFixture
) -> None:
    schedule.register(periodic.HOURLY, fail, name="printing")
    schedule.register(periodic.HOURLY, lambda: "after it", name="posting")
    out = StringIO()
    told = (
        r"1 of 4 entries failed: printing \(RuntimeError: the printer is on fire\)\. The next run tries again"
    )
    with pytest.raises(CommandError, match=told) as failed:
        call_command("run_periodic_schedule", stdout=out)
    assert failed.value.returncode == 1
    matches(
        out.getvalue().splitlines(),
        r"done    sweeping  .*",
        r"never   asking",
        r"failed  printing  .* to \d\d:00 \w+ +\d+\.\d\d s  RuntimeError: the printer is on fire",
        r"done    posting   .*after it",
    )
    assert "The schedule's entry 'printing' failed" in caplog.text
    assert "in fail" in caplog.text


def test_without_verbosity_only_failures_are_told(schedule: Schedule) -> None:
    assert called(verbosity=0) == ([], "")
    schedule.register(periodic.HOURLY, fail, name="printing")
    with pytest.raises(CommandError, match="printing"):
        called(verbosity=0)


def test_only_the_named_entries_are_run(schedule: Schedule) -> None:
    schedule.register(periodic.HOURLY, fail, name="printing")
    matches(called("--only", "sweeping", "--only", "asking")[0], "done   sweeping .*", "never  asking")


@pytest.mark.usefixtures("schedule")
def test_an_unknown_name_is_told_with_the_nearest_one() -> None:
    with pytest.raises(CommandError, match=r"no entry 'sweepin'\. Did you mean 'sweeping'"):
        called("--only", "sweepin")


@pytest.mark.usefixtures("schedule")
def test_a_dry_run_says_what_would_run_and_runs_nothing() -> None:
    matches(called("--dry-run")[0], rf"due    sweeping  {DATE}", "never  asking")
    assert not ScheduleEntry.objects.exists()
    called()
    matches(called("--dry-run")[0], rf"not due  sweeping  next {NIGHT}", "never    asking")


def test_a_dry_run_counts_the_periods_that_are_to_be_caught_up_with(schedule: Schedule) -> None:
    schedule.register(periodic.WEEKLY, lambda: None, name="weighing", catch_up="all", calendar=Calendar())
    periodic.run(schedule, now=database_now("default") - 22 * DAY, only=["weighing"])
    (line,), _ = called("--dry-run", "--only", "weighing")
    assert re.fullmatch(rf"due  weighing  {DATE} to {DATE} and [23] more", line)


def test_the_list_has_frequency_next_due_and_last_run(schedule: Schedule) -> None:
    schedule.register(periodic.DAILY, fail, name="printing", calendar=Calendar())
    listed, _ = called("--list")
    matches(
        listed,
        rf"due    sweeping  daily  since {NIGHT}  never run",
        "never  asking    never +never run",
        rf"due    printing  daily  since {NIGHT}  never run",
    )
    with pytest.raises(CommandError):
        called()
    matches(
        called("--list")[0],
        rf"not due  sweeping  daily  next {NIGHT}   last done {DATE} \d\d:\d\d UTC in \d+\.\d\d s: swept",
        "never    asking    never +never run",
        rf"due      printing  daily  since {NIGHT}  last failed .*: RuntimeError: the printer is on fire",
    )


def test_a_gap_and_a_period_that_was_passed_over_are_told(schedule: Schedule) -> None:
    schedule.register(periodic.DAILY, lambda: "s", name="skipping", catch_up="skip", calendar=Calendar())
    periodic.run(schedule, now=database_now("default") - 3 * DAY)
    swept, _, skipped = called()[0]
    assert re.fullmatch(rf"done     sweeping  {DATE}  \d+\.\d\d s  swept \(none since {NIGHT}\)", swept)
    assert re.fullmatch(
        rf"skipped  skipping  {DATE} +begun before this run; next {NIGHT} \(none since {NIGHT}\)", skipped
    )


def test_an_empty_schedule_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periodic.schedule, "_entries", {})
    assert called() == (["The schedule is empty."], "")


def test_listing_and_a_dry_run_exclude_each_other() -> None:
    with pytest.raises(CommandError, match="not allowed with"):
        called("--list", "--dry-run")


def test_the_example_runs_its_whole_schedule() -> None:
    lines, _ = called()
    assert [line.split()[0] for line in lines] == ["done"] * len(periodic.schedule.entries)
    assert {line.split()[1] for line in lines} >= {"stockandflow.record", "stockandflow.deliver"}


def test_a_check_is_silent_about_what_is_done_and_names_what_is_overdue(schedule: Schedule) -> None:
    with pytest.raises(
        CommandError, match=r"1 of 2 entries are overdue\. Look whether the schedule is still called"
    ):
        called("--check", "--grace", "0")
    called()
    assert called("--check", "--grace", "0")[0] == ["Nothing is overdue."]
    schedule.register(periodic.MINUTELY, fail, name="printing")
    with pytest.raises(CommandError, match="1 of 3 entries failed"):
        called()
    assert called("--check")[0] == ["Nothing is overdue."], "it may be late by five minutes"
    ScheduleEntry.objects.filter(name="printing").update(high_water=database_now("default") - DAY / 2)
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 3 entries are overdue"):
        call_command("run_periodic_schedule", "--check", stdout=out)
    matches(
        out.getvalue().splitlines(),
        r"overdue  printing  by 11 h 5\d min  last failed .*: RuntimeError: the printer is on fire",
    )


def test_what_a_runner_is_at_is_not_overdue(schedule: Schedule) -> None:
    called()
    ScheduleEntry.objects.update(high_water=database_now("default") - 3 * DAY)
    leased = database_now("default") + timedelta(minutes=1)
    ScheduleRun.objects.update(status=ScheduleRun.Status.RUNNING, leased_until=leased)
    assert called("--check")[0] == ["Nothing is overdue."]
    ScheduleRun.objects.update(leased_until=leased - timedelta(minutes=2))
    with pytest.raises(CommandError, match="overdue"):
        called("--check")


@pytest.mark.usefixtures("schedule")
@pytest.mark.parametrize("seconds", ["soon", "-1", "nan", "1e99"])
def test_a_grace_that_is_no_time_is_told(seconds: str) -> None:
    with pytest.raises(CommandError, match=f"{seconds!r} is no number of seconds; write e.g. 300"):
        call_command("run_periodic_schedule", "--check", f"--grace={seconds}")


@pytest.mark.parametrize(
    ("frequency", "hour", "shown"),
    [
        (periodic.HOURLY, 22, "2026-11-26 22:00 to 23:00 UTC"),
        (periodic.HOURLY, 23, "2026-11-26 23:00 to 00:00 UTC"),
        ("30 7 * * *", 8, "2026-11-26 07:30 to 2026-11-27 07:30 UTC"),
        (periodic.DAILY, 8, "2026-11-26"),
        (periodic.WEEKLY, 8, "2026-11-23 to 2026-11-29"),
    ],
)
def test_a_period_has_the_date_of_its_end_where_that_is_another_day(
    frequency: str, hour: int, shown: str
) -> None:
    entry = Schedule().register(frequency, list, name="it", calendar=Calendar())
    period = entry.period(datetime(2026, 11, 26, hour, 10, tzinfo=UTC))
    assert period is not None
    assert _period(entry, period) == shown
