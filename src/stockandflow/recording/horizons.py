"""Horizons: before which events were pruned, and from when on days can still be computed from those that are kept."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from stockandflow.periods import Calendar, Grain


def computable_since(calendar: Calendar, horizon: datetime | None) -> datetime | None:
    """The first day that can be computed from events, None where all can: a year that is kept with its first week.

    Which move of a subject is its first in a year, or in a week, is told by all events of it.
    """
    if horizon is None:
        return None
    year = calendar.period(Grain.YEAR, horizon)
    while calendar.period(Grain.WEEK, year.start).start < horizon:
        year = calendar.following(year)
    return year.start


def horizon_at(calendars: Collection[Calendar], at: datetime) -> datetime:
    """The last horizon until ``at`` that leaves every calendar its years from then on whole, with their first week."""
    starts = {calendar: calendar.period(Grain.YEAR, at).start for calendar in calendars}
    return min(calendar.period(Grain.WEEK, start).start for calendar, start in starts.items())
