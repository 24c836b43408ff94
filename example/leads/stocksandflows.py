"""Leads as stocks and flows, the short way: the whole dimension from a choices field."""

from __future__ import annotations

from example.leads.decay import HOT_FOR, WARM_FOR, forget
from example.leads.models import Lead, LeadFlowEvent, Source, Status
from stockandflow import Decay, Facet, Flow, ModelTracker, Process, Stock, periodic, register

source = Facet(slug="source", name="Source", field_lookup="source", values=Source.values)
stocks = Stock.for_choices(Lead, "status", facets=[source], better={Status.HOT: "up", Status.WON: "up"})
flows = Flow.for_stocks(LeadFlowEvent, stocks, facets=[source])

register(
    ModelTracker(stocks=stocks, flows=flows),
    Process(
        slug="leads",
        name="Leads",
        stocks=stocks,
        description="How warm the people are who may become members, and how many do.",
    ),
)
hot, warm, *_ = stocks
# Warm ones first: no lead takes two steps in one night.
periodic.schedule.register(periodic.DAILY, Decay(warm, WARM_FOR, {"status": Status.COLD}, "last_contact_at"))
periodic.schedule.register(periodic.DAILY, Decay(hot, HOT_FOR, {"status": Status.WARM}, "last_contact_at"))
periodic.schedule.register(periodic.DAILY, forget)
