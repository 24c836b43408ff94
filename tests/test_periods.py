"""Periods come from the clocks on the wall, checked against clocks that are read minute by minute.

Over years, against the changes of the clocks: found by reading them once a day, from UTC to the wall alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from django.db import connection
from django.test import override_settings
from hypothesis import example, given, settings
from hypothesis import strategies as st

from example.membership.models import MemberFlowEvent
from stockandflow.exceptions import InvalidInput
from stockandflow.periods import Calendar, Grain, Period, Status, aware, checked_range
from stockandflow.recording.buckets import LocalDate, local_day_sql

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ODD_ZONES = (
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # skipped 30 December 2011
    "Pacific/Kwajalein",  # skipped 21 August 1993
    "America/St_Johns",  # went back over midnight, at 00:01, until 2010
    "America/Sao_Paulo",  # skipped midnight until 2018
    "America/Havana",  # repeats midnight
    "America/Nuuk",
    "America/Scoresbysund",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Africa/Casablanca",
    "Antarctica/Casey",
    "Antarctica/Troll",  # two hours
)
CROSSED_THE_DATE_LINE = {
    *("Pacific/Apia", "Pacific/Fakaofo", "Pacific/Kwajalein", "Kwajalein"),
    *("Pacific/Enderbury", "Pacific/Kanton", "Pacific/Kiritimati"),
}
zones = st.sampled_from(ODD_ZONES) | st.sampled_from(sorted(available_timezones() - {"localtime"}))
# No zone has had seconds in its offset since 1972, so a minute is the finest step of any clock.
instants = st.datetimes(datetime(1975, 1, 1), datetime(2037, 12, 1), timezones=st.just(UTC))  # noqa: DTZ001
grains = st.sampled_from(Grain)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and an instant within a day of a change of its clocks, where it has one in that year."""
    zone, at = draw(zones), draw(instants)
    clock = ZoneInfo(zone)
    for step in range(366):
        low, high = at + step * DAY, at + (step + 1) * DAY
        if low.astimezone(clock).utcoffset() != high.astimezone(clock).utcoffset():
            return zone, low + draw(st.timedeltas(-DAY, 2 * DAY))
    return zone, at


def minutes(at: datetime, zone: str, days: int) -> Iterator[tuple[datetime, datetime]]:
    """Every whole minute around an instant: (in UTC, on the wall)."""
    clock, start = ZoneInfo(zone), at.replace(second=0, microsecond=0) - days * DAY
    for step in range(days * 2 * 24 * 60):
        minute = start + step * MINUTE
        yield minute, minute.astimezone(clock)


def day_by_stepping(at: datetime, zone: str) -> tuple[datetime, datetime]:
    """The day of an instant: it begins when the clock shows its date, or a later one, for good."""
    bounds, shown = [], None
    for minute, wall in reversed(list(minutes(at, zone, 3))):
        if shown is None or wall.date() < shown:
            if shown is not None:
                bounds.append(minute + MINUTE)
            shown = wall.date()
    bounds.reverse()
    return max(b for b in bounds if b <= at), min(b for b in bounds if b > at)


def hour_by_stepping(at: datetime, zone: str) -> tuple[datetime, datetime]:
    """The hour of an instant: it begins where the clock shows a whole one, or is put forward or back."""
    bounds, before = [], None
    for minute, wall in minutes(at, zone, 1):
        if wall.minute == 0 or (before is not None and wall.utcoffset() != before):
            bounds.append(minute)
        before = wall.utcoffset()
    return max(b for b in bounds if b <= at), min(b for b in bounds if b > at)


