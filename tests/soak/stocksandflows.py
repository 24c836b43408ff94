"""Orders as stocks: two columns decide, a facet looks into another table, and a flow has something to deliver."""

from __future__ import annotations

from functools import partial

from stockandflow import Facet, Flow, ModelTracker, Stock, register
from tests.soak.models import Order, OrderFlowEvent

customer = Facet(slug="customer", name="Customer", field_lookup="customer__name")
orders = Order._default_manager.all()
draft = Stock("draft", "Draft", orders.filter(status="draft"), facets=[customer])
small = Stock("small", "Open and small", orders.filter(status="open", amount__lt=100), facets=[customer])
large = Stock("large", "Open and large", orders.filter(status="open", amount__gte=100), facets=[customer])
done = Stock("done", "Done", orders.filter(status__in=["paid", "shipped"]), facets=[customer])
stocks = [draft, small, large, done]


def notice(*given: object) -> None:
    """Nothing to do: what counts is that a delivery stands beside each event."""


flow = partial(Flow, flow_event_model=OrderFlowEvent)
opening = flow("opening", "Opening", sources=[draft, None], sinks=[small, large], event_callables=[notice])
growing = flow("growing", "Growing", sources=[small], sinks=[large])
finishing = flow("finishing", "Finishing", sources=[small, large], sinks=[done])

tracker = ModelTracker(stocks=stocks, flows=[opening, growing, finishing])
register(tracker)
