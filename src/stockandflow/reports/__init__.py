"""Reports: what a process held, what came, what went, and what nobody can explain."""

from stockandflow.reports.balances import (
    OTHER,
    OUTSIDE,
    Balance,
    FlowLine,
    Method,
    StockBalance,
    balance,
    events_of,
)

__all__ = ["OTHER", "OUTSIDE", "Balance", "FlowLine", "Method", "StockBalance", "balance", "events_of"]
