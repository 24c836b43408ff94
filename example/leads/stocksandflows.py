"""Leads as stocks and flows, the short way: the whole dimension from a choices field."""

from __future__ import annotations

from example.leads.decay import cool_down, forget
from example.leads.models import Lead, LeadFlowEvent, Source
from stockandflow import Facet, Flow, ModelTracker, Process, Stock, periodic, register

source = Facet(slug="source", name="Source", field_lookup="source", values=Source.values)
stocks = Stock.for_choices(Lead, "status", facets=[source])
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
periodic.schedule.register(periodic.DAILY, cool_down)
periodic.schedule.register(periodic.DAILY, forget)
