"""Recording: one instant for all stocks, whole days for flows, and twice changes nothing."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.leads.models import Lead
from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import recording, reports
from stockandflow.declarations import Facet, Flow, ModelTracker, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import (
    ALL,
    FlowFacetRecord,
    FlowRecord,
    Origin,
    Restatement,
    StockFacetRecord,
    StockRecord,
    Watermark,
)
from stockandflow.models.clock import writing
from stockandflow.periods import Calendar, Grain
from stockandflow.registry import Registry, registry
from tests.clock import clock_behind
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
UTC_DAYS = Calendar("UTC")
LATELY = UTC_DAYS.period(Grain.DAY, timezone.now() - 9 * DAY).start
"""A midnight. Nearly all of a recording is the days from the first event until now."""


@pytest.fixture
def plans() -> list[Plan]:
    return [Plan.objects.create(name=name, monthly_price=9) for name in ("Basic", "Pro")]


def join(plan: Plan, number: int = 1, **fields: Any) -> None:
    Member.objects.bulk_create(
        [Member(name=f"m{n}", email="m@example.org", plan=plan, **fields) for n in range(number)]
    )


def past_event(subject: int, timestamp: datetime, flow: str = "signing-up", **fields: Any) -> MemberFlowEvent:
    values: dict[str, Any] = {"source": "", "sink": "trial", "origin": Origin.IMPORT, "facets": {}} | fields
    recorded_at = values.pop("recorded_at", timezone.now())
    return MemberFlowEvent.objects.create(
        tracker="membership.member",
        flow=flow,
        subject_id=subject + 1,  # MariaDB has no key 0
        timestamp=timestamp,
        recorded_at=recorded_at,
        **values,
    )


def rows_of(**filters: Any) -> list[tuple[Any, ...]]:
    found = FlowRecord.objects.filter(**{"grain": Grain.DAY} | filters).order_by(
        "start", "flow", "source", "sink"
    )
    return list(found.values_list("flow", "source", "sink", "start", "end", "count", "subjects"))


def facet_rows() -> list[tuple[Any, ...]]:
    found = FlowFacetRecord.objects.filter(flow_record__grain=Grain.DAY, flow_record__source=ALL).values_list(
        "flow_record__flow", "flow_record__start", "facet", "value", "count", "subjects"
    )
    return sorted(found)


def test_all_stocks_share_one_instant(plans: list[Plan]) -> None:
    join(plans[0], 3)
    made = recording.record(registry)

    counted = StockRecord.objects.filter(method="counted")
    assert counted.values_list("timestamp", flat=True).distinct().get() == made.at
    assert counted.count() == len(registry.stocks) == made.stocks
    assert counted.get(stock="trial").count == 3


def test_the_instant_is_the_first_one_that_the_count_does_not_cover(plans: list[Plan]) -> None:
    join(plans[0])
    made = recording.record(registry)
    join(plans[0])

    stamps = list(MemberFlowEvent.objects.order_by("id").values_list("timestamp", flat=True))
    assert made.at is not None
    assert stamps[0] < made.at <= stamps[1]


def test_facets_sum_to_the_total_and_keep_null_and_other(plans: list[Plan]) -> None:
    for index, country in enumerate(["GB", "GB", None, "ZZ"]):
        join(plans[index % 2], country=country)
    recording.record(registry)

    def values(facet: str) -> dict[str, int]:
        found = StockFacetRecord.objects.filter(
            stock_record__stock="trial", stock_record__method="counted", facet=facet
        )
        return {value: count for value, count in found.values_list("value", "count") if count}

    assert values("country") == {"GB": 2, "(none)": 1, "(other)": 1}
    assert values("plan") == {"Basic": 2, "Pro": 2}


def test_counting_takes_as_many_queries_for_a_hundred_values_as_for_one(plans: list[Plan]) -> None:
    def queries(values: int) -> int:
        facet = Facet("name", "Name", "name", [f"m{n}" for n in range(values)])
        stocks = [
            Stock(status, status, Member.objects.filter(status=status), facets=[facet])
            for status in Status.values
        ]
        with CaptureQueriesContext(connection) as captured:
            counted = recording.count(stocks)
        assert counted is not None
        assert len(counted.counts[0].facets["name"]) >= values
        return sum("membership_member" in query["sql"] for query in captured)

    join(plans[0], 100)
    assert queries(1) == queries(100) == 1


def test_a_record_of_the_same_instant_is_replaced(plans: list[Plan]) -> None:
    at = timezone.now()
    trial = registry.stock("trial")
    trial.save_count(at)
    join(plans[0], 2)
    record = trial.save_count(at)

    assert StockRecord.objects.get() == record
    assert record.count == 2
    assert StockFacetRecord.objects.filter(facet="plan").aggregate(Sum("count"))["count__sum"] == 2


def test_every_computed_day_has_a_total_row_also_without_moves() -> None:
    first = LATELY + DAY / 2
    past_event(1, first)
    past_event(2, first + 2 * DAY)
    recording.record_flows(registry, calendar=UTC_DAYS)

    totals = rows_of(flow="signing-up", source=ALL)
    assert totals[:3] == [
        ("signing-up", ALL, ALL, LATELY + n * DAY, LATELY + (n + 1) * DAY, count, count)
        for n, count in enumerate([1, 0, 1])
    ]
    today = UTC_DAYS.period(Grain.DAY, timezone.now())
    assert totals[-1][3:5] == (today.start, today.end)
    assert len(totals) == (today.end - LATELY).days


def test_events_and_distinct_subjects_are_two_measures() -> None:
    at = LATELY + DAY / 2
    for subject, source in ((1, "paused"), (1, "past-due"), (2, "past-due")):
        past_event(subject, at, flow="churning", source=source, sink="churned", facets={"plan": "Pro"})
    recording.record_flows(registry, calendar=UTC_DAYS)

    day = {"start": LATELY, "flow": "churning"}
    assert [(source, count, subjects) for _, source, _, _, _, count, subjects in rows_of(**day)] == [
        (ALL, 3, 2),
        ("past-due", 2, 2),
        ("paused", 1, 1),
    ]
    assert [row[2:] for row in facet_rows()] == [("country", "(none)", 3, 2), ("plan", "Pro", 3, 2)]


def test_running_twice_changes_nothing() -> None:
    for n in range(40):
        past_event(n % 7, LATELY + n * timedelta(hours=5), facets={"plan": f"p{n % 3}"})
    recording.record_flows(registry, since=LATELY)
    before = rows_of(), facet_rows()
    recording.record_flows(registry)
    recording.record_flows(registry, since=LATELY)

    assert (rows_of(), facet_rows()) == before


@pytest.mark.parametrize("restate", [False, True])
def test_days_before_the_first_event_are_not_computed(restate: bool) -> None:
    at = timezone.now() - 5 * DAY
    past_event(1, at)
    StockRecord.objects.create(stock="trial", count=1, timestamp=at)
    early = datetime(205, 1, 1, tzinfo=UTC)
    recording.record(registry, since=early, restate=restate)
    before = rows_of()
    recording.record(registry, since=early, restate=restate)

    days = list(Calendar.default().periods(Grain.DAY, at, timezone.now()))
    assert rows_of() == before
    assert {row[3] for row in before if row[0] == "signing-up"} == {day.start for day in days}
    derived = StockRecord.objects.filter(stock="trial", method="derived").order_by("timestamp")
    assert derived.values_list("timestamp", flat=True)[0] == days[0].start


def test_a_late_event_lands_on_the_day_when_it_happened() -> None:
    long_ago = timezone.now() - 5 * DAY
    past_event(1, LATELY, recorded_at=long_ago)
    recording.record_flows(registry, calendar=UTC_DAYS)
    assert Watermark.objects.get(event_model="membership.memberflowevent").event_id > 0

    early = LATELY - 40 * DAY  # before everything computed so far
    past_event(2, LATELY + DAY / 2)
    past_event(3, early + DAY / 2)
    recording.record_flows(registry, calendar=UTC_DAYS)

    totals = rows_of(flow="signing-up", source=ALL)
    assert {row[3]: row[5] for row in totals if row[5]} == {early: 1, LATELY: 2}
    assert totals[0][3] == early
    assert len({row[3] for row in totals}) == (totals[-1][3] - totals[0][3]).days + 1


def test_an_event_written_down_within_the_lag_is_read_again() -> None:
    settled = past_event(1, LATELY, recorded_at=timezone.now() - 2 * DAY)
    past_event(2, LATELY)
    recording.record_flows(registry)

    assert Watermark.objects.get(event_model="membership.memberflowevent").event_id == settled.pk


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_an_event_of_an_open_transaction_does_not_slip_behind_the_watermark() -> None:
    at = LATELY + DAY / 2
    past_event(1, at, recorded_at=timezone.now() - 2 * DAY)
    written, may_commit = threading.Event(), threading.Event()

    def write_slowly() -> None:
        try:
            with transaction.atomic():
                past_event(2, at)
                written.set()
                may_commit.wait(30)
        finally:
            written.set()
            connection.close()

    thread = threading.Thread(target=write_slowly)
    thread.start()
    written.wait(30)
    past_event(3, at + DAY)
    recording.record_flows(registry, calendar=UTC_DAYS)
    may_commit.set()
    thread.join()
    recording.record_flows(registry, calendar=UTC_DAYS)

    day = {"flow": "signing-up", "source": ALL, "start": LATELY}
    assert [row[5] for row in rows_of(**day)] == [2]


def test_initial_events_are_no_flow() -> None:
    past_event(1, LATELY, origin=Origin.INITIAL)
    recording.record_flows(registry)

    assert not FlowRecord.objects.filter(count__gt=0).exists()


def test_a_move_that_no_flow_covers_is_recorded_by_its_stocks() -> None:
    past_event(1, LATELY, flow="", source="paused", sink="past-due")
    recording.record_flows(registry, calendar=UTC_DAYS)
    recording.record_flows(registry, calendar=UTC_DAYS)

    (row,) = rows_of(flow="")
    assert row[:3] == ("", "paused", "past-due")
    assert row[5:] == (1, 1)


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("Europe/London", datetime(2026, 3, 28, 23, 59, tzinfo=UTC), date(2026, 3, 28)),
        ("Europe/London", datetime(2026, 3, 29, 22, 59, tzinfo=UTC), date(2026, 3, 29)),
        ("Europe/London", datetime(2026, 3, 29, 23, 0, tzinfo=UTC), date(2026, 3, 30)),
        ("America/New_York", datetime(2026, 11, 2, 4, 59, tzinfo=UTC), date(2026, 11, 1)),
        ("America/New_York", datetime(2026, 11, 2, 5, 0, tzinfo=UTC), date(2026, 11, 2)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, 0, tzinfo=UTC), date(2026, 4, 5)),
        ("Asia/Kathmandu", datetime(2026, 1, 1, 18, 14, tzinfo=UTC), date(2026, 1, 1)),
        ("Asia/Kathmandu", datetime(2026, 1, 1, 18, 15, tzinfo=UTC), date(2026, 1, 2)),
    ],
)
def test_a_day_is_a_local_day(zone: str, at: datetime, day: date) -> None:
    past_event(1, at)
    calendar = Calendar(zone)
    with clock_behind(timezone.now() - at - 2 * DAY):
        recording.record_flows(registry, calendar=calendar)

    (row,) = (row for row in rows_of(flow="signing-up", source=ALL) if row[5])
    assert row[3] == calendar.midnight(day)
    assert row[4] == calendar.midnight(day + DAY)


def test_the_number_of_queries_does_not_depend_on_days_or_events() -> None:
    def queries(calls: int) -> int:
        for n in range(calls):
            past_event(n, timezone.now() - n * timedelta(hours=5))
        with CaptureQueriesContext(connection) as captured:
            recording.record_flows(registry)
        return len([query for query in captured if "strftime" not in query["sql"]])

    queries(10)
    usual = queries(30)
    assert queries(60) <= usual + 4  # a period that has new records and changed ones takes a query for each


def test_a_registry_without_anything_records_nothing() -> None:
    made = recording.record(Registry())

    assert (made.at, made.stocks, made.flow_records) == (None, 0, 0)


def test_a_flow_of_stand_ins_is_recorded() -> None:
    own = Registry()
    own.register(Flow("warming", "Warming", MemberFlowEvent, ["cold"], ["hot"]))
    past_event(1, timezone.now(), flow="warming", source="cold", sink="hot")
    recording.record_flows(own)

    assert [(row[0], row[1], row[2], row[5]) for row in rows_of(count__gt=0)] == [
        ("warming", ALL, ALL, 1),
        ("warming", "cold", "hot", 1),
    ]


def test_until_without_since_is_refused() -> None:
    with pytest.raises(InvalidInput, match="since is missing"):
        recording.record(registry, until=timezone.now())
    assert not StockRecord.objects.exists()


def test_what_is_no_calendar_is_refused() -> None:
    with pytest.raises(InvalidInput, match="calendar is 'UTC'; give a Calendar"):
        recording.record(registry, calendar="UTC")  # type: ignore[arg-type]
    assert not StockRecord.objects.exists()


def test_a_naive_since_is_refused() -> None:
    with pytest.raises(InvalidInput, match="naive"):
        recording.record_flows(registry, since=datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.django_db(transaction=True)
def test_a_move_that_was_under_way_while_counting_is_explained_once_it_is_committed() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    join(plan, 3)
    recording.record(registry)
    moved, may_commit = threading.Event(), threading.Event()

    def move_slowly() -> None:
        try:
            with transaction.atomic():
                Member.objects.filter(name="m0").convert()
                moved.set()
                may_commit.wait(30)
        finally:
            moved.set()
            connection.close()

    thread = threading.Thread(target=move_slowly)
    thread.start()
    moved.wait(30)
    counted = recording.count(registry.stocks)
    may_commit.set()
    thread.join()
    recording.store(counted)
    assert counted is not None
    last = recording.record(registry).at
    assert last is not None

    until, since = counted.at, counted.at - timedelta(hours=2)
    before = reports.balance(registry.process("membership"), since, until)
    after = reports.balance(registry.process("membership"), until, last)

    assert StockRecord.objects.get(stock="trial", timestamp=until).count == 3  # it didn't see the move
    trial, active = before.stocks[:2]
    assert (trial.outflow, trial.closing, trial.unexplained) == (1, 2, 0)
    assert (active.inflow, active.closing, active.unexplained) == (1, 1, 0)
    assert [(line.opening, line.net, line.unexplained) for line in after.stocks[:2]] == [(2, 0, 0), (1, 0, 0)]


def test_the_last_instant_of_a_day_belongs_to_it() -> None:
    day = Calendar.default().period(Grain.DAY, LATELY)
    past_event(1, day.start - timedelta(microseconds=1))
    past_event(2, day.start)
    recording.record(registry)

    found = rows_of(flow="signing-up", source=ALL, count__gt=0)
    assert [(row[4], row[5]) for row in found] == [(day.start, 1), (day.end, 1)]


def without(*slugs: str) -> tuple[Registry, Process]:
    """What the example's membership is without some of its flows."""
    given = registry.process("membership")
    stocks = {stock.slug: Stock(stock.slug, stock.name, stock.queryset) for stock in given.stocks}

    def here(states: Any) -> list[Stock | None]:
        return [stocks[state.slug] if state else None for state in states]

    flows = [
        Flow(flow.slug, flow.name, MemberFlowEvent, here(flow.sources), here(flow.sinks))
        for flow in given.flows
        if flow.slug not in slugs
    ]
    found, process = Registry(), Process("membership", "Membership", list(stocks.values()))
    found.register(ModelTracker(stocks=list(stocks.values()), flows=flows), process)
    return found, process


