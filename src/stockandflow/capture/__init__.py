"""Capture: every move of an object becomes one flow event, written where the change is written."""

from __future__ import annotations

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
from stockandflow.capture.methods import Method, blind_spots, database_of, method_for, unhooked
from stockandflow.capture.migrating import after_migrate, before_migrate
from stockandflow.capture.signals import connect, disconnect
from stockandflow.capture.sweep import Swept, open_trackers, repair

__all__ = [
    "Method",
    "Strangers",
    "Swept",
    "TrackerStatus",
    "after_migrate",
    "before_migrate",
    "blind_spots",
    "connect",
    "database_of",
    "databases",
    "disconnect",
    "install",
    "method_for",
    "open_trackers",
    "repair",
    "status",
    "strangers",
    "suspended",
    "unhooked",
    "uninstall",
]
