"""The tasks of ``django.tasks``, on the backend that the project calls default. Their paths are stored, and stay."""

from __future__ import annotations

try:
    from django.tasks import task
except ImportError:
    from django_tasks import task  # type: ignore[no-redef]

from stockandflow.distributed import jobs


@task
def run_entry(name: str) -> str:
    """Run what is due of the entry of that name; see ``jobs.run_entry``."""
    return jobs.run_entry(name)


@task
def deliver(using: str) -> str:
    """Deliver what the database of that alias holds; see ``jobs.deliver``."""
    return jobs.deliver(using)


def send_entry(name: str) -> None:
    """Have a worker run the entry of that name."""
    run_entry.enqueue(name)


def send_delivery(using: str) -> None:
    """Have a worker deliver what the database of that alias holds."""
    deliver.enqueue(using)
