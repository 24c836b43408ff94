"""Cron expressions: a period begins whenever one comes true, once, also where the clocks change."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stockandflow import periodic
from stockandflow.exceptions import DeclarationError
from stockandflow.periodic import Cron, Schedule
from stockandflow.periods import Calendar

NEW_YORK = Calendar("America/New_York")
LORD_HOWE = Calendar("Australia/Lord_Howe")
CASABLANCA = Calendar("Africa/Casablanca")
ZONES = (
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
)


def starts(expression: str, calendar: Calendar, since: datetime, until: datetime) -> list[str]:
    """The local starts of all periods that begin in ``since <= t < until``."""
    cron, found, at = Cron.checked(expression), [], since
    while at < until:
        period = cron.bounds(calendar, at)
        if period.start >= since:
            found.append(f"{period.start.astimezone(calendar.zone):%m-%d %H:%M %z}")
        at = period.end
    return found


def day(year: int, month: int, number: int, calendar: Calendar) -> tuple[datetime, datetime]:
    first = datetime(year, month, number, tzinfo=calendar.zone)
    return first.astimezone(UTC), (first + timedelta(days=1)).astimezone(UTC)


def test_a_period_lasts_from_one_time_to_the_next() -> None:
    cron = Cron.checked("30 7 * * MON-FRI")
    friday = cron.bounds(NEW_YORK, datetime(2025, 6, 21, 12, tzinfo=UTC))
    assert friday.start == datetime(2025, 6, 20, 11, 30, tzinfo=UTC)
    assert friday.end == datetime(2025, 6, 23, 11, 30, tzinfo=UTC)
    assert cron.bounds(NEW_YORK, friday.end).start == friday.end


@pytest.mark.parametrize(
    ("expression", "calendar", "date", "times"),
    [
        ("30 2 * * *", NEW_YORK, (2025, 3, 9), ["03-09 03:00 -0400"]),  # 02:30 is skipped
        ("30 1 * * *", NEW_YORK, (2025, 11, 2), ["11-02 01:30 -0400"]),  # and 01:30 comes twice
        ("15 2 * * *", LORD_HOWE, (2025, 10, 5), ["10-05 02:30 +1100"]),
        ("45 1 * * *", LORD_HOWE, (2025, 4, 6), ["04-06 01:45 +1100"]),
        ("30 2 * * *", CASABLANCA, (2025, 2, 23), ["02-23 02:30 +0100"]),
        ("30 2 * * *", CASABLANCA, (2025, 4, 6), ["04-06 03:00 +0100"]),
        (
            "0 */12 * * *",
            NEW_YORK,
            (2025, 11, 2),
            ["11-02 00:00 -0400", "11-02 12:00 -0500"],
        ),
        (
            "30 0-2/1 * * *",
            NEW_YORK,
            (2025, 11, 2),
            ["11-02 00:30 -0400", "11-02 01:30 -0400", "11-02 02:30 -0500"],
        ),
        (
            "*/30 1-2 * * *",
            LORD_HOWE,
            (2025, 4, 6),
            [
                "04-06 01:00 +1100",
                "04-06 01:30 +1100",
                "04-06 01:30 +1030",
                "04-06 02:00 +1030",
                "04-06 02:30 +1030",
            ],
        ),
        ("0 12 30 12 *", Calendar("Pacific/Apia"), (2011, 12, 31), ["12-31 00:00 +1400"]),
        ("0 12 31 12 *", Calendar("Pacific/Apia"), (2011, 12, 31), ["12-31 12:00 +1400"]),
    ],
)
def test_where_the_clocks_change_it_comes_as_debians_cron_has_it(
    expression: str, calendar: Calendar, date: tuple[int, int, int], times: list[str]
) -> None:
    assert starts(expression, calendar, *day(*date, calendar)) == times


def test_every_minute_comes_every_minute_also_where_the_clocks_change() -> None:
    since, until = day(2025, 11, 2, NEW_YORK)
    assert len(starts("* * * * *", NEW_YORK, since, since + timedelta(hours=4))) == 240
    assert until - since == timedelta(hours=25)


fields = st.tuples(
    st.sampled_from(["0", "30", "*/15", "59", "10,40"]),
    st.sampled_from(["*", "0", "1", "2", "1,2,3", "*/6", "23"]),
    st.sampled_from(["*", "1", "29", "L", "15"]),
    st.sampled_from(["*", "3", "2,10,11", "4"]),
    st.sampled_from(["*", "MON", "SUN", "1-5", "6#2"]),
).map(" ".join)


@example(at=datetime(2006, 4, 1, 14, 59, tzinfo=UTC), zone="Australia/Lord_Howe", expression="59 1 * 4 SUN")
@example(at=datetime(2006, 4, 1, 15, 29, tzinfo=UTC), zone="Australia/Lord_Howe", expression="*/15 2 * 4 SUN")
@example(
    at=datetime(2000, 3, 25, 15, 29, tzinfo=UTC), zone="Australia/Lord_Howe", expression="*/15 0 * 3 SUN"
)
@given(
    at=st.datetimes(datetime(1995, 1, 1), datetime(2036, 12, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    zone=st.sampled_from(ZONES),
    expression=fields,
)
def test_every_instant_is_in_one_period_and_neighbours_touch(
    at: datetime, zone: str, expression: str
) -> None:
    calendar, cron = Calendar(zone), Cron.checked(expression)
    period = cron.bounds(calendar, at)
    assert period.start <= at < period.end
    assert cron.bounds(calendar, period.start) == period
    assert cron.bounds(calendar, period.end - timedelta(microseconds=1)) == period
    assert cron.bounds(calendar, period.end).start == period.end


@pytest.mark.parametrize("hours", range(-30, 30))
@pytest.mark.parametrize("zone", ZONES)
def test_around_a_change_of_the_clocks_too(zone: str, hours: int) -> None:
    calendar = Calendar(zone)
    for change in (datetime(2025, 11, 2, 6, tzinfo=UTC), datetime(2025, 4, 5, 15, tzinfo=UTC)):
        for expression in ("30 1 * * *", "0,15 1,2 * * *", "*/20 * * * *"):
            cron, at = Cron.checked(expression), change + timedelta(hours=hours, minutes=17)
            period = cron.bounds(calendar, at)
            assert period.start <= at < period.end
            assert cron.bounds(calendar, period.start) == period
            assert cron.bounds(calendar, period.end).start == period.end


def test_an_entry_takes_an_expression_as_its_frequency() -> None:
    schedule = Schedule()
    entry = schedule.register("30 7  * * MON-FRI", list, name="mail", calendar=NEW_YORK)
    assert entry.frequency == Cron("30 7 * * MON-FRI")
    period = entry.period(datetime(2025, 6, 18, 14, tzinfo=UTC))
    assert period is not None
    assert period.start == datetime(2025, 6, 18, 11, 30, tzinfo=UTC)
    again = schedule.register(Cron("0 0 1 1 *"), list, name="new year")
    assert again.frequency.value == "0 0 1 1 *"


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("61 * * * *", r"'61 \* \* \* \*' is no cron expression \(Bad minute\); write e\.g\. '30 7"),
        ("0 0 30 2 *", r"is no cron expression \(Bad day-of-month\)"),
        ("0 0 */30 2 FRI#5", "never comes true"),
        ("* * * *", "must have five fields: minute, hour"),
        ("0 * * * * *", "must have five fields"),
    ],
)
def test_what_is_no_expression_is_told(expression: str, told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        Schedule().register(expression, list)


def test_without_the_library_it_is_told_how_to_get_it(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with pytest.raises(DeclarationError, match=r"pip install 'django-stockandflow\[cron\]'"):
        Schedule().register("0 7 * * *", list)
    Schedule().register(periodic.DAILY, list)
