"""Balances by period, by facet value, and beside another range: the parts sum to the whole."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import Member, Plan, Status
from example.membership.stocksandflows import plan as plan_facet
from stockandflow import recording, reports
from stockandflow.declarations import Facet, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import StockFacetRecord, StockRecord
from stockandflow.periods import Calendar, Grain
from stockandflow.registry import Registry, registry
from stockandflow.reports import Balance
from stockandflow.reports.comparing import compared_span
from tests.reports.history import LONDON, SINCE, UNTIL, midnight, written
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
YEAR = midnight(2025, 1, 1), midnight(2026, 1, 1)


def adds_up(balance: Balance) -> None:
    for line in balance.stocks:
        beside = line.reclassified if line.slice else line.unexplained
        assert line.expected is not None
        assert beside is not None
        assert line.closing == line.expected + beside


def test_a_part_that_is_under_way_is_in_progress_and_later_ones_are_left_out(membership: Process) -> None:
    today = LONDON.period(Grain.DAY, timezone.now())
    whole = reports.balance(membership, LONDON.preceding(today).start, today.end + 2 * DAY, grain="day")

    before, now = whole.parts
    assert (before.in_progress, now.in_progress) == (False, True)
    assert (now.since, now.until) == (today.start, today.end)
    assert before.status != now.status == "in_progress"


@pytest.mark.parametrize(
    ("grain", "words"),
    [("fortnight", "'fortnight' is no grain"), ("hour", "series"), ("day", "more than 400 of these")],
)
def test_parts_that_cannot_be_had_are_refused(membership: Process, grain: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        reports.balance(membership, SINCE, UNTIL, grain=grain)


# Facets.


@pytest.fixture
def plans() -> list[Plan]:
    return [Plan.objects.create(name=name, monthly_price=9) for name in ("Basic", "Pro")]


def join(plan: Plan, number: int) -> list[Member]:
    return Member.objects.bulk_create(
        [Member(name=f"m{n}", email="m@example.org", plan=plan) for n in range(number)]
    )


def test_slices_sum_to_the_whole_and_tell_who_changed_the_value(
    plans: list[Plan], membership: Process
) -> None:
    recording.record(registry)
    since = StockRecord.objects.latest("timestamp").timestamp
    members = join(plans[0], 5) + join(plans[1], 3)
    Member.objects.filter(pk=members[0].pk).update(plan=plans[1])
    Member.objects.filter(pk__in=[members[0].pk, members[6].pk]).convert()

    whole = reports.balance(membership, since, timezone.now() + DAY, split_by="plan")

    assert list(whole.slices) == ["Basic", "Pro"]
    for balance in whole.slices.values():
        adds_up(balance)
    for place, line in enumerate(whole.stocks):
        slices = [balance.stocks[place] for balance in whole.slices.values()]
        for name in ("opening", "inflow", "outflow", "closing"):
            assert sum(getattr(one, name) for one in slices) == getattr(line, name), name
        assert sum(one.reclassified or 0 for one in slices) == line.unexplained
    basic, pro = (balance.stocks[0] for balance in whole.slices.values())
    assert (basic.inflow, basic.outflow, basic.reclassified, basic.closing) == (5, 0, -1, 4)
    assert (pro.inflow, pro.outflow, pro.reclassified, pro.closing) == (3, 2, 1, 2)
    assert (basic.unexplained, basic.slice) == (None, {"plan": "Basic"})


def test_a_facet_gives_the_slice_of_one_value(plans: list[Plan], membership: Process) -> None:
    recording.record(registry)
    since = StockRecord.objects.latest("timestamp").timestamp
    join(plans[0], 5)
    join(plans[1], 3)

    pro = reports.balance(membership, since, timezone.now() + DAY, facets={"plan": "Pro"})

    assert (pro.slice, pro.stocks[0].inflow, pro.stocks[0].closing) == ({"plan": "Pro"}, 3, 3)


def test_a_value_may_be_given_by_its_label(plans: list[Plan], membership: Process) -> None:
    for given in ("United Kingdom", "GB"):
        found = reports.balance(membership, SINCE, UNTIL, facets={"country": given})
        assert found.slice == {"country": "GB"}


@pytest.mark.parametrize("number", [1, 2])
def test_values_whose_moves_contradict_their_count_are_known_where_nobody_is_left_alone(
    membership: Process, number: int
) -> None:
    at = timezone.now().replace(microsecond=0) - timedelta(hours=9)
    pro = Plan.objects.create(name="Pro", monthly_price=19)
    written([[(at - 40 * DAY, "trial"), (at + timedelta(hours=2), "active")]], pro)
    record = StockRecord.objects.create(stock="trial", timestamp=at, count=number)
    StockFacetRecord.objects.create(stock_record=record, facet="plan", value="Basic", count=number)

    whole = reports.balance(membership, at, at + timedelta(hours=4), split_by="plan")
    trials = {value: balance.stocks[0] for value, balance in whole.slices.items()}

    assert whole.stocks[0].closing == number - 1
    assert {value: (line.opening, line.closing) for value, line in trials.items()} == {
        "Basic": (number, None if number > 1 else 0),
        "Pro": (0, None if number > 1 else 0),
    }


def test_a_value_that_is_gone_from_the_declared_ones_is_known_while_records_have_it(
    membership: Process,
) -> None:
    at = timezone.now() - DAY
    record = StockRecord.objects.create(stock="trial", timestamp=at, count=4)
    StockFacetRecord.objects.create(stock_record=record, facet="plan", value="Gold", count=4)

    gold = reports.balance(membership, at, timezone.now() + DAY, facets={"plan": "Gold"}).stocks[0]

    assert (gold.opening, gold.closing, gold.reclassified) == (4, 0, -4)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"facets": {"plna": "Pro"}},
            "No facet of the process 'membership' has the slug 'plna'. Did you mean 'plan'",
        ),
        ({"split_by": "colour"}, "Registered: 'country', 'plan'"),
        ({"facets": {"plan": "Platinum"}}, "no value 'Platinum'; it has 'Basic', 'Pro'"),
        ({"facets": {"plan": "Pro", "country": "GB"}}, "records keep each facet by itself"),
        ({"facets": {"plan": "Pro"}, "split_by": "country"}, "give one of them"),
        ({"compare": "last"}, "write 'previous', 'year'"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    plans: list[Plan], membership: Process, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        reports.balance(membership, SINCE, UNTIL, **asked)


@pytest.mark.parametrize("how", ["previous", "year"])
def test_before_the_first_year_there_is_nothing_to_compare_with(membership: Process, how: Any) -> None:
    for since, until in ((1, 9), (1, 300)):
        asked = (datetime(1, 1, 3, tzinfo=UTC) + timedelta(days=days) for days in (since, until))
        with pytest.raises(
            InvalidInput, match=f"compare is '{how}', and no calendar has what comes before 0001-01"
        ):
            reports.balance(membership, *asked, compare=how)


def test_a_facet_of_several_values_is_refused(plans: list[Plan]) -> None:
    notes = Facet("price", "Price", "plan__monthly_price__gte", [5, 10])
    stock = Stock("rich", "Rich", Member.objects.filter(status=Status.ACTIVE), facets=[notes, plan_facet])
    process = Process("rich", "Rich", [stock])
    Registry().register(process)
    with pytest.raises(InvalidInput, match="gives an object several values or answers"):
        reports.balance(process, SINCE, UNTIL, split_by="price")


# Comparing.


def local(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=LONDON.zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("how", "since", "until", "now", "expected"),
    [
        # Whole months have as many months before them, whatever their lengths.
        ("previous", (2026, 3, 1), (2026, 4, 1), None, ((2026, 2, 1), (2026, 3, 1))),
        ("previous", (2026, 1, 1), (2027, 1, 1), None, ((2025, 1, 1), (2026, 1, 1))),
        ("previous", (2026, 4, 1), (2026, 7, 1), None, ((2026, 1, 1), (2026, 4, 1))),
        # Days have as many local days, over the change of the clocks too.
        ("previous", (2026, 3, 30), (2026, 4, 6), None, ((2026, 3, 23), (2026, 3, 30))),
        ("previous", (2026, 3, 29, 12), (2026, 3, 29, 18), None, ((2026, 3, 29, 6), (2026, 3, 29, 12))),
        ("year", (2026, 10, 1), (2026, 11, 1), None, ((2025, 10, 1), (2025, 11, 1))),
        ("year", (2028, 2, 29), (2028, 3, 1), None, ((2027, 2, 28), (2027, 3, 1))),
        ("year", (2028, 2, 1), (2028, 2, 29), None, ((2027, 2, 1), (2027, 3, 1))),
        ("year", (2028, 2, 1), (2028, 3, 1), None, ((2027, 2, 1), (2027, 3, 1))),
        ("year", (2029, 2, 1), (2029, 3, 1), None, ((2028, 2, 1), (2028, 3, 1))),
        # To date: up to the same point, by the clocks.
        (
            "previous",
            (2026, 10, 1),
            (2026, 11, 1),
            (2026, 10, 15, 14, 30),
            ((2026, 9, 1), (2026, 9, 15, 14, 30)),
        ),
        ("previous", (2026, 4, 1), (2026, 5, 1), (2026, 4, 1, 9), ((2026, 3, 1), (2026, 3, 1, 9))),
        ("previous", (2026, 3, 1), (2026, 4, 1), (2026, 3, 31, 12), ((2026, 2, 1), (2026, 3, 1))),
        ("previous", (2026, 3, 29), (2026, 3, 30), (2026, 3, 29, 12), ((2026, 3, 28), (2026, 3, 28, 12))),
        ("year", (2028, 1, 1), (2029, 1, 1), (2028, 2, 29, 14), ((2027, 1, 1), (2027, 2, 28, 14))),
        ("year", (2026, 1, 1), (2027, 1, 1), (2026, 6, 30, 8), ((2025, 1, 1), (2025, 6, 30, 8))),
    ],
)
def test_what_a_range_is_compared_with(how: Any, since: Any, until: Any, now: Any, expected: Any) -> None:
    span = local(*since), local(*until)
    at = local(*now) if now else span[1]

    assert compared_span(span, at, how, LONDON) == tuple(local(*one) for one in expected)


def test_a_range_in_progress_is_compared_to_the_same_point(membership: Process) -> None:
    now = timezone.now()
    day = membership.calendar.period(Grain.DAY, now)
    found = reports.balance(membership, day.start, day.end, compare="previous").compared

    assert found is not None
    assert found.since == membership.calendar.preceding(day).start
    assert abs((found.until - found.since) - (now - day.start)) < timedelta(hours=1, minutes=1)
    assert not found.in_progress


def test_calendars_differ_in_their_years() -> None:
    fiscal = Calendar("Europe/London", 0, 4)
    year = fiscal.period(Grain.YEAR, midnight(2026, 5, 1))
    before = fiscal.preceding(year)
    assert compared_span((year.start, year.end), year.end, "previous", fiscal) == (before.start, before.end)


def test_levels_of_many_days_without_a_tracker_take_one_short_statement() -> None:
    """Each stock's nearest counts are found by the same two lookups however many days there are, but on MariaDB."""
    stocks = [Stock(f"s{n}", f"S{n}", Item.objects.all()) for n in range(2)]
    process = Process("items", "Items", stocks, flows=[])
    Registry().register(*stocks, process)
    today = LONDON.period(Grain.DAY, timezone.now()).start
    days = list(LONDON.periods(Grain.DAY, today - 300 * DAY, today))
    counted = {
        (stock.slug, day.start - timedelta(minutes=5)): place + 1000 * number
        for number, stock in enumerate(stocks)
        for place, day in enumerate(days)
        if place % 3 == number
    }
    StockRecord.objects.bulk_create(
        StockRecord(stock=slug, timestamp=at, count=count) for (slug, at), count in counted.items()
    )

    lookups = []
    for length in (20, 300):
        since = days[-length].start
        with CaptureQueriesContext(connection) as queries:
            found = reports.balance(process, since, today, grain="day")
        lookups.append(sum(query["sql"].count("LIMIT 1") for query in queries))
        assert len(found.parts) == length
        for part in found.parts:
            for line in part.stocks:
                known = {at: count for (slug, at), count in counted.items() if slug == line.stock.slug}
                before = [at for at in known if at <= part.until]
                assert line.closing == (known[max(before)] if before else None)
    assert connection.vendor == "mysql" or lookups[0] == lookups[1] > 0
