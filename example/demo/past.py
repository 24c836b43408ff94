"""Importing a past: rows and their events are written together, as any import would, and nothing is captured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.core.management.color import no_style
from django.db import connections, transaction
from django.utils import timezone

from example.demo.simulation import History, Life, Move
from example.leads.models import Lead
from example.leads.models import Status as LeadStatus
from example.leads.stocksandflows import stocks as lead_stocks
from example.membership.models import Member, Plan
from example.membership.models import Status as MemberStatus
from example.membership.stocksandflows import stocks as member_stocks
from example.support.models import Priority, Ticket
from example.support.models import Status as TicketStatus
from example.support.stocksandflows import stocks as ticket_stocks
from stockandflow import ModelTracker, Stock, capture
from stockandflow.models import Origin
from stockandflow.registry import registry

PRICES = {"Basic": 9, "Pro": 29, "Team": 79}
"""Plan → pounds a month."""
BATCH = 2000


def import_history(history: History, using: str) -> int:
    """Write all that the history holds into the empty tables of a database, and how many events that were."""
    # Outside the transaction, since MariaDB ends one when triggers change.
    with capture.suspended(registry, using), transaction.atomic(using=using):
        _import_rows(history, using)
        return (
            _import_events(
                "membership.member", _moves(history.members), MemberStatus.values, member_stocks, using
            )
            + _import_events(
                "support.ticket", _moves(history.tickets), TicketStatus.values, ticket_stocks, using
            )
            + _import_events("support.escalation", _escalations(history), (), (), using)
            + _import_events("leads.lead", _moves(history.leads), LeadStatus.values, lead_stocks, using)
        )


def _import_rows(history: History, using: str) -> None:
    """Write whoever and whatever is still there."""
    plans = [Plan(name=name, monthly_price=price) for name, price in PRICES.items()]
    plan_of = {plan.name: plan for plan in Plan.objects.using(using).bulk_create(plans)}
    members = [
        Member(
            id=member.id,
            name=member.name,
            email=_email(member.name, member.id),
            plan=plan_of[member.plan],
            country=member.country,
            status=member.state,
            status_since=member.since,
            joined_at=member.began,
        )
        for member in history.members
        if not member.gone
    ]
    tickets = [
        Ticket(
            id=ticket.id,
            title=ticket.title,
            member_id=ticket.member.id,
            channel=ticket.channel,
            priority=Priority.URGENT if ticket.urgent else Priority.NORMAL,
            status=ticket.state,
            status_since=ticket.since,
            asked_at=ticket.began,
        )
        for ticket in history.tickets
        if not ticket.gone
    ]
    leads = [
        Lead(
            id=lead.id,
            name=lead.name,
            email=_email(lead.name, lead.id),
            source=lead.source,
            status=lead.state,
            found_at=lead.began,
            last_contact_at=lead.last_contact_at,
            member_id=lead.member.id if lead.member and not lead.member.gone else None,
        )
        for lead in history.leads
        if not lead.gone
    ]
    Member.objects.using(using).bulk_create(members, batch_size=BATCH)
    Ticket.objects.using(using).bulk_create(tickets, batch_size=BATCH)
    Lead.objects.using(using).bulk_create(leads, batch_size=BATCH)
    # PostgreSQL doesn't notice ids that are given to it, and would give them again.
    connection = connections[using]
    with connection.cursor() as cursor:
        for sql in connection.ops.sequence_reset_sql(no_style(), [Member, Ticket, Lead]):
            cursor.execute(sql)


def _import_events(
    tracker_slug: str,
    moves: Iterable[tuple[int, Move]],
    states: Sequence[str],
    stocks: Sequence[Stock],
    using: str,
) -> int:
    """Write moves as events of a tracker, in the order in which they happened; how many they were.

    ``moves`` are pairs of a subject's id and a move between ``states``, to which ``stocks`` belong one by one; any
    other state stands for itself.
    """
    tracker = registry.tracker(tracker_slug)
    event_model: Any = tracker.events
    key = {state: stock.slug for state, stock in zip(states, stocks, strict=True)}
    flow_of: dict[tuple[str, str], str] = {}
    now = timezone.now()
    events = []
    for subject_id, move in sorted(moves, key=lambda pair: pair[1].at):
        source, sink = key.get(move.source, move.source), key.get(move.sink, move.sink)
        if (source, sink) not in flow_of:
            flow_of[source, sink] = _flow_slug(tracker, source, sink)
        events.append(
            event_model(
                tracker=tracker.slug,
                flow=flow_of[source, sink],
                source=source,
                sink=sink,
                subject_id=subject_id,
                timestamp=move.at,
                recorded_at=now,
                facets=move.facets,
                origin=Origin.IMPORT,
            )
        )
    event_model._default_manager.using(using).bulk_create(events, batch_size=BATCH)
    return len(events)


def _flow_slug(tracker: ModelTracker, source: str, sink: str) -> str:
    flow = tracker.flow_for(source, sink)
    return flow.slug if flow else ""


def _moves(lives: Iterable[Life]) -> Iterable[tuple[int, Move]]:
    return ((life.id, move) for life in lives for move in life.moves)


def _escalations(history: History) -> Iterable[tuple[int, Move]]:
    return ((ticket.id, move) for ticket in history.tickets for move in ticket.escalations)


def _email(name: str, number: int) -> str:
    mailbox = name.lower().replace(" ", ".").replace("'", "")
    return f"{mailbox}.{number}@example.org"
