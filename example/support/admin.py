"""Tickets in the ordinary admin, and in that of the stocks and flows."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from example.admin_site import site
from example.support.models import Priority, Ticket, TicketQuerySet
from example.support.stocksandflows import (
    calming,
    closed,
    escalating,
    flows,
    new,
    opened,
    resolved,
    urgent,
    waiting,
)


@admin.register(Ticket)
class TicketAdmin(admin.ModelAdmin):
    list_display = ["title", "member", "channel", "priority", "status", "status_since"]
    list_filter = ["status", "priority", "channel"]
    list_select_related = ["member"]
    search_fields = ["title", "member__name"]
    raw_id_fields = ["member"]


@admin.action(description="Pick up", permissions=["change"])
def pick_up(model_admin: Any, request: HttpRequest, tickets: TicketQuerySet) -> None:
    model_admin.message_user(request, f"{tickets.pick_up()} picked up.")


@admin.action(description="Resolve", permissions=["change"])
def resolve(model_admin: Any, request: HttpRequest, tickets: TicketQuerySet) -> None:
    model_admin.message_user(request, f"{tickets.resolve()} resolved.")


@admin.action(description="Re-open", permissions=["change"])
def reopen(model_admin: Any, request: HttpRequest, tickets: TicketQuerySet) -> None:
    model_admin.message_user(request, f"{tickets.reopen()} re-opened.")


@admin.action(description="Calm down", permissions=["change"])
def calm_down(model_admin: Any, request: HttpRequest, tickets: TicketQuerySet) -> None:
    # One by one: escalation is tracked by a function, which sees save() and not update().
    for ticket in tickets:
        ticket.priority = Priority.NORMAL
        ticket.save(update_fields=["priority"])
    model_admin.message_user(request, f"{len(tickets)} calmed down.")


for stock, actions in [
    (new, [pick_up, resolve]),
    (opened, [resolve]),
    (waiting, [resolve]),
    (resolved, [reopen]),
    (closed, [reopen]),
    (urgent, [resolve, calm_down]),
]:
    site.register_stock(
        stock,
        {
            "list_display": ["title", "member", "channel", "priority", "status_since"],
            "list_filter": ["channel", "priority"],
            "list_select_related": ["member"],
            "search_fields": ["title", "member__name"],
            "raw_id_fields": ["member"],
            "actions": actions,
        },
    )
for flow in [*flows, escalating, calming]:
    site.register_flow(flow)
