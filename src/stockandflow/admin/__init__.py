"""The admin: a site of stocks and flows, and what is stored, read-only in the ordinary admin.

Nothing else in the package imports this module, so that a project without ``django.contrib.admin`` can do without.
"""

from __future__ import annotations

from stockandflow.admin.listings import FlowAdmin, StockAdmin
from stockandflow.admin.records import (
    DefinitionAdmin,
    DeliveryAdmin,
    FlowRecordAdmin,
    RestatementAdmin,
    ScheduleEntryAdmin,
    ScheduleRunAdmin,
    StockRecordAdmin,
    SweepAdmin,
)
from stockandflow.admin.site import StockAndFlowAdminSite
from stockandflow.admin.tokens import ApiTokenAdmin

__all__ = [
    "ApiTokenAdmin",
    "DefinitionAdmin",
    "DeliveryAdmin",
    "FlowAdmin",
    "FlowRecordAdmin",
    "RestatementAdmin",
    "ScheduleEntryAdmin",
    "ScheduleRunAdmin",
    "StockAdmin",
    "StockAndFlowAdminSite",
    "StockRecordAdmin",
    "SweepAdmin",
]
