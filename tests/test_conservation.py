"""The product's own test: whatever is written, the events replayed are the stocks, and every balance adds up.

A state machine writes to the example through every door that an application has, and really commits, so that triggers
and snapshots behave as in production.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management.color import no_style
from django.db import connection, models, transaction
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from example.leads.models import Lead, LeadFlowEvent
from example.membership.models import Member, MemberFlowEvent, Plan, Status, WelcomeNote
from example.support.models import Ticket, TicketFlowEvent
from stockandflow import capture, reports
from stockandflow.declarations import ModelTracker
from stockandflow.models import (
    Delivery,
    FlowFacetRecord,
    FlowRecord,
    StockFacetRecord,
    StockRecord,
    Watermark,
)
from stockandflow.recording import record
from stockandflow.registry import registry
from tests.writes import PLANS, STATUS, WRITES, Write, create_member, do

pytestmark = pytest.mark.django_db(transaction=True)

LATER = timedelta(days=1)

# Emptied in this order: deleting subjects writes events, so events come later.
TABLES: Sequence[type[models.Model]] = (
    WelcomeNote,
    Ticket,
    Lead,
    Member,
    Plan,
    MemberFlowEvent,
    TicketFlowEvent,
    LeadFlowEvent,
    Delivery,
    StockFacetRecord,
    StockRecord,
    FlowFacetRecord,
    FlowRecord,
    Watermark,
)


def replayed(tracker: ModelTracker) -> dict[str, set[Any]]:
    """State key → the subjects that the tracker's events leave there; each event must start where the last ended."""
    where: dict[Any, str] = {}
    events: models.QuerySet[Any] = tracker.events._default_manager.filter(tracker=tracker.slug)
    for subject, source, sink in events.order_by("timestamp", "id").values_list(
        "subject_id", "source", "sink"
    ):
        assert source != sink, f"an event of {subject} leads nowhere: {source!r}"
        assert where.get(subject, "") == source, f"{subject} was in {where.get(subject)!r}, not in {source!r}"
        where[subject] = sink
    found: dict[str, set[Any]] = defaultdict(set)
    for subject, key in where.items():
        found[key].add(subject)
    return found


def assert_replayed_events_are_the_stocks() -> None:
    for tracker in registry.trackers:
        found = replayed(tracker)
        for stock in tracker.stocks:
            members = set(stock.all().values_list("pk", flat=True))
            assert found[stock.slug] == members, f"{stock.slug}: events {found[stock.slug]}, table {members}"
    escalated = set(Ticket.objects.filter(priority="urgent").values_list("pk", flat=True))
    assert replayed(registry.tracker("support.escalation"))["urgent"] == escalated


def assert_balances_add_up(since: datetime) -> None:
    for process in registry.processes:
        for line in reports.balance(process, since, since + LATER).stocks:
            slug = line.stock.slug
            assert line.closing == line.stock.count(), slug
            if line.tracked:
                assert line.expected == line.closing, slug
                assert line.unexplained == 0, slug


def taken_back(writes: list[Write]) -> None:
    """Write in a transaction, or under a savepoint where there is one, and roll back."""
    with transaction.atomic():
        for written in writes:
            do(written)
        transaction.set_rollback(True)


class Business(RuleBasedStateMachine):
    """Random writes, committed and taken back, with recordings between them."""

    @initialize()
    def open(self) -> None:
        for model in TABLES:
            model._base_manager.all()._raw_delete("default")
        # Keys start over too: else no example repeats another, and a failing one is hard to make small.
        sequences = [
            {"table": model._meta.db_table, "column": "id"} for model in (Member, Ticket, Lead, Plan)
        ]
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_by_name_sql(no_style(), sequences):
                cursor.execute(statement)
        Plan.objects.bulk_create([Plan(name=name, monthly_price=9) for name in PLANS])
        self.records: list[datetime] = []
        self.take_record()

    @rule(written=WRITES)
    def commit_one(self, written: Write) -> None:
        do(written)

    @rule(writes=st.lists(WRITES, min_size=1, max_size=4))
    def commit_together(self, writes: list[Write]) -> None:
        with transaction.atomic():
            for written in writes:
                do(written)

    @rule(writes=st.lists(WRITES, min_size=1, max_size=3))
    def roll_back(self, writes: list[Write]) -> None:
        taken_back(writes)

    @rule(before=WRITES, inside=st.lists(WRITES, min_size=1, max_size=2), after=WRITES)
    def roll_back_to_savepoint(self, before: Write, inside: list[Write], after: Write) -> None:
        with transaction.atomic():
            do(before)
            taken_back(inside)
            do(after)

    @rule()
    def take_record(self) -> None:
        made = record(registry)
        assert made.at is not None
        self.records.append(made.at)

    @invariant()
    def events_are_the_stocks(self) -> None:
        assert_replayed_events_are_the_stocks()

    @invariant()
    def balances_add_up(self) -> None:
        assert_balances_add_up(self.records[-1])

    def teardown(self) -> None:
        """The whole of it once more, over all records."""
        if hasattr(self, "records"):
            assert_balances_add_up(self.records[0])


class Tampered(Business):
    """The same with one more door, which goes round the capture."""

    @rule(status=STATUS)
    def write_without_capture(self, status: str) -> None:
        with capture.suspended(registry, "default"):
            create_member(0, status, None)


FIRST_FAILURE = settings(phases=[Phase.generate], database=None, derandomize=True, report_multiple_bugs=False)
EXAMPLES = settings().max_examples // 4  # each is long: 25 steps, with balances after every one


def test_events_are_the_stocks_and_balances_add_up_whatever_is_written() -> None:
    run_state_machine_as_test(Business, settings=settings(max_examples=EXAMPLES, stateful_step_count=25))


@pytest.mark.once
def test_the_machine_finds_a_write_that_goes_round_the_capture() -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Tampered, settings=settings(FIRST_FAILURE, max_examples=40, stateful_step_count=10)
        )


@pytest.mark.once
def test_both_laws_see_a_hole_in_the_capture() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    since = record(registry).at
    assert since is not None
    Member.objects.create(name="m", email="m@example.org", plan=plan)
    assert_replayed_events_are_the_stocks()
    assert_balances_add_up(since)
    with capture.suspended(registry, "default"):
        Member.objects.update(status=Status.ACTIVE)

    with pytest.raises(AssertionError, match="trial: events"):
        assert_replayed_events_are_the_stocks()
    with pytest.raises(AssertionError, match="trial"):
        assert_balances_add_up(since)


def test_an_event_too_many_breaks_the_chain() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.create(name="m", email="m@example.org", plan=plan)
    twice = MemberFlowEvent.objects.get()
    twice.pk = None
    twice.save()

    with pytest.raises(AssertionError, match="was in 'trial', not in ''"):
        assert_replayed_events_are_the_stocks()