@pytest.fixture
def spring() -> Iterator[tuple[datetime, datetime]]:
    """Two months, and the day after them is today."""
    since, until = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 5, 1, tzinfo=UTC)
    with clock_behind(timezone.now() - until - DAY):
        yield since, until


def test_moves_of_a_flow_that_is_declared_no_more_are_moves_that_no_flow_covers(
    spring: tuple[datetime, datetime],
) -> None:
    since, until = spring
    past_event(1, since)
    past_event(1, since + 3 * DAY, "converting", source="trial", sink="active")
    left, process = without("converting")

    def moved(process: Process) -> list[tuple[str, int]]:
        _, active, *_ = reports.balance(process, since, until).stocks
        return [(line.flow.slug if line.flow else "", line.count) for line in active.inflows]

    assert moved(process) == [("", 1)]
    recording.record(left)
    assert moved(process) == [("", 1)]
    past_event(2, since + 40 * DAY, "converting", source="trial", sink="active")
    recording.record(left)
    assert moved(process) == [("", 2)]
    assert Restatement.objects.filter(slug="converting").exists()

    # It comes back: its moves are its own again, whether its totals are recorded by then or not.
    again, process = without()
    assert moved(process) == [("converting", 2)]
    recording.record(again)
    assert moved(process) == [("converting", 2)]
    assert rows_of(flow="converting", source=ALL, grain=Grain.YEAR, count=2)


