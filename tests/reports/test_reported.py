"""What was reported then: records as they were, taken back by the restatements since."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import Plan
from stockandflow import reports
from stockandflow.declarations import Process
from stockandflow.exceptions import InvalidInput
from stockandflow.models import (
    ALL,
    FlowFacetRecord,
    FlowRecord,
    Restatement,
    StockFacetRecord,
    StockRecord,
    Watermark,
)
from stockandflow.periods import Calendar, Grain
from stockandflow.recording import record_flows, record_levels
from stockandflow.registry import registry
from stockandflow.reports import Kind, Number
from tests.reports.history import SLUGS, written

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
CALENDAR = Calendar.default()
START = CALENDAR.midnight(date(2026, 3, 1))
FINAL = START + 4 * DAY
"""When the first days were final."""
RESTATED = START + 20 * DAY
CONVERTING = registry.flow("converting")


def day(number: int) -> datetime:
    return START + number * DAY


def flow_record(
    number: int,
    count: int,
    *,
    flow: str = "converting",
    source: str = ALL,
    sink: str = ALL,
    computed_at: datetime = FINAL,
    grain: Grain = Grain.DAY,
    **fields: Any,
) -> FlowRecord:
    period = CALENDAR.period(grain, day(number))
    return FlowRecord.objects.create(
        flow=flow,
        source=source,
        sink=sink,
        calendar=CALENDAR.key,
        grain=grain,
        start=period.start,
        end=period.end,
        count=count,
        subjects=fields.pop("subjects", count),
        computed_at=computed_at,
        **fields,
    )


def restated(record: FlowRecord, old: int, at: datetime = RESTATED, **fields: Any) -> None:
    Restatement.objects.create(
        kind="flow",
        slug=record.flow,
        source=record.source,
        sink=record.sink,
        calendar=record.calendar,
        grain=record.grain,
        start=record.start,
        end=record.end,
        revision=2,
        old_count=old,
        new_count=record.count,
        old_subjects=old,
        new_subjects=record.count,
        old_computed_at=fields.pop("old_computed_at", FINAL),
        at=at,
        cause="late events",
        **fields,
    )
    FlowRecord.objects.filter(pk=record.pk).update(computed_at=max(at, record.computed_at))


def known(number: Number, at: datetime) -> int | None:
    told = reports.as_reported(number, at)
    assert (told.value is None) is bool(told.reason)
    return told.value


def converting(first: int, last: int, **options: Any) -> Number:
    return Number.of_flow(CONVERTING, day(first), day(last), **options)


def test_a_number_is_what_it_was_before_it_was_restated() -> None:
    restated(flow_record(0, 7), 5)
    number = converting(0, 1)

    assert known(number, RESTATED - DAY) == 5
    assert known(number, RESTATED) == 7
    assert known(number, timezone.now()) == 7


def test_of_several_restatements_the_first_after_it_tells() -> None:
    record = flow_record(0, 9)
    restated(record, 5, day(20))
    restated(record, 7, day(30), old_computed_at=day(20))

    assert [known(converting(0, 1), day(n)) for n in (10, 25, 40)] == [5, 7, 9]


def test_what_was_not_computed_yet_was_not_known() -> None:
    restated(flow_record(0, 7), 5)
    flow_record(1, 3, computed_at=day(10))
    early, late = reports.as_reported(converting(0, 1), FINAL - DAY), converting(1, 2)

    assert early.value is None
    assert "wasn't computed yet, or was provisional" in early.reason
    assert [known(late, day(n)) for n in (9, 10)] == [None, 3]
    assert reports.as_reported(converting(50, 51), day(60)).value is None


def test_a_range_of_days_is_the_sum_of_what_each_was() -> None:
    restated(flow_record(0, 7), 5)
    flow_record(1, 3)
    flow_record(2, 0)

    assert known(converting(0, 3), day(10)) == 8
    assert known(converting(0, 3), day(21)) == 10
    assert known(converting(0, 4), day(10)) is None, "the last day has no record"


def test_a_stored_period_is_told_by_its_own_record_and_only_it_tells_subjects() -> None:
    restated(flow_record(0, 12, grain=Grain.MONTH, subjects=9), 10)
    number = Number.of_flow(CONVERTING, START, CALENDAR.midnight(date(2026, 4, 1)), measure="subjects")

    assert known(number, day(10)) == 10
    assert known(number, day(21)) == 9
    told = reports.as_reported(converting(0, 3, measure="subjects"), day(21))
    assert (told.value, told.reason) == (
        None,
        "there is no record of it: records keep subjects of one stored period",
    )


def test_a_part_of_a_day_has_no_record() -> None:
    number = Number.of_flow(CONVERTING, START + DAY / 2, day(2))
    assert reports.as_reported(number, day(30)).reason.endswith("records keep moves of whole days")


def test_a_move_that_came_late_was_0_and_one_that_is_gone_is_told() -> None:
    flow_record(0, 3, flow="erasing")
    restated(flow_record(0, 2, flow="erasing", source="active", sink=""), 0)
    gone = flow_record(0, 0, flow="erasing", source="paused", sink="")
    restated(gone, 3)
    gone.delete()

    def erasing(source: str) -> Number:
        return Number(
            Kind.FLOW, flow=registry.flow("erasing"), source=source, sink="", since=day(0), until=day(1)
        )

    assert [known(erasing("active"), at) for at in (day(10), RESTATED)] == [0, 2]
    assert [known(erasing("paused"), at) for at in (day(10), RESTATED)] == [3, 0]
    assert known(erasing("churned"), day(10)) == 0
    assert known(erasing("churned"), day(1)) is None, "nothing was computed then"


def test_facet_values_are_taken_back_too() -> None:
    record = flow_record(0, 7)
    FlowFacetRecord.objects.create(flow_record=record, facet="plan", value="Pro", count=4, subjects=4)
    FlowFacetRecord.objects.create(flow_record=record, facet="plan", value="Basic", count=3, subjects=3)
    restated(record, 1, facet="plan", value="Pro")

    def plan(value: str) -> Number:
        return converting(0, 1, facets={"plan": value})

    assert [known(plan("Pro"), at) for at in (day(10), RESTATED)] == [1, 4]
    assert [known(plan("Basic"), at) for at in (day(10), RESTATED)] == [3, 3]
    assert known(plan("Gone"), day(10)) == 0
    assert known(converting(0, 1), day(10)) == 7, "the whole wasn't restated"
    assert known(converting(0, 1, facets={"country": "FR"}), day(10)) is None, "that facet wasn't recorded"
    both = converting(0, 1, facets={"plan": "Pro", "country": "FR"})
    assert reports.as_reported(both, day(10)).reason.endswith("records keep each facet by itself")


def test_a_counted_level_was_known_at_once_and_a_derived_one_once_it_was_derived() -> None:
    trial = SLUGS["trial"]
    StockRecord.objects.create(stock="trial", timestamp=day(0), count=10)
    derived = StockRecord.objects.create(
        stock="trial", timestamp=day(1), count=12, method="derived", computed_at=RESTATED
    )
    StockFacetRecord.objects.create(stock_record=derived, facet="plan", value="Pro", count=5)
    StockRecord.objects.create(stock="trial", timestamp=day(2), count=1, method="imported")
    Restatement.objects.create(
        kind="stock",
        slug="trial",
        start=day(1),
        end=day(1),
        revision=2,
        old_count=11,
        new_count=12,
        old_computed_at=FINAL,
        at=RESTATED,
        cause="late events",
    )

    assert [known(Number.level(trial, day(0)), at) for at in (day(0) - DAY, day(0))] == [None, 10]
    assert [known(Number.level(trial, day(1)), day(n)) for n in (2, 5, 20)] == [None, 11, 12]
    sliced = Number.level(trial, day(1), facets={"plan": "Pro"})
    assert [known(sliced, day(n)) for n in (2, 20)] == [None, 5]
    assert known(Number.level(trial, day(2)), day(30)) is None, "when it was imported isn't kept"
    assert reports.as_reported(Number.level(trial, day(9)), day(30)).reason == "there is no record of it"


def recorded_process() -> Process:
    """Trial and active over two days: two converted, of whom one was known late."""
    for flow in registry.process("membership").flows:
        for number in range(2):
            flow_record(number, 0, flow=flow.slug)
    FlowRecord.objects.filter(flow="converting", start=day(0)).update(count=2, subjects=2)
    total = FlowRecord.objects.get(flow="converting", start=day(0))
    restated(total, 1)
    restated(flow_record(0, 2, source="trial", sink="active"), 1)
    for number, levels in enumerate([(5, 1), (3, 3), (3, 3)]):
        for slug, count in zip(("trial", "active"), levels, strict=True):
            StockRecord.objects.create(stock=slug, timestamp=day(number), count=count)
    return Process(
        "some", "Some", [SLUGS["trial"], SLUGS["active"]], flows=registry.process("membership").flows
    )


def watermarked(process: Process) -> Process:
    """The process, of which two days are known to be recorded, with first moves."""
    FlowRecord.objects.update(first_in_month=F("subjects"))
    Watermark.objects.create(
        event_model=CONVERTING.flow_event_model._meta.label_lower,
        calendar=CALENDAR.key,
        since=day(0),
        until=day(2),
        computed_at=FINAL,
    )
    return process


def test_a_balance_is_told_number_by_number() -> None:
    process = recorded_process()
    balance = reports.balance(process, day(0), day(2))

    def told(at: datetime) -> dict[tuple[str, str], int | None]:
        return {
            (known.number.stock.slug, str(known.number.kind)): known.value
            for known in reports.as_reported(balance, at)
            if known.number.stock
        }

    then, now = told(day(10)), told(RESTATED)
    assert [then["trial", kind] for kind in ("outflow", "net", "unexplained")] == [1, -1, -1]
    assert [now["trial", kind] for kind in ("outflow", "net", "unexplained")] == [2, -2, 0]
    assert [then["active", kind] for kind in ("inflow", "net", "unexplained")] == [1, 1, 1]
    assert set(told(day(0) - DAY).values()) == {None}


def test_each_number_of_a_balance_is_told_once() -> None:
    """A pair stands with both its stocks, or beside those of the process."""
    process = watermarked(recorded_process())
    churned = Process("churned", "Churned", [SLUGS["churned"]], flows=process.flows)
    for some in (process, churned):
        balance = reports.balance(some, day(0), day(2), grain="day")
        told = [known.number for known in reports.as_reported(balance, day(10))]
        assert len(told) == len(set(told))
        pairs = [number for number in told if number.flow]
        assert [(number.measure, number.until, number.value) for number in pairs] == [
            ("count", day(2), 2),
            ("subjects", day(2), 2),
            ("count", day(1), 2),
            ("subjects", day(1), 2),
        ]


def test_what_was_known_and_is_not_any_more_is_told() -> None:
    """Late events can make the values of a facet unknown."""
    process = recorded_process()
    now = StockRecord.objects.get(stock="trial", timestamp=day(0))
    Restatement.objects.create(
        kind="stock", slug="trial", start=day(0), end=day(0), facet="plan", value="(none)", revision=2,
        old_count=4, new_count=None, old_computed_at=day(2), at=RESTATED, cause="late events",
    )  # fmt: skip
    now.computed_at = day(2)
    now.save()
    balance = reports.balance(process, day(0), day(2), facets={"plan": "(none)"})
    assert balance.stocks[0].opening is None
    told = {known.number: known.value for known in reports.as_reported(balance, day(10))}
    assert told[balance.number(balance.stocks[0], "opening")] == 4


def test_other_moves_of_a_process_are_those_of_no_flow_of_it() -> None:
    process = recorded_process()
    flow_record(0, 4, flow="", source="trial", sink="active")
    number = Number(Kind.FLOW, process=process, source="trial", sink="active", since=day(0), until=day(1))
    assert known(number, day(10)) == 4


def test_a_number_that_no_record_keeps_is_none_and_one_of_now_is_refused() -> None:
    process = recorded_process()
    netted = Number(Kind.NETTED, process=process, source="trial", sink="active", since=day(0), until=day(1))
    assert reports.as_reported(netted, day(10)).reason.endswith("net moves are read from events")
    with pytest.raises(InvalidInput, match="counted live"):
        reports.as_reported(Number.level(SLUGS["trial"]), day(10))
    with pytest.raises(InvalidInput, match="naive"):
        reports.as_reported(converting(0, 1), datetime(2026, 3, 1))  # noqa: DTZ001


def test_the_queries_depend_on_neither_range_nor_numbers() -> None:
    process = recorded_process()

    def queries(days: int) -> int:
        balance = reports.balance(process, day(0), day(days))
        with CaptureQueriesContext(connection) as captured:
            reports.as_reported(balance, RESTATED)
        return len(captured)

    assert [queries(2), queries(25)] == [4, 4]


def test_recording_keeps_since_when_a_number_stood_and_what_it_was() -> None:
    written([[(day(0), "trial"), (day(0) + DAY / 2, "active")], [(day(0), "trial")]])
    record_flows(registry)
    first = timezone.now()
    record_flows(registry, since=day(0), until=day(2))
    written([[(day(0), "trial"), (day(0) + DAY / 3, "active"), (day(3), "paused")]])
    record_flows(registry)

    month = CALENDAR.period(Grain.MONTH, day(0))
    for since, until in ((day(0), day(1)), (day(0), day(4)), (month.start, month.end)):
        whole = Number.of_flow(CONVERTING, since, until)
        assert [known(whole, at) for at in (day(9), first, timezone.now())] == [None, 1, 2]
        sliced = Number.of_flow(CONVERTING, since, until, facets={"plan": "Basic"})
        assert [known(sliced, at) for at in (first, timezone.now())] == [1, 2]
    pausing = Number(
        Kind.FLOW, flow=registry.flow("pausing"), source="active", sink="paused", since=day(3), until=day(4)
    )
    assert [known(pausing, at) for at in (day(9), first, timezone.now())] == [None, 0, 1]


def test_a_derived_level_is_told_as_it_was_derived() -> None:
    StockRecord.objects.create(stock="trial", timestamp=day(0) + DAY / 4, count=5)
    written([[(day(0) + DAY / 2, "trial")]])
    record_levels(registry)
    first = timezone.now()
    record_levels(registry, restate=True)
    level = Number.level(SLUGS["trial"], day(1))
    assert [known(level, at) for at in (day(9), first, timezone.now())] == [None, 6, 6]

    written([[(day(0) + DAY / 3, "trial")]])
    record_levels(registry)
    assert [known(level, at) for at in (day(9), first, timezone.now())] == [None, 6, 7]

    StockRecord.objects.create(stock="trial", timestamp=day(0) + 3 * DAY / 4, count=7)
    record_levels(registry)
    assert [known(level, at) for at in (first, timezone.now())] == [6, 7], (
        "carried from another count, it stands"
    )


def test_a_slice_was_told_with_what_has_no_value_under_none_and_undeclared_ones_under_other() -> None:
    gone = Plan.objects.create(name="Gone", monthly_price=1)
    lost = [
        (day(0), "paused"),
        (day(1), "trial"),
        (day(1) + DAY / 2, "active"),
    ]  # no flow covers the first step
    for plan in (None, gone):
        written([lost], plan)
    Plan.objects.filter(pk=gone.pk).update(name="New")
    StockRecord.objects.create(stock="trial", timestamp=day(3), count=0)
    record_flows(registry)
    process = registry.process("membership")
    for value, moved in {"(none)": (2, 0), "(other)": (0, 1), "Basic": (0, 1), "New": (0, 0)}.items():
        balance = reports.balance(process, day(1), day(2), facets={"plan": value})
        line = balance.stocks[0]
        assert (line.inflow, line.outflow) == moved
        for name, number in zip(("inflow", "outflow"), moved, strict=True):
            assert known(balance.number(line, name), timezone.now()) == number
        (net,) = (
            one.value
            for one in reports.as_reported(balance, timezone.now())
            if one.number.kind is Kind.NET and one.number.stock == line.stock
        )
        assert net == moved[0] - moved[1]
