"""A day at the office: what ordinary code does to ordinary models, all of it captured. And one thing that isn't."""

from __future__ import annotations

from random import Random
from typing import Any, TypeVar

from django.db import connections, models, transaction
from django.utils import timezone

from example.leads.models import Lead
from example.leads.models import Status as LeadStatus
from example.membership.models import Member, Plan, Status
from example.support.models import Channel, Priority, Ticket
from example.support.models import Status as TicketStatus
from stockandflow import capture
from stockandflow.registry import registry

QuerySetT = TypeVar("QuerySetT", bound="models.QuerySet[Any]")


def live_today(random: Random) -> None:
    """Some dozens of moves, by every kind of write that a Django project knows."""
    _come(random)
    _stay(random)
    _go(random)
    _ask(random)
    _follow_leads(random)


def maintain(number: int, using: str) -> None:
    """Take members for paid whose payment got stuck, as an old maintenance script does it: behind the capture's back.

    The rows change and no event says so, which is what reports call *unexplained*.
    """
    stuck = Member.objects.using(using).filter(status=Status.PAST_DUE).order_by("status_since", "pk")
    ids = list(stuck.values_list("pk", flat=True)[:number])
    with capture.suspended(registry, using), connections[using].cursor() as cursor:
        cursor.executemany(
            "UPDATE membership_member SET status = %s WHERE id = %s",
            [(Status.ACTIVE.value, pk) for pk in ids],
        )


def _come(random: Random) -> None:
    plans = list(Plan.objects.all())
    for name in ("Ada", "Barbara", "Donella", "Edith"):
        Member.objects.create(name=name, email=f"{name.lower()}@example.org", plan=random.choice(plans))
    Member.objects.bulk_create(
        Member(name=name, email=f"{name.lower()}@example.org", plan=random.choice(plans), country="GB")
        for name in ("Frances", "Grace", "Hedy", "Jay", "Katherine", "Lynn", "Margaret")
    )


def _stay(random: Random) -> None:
    for member in _some(Member.objects.filter(status=Status.TRIAL), 7, random):
        member.status, member.status_since = Status.ACTIVE, timezone.now()
        member.save()
    _some(Member.objects.filter(status=Status.TRIAL), 5, random).convert()
    _some(Member.objects.filter(status=Status.ACTIVE), 4, random).pause()
    _some(Member.objects.filter(status=Status.PAUSED), 3, random).resume()
    _some(Member.objects.filter(status=Status.ACTIVE), 6, random).mark_past_due()
    _some(Member.objects.filter(status=Status.PAST_DUE), 4, random).mark_paid()
    returning = _some(Member.objects.filter(status=Status.CHURNED), 3, random)
    for member in returning:
        member.status, member.status_since = Status.ACTIVE, timezone.now()
    Member.objects.bulk_update(returning, ["status", "status_since"])


def _go(random: Random) -> None:
    _some(Member.objects.filter(status=Status.ACTIVE), 7, random).cancel()
    _some(Member.objects.filter(status=Status.PAST_DUE), 2, random).churn()
    _some(Member.objects.filter(status=Status.PAUSED), 1, random).expire()
    _some(Member.objects.filter(status=Status.TRIAL), 3, random).delete()
    for member in _some(Member.objects.filter(status=Status.CHURNED), 2, random):
        member.delete()


def _ask(random: Random) -> None:
    for member in _some(Member.objects.filter(status=Status.ACTIVE), 12, random):
        Ticket.objects.create(
            title="Change my plan",
            member=member,
            channel=random.choice(Channel.values),
            priority=random.choices(Priority.values, [4, 1])[0],
        )
    for ticket in _some(Ticket.objects.filter(status=TicketStatus.NEW, priority=Priority.NORMAL), 2, random):
        # A function tracker sees save(), and not update().
        ticket.priority = Priority.URGENT
        ticket.save(update_fields=["priority"])
    tickets = Ticket.objects.all()
    _some(tickets.filter(status=TicketStatus.NEW), 8, random).pick_up()
    _some(tickets.filter(status=TicketStatus.OPEN), 7, random).reply()
    _some(tickets.filter(status=TicketStatus.WAITING), 4, random).hear_back()
    _some(tickets.filter(status=TicketStatus.OPEN), 5, random).resolve()
    _some(tickets.filter(status=TicketStatus.RESOLVED), 1, random).reopen()


def _follow_leads(random: Random) -> None:
    for name in ("Mary", "Nancy", "Radia", "Sophie"):
        Lead.objects.create(name=name, email=f"{name.lower()}@example.org")
    for lead in _some(Lead.objects.filter(status=LeadStatus.WARM), 3, random):
        lead.contact()
    plans = list(Plan.objects.all())
    for lead in _some(Lead.objects.filter(status=LeadStatus.HOT), 2, random):
        with transaction.atomic():
            lead.win(Member.objects.create(name=lead.name, email=lead.email, plan=random.choice(plans)))


def _some(rows: QuerySetT, number: int, random: Random) -> QuerySetT:
    """So many of the rows, or all where they are fewer. One query."""
    keys = list(rows.order_by("pk").values_list("pk", flat=True))
    chosen: QuerySetT = rows.model._default_manager.filter(pk__in=random.sample(keys, min(number, len(keys))))
    return chosen
