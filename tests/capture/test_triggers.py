"""Events that triggers write: each is whole, stands or falls with its change, and is told to whom it concerns.

The ways to write are in ``tests.write_paths``; here a member is on trial at first.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from example.leads.models import Lead, LeadFlowEvent
from example.membership.models import Member, MemberFlowEvent, Plan, WelcomeNote
from example.support.models import Ticket, TicketFlowEvent
from stockandflow.models import Delivery, Origin
from stockandflow.models.clock import database_now
from stockandflow.registry import registry
from tests.capture.conftest import refusing

pytestmark = pytest.mark.django_db

Move = tuple[str, str]
TRIAL_ACTIVE = ("trial", "active")
ARRIVES, LEAVES = ("", "trial"), ("trial", "")


@pytest.fixture
def plan() -> Plan:
    return Plan.objects.create(name="Basic", monthly_price=9)


@pytest.fixture
def member(plan: Plan) -> Member:
    return new_member(plan)


def new_member(plan: Plan, **fields: Any) -> Member:
    return Member.objects.create(name="Ada", email="ada@example.org", plan=plan, country="GB", **fields)


def unsaved(member: Member, **fields: Any) -> Member:
    return Member(name="Bob", email="bob@example.org", plan=member.plan, **fields)


def moves_of(last: int, tracker: str = "membership.member") -> list[Move]:
    """What moved since that event, in order; each event is whole and follows from the one before."""
    found = MemberFlowEvent.objects.filter(pk__gt=last).order_by("timestamp", "pk")
    for event in found:
        flow = registry.tracker(tracker).flow_for(
            registry.stock(event.source) if event.source else None,
            registry.stock(event.sink) if event.sink else None,
        )
        assert (event.tracker, event.origin) == (tracker, Origin.LIVE)
        assert event.flow == (flow.slug if flow else "")
        assert set(event.facets) == {"plan", "country"}
        assert event.recorded_at >= event.timestamp
    return [(event.source, event.sink) for event in found]


def last_event() -> int:
    return MemberFlowEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def execute(sql: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["membership_memberflowevent", "stockandflow_delivery"])
def test_without_its_event_or_its_delivery_nothing_is_written(member: Member, table: str) -> None:
    members = Member.objects.all()
    writes: dict[str, Callable[[], object]] = {
        "create": unsaved(member).save,
        "convert": lambda: members.update(status="active"),
        "delete": lambda: members._raw_delete("default"),
    }
    with refusing(table):
        for name, write in writes.items():
            if table == "membership_memberflowevent" or name == "convert":
                with pytest.raises(DatabaseError):
                    write()

    assert Member.objects.get().status == "trial"
    assert moves_of(0) == [ARRIVES]
    assert not Delivery.objects.exists()


def test_a_cascade_of_the_orm_is_captured(member: Member) -> None:
    ticket = Ticket.objects.create(title="?", member=member)
    lead = Lead.objects.create(name="Ada", email="ada@example.org", status="won", member=member)
    WelcomeNote.objects.create(member=member, text="Dear Ada")
    member.delete()

    moved = TicketFlowEvent.objects.filter(tracker="support.ticket").order_by("pk")
    assert list(moved.values_list("subject", "flow", "source", "sink")) == [
        (ticket.pk, "asking", "", "ticket-new"),
        (ticket.pk, "erasing-tickets", "ticket-new", ""),
    ]
    assert LeadFlowEvent.objects.filter(subject=lead).count() == 1  # it only lost its member


def test_an_event_says_what_moved_where_and_when(member: Member) -> None:
    before = now()
    Member.objects.update(status="active")
    after = now()

    event = MemberFlowEvent.objects.order_by("-pk")[0]
    assert event.subject == member
    assert (event.tracker, event.flow) == ("membership.member", "converting")
    assert (event.source, event.sink) == ("trial", "active")
    assert (event.origin, event.facets) == (Origin.LIVE, {"plan": "Basic", "country": "GB"})
    assert before <= event.timestamp <= event.recorded_at <= after


def now() -> datetime:
    return database_now("default")


def test_timestamps_are_real_instants_not_the_transactions_start(member: Member) -> None:
    with transaction.atomic():
        Member.objects.update(status="active")
        between = now()
        Member.objects.update(status="paused")

    first, second = MemberFlowEvent.objects.order_by("pk").values_list("timestamp", flat=True)[1:]
    assert first <= between <= second


def test_events_of_one_instant_are_in_the_order_of_their_ids(member: Member) -> None:
    statuses = ["active", "paused", "active", "churned", "active", "past_due"]
    for status in statuses:
        Member.objects.update(status=status)

    events = MemberFlowEvent.objects.order_by("timestamp", "pk").values_list("sink", flat=True)
    assert list(events) == ["trial", *(status.replace("_", "-") for status in statuses)]


def test_a_move_that_no_flow_covers_is_an_event_without_a_flow(member: Member) -> None:
    Member.objects.update(status="paused")

    event = MemberFlowEvent.objects.order_by("-pk")[0]
    assert (event.flow, event.source, event.sink) == ("", "trial", "paused")


def test_a_deletion_is_a_move_to_external_and_history_outlives_the_subject(member: Member) -> None:
    pk = member.pk
    member.delete()

    events = MemberFlowEvent.objects.filter(subject_id=pk)
    assert list(events.order_by("pk").values_list("flow", "source", "sink")) == [
        ("signing-up", "", "trial"),
        ("lapsing", "trial", ""),
    ]
    assert [event.subject for event in events] == [None, None]


def test_a_flow_with_callables_gets_a_delivery_and_others_none(member: Member) -> None:
    assert not Delivery.objects.exists()
    other = new_member(member.plan)
    Member.objects.update(status="active")
    Member.objects.filter(pk=member.pk).update(status="churned")

    events = MemberFlowEvent.objects.filter(flow="converting").order_by("pk")
    assert {event.subject_id for event in events} == {member.pk, other.pk}
    found = Delivery.objects.order_by("event_id")
    assert list(found.values_list("event_model", "event_id", "flow", "status", "attempts", "done_calls")) == [
        ("membership.memberflowevent", event.pk, "converting", Delivery.Status.PENDING, 0, 0)
        for event in events
    ]
    assert min(delivery.due_at for delivery in found) >= min(event.recorded_at for event in events)


@pytest.mark.skipif(
    connection.vendor != "sqlite", reason="elsewhere a row is deleted before another replaces it"
)
def test_a_replaced_row_moves_from_where_it_was_and_delivers_once(member: Member) -> None:
    for status in ("trial", "active", "active"):
        execute(
            "REPLACE INTO membership_member (id, name, email, plan_id, status, status_since, joined_at) "
            "SELECT id, name, email, plan_id, %s, status_since, joined_at FROM membership_member",
            status,
        )

    assert moves_of(0) == [ARRIVES, TRIAL_ACTIVE]
    assert Delivery.objects.get().event_id == last_event()


def test_a_rollback_takes_the_delivery_back_with_the_event(member: Member) -> None:
    with transaction.atomic():
        Member.objects.update(status="active")
        assert Delivery.objects.exists()
        transaction.set_rollback(True)

    assert not Delivery.objects.exists()


def test_a_created_row_gets_its_own_key_not_the_events(member: Member) -> None:
    """The event is inserted by the same statement, and drivers report the last key that was made."""
    for _ in range(3):
        Member.objects.update(status="active")
        Member.objects.update(status="trial")
    made = unsaved(member)
    made.save()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO membership_plan (name, monthly_price) VALUES ('Pro', 29)"
        )  # no trigger there
        plan_key = getattr(cursor, "lastrowid", None)  # PostgreSQL's driver has no such thing
        cursor.execute(
            "INSERT INTO membership_member (name, email, plan_id, status, status_since, joined_at) "
            "SELECT 'Eve', 'e@example.org', plan_id, 'active', status_since, joined_at FROM membership_member "
            "WHERE id = %s",
            [member.pk],
        )
        member_key = getattr(cursor, "lastrowid", None)

    assert Member.objects.get(name="Bob").pk == made.pk
    if connection.vendor != "postgresql":
        assert Plan.objects.get(name="Pro").pk == plan_key
        assert Member.objects.get(name="Eve").pk == member_key


def test_what_the_writer_is_told_counts_its_own_rows_alone(member: Member) -> None:
    new_member(member.plan)
    assert Member.objects.update(status="active") == 2
    with connection.cursor() as cursor:
        cursor.execute("UPDATE membership_member SET status = 'paused'")
        assert cursor.rowcount == 2
        cursor.execute("DELETE FROM membership_member WHERE id = %s", [member.pk])
        assert cursor.rowcount == 1
    assert Member.objects.all().delete()[0] == 1


def test_facets_are_json_that_django_reads(member: Member) -> None:
    assert MemberFlowEvent.objects.filter(facets__plan="Basic").exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT facets FROM membership_memberflowevent")
        raw = cursor.fetchone()[0]
    assert (json.loads(raw) if isinstance(raw, str) else raw) == {"plan": "Basic", "country": "GB"}


@pytest.mark.skipif(connection.vendor != "mysql", reason="the others let a trigger write to what is read")
def test_an_update_that_reads_the_events_in_a_subquery_fails_as_a_whole_and_by_keys_it_moves(
    member: Member,
) -> None:
    last = MemberFlowEvent.objects.latest("pk").pk
    moved = MemberFlowEvent.objects.filter(sink="trial").values_list("subject", flat=True)
    with pytest.raises(DatabaseError, match="1442"), transaction.atomic():
        Member.objects.filter(pk__in=moved).update(status="active")
    assert moves_of(last) == []

    Member.objects.filter(pk__in=list(moved)).update(status="active")
    assert moves_of(last) == [TRIAL_ACTIVE]
