"""The parts of a past that was recorded: they sum to the whole, from records as from events."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from example.membership.models import MemberFlowEvent
from stockandflow import recording, reports
from stockandflow.declarations import Process
from stockandflow.models import FlowRecord, Origin, StockRecord, Watermark
from stockandflow.periods import Grain
from stockandflow.registry import registry
from tests.reports.history import midnight
from tests.reports.test_parts import adds_up

pytestmark = pytest.mark.django_db

YEAR = midnight(2025, 1, 1), midnight(2026, 1, 1)


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
        assert sum(one.inflow or 0 for one in lines) == line.inflow
        assert sum(one.outflow or 0 for one in lines) == line.outflow
        assert sum(one.unexplained or 0 for one in lines) == line.unexplained


def test_parts_are_the_same_from_events_and_from_records(past: Process) -> None:
    def numbers() -> Any:
        parts = reports.balance(past, *YEAR, grain=Grain.MONTH).parts
        return [[(line.inflow, line.outflow, line.closing) for line in part.stocks] for part in parts]

    by_records = numbers()
    Watermark.objects.all().delete()
    assert numbers() == by_records


def test_a_day_of_23_hours_is_a_part_like_any_other(past: Process) -> None:
    days = reports.balance(past, midnight(2025, 3, 29), midnight(2025, 4, 1), grain="day").parts

    assert [(day.until - day.since) / timedelta(hours=1) for day in days] == [24, 23, 24]


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


def test_a_balance_stands_beside_the_one_before(past: Process) -> None:
    month = midnight(2025, 5, 1), midnight(2025, 6, 1)
    before = reports.balance(past, midnight(2025, 4, 1), midnight(2025, 5, 1))
    found = reports.balance(past, *month, compare="previous").compared

    assert found is not None
    assert (found.since, found.until, found.in_progress) == (before.since, before.until, False)
    assert [(x.opening, x.inflow, x.closing) for x in found.stocks] == [
        (x.opening, x.inflow, x.closing) for x in before.stocks
    ]


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

    def of_flow(balance: reports.Balance) -> list[tuple[str, datetime, int | None]]:
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
