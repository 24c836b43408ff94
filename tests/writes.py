"""Writes to the example's members, tickets and leads, through every door that an application has.

Each works on whatever rows there are, does nothing where it finds none, and needs no transaction of its own.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import Case, F, QuerySet, Value, When
from django.db.models.functions import Concat
from hypothesis import strategies as st

from example.leads.models import Lead
from example.leads.models import Status as LeadStatus
from example.membership.models import Member, Plan, Status
from example.support.models import Priority, Ticket
from example.support.models import Status as TicketStatus

PLANS = ("Basic", "Pro")


def members() -> QuerySet[Member]:
    return Member.objects.order_by("pk")


def chosen(rows: QuerySet[Any], index: int) -> Any:
    """One of the rows, None where there are none."""
    pks = list(rows.order_by("pk").values_list("pk", flat=True))
    return rows.get(pk=pks[index % len(pks)]) if pks else None


def some(rows: QuerySet[Any], index: int, every: int) -> QuerySet[Any]:
    """A few of the rows, as a queryset by primary key."""
    pks = list(rows.order_by("pk").values_list("pk", flat=True))
    found: QuerySet[Any] = rows.model._default_manager.filter(pk__in=pks[index % (len(pks) + 1) :: every])
    return found


def a_plan(index: int) -> Plan:
    return Plan.objects.order_by("pk")[index % len(PLANS)]


def a_member(index: int, status: str, country: str | None, **fields: Any) -> Member:
    return Member(
        name=f"m{index}", email="m@example.org", plan=a_plan(index), status=status, country=country, **fields
    )


def create_member(index: int, status: str, country: str | None) -> None:
    Member.objects.create(name="m", email="m@example.org", plan=a_plan(index), status=status, country=country)


def save_member(index: int, status: str, update_fields: Sequence[str] | None) -> None:
    if (member := chosen(members(), index)) is not None:
        member.status = status
        member.country = "IE"
        member.save(update_fields=update_fields)


def save_deferred(index: int, status: str) -> None:
    if (member := chosen(members().only("status"), index)) is not None:
        member.status = status
        member.save()


def save_twice(index: int, first: str, second: str) -> None:
    if (member := chosen(members(), index)) is not None:
        for status in (first, second):
            member.status = status
            member.save()


def save_stale(index: int, fresh: str, stale: str) -> None:
    """Two copies of one row, of which the second doesn't know what the first did."""
    if (one := chosen(members(), index)) is not None:
        other = Member.objects.get(pk=one.pk)
        one.status, other.status = fresh, stale
        one.save()
        other.save()


def revive(index: int) -> None:
    """Saving an instance whose row was deleted makes the row anew, under the same key."""
    if (member := chosen(members(), index)) is not None:
        pk = member.pk
        member.delete()
        member.pk = pk
        member.save()


def update_or_create(index: int, status: str) -> None:
    Member.objects.update_or_create(
        email=f"{index % 3}@example.org",
        defaults={"status": status},
        create_defaults={"status": status, "plan": a_plan(index), "name": "either"},
    )


def bulk_create_members(statuses: Sequence[str]) -> None:
    Member.objects.bulk_create([a_member(index, status, None) for index, status in enumerate(statuses)])


def bulk_create_over(index: int, statuses: Sequence[str], how: str) -> None:
    """Some of the keys are taken: those rows are left alone, or updated."""
    pks = list(some(members(), index, 1).values_list("pk", flat=True))
    rows = [a_member(index, status, "DE", pk=pk) for pk, status in zip(pks, statuses, strict=False)]
    rows += [a_member(index, status, "DE") for status in statuses]
    if how == "ignore":
        Member.objects.bulk_create(rows, ignore_conflicts=True)
        return
    target = ["id"] if connection.features.supports_update_conflicts_with_target else None
    Member.objects.bulk_create(rows, update_conflicts=True, update_fields=["status"], unique_fields=target)


def bulk_update(index: int, statuses: Sequence[str]) -> None:
    rows = list(some(members(), index, 2))
    for row, status in zip(rows, statuses, strict=False):
        row.status, row.name = status, "bulk"
    Member.objects.bulk_update(rows, ["status", "name"], batch_size=2)


def update_some(index: int, status: str) -> None:
    some(members(), index, 2).update(status=status)


def update_expression(index: int) -> None:
    some(members(), index, 1).update(
        status=Case(
            When(status=Status.TRIAL, then=Value(Status.ACTIVE)),
            When(status=Status.ACTIVE, then=Value(Status.CHURNED)),
            default=F("status"),
        ),
        name=Concat(F("name"), Value("!")),
    )


def update_other(index: int) -> None:
    some(members(), index, 2).update(country=None, plan=a_plan(index))


def business_verb(verb: str) -> None:
    getattr(Member.objects.all(), verb)()


