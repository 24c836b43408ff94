"""Every way to write that triggers can see: one event for each move, and none where nothing moved.

The member is on trial before each write; a write names the moves that it makes, as pairs of source and sink.
"""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import serializers
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Concat

from example.leads.models import Lead, LeadFlowEvent
from example.membership.models import Member, MemberFlowEvent, Plan, Status, WelcomeNote
from example.support.models import Ticket, TicketFlowEvent
from stockandflow.models import Delivery, Origin
from stockandflow.models.clock import database_now
from stockandflow.registry import registry

pytestmark = pytest.mark.django_db

Move = tuple[str, str]
Path_ = Callable[[Member], object]

PATHS: dict[str, tuple[Path_, list[Move]]] = {}


def makes(*moves: Move) -> Callable[[Path_], Path_]:
    """Note down a write and the moves that it makes."""

    def note(write: Path_) -> Path_:
        PATHS[write.__name__] = write, list(moves)
        return write

    return note


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


# Instances.


@makes(ARRIVES)
def create(member: Member) -> None:
    unsaved(member).save()


@makes(ARRIVES)
def create_with_a_key_of_its_own(member: Member) -> None:
    unsaved(member, pk=member.pk + 1000).save()


@makes(TRIAL_ACTIVE)
def save(member: Member) -> None:
    member.status = Status.ACTIVE
    member.save()


@makes()
def save_without_a_change(member: Member) -> None:
    member.save()


@makes()
def save_another_field(member: Member) -> None:
    member.name = "Countess"
    member.save()


@makes(TRIAL_ACTIVE)
def save_with_update_fields(member: Member) -> None:
    member.status = Status.ACTIVE
    member.save(update_fields=["status"])


@makes()
def save_with_other_update_fields(member: Member) -> None:
    member.status = Status.ACTIVE
    member.save(update_fields=["name"])


@makes(TRIAL_ACTIVE, ("active", "churned"))
def save_one_instance_twice(member: Member) -> None:
    for status in (Status.ACTIVE, Status.CHURNED):
        member.status = status
        member.save()


@makes(TRIAL_ACTIVE, ("active", "trial"))
def there_and_back_in_one_transaction(member: Member) -> None:
    with transaction.atomic():
        for status in (Status.ACTIVE, Status.TRIAL):
            member.status = status
            member.save()


@makes(("trial", "churned"))
def change_twice_and_save_once(member: Member) -> None:
    member.status = Status.ACTIVE
    member.status = Status.CHURNED
    member.save()


@makes()
def change_and_refresh(member: Member) -> None:
    member.status = Status.ACTIVE
    member.refresh_from_db()
    member.save()


@makes(TRIAL_ACTIVE)
def save_with_other_fields_deferred(member: Member) -> None:
    deferred = Member.objects.only("status").get(pk=member.pk)
    deferred.status = Status.ACTIVE
    deferred.save()


@makes(TRIAL_ACTIVE)
def save_with_the_field_itself_deferred(member: Member) -> None:
    deferred = Member.objects.defer("status").get(pk=member.pk)
    deferred.status = Status.ACTIVE
    deferred.save()


@makes()
def save_with_the_field_itself_deferred_and_untouched(member: Member) -> None:
    Member.objects.defer("status").get(pk=member.pk).save()


@makes(TRIAL_ACTIVE)
def save_an_expression(member: Member) -> None:
    member.status = Case(When(status=Status.TRIAL, then=Value(Status.ACTIVE)), default=F("status"))
    member.save()


@makes(TRIAL_ACTIVE)
def save_the_same_from_a_stale_copy(member: Member) -> None:
    stale = Member.objects.get(pk=member.pk)
    for copied in (member, stale):
        copied.status = Status.ACTIVE
        copied.save()


@makes(TRIAL_ACTIVE, ("active", "paused"))
def save_another_from_a_stale_copy(member: Member) -> None:
    stale = Member.objects.get(pk=member.pk)
    for copied, status in ((member, Status.ACTIVE), (stale, Status.PAUSED)):
        copied.status = status
        copied.save()


