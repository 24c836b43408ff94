"""What the commands say of a database that isn't migrated: its own error names a table, not what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.apps import apps
from django.db import DatabaseError, connections, models, router
from django.db.migrations.executor import MigrationExecutor

from stockandflow.exceptions import InvalidInput
from stockandflow.registry import Registry

_LACKING = re.compile(
    r"no such (?:table|column)|has no column|does not exist|\((?:1146|1054), ", re.IGNORECASE
)
"""What SQLite, PostgreSQL and MariaDB say where a table or a column isn't there."""


@contextmanager
def told_to_migrate(registry: Registry) -> Iterator[None]:
    """Turn the database's error into one that says to migrate, where that is the cause; no query unless it fails."""
    try:
        yield
    except DatabaseError as error:
        if not _LACKING.search(repr(error)):
            raise
        for using in connections:
            if cure := _cure(registry, using):
                raise InvalidInput(cure) from error
        raise


def check_migrated(registry: Registry, using: str) -> None:
    """Raise InvalidInput where the database lacks a table that capture, recording or the schedule needs."""
    if cure := _cure(registry, using):
        raise InvalidInput(cure)


def _cure(registry: Registry, using: str) -> str:
    """What is lacking in that database and what to do; "" where it is whole, or can't be asked."""
    connection = connections[using]
    needed: list[type[models.Model]] = [
        *apps.get_app_config("stockandflow").get_models(),
        *registry.event_models(),
        *(stock.model for stock in registry.stocks),
    ]
    try:
        with connection.cursor() as cursor:
            there = set(connection.introspection.table_names(cursor, include_views=True))
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return ""
    lacking = {
        (model._meta.app_label, str(model._meta.model_name)): model._meta.db_table
        for model in needed
        if model._meta.managed
        and router.allow_migrate_model(using, model)
        and model._meta.db_table not in there
    }
    mine = {model._meta.app_label for model in needed}
    waiting = [
        f"{migration.app_label}.{migration.name}" for migration, _ in plan if migration.app_label in mine
    ]
    if not lacking and not waiting:
        return ""
    what = (
        f"lacks {_some('table', sorted(set(lacking.values())))}"
        if lacking
        else f"waits for {_some('migration', waiting)}"
    )
    others = f" --database {using}" if using != "default" else ""
    # A model that no migration makes has none yet.
    made = (
        "'manage.py makemigrations' and "
        if lacking.keys() - executor.loader.project_state().models.keys()
        else ""
    )
    return f"The database {using!r} {what}; run {made}'manage.py migrate{others}' first."


def _some(word: str, names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"the {word}{'s' if len(names) > 1 else ''} {', '.join(names[:most])}{more}"
