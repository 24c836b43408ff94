"""Every number of a report equals the list behind it, and what can't be listed is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import recording, reports
from stockandflow.capture import suspended
from stockandflow.declarations import Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Origin
from stockandflow.periods import Calendar
from stockandflow.registry import Registry, registry
from stockandflow.reports import Kind, Number
from tests.reports.history import SLUGS, Step, counted, written

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)

LIVES = st.lists(
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from([*SLUGS, ""])), min_size=1, max_size=6),
    max_size=6,
)


def told(lives: list[list[tuple[int, str]]]) -> list[list[Step]]:
    """Steps by half days, each to another stock than the one before; the last is there still."""
    histories = []
    for life in lives:
        at, before, steps = START, "", []
        for half_days, sink in life:
            at += half_days * DAY / 2
            if sink != before and at < timezone.now():
                steps.append((at, sink))
                before = sink
        if steps:
            histories.append(steps)
    return histories


def membership() -> Process:
    return registry.process("membership")


@settings(max_examples=settings().max_examples // 10)  # each asks for some eighty lists
@given(lives=LIVES, first=st.integers(2, 60), length=st.integers(1, 60), records=st.sets(st.integers(2, 120)))
def test_every_number_is_the_length_of_its_list(
    lives: list[list[tuple[int, str]]], first: int, length: int, records: set[int]
) -> None:
    histories = [[(START, "trial")], *told(lives)]
    with transaction.atomic():
        written(histories)
        for half_days in records:
            counted(histories, START + half_days * DAY / 2)
        since = START + first * DAY / 2
        for until in (since + length * DAY / 2, timezone.now() + DAY):
            assert_lists_are_numbers(reports.balance(membership(), since, until))
        transaction.set_rollback(True)


def assert_lists_are_numbers(balance: reports.Balance) -> None:
    for line in balance.stocks:
        for name in ("opening", "closing"):
            number = balance.number(line, name)
            assert number.value == getattr(line, name)
            assert reports.subjects(number).count() == number.value, number
            here = set(Member.objects.values_list("pk", flat=True))
            keys = set(reports.subjects(number))
            assert set(reports.members(number).values_list("pk", flat=True)) == keys & here
        for name in ("inflow", "outflow"):
            number = balance.number(line, name)
            assert reports.members(number).count() == number.value, number
        net = balance.number(line, "net")
        signs = [1 if event.sink == line.stock.slug else -1 for event in reports.members(net)]
        assert sum(signs) == net.value
        assert reports.members(balance.number(line, "unexplained")).count() == line.unexplained == 0
        for flow in (*line.inflows, *line.outflows):
            number = balance.number(flow, "count")
            events = list(reports.members(number))
            assert len(events) == number.value == flow.count, number
            objects = balance.number(flow, "subjects")
            assert set(reports.subjects(objects)) == {event.subject_id for event in events}


def test_numbers_that_are_read_from_records_are_the_lengths_of_their_lists_too() -> None:
    midnight = Calendar.default().midnight(date(2026, 3, 1))
    lives = [
        [(START + n * DAY / 3, ("trial", "active", "paused", "past-due", "churned")[(n * n + first) % 5])]
        for first in range(9)
        for n in range(first, 9)
    ]
    histories = [[(START, "trial")], *([steps[0], (steps[0][0] + DAY, "")] for steps in lives)]
    written(histories)
    counted(histories, midnight + DAY)
    recording.record_flows(registry)
    recording.record_levels(registry)

    for until in (midnight + 2 * DAY, midnight + 9 * DAY):
        balance = reports.balance(membership(), midnight + DAY, until, grain="day")
        assert balance.status == "final"
        for one in (balance, *balance.parts):
            assert_lists_are_numbers(one)
        for line in balance.stocks:
            for flow in (*line.inflows, *line.outflows):
                number = balance.number(flow, "subjects")
                assert number.value is None or reports.subjects(number).count() == number.value


def test_moves_of_a_slice_are_the_length_of_their_list() -> None:
    pro = Plan.objects.create(name="Pro", monthly_price=29)
    for plan in (None, pro):
        written([[(START, "trial"), (START + DAY, "active"), (START + 2 * DAY, "past-due")]], plan)
    written(
        [[(START, "paused"), (START + DAY, "trial")], [(START, "trial"), (START + DAY, "active")]],
        pro,
        country="FR",
    )
    counted([], START + DAY / 2)

    for facets in ({"plan": "Pro"}, {"plan": "Basic"}, {"country": "(none)"}, {"country": "France"}):
        balance = reports.balance(membership(), START + DAY / 2, START + 5 * DAY, facets=facets)
        assert any(line.inflow for line in balance.stocks)
        for line in balance.stocks:
            for name in ("inflow", "outflow"):
                number = balance.number(line, name)
                assert reports.members(number).count() == number.value, number
            for flow in (*line.inflows, *line.outflows):
                number = balance.number(flow, "count")
                assert reports.members(number).count() == number.value, number
            if line.reclassified:
                with pytest.raises(InvalidInput, match="leaves no event"):
                    reports.members(balance.number(line, "reclassified"))


def test_a_late_event_is_in_the_list_before_any_record_knows_it() -> None:
    history: list[list[Step]] = [[(START, "trial")]]
    written(history)
    counted(history, START + DAY)
    written([[(START + HOUR, "trial")]])

    level = Number.level(SLUGS["trial"], START + DAY)

    assert reports.members(level).count() == 2


def test_a_level_now_is_the_stock_and_its_slice_those_with_the_value() -> None:
    pro = Plan.objects.create(name="Pro", monthly_price=29)
    written([[(START, "active")], [(START, "active")]])
    written([[(START, "active")]], pro)

    assert reports.members(Number.level(SLUGS["active"])).count() == 3
    sliced = Number.level(SLUGS["active"], facets={"plan": "Pro"})
    assert [member.plan for member in reports.members(sliced)] == [pro]
    assert list(reports.subjects(sliced)) == [Member.objects.get(plan=pro).pk]


def test_a_slice_of_a_flow_is_by_the_values_that_its_subjects_had() -> None:
    pro = Plan.objects.create(name="Pro", monthly_price=29)
    written([[(START, "trial"), (START + DAY, "active")]])
    written([[(START, "trial"), (START + DAY, "active")]], pro)
    Member.objects.update(plan=pro)
    flow = registry.flow("converting")

    def listed(**facets: str) -> int:
        number = Number.of_flow(flow, START, START + 9 * DAY, facets=facets)
        return reports.members(number).count()

    assert (listed(), listed(plan="Pro"), listed(plan="Basic"), listed(plan="Gone")) == (2, 1, 1, 0)
    assert (listed(country="(none)"), listed(country="FR"), listed(plan="Pro", country="(none)")) == (2, 0, 1)


def test_values_that_a_facet_leaves_out_are_other() -> None:
    written([[(START, "trial")]])
    written([[(START, "trial")]], country="XX")
    number = Number.of_flow(registry.flow("signing-up"), START, START + DAY, facets={"country": "(other)"})

    assert [event.facets["country"] for event in reports.members(number)] == ["XX"]


def test_a_value_that_a_count_has_though_nobody_declares_it_any_more_is_not_listed_among_the_others() -> None:
    before, after = timezone.now() - HOUR, timezone.now() + DAY
    basic = Plan.objects.create(name="Basic", monthly_price=9)
    for _ in range(2):
        Member.objects.create(plan=basic, status="trial")
    recording.record(registry)  # counts both by their plan
    Plan.objects.update(name="Gold")
    Member.objects.create(plan=Plan.objects.create(name="Brief", monthly_price=1), status="trial")
    Plan.objects.filter(name="Brief").update(name="Long")

    split = reports.balance(membership(), before, after, split_by="plan").slices
    moved = {key: one.stocks[0].inflow for key, one in split.items()}
    assert moved == {"Gold": 0, "Long": 0, "Basic": 2, "(other)": 1}
    for key, whole in split.items():
        asked = reports.balance(membership(), before, after, facets={"plan": key})
        for one in (whole, asked):
            line = one.stocks[0]
            numbers = [one.number(line, "inflow"), *(one.number(way, "count") for way in line.inflows)]
            for number in numbers:
                events = reports.listed(number).events
                assert events is not None
                assert events.count() == number.value
    others = split["(other)"]
    flow, apart = registry.flow("signing-up"), others.apart
    assert apart == {"Basic"}
    found = reports.rhythm(membership(), flow, before, after, facets={"plan": "(other)"}, apart=apart)
    assert found.total == 1
    latest = reports.latest_moves(membership(), flow, before, after, facets={"plan": "Basic"}, apart=apart)
    assert len(latest) == 2


def test_subjects_are_counted_once_and_moves_each_time() -> None:
    (key,) = written(
        [[(START, "active"), *((START + n * DAY, ("paused", "active")[n % 2]) for n in range(2, 6))]]
    )
    flow = registry.flow("pausing")
    moves = Number.of_flow(flow, START, START + 9 * DAY)
    objects = Number.of_flow(flow, START, START + 9 * DAY, measure="subjects")

    assert reports.members(moves).count() == 2
    assert list(reports.subjects(moves)) == [key]
    assert [member.pk for member in reports.members(objects)] == [key]
    assert reports.members(Number.of_flow(flow, START, START + 9 * DAY, sink="paused")).count() == 2


def test_opening_balances_are_no_moves() -> None:
    written([[(START, "trial")]])
    MemberFlowEvent.objects.update(origin=Origin.INITIAL)

    assert not reports.members(Number.of_flow(registry.flow("signing-up"), START, START + DAY)).exists()


@pytest.mark.django_db(transaction=True)  # MariaDB commits when triggers come and go
def test_what_is_unexplained_are_the_objects_that_moved_unseen() -> None:
    history: list[list[Step]] = [[(START, "past-due")], [(START, "past-due")], [(START, "active")]]
    keys = written(history)
    counted(history, START + DAY)
    with suspended(registry, "default"):
        Member.objects.filter(pk=keys[0]).update(status=Status.ACTIVE)
        Member.objects.filter(pk=keys[2]).delete()

    balance = reports.balance(membership(), START + DAY, timezone.now() + DAY)

    by_slug = {line.stock.slug: balance.number(line, "unexplained") for line in balance.stocks}
    assert by_slug["past-due"].value == -1
    assert [member.pk for member in reports.members(by_slug["past-due"])] == keys[:1]
    assert by_slug["active"].value == 0, "one came and one went"
    assert set(reports.subjects(by_slug["active"])) == {keys[0], keys[2]}
    assert not reports.members(by_slug["trial"]).exists()


def test_lists_are_lazy() -> None:
    written([[(START, "trial")]])
    balance = reports.balance(membership(), START + DAY, timezone.now() + DAY)
    with CaptureQueriesContext(connection) as captured:
        for line in balance.stocks:
            for name in ("closing", "inflow", "outflow", "net", "unexplained"):
                reports.members(balance.number(line, name))
    assert all("watermark" in query["sql"] for query in captured), "all but whether the events were pruned"


def test_what_cannot_be_listed_is_refused() -> None:
    history: list[list[Step]] = [[(START + DAY, "trial")]]
    written(history)
    everyone = Stock("everyone", "Everyone", Member.objects.all())
    Registry().register(everyone)
    trial, signing_up = SLUGS["trial"], registry.flow("signing-up")
    refused: list[tuple[Number, str]] = [
        (Number.level(trial, START), "exact since"),
        (Number.level(everyone, START + 2 * DAY), "is in no tracker"),
        (
            Number.level(trial, START + 2 * DAY, facets={"plan": "Pro"}),
            "keep facet values as they were at a move",
        ),
        (Number(Kind.UNEXPLAINED, stock=everyone, since=START), "nothing of it is unexplained"),
        (Number(Kind.RECLASSIFIED, stock=trial, since=START, slice=(("plan", "Pro"),)), "leaves no event"),
        (Number(Kind.INFLOW), "names no stock"),
        (Number(Kind.FLOW), "names neither flow nor process"),
        (Number.of_flow(signing_up, START, START + DAY, facets={"colour": "red"}), "colour"),
    ]
    for number, words in refused:
        for ask in (reports.members, reports.subjects):
            with pytest.raises(InvalidInput, match=words):
                list(ask(number))


def test_a_line_is_asked_for_its_own_numbers_only() -> None:
    written([[(START, "trial")]])
    balance = reports.balance(membership(), START - DAY, START + DAY)
    line: Any = balance.stocks[0]
    with pytest.raises(InvalidInput, match=r"has no number 'change'; it has 'opening', 'inflow'"):
        balance.number(line, "change")
    with pytest.raises(InvalidInput, match=r"has no number 'opening'; it has 'count' and 'subjects'"):
        balance.number(line.inflows[0], "opening")


def untyped(what: Any) -> Any:
    """What types would refuse before it runs."""
    return what


def other_line() -> reports.StockBalance:
    line = reports.balance(membership(), START, START + DAY).stocks[0]
    return replace(line, stock=Stock("cold", "Cold", Member.objects.all()))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: reports.members(untyped(3)), "number is 3; give a Number"),
        (lambda: reports.subjects(untyped(None)), "number is None; give a Number"),
        (
            lambda: reports.as_reported(untyped(None), START),
            r"as_reported\(\) got None; give a Balance, or a Number",
        ),
        (lambda: reports.rates(untyped(None)), "balance is None; give a Balance"),
        (lambda: Number.level(untyped("trial")), "stock is 'trial'; give a Stock"),
        (
            lambda: Number.level(SLUGS["trial"], facets=untyped("plan")),
            "facets is 'plan'; write slugs and keys",
        ),
        (
            lambda: Number.level(SLUGS["trial"], facets=untyped(["plan"])),
            r"facets is \['plan'\]; write slugs",
        ),
        (
            lambda: Number.level(SLUGS["trial"], facets=untyped({"plan": ["a"]})),
            "facets is {'plan': .*; write",
        ),
        (
            lambda: reports.members(Number.level(SLUGS["trial"], datetime(1, 1, 1, tzinfo=UTC))),
            "asked for at 0001-01-01 00:00:00.00:00, and no time is before that",
        ),
        (
            lambda: Number.of_flow(untyped("signing-up"), START, START + DAY),
            "flow is 'signing-up'; give a Flow",
        ),
        (
            lambda: Number.of_flow(registry.flow("signing-up"), START, START + DAY, source="nope"),
            "source is 'nope', and the flow 'signing-up' has no such source; write one of None",
        ),
        (
            lambda: reports.balance(membership(), START, START + DAY).number(other_line(), "closing"),
            "The line is of 'cold', and the process 'membership' has the stocks .*; give a line of this balance",
        ),
    ],
)
def test_what_names_no_number_is_refused_with_what_does(ask: Callable[[], object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        ask()


def test_a_measure_that_is_none_is_refused() -> None:
    flow = registry.flow("signing-up")
    with pytest.raises(InvalidInput, match="measure is 'rate'; write one of count, subjects"):
        Number.of_flow(flow, START, START + DAY, measure="rate")  # type: ignore[arg-type]
