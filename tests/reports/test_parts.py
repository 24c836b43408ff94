"""Balances by period, by facet value, and beside another range: the parts sum to the whole."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from example.membership.stocksandflows import plan as plan_facet
from stockandflow import recording, reports
from stockandflow.declarations import Facet, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import FlowRecord, Origin, StockFacetRecord, StockRecord, Watermark
from stockandflow.periods import Calendar, Grain
from stockandflow.registry import Registry, registry
from stockandflow.reports import Balance
from stockandflow.reports.comparing import compared_span
from tests.reports.history import counted, written
from tests.reports.test_reading import LONDON, SINCE, UNTIL, histories, midnight, recorded_long_ago

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
YEAR = midnight(2025, 1, 1), midnight(2026, 1, 1)


@pytest.fixture
def membership() -> Process:
    return registry.process("membership")


@pytest.fixture
def past(membership: Process) -> Process:
    moves = histories(60, SINCE, UNTIL)
    written(moves[:40])
    written(moves[40:], Plan.objects.create(name="Pro", monthly_price=19))
    for at in (SINCE, midnight(2025, 7, 4) + timedelta(hours=3), midnight(2026, 1, 1), UNTIL):
        counted(moves, at)
    recorded_long_ago()
    recording.record(registry)
    return membership


def adds_up(balance: Balance) -> None:
    for line in balance.stocks:
        beside = line.reclassified if line.slice else line.unexplained
        assert line.opening is not None
        assert beside is not None
        assert line.closing == line.opening + line.inflow - line.outflow + beside


@pytest.mark.parametrize("grain", ["week", "month", "quarter", "year"])
def test_parts_lead_from_one_to_the_next_and_sum_to_the_whole(past: Process, grain: str) -> None:
    whole = reports.balance(past, midnight(2025, 2, 11), midnight(2026, 3, 5), grain=grain)

    for part in whole.parts:
        adds_up(part)
    assert whole.parts[0].since == whole.since
    assert whole.parts[-1].until == whole.until
    for before, after in zip(whole.parts, whole.parts[1:], strict=False):
        assert before.until == after.since
        assert [line.closing for line in before.stocks] == [line.opening for line in after.stocks]
    for place, line in enumerate(whole.stocks):
        lines = [part.stocks[place] for part in whole.parts]
        assert (lines[0].opening, lines[-1].closing) == (line.opening, line.closing)
        assert sum(one.inflow for one in lines) == line.inflow
        assert sum(one.outflow for one in lines) == line.outflow
        assert sum(one.unexplained or 0 for one in lines) == line.unexplained


def test_parts_are_the_same_from_events_and_from_records(past: Process) -> None:
    def numbers() -> Any:
        parts = reports.balance(past, *YEAR, grain=Grain.MONTH).parts
        return [[(line.inflow, line.outflow, line.closing) for line in part.stocks] for part in parts]

    by_records = numbers()
    Watermark.objects.all().delete()
    assert numbers() == by_records


def test_a_part_that_is_under_way_is_in_progress_and_later_ones_are_left_out(membership: Process) -> None:
    today = LONDON.period(Grain.DAY, timezone.now())
    whole = reports.balance(membership, LONDON.preceding(today).start, today.end + 2 * DAY, grain="day")

    before, now = whole.parts
    assert (before.in_progress, now.in_progress) == (False, True)
    assert (now.since, now.until) == (today.start, today.end)
    assert before.status != now.status == "in_progress"


def test_a_day_of_23_hours_is_a_part_like_any_other(past: Process) -> None:
    days = reports.balance(past, midnight(2025, 3, 29), midnight(2025, 4, 1), grain="day").parts

    assert [(day.until - day.since) / timedelta(hours=1) for day in days] == [24, 23, 24]


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


def test_slices_of_past_days_are_read_from_records(past: Process) -> None:
    def flows() -> Any:
        slices = reports.balance(past, *YEAR, split_by="plan").slices
        return {
            value: [(line.inflow, line.outflow) for line in balance.stocks]
            for value, balance in slices.items()
        }

    def together(found: Any) -> list[tuple[int, int]]:
        return [
            (sum(one[0] for one in ones), sum(one[1] for one in ones))
            for ones in zip(*found.values(), strict=True)
        ]

    by_records = flows()
    whole = [(line.inflow, line.outflow) for line in reports.balance(past, *YEAR).stocks]
    assert together(by_records) == whole
    assert sum(map(sum, by_records["Pro"])) > 0
    Watermark.objects.all().delete()
    assert flows() == by_records


def test_where_no_count_of_a_value_stands_its_level_is_not_known(past: Process) -> None:
    slices = reports.balance(past, *YEAR, split_by="plan").slices
    trial = slices["Pro"].stocks[0]

    assert (trial.opening, trial.opening_method) == (0, "counted"), "none of nobody"
    assert (trial.closing, trial.closing_method, trial.reclassified) == (None, "unknown", None)


def test_values_whose_moves_contradict_their_count_are_not_known(membership: Process) -> None:
    at = timezone.now().replace(microsecond=0) - timedelta(hours=9)
    pro = Plan.objects.create(name="Pro", monthly_price=19)
    written([[(at - 40 * DAY, "trial"), (at + timedelta(hours=2), "active")]], pro)
    record = StockRecord.objects.create(stock="trial", timestamp=at, count=1)
    StockFacetRecord.objects.create(stock_record=record, facet="plan", value="Basic", count=1)

    whole = reports.balance(membership, at, at + timedelta(hours=4), split_by="plan")
    trials = {value: balance.stocks[0] for value, balance in whole.slices.items()}

    assert whole.stocks[0].closing == 0
    assert {value: (line.opening, line.closing) for value, line in trials.items()} == {
        "Basic": (1, None),
        "Pro": (0, None),
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


def test_a_balance_stands_beside_the_one_before(past: Process) -> None:
    month = midnight(2025, 5, 1), midnight(2025, 6, 1)
    before = reports.balance(past, midnight(2025, 4, 1), midnight(2025, 5, 1))
    found = reports.balance(past, *month, compare="previous").compared

    assert found is not None
    assert (found.since, found.until, found.in_progress) == (before.since, before.until, False)
    assert [(x.opening, x.inflow, x.closing) for x in found.stocks] == [
        (x.opening, x.inflow, x.closing) for x in before.stocks
    ]


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


def test_the_restatement_of_the_period_shown_stands_for_those_of_its_days(past: Process) -> None:
    quarter = midnight(2025, 4, 1), midnight(2025, 7, 1)
    MemberFlowEvent.objects.create(
        tracker="membership.member",
        flow="signing-up",
        sink="trial",
        subject_id=10**6,
        timestamp=midnight(2025, 5, 10) + timedelta(hours=3),
        recorded_at=timezone.now(),
        origin=Origin.IMPORT,
    )
    recording.record(registry)

    found = reports.balance(past, *quarter, grain="month")

    def of_flow(balance: reports.Balance) -> list[tuple[str, datetime, int]]:
        return [
            (one.grain, one.start, one.new_count)
            for one in balance.stocks[0].restated
            if one.slug == "signing-up"
        ]

    (whole, *_) = found.stocks[0].inflows
    april, may, june = found.parts
    assert of_flow(found) == [("quarter", quarter[0], whole.count)]
    assert of_flow(may) == [("month", midnight(2025, 5, 1), may.stocks[0].inflows[0].count)]
    assert of_flow(april) == of_flow(june) == []


def test_what_comes_from_records_says_when_they_were_computed(past: Process) -> None:
    since, until = midnight(2025, 3, 5), midnight(2025, 6, 7)
    (trial, *_) = reports.balance(past, since, until).stocks
    records = StockRecord.objects.filter(stock="trial")
    (joined, *_) = trial.inflows
    moves = FlowRecord.objects.filter(
        flow="signing-up",
        source="",
        sink="trial",
        calendar=past.calendar.key,
        start__gte=since,
        end__lte=until,
    )

    assert trial.opening_computed_at == records.get(timestamp=since).computed_at is not None
    assert trial.closing_computed_at == records.get(timestamp=until).computed_at
    assert joined.computed_at == moves.filter(grain="day").earliest("computed_at").computed_at
    (cut, *_) = reports.balance(past, since + timedelta(hours=1), until).stocks
    assert (cut.opening_computed_at, cut.inflows[0].computed_at) == (None, None)
