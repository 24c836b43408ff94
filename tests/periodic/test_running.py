"""Running the schedule: each entry once for each period, each failing alone, whatever the clock and the runners do."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from stockandflow.exceptions import InvalidInput
from stockandflow.models import ScheduleEntry, ScheduleRun, StockRecord
from stockandflow.models.clock import database_now
from stockandflow.periodic import Frequency, Schedule, State, look, run
from stockandflow.periods import Calendar
from tests.threads import side_by_side

AT = datetime(2025, 6, 18, 14, 38, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
UTC_CALENDAR = Calendar()


def effect(name: str = "effect") -> str:
    """Leave one row in the database for each call that committed."""
    StockRecord.objects.create(stock=name, timestamp=database_now("default"), count=1)
    time.sleep(0.002)  # SQLite's clock has milliseconds, and a record is known by stock and instant
    return "one more"


def effects(name: str = "effect") -> int:
    return StockRecord.objects.filter(stock=name).count()


def of(frequency: Frequency, to_call: Callable[..., Any] = effect, **options: Any) -> Schedule:
    """A schedule of one entry, named "it"."""
    schedule = Schedule()
    schedule.register(frequency, to_call, **{"name": "it", "calendar": UTC_CALENDAR, **options})
    return schedule


def states(schedule: Schedule, at: datetime) -> list[str]:
    return [result.state.value for result in run(schedule, now=at).results]


def runs(status: str = "done") -> list[datetime]:
    return sorted(ScheduleRun.objects.filter(status=status).values_list("period_start", flat=True))


class Flaky:
    """Fails while told to, after leaving an effect that must not stay."""

    def __init__(self) -> None:
        self.fails = True
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        effect()
        if self.fails:
            raise RuntimeError("the printer is on fire")
        return "printed"


@pytest.mark.django_db
def test_a_new_entry_runs_for_the_period_under_way_and_once() -> None:
    schedule = of(Frequency.HOURLY)
    outcome = run(schedule, now=AT)
    (result,) = outcome.results
    assert (result.state, result.message, result.missed_since) == (State.DONE, "one more", None)
    assert result.period == (AT.replace(minute=0), AT.replace(hour=15, minute=0))
    assert result.next_due == AT.replace(hour=15, minute=0)
    assert outcome.failed == []
    assert [states(schedule, AT + n * MINUTE) for n in (0, 1, 21)] == [["not due"]] * 3
    assert states(schedule, AT + 22 * MINUTE) == ["done"]
    assert effects() == 2


@pytest.mark.django_db
def test_a_run_is_kept_with_its_period_message_and_duration() -> None:
    run(of(Frequency.DAILY, lambda: 17, atomic=False), now=AT)
    row = ScheduleRun.objects.get()
    assert (row.entry.name, row.status, row.message, row.attempt) == ("it", "done", "17", 1)
    assert (row.period_start, row.period_end) == (
        AT.replace(hour=0, minute=0),
        datetime(2025, 6, 19, tzinfo=UTC),
    )
    assert row.started_at is not None
    assert row.finished_at is not None
    assert row.started_at <= row.finished_at
    assert row.duration is not None
    assert row.leased_until is None
    assert row.entry.high_water == row.period_start
    assert row.entry.seen_at == AT


@pytest.mark.django_db
def test_a_long_message_is_cut_and_none_is_empty() -> None:
    schedule = of(Frequency.DAILY, lambda: "x" * 5000)
    schedule.register(Frequency.DAILY, lambda: None, name="silent", calendar=UTC_CALENDAR)
    assert [len(result.message) for result in run(schedule, now=AT).results] == [2000, 0]


@pytest.mark.django_db
def test_without_an_instant_the_databases_clock_decides() -> None:
    schedule = of(Frequency.MONTHLY)
    outcome = run(schedule)
    assert abs(outcome.at - database_now("default")) < HOUR
    assert runs() == [outcome.at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)]


@pytest.mark.django_db
def test_an_entry_that_never_runs_is_shown_and_leaves_nothing() -> None:
    schedule = of(Frequency.NEVER)
    assert states(schedule, AT) == ["never"]
    assert look(schedule, now=AT)[0].next_due is None
    assert not ScheduleEntry.objects.exists()


@pytest.mark.django_db
def test_a_naive_instant_and_an_unknown_name_are_refused() -> None:
    schedule = of(Frequency.DAILY)
    with pytest.raises(InvalidInput, match="now is the naive datetime"):
        run(schedule, now=datetime(2025, 6, 1))  # noqa: DTZ001
    with pytest.raises(InvalidInput, match="Did you mean 'it'"):
        run(schedule, now=AT, only=["itt"])
    assert effects() == 0


@pytest.mark.django_db
def test_only_the_named_entries_run() -> None:
    schedule = of(Frequency.DAILY)
    schedule.register(Frequency.DAILY, effect, ["other"], name="other", calendar=UTC_CALENDAR)
    assert [result.entry.name for result in run(schedule, now=AT, only=["other"]).results] == ["other"]
    assert (effects(), effects("other")) == (0, 1)


@pytest.mark.django_db
def test_four_queries_when_nothing_is_due(django_assert_num_queries: Any) -> None:
    schedule = Schedule()
    for name in ("a", "b", "c"):
        schedule.register(Frequency.FOUR_WEEKLY, effect, [name], name=name, calendar=UTC_CALENDAR)
    run(schedule)
    with django_assert_num_queries(4):
        assert {result.state for result in run(schedule).results} == {State.NOT_DUE}


@pytest.mark.django_db
@pytest.mark.parametrize("failing", range(4))
def test_the_failing_entry_neither_stops_nor_loses_another(failing: int) -> None:
    schedule, flaky = Schedule(), Flaky()
    for n in range(4):
        to_call, args = (flaky, []) if n == failing else (effect, [f"effect {n}"])
        schedule.register(Frequency.DAILY, to_call, args, name=f"entry {n}", calendar=UTC_CALENDAR)
    outcome = run(schedule, now=AT)
    assert [result.state for result in outcome.results] == [
        State.FAILED if n == failing else State.DONE for n in range(4)
    ]
    assert [result.entry.name for result in outcome.failed] == [f"entry {failing}"]
    assert [effects(f"effect {n}") for n in range(4)] == [int(n != failing) for n in range(4)]
    assert effects() == 0, "what a failing entry did is taken back"

    again = run(schedule, now=AT + MINUTE)
    assert [result.entry.name for result in again.failed] == [f"entry {failing}"]
    flaky.fails = False
    assert [result.state for result in run(schedule, now=AT + 2 * MINUTE).results] == [
        State.DONE if n == failing else State.NOT_DUE for n in range(4)
    ]
    assert (effects(), flaky.calls) == (1, 3)


@pytest.mark.django_db
def test_a_failure_is_kept_with_its_traceback_until_a_later_attempt_is_done() -> None:
    flaky = Flaky()
    schedule = of(Frequency.DAILY, flaky)
    (result,) = run(schedule, now=AT).failed
    row = ScheduleRun.objects.get()
    assert row.message == result.message == "RuntimeError: the printer is on fire"
    assert "in __call__" in row.traceback
    assert (row.status, row.attempt, row.leased_until) == ("failed", 1, None)
    assert row.entry.high_water is None
    flaky.fails = False
    run(schedule, now=AT)
    row.refresh_from_db()
    assert (row.status, row.attempt, row.message, row.traceback) == ("done", 2, "printed", "")


@pytest.mark.django_db
def test_a_failed_period_is_left_once_the_next_one_is_under_way_and_its_gap_is_visible() -> None:
    flaky = Flaky()
    schedule = of(Frequency.DAILY, flaky)
    flaky.fails = False
    run(schedule, now=AT - DAY)
    flaky.fails = True
    run(schedule, now=AT)
    flaky.fails = False
    (result,) = run(schedule, now=AT + DAY).results
    today = AT.replace(hour=0, minute=0)
    assert runs() == [today - DAY, today + DAY]
    assert runs("failed") == [today]
    assert result.missed_since == today


@pytest.mark.django_db
def test_an_entry_that_leaves_the_transaction_broken_stops_no_other() -> None:
    def broken() -> None:
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")
        StockRecord.objects.count()
        raise ValueError("and on top of it")

    schedule = of(Frequency.DAILY, broken)
    schedule.register(Frequency.DAILY, effect, name="next", calendar=UTC_CALENDAR)
    assert states(schedule, AT) == ["failed", "done"]


@pytest.mark.django_db
def test_a_process_that_is_told_to_end_frees_what_it_holds() -> None:
    def stop() -> None:
        effect()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(of(Frequency.DAILY, stop), now=AT)
    row = ScheduleRun.objects.get()
    assert (row.status, row.leased_until, row.message) == ("failed", None, "KeyboardInterrupt: ")
    assert effects() == 0
    assert states(of(Frequency.DAILY), AT) == ["done"]


# Catch-up. The schedule is away for three days: from the 18th, 14:38, to the 21st, 14:38.

BACK = AT + 3 * DAY


def days(*numbers: int) -> list[datetime]:
    return [datetime(2025, 6, number, tzinfo=UTC) for number in numbers]


@pytest.mark.django_db
def test_after_an_outage_latest_runs_the_period_under_way_and_shows_the_gap() -> None:
    schedule = of(Frequency.DAILY)
    run(schedule, now=AT)
    (result,) = run(schedule, now=BACK).results
    assert runs() == days(18, 21)
    assert result.missed_since == ScheduleRun.objects.latest("period_start").missed_since == days(19)[0]
    assert states(schedule, BACK + MINUTE) == ["not due"]


@pytest.mark.django_db
def test_after_an_outage_skip_waits_for_the_next_boundary_and_shows_the_gap() -> None:
    schedule = of(Frequency.DAILY, catch_up="skip")
    run(schedule, now=AT - DAY)
    run(schedule, now=AT)
    assert runs() == days(18)
    (result,) = run(schedule, now=BACK).results
    assert (result.state, result.missed_since) == (State.SKIPPED, days(19)[0])
    assert states(schedule, BACK + MINUTE) == ["not due"]
    assert states(schedule, BACK + DAY) == ["done"]
    assert (runs(), runs("skipped")) == (days(18, 22), days(17, 21))
    assert effects() == 2


@pytest.mark.django_db
def test_after_an_outage_all_runs_every_missed_period_oldest_first() -> None:
    schedule = of(Frequency.DAILY, catch_up="all")
    run(schedule, now=AT)
    assert [found.due for found in look(schedule, now=BACK)] == [
        tuple((day, day + DAY) for day in days(19, 20, 21))
    ]
    assert [result.period and result.period.start for result in run(schedule, now=BACK).results] == days(
        19, 20, 21
    )
    assert states(schedule, BACK) == ["not due"]
    assert runs() == days(18, 19, 20, 21)
    assert effects() == 4
    assert not ScheduleRun.objects.exclude(missed_since=None).exists()


@pytest.mark.django_db
def test_a_new_entry_invents_no_past() -> None:
    schedule = of(Frequency.HOURLY, catch_up="all")
    assert states(schedule, AT) == ["done"]
    assert runs() == [AT.replace(minute=0)]


@pytest.mark.django_db
def test_with_all_a_failing_period_holds_up_those_after_it() -> None:
    schedule, flaky = Schedule(), Flaky()
    schedule.register(Frequency.DAILY, flaky, name="it", catch_up="all", calendar=UTC_CALENDAR)
    flaky.fails = False
    run(schedule, now=AT)
    flaky.fails = True
    assert states(schedule, BACK) == ["failed"]
    assert states(schedule, BACK + MINUTE) == ["failed"]
    assert ScheduleRun.objects.get(status="failed").period_start == days(19)[0]
    flaky.fails = False
    assert states(schedule, BACK + 2 * MINUTE) == ["done"] * 3
    assert runs() == days(18, 19, 20, 21)


@pytest.mark.django_db
def test_skip_does_not_run_mid_period_at_first_sight_as_in_2011() -> None:
    schedule = of(Frequency.HOURLY, catch_up="skip")
    assert [found.due for found in look(schedule, now=AT)] == [()]
    assert states(schedule, AT) == ["skipped"]
    assert effects() == 0
    assert states(schedule, AT + 23 * MINUTE) == ["done"]


@pytest.mark.django_db
def test_skip_tries_a_failed_period_again_while_it_lasts() -> None:
    flaky = Flaky()
    schedule = of(Frequency.HOURLY, flaky, catch_up="skip")
    run(schedule, now=AT)
    assert states(schedule, AT + 30 * MINUTE) == ["failed"]
    flaky.fails = False
    assert states(schedule, AT + 50 * MINUTE) == ["done"]
    flaky.fails = True
    assert states(schedule, AT + 90 * MINUTE) == ["failed"]
    assert states(schedule, AT + 150 * MINUTE) == ["failed"], "a failure isn't an outage"


# The clock


@pytest.mark.django_db
@pytest.mark.parametrize("jump", [HOUR, -HOUR, DAY, -DAY])
@pytest.mark.parametrize("catch_up", ["latest", "all"])
def test_a_clock_that_jumps_and_comes_back_re_runs_and_loses_nothing(jump: timedelta, catch_up: str) -> None:
    schedule = of(Frequency.TWELVE_MINUTELY, catch_up=catch_up)
    ticks = [AT + n * 6 * MINUTE for n in range(20)]
    for at in [*ticks[:10], *(at + jump for at in ticks[10:12]), *ticks[10:]]:
        run(schedule, now=at)
    starts = runs()
    assert len(starts) == len(set(starts)) == effects()
    expected = {
        entry.due[0].start
        for at in ticks
        for entry in look(of(Frequency.TWELVE_MINUTELY, name="new"), now=at)
    }
    assert expected <= set(starts)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("zone", "since"),
    [
        ("America/New_York", datetime(2025, 3, 8, tzinfo=UTC)),
        ("America/New_York", datetime(2025, 11, 1, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2025, 4, 4, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2025, 10, 3, tzinfo=UTC)),
        ("Africa/Casablanca", datetime(2025, 2, 22, tzinfo=UTC)),
        ("Africa/Casablanca", datetime(2025, 4, 5, tzinfo=UTC)),
    ],
)
def test_every_local_day_and_every_hour_runs_once_over_the_change_of_the_clocks(
    zone: str, since: datetime
) -> None:
    calendar = Calendar(zone)
    schedule = Schedule()
    schedule.register(Frequency.DAILY, lambda: None, name="daily", calendar=calendar)
    schedule.register(Frequency.HOURLY, lambda: None, name="hourly", calendar=calendar)
    schedule.register(Frequency.HOURLY, lambda: None, name="of UTC", calendar=UTC_CALENDAR)
    at = since
    while at < since + 3 * DAY:
        run(schedule, now=at)
        at += 30 * MINUTE
    daily = ScheduleRun.objects.filter(entry__name="daily").values_list("period_start", "attempt")
    assert {attempt for _, attempt in daily} == {1}
    dates = [calendar.local_date(start) for start, _ in daily]
    first = calendar.local_date(since)
    assert sorted(dates) == [first + timedelta(days=n) for n in range(len(dates))]
    assert dates[0] == calendar.local_date(since + 3 * DAY - 30 * MINUTE)
    hourly = list(ScheduleRun.objects.filter(entry__name="hourly").order_by("period_start"))
    assert {row.attempt for row in hourly} == {1}
    assert all(row.period_end == after.period_start for row, after in pairwise(hourly))
    of_utc = ScheduleRun.objects.filter(entry__name="of UTC").order_by("period_start")
    assert [row.period_start for row in of_utc] == [since + n * HOUR for n in range(72)]
    assert {row.attempt for row in of_utc} == {1}


@pytest.mark.django_db
def test_an_entry_that_is_re_timed_runs_for_its_new_period_and_keeps_its_past() -> None:
    run(of(Frequency.HOURLY), now=AT)
    assert states(of(Frequency.DAILY), AT + MINUTE) == ["done"]
    assert states(of(Frequency.DAILY), AT + 2 * MINUTE) == ["not due"]
    assert runs() == [AT.replace(hour=0, minute=0), AT.replace(minute=0)]


# In no transaction of the schedule's


@pytest.mark.django_db
def test_an_entry_that_is_not_atomic_keeps_what_it_did_before_it_failed() -> None:
    def half() -> None:
        effect()
        raise ValueError("half way")

    assert states(of(Frequency.DAILY, half, atomic=False), AT) == ["failed"]
    assert effects() == 1


@pytest.mark.django_db(transaction=True)
def test_an_entry_that_is_not_atomic_may_leave_a_last_step_to_the_settling_transaction() -> None:
    seen: list[bool] = []

    def prepare() -> Callable[[], str]:
        seen.append(connection.in_atomic_block)

        def finish() -> str:
            seen.append(connection.in_atomic_block)
            effect()
            return "finished"

        return finish

    (result,) = run(of(Frequency.DAILY, prepare, atomic=False), now=AT).results
    assert (result.message, seen, effects()) == ("finished", [False, True], 1)


@pytest.mark.django_db(transaction=True)
def test_an_atomic_entry_commits_its_effect_with_the_note_that_it_is_done() -> None:
    seen: list[tuple[bool, str]] = []

    def watch() -> None:
        effect()
        transaction.on_commit(
            lambda: seen.append((connection.in_atomic_block, ScheduleRun.objects.get().status))
        )
        assert connection.in_atomic_block

    assert states(of(Frequency.DAILY, watch), AT) == ["done"]
    assert seen == [(False, "done")]


# Looking


@pytest.mark.django_db
def test_looking_writes_nothing_and_says_what_is_due_and_what_was() -> None:
    schedule, flaky = Schedule(), Flaky()
    schedule.register(Frequency.DAILY, effect, name="done", calendar=UTC_CALENDAR)
    schedule.register(Frequency.DAILY, flaky, name="failed", calendar=UTC_CALENDAR)
    run(schedule, now=AT)
    schedule.register(Frequency.DAILY, effect, name="new", calendar=UTC_CALENDAR)
    before = list(ScheduleEntry.objects.values()), list(ScheduleRun.objects.values())
    done, failed, new = look(schedule, now=AT + MINUTE)
    today = (days(18)[0], days(19)[0])
    assert (done.due, done.next_due) == ((), days(19)[0])
    assert (failed.due, failed.next_due) == ((today,), days(18)[0])
    assert (new.due, new.last_run) == ((today,), None)
    assert done.last_run is not None
    assert failed.last_run is not None
    assert (done.last_run.status, failed.last_run.status) == ("done", "failed")
    assert before == (list(ScheduleEntry.objects.values()), list(ScheduleRun.objects.values()))


# Several runners


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic", [True, False])
def test_runners_side_by_side_run_each_entry_once_a_period(atomic: bool) -> None:
    schedule = Schedule()
    for name in ("a", "b", "c"):
        schedule.register(
            Frequency.MINUTELY,
            effect,
            [name],
            name=name,
            calendar=UTC_CALENDAR,
            atomic=atomic,
            catch_up="all",
        )
    run(schedule, now=AT)
    seen: list[str] = []

    def work() -> None:
        for n in range(1, 9):
            seen.extend(result.state.value for result in run(schedule, now=AT + n * MINUTE).results)

    side_by_side(*[work] * 4)
    run(schedule, now=AT + 8 * MINUTE)  # what the others were busy with at the end
    assert "failed" not in seen
    for name in ("a", "b", "c"):
        starts = ScheduleRun.objects.filter(entry__name=name, status="done").values_list(
            "period_start", flat=True
        )
        assert sorted(starts) == [AT + n * MINUTE for n in range(9)]
        assert effects(name) == 9
    assert Counter(ScheduleRun.objects.values_list("attempt", flat=True)) == {1: 27}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("catch_up", ["latest", "all"])
def test_runners_whose_clocks_differ_run_no_period_twice_and_lose_none(catch_up: str) -> None:
    schedule = of(Frequency.HOURLY, catch_up=catch_up)
    skews = [timedelta(0), HOUR, -HOUR, DAY, -DAY]
    ticks = [AT + n * 30 * MINUTE for n in range(10)]
    run(schedule, now=AT)
    seen: list[str] = []

    def work(skew: timedelta) -> None:
        for at in ticks:
            seen.extend(result.state.value for result in run(schedule, now=at + skew).results)

    side_by_side(*(partial(work, skew) for skew in skews))
    for at in ticks:
        run(schedule, now=at)  # whatever the others were at meanwhile
    assert "failed" not in seen
    done = runs()
    assert len(done) == len(set(done)) == effects()
    assert {at.replace(minute=0) for at in ticks} <= set(done)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic", [True, False])
def test_an_entry_that_runs_for_five_leases_and_three_periods_does_not_overlap_itself(atomic: bool) -> None:
    at_once, most, lasts_s = 0, 0, [5.2, 0]

    def slow() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(lasts_s.pop(0))
        at_once -= 1

    schedule = of(Frequency.MINUTELY, slow, lease=timedelta(seconds=1), atomic=atomic)
    seen: list[str] = []
    # SQLite's one writer is the entry in its transaction: nobody can so much as ask for it, until it has ended.
    waits = atomic and connection.vendor == "sqlite"

    def first() -> None:
        seen.append(states(schedule, AT)[0])

    def others() -> None:
        for n in range(1, 4):
            time.sleep(1.5)
            if not waits:
                assert states(schedule, AT + n * MINUTE) == ["busy"]

    side_by_side(first, others)
    assert (seen, most) == (["done"], 1)
    (result,) = run(schedule, now=AT + 3 * MINUTE).results
    assert (result.state, result.missed_since) == (State.DONE, AT + MINUTE), (
        "the skipped periods are recorded"
    )


class Speechless(Exception):
    """Can't say what it is."""

    def __str__(self) -> str:
        raise KeyError("detail")


