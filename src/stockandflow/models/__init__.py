"""What is stored: flow events, records of stocks and flows, pending deliveries, sweeps, the schedule's runs, tokens."""

from __future__ import annotations

from stockandflow.models.definitions import Break, Definition
from stockandflow.models.delivery import Delivery
from stockandflow.models.events import FlowEvent, SubjectForeignKey, stored_events
from stockandflow.models.flow_records import FlowFacetRecord, FlowRecord, Watermark
from stockandflow.models.keys import ALL
from stockandflow.models.origin import Origin
from stockandflow.models.records import (
    LevelWatermark,
    StockFacetRecord,
    StockRecord,
    recent_moves,
    settled_moves,
    settling,
)
from stockandflow.models.restatements import Restatement
from stockandflow.models.schedule import ScheduleEntry, ScheduleRun
from stockandflow.models.standing import last_first_seen, told_since, told_since_of, told_unopened
from stockandflow.models.sweeps import Sweep, sweeps
from stockandflow.models.tokens import ApiToken

__all__ = [
    "ALL",
    "ApiToken",
    "Break",
    "Definition",
    "Delivery",
    "FlowEvent",
    "FlowFacetRecord",
    "FlowRecord",
    "LevelWatermark",
    "Origin",
    "Restatement",
    "ScheduleEntry",
    "ScheduleRun",
    "StockFacetRecord",
    "StockRecord",
    "SubjectForeignKey",
    "Sweep",
    "Watermark",
    "last_first_seen",
    "recent_moves",
    "settled_moves",
    "settling",
    "stored_events",
    "sweeps",
    "told_since",
    "told_since_of",
    "told_unopened",
]
