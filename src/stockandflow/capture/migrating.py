"""Triggers over migrations: taken down where an operation can't do with them, and put back before anybody can write.

On PostgreSQL and SQLite both happen within the migration's own transaction. It keeps writers out from the first to the
last, so that no move goes unseen, and brings the triggers back by itself should the migration fail. MariaDB has no such
transactions, nor has a migration with ``atomic = False``; but on MariaDB few operations are in the way.
"""

from __future__ import annotations

import atexit
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

from django.apps import apps
from django.db import DatabaseError, connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import operations as ops
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation, ModelOperation

from stockandflow.capture.install import INSTALLED, catch_up, drop, install, installed, own, trackers_on
from stockandflow.capture.methods import method_for
from stockandflow.capture.readiness import named_columns, related_apps
from stockandflow.capture.sweep import opened, sweep
from stockandflow.capture.triggers import PREFIX, prefix_of
from stockandflow.declarations import ModelTracker
from stockandflow.models import Delivery, FlowRecord, Origin, StockRecord
from stockandflow.models.clock import SETTLING, DatabaseNow
from stockandflow.registry import Registry

logger = logging.getLogger(__name__)

TEXTS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s",
    "postgresql": (
        "SELECT t.tgname, p.prosrc FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "JOIN pg_proc p ON p.oid = t.tgfoid "
        "WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid) AND t.tgname LIKE %s"
    ),
    "mysql": (
        "SELECT trigger_name, action_statement FROM information_schema.triggers "
        "WHERE trigger_schema = DATABASE() AND trigger_name LIKE %s"
    ),
}
WITHOUT_HARM = (
    ops.AddIndex,
    ops.AlterModelManagers,
    ops.AlterModelOptions,
    ops.AlterModelTableComment,
    ops.CreateModel,
    ops.RemoveIndex,
    ops.RenameIndex,
    ops.RunPython,
)
NAMING = (ops.AlterModelTable, ops.DeleteModel, ops.RenameModel)

Hindrance = Literal["", "rebuilt", "changed"]
"""What an operation does to what triggers name: nothing that matters; SQLite makes the table anew, as it was but for
columns that they don't name; or they would fail, or hinder it."""


def before_migrate(registry: Registry, using: str, plan: list[Any], before: Any = apps) -> None:
    """Have the migrations take down the triggers that are in their way, and put them back; two operations for each.

    Those of trackers that are gone are taken down at once, lest their tables can't go. ``before`` are the apps as the
    database has them, with the models that are about to go.
    """
    connection = connections[using]
    if not plan or connection.vendor not in INSTALLED:
        return
    former = frozenset(model._meta.db_table for model in before.get_models(include_auto_created=True))
    there = own(connection, former)
    known = tuple(map(prefix_of, registry.trackers))
    drop(connection, {name: at for name, at in there.items() if not name.startswith(known)})
    if not any(name.startswith(known) for name in there):
        return
    for index, (migration, _) in enumerate(plan):
        if all(isinstance(step, WITHOUT_HARM) for step in _steps(migration.operations)):
            continue
        passage = _Passage(registry, migration, [later for later, _ in plan[index + 1 :]], former)
        migration.operations = [_Edge(passage, "first"), *migration.operations, _Edge(passage, "last")]


def _steps(operations: Sequence[Operation]) -> Iterator[Operation]:
    """The operations that work on the database, one after the other."""
    for operation in operations:
        if isinstance(operation, ops.SeparateDatabaseAndState):
            yield from _steps(operation.database_operations)
        elif not isinstance(operation, _Edge):
            yield operation


class _Edge(Operation):
    """The first or the last of a migration's operations: nothing but triggers goes or comes."""

    reduces_to_sql = False

    def __init__(self, passage: _Passage, end: Literal["first", "last"]) -> None:
        self.passage, self.end = passage, end

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Triggers are no part of the models' state."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._pass(schema_editor, from_state, entering=self.end == "first")

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._pass(schema_editor, from_state, entering=self.end == "last")

    def _pass(self, schema_editor: Any, state: Any, *, entering: bool) -> None:
        if entering:
            self.passage.take_down(schema_editor.connection, state)
        else:
            self.passage.put_back(schema_editor.connection)

    def describe(self) -> str:
        return f"Triggers of stocks and flows ({self.end})"


