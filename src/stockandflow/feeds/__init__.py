"""Numbers for screens of others: metrics for Prometheus, lines for wallboards, what a dashboard of the admin shows."""

from __future__ import annotations

from stockandflow.feeds.dashboard import Card, Dashboard, dashboard

__all__ = ["Card", "Dashboard", "dashboard"]
