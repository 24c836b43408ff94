"""What is stored: flow events, records of stocks and flows, pending deliveries, sweeps, and the schedule's runs."""

from __future__ import annotations

from stockandflow.models.delivery import Delivery
from stockandflow.models.events import FlowEvent, SubjectForeignKey
from stockandflow.models.origin import Origin
from stockandflow.models.records import (
    ALL,
    FlowFacetRecord,
    FlowRecord,
    StockFacetRecord,
    StockRecord,
    Watermark,
    recent_moves,
    settling,
)
from stockandflow.models.schedule import ScheduleEntry, ScheduleRun
from stockandflow.models.sweeps import Sweep

__all__ = [
    "ALL",
    "Delivery",
    "FlowEvent",
    "FlowFacetRecord",
    "FlowRecord",
    "Origin",
    "ScheduleEntry",
    "ScheduleRun",
    "StockFacetRecord",
    "StockRecord",
    "SubjectForeignKey",
    "Sweep",
    "Watermark",
    "recent_moves",
    "settling",
]
