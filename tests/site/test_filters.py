"""The range that an address asks for, and what is told when it asks for none."""

from datetime import UTC, datetime

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from stockandflow.periods import Calendar
from stockandflow.site.filters import AskedRange, read_range

LONDON = Calendar("Europe/London")
NOW = datetime(2026, 11, 23, 18, 54, tzinfo=UTC)


def asked(query: str) -> AskedRange:
    return read_range(QueryDict(query), LONDON, NOW)


def bounds(found: AskedRange) -> tuple[str, str]:
    return found.since.isoformat(), found.until.isoformat()


def current(found: AskedRange) -> list[str]:
    return [preset.key for preset in found.presets if preset.current]


def errors(found: AskedRange) -> dict[str, str]:
    told = {field.name: field.error for field in found.fields} | {"range": found.error}
    return {name: error for name, error in told.items() if error}


DEFAULT = ("2026-10-24T23:00:00+00:00", "2026-11-24T00:00:00+00:00")


@pytest.mark.parametrize(
    ("query", "since", "preset"),
    [
        ("", "2026-10-24T23:00:00+00:00", "30d"),
        ("range=7d", "2026-11-17T00:00:00+00:00", "7d"),
        ("range=30d", "2026-10-24T23:00:00+00:00", "30d"),
        ("range=90d", "2026-08-25T23:00:00+00:00", "90d"),
        ("range=12mo", "2025-11-24T00:00:00+00:00", "12mo"),
    ],
)
def test_a_preset_ends_with_today_and_is_marked(query: str, since: str, preset: str) -> None:
    found = asked(query)
    assert bounds(found) == (since, DEFAULT[1])
    assert current(found) == [preset]
    assert errors(found) == {}


def test_two_dates_win_over_a_preset_and_none_is_marked() -> None:
    found = asked("since=2026-06-01&until=2026-07-01&range=7d")
    assert bounds(found) == ("2026-05-31T23:00:00+00:00", "2026-06-30T23:00:00+00:00")
    assert current(found) == []
    assert errors(found) == {}


def test_the_fields_show_the_range_in_force() -> None:
    assert [(field.value, field.input_type) for field in asked("range=7d").fields] == [
        ("2026-11-17", "date"),
        ("2026-11-24", "date"),
    ]
    assert [field.value for field in asked("since=2026-11-01").fields] == ["2026-11-01", "2026-11-24"]


def test_an_instant_is_kept_in_a_field_that_can_hold_it() -> None:
    since, until = asked("since=2026-11-01T10:00%2B00:00&until=2026-11-02").fields
    assert (since.value, since.input_type, since.error) == ("2026-11-01T10:00+00:00", "text", "")
    assert (until.value, until.input_type) == ("2026-11-02", "date")


def test_what_is_wrong_is_kept_with_its_error_and_the_default_is_in_force() -> None:
    found = asked("since=2026-13-45&until=2026-11-01")
    assert bounds(found) == DEFAULT
    assert list(errors(found)) == ["since"]
    assert "since is '2026-13-45', which is no date" in errors(found)["since"]
    since, until = found.fields
    assert (since.value, since.input_type) == ("2026-13-45", "text")
    assert until.value == "2026-11-01"
    assert current(found) == ["30d"]


def test_both_fields_can_be_wrong() -> None:
    assert set(errors(asked("since=x&until=y"))) == {"since", "until"}


def test_an_end_before_the_beginning_is_told_at_the_end() -> None:
    found = asked("since=2026-11-10&until=2026-11-01")
    assert list(errors(found)) == ["until"]
    assert bounds(found) == DEFAULT
    assert [field.value for field in found.fields] == ["2026-11-10", "2026-11-01"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("since=2027-01-01", "since"),
        ("since=2027-01-01&until=2027-02-01", "since"),
        ("until=2027-02-01", "until"),
    ],
)
def test_a_range_that_has_not_begun_is_told_where_it_was_asked_for(query: str, name: str) -> None:
    found = asked(query)
    assert list(errors(found)) == [name]
    assert "hasn't come yet" in errors(found)[name]
    assert bounds(found) == DEFAULT


def test_an_unknown_preset_is_told_with_those_there_are() -> None:
    found = asked("range=9y")
    assert errors(found) == {"range": "range is '9y'; choose one of 7d, 30d, 90d, 12mo."}
    assert bounds(found) == DEFAULT
    assert current(found) == ["30d"]


def test_errors_found_elsewhere_stand_at_their_field() -> None:
    found = read_range(QueryDict("since=2026-11-23"), LONDON, NOW, errors={"since": "too late"})
    assert errors(found) == {"since": "too late"}
    assert bounds(found) == DEFAULT


texts = st.text(max_size=40) | st.sampled_from(
    ["7d", "2026-11-01", "2026-11-01T10:00Z", "0001-01-01", "9999-12-31"]
)


@given(st.fixed_dictionaries({}, optional={"since": texts, "until": texts, "range": texts}))
def test_whatever_is_asked_there_is_a_range(parameters: dict[str, str]) -> None:
    found = read_range(parameters, LONDON, NOW)
    assert found.since < found.until
    assert found.since < NOW
    if errors(found):
        assert bounds(found) == DEFAULT
