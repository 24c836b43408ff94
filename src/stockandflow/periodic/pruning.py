"""Deleting old runs, so that the schedule's memory doesn't grow for ever, and noting since when they are kept."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import router, transaction
from django.db.models import Q

from stockandflow.models import ScheduleEntry, ScheduleRun
from stockandflow.models.clock import database_now
from stockandflow.periods import aware


def prune_runs(age: timedelta, *, now: datetime | None = None, using: str | None = None) -> int:
    """Delete the runs whose periods ended longer ago than ``age``; how many they were.

    The run for an entry's latest period always stays, and so does everything later. The entry remembers from when on
    its runs are kept: a runner whose clock is behind that finds nothing due. ``now`` is the database's instant unless
    given. Three queries for each entry.
    """
    using = using or router.db_for_write(ScheduleRun)
    entries = ScheduleEntry.objects.using(using)
    before = (database_now(using) if now is None else aware(now, "now")) - age
    number = 0
    for entry in entries.exclude(high_water=None):
        since = min(before, entry.high_water or before)
        # The entry's row is locked first, as by whoever claims a period.
        with transaction.atomic(using=using):
            earlier = Q(kept_since=None) | Q(kept_since__lt=since)
            entries.filter(earlier, pk=entry.pk).update(kept_since=since)
            old = entry.runs.using(using).filter(period_end__lte=since)
            number += old.exclude(status=ScheduleRun.Status.RUNNING).delete()[0]
    return number