@makes(TRIAL_ACTIVE, ("active", "trial"))
def silently_revert_from_a_stale_copy(member: Member) -> None:
    stale = Member.objects.get(pk=member.pk)
    member.status = Status.ACTIVE
    member.save()
    stale.name = "Countess"
    stale.save()


@makes(ARRIVES)
def clone(member: Member) -> None:
    copied = copy.copy(member)
    copied.pk, copied._state.adding = None, True
    copied.save()


@makes(TRIAL_ACTIVE)
def save_a_pickled_instance(member: Member) -> None:
    loaded = pickle.loads(pickle.dumps(member))  # noqa: S301
    loaded.status = Status.ACTIVE
    loaded.save()


@makes(("trial", ""))
def move_to_a_status_without_a_stock(member: Member) -> None:
    member.status = "lost"
    member.save()


@makes(LEAVES)
def delete(member: Member) -> None:
    member.delete()


@makes(LEAVES, ARRIVES)
def delete_and_save_again(member: Member) -> None:
    pk = member.pk
    member.delete()
    member.pk = pk
    member.save()


# Querysets.


@makes(ARRIVES)
def get_or_create_a_new_one(member: Member) -> None:
    Member.objects.get_or_create(email="new@example.org", defaults={"name": "Eve", "plan": member.plan})


@makes()
def get_or_create_one_that_is_there(member: Member) -> None:
    Member.objects.get_or_create(email=member.email, defaults={"status": Status.ACTIVE})


@makes(TRIAL_ACTIVE)
def update_or_create_one_that_is_there(member: Member) -> None:
    Member.objects.update_or_create(email=member.email, defaults={"status": Status.ACTIVE})


@makes(("", "active"))
def update_or_create_a_new_one(member: Member) -> None:
    defaults = {"status": Status.ACTIVE, "name": "Eve", "plan": member.plan}
    Member.objects.update_or_create(email="new@example.org", defaults=defaults)


@makes(("", "active"), ("", "paused"), ("", "paused"))
def bulk_create(member: Member) -> None:
    Member.objects.bulk_create(
        [unsaved(member, status=s) for s in ("active", "paused", "paused", "lost")], batch_size=2
    )


@makes(("", "active"))
def bulk_create_and_ignore_conflicts(member: Member) -> None:
    rows = [unsaved(member, pk=member.pk, status="paused"), unsaved(member, status="active")]
    Member.objects.bulk_create(rows, ignore_conflicts=True)


@makes(TRIAL_ACTIVE, ("", "active"))
def bulk_create_and_update_conflicts(member: Member) -> None:
    rows = [unsaved(member, pk=pk, status="active") for pk in (member.pk, member.pk + 1000)]
    upsert(rows, ["status"])


@makes(("", "active"))
def bulk_create_and_update_another_field_of_conflicts(member: Member) -> None:
    rows = [unsaved(member, pk=pk, status="active") for pk in (member.pk, member.pk + 1000)]
    upsert(rows, ["name"])


def upsert(rows: list[Member], fields: list[str]) -> None:
    target = ["id"] if connection.features.supports_update_conflicts_with_target else None
    Member.objects.bulk_create(rows, update_conflicts=True, update_fields=fields, unique_fields=target)


@makes(TRIAL_ACTIVE, ("", "trial"), ("trial", "paused"))
def bulk_update(member: Member) -> None:
    other = unsaved(member)
    other.save()
    member.status, other.status = "active", "paused"
    Member.objects.bulk_update([member, other], ["status", "name"])


@makes()
def bulk_update_another_field(member: Member) -> None:
    member.status, member.name = "active", "Countess"
    Member.objects.bulk_update([member], ["name"])


@makes(TRIAL_ACTIVE)
def update(member: Member) -> None:
    Member.objects.filter(pk=member.pk).update(status="active")


@makes()
def update_to_the_same(member: Member) -> None:
    Member.objects.update(status="trial")


@makes()
def update_another_field(member: Member) -> None:
    Member.objects.update(name=Concat(F("name"), Value("!")))


@makes(TRIAL_ACTIVE)
def update_with_an_expression(member: Member) -> None:
    Member.objects.update(status=Case(When(name=F("name"), then=Value("active")), default=F("status")))


