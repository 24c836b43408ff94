"""What a worker does for a message: run one entry of the schedule, or deliver what one database holds."""

from __future__ import annotations

import logging

from django.db import connections

from stockandflow import automation
from stockandflow.exceptions import InvalidInput
from stockandflow.periodic import run, schedule
from stockandflow.registry import registry

logger = logging.getLogger(__name__)


def run_entry(name: str) -> str:
    """Run what is due of the entry of that name; says how it ended, and raises nothing when it failed.

    A message for an entry that isn't there, from another release, is logged and dropped.
    """
    try:
        schedule.entry(name)
    except InvalidInput as error:
        logger.warning("A message for an entry of the schedule is dropped: %s", error)
        return "dropped"
    results = run(schedule, only=[name]).results
    return "; ".join(
        f"{result.state}: {result.message}" if result.message else result.state for result in results
    )


def deliver(using: str) -> str:
    """Deliver what is due in the database of that alias; says how much.

    A message for a database that isn't there, from another release, is logged and dropped.
    """
    if using not in connections:
        logger.warning("A message to deliver what the database %r holds is dropped: there is none.", using)
        return "dropped"
    return str(automation.deliver(registry, using=using))
