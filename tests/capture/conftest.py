"""Declarations of a test's own, captured as the project's are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from stockandflow import capture
from stockandflow.declarations import Flow, ModelTracker, Process, Stock
from stockandflow.registry import registry
from tests.shared import empty

Declare = Callable[..., None]


@contextmanager
def declared(*declarations: Stock | Flow | ModelTracker | Process) -> Iterator[None]:
    """Have the project's registry hold these too, with their capture in place; all is as before afterwards.

    Where a test really commits: MariaDB does so anyhow when triggers come and go.
    """
    trackers = [given for given in declarations if isinstance(given, ModelTracker)]
    by_triggers = any(capture.method_for(tracker, connection).by_triggers for tracker in trackers)
    try:
        with registry.set_aside(copy=True):
            registry.register(*declarations)
            if by_triggers:
                capture.install(registry, "default")
            yield
    finally:
        if by_triggers:
            capture.install(registry, "default")


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A database in which the test really commits, as pytest-django's, but emptied in a tenth of its time."""
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            empty()


@contextmanager
def refusing(table: str) -> Iterator[None]:
    """Every row for that table is refused. SQLite's triggers follow a table that is renamed."""
    if connection.vendor == "sqlite":
        raising = "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        there, back = f"CREATE TRIGGER refusal BEFORE INSERT ON {table} {raising}", "DROP TRIGGER refusal"
    else:
        there, back = (
            f"ALTER TABLE {a} RENAME TO {b}" for a, b in ((table, "elsewhere"), ("elsewhere", table))
        )
    with connection.cursor() as cursor:
        cursor.execute(there)
        try:
            yield
        finally:
            cursor.execute(back)


@pytest.fixture
def declare(transactional_db: None) -> Iterator[Declare]:
    """Declare something until the end of the test."""
    with ExitStack() as stack:

        def now(*declarations: Stock | Flow | ModelTracker | Process) -> None:
            stack.enter_context(declared(*declarations))

        yield now