@dataclass
class _Passage:
    """One migration on its way, with those that follow it and the tables that were the project's before them all.

    ``taken`` are the trackers whose triggers are down for it, with what makes them anew: their SQL of before where only
    a table was made anew, () where they must be compiled.
    """

    registry: Registry
    migration: Any
    later: list[Any]
    former: frozenset[str]
    taken: list[tuple[ModelTracker, tuple[str, ...]]] = field(default_factory=list)

    def take_down(self, connection: BaseDatabaseWrapper, state: Any) -> None:
        _begin_as_writer(connection, "django_migrations")
        there = own(connection, self.former)
        texts = _texts(connection)
        gone: dict[str, str] = {}
        for tracker in self.registry.trackers:
            mine = {name: table for name, table in there.items() if name.startswith(prefix_of(tracker))}
            if not mine:
                continue
            sql = tuple(texts[name] for name in mine)
            standing = _Triggers(tracker, connection.vendor, frozenset(mine.values()), "\n".join(sql))
            label = self.migration.app_label
            found = {standing.hindered_by(step, label, state) for step in _steps(self.migration.operations)}
            if found - {""}:
                self.taken.append((tracker, () if "changed" in found else sql))
                gone |= mine
        if gone and not connection.in_atomic_block:
            _put_back_at_exit(connection.alias, self.registry)
        drop(connection, gone)

    def put_back(self, connection: BaseDatabaseWrapper) -> None:
        """Make anew what was taken down. What a later migration of the plan has to bring first waits for that.

        What the migration itself has moved meanwhile is swept at once, while writers are still kept out.
        """
        moving = any(
            isinstance(step, ops.RunPython | ops.RunSQL) for step in _steps(self.migration.operations)
        )
        for tracker, sql in self.taken:
            if not self._made_anew(connection, tracker, sql):
                _put_back_at_exit(connection.alias, self.registry)
            elif not connection.in_atomic_block:
                _unseen.setdefault(connection.alias, []).append(tracker)
            elif moving:
                _sweep([tracker], connection.alias)
            elif not sql:
                _unseen.setdefault(connection.alias, []).append(tracker)  # its stocks may be others now
        self.taken.clear()

    def _made_anew(
        self, connection: BaseDatabaseWrapper, tracker: ModelTracker, sql: tuple[str, ...]
    ) -> bool:
        if not sql and any(_brings(later, tracker) for later in self.later):
            return False
        try:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                for statement in sql:
                    cursor.execute(statement)
                if sql and method_for(tracker, connection).kind == "related triggers":
                    catch_up([tracker], connection)
            if not sql:
                install(self.registry, connection.alias, only=[tracker])
        except DatabaseError:
            logger.exception(
                "The triggers of the tracker %r stay down until migrate has ended.", tracker.slug
            )
            return False
        return any(name.startswith(prefix_of(tracker)) for name in installed(connection))


@dataclass(frozen=True)
class _Triggers:
    """What stands in the database for one tracker: the tables that its triggers are on, and their text."""

    tracker: ModelTracker
    vendor: str
    tables: frozenset[str]
    text: str

    def name(self, *names: str | None) -> bool:
        """Whether they name any of these tables or columns. A word that only looks so counts, which does no harm."""
        return any(
            name in self.tables or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", self.text) is not None
            for name in names
            if name
        )

    def hindered_by(self, step: Operation, app_label: str, state: Any) -> Hindrance:
        """What an operation does to them; ``state`` is the models' before the migration."""
        if isinstance(step, WITHOUT_HARM):
            return ""
        if isinstance(step, ops.RunSQL):
            words = set(re.findall(r"\w+", str((step.sql, step.reverse_sql))))
            tables = {model._meta.db_table for model, _ in named_columns(self.tracker)} | self.tables
            return "changed" if words & tables else ""
        if isinstance(step, FieldOperation):
            return self._by_field(step, app_label, state)
        if isinstance(step, NAMING):
            if self.name(*(_table(state, app_label, name) for name in _names(step))):
                return "changed"
            return "rebuilt" if self.vendor == "sqlite" and isinstance(step, ops.RenameModel) else ""
        if isinstance(step, ModelOperation | IndexOperation):
            name = step.model_name_lower if isinstance(step, IndexOperation) else step.name_lower
            return "rebuilt" if self.vendor == "sqlite" and self.name(_table(state, app_label, name)) else ""
        return "changed" if app_label in related_apps(self.tracker) else ""

    def _by_field(self, step: FieldOperation, app_label: str, state: Any) -> Hindrance:
        model = _model(state, app_label, step.model_name_lower)
        found: list[Any] = (
            [field for field in model._meta.get_fields() if field.name in _names(step)] if model else []
        )
        altered = step.field if isinstance(step, ops.AlterField) else None
        if altered and any(field.primary_key for field in found) and self._refer_to(app_label, step):
            return "changed"  # what refers to it is altered as well
        if not self.name(_table(state, app_label, step.model_name_lower)):
            return ""
        # MariaDB reads a trigger's text anew whenever a table has changed, so only a column's name matters.
        renamed = altered is not None and any(field.db_column != altered.db_column for field in found)
        matters = not isinstance(step, ops.AddField) and (
            altered is None or renamed or self.vendor != "mysql"
        )
        if matters and self.name(*(field.column for field in found)):
            return "changed"
        return "rebuilt" if self.vendor == "sqlite" else ""

    def _refer_to(self, app_label: str, step: FieldOperation) -> bool:
        models_named = {model for model, _ in named_columns(self.tracker)}
        related: set[Any] = {field.related_model for model in models_named for field in model._meta.fields}
        return any(
            (model._meta.app_label, model._meta.model_name) == (app_label, step.model_name_lower)
            for model in models_named | related - {None}
        )