@makes(("", "active"), TRIAL_ACTIVE, ("active", "churned"), ("active", "churned"))
def update_many(member: Member) -> None:
    unsaved(member, status="active").save()
    Member.objects.filter(status="trial").update(status="active")
    Member.objects.filter(status="active").update(status="churned")


@makes(LEAVES)
def delete_by_queryset(member: Member) -> None:
    Member.objects.filter(pk=member.pk).delete()


@makes(LEAVES)
def delete_without_collecting(member: Member) -> None:
    Member.objects.filter(pk=member.pk)._raw_delete("default")


@makes(TRIAL_ACTIVE)
def select_for_update_and_save(member: Member) -> None:
    with transaction.atomic():
        locked = Member.objects.select_for_update().get(pk=member.pk)
        locked.status = "active"
        locked.save()


@makes(TRIAL_ACTIVE)
def the_businesss_own_verb(member: Member) -> None:
    assert Member.objects.all().convert() == 1


# Round the ORM.


@makes(TRIAL_ACTIVE)
def raw_update(member: Member) -> None:
    execute("UPDATE membership_member SET status = 'active' WHERE id = %s", member.pk)


@makes(TRIAL_ACTIVE)
def raw_update_from_a_select(member: Member) -> None:
    execute(
        "UPDATE membership_member SET status = 'active' WHERE plan_id IN (SELECT id FROM membership_plan)"
    )


@makes(ARRIVES)
def raw_insert_from_a_select(member: Member) -> None:
    columns = "name, email, plan_id, country, status, status_since, joined_at"
    execute(f"INSERT INTO membership_member ({columns}) SELECT {columns} FROM membership_member")


@makes(LEAVES)
def raw_delete(member: Member) -> None:
    execute("DELETE FROM membership_member")


@makes(TRIAL_ACTIVE)
def executemany(member: Member) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE membership_member SET status = %s WHERE id = %s", [("active", member.pk), ("paused", 0)]
        )


@makes(("", "active"), TRIAL_ACTIVE)
def loaddata(member: Member) -> None:
    load([unsaved(member, pk=member.pk + 1000, status="active"), changed(member, status="active")])


@makes()
def loaddata_of_what_is_there(member: Member) -> None:
    load([member])


def changed(member: Member, **fields: Any) -> Member:
    for name, value in fields.items():
        setattr(member, name, value)
    return member


def load(rows: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "fixture.json"
        path.write_text(serializers.serialize("json", rows))
        call_command("loaddata", str(path), verbosity=0)


# Taken back.


@makes()
def roll_back(member: Member) -> None:
    with transaction.atomic():
        save(member)
        raw_delete(member)
        transaction.set_rollback(True)


@makes(TRIAL_ACTIVE, ("active", "churned"))
def roll_back_to_a_savepoint(member: Member) -> None:
    with transaction.atomic():
        save(member)
        with transaction.atomic():
            Member.objects.update(status="paused")
            transaction.set_rollback(True)
        Member.objects.update(status="churned")


@makes(TRIAL_ACTIVE)
def roll_back_and_try_again(member: Member) -> None:
    for again in (True, False):
        with transaction.atomic():
            member.status = "active"
            member.save()
            transaction.set_rollback(again)


@makes()
def a_statement_that_fails(member: Member) -> None:
    """It touches one row before the other one is refused."""
    rows = [unsaved(member), unsaved(member)]
    rows[1].email = None  # type: ignore[assignment]
    with pytest.raises(DatabaseError), transaction.atomic():
        Member.objects.bulk_create(rows)


@makes()
def an_update_that_fails(member: Member) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        Member.objects.update(status="active", email=None)


@pytest.mark.parametrize("name", PATHS)
def test_a_write_makes_exactly_the_events_of_its_moves(name: str, member: Member) -> None:
    write, moves = PATHS[name]
    last = last_event()
    write(member)

    assert sorted(moves_of(last)) == sorted(moves)
    for stock in registry.tracker("membership.member").stocks:
        inside = MemberFlowEvent.objects.filter(sink=stock.slug).count()
        outside = MemberFlowEvent.objects.filter(source=stock.slug).count()
        assert stock.count() == inside - outside, stock.slug


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["membership_memberflowevent", "stockandflow_delivery"])
def test_without_its_event_or_its_delivery_nothing_is_written(member: Member, table: str) -> None:
    with refusing(table):
        for write in (create, update, delete_without_collecting):
            if table == "membership_memberflowevent" or write is update:
                with pytest.raises(DatabaseError):
                    write(member)

    assert Member.objects.get().status == "trial"
    assert moves_of(0) == [ARRIVES]
    assert not Delivery.objects.exists()


