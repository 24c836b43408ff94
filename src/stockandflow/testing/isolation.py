"""Declaring in a test what nothing else shall see."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connections

from stockandflow.capture import database_of, install
from stockandflow.declarations import ModelTracker
from stockandflow.exceptions import InvalidInput
from stockandflow.periodic import built_in, schedule
from stockandflow.registry import Registry, registry


@contextmanager
def isolated_registry(*, copy: bool = False, databases: Collection[str] = ()) -> Iterator[Registry]:
    """Have the project's registry empty inside; a context manager and a decorator. All is as before afterwards.

    With ``copy`` it starts with what the project declares. The schedule is the project's with ``copy``, else it has
    the package's own entries alone. What is registered inside is captured by signals where triggers don't serve
    it.

    ``databases`` are aliases whose triggers follow the registry: those of the project are taken out, what is registered
    inside is captured, and the project's are put back. Without it no database is asked or changed, so that the block
    may stand in a SimpleTestCase, and the project's triggers go on writing events. MariaDB commits when triggers
    change: inside a transaction, as a TestCase is one, InvalidInput is raised instead.
    """
    if isinstance(databases, str) or (strange := [alias for alias in databases if alias not in connections]):
        wrong = databases if isinstance(databases, str) else strange[0]
        raise InvalidInput(
            f"isolated_registry() got the database {wrong!r}; write a list of aliases, some of "
            f"{', '.join(map(repr, connections))}."
        )

    def capture(tracker: ModelTracker) -> None:
        if (alias := database_of(tracker)) in databases:
            _install(alias)

    failed = True
    try:
        with registry.set_aside(copy=copy), schedule.set_aside(copy=copy):
            if not copy:
                built_in(schedule, registry)
            for alias in databases:
                _install(alias)
            registry.on_tracker(capture)
            yield registry
            failed = False
    finally:
        for alias in databases:
            try:
                _install(alias)
            except DatabaseError:
                # A transaction that can't go on is rolled back, and the triggers with it.
                connection = connections[alias]
                if not failed or not connection.in_atomic_block or not connection.features.can_rollback_ddl:
                    raise


def _install(using: str) -> None:
    connection = connections[using]
    if connection.vendor == "postgresql" and connection.in_atomic_block:
        connection.check_constraints()  # it refuses to drop a trigger while a deferred constraint waits for its table
    install(registry, using)