@given(changes() | st.tuples(zones, instants))
@example(("America/St_Johns", datetime(2009, 11, 1, 2, 30, 30, tzinfo=UTC)))
@example(("America/St_Johns", datetime(2009, 11, 1, 3, 0, tzinfo=UTC)))
@example(("Pacific/Apia", datetime(2011, 12, 30, 9, 59, 59, 999999, tzinfo=UTC)))
@example(("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)))
def test_a_day_is_that_of_the_wall(given: tuple[str, datetime]) -> None:
    zone, at = given
    period = Calendar(zone).period(Grain.DAY, at)
    assert (period.start, period.end) == day_by_stepping(at, zone)


@given(changes() | st.tuples(zones, instants))
@example(("Australia/Lord_Howe", datetime(2024, 4, 6, 15, 10, tzinfo=UTC)))
@example(("Australia/Lord_Howe", datetime(2024, 10, 5, 15, 40, tzinfo=UTC)))
def test_an_hour_is_that_of_the_wall(given: tuple[str, datetime]) -> None:
    zone, at = given
    period = Calendar(zone).period(Grain.HOUR, at)
    assert (period.start, period.end) == hour_by_stepping(at, zone)


def first_date_by_walking(grain: Grain, day: date, calendar: Calendar) -> date:
    """The first date of the week, month, quarter or year of a date, found by walking back."""

    def begins(day: date) -> bool:
        if grain is Grain.WEEK:
            return day.weekday() == calendar.week_start
        months_in = (day.month - calendar.year_start_month) % 12
        length = {Grain.MONTH: 1, Grain.QUARTER: 3, Grain.YEAR: 12}[grain]
        return day.day == 1 and months_in % length == 0

    while not begins(day):
        day -= DAY
    return day


@given(
    zones,
    instants,
    st.integers(0, 6),
    st.integers(1, 12),
    st.sampled_from([Grain.WEEK, Grain.MONTH, Grain.QUARTER, Grain.YEAR]),
)
def test_longer_periods_are_whole_days_from_their_first_date(
    zone: str, at: datetime, week_start: int, year_start_month: int, grain: Grain
) -> None:
    calendar = Calendar(zone, week_start, year_start_month)
    period = calendar.period(grain, at)
    day = calendar.local_date(calendar.period(Grain.DAY, at).start)
    first = first_date_by_walking(grain, day, calendar)
    assert period.start == calendar.midnight(first)
    after = first + timedelta(
        days=8 if grain is Grain.WEEK else {"month": 32, "quarter": 93, "year": 367}[grain]
    )
    assert period.end == calendar.midnight(first_date_by_walking(grain, after, calendar))


@given(changes() | st.tuples(zones, instants), grains, st.integers(0, 6), st.integers(1, 12))
def test_periods_follow_each_other_without_gap(
    given: tuple[str, datetime], grain: Grain, week_start: int, year_start_month: int
) -> None:
    zone, at = given
    calendar = Calendar(zone, week_start, year_start_month)
    period = calendar.period(grain, at)
    assert at in period
    assert period.start in period
    assert period.end not in period
    assert period.start.tzinfo is UTC
    assert calendar.period(grain, period.start) == period
    assert calendar.period(grain, period.end - timedelta(microseconds=1)) == period
    following = calendar.following(period)
    assert following.start == period.end
    assert calendar.preceding(following) == period


@given(changes(), grains, st.timedeltas(timedelta(0), 5 * DAY))
def test_the_periods_of_a_range_cover_it(
    given: tuple[str, datetime], grain: Grain, length: timedelta
) -> None:
    zone, since = given
    until = since + length
    found = list(Calendar(zone).periods(grain, since, until))
    assert all(one.end == other.start for one, other in pairwise(found))
    if length:
        assert since in found[0]
        assert until - timedelta(microseconds=1) in found[-1]
    else:
        assert found == []


@given(changes())
def test_a_day_is_made_of_its_hours(given: tuple[str, datetime]) -> None:
    zone, at = given
    calendar = Calendar(zone)
    day = calendar.period(Grain.DAY, at)
    hours = list(calendar.periods(Grain.HOUR, day.start, day.end))
    assert (hours[0].start, hours[-1].end) == (day.start, day.end)
    assert all(hour.end - hour.start <= HOUR for hour in hours)


@cache
def stretches(zone: str) -> tuple[list[datetime], list[timedelta]]:
    """The instants from which a clock has had its offsets from UTC since 1974, and the offsets."""
    clock = ZoneInfo(zone)

    def offset(at: datetime) -> timedelta:
        return at.astimezone(clock).utcoffset() or timedelta()

    at = datetime(1974, 1, 1, tzinfo=UTC)
    starts, offsets = [at], [offset(at)]
    while at.year < 2039:
        low, at = at, at + DAY
        if offset(at) != offsets[-1]:
            high = at
            while high - low > MINUTE:
                middle = low + (high - low) // MINUTE // 2 * MINUTE
                low, high = (middle, high) if offset(middle) == offsets[-1] else (low, middle)
            starts.append(high)
            offsets.append(offset(high))
    return starts, offsets


def date_begins(zone: str, day: date) -> datetime:
    """The last instant at which the clock has shown an earlier date."""
    starts, offsets = stretches(zone)
    shown = datetime(day.year, day.month, day.day, tzinfo=UTC)
    first = bisect_right(starts, shown - 3 * DAY) - 1
    last = bisect_right(starts, shown + 3 * DAY)
    ends = [*starts[1:], datetime.max.replace(tzinfo=UTC)]
    return max(
        min(ends[place], shown - offsets[place])
        for place in range(first, last)
        if starts[place] + offsets[place] < shown
    )


def first_dates(grain: Grain, since: date, until: date, calendar: Calendar) -> Iterator[date]:
    for day in (since + n * DAY for n in range((until - since).days + 1)):
        if grain is Grain.DAY or first_date_by_walking(grain, day, calendar) == day:
            yield day


def bounds_by_reading(grain: Grain, since: datetime, until: datetime, calendar: Calendar) -> list[datetime]:
    """All bounds of a grain's periods from one before ``since`` to one after ``until``."""
    if grain is not Grain.HOUR:
        low, high = since.date() - 400 * DAY, until.date() + 400 * DAY
        return sorted(
            {date_begins(calendar.timezone, day) for day in first_dates(grain, low, high, calendar)}
        )
    starts, offsets = stretches(calendar.timezone)
    bounds = set(starts)
    for place in range(bisect_right(starts, since) - 1, bisect_right(starts, until)):
        low = max(starts[place], since - DAY)
        high = min(starts[place + 1] if place + 1 < len(starts) else until + DAY, until + DAY)
        past = timedelta(
            minutes=(low + offsets[place]).minute, seconds=low.second, microseconds=low.microsecond
        )
        bounds |= {
            low - past + n * HOUR
            for n in range(1, (high - low + past) // HOUR + 1)
            if low - past + n * HOUR < high
        }
    return sorted(bounds)


@given(
    zones,
    st.datetimes(datetime(1976, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(MINUTE, 20 * 366 * DAY),
    grains,
    st.integers(0, 6),
    st.integers(1, 12),
)
@example("Pacific/Apia", datetime(2011, 1, 1, tzinfo=UTC), 800 * DAY, Grain.DAY, 0, 1)
@example("Pacific/Apia", datetime(2011, 1, 1, tzinfo=UTC), 800 * DAY, Grain.WEEK, 4, 1)
@example("Australia/Lord_Howe", datetime(2023, 1, 1, tzinfo=UTC), 800 * DAY, Grain.HOUR, 0, 1)
@example("America/St_Johns", datetime(2000, 1, 1, tzinfo=UTC), 5000 * DAY, Grain.DAY, 0, 1)
def test_the_periods_of_years_have_the_bounds_that_the_changes_of_the_clock_give(
    zone: str, since: datetime, span: timedelta, grain: Grain, week_start: int, year_start_month: int
) -> None:
    calendar = Calendar(zone, week_start, year_start_month)
    until = min(since + (span / 20 if grain is Grain.HOUR else span), datetime(2037, 1, 1, tzinfo=UTC))
    bounds = bounds_by_reading(grain, since, until, calendar)
    expected = [Period(start, end, grain) for start, end in pairwise(bounds) if start < until and end > since]

    assert list(calendar.periods(grain, since, until)) == expected


@pytest.mark.parametrize("grain", Grain)
def test_a_whole_period_has_its_grain_and_a_part_of_one_has_none(grain: Grain) -> None:
    calendar = Calendar("Europe/London", week_start=6, year_start_month=4)
    period = calendar.period(grain, datetime(2026, 10, 25, 12, 30, tzinfo=UTC))
    assert calendar.grain_of(period.start, period.end) is grain
    assert calendar.grain_of(period.start, period.end - MINUTE) is None
    assert calendar.grain_of(period.start, calendar.following(period).end) is None


@given(
    zones,
    instants,
    st.lists(st.tuples(grains, st.integers(-30, 30)), min_size=1, max_size=5),
    st.integers(0, 6),
    st.integers(1, 12),
)
def test_stepping_forth_and_back_leads_to_where_it_began(
    zone: str, at: datetime, walks: list[tuple[Grain, int]], week_start: int, year_start_month: int
) -> None:
    calendar = Calendar(zone, week_start, year_start_month)
    for grain, steps in walks:
        there, back = (
            (calendar.following, calendar.preceding)
            if steps > 0
            else (calendar.preceding, calendar.following)
        )
        first = period = calendar.period(grain, at)
        for _ in range(abs(steps)):
            period = there(period)
        for _ in range(abs(steps)):
            period = back(period)
        assert period == first


@given(zones, instants, st.integers(0, 6), st.integers(1, 12))
def test_coarser_periods_are_made_of_whole_finer_ones(
    zone: str, at: datetime, week_start: int, year_start_month: int
) -> None:
    calendar = Calendar(zone, week_start, year_start_month)
    for coarse, fine, numbers in (
        (Grain.WEEK, Grain.DAY, {7}),
        (Grain.MONTH, Grain.DAY, {28, 29, 30, 31}),
        (Grain.QUARTER, Grain.MONTH, {3}),
        (Grain.YEAR, Grain.QUARTER, {4}),
        (Grain.YEAR, Grain.DAY, {365, 366}),
        (Grain.DAY, Grain.HOUR, set(range(20, 28))),
    ):
        period = calendar.period(coarse, at)
        parts = list(calendar.periods(fine, period.start, period.end))
        assert (parts[0].start, parts[-1].end) == (period.start, period.end)
        skipped = fine is Grain.DAY and zone in CROSSED_THE_DATE_LINE
        assert len(parts) in numbers or (skipped and len(parts) + 1 in numbers)


@given(st.tuples(st.sampled_from(ODD_ZONES), instants))
def test_a_local_date_is_the_last_one_that_has_begun(given: tuple[str, datetime]) -> None:
    zone, at = given
    day = Calendar(zone).local_date(at)
    assert date_begins(zone, day) <= at < date_begins(zone, day + DAY)


@pytest.mark.parametrize("week_start", range(7))
def test_weeks_begin_on_each_day_of_the_week(week_start: int) -> None:
    calendar = Calendar("Europe/London", week_start)
    weeks = list(
        calendar.periods(Grain.WEEK, datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
    )
    assert {calendar.local_date(week.start).weekday() for week in weeks} == {week_start}
    assert [week.end - week.start - 7 * DAY for week in weeks if week.end - week.start != 7 * DAY] == [
        -HOUR,
        HOUR,
    ]


@pytest.mark.parametrize("month", range(1, 13))
def test_fiscal_years_and_their_quarters_begin_with_each_month(month: int) -> None:
    calendar = Calendar("America/New_York", year_start_month=month)
    at = datetime(2024, 6, 15, tzinfo=UTC)
    year = calendar.period(Grain.YEAR, at)
    begins = date(2024 if month <= 6 else 2023, month, 1)
    assert calendar.local_date(year.start) == begins
    assert calendar.local_date(year.end) == begins.replace(year=begins.year + 1)
    quarters = [
        calendar.local_date(quarter.start)
        for quarter in calendar.periods(Grain.QUARTER, year.start, year.end)
    ]
    assert [(day.month - month) % 12 for day in quarters] == [0, 3, 6, 9]


def length(zone: str, day: date, grain: Grain = Grain.DAY) -> timedelta:
    calendar = Calendar(zone)
    period = calendar.period(grain, calendar.midnight(day))
    return period.end - period.start


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("UTC", date(2024, 3, 31), 24),
        ("Europe/London", date(2024, 3, 31), 23),
        ("Europe/London", date(2024, 10, 27), 25),
        ("Australia/Lord_Howe", date(2024, 4, 7), 24.5),
        ("Australia/Lord_Howe", date(2024, 10, 6), 23.5),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),
        ("America/Havana", date(2024, 11, 3), 25),
        ("Antarctica/Troll", date(2024, 3, 31), 22),
        ("Pacific/Apia", date(2011, 12, 29), 24),
        ("Pacific/Apia", date(2011, 12, 31), 24),
    ],
)
def test_the_length_of_a_day(zone: str, day: date, hours: float) -> None:
    assert length(zone, day) == timedelta(hours=hours)


def test_a_date_that_the_zone_skipped_has_no_period() -> None:
    calendar = Calendar("Pacific/Apia")
    day = calendar.period(Grain.DAY, calendar.midnight(date(2011, 12, 29)))
    assert calendar.local_date(calendar.following(day).start) == date(2011, 12, 31)
    assert calendar.midnight(date(2011, 12, 30)) == calendar.midnight(date(2011, 12, 31)) == day.end
    week = calendar.period(Grain.WEEK, day.start)
    assert week.end - week.start == 6 * DAY


def test_quarters_and_years_follow_the_first_month() -> None:
    calendar = Calendar("UTC", year_start_month=4)
    at = datetime(2024, 2, 10, tzinfo=UTC)
    assert calendar.period(Grain.YEAR, at) == Period(
        datetime(2023, 4, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC), Grain.YEAR
    )
    assert calendar.period(Grain.QUARTER, at).start == datetime(2024, 1, 1, tzinfo=UTC)
    odd = Calendar("UTC", year_start_month=2)
    assert odd.period(Grain.QUARTER, datetime(2024, 1, 31, tzinfo=UTC)).start == datetime(
        2023, 11, 1, tzinfo=UTC
    )


def test_a_grain_may_be_given_by_its_name() -> None:
    at = datetime(2024, 2, 10, 5, 30, tzinfo=UTC)
    name: Any = "hour"
    assert Calendar().period(name, at) == Calendar().period(Grain.HOUR, at)


@override_settings(STOCKANDFLOW={"TIME_ZONE": "Asia/Tokyo", "WEEK_START": 6, "YEAR_START_MONTH": 4})
def test_the_default_calendar_is_that_of_the_settings() -> None:
    assert Calendar.default() == Calendar("Asia/Tokyo", 6, 4)


@override_settings(STOCKANDFLOW={}, TIME_ZONE="Europe/Berlin")
def test_the_default_time_zone_is_the_projects() -> None:
    assert Calendar.default() == Calendar("Europe/Berlin", 0, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("Mars/Olympus",), r"Unknown time zone 'Mars/Olympus'; write an IANA name such as 'Europe/London'"),
        (("",), r"Unknown time zone ''"),
        ((None,), r"Unknown time zone None"),
        (("../etc/passwd",), r"Unknown time zone"),
        (("UTC", 7), r"week_start is 7; write 0 \(Monday\) … 6 \(Sunday\)"),
        (("UTC", "monday"), r"week_start is 'monday'"),
        (("UTC", 0, 0), r"year_start_month is 0; write 1 … 12"),
        (("UTC", 0, 13), r"year_start_month is 13"),
    ],
)
def test_a_calendar_that_is_none_is_refused(given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Calendar(*given)


NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    "ask",
    [
        lambda calendar, at: calendar.period(Grain.DAY, at),
        lambda calendar, at: calendar.period(Grain.HOUR, at),
        lambda calendar, at: calendar.local_date(at),
        lambda calendar, at: list(calendar.periods(Grain.DAY, at, datetime(2024, 2, 1, tzinfo=UTC))),
        lambda calendar, at: list(calendar.periods(Grain.DAY, datetime(2023, 2, 1, tzinfo=UTC), at)),
        lambda calendar, at: calendar.offsets(at, datetime(2024, 2, 1, tzinfo=UTC)),
        lambda calendar, at: aware(at),
    ],
)
def test_a_naive_datetime_is_refused_with_the_cure(ask: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"naive datetime datetime.datetime\(2024, 1, 1, 0, 0\).*make_aware"
    ):
        ask(Calendar("Europe/London"), NAIVE)
    with pytest.raises(InvalidInput, match="give an aware datetime"):
        ask(Calendar("Europe/London"), "2024-01-01")


def test_a_grain_that_is_none_is_refused() -> None:
    unknown: Any = "fortnight"
    with pytest.raises(InvalidInput, match="'fortnight' is no grain; write one of hour, day, week, month"):
        Calendar().period(unknown, datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("zone", "at"),
    [
        ("America/New_York", datetime.min.replace(tzinfo=UTC)),
        ("Asia/Tokyo", datetime.max.replace(tzinfo=UTC)),
        ("UTC", datetime.max.replace(tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("grain", Grain)
def test_an_instant_at_the_end_of_time_is_refused(zone: str, at: datetime, grain: Grain) -> None:
    with pytest.raises(InvalidInput, match="out of the calendar's reach"):
        Calendar(zone).period(grain, at)


def test_a_range_is_from_since_to_until() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    since, until = datetime(2024, 1, 1, 9, tzinfo=tokyo), datetime(2024, 1, 2, tzinfo=UTC)
    assert checked_range(since, until) == (datetime(2024, 1, 1, tzinfo=UTC), until)
    for wrong in (since, since - DAY):
        with pytest.raises(
            InvalidInput, match=r"until \(.*\) doesn't come after since \(2024-01-01T00:00:00.00:00\).*swap"
        ):
            checked_range(since, wrong)
    with pytest.raises(InvalidInput, match="until is the naive datetime"):
        checked_range(since, NAIVE)
    with pytest.raises(InvalidInput, match=r"since is .*, which in UTC is out of the calendar's reach"):
        checked_range(datetime(1, 1, 1, tzinfo=tokyo), until)


@settings(max_examples=100)
@given(
    zones, instants, st.timedeltas(MINUTE, 800 * DAY), st.lists(st.floats(0, 0.999), min_size=1, max_size=20)
)
def test_offsets_are_stretches_whose_local_time_is_the_wall(
    zone: str, since: datetime, span: timedelta, places: list[float]
) -> None:
    calendar, clock, until = Calendar(zone), ZoneInfo(zone), since + span
    stretches = calendar.offsets(since, until)
    assert stretches[0][0] == since
    assert all(one[0] < other[0] < until for one, other in pairwise(stretches))
    for place in places:
        at = since + span * place
        offset = next(offset for start, offset in reversed(stretches) if start <= at)
        shown = (at + offset).date()
        assert shown == calendar.local_date(at)
        assert calendar.midnight(shown) <= at < calendar.midnight(shown + DAY)
        assert offset == at.astimezone(clock).utcoffset() or shown < at.astimezone(clock).date()


@pytest.mark.django_db
@given(changes(), st.lists(st.timedeltas(timedelta(0), 3 * DAY), min_size=1, max_size=20))
@example(("America/St_Johns", datetime(2009, 10, 31, 1, tzinfo=UTC)), [HOUR * n / 2 for n in range(120)])
@example(("Pacific/Apia", datetime(2011, 12, 29, tzinfo=UTC)), [HOUR * n for n in range(60)])
def test_the_database_tells_the_local_date_as_python_does(
    given: tuple[str, datetime], places: list[timedelta]
) -> None:
    zone, since = given
    calendar = Calendar(zone)
    MemberFlowEvent.objects.all().delete()
    MemberFlowEvent.objects.bulk_create(
        MemberFlowEvent(subject_id=1, timestamp=since + place, recorded_at=since) for place in places
    )
    local = LocalDate("timestamp", calendar.offsets(since, since + 4 * DAY))
    found = MemberFlowEvent.objects.values_list("timestamp", local)
    assert len(found) == len(places)
    for at, day in found:
        assert day == calendar.local_date(at), connection.vendor
        assert calendar.midnight(day) == calendar.period(Grain.DAY, at).start


@pytest.mark.django_db
@pytest.mark.parametrize("since", [datetime(1969, 12, 30, tzinfo=UTC), datetime(2026, 3, 28, tzinfo=UTC)])
def test_the_database_numbers_local_days_as_python_does_also_before_1970(since: datetime) -> None:
    calendar = Calendar("America/St_Johns")
    MemberFlowEvent.objects.bulk_create(
        MemberFlowEvent(subject_id=1, timestamp=since + HOUR * n / 2, recorded_at=since) for n in range(150)
    )
    with connection.cursor() as cursor:
        day = local_day_sql(connection, "timestamp", calendar.offsets(since, since + 4 * DAY))
        cursor.execute(f"SELECT {day} FROM {MemberFlowEvent._meta.db_table} ORDER BY timestamp", [])
        found = [number for (number,) in cursor]
    assert found == [calendar.local_date(since + HOUR * n / 2).toordinal() for n in range(150)]


@pytest.mark.parametrize(
    ("computed_after", "now_after", "status"),
    [
        (None, -1, Status.IN_PROGRESS),
        (-2, -1, Status.IN_PROGRESS),
        (None, 0, Status.GAP),
        (-1, 0, Status.PROVISIONAL),
        (23, 100, Status.PROVISIONAL),
        (24, 100, Status.FINAL),
    ],
)
def test_a_number_is_final_once_it_was_computed_after_the_allowed_lateness(
    computed_after: int | None, now_after: int, status: Status
) -> None:
    end = datetime(2026, 3, 1, tzinfo=UTC)
    computed = None if computed_after is None else end + timedelta(hours=computed_after)
    assert Status.of(end, computed, end + timedelta(hours=now_after), timedelta(days=1)) is status


def test_calendars_that_differ_have_keys_that_differ() -> None:
    calendars = [Calendar("UTC"), Calendar("Europe/London"), Calendar("UTC", 6), Calendar("UTC", 0, 4)]
    assert len({calendar.key for calendar in calendars}) == 4
    assert Calendar("UTC", 0, 4).key == Calendar("UTC", year_start_month=4).key