UNSTORABLE = {
    "of an undecodable file's name": OSError("no such file: caf\udce9.csv"),
    "with a NUL": ValueError("a\x00b"),
    "that can't say what it is": Speechless(),
    "beyond the first plane, and with percent signs": ValueError("100 % of 🍎 %s %(name)s"),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", UNSTORABLE.values(), ids=UNSTORABLE)
def test_whatever_text_an_error_has_it_is_noted_and_stops_no_other_entry(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1)  # no worker of pytest can send such text to its master

    def fail() -> None:
        effect()
        raise error

    schedule = of(Frequency.HOURLY, fail)
    schedule.register(Frequency.HOURLY, effect, name="other", calendar=UTC_CALENDAR)
    assert states(schedule, AT) == ["failed", "done"]
    row = ScheduleRun.objects.get(entry__name="it")
    assert (row.status, row.leased_until) == ("failed", None)
    assert type(error).__name__ in row.message
    assert "in fail" in row.traceback
    assert effects() == 1
    assert states(schedule, AT) == ["failed", "not due"], "it is free to be tried again"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("returned", "kept"),
    [
        ("caf\udce9.csv", "caf\\udce9.csv"),
        ("a\x00b", "a\\x00b"),
        ("100 % of 🍎 %s %(name)s", "100 % of 🍎 %s %(name)s"),
        ("🍎" * 3000, "🍎" * 2000),
    ],
    ids=["undecodable", "NUL", "percent", "long"],
)
def test_whatever_text_an_entry_returns_is_kept_with_its_effect(returned: str, kept: str) -> None:
    def say() -> str:
        effect()
        return returned

    (result,) = run(of(Frequency.HOURLY, say), now=AT).results
    assert (result.state, result.message) == (State.DONE, kept)
    assert ScheduleRun.objects.get().message == kept
    assert effects() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_runners_that_know_the_entries_in_another_order_do_not_block_each_other() -> None:
    schedule = Schedule()
    for name in "ba":
        schedule.register(Frequency.HOURLY, int, name=name, calendar=UTC_CALENDAR)
    began = threading.Event()

    def runs() -> None:
        began.wait()
        run(schedule, now=AT)

    def comes_with_them_in_order() -> None:
        with transaction.atomic():
            for name in "ab":
                ScheduleEntry.objects.bulk_create([ScheduleEntry(name=name)], ignore_conflicts=True)
                began.set()
                time.sleep(0.5)  # the other one waits for "a" by now

    side_by_side(runs, comes_with_them_in_order)
    assert ScheduleRun.objects.filter(status=ScheduleRun.Status.DONE).count() == 2
