"""Support as stocks and flows: one dimension from a choices field, one by a function, and a lone stock."""

from __future__ import annotations

from functools import partial

from example.membership.stocksandflows import plan
from example.support.automation import close_resolved
from example.support.models import Channel, Priority, Status, Ticket, TicketFlowEvent
from stockandflow import Facet, Flow, ModelTracker, Process, Stock, periodic, register

channel = Facet(
    slug="channel",
    name="Channel",
    field_lookup="channel",
    values={label: value for value, label in Channel.choices},
)
facets = (channel, (plan, "member"))

# A stock for every status, e.g. "ticket-new".
stocks = Stock.for_choices(Ticket, "status", facets=facets)
new, opened, waiting, resolved, closed = stocks

flow = partial(Flow, facets=facets, flow_event_model=TicketFlowEvent)
flows = [
    flow(slug="asking", name="Asking", sources=[None], sinks=[new]),
    flow(slug="picking-up", name="Picking up", sources=[new], sinks=[opened]),
    flow(slug="replying", name="Replying", sources=[new, opened], sinks=[waiting]),
    flow(slug="hearing-back", name="Hearing back", sources=[waiting], sinks=[opened]),
    flow(slug="resolving", name="Resolving", sources=[new, opened, waiting], sinks=[resolved]),
    flow(slug="closing", name="Closing", sources=[resolved], sinks=[closed]),
    flow(slug="reopening", name="Re-opening", sources=[resolved, closed], sinks=[opened]),
    flow(slug="erasing-tickets", name="Erasing", sources=stocks, sinks=[None]),
]

# Urgent tickets stand in the stocks above too, so this stock belongs to no tracker: it is only counted.
urgent = Stock(
    slug="ticket-urgent",
    name="Urgent",
    queryset=Ticket.objects.filter(
        priority=Priority.URGENT, status__in=[Status.NEW, Status.OPEN, Status.WAITING]
    ),
    facets=facets,
    better="down",
    description="Urgent tickets that nobody has resolved yet.",
)

# Escalation is a dimension of its own, and no stock: the text "urgent" stands in for one.
escalating = flow(slug="escalating", name="Escalating", sources=[None], sinks=[Priority.URGENT.value])
calming = flow(slug="calming-down", name="Calming down", sources=[Priority.URGENT.value], sinks=[None])


def escalation(before: tuple[str] | None, now: tuple[str]) -> tuple[tuple[str | None], tuple[str | None]]:
    """A ticket is outside unless it is urgent."""

    def state(values: tuple[str] | None) -> str | None:
        return Priority.URGENT.value if values == (Priority.URGENT,) else None

    return (state(before),), (state(now),)


register(
    ModelTracker(stocks=stocks, flows=flows),
    ModelTracker(
        fields_to_track=["priority"],
        states_to_stocks_func=escalation,
        flows=[escalating, calming],
        slug="support.escalation",
    ),
    Process(
        slug="support",
        name="Support",
        stocks=[*stocks, urgent],
        flows=[*flows, escalating, calming],
        description="How members' questions are answered, and which of them come back.",
    ),
)
periodic.schedule.register(periodic.DAILY, close_resolved)
