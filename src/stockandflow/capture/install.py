"""Putting triggers into a database, taking them out, and telling what is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper

from stockandflow.capture.methods import Method, database_of, method_for
from stockandflow.capture.triggers import PREFIX, Trigger, compile_triggers
from stockandflow.declarations import ModelTracker
from stockandflow.models import Delivery
from stockandflow.registry import Registry

INSTALLED = {
    "sqlite": "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s",
    "postgresql": (
        "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid) AND t.tgname LIKE %s"
    ),
    "mysql": (
        "SELECT trigger_name, event_object_table FROM information_schema.triggers "
        "WHERE trigger_schema = DATABASE() AND trigger_name LIKE %s"
    ),
}


@dataclass(frozen=True)
class TrackerStatus:
    """What a database has of a tracker's triggers, by name; ``missing`` is () for other methods."""

    tracker: ModelTracker
    using: str
    method: Method
    installed: tuple[str, ...]
    missing: tuple[str, ...]


def databases(registry: Registry) -> list[str]:
    """The aliases of the databases that hold subjects of the registry's trackers, each once."""
    return list(dict.fromkeys(database_of(tracker) for tracker in registry.trackers))


def _trackers_on(registry: Registry, connection: BaseDatabaseWrapper) -> Iterator[ModelTracker]:
    """The trackers whose tables stand in that database."""
    tables: set[str] | None = None
    for tracker in registry.trackers:
        if database_of(tracker) != connection.alias:
            continue
        needed: list[type[models.Model]] = [tracker.model, tracker.events]
        if any(flow.event_callables for flow in tracker.flows):
            needed.append(Delivery)
        if not all(router.allow_migrate_model(connection.alias, model) for model in needed):
            continue
        if tables is None:
            with connection.cursor() as cursor:
                tables = set(connection.introspection.table_names(cursor))
        if all(model._meta.db_table in tables for model in needed):
            yield tracker


def _wanted(registry: Registry, connection: BaseDatabaseWrapper) -> dict[str, Trigger]:
    return {
        trigger.name: trigger
        for tracker in _trackers_on(registry, connection)
        if method_for(tracker, connection).kind == "triggers"
        for trigger in compile_triggers(tracker, connection)
    }


def installed(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """The names of this package's triggers in a database → the table that each is on. One query."""
    if connection.vendor not in INSTALLED:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(INSTALLED[connection.vendor], [PREFIX.replace("_", r"\_") + "%" if connection.vendor != "sqlite"
                                                      else f"{PREFIX}%"])
        return {name: table for name, table in cursor.fetchall() if name.startswith(PREFIX)}


def install(registry: Registry, using: str) -> list[str]:
    """Bring the triggers of a database in line with the registry; the names of those made now.

    Right triggers stay, stale ones and those of trackers that are gone are dropped. Trackers whose tables aren't
    there yet are left out.
    """
    connection = connections[using]
    if connection.vendor not in INSTALLED:
        return []
    wanted, there = _wanted(registry, connection), installed(connection)
    _drop(connection, {name: table for name, table in there.items() if name not in wanted})
    made = [trigger for name, trigger in wanted.items() if name not in there]
    with connection.cursor() as cursor:
        for trigger in made:
            for statement in trigger.sql:
                cursor.execute(statement)  # no params, so no % is read
    return [trigger.name for trigger in made]


def uninstall(using: str) -> list[str]:
    """Take all of this package's triggers out of a database; their names."""
    connection = connections[using]
    there = installed(connection)
    _drop(connection, there)
    return sorted(there)


def _drop(connection: BaseDatabaseWrapper, there: dict[str, str]) -> None:
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        for name, table in there.items():
            if connection.vendor == "postgresql":
                cursor.execute(f"DROP TRIGGER IF EXISTS {quote(name)} ON {quote(table)}")
                cursor.execute(f"DROP FUNCTION IF EXISTS {quote(name)}()")
            else:
                cursor.execute(f"DROP TRIGGER IF EXISTS {quote(name)}")


@contextmanager
def suspended(registry: Registry, using: str) -> Iterator[None]:
    """Take the triggers down inside and put them back after, whatever happens.

    What is written inside leaves no events: use it to load history whose events are imported too. Anything else shows
    as *unexplained*. Other writers of the database aren't captured meanwhile either.
    """
    uninstall(using)
    try:
        yield
    finally:
        install(registry, using)


def status(registry: Registry, using: str) -> list[TrackerStatus]:
    """What that database has of every tracker that stands in it. Two queries, and those of the quoting on SQLite."""
    connection = connections[using]
    there = installed(connection)
    found = []
    for tracker in _trackers_on(registry, connection):
        method = method_for(tracker, connection)
        wanted = [trigger.name for trigger in compile_triggers(tracker, connection)] if method.kind == "triggers" else []
        found.append(
            TrackerStatus(
                tracker=tracker,
                using=using,
                method=method,
                installed=tuple(name for name in wanted if name in there),
                missing=tuple(name for name in wanted if name not in there),
            )
        )
    return found


# Migrations: triggers on a table hinder its change, and SQLite's rebuild drops them silently, so they are taken down
# before and made anew after.


def before_migrate(registry: Registry, using: str, plan: list[Any]) -> None:
    """Take the triggers down when the migration has something to do."""
    if plan:
        uninstall(using)


def after_migrate(registry: Registry, using: str, flushed: bool) -> None:
    """Put the triggers in place, and after a flush empty what they wrote while the subjects' tables were emptied."""
    if flushed:
        _forget(registry, using)
    install(registry, using)


def _forget(registry: Registry, using: str) -> None:
    connection = connections[using]
    if connection.vendor == "postgresql":
        return  # one TRUNCATE empties all tables at once; the others have a DELETE for each, which triggers see
    trackers = list(_trackers_on(registry, connection))
    for model in {tracker.events for tracker in trackers}:
        model._base_manager.using(using)._raw_delete(using)  # type: ignore[attr-defined]
    if any(flow.event_callables for tracker in trackers for flow in tracker.flows):
        Delivery._base_manager.using(using)._raw_delete(using)  # type: ignore[attr-defined]
