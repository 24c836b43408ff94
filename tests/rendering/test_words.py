"""Numbers and ranges in words."""

from datetime import UTC, date, datetime

import pytest

from stockandflow.rendering.words import (
    Signs,
    arrow,
    bar,
    count,
    largest_first,
    moment,
    percent,
    period,
    periods,
    signed,
    span,
)
from tests.rendering.balances import LONDON, line


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0"), (7, "+7"), (1289, "+1,289"), (-3, "−3"), (-1234567, "−1,234,567")]
)
def test_a_signed_number_has_thousands_and_a_true_minus(number: int, shown: str) -> None:
    assert signed(number) == shown


def test_a_count_has_no_plus_and_a_wrong_level_below_zero_is_shown() -> None:
    assert (count(4445), count(-2), count(-2, Signs.ascii())) == ("4,445", "−2", "-2")


@pytest.mark.parametrize(
    ("opening", "closing", "shown"),
    [
        (4188, 4445, "6.1 %"),
        (191, 179, "6.3 %"),
        (5, 5, "0.0 %"),
        (0, 0, "0.0 %"),
        (0, 12, "from 0"),
        (100_000, 100_001, "<0.1 %"),
        (10_000, 10_005, "0.1 %"),
        (1, 11, "1,000 %"),
        (10_000, 109_994, "999.9 %"),
        (10_000, 109_996, "1,000 %"),
        (7, 0, "100.0 %"),
        (100, 10_099, "9,999 %"),
        (1, 101, ">9,999 %"),
        (-2, 3, ""),
    ],
)
def test_a_change_in_percent(opening: int, closing: int, shown: str) -> None:
    assert percent(opening, closing) == shown


def test_the_arrow_gives_the_direction() -> None:
    assert [arrow(change) for change in (4, -4, 0)] == ["▲", "▼", "■"]
    assert [arrow(change, Signs.ascii()) for change in (4, -4, 0)] == ["^", "v", "="]


@pytest.mark.parametrize(
    ("since", "until", "shown"),
    [
        (date(2026, 10, 25), date(2026, 11, 24), "25 Oct – 23 Nov 2026"),
        (date(2026, 11, 1), date(2026, 12, 1), "1 – 30 Nov 2026"),
        (date(2026, 11, 23), date(2026, 11, 24), "23 Nov 2026"),
        (date(2025, 11, 24), date(2026, 11, 24), "24 Nov 2025 – 23 Nov 2026"),
        (date(2026, 12, 1), date(2027, 1, 1), "1 – 31 Dec 2026"),
    ],
)
def test_a_range_of_days_names_its_last_day(since: date, until: date, shown: str) -> None:
    assert span(LONDON.midnight(since), LONDON.midnight(until), LONDON) == shown


def test_a_range_that_cuts_a_day_names_local_moments() -> None:
    since, until = datetime(2026, 7, 1, 11, 30, tzinfo=UTC), LONDON.midnight(date(2026, 7, 2))
    assert span(since, until, LONDON) == "1 Jul 2026, 12:30 – 24:00"
    assert moment(since, LONDON) == "1 Jul 2026, 12:30"


@pytest.mark.parametrize(
    ("since", "until", "shown"),
    [
        (date(2026, 10, 1), date(2026, 11, 1), "Oct 2026"),
        (date(2026, 10, 1), date(2027, 1, 1), "Oct – Dec 2026"),
        (date(2026, 1, 1), date(2027, 1, 1), "2026"),
        (date(2026, 4, 1), date(2027, 4, 1), "Apr 2026 – Mar 2027"),
        (date(2026, 10, 1), date(2026, 10, 31), "1 – 30 Oct 2026"),
        (date(2026, 10, 2), date(2026, 11, 1), "2 – 31 Oct 2026"),
    ],
)
def test_whole_months_are_named_by_themselves(since: date, until: date, shown: str) -> None:
    assert period(LONDON.midnight(since), LONDON.midnight(until), LONDON) == shown


def test_of_several_ranges_the_year_is_left_out_where_it_is_the_same() -> None:
    november = (LONDON.midnight(date(2026, 11, 2)), LONDON.midnight(date(2026, 12, 1)))
    next_year = (LONDON.midnight(date(2027, 1, 1)), LONDON.midnight(date(2027, 2, 1)))
    assert periods([november], LONDON) == ["2 – 30 Nov"]
    assert periods([november, next_year], LONDON) == ["2 – 30 Nov 2026", "Jan 2027"]
    assert periods([(LONDON.midnight(date(2026, 1, 1)), next_year[0])], LONDON) == ["2026"]
    assert periods([], LONDON) == []


@pytest.mark.parametrize(
    ("since", "until", "shown"),
    [
        (date(2026, 12, 28), date(2027, 1, 4), "28 Dec – 3 Jan 2027"),
        (date(2026, 12, 1), date(2027, 3, 1), "Dec – Feb 2027"),
        (date(2026, 4, 1), date(2027, 4, 1), "Apr 2026 – Mar 2027"),
    ],
)
def test_a_short_range_over_new_year_has_its_last_year_alone(since: date, until: date, shown: str) -> None:
    assert periods([(LONDON.midnight(since), LONDON.midnight(until))], LONDON) == [shown]


@pytest.mark.parametrize(("share", "drawn"), [(1, "████"), (0.5, "██"), (0.28, "█▏"), (0.0001, "▏")])
def test_a_bar_is_as_long_as_its_share_and_never_nothing(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


@pytest.mark.parametrize(
    ("encoding", "up"),
    [
        ("utf-8", "▲"),
        (None, "▲"),
        ("utf-16", "▲"),
        ("ascii", "^"),
        ("latin-1", "^"),
        ("cp1252", "^"),
        ("nonsense", "^"),
    ],
)
def test_the_signs_fit_the_encoding(encoding: str | None, up: str) -> None:
    assert Signs.for_encoding(encoding).up == up


def test_the_signs_of_ascii_are_ascii() -> None:
    assert "".join(vars(Signs.ascii()).values()).isascii()


def test_lines_are_ordered_by_count_and_those_without_a_flow_come_last() -> None:
    lines = [
        line((None, "A", "B", 90)),
        line(("Small", "A", "B", 1)),
        line(("Big", "A", "B", 7)),
        line(("Also", "A", "C", 7)),
    ]
    assert [found.name for found in largest_first(lines)] == ["Big", "Also", "Small", "Other"]