@contextmanager
def refusing(table: str) -> Iterator[None]:
    """Every row for that table is refused. SQLite's triggers follow a table that is renamed."""
    if connection.vendor == "sqlite":
        raising = "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        there, back = f"CREATE TRIGGER refusal BEFORE INSERT ON {table} {raising}", "DROP TRIGGER refusal"
    else:
        there, back = (
            f"ALTER TABLE {a} RENAME TO {b}" for a, b in ((table, "elsewhere"), ("elsewhere", table))
        )
    execute(there)
    try:
        yield
    finally:
        execute(back)


@pytest.mark.django_db(transaction=True)
def test_asynchronous_writes_are_captured(member: Member) -> None:
    last = last_event()

    async def write() -> None:
        member.status = "active"
        await member.asave()
        await Member.objects.aupdate(status="paused")
        await Member.objects.acreate(name="Bob", email="b@example.org", plan_id=member.plan_id)
        await member.adelete()

    async_to_sync(write)()
    assert moves_of(last) == [TRIAL_ACTIVE, ("active", "paused"), ARRIVES, ("paused", "")]


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


@pytest.mark.skipif(connection.vendor != "postgresql", reason="TRUNCATE and COPY are PostgreSQL's")
class TestPostgreSQL:
    """What only PostgreSQL has."""

    def test_truncate_is_the_departure_of_all(self, member: Member) -> None:
        new_member(member.plan, status="active")
        last = last_event()
        execute("SET CONSTRAINTS ALL IMMEDIATE")  # foreign keys that wait for the commit would forbid it
        execute("TRUNCATE membership_member CASCADE")

        assert sorted(moves_of(last)) == [("active", ""), LEAVES]
        assert not Member.objects.exists()

    def test_rows_copied_in_arrive(self, member: Member) -> None:
        last = last_event()
        columns = "name, email, plan_id, status, status_since, joined_at"
        at = now()  # during the copy the connection takes nothing else
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY membership_member ({columns}) FROM STDIN") as copied,
        ):
            for status in ("trial", "active"):
                copied.write_row(("Bob", "b@example.org", member.plan_id, status, at, at))

        assert sorted(moves_of(last)) == [("", "active"), ARRIVES]

    def test_an_update_by_a_trigger_of_the_projects_own_is_seen(self, member: Member) -> None:
        """The statement names another column, and a BEFORE trigger changes the status."""
        last = last_event()
        execute(
            "CREATE FUNCTION project_hook() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN new.status := 'active'; RETURN new; END $$"
        )
        execute(
            "CREATE TRIGGER project_hook BEFORE UPDATE ON membership_member "
            "FOR EACH ROW EXECUTE FUNCTION project_hook()"
        )
        Member.objects.update(name="Countess")

        assert moves_of(last) == [TRIAL_ACTIVE]

    def test_merge_is_captured_row_by_row(self, member: Member) -> None:
        last = last_event()
        execute(
            "MERGE INTO membership_member m USING (VALUES (%s), (%s)) AS given (id) ON m.id = given.id "
            "WHEN MATCHED THEN UPDATE SET status = 'active' "
            "WHEN NOT MATCHED THEN INSERT (id, name, email, plan_id, status, status_since, joined_at) "
            "VALUES (given.id, 'Bob', 'b@example.org', %s, 'trial', now(), now())",
            member.pk,
            member.pk + 1000,
            member.plan_id,
        )

        assert sorted(moves_of(last)) == [ARRIVES, TRIAL_ACTIVE]


def test_facets_are_json_that_django_reads(member: Member) -> None:
    assert MemberFlowEvent.objects.filter(facets__plan="Basic").exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT facets FROM membership_memberflowevent")
        raw = cursor.fetchone()[0]
    assert (json.loads(raw) if isinstance(raw, str) else raw) == {"plan": "Basic", "country": "GB"}