def _model(state: Any, app_label: str, name: str) -> Any:
    return state.apps.get_model(app_label, name) if (app_label, name) in state.models else None


def _table(state: Any, app_label: str, name: str) -> str | None:
    model = _model(state, app_label, name)
    return None if model is None else model._meta.db_table


def _names(step: Any) -> set[str]:
    """What the field or the model is called that an operation is about; two names where it is called anew."""
    if isinstance(step, FieldOperation):
        return {step.name, getattr(step, "old_name", step.name), getattr(step, "new_name", step.name)}
    return {step.name_lower, getattr(step, "new_name_lower", step.name_lower)}


def _brings(migration: Any, tracker: ModelTracker) -> bool:
    """Whether a migration to come changes what the tracker's triggers name, as the models have it in the end."""
    tables = {(model._meta.app_label, model._meta.model_name) for model, _ in named_columns(tracker)}
    names = {
        (model._meta.app_label, model._meta.model_name, field.name)
        for model, column in named_columns(tracker)
        for field in model._meta.concrete_fields
        if field.column == column
    }
    label = migration.app_label
    return any(
        bool(names & {(label, step.model_name_lower, name) for name in _names(step)})
        if isinstance(step, FieldOperation)
        else isinstance(step, NAMING) and bool(tables & {(label, name) for name in _names(step)})
        for step in _steps(migration.operations)
    )


def _texts(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """The names of this package's triggers → the SQL that they run; on SQLite the statement that makes them."""
    with connection.cursor() as cursor:
        cursor.execute(TEXTS[connection.vendor], [f"{PREFIX}%"])
        return dict(cursor.fetchall())


def after_migrate(registry: Registry, using: str, flushed: bool) -> None:
    """Put the triggers in place, and sweep the trackers that have been without for a while, or with others.

    Where the database can, that is one transaction for those without, which keeps writers out. After a flush what the
    triggers wrote while the subjects' tables were emptied is emptied too.
    """
    if flushed:
        _forget(registry, using)
    connection = connections[using]
    there = own(connection)
    down = [
        tracker
        for tracker in trackers_on(registry, connection)
        if not any(name.startswith(prefix_of(tracker)) for name in there)
        and method_for(tracker, connection).kind == "triggers"
    ]
    with transaction.atomic(using=using) if down and connection.features.can_rollback_ddl else nullcontext():
        if down:
            _begin_as_writer(connection, down[0].events._meta.db_table)
        made = install(registry, using)
        _sweep([*_unseen.pop(using, []), *down], using)
    _sweep([tracker for tracker in _renewed(registry, using, made) if tracker not in down], using)
    _down.pop(using, None)


def bring_in_line(registry: Registry, using: str) -> list[str]:
    """Install the triggers, and sweep the trackers of which some were made; the names of those made."""
    made = install(registry, using)
    _sweep(_renewed(registry, using, made), using)
    return made


def _renewed(registry: Registry, using: str, made: Iterable[str]) -> list[ModelTracker]:
    """The trackers by triggers of which some were made now: their stocks may be others than they were.

    A subject whose stock is new to the tracker would leave it without having come. Related triggers see to it
    themselves. Two queries where there are any.
    """
    made = tuple(made)
    return [
        tracker
        for tracker in (trackers_on(registry, connections[using]) if made else ())
        if any(name.startswith(prefix_of(tracker)) for name in made)
        and method_for(tracker, connections[using]).kind == "triggers"
    ]


def _begin_as_writer(connection: BaseDatabaseWrapper, table: str) -> None:
    """On SQLite, a transaction that begins as a reader is refused to write once somebody else has written."""
    if connection.vendor == "sqlite" and connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)} WHERE 1 = 0")


