"""Reports: what a process held, what came, what went, and what nobody can explain."""

from stockandflow.reports.balances import balance, events_of
from stockandflow.reports.results import OTHER, OUTSIDE, Balance, FlowLine, Method, StockBalance

__all__ = ["OTHER", "OUTSIDE", "Balance", "FlowLine", "Method", "StockBalance", "balance", "events_of"]