def delete_member(index: int) -> None:
    """Its tickets and its note go with it, its leads stay."""
    if (member := chosen(members(), index)) is not None:
        member.delete()


def delete_members(index: int) -> None:
    some(members(), index, 3).delete()


def create_ticket(index: int, status: str, priority: str) -> None:
    if (member := chosen(members(), index)) is not None:
        Ticket.objects.create(title="?", member=member, status=status, priority=priority)


def save_ticket(index: int, status: str, priority: str) -> None:
    if (ticket := chosen(Ticket.objects.all(), index)) is not None:
        ticket.status, ticket.priority = status, priority
        ticket.save()


def update_tickets(index: int, status: str) -> None:
    some(Ticket.objects.all(), index, 2).update(status=status)


def delete_tickets(index: int) -> None:
    some(Ticket.objects.all(), index, 2).delete()


def create_leads(statuses: Sequence[str]) -> None:
    Lead.objects.bulk_create([Lead(name="l", email="l@example.org", status=status) for status in statuses])


def win_lead(index: int) -> None:
    lead, member = chosen(Lead.objects.all(), index), chosen(members(), index)
    if lead is not None and member is not None:
        lead.win(member)


def execute(sql: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def raw_update(status: str, other: str) -> None:
    execute("UPDATE membership_member SET status = %s WHERE status = %s", status, other)


def raw_leads(status: str, index: int) -> None:
    execute(
        "INSERT INTO leads_lead (name, email, source, status, found_at, last_contact_at) "
        "SELECT name, email, 'event', %s, joined_at, status_since FROM membership_member WHERE id %% 3 = %s",
        status,
        index % 3,
    )


def raw_delete(index: int) -> None:
    execute("DELETE FROM leads_lead WHERE id %% 3 = %s", index % 3)
    # Escalation is captured by signals, which see nothing of this, so urgent tickets are left alone.
    execute("DELETE FROM support_ticket WHERE priority <> 'urgent' AND id %% 3 = %s", index % 3)


def fail_to_write(status: str) -> None:
    """The whole statement is refused, after it has touched rows: the last one's plan doesn't exist."""
    rows = [a_member(0, status, None), Member(name="x", email="x", plan=a_plan(0), status=status)]
    rows[1].plan_id = None  # type: ignore[assignment]
    with contextlib.suppress(DatabaseError), transaction.atomic():
        Member.objects.bulk_create(rows)


INDEX = st.integers(min_value=0, max_value=20)
# "lost" is in no stock: being in it is being outside.
STATUS = st.sampled_from([*Status.values, "lost"])
STATUSES = st.lists(STATUS, min_size=1, max_size=4)
TICKET = st.sampled_from([*TicketStatus.values, "lost"])
LEAD = st.sampled_from(LeadStatus.values)
PRIORITY = st.sampled_from(Priority.values)
COUNTRY = st.sampled_from(["GB", "DE", None])
VERBS = st.sampled_from(["convert", "pause", "resume", "mark_past_due", "churn", "cancel", "reactivate"])
UPDATE_FIELDS = st.sampled_from([None, ("status",), ("country",), ("status", "country"), ()])

Write = tuple[Any, ...]


def write(function: Callable[..., None], *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Write]:
    return st.tuples(st.just(function), *arguments)


WRITES: st.SearchStrategy[Write] = st.one_of(
    write(create_member, INDEX, STATUS, COUNTRY),
    write(save_member, INDEX, STATUS, UPDATE_FIELDS),
    write(save_deferred, INDEX, STATUS),
    write(save_twice, INDEX, STATUS, STATUS),
    write(save_stale, INDEX, STATUS, STATUS),
    write(revive, INDEX),
    write(update_or_create, INDEX, STATUS),
    write(bulk_create_members, STATUSES),
    write(bulk_create_over, INDEX, STATUSES, st.sampled_from(["ignore", "update"])),
    write(bulk_update, INDEX, STATUSES),
    write(update_some, INDEX, STATUS),
    write(update_expression, INDEX),
    write(update_other, INDEX),
    write(business_verb, VERBS),
    write(delete_member, INDEX),
    write(delete_members, INDEX),
    write(create_ticket, INDEX, TICKET, PRIORITY),
    write(save_ticket, INDEX, TICKET, PRIORITY),
    write(update_tickets, INDEX, TICKET),
    write(delete_tickets, INDEX),
    write(create_leads, st.lists(LEAD, min_size=1, max_size=4)),
    write(win_lead, INDEX),
    write(raw_update, STATUS, STATUS),
    write(raw_leads, LEAD, INDEX),
    write(raw_delete, INDEX),
    write(fail_to_write, STATUS),
)


def do(written: Write) -> None:
    function, *arguments = written
    function(*arguments)