def _sweep(trackers: list[ModelTracker], using: str) -> None:
    """Write the moves that went unseen; those of trackers that aren't opened yet are nobody's loss.

    An error is logged and the migration goes on: the next sweep finds the same.
    """
    known = (opened(using) if trackers else None) or set()
    for tracker in trackers:
        if tracker.slug not in known:
            continue
        try:
            with transaction.atomic(using=using) if connections[using].in_atomic_block else nullcontext():
                found = sweep(tracker, using).found
        except DatabaseError:
            logger.exception(
                "The tracker %r could not be swept; 'manage.py stockandflow sweep' does it.", tracker.slug
            )
        else:
            if found:
                logger.info(
                    "%d moves of the tracker %r went unseen while it was migrated.", found, tracker.slug
                )


_unseen: dict[str, list[ModelTracker]] = {}
"""Alias → trackers whose triggers were down while others could write."""
_down: dict[str, Registry] = {}
"""Alias → registry, of databases in which a migration has left triggers down, which it can't take back."""


def _put_back_at_exit(using: str, registry: Registry) -> None:
    if not _down:
        atexit.register(_put_back)
    _down[using] = registry


def _put_back() -> None:
    """A migration that failed ends the process without a word to us: put back what can be put back."""
    for using, registry in _down.items():
        try:
            install(registry, using)
        except DatabaseError:
            logger.exception(
                "The triggers of the database %r could not be put back; run 'migrate' again.", using
            )
        finally:
            connections[using].close()


def _forget(registry: Registry, using: str) -> None:
    """Empty what the triggers wrote while a flush emptied the subjects' tables.

    Projects send post_migrate themselves too, to have permissions made, so it proves no flush. After one there is no
    record and no subject, and the events are departures alone; whatever else there is, is history and stays. Where
    stocks depend on related rows, whose tables are emptied one after the other, subjects have moved to and fro
    meanwhile: then no related row is left either, and the events are of this very hour.
    """
    connection = connections[using]
    if connection.vendor == "postgresql":
        return  # one TRUNCATE empties all tables at once; the others have a DELETE for each, which triggers see
    trackers = list(trackers_on(registry, connection))
    emptied: list[type[models.Model]] = [StockRecord, FlowRecord, *(tracker.model for tracker in trackers)]
    if any(_rows(model, using).exists() for model in emptied if _stands_on(model, connection)):
        return
    for events in {tracker.events for tracker in trackers}:
        rows = _rows(events, using)
        written = models.Q(sink="", origin=Origin.LIVE)
        if _related_rows_are_gone([tracker for tracker in trackers if tracker.events is events], using):
            written |= models.Q(origin=Origin.LIVE, recorded_at__gt=DatabaseNow() - SETTLING)
        if rows.exists() and not rows.exclude(written).exists():
            rows._raw_delete(using)  # quicker than collecting
            if _stands_on(Delivery, connection):
                _rows(Delivery, using).filter(event_model=events._meta.label_lower).delete()


def _related_rows_are_gone(trackers: list[ModelTracker], using: str) -> bool:
    """Whether some of the trackers depend on related rows, and there are none any more."""
    found = [
        tracker for tracker in trackers if method_for(tracker, connections[using]).kind == "related triggers"
    ]
    named = {model for tracker in found for model, _ in named_columns(tracker)}
    kept: set[Any] = {Delivery, *(tracker.events for tracker in found)}
    return bool(found) and not any(_rows(model, using).exists() for model in named - kept)


def _rows(model: type[models.Model], using: str) -> models.QuerySet[Any]:
    return model._base_manager.using(using).order_by()


def _stands_on(model: type[models.Model], connection: BaseDatabaseWrapper) -> bool:
    """Whether the model's table is in that database. One query, unless the router says no."""
    if not router.allow_migrate_model(connection.alias, model):
        return False
    with connection.cursor() as cursor:
        return model._meta.db_table in connection.introspection.table_names(cursor)
