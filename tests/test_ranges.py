"""Ranges: dates begin at local midnight, what is left out is filled in, what is wrong is told with its cure."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockandflow.exceptions import InvalidInput
from stockandflow.periods import Calendar
from stockandflow.ranges import asked_range, described, end_of_day, instant, last_date, last_days, last_year

LONDON = Calendar("Europe/London")
NOW = datetime(2026, 11, 23, 18, 54, tzinfo=UTC)


instants = st.builds(
    lambda seconds, micros: datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros),
    st.integers(-631_152_000, 5_680_281_600),
    st.sampled_from([0, 1, 682_001, 999_999]),
)
"""1950 to 2150."""
zones = st.sampled_from(
    ["UTC", "Europe/London", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "Asia/Gaza"]
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-23", utc(2026, 11, 23)),
        ("2026-07-01", utc(2026, 6, 30, 23)),  # British Summer Time
        (" 2026-07-01 ", utc(2026, 6, 30, 23)),
        ("2026-07-01T14:00+02:00", utc(2026, 7, 1, 12)),
        ("2026-07-01T14:00:30Z", utc(2026, 7, 1, 14, 0, 30)),
    ],
)
def test_a_date_is_its_first_local_instant_and_a_datetime_is_itself(text: str, at: datetime) -> None:
    assert instant(text, LONDON, "since") == at


@pytest.mark.parametrize(
    "text", ["yesterday", "", "2026-13-01", "2026-02-30", "23/11/2026", "1e9", "2026-11-23T25:00Z"]
)
def test_what_is_no_date_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"since is '.*', which is no date; write YYYY-MM-DD"):
        instant(text, LONDON, "since")


def test_a_naive_datetime_is_told_its_offset() -> None:
    with pytest.raises(InvalidInput) as caught:
        instant("2026-07-01T14:00", LONDON, "until")
    assert "until is '2026-07-01T14:00', which names no instant" in str(caught.value)
    assert "write '2026-07-01T14:00:00+01:00' for that time in Europe/London" in str(caught.value)


@pytest.mark.parametrize("text", ["0001-01-01", "1899-12-31", "9999-12-31", "9999-12-31T23:59+00:00"])
def test_a_year_that_no_business_had_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="its year must be 1900 to 2200"):
        instant(text, LONDON, "since")


def test_by_default_a_range_is_the_last_thirty_days_with_today() -> None:
    assert asked_range(None, None, calendar=LONDON, now=NOW) == (utc(2026, 10, 24, 23), utc(2026, 11, 24))


def test_without_since_it_has_the_thirty_days_before_its_end() -> None:
    assert asked_range(None, utc(2026, 6, 30, 23), calendar=LONDON, now=NOW)[0] == utc(2026, 5, 31, 23)


def test_without_until_it_ends_with_today() -> None:
    assert asked_range(utc(2026, 11, 1), None, calendar=LONDON, now=NOW) == (
        utc(2026, 11, 1),
        utc(2026, 11, 24),
    )


def test_an_end_before_the_beginning_is_refused_with_both_as_they_can_be_written() -> None:
    with pytest.raises(InvalidInput) as caught:
        asked_range(utc(2026, 6, 30, 23), utc(2026, 6, 1, 12, 30), calendar=LONDON, now=NOW)
    assert "until (2026-06-01T13:30:00+01:00) doesn't come after since (2026-07-01)" in str(caught.value)
    assert "swap the two" in str(caught.value)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(InvalidInput, match="doesn't come after"):
        asked_range(utc(2026, 11, 1), utc(2026, 11, 1), calendar=LONDON, now=NOW)


@pytest.mark.parametrize(
    ("since", "until"), [(utc(2027, 1, 1), None), (utc(2027, 1, 1), utc(2027, 2, 1)), (None, utc(2027, 2, 1))]
)
def test_a_beginning_that_has_not_come_yet_is_refused(since: datetime | None, until: datetime | None) -> None:
    with pytest.raises(InvalidInput, match=r"since.* is 2027-01-0[12], which hasn't come yet"):
        asked_range(since, until, calendar=LONDON, now=NOW)


def test_the_last_days_count_the_local_day_in_which_the_range_ends() -> None:
    assert last_days(1, LONDON, utc(2026, 11, 24)) == utc(2026, 11, 23)
    assert last_days(1, LONDON, utc(2026, 11, 24, 0, 0, 1)) == utc(2026, 11, 24)


@pytest.mark.parametrize(
    ("until", "since"),
    [
        (utc(2026, 11, 24), utc(2025, 11, 24)),
        (utc(2024, 2, 29), utc(2023, 2, 28)),
        (utc(2025, 3, 1), utc(2024, 3, 1)),
    ],
)
def test_twelve_months_are_a_year_of_dates(until: datetime, since: datetime) -> None:
    assert last_year(Calendar("UTC"), until) == since


@given(instants, zones)
def test_what_describes_an_instant_names_it(at: datetime, zone: str) -> None:
    calendar = Calendar(zone)
    assert instant(described(at, calendar), calendar, "since") == at


@given(instants, zones)
def test_a_day_ends_after_each_of_its_instants(at: datetime, zone: str) -> None:
    calendar = Calendar(zone)
    end = end_of_day(calendar, at)
    assert at < end <= at + timedelta(days=2)  # two: Apia skipped a whole day
    assert calendar.local_date(end) > calendar.local_date(at)
    assert last_date(end, calendar) == calendar.local_date(at)


def test_the_last_date_of_a_range_is_not_its_excluded_end() -> None:
    assert last_date(utc(2026, 11, 24), LONDON) == date(2026, 11, 23)
