"""Automation: what happens by itself when objects flow, or have stood in a stock for long."""

from stockandflow.automation.decay import Decay
from stockandflow.automation.delivering import (
    FIRST_RETRY,
    LEASE,
    LIMIT,
    MAX_ATTEMPTS,
    WAKE_LIMIT,
    Delivered,
    connect,
    deliver,
    delivery_databases,
    disconnect,
    replay,
    waiting,
    wake,
)
from stockandflow.automation.pruning import prune_deliveries

__all__ = [
    "FIRST_RETRY",
    "LEASE",
    "LIMIT",
    "MAX_ATTEMPTS",
    "WAKE_LIMIT",
    "Decay",
    "Delivered",
    "connect",
    "deliver",
    "delivery_databases",
    "disconnect",
    "prune_deliveries",
    "replay",
    "waiting",
    "wake",
]
