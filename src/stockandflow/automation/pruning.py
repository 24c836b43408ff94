"""Deleting deliveries that were done long ago, so that the outbox doesn't grow for ever."""

from __future__ import annotations

from datetime import datetime, timedelta

from stockandflow.automation.delivering import delivery_databases
from stockandflow.models import Delivery
from stockandflow.models.clock import database_now
from stockandflow.periods import aware
from stockandflow.registry import Registry

BATCH = 1000


def prune_deliveries(registry: Registry, age: timedelta, *, now: datetime | None = None) -> int:
    """Delete the deliveries that were done longer ago than ``age``, in batches; how many they were.

    Dead ones stay until somebody has looked at them. ``now`` is each database's instant unless given.
    """
    number = 0
    for using in delivery_databases(registry):
        before = (database_now(using) if now is None else aware(now, "now")) - age
        done = Delivery.objects.using(using).filter(
            status=Delivery.Status.DONE, due_at__lt=before, finished_at__lt=before
        )
        while keys := list(done.order_by("due_at").values_list("pk", flat=True)[:BATCH]):
            number += Delivery.objects.using(using).filter(pk__in=keys).delete()[0]
    return number
