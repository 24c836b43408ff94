"""What an address asks for, and what is told when it asks for what there isn't."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from example.membership.models import Plan
from stockandflow.declarations import Facet, Process, Stock
from stockandflow.periods import Calendar, Grain
from stockandflow.registry import Registry, registry
from stockandflow.site.filters import Asked, read_filters
from tests.testapp.models import Item

LONDON = Calendar("Europe/London")
NOW = datetime(2026, 11, 23, 18, 54, tzinfo=UTC)
size = Facet(slug="size", name="Size", field_lookup="number", values={"Small": 1, "Large": 2})
word = Facet(slug="word", name="Word", field_lookup="text")


def process(*facets: Facet) -> Process:
    items = Stock(slug="items", name="Items", queryset=Item.objects.all(), facets=facets)
    made = Process(slug="all", name="All", stocks=[items], calendar=LONDON)
    Registry().register(items, made)
    return made


PLAIN, FACETED = process(), process(size, word)


def asked(query: str, of: Process = PLAIN, **kwargs: Any) -> Asked:
    return read_filters(QueryDict(query), of, NOW, **kwargs)


def field(found: Asked, name: str) -> Any:
    return next(field for field in found.fields if field.name == name)


def choices(found: Asked, name: str) -> list[tuple[str, str, bool]]:
    return [(one.value, one.label, one.selected) for one in field(found, name).options]


def bounds(found: Asked) -> tuple[str, str]:
    return found.since.isoformat(), found.until.isoformat()


def current(found: Asked) -> list[str]:
    return [preset.key for preset in found.presets if preset.current]


def errors(found: Asked) -> dict[str, str]:
    return dict(found.errors)


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
    assert [(field.value, field.input_type) for field in asked("range=7d").ends] == [
        ("2026-11-17", "date"),
        ("2026-11-24", "date"),
    ]
    assert [field.value for field in asked("since=2026-11-01").ends] == ["2026-11-01", "2026-11-24"]


def test_an_instant_is_kept_in_a_field_that_can_hold_it() -> None:
    since, until = asked("since=2026-11-01T10:00%2B00:00&until=2026-11-02").ends
    assert (since.value, since.input_type, since.error) == ("2026-11-01T10:00+00:00", "text", "")
    assert (until.value, until.input_type) == ("2026-11-02", "date")


def test_what_is_wrong_is_kept_with_its_error_and_the_default_is_in_force() -> None:
    found = asked("since=2026-13-45&until=2026-11-01")
    assert bounds(found) == DEFAULT
    assert list(errors(found)) == ["since"]
    assert "since is '2026-13-45', which is no date" in errors(found)["since"]
    since, until = found.ends
    assert (since.value, since.input_type) == ("2026-13-45", "text")
    assert until.value == "2026-11-01"
    assert current(found) == []


def test_both_fields_can_be_wrong() -> None:
    assert set(errors(asked("since=x&until=y"))) == {"since", "until"}


def test_an_end_before_the_beginning_is_told_at_the_end() -> None:
    found = asked("since=2026-11-10&until=2026-11-01")
    assert list(errors(found)) == ["until"]
    assert bounds(found) == DEFAULT
    assert [field.value for field in found.ends] == ["2026-11-10", "2026-11-01"]


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
    found = read_filters(QueryDict("since=2026-11-23"), PLAIN, NOW, errors={"since": "too late"})
    assert errors(found) == {"since": "too late"}
    assert bounds(found) == DEFAULT


@pytest.mark.parametrize(
    ("query", "grain"),
    [
        ("range=7d", Grain.DAY),
        ("range=90d", Grain.DAY),
        ("range=12mo", Grain.WEEK),
        ("since=2022-11-23", Grain.MONTH),
        ("since=2006-11-23", Grain.QUARTER),
        ("since=2007-01-01", Grain.QUARTER),
        ("range=12mo&per=auto", Grain.WEEK),
        ("range=12mo&per=month", Grain.MONTH),
        ("since=2026-11-23&until=2200-01-01", Grain.DAY),
    ],
)
def test_periods_are_as_long_as_asked_or_as_the_range_needs(query: str, grain: Grain) -> None:
    found = asked(query)
    assert (found.grain, found.refused) == (grain, None)


def test_too_many_periods_are_made_coarser_and_the_grain_that_was_asked_for_is_told() -> None:
    found = asked("range=12mo&per=day")
    assert (found.grain, found.refused) == (Grain.WEEK, Grain.DAY)
    assert field(found, "per").value == "day"


def test_hours_are_offered_where_a_page_has_them() -> None:
    assert "choose one of auto, day, week" in errors(asked("per=hour"))["per"]
    found = asked("per=hour&since=2026-11-22", hours=True)
    assert (found.grain, errors(found)) == (Grain.HOUR, {})
    assert asked("per=hour", hours=True).grain is Grain.DAY


def test_a_facet_is_asked_for_by_key_or_label_and_shows_as_a_chip() -> None:
    for query in ("facet-size=2", "facet-size=Large"):
        found = asked(f"{query}&range=7d", FACETED)
        assert (found.slice, errors(found)) == ({"size": "2"}, {})
        assert [(chip.facet, chip.value, chip.query) for chip in found.chips] == [
            ("Size", "Large", "?range=7d")
        ]
        assert choices(found, "facet-size") == [
            ("", "All", False),
            ("1", "Small", False),
            ("2", "Large", True),
        ]


@pytest.mark.parametrize(("value", "name"), [("(none)", "(none)"), ("(other)", "Other values")])
def test_what_the_values_leave_out_can_be_asked_for_too(value: str, name: str) -> None:
    found = asked(f"facet-size={value}", FACETED)
    assert found.slice == {"size": value}
    assert choices(found, "facet-size")[-1] == (value, name, True)


def test_a_facet_without_declared_values_can_be_asked_for_any() -> None:
    found = asked("facet-word=blue", FACETED)
    assert found.slice == {"word": "blue"}
    assert (field(found, "facet-word").value, field(found, "facet-word").options) == ("blue", ())
    assert found.label("word", "blue") == "blue"


@pytest.mark.parametrize("query", ["", "facet-word=blue", "facet-word=2026-11-01"])
def test_a_facet_without_declared_values_is_asked_for_in_a_field_for_text(query: str) -> None:
    assert field(asked(query, FACETED), "facet-word").input_type == "text"


def test_a_value_that_there_is_not_is_kept_at_its_field() -> None:
    found = asked("facet-size=9", FACETED)
    assert found.slice == {}
    assert errors(found) == {"facet-size": "The facet 'size' has no value '9'; it has '1', '2'."}
    assert choices(found, "facet-size")[-1] == ("9", "9", True)
    assert found.strays == ()


def test_a_character_that_no_database_takes_is_refused() -> None:
    assert "choose one of" in errors(asked("facet-word=%00", FACETED))["facet-word"]


def test_a_facet_that_there_is_not_is_told_beside_the_form() -> None:
    found = asked("facet-colour=red", FACETED)
    assert found.strays == ("facet-colour is 'red'; choose one of facet-size, facet-word.",)


def test_a_facet_with_several_values_an_object_is_not_offered() -> None:
    owned = Facet(slug="seats", name="Seats", field_lookup="number__gte", values=[1, 2])
    found = asked("facet-seats=1", process(owned))
    assert list(found.errors) == ["facet-seats"]
    assert [one.name for one in found.selects] == ["per", "compare"]


@pytest.mark.parametrize(
    ("query", "slice_", "name"),
    [
        ("facet-size=1&facet-word=blue", {"size": "1"}, "facet-word"),
        ("facet-size=1&split=size", {"size": "1"}, "split"),
        ("facet-size=1&split=word", {"size": "1"}, "split"),
    ],
)
def test_a_second_facet_is_told_at_its_field_and_the_first_is_in_force(
    query: str, slice_: dict[str, str], name: str
) -> None:
    found = asked(query, FACETED)
    assert (found.slice, found.split_by) == (slice_, None)
    assert list(found.errors) == [name]
    assert "Records keep each facet by itself" in found.errors[name]


def test_the_split_and_the_comparison_are_those_there_are() -> None:
    found = asked("split=size&compare=year", FACETED)
    assert (found.split_by, found.compare, errors(found)) == ("size", "year", {})
    found = asked("split=shape&compare=never", FACETED)
    assert (found.split_by, found.compare) == (None, None)
    assert errors(found) == {
        "compare": "compare is 'never'; choose one of previous, year.",
        "split": "split is 'shape'; choose one of size, word.",
    }
    assert choices(found, "compare")[-1] == ("never", "never", True)


def test_a_wrong_parameter_spoils_no_other() -> None:
    found = asked("since=x&per=month&facet-size=1&compare=year", FACETED)
    assert (found.grain, found.slice, found.compare) == (Grain.MONTH, {"size": "1"}, "year")
    assert bounds(found) == DEFAULT


def test_links_keep_the_other_parameters() -> None:
    found = asked("range=7d&per=day&facet-size=1&strange=1&page=3", FACETED)
    assert found.query() == "?range=7d&per=day&facet-size=1"
    assert found.query(range="90d") == "?range=90d&per=day&facet-size=1"
    assert found.query(per=None) == "?range=7d&facet-size=1"
    assert found.query(since="2026-11-01") == "?per=day&facet-size=1&since=2026-11-01"
    assert found.query(split="word") == "?range=7d&per=day&split=word"
    assert found.query(**{"facet-word": "a b"}) == "?range=7d&per=day&facet-word=a+b"
    assert found.query(format="csv") == "?range=7d&per=day&facet-size=1&format=csv"
    assert asked("range=7d").query(range=None) == "?"
    assert asked("since=2026-11-01&until=2026-11-02").query(range="7d") == "?range=7d"
    assert asked("range=7d").custom_query == "?since=2026-11-17&until=2026-11-24"


@pytest.mark.django_db
def test_values_that_are_a_queryset_take_one_query_each() -> None:
    Plan.objects.create(name="Basic", monthly_price=9)
    with CaptureQueriesContext(connection) as captured:
        found = asked("facet-plan=Basic", registry.process("membership"))
    assert len(captured) == 1
    assert found.slice == {"plan": "Basic"}
    assert choices(found, "facet-plan") == [("", "All", False), ("Basic", "Basic", True)]


texts = st.text(max_size=40) | st.sampled_from(
    ["7d", "2026-11-01", "2026-11-01T10:00Z", "0001-01-01", "9999-12-31"]
)


names = ["since", "until", "range", "per", "facet-size", "facet-word", "facet-x", "split", "compare"]


@given(st.dictionaries(st.sampled_from(names), texts))
def test_whatever_is_asked_there_is_an_answer(parameters: dict[str, str]) -> None:
    found = read_filters(parameters, FACETED, NOW)
    assert found.since < found.until
    assert found.since < NOW
    assert (found.until - found.since) / timedelta(days=366) < 310
    if {"since", "until", "range"} & found.errors.keys():
        assert bounds(found) == DEFAULT
    assert len(found.slice) <= 1
    assert QueryDict(found.query()[1:]).keys() <= parameters.keys()


def test_a_range_of_more_than_twenty_years_is_refused_at_its_beginning() -> None:
    assert not errors(asked("since=2026-11-23&until=2200-01-01")), "what is to come is no part of it"
    found = asked("since=1950-01-01&until=2025-01-01")
    assert "ask for 7,320 at most" in errors(found)["since"]
    assert not errors(asked("since=2006-01-01&until=2025-01-01"))


@pytest.mark.django_db
def test_a_facet_of_more_values_than_can_stand_side_by_side_is_not_split_by_and_typed() -> None:
    many = Facet("number", "Number", "number", list(range(51)))
    found = asked("split=number", process(many))
    assert found.split_by is None
    assert "more than 50 values" in errors(found)["split"]
    assert not choices(found, "facet-number"), "a field to type into, rather than a long list"
    assert asked("split=number", process(Facet("number", "Number", "number", [1]))).split_by == "number"


@pytest.mark.django_db
def test_values_that_nobody_declared_are_counted_before_a_page_is_split_by_them() -> None:
    Item.objects.bulk_create(Item(text=f"n{n}") for n in range(50))
    assert asked("split=word", FACETED).split_by == "word"
    Item.objects.create(text="another")
    assert "more than 50 values" in errors(asked("split=word", FACETED))["split"]
