"""Silence: nobody calls the schedule any more, which nothing but the time that passes can tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import router
from django.db.models import Max

from stockandflow.models import ScheduleEntry
from stockandflow.models.clock import database_now
from stockandflow.periodic.entries import Schedule
from stockandflow.periods import aware

GRACE = timedelta(minutes=5)
"""So late may come what is due."""


@dataclass(frozen=True)
class Silence:
    """Nobody has called the schedule since ``since``, None where nobody ever did."""

    since: datetime | None


def silence(
    schedule: Schedule, *, now: datetime | None = None, using: str | None = None, grace: timedelta = GRACE
) -> Silence | None:
    """Whether a run of the schedule has been due for longer than ``grace``, and nobody looked at any entry.

    None where all is well, and for a schedule whose entries never run. ``now`` is the database's instant unless given.
    One query, and one for the instant.
    """
    using = using or router.db_for_read(ScheduleEntry)
    at = database_now(using) if now is None else aware(now, "now")
    if all(entry.period(at) is None for entry in schedule.entries):
        return None
    seen = ScheduleEntry.objects.using(using).aggregate(seen=Max("seen_at"))["seen"]
    if seen is None:
        return Silence(None)
    ends = [period.end for entry in schedule.entries if (period := entry.period(seen))]
    return Silence(seen) if min(ends) + grace < at else None
