"""The periods of each frequency, also where the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockandflow.exceptions import InvalidInput
from stockandflow.periodic.frequencies import Bounds, Frequency, bounds
from stockandflow.periods import Calendar

LONDON = Calendar("Europe/London")
NEW_YORK = Calendar("America/New_York")
LORD_HOWE = Calendar("Australia/Lord_Howe")
ZONES = [
    "UTC",
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
]
RUNNING = [frequency for frequency in Frequency if frequency is not Frequency.NEVER]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def found(frequency: Frequency, calendar: Calendar, at: datetime) -> Bounds:
    period = bounds(frequency, calendar, at)
    assert period is not None
    return period


def starts(frequency: Frequency, calendar: Calendar, since: datetime, until: datetime) -> list[datetime]:
    """The starts of the periods from the one that contains ``since``, before ``until``."""
    period, all_of_them = found(frequency, calendar, since), []
    while period.start < until:
        all_of_them.append(period.start)
        following = found(frequency, calendar, period.end)
        assert following.start == period.end, "periods leave no instant out and share none"
        period = following
    return all_of_them


def local(calendar: Calendar, instants: list[datetime]) -> list[str]:
    return [f"{at.astimezone(calendar.zone):%m-%d %H:%M %z}" for at in instants]


def test_never_has_no_period() -> None:
    assert bounds(Frequency.NEVER, LONDON, utc(2025, 6, 1)) is None


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        bounds(Frequency.DAILY, LONDON, datetime(2025, 6, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("frequency", "start", "end"),
    [
        (Frequency.MINUTELY, utc(2025, 6, 18, 14, 38), utc(2025, 6, 18, 14, 39)),
        (Frequency.TWELVE_MINUTELY, utc(2025, 6, 18, 14, 36), utc(2025, 6, 18, 14, 48)),
        (Frequency.HOURLY, utc(2025, 6, 18, 14), utc(2025, 6, 18, 15)),
        (Frequency.DAILY, utc(2025, 6, 17, 23), utc(2025, 6, 18, 23)),
        (Frequency.WEEKLY, utc(2025, 6, 15, 23), utc(2025, 6, 22, 23)),
        (Frequency.MONTHLY, utc(2025, 5, 31, 23), utc(2025, 6, 30, 23)),
    ],
)
def test_a_period_begins_where_the_calendar_says(
    frequency: Frequency, start: datetime, end: datetime
) -> None:
    assert bounds(frequency, LONDON, utc(2025, 6, 18, 14, 38, 59, 999)) == Bounds(start, end)


def test_the_slots_of_twelve_minutes_are_those_of_the_local_hour() -> None:
    kathmandu = Calendar("Asia/Kathmandu")  # UTC+05:45
    assert local(
        kathmandu,
        starts(Frequency.TWELVE_MINUTELY, kathmandu, utc(2025, 1, 1, 0, 20), utc(2025, 1, 1, 1, 15)),
    ) == [
        "01-01 06:00 +0545",
        "01-01 06:12 +0545",
        "01-01 06:24 +0545",
        "01-01 06:36 +0545",
        "01-01 06:48 +0545",
    ]


@pytest.mark.parametrize("weeks", [2, 4])
@pytest.mark.parametrize("week_start", range(7))
def test_two_and_four_weeks_are_whole_calendar_weeks_for_every_first_day(weeks: int, week_start: int) -> None:
    frequency = {2: Frequency.TWO_WEEKLY, 4: Frequency.FOUR_WEEKLY}[weeks]
    calendar = Calendar("America/New_York", week_start=week_start)
    for start in starts(frequency, calendar, utc(2000, 11, 1), utc(2003, 1, 1)):
        day = start.astimezone(calendar.zone)
        assert (day.weekday(), day.hour, day.minute) == (week_start, 0, 0)
        assert found(frequency, calendar, start).end.astimezone(
            calendar.zone
        ).date() == day.date() + timedelta(weeks=weeks)


def test_two_and_four_weeks_are_counted_from_the_week_of_new_year_2001() -> None:
    for frequency in (Frequency.TWO_WEEKLY, Frequency.FOUR_WEEKLY):
        assert found(frequency, Calendar(), utc(2001, 1, 3)).start == utc(2001, 1, 1)
        assert found(frequency, Calendar(week_start=6), utc(2001, 1, 3)).start == utc(2000, 12, 31)
        assert found(frequency, Calendar(week_start=1), utc(2001, 1, 1)).start == utc(2000, 12, 26)
    assert found(Frequency.TWO_WEEKLY, Calendar(), utc(2025, 6, 18)).start == utc(2025, 6, 16)
    assert found(Frequency.FOUR_WEEKLY, Calendar(), utc(2025, 6, 11)).start == utc(2025, 5, 19)


@pytest.mark.parametrize(
    ("calendar", "day", "hours"),
    [
        (NEW_YORK, utc(2025, 3, 9, 12), 23.0),
        (NEW_YORK, utc(2025, 11, 2, 12), 25.0),
        (LORD_HOWE, utc(2025, 4, 6, 0), 24.5),
        (LORD_HOWE, utc(2025, 10, 5, 0), 23.5),
    ],
)
def test_a_day_is_a_local_day_where_the_clocks_change(
    calendar: Calendar, day: datetime, hours: float
) -> None:
    period = found(Frequency.DAILY, calendar, day)
    assert (period.end - period.start) == timedelta(hours=hours)
    days = local(
        calendar,
        starts(Frequency.DAILY, calendar, period.start - timedelta(days=2), period.end + timedelta(days=2)),
    )
    assert [day[6:11] for day in days] == ["00:00"] * 5
    assert len({day[:5] for day in days}) == 5


def test_slots_cover_the_half_hour_that_lord_howe_leaves_out_and_repeats() -> None:
    spring = starts(Frequency.TWELVE_MINUTELY, LORD_HOWE, utc(2025, 10, 4, 15, 12), utc(2025, 10, 4, 16, 0))
    assert local(LORD_HOWE, spring) == [
        "10-05 01:36 +1030",
        "10-05 01:48 +1030",
        "10-05 02:30 +1100",  # the clocks went from 02:00 to 02:30
        "10-05 02:36 +1100",
        "10-05 02:48 +1100",
    ]
    autumn = starts(Frequency.TWELVE_MINUTELY, LORD_HOWE, utc(2025, 4, 5, 14, 36), utc(2025, 4, 5, 15, 30))
    assert local(LORD_HOWE, autumn) == [
        "04-06 01:36 +1100",
        "04-06 01:48 +1100",
        "04-06 01:30 +1030",  # the clocks went from 02:00 back to 01:30
        "04-06 01:36 +1030",
        "04-06 01:48 +1030",
    ]


def test_each_of_the_two_hours_that_new_york_repeats_is_a_period() -> None:
    hours = starts(Frequency.HOURLY, NEW_YORK, utc(2025, 11, 2, 4), utc(2025, 11, 2, 8))
    assert local(NEW_YORK, hours) == [
        "11-02 00:00 -0400",
        "11-02 01:00 -0400",
        "11-02 01:00 -0500",
        "11-02 02:00 -0500",
    ]


@given(
    at=st.datetimes(datetime(1990, 1, 1), datetime(2037, 12, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    zone=st.sampled_from(ZONES),
    frequency=st.sampled_from(RUNNING),
    week_start=st.integers(0, 6),
)
def test_every_instant_is_in_one_period_and_neighbours_touch(
    at: datetime, zone: str, frequency: Frequency, week_start: int
) -> None:
    calendar = Calendar(zone, week_start=week_start)
    period = found(frequency, calendar, at)
    assert period.start <= at < period.end
    assert found(frequency, calendar, period.start) == period
    assert found(frequency, calendar, period.end - timedelta(microseconds=1)) == period
    assert found(frequency, calendar, period.end).start == period.end