@pytest.mark.django_db(transaction=True)
def test_the_first_recording_waits_for_who_is_writing() -> None:
    begun, about_to_write = threading.Event(), threading.Event()

    def write() -> None:
        with writing(connection.alias):
            Lead.objects.create(name="L", email="l@example.org")
            begun.set()
            about_to_write.wait(30)
            time.sleep(0.2)  # the recording is at the writer's door by then
        connections.close_all()

    def seen(execute: Any, sql: str, *call: Any) -> Any:
        if sql.startswith(("BEGIN IMMEDIATE", "INSERT")):
            about_to_write.set()
        return execute(sql, *call)

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait(30)
    with connection.execute_wrapper(seen):
        recording.record_flows(registry)
    writer.join()
    assert Watermark.objects.exclude(computed_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_recordings_side_by_side_wait_for_each_other() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    for number in range(5):
        Member.objects.create(name=f"M{number}", email=f"{number}@example.org", plan=plan, country="GB")
        Lead.objects.create(name=f"L{number}", email=f"{number}@example.org")

    def some() -> None:
        for _ in range(4):
            recording.record(registry)

    side_by_side(*[some] * 4)
    totals = FlowRecord.objects.filter(source=ALL, sink=ALL, flow="signing-up", grain=Grain.DAY)
    assert [total.count for total in totals] == [5]
