"""The test's own subjects declared: a tracker for each role of the cast."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now

from stockandflow.declarations import Facet, Flow, ModelTracker, Stock
from stockandflow.models import FlowEvent
from tests.write_paths import models as cast_models
from tests.write_paths.models import (
    Article,
    ArticleFlowEvent,
    Coded,
    CodedFlowEvent,
    Customer,
    CustomerFlowEvent,
    Dated,
    DatedFlowEvent,
    Identified,
    IdentifiedFlowEvent,
    Kept,
    KeptFlowEvent,
    Subject,
    SubjectFlowEvent,
)
from tests.write_paths.scene import STATUSES, Cast, Role

CAST = Cast.of(cast_models)


def _tracker(
    role: Role, events: type[FlowEvent], stocks: dict[str, models.QuerySet[Any]], **arguments: Any
) -> ModelTracker:
    made = [Stock(f"{role}-{name}", name, queryset, **arguments) for name, queryset in stocks.items()]
    return ModelTracker(
        stocks=made, flows=Flow.for_stocks(events, made, **arguments), slug=f"write-paths.{role}"
    )


def trackers(using: str | None = None) -> dict[Role, ModelTracker]:
    """A tracker for each role, its stocks named ``<role>-<status>``; of another database where one is given."""

    def rows(model: Any) -> models.QuerySet[Any]:
        found: models.QuerySet[Any] = model._default_manager.all()
        return found if using is None else found.using(using)

    def by_status(model: Any) -> dict[str, models.QuerySet[Any]]:
        return {status: rows(model).filter(status=status) for status in STATUSES}

    plan = Facet("write-paths-plan", "Plan", field_lookup="plan__name")
    return {
        "subject": _tracker("subject", SubjectFlowEvent, by_status(Subject), facets=[plan]),
        "kept": _tracker("kept", KeptFlowEvent, by_status(Kept)),
        "coded": _tracker("coded", CodedFlowEvent, by_status(Coded)),
        "identified": _tracker("identified", IdentifiedFlowEvent, by_status(Identified)),
        "customer": _tracker(
            "customer",
            CustomerFlowEvent,
            {
                "free": rows(Customer).filter(plan__paid=False),
                "paying": rows(Customer).filter(plan__paid=True),
            },
        ),
        "dated": _tracker("dated", DatedFlowEvent, {"open": rows(Dated).filter(until__gt=Now())}),
        "article": _tracker("article", ArticleFlowEvent, {"hot": rows(Article).filter(labels__name="hot")}),
    }
