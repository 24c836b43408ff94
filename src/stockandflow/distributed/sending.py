"""Sending: the names of entries that are due, and word of deliveries that were just committed."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from stockandflow import automation
from stockandflow.conf import conf
from stockandflow.distributed.queues import queue
from stockandflow.registry import Registry

logger = logging.getLogger(__name__)

QUIET = timedelta(minutes=1)
"""How long a process that couldn't send word of a commit doesn't try again; the next tick sends it."""

_quiet_until = 0.0


def send_entry(name: str) -> None:
    """Have a worker run that entry; raises whatever the queue does, and InvalidInput when there is none."""
    queue().send_entry(name)


def wake(registry: Registry, using: str) -> None:
    """Have what was just committed delivered: by a worker where the settings name a queue, else here and now.

    Nothing is sent unless a delivery waits. A queue that is away is logged and left alone for the time of ``QUIET``,
    since Celery takes seconds to find that out. One query when there is nothing to deliver.
    """
    global _quiet_until  # noqa: PLW0603 - each process finds out for itself
    if conf().queue is None:
        automation.wake(registry, using)
        return
    if time.monotonic() < _quiet_until or not automation.waiting(registry, using):
        return
    try:
        queue().send_delivery(using)
    except Exception:
        _quiet_until = time.monotonic() + QUIET.total_seconds()
        logger.exception("No worker could be told of a delivery in %r; the next tick sends it.", using)
