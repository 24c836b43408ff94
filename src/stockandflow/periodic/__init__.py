"""The schedule: callables that are called once for every minute, hour, day … that passes.

``periodic.schedule.register(periodic.DAILY, function)`` in a ``stocksandflows`` module, and
``manage.py run_periodic_schedule`` every minute or so.
"""

from __future__ import annotations

from stockandflow.periodic.builtin import built_in
from stockandflow.periodic.cron import Cron
from stockandflow.periodic.entries import LEASE, Entry, Schedule, schedule
from stockandflow.periodic.frequencies import Bounds, Frequency
from stockandflow.periodic.looping import ended_by_signals, loop
from stockandflow.periodic.overview import Gap, Overview, overview
from stockandflow.periodic.pruning import prune_runs
from stockandflow.periodic.running import Look, Outcome, Result, State, look, run, run_period
from stockandflow.periodic.silence import GRACE, Silence, silence

NEVER = Frequency.NEVER
MINUTELY = Frequency.MINUTELY
TWELVE_MINUTELY = Frequency.TWELVE_MINUTELY
HOURLY = Frequency.HOURLY
DAILY = Frequency.DAILY
WEEKLY = Frequency.WEEKLY
TWO_WEEKLY = Frequency.TWO_WEEKLY
FOUR_WEEKLY = Frequency.FOUR_WEEKLY
MONTHLY = Frequency.MONTHLY
QUARTERLY = Frequency.QUARTERLY
YEARLY = Frequency.YEARLY

__all__ = [
    "DAILY",
    "FOUR_WEEKLY",
    "GRACE",
    "HOURLY",
    "LEASE",
    "MINUTELY",
    "MONTHLY",
    "NEVER",
    "QUARTERLY",
    "TWELVE_MINUTELY",
    "TWO_WEEKLY",
    "WEEKLY",
    "YEARLY",
    "Bounds",
    "Cron",
    "Entry",
    "Frequency",
    "Gap",
    "Look",
    "Outcome",
    "Overview",
    "Result",
    "Schedule",
    "Silence",
    "State",
    "built_in",
    "ended_by_signals",
    "look",
    "loop",
    "overview",
    "prune_runs",
    "run",
    "run_period",
    "schedule",
    "silence",
]
