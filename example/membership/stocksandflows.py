"""Membership as stocks and flows: how people come, stay, leave and return."""

from __future__ import annotations

from functools import partial

from example.membership.automation import erase_long_gone, write_welcome_note
from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import Facet, Flow, ModelTracker, Process, Stock, periodic, register

plan = Facet(
    slug="plan", name="Plan", field_lookup="plan__name", values=Plan.objects.values_list("name", flat=True)
)
country = Facet(
    slug="country",
    name="Country",
    field_lookup="country",
    values={
        "United Kingdom": "GB",
        "Ireland": "IE",
        "Germany": "DE",
        "France": "FR",
        "Netherlands": "NL",
        "United States": "US",
    },
)

stock = partial(Stock, facets=[plan, country])
flow = partial(Flow, facets=[plan, country], flow_event_model=MemberFlowEvent)

members = Member.objects.all()
trial = stock(slug="trial", name="Trial", queryset=members.filter(status=Status.TRIAL))
active = stock(slug="active", name="Active", queryset=members.filter(status=Status.ACTIVE), better="up")
paused = stock(slug="paused", name="Paused", queryset=members.filter(status=Status.PAUSED))
past_due = stock(
    slug="past-due", name="Past due", queryset=members.filter(status=Status.PAST_DUE), better="down"
)
churned = stock(slug="churned", name="Churned", queryset=members.filter(status=Status.CHURNED), better="down")
stocks = [trial, active, paused, past_due, churned]

flows = [
    flow(slug="signing-up", name="Signing up", sources=[None], sinks=[trial]),
    flow(
        slug="converting",
        name="Converting",
        sources=[trial],
        sinks=[active],
        event_callables=[write_welcome_note],
    ),
    flow(slug="lapsing", name="Lapsing", sources=[trial], sinks=[churned, None]),
    flow(slug="pausing", name="Pausing", sources=[active], sinks=[paused]),
    flow(slug="resuming", name="Resuming", sources=[paused], sinks=[active]),
    flow(slug="payment-failing", name="Payment failing", sources=[active], sinks=[past_due]),
    flow(slug="recovering", name="Recovering", sources=[past_due], sinks=[active]),
    flow(slug="cancelling", name="Cancelling", sources=[active], sinks=[churned]),
    flow(slug="expiring", name="Expiring", sources=[paused], sinks=[churned]),
    flow(slug="churning", name="Churning", sources=[past_due], sinks=[churned]),
    flow(slug="reactivating", name="Reactivating", sources=[churned], sinks=[active]),
    flow(slug="erasing", name="Erasing", sources=[active, paused, past_due, churned], sinks=[None]),
]

register(
    ModelTracker(stocks=stocks, flows=flows),
    Process(
        slug="membership",
        name="Membership",
        stocks=stocks,
        description="How people move from sign-up to active membership, and where they leave.",
    ),
)
periodic.schedule.register(periodic.DAILY, erase_long_gone)
