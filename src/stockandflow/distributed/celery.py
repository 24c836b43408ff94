"""Celery's tasks. They belong to whichever app the project has, under names that stay.

No task keeps a result. Messages are acknowledged before they are acted upon, whatever the app's default: the row of a
killed worker is taken over after its lease, when the tick sends a new message. An old one that came back at once
would find the row held, and one that kills its worker would do so for ever.
"""

from __future__ import annotations

from celery import shared_task

from stockandflow.distributed import jobs
from stockandflow.periodic import State, run, schedule


def send_entry(name: str) -> None:
    """Have a worker run the entry of that name; raises OperationalError where the broker is away."""
    run_entry.apply_async((name,), retry=False)


def send_delivery(using: str) -> None:
    """Have a worker deliver what the database of that alias holds; raises OperationalError as above."""
    deliver.apply_async((using,), retry=False)


def _tick() -> str:
    """Send the name of every entry that is due, and that nobody is at; says how many."""
    states = [result.state for result in run(schedule, send=send_entry).results]
    return f"{states.count(State.SENT)} sent, {states.count(State.FAILED)} failed"


tick = shared_task(_tick, name="stockandflow.tick", ignore_result=True, acks_late=False)
run_entry = shared_task(jobs.run_entry, name="stockandflow.run_entry", ignore_result=True, acks_late=False)
deliver = shared_task(jobs.deliver, name="stockandflow.deliver", ignore_result=True, acks_late=False)
