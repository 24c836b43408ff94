"""A Django project's business as stocks and flows: declare, capture, record, report, act.

The public names are loaded when first used, because models can't be imported before Django's apps are ready.
Nothing inside the package imports this module.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stockandflow.automation import Decay
    from stockandflow.capture.querysets import TrackedQuerySet
    from stockandflow.declarations import Facet, Flow, ModelTracker, Process, Stock
    from stockandflow.models import (
        FlowEvent,
        FlowFacetRecord,
        FlowRecord,
        StockFacetRecord,
        StockRecord,
        SubjectForeignKey,
    )
    from stockandflow.periods import Calendar, Grain, Period
    from stockandflow.registry import Registry, register

__version__ = "1.0.0.dev0"

_HOMES = {
    "Calendar": "periods",
    "Decay": "automation",
    "Facet": "declarations",
    "Flow": "declarations",
    "FlowEvent": "models",
    "FlowFacetRecord": "models",
    "FlowRecord": "models",
    "Grain": "periods",
    "ModelTracker": "declarations",
    "Period": "periods",
    "Process": "declarations",
    "Registry": "registry",
    "Stock": "declarations",
    "StockFacetRecord": "models",
    "StockRecord": "models",
    "SubjectForeignKey": "models",
    "TrackedQuerySet": "capture.querysets",
    "register": "registry",
}

__all__ = [
    "Calendar",
    "Decay",
    "Facet",
    "Flow",
    "FlowEvent",
    "FlowFacetRecord",
    "FlowRecord",
    "Grain",
    "ModelTracker",
    "Period",
    "Process",
    "Registry",
    "Stock",
    "StockFacetRecord",
    "StockRecord",
    "SubjectForeignKey",
    "TrackedQuerySet",
    "register",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stockandflow' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"stockandflow.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
