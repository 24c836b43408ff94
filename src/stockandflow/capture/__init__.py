"""Capture: every move of an object becomes one flow event, written where the change is written."""

from __future__ import annotations

from stockandflow.capture.auditing import Audit, Between, MissingMove, Named, Placed, Skipped, audit
from stockandflow.capture.install import (
    Strangers,
    TrackerStatus,
    databases,
    install,
    status,
    strangers,
    suspended,
    uninstall,
)
from stockandflow.capture.methods import Method, blind_spots, cures, database_of, method_for, unhooked
from stockandflow.capture.migrating import after_migrate, before_migrate, bring_in_line
from stockandflow.capture.signals import connect, disconnect
from stockandflow.capture.sweep import Swept, open_trackers, repair, repair_due

__all__ = [
    "Audit",
    "Between",
    "Method",
    "MissingMove",
    "Named",
    "Placed",
    "Skipped",
    "Strangers",
    "Swept",
    "TrackerStatus",
    "after_migrate",
    "audit",
    "before_migrate",
    "blind_spots",
    "bring_in_line",
    "connect",
    "cures",
    "database_of",
    "databases",
    "disconnect",
    "install",
    "method_for",
    "open_trackers",
    "repair",
    "repair_due",
    "status",
    "strangers",
    "suspended",
    "unhooked",
    "uninstall",
]
