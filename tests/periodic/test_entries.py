"""What can be registered, and what each mistake is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from example.membership.models import Member
from stockandflow import periodic
from stockandflow.declarations import Stock
from stockandflow.exceptions import DeclarationError, InvalidInput
from stockandflow.periodic import Bounds, Frequency, Schedule
from stockandflow.periods import Calendar

PERIOD = Bounds(datetime(2025, 6, 18, tzinfo=UTC), datetime(2025, 6, 19, tzinfo=UTC))


def tidy(limit: int = 5, *, room: str = "all") -> str:
    return f"{room} {limit}"


def test_an_entry_keeps_what_it_was_registered_with() -> None:
    schedule = Schedule()
    calendar = Calendar("Asia/Tokyo")
    entry = schedule.register(
        periodic.WEEKLY,
        tidy,
        [7],
        {"room": "attic"},
        name="tidying",
        catch_up="all",
        lease=timedelta(hours=2),
        calendar=calendar,
        atomic=False,
    )
    assert schedule.entries == [entry]
    assert (entry.frequency, entry.name, entry.catch_up) == (Frequency.WEEKLY, "tidying", "all")
    assert (entry.lease, entry.calendar, entry.atomic) == (timedelta(hours=2), calendar, False)
    assert entry.call(PERIOD) == "attic 7"


def test_an_entry_has_the_defaults_of_one_line() -> None:
    entry = Schedule().register("hourly", tidy)
    assert entry.name == f"{__name__}.tidy"
    assert (entry.catch_up, entry.lease, entry.atomic) == ("latest", timedelta(minutes=5), True)
    assert entry.call(PERIOD) == "all 5"


def test_a_function_that_asks_for_the_period_or_its_key_gets_them() -> None:
    def charge(tariff: str, period: Bounds, *, idempotency_key: str) -> tuple[Any, ...]:
        return tariff, period, idempotency_key

    entry = Schedule().register(periodic.DAILY, charge, ["solo"], name="charging")
    assert entry.call(PERIOD) == ("solo", PERIOD, "charging 2025-06-18T00:00:00+00:00")


def test_the_key_of_an_instant_is_the_same_in_every_zone() -> None:
    entry = Schedule().register(periodic.DAILY, tidy, name="it")
    tokyo = Bounds(*(at.astimezone(Calendar("Asia/Tokyo").zone) for at in PERIOD))
    assert entry.idempotency_key(tokyo) == entry.idempotency_key(PERIOD)


def test_what_is_given_or_has_a_default_is_not_asked_for() -> None:
    def report(period: str, idempotency_key: str = "none") -> str:
        return f"{period} {idempotency_key}"

    schedule = Schedule()
    assert schedule.register(periodic.DAILY, report, ["month"], name="a").call(PERIOD) == "month none"
    given = {"period": "year", "idempotency_key": "mine"}
    assert schedule.register(periodic.DAILY, report, kwargs=given, name="b").call(PERIOD) == "year mine"


def test_an_entry_without_a_calendar_follows_the_settings(settings: Any) -> None:
    entry = Schedule().register(periodic.DAILY, tidy)
    settings.STOCKANDFLOW = {"TIME_ZONE": "Pacific/Auckland"}
    assert entry.calendar.timezone == "Pacific/Auckland"


def test_methods_of_two_stocks_have_names_of_their_own() -> None:
    schedule = Schedule()
    for slug in ("first", "second"):
        stock = Stock(slug=slug, name=slug, queryset=Member.objects.all())
        schedule.register(periodic.DAILY, stock.save_count)
    assert [entry.name for entry in schedule.entries] == ["first.save_count", "second.save_count"]


def test_the_frequencies_are_constants_and_text() -> None:
    assert [frequency.value for frequency in Frequency] == [
        getattr(periodic, frequency.name) for frequency in Frequency
    ]
    assert len(Frequency) == 11


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            {"frequency": "fortnightly"},
            r"'fortnightly', which is no frequency; write one of periodic\.NEVER, ",
        ),
        ({"to_call": tidy()}, "'all 5' to call, which isn't callable; pass the function itself"),
        ({"to_call": partial(tidy, 3)}, "has no name of its own"),
        ({"name": ""}, "can't be named ''"),
        ({"name": " tidy"}, "can't be named ' tidy'"),
        ({"name": "x" * 201}, "write 1 to 200 characters"),
        ({"args": "ab"}, "args='ab'; write a list"),
        ({"kwargs": ["room"]}, r"kwargs=\['room'\]; write a dict"),
        ({"kwargs": {1: 2}}, "write a dict of name"),
        ({"args": [1, 2, 3]}, r"can't be called with args=\[1, 2, 3\].*too many positional"),
        ({"kwargs": {"rooom": 1}}, "unexpected keyword argument 'rooom'"),
        ({"catch_up": "everything"}, "catch_up='everything'; write one of 'latest', 'skip', 'all'"),
        ({"lease": 300}, "the lease 300; write a timedelta"),
        ({"lease": timedelta(0)}, "of a second or more"),
        ({"calendar": "Europe/London"}, r"the calendar 'Europe/London'; write a Calendar"),
    ],
)
def test_a_wrong_entry_is_told_what_to_write(arguments: dict[str, Any], told: str) -> None:
    schedule = Schedule()
    with pytest.raises(DeclarationError, match=told):
        schedule.register(**{"frequency": "daily", "to_call": tidy, **arguments})
    assert schedule.entries == []


@pytest.mark.parametrize("name", ["tidying", "Tidying"])
def test_two_entries_of_one_name_are_refused(name: str) -> None:
    schedule = Schedule()
    schedule.register(periodic.DAILY, tidy, name="tidying")
    with pytest.raises(DeclarationError, match=r"has an entry 'tidying' already.*another name"):
        schedule.register(periodic.HOURLY, tidy, name=name)
    assert [entry.frequency for entry in schedule.entries] == [Frequency.DAILY]


def test_an_unknown_entry_is_told_with_its_nearest_neighbour() -> None:
    schedule = Schedule()
    with pytest.raises(InvalidInput, match=r"no entry 'tidying'\. It is empty"):
        schedule.entry("tidying")
    schedule.register(periodic.DAILY, tidy, name="tidying")
    with pytest.raises(InvalidInput, match="Did you mean 'tidying'"):
        schedule.chosen(["tiding"])


def test_chosen_entries_come_in_the_order_of_the_schedule() -> None:
    schedule = Schedule()
    for name in ("a", "b", "c"):
        schedule.register(periodic.DAILY, tidy, name=name)
    assert [entry.name for entry in schedule.chosen(["c", "a"])] == ["a", "c"]
    assert [entry.name for entry in schedule.chosen("b")] == ["b"]
    assert len(schedule.chosen(None)) == 3


def test_what_a_failing_block_registered_is_taken_back() -> None:
    schedule = Schedule()
    schedule.register(periodic.DAILY, tidy, name="before")

    def load(fails: bool) -> None:
        with schedule.transaction():
            schedule.register(periodic.DAILY, tidy, name="inside")
            assert not fails

    with pytest.raises(AssertionError):
        load(fails=True)
    assert [entry.name for entry in schedule.entries] == ["before"]
    load(fails=False)
    assert [entry.name for entry in schedule.entries] == ["before", "inside"]


ALIKE = [("Report", "report"), ("café", "CAFE"), ("cafe\u0301", "café"), ("🍎", "🍐"), ("ﬁnance", "finance")]
APART = [("a%b", "a_b"), ("a.b", "a-b"), ("naïve 1", "naïve 2"), ("данные", "данное")]


@pytest.mark.parametrize(("first", "second"), ALIKE)
def test_names_that_some_database_takes_for_one_are_refused(first: str, second: str) -> None:
    schedule = Schedule()
    schedule.register("hourly", tidy, name=first)
    with pytest.raises(DeclarationError, match=r"already.*another name"):
        schedule.register("hourly", tidy, name=second)


@pytest.mark.django_db
@pytest.mark.parametrize(("first", "second"), APART)
def test_names_of_odd_characters_have_each_their_own_row(first: str, second: str) -> None:
    schedule = Schedule()
    for name in (first, second):
        schedule.register("hourly", tidy, name=name)
    assert [result.state for result in periodic.run(schedule).results] == [periodic.State.DONE] * 2
    assert [result.state for result in periodic.run(schedule).results] == [periodic.State.NOT_DUE] * 2
