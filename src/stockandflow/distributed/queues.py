"""The queues that carry the messages: the one that the settings name."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from stockandflow.conf import conf, why_no_queue
from stockandflow.exceptions import InvalidInput

MODULES = {
    "celery": "stockandflow.distributed.celery",
    "tasks": "stockandflow.distributed.tasks",
}


class Queue(Protocol):
    """What a queue's module offers: each sends one message, and raises whatever the queue does."""

    def send_entry(self, name: str) -> None:
        """Have a worker run the entry of that name."""

    def send_delivery(self, using: str) -> None:
        """Have a worker deliver what the database of that alias holds."""


def queue() -> Queue:
    """The queue that the setting ``QUEUE`` names; raises InvalidInput when there is none."""
    name = conf().queue
    if name is None:
        raise InvalidInput("STOCKANDFLOW has no 'QUEUE' to send to; set it to 'celery' or 'tasks'.")
    if wrong := why_no_queue(name):
        raise InvalidInput(f"STOCKANDFLOW['QUEUE'] can't be used. {' '.join(wrong)}")
    return cast(Queue, import_module(MODULES[name]))


def connect() -> None:
    """Make the tasks known to Celery where it is the queue; ``django.tasks`` finds its own by their paths."""
    if conf().queue == "celery" and not why_no_queue("celery"):
        queue()
