"""What the benchmarks declare: five stocks with their flows, twice, and ten stocks to count."""

from __future__ import annotations

from typing import Any

from benchmarks.models import (
    COUNTRIES,
    STATUSES,
    Account,
    ActedOnFlowEvent,
    ActedOnSubscription,
    Plan,
    Subscription,
    TrackedFlowEvent,
    TrackedSubscription,
)
from stockandflow import Facet, Flow, FlowEvent, ModelTracker, Stock, register

MOVES: dict[str, tuple[list[str | None], list[str | None]]] = {
    "signing-up": ([None], ["trial"]),
    "importing": ([None], ["active", "paused", "past_due", "churned"]),
    "converting": (["trial"], ["active"]),
    "pausing": (["active"], ["paused"]),
    "resuming": (["paused"], ["active"]),
    "payment-failing": (["active", "paused"], ["past_due"]),
    "recovering": (["past_due"], ["active"]),
    "churning": (["trial", "active", "paused", "past_due"], ["churned"]),
    "returning": (["churned"], ["trial", "active"]),
    "erasing": (["trial", "active", "paused", "past_due", "churned"], [None]),
}

ACCOUNT_STATUSES = (
    "invited", "trial", "active", "paused", "past_due", "blocked", "expired", "churned", "archived", "erased",
)  # fmt: skip
ACCOUNT_VALUES: dict[str, tuple[str, ...]] = {
    "plan": (
        "free", "solo", "team", "business", "enterprise", "legacy", "student", "agency", "partner", "lifetime",
    ),
    "country": ("GB", "IE", "DE", "FR", "NL", "US", "ES", "IT", "PL", "SE"),
    "channel": ("web", "ads", "email", "partner", "sales", "event", "app", "referral", "press", "import"),
}  # fmt: skip


def do_nothing(subject: Subscription, source: Any, sink: Any) -> None:
    """Stands for what a project does on a move; the benchmarks never deliver it."""


def tracker_of(
    model: type[Subscription], events: type[FlowEvent], prefix: str, **of_flows: Any
) -> ModelTracker:
    """Five stocks, one a status, with a facet over a foreign key and one of the row itself, and ten flows."""
    plan = Facet("plan", "Plan", "plan__name", Plan._default_manager.values_list("name", flat=True))
    country = Facet("country", "Country", "country", COUNTRIES)
    facets = [plan, country]
    stocks: dict[str | None, Stock | None] = {None: None} | {
        status: Stock(
            f"{prefix}-{status}", status, model._default_manager.filter(status=status), facets=facets
        )
        for status in STATUSES
    }
    flows = [
        Flow(
            slug=f"{prefix}-{slug}",
            name=slug,
            flow_event_model=events,
            sources=[stocks[source] for source in sources],
            sinks=[stocks[sink] for sink in sinks],
            facets=facets,
            **of_flows,
        )
        for slug, (sources, sinks) in MOVES.items()
    ]
    return ModelTracker(stocks=[stock for stock in stocks.values() if stock], flows=flows)


def account_stocks(**more: Any) -> list[Stock]:
    """Ten stocks that exclude each other, each with three facets of ten values; ``more`` is what they ask besides."""
    facets = [Facet(name, name, name, values) for name, values in ACCOUNT_VALUES.items()]
    return [
        Stock(f"account-{status}", status, Account._default_manager.filter(status=status, **more), facets)
        for status in ACCOUNT_STATUSES
    ]


register(
    tracker_of(TrackedSubscription, TrackedFlowEvent, "tracked"),
    tracker_of(ActedOnSubscription, ActedOnFlowEvent, "acted-on", event_callables=[do_nothing]),
)
