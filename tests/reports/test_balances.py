"""Balances: every row adds up, whatever is known about the levels, and what is wrong is said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import recording, reports
from stockandflow.capture import suspended
from stockandflow.declarations import Flow, ModelTracker, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Origin, StockRecord
from stockandflow.registry import Registry, registry

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def plan() -> Plan:
    return Plan.objects.create(name="Basic", monthly_price=9)


def join(plan: Plan, number: int = 1, **fields: Any) -> list[Member]:
    return Member.objects.bulk_create(
        [Member(name=f"m{n}", email="m@example.org", plan=plan, **fields) for n in range(number)]
    )


def past_event(subject: int, source: str, sink: str, timestamp: datetime, **fields: Any) -> None:
    MemberFlowEvent.objects.create(
        tracker="membership.member",
        flow=fields.pop("flow", ""),
        source=source,
        sink=sink,
        subject_id=subject + 1,  # MariaDB has no key 0
        timestamp=timestamp,
        recorded_at=timezone.now(),
        origin=fields.pop("origin", Origin.IMPORT),
    )


def record_of(stock: str, count: int, at: datetime) -> None:
    StockRecord.objects.create(stock=stock, count=count, timestamp=at)


def line(balance: reports.Balance, slug: str) -> reports.StockBalance:
    return next(line for line in balance.stocks if line.stock.slug == slug)


def recent(process: Process) -> reports.Balance:
    return reports.balance(process, timezone.now() - DAY, timezone.now() + DAY)


def test_moves_of_today_appear_by_flow_and_add_up(plan: Plan, membership: Process) -> None:
    join(plan, 5)
    Member.objects.filter(name__in=["m0", "m1"]).convert()
    Member.objects.filter(name="m0").delete()

    balance = recent(membership)

    trial, active = line(balance, "trial"), line(balance, "active")
    assert (trial.opening, trial.inflow, trial.outflow, trial.unexplained, trial.closing) == (0, 5, 2, 0, 3)
    assert [(x.name, x.source_name, x.sink_name, x.count) for x in active.inflows] == [
        ("Converting", "Trial", "Active", 2)
    ]
    assert [(x.name, x.source_name, x.sink_name, x.count) for x in active.outflows] == [
        ("Erasing", "Active", "outside", 1)
    ]
    assert balance.in_progress
    assert not balance.unexplained


@pytest.mark.django_db(transaction=True)  # MariaDB commits when triggers come and go
def test_what_goes_round_the_capture_is_unexplained(plan: Plan, membership: Process) -> None:
    join(plan, 4, status=Status.PAST_DUE)
    recording.record(registry)
    with suspended(registry, "default"):
        Member.objects.filter(name__in=["m0", "m1", "m2"]).update(status=Status.ACTIVE)

    balance = recent(membership)

    past_due, active = line(balance, "past-due"), line(balance, "active")
    assert (past_due.opening, past_due.net, past_due.unexplained, past_due.closing) == (0, 4, -3, 1)
    assert (active.opening, active.net, active.unexplained, active.closing) == (0, 0, 3, 3)
    assert balance.unexplained


def test_a_move_that_no_flow_covers_is_named_other(plan: Plan, membership: Process) -> None:
    join(plan, status=Status.PAUSED)
    Member.objects.update(status=Status.PAST_DUE)

    (line_in,) = line(recent(membership), "past-due").inflows

    assert (line_in.flow, line_in.name, line_in.source_name, line_in.count) == (None, "Other", "Paused", 1)


def test_a_past_range_reads_the_counts_at_its_ends(membership: Process) -> None:
    since = datetime(2026, 3, 1, tzinfo=UTC)
    until = datetime(2026, 4, 1, tzinfo=UTC)
    record_of("trial", 10, since)
    record_of("trial", 14, until)
    for subject in range(5):
        past_event(subject, "", "trial", since + DAY, flow="signing-up")
    past_event(99, "", "trial", until, flow="signing-up")  # the first instant after the range

    trial = line(reports.balance(membership, since, until), "trial")

    assert (trial.opening, trial.inflow, trial.outflow, trial.unexplained, trial.closing) == (
        10,
        5,
        0,
        -1,
        14,
    )
    assert (trial.opening_method, trial.closing_method) == ("counted", "counted")


def test_a_level_between_two_counts_is_carried_there_by_events(membership: Process) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    record_of("trial", 10, at)
    past_event(1, "", "trial", at + DAY)
    past_event(2, "trial", "", at + 5 * DAY)

    trial = line(reports.balance(membership, at + 2 * DAY, at + 10 * DAY), "trial")

    assert (trial.opening, trial.outflow, trial.closing, trial.unexplained) == (11, 1, 10, 0)
    assert (trial.opening_method, trial.closing_method) == ("derived", "derived")
    assert trial.counted_once


def test_before_the_first_count_events_lead_back_from_it(membership: Process) -> None:
    first = datetime(2026, 3, 10, tzinfo=UTC)
    past_event(1, "", "trial", first - 5 * DAY)
    past_event(2, "", "trial", first - 2 * DAY)
    record_of("trial", 7, first)

    trial = line(reports.balance(membership, first - 9 * DAY, first - DAY), "trial")

    assert (trial.opening, trial.inflow, trial.closing, trial.unexplained) == (5, 2, 7, 0)


def test_what_was_counted_twice_is_not_said_to_be_counted_once(membership: Process) -> None:
    record_of("trial", 10, timezone.now() - DAY)
    found = reports.balance(membership, timezone.now() - 3 * DAY, timezone.now() + DAY)

    assert not line(found, "trial").counted_once
    assert [stock.slug for stock in found.counted_once] == ["active", "paused", "past-due", "churned"]


def test_without_any_record_the_live_count_leads_back(plan: Plan, membership: Process) -> None:
    join(plan, 3)
    now = timezone.now()

    trial = line(reports.balance(membership, now - 3 * DAY, now - 2 * DAY), "trial")

    assert (trial.opening, trial.closing, trial.unexplained) == (0, 0, 0)
    assert trial.opening_method == "derived"


@pytest.mark.django_db(transaction=True)  # MariaDB commits when triggers come and go
def test_an_opening_balance_is_a_level_and_no_inflow(membership: Process, plan: Plan) -> None:
    with suspended(registry, "default"):
        members = join(plan, 2)
    for member in members:
        past_event(member.pk, "", "trial", timezone.now(), origin=Origin.INITIAL)

    trial = line(recent(membership), "trial")

    assert (trial.opening, trial.inflow, trial.closing, trial.unexplained) == (2, 0, 2, 0)


def test_a_stock_in_no_tracker_has_change_and_nothing_unexplained() -> None:
    everyone = Stock("everyone", "Everyone", Member.objects.all())
    process = Process("all", "All", [everyone])
    own = Registry()
    own.register(process)
    Member.objects.create(
        name="m", email="m@example.org", plan=Plan.objects.create(name="Basic", monthly_price=9)
    )
    record_of("everyone", 0, timezone.now() - DAY)

    (only,) = recent(process).stocks

    assert (only.opening, only.closing, only.change, only.unexplained) == (0, 1, 1, None)


def test_flows_that_a_process_leaves_out_are_other_moves(plan: Plan) -> None:
    trial = Stock("trial", "Trial", Member.objects.filter(status=Status.TRIAL))
    coming = Flow("signing-up", "Signing up", MemberFlowEvent, [None], [trial])
    process = Process("narrow", "Narrow", [trial], flows=[])
    Registry().register(ModelTracker(stocks=[trial], flows=[coming]), process)
    join(plan, 2)

    (only,) = recent(process).stocks

    assert [(x.name, x.count) for x in only.inflows] == [("Other", 2)]
    assert only.unexplained == 0


def test_the_number_of_queries_depends_on_neither_range_nor_history(plan: Plan, membership: Process) -> None:
    def queries(since: datetime, until: datetime) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            reports.balance(membership, since, until)
        # SQLite's clock is awaited by asking it again, and savepoints are those of the test's transaction.
        return len([q for q in captured if "strftime" not in q["sql"] and "SAVEPOINT" not in q["sql"]])

    now = timezone.now()
    join(plan, 3)
    recording.record(registry)
    before = queries(now - DAY, now + DAY)
    for n in range(20):
        past_event(n, "", "trial", now - n * DAY)
        record_of("trial", n, now - n * DAY)
    join(plan, 30)
    assert queries(now - 900 * DAY, now + DAY) <= before
    assert before <= 8


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        (datetime(2026, 1, 1), datetime(2026, 2, 1, tzinfo=UTC), "since is the naive datetime"),  # noqa: DTZ001
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1), "until is the naive datetime"),  # noqa: DTZ001
        (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), "doesn't come after since"),
        (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC), "doesn't come after since"),
        (datetime(2196, 2, 1, tzinfo=UTC), datetime(2196, 3, 1, tzinfo=UTC), "is in the future"),
        ("2026-02-01", datetime(2196, 3, 1, tzinfo=UTC), "give an aware datetime"),
    ],
)
def test_a_range_that_is_none_is_refused(membership: Process, since: Any, until: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        reports.balance(membership, since, until)


@pytest.mark.parametrize("report", [reports.balance, reports.net])
def test_what_is_no_process_is_refused(report: Any) -> None:
    until = timezone.now()
    with pytest.raises(InvalidInput, match="process is 'membership'; give a Process"):
        report("membership", until - timedelta(days=1), until)


def test_a_level_has_the_method_of_the_record_at_its_instant(membership: Process) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    StockRecord.objects.create(stock="trial", count=3, timestamp=at, method="derived")
    record_of("trial", 3, at + DAY)

    trial = line(reports.balance(membership, at, at + DAY), "trial")

    assert (trial.opening_method, trial.closing_method) == ("derived", "counted")


def test_what_was_not_seen_never_leads_below_nothing(plan: Plan, membership: Process) -> None:
    past_event(1, "", "trial", timezone.now() - timedelta(hours=1))  # it went without being seen

    trial = line(recent(membership), "trial")

    assert (trial.opening, trial.inflow, trial.closing, trial.unexplained) == (0, 1, 0, -1)


def test_where_something_is_unexplained_it_is_not_said_that_nothing_can_be(membership: Process) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    past_event(1, "", "trial", at + DAY)
    past_event(2, "trial", "active", at + DAY)
    for stock in membership.stocks:
        record_of(stock.slug, 0, at + 3 * DAY)

    found = reports.balance(membership, at, at + 2 * DAY)

    trial, active = line(found, "trial"), line(found, "active")
    assert (trial.unexplained, trial.counted_once) == (0, True)
    assert (active.opening, active.inflow, active.closing, active.unexplained) == (0, 1, 0, -1)
    assert not active.counted_once
    assert [stock.slug for stock in found.counted_once] == ["trial", "paused", "past-due", "churned"]


def test_without_a_tracker_the_last_count_before_is_the_nearest_and_a_later_one_tells_nothing() -> None:
    everyone = Stock("everyone", "Everyone", Member.objects.all())
    process = Process("all", "All", [everyone])
    Registry().register(process)
    at = timezone.now() - 10 * DAY
    record_of("everyone", 4, at)

    (before,) = reports.balance(process, at - 2 * DAY, at - DAY).stocks
    (after,) = reports.balance(process, at - DAY, at + DAY).stocks

    assert (before.opening, before.closing, before.change) == (None, None, None)
    assert (before.opening_method, before.closing_method) == ("unknown", "unknown")
    assert (after.opening, after.closing, after.change, after.unexplained) == (None, 4, None, None)
    assert after.closing_method == "nearest"


def test_a_balance_says_how_its_moves_came_to_be_known(plan: Plan, membership: Process) -> None:
    now = timezone.now()
    join(plan, 2)
    past_event(100, "", "trial", now - DAY)
    past_event(100, "trial", "active", now - DAY / 2)
    past_event(101, "", "trial", now - DAY, origin=Origin.INITIAL)
    past_event(102, "active", "", now - DAY / 2, origin=Origin.SWEEP)
    past_event(103, "", "trial", now - 9 * DAY)
    found = reports.balance(membership, now - 2 * DAY, now + DAY)
    assert found.origins == {"live": 2, "import": 2, "initial": 1, "sweep": 1}
    assert line(found, "trial").inflow == 3, "who stood there when the capture began didn't come"
