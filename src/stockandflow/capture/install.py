"""Putting triggers into a database, taking them out, and telling what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.apps import apps
from django.db import connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from stockandflow.capture.event_sql import kept_facets
from stockandflow.capture.methods import Method, database_of, method_for
from stockandflow.capture.moves import MissingMoves
from stockandflow.capture.readiness import columns_of, missing
from stockandflow.capture.related import compile_related
from stockandflow.capture.silence import silent
from stockandflow.capture.triggers import PREFIX, Trigger, compile_triggers, prefix_of
from stockandflow.declarations import ModelTracker
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Delivery, Origin, Sweep
from stockandflow.registry import Registry

INSTALLED = {
    "sqlite": "SELECT name, tbl_name, 1 FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s",
    "postgresql": (
        "SELECT t.tgname, c.relname, t.tgenabled IN ('O', 'A') FROM pg_trigger t "
        "JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid) AND t.tgname LIKE %s"
    ),
    "mysql": (
        "SELECT trigger_name, event_object_table, 1 FROM information_schema.triggers "
        "WHERE trigger_schema = DATABASE() AND trigger_name LIKE %s"
    ),
}


@dataclass(frozen=True)
class TrackerStatus:
    """What a database has of a tracker's triggers, by name; ``missing`` is () for other methods.

    ``stale`` are those of an earlier declaration or method, which may still write events.
    ``waiting`` are the columns that the triggers name and the database lacks until it is migrated; meanwhile nothing
    is installed, since a trigger that names them would fail every write. ``lost_facets`` are those whose values
    events don't keep, facet slug → why.
    """

    tracker: ModelTracker
    using: str
    method: Method
    installed: tuple[str, ...]
    missing: tuple[str, ...]
    stale: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    lost_facets: Mapping[str, str] = field(default_factory=dict)


def databases(registry: Registry) -> list[str]:
    """The aliases of the databases that hold subjects of the registry's trackers, each once."""
    return list(dict.fromkeys(database_of(tracker) for tracker in registry.trackers))


def trackers_on(registry: Registry, connection: BaseDatabaseWrapper) -> Iterator[ModelTracker]:
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


@dataclass(frozen=True)
class Strangers:
    """Triggers by our names that are of no known tracker, as name → table.

    Those ``left_over`` stand on tables of this project, so their tracker is gone, and they go with the next migration
    or sync. Those that are ``foreign`` stand on tables of no model here: they are another project's in the same
    database, and are left alone.
    """

    left_over: Mapping[str, str]
    foreign: Mapping[str, str]


def strangers(registry: Registry, using: str) -> Strangers:
    """The triggers of that database which are of no tracker that the registry knows. One query."""
    known = tuple(prefix_of(tracker) for tracker in registry.trackers)
    there, own = installed(connections[using], disabled=True), _own_tables()
    unknown = {name: at for name, at in there.items() if at not in own or not name.startswith(known)}
    return Strangers(
        left_over={name: at for name, at in unknown.items() if at in own},
        foreign={name: at for name, at in unknown.items() if at not in own},
    )


def _own_tables() -> set[str]:
    return {model._meta.db_table for model in apps.get_models(include_auto_created=True)}


def own(connection: BaseDatabaseWrapper, former: Collection[str] = ()) -> dict[str, str]:
    """The triggers that are this project's, disabled ones too, as ``installed`` gives them.

    ``former`` are tables that were the project's until now.
    """
    tables = _own_tables() | set(former)
    return {name: at for name, at in installed(connection, disabled=True).items() if at in tables}


def installed(connection: BaseDatabaseWrapper, *, disabled: bool = False) -> dict[str, str]:
    """The names of this package's triggers in a database → the table that each is on. One query.

    Those that somebody has disabled are left out unless asked for.
    """
    if connection.vendor not in INSTALLED:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(INSTALLED[connection.vendor], [f"{PREFIX}%"])
        return {
            name: table
            for name, table, enabled in cursor.fetchall()
            if name.startswith(PREFIX) and (enabled or disabled)
        }


def install(registry: Registry, using: str, *, only: Iterable[ModelTracker] | None = None) -> list[str]:
    """Bring the triggers of a database in line with the registry, or of some trackers; the names of those made now.

    Right triggers stay, stale ones and those of trackers that are gone are dropped. Trackers whose tables aren't
    there yet are left out, and those that wait for a migration keep what they have.
    """
    connection = connections[using]
    if connection.vendor not in INSTALLED:
        return []
    prefixes = (PREFIX,) if only is None else tuple(map(prefix_of, only))
    states = [one for one in status(registry, using) if prefix_of(one.tracker).startswith(prefixes)]
    kept = [prefix_of(state.tracker) for state in states if state.waiting]
    wanted = {
        trigger.name: trigger
        for state in states
        if state.method.by_triggers and not state.waiting
        for trigger in compiled(state.tracker, state.method, connection)
    }
    there = installed(connection)
    stale = {
        name: at
        for name, at in own(connection).items()
        if name.startswith(prefixes) and name not in wanted and not name.startswith(tuple(kept))
    }
    made = [trigger for name, trigger in wanted.items() if name not in there]
    if not stale and not made:
        return []
    _refuse_to_commit(connection)
    # Triggers that compare events with the tables would take for a move of now whatever events don't say yet.
    behind = [one.tracker for one in states if one.method.kind == "related triggers" and one.missing]
    in_one_step = connection.features.can_rollback_ddl
    if not in_one_step:
        catch_up(behind, connection)
    with transaction.atomic(using=using):  # all of them or none, where the database can
        # Those to be made may be there and disabled, which counts as missing.
        drop(connection, stale | {trigger.name: trigger.table for trigger in made})
        with connection.cursor() as cursor:
            for trigger in made:
                for statement in trigger.sql:
                    cursor.execute(statement)  # no params, so no % is read
        if in_one_step:
            catch_up(behind, connection)  # nobody else can have written since the first of them was made
    return [trigger.name for trigger in made]


def compiled(tracker: ModelTracker, method: Method, connection: BaseDatabaseWrapper) -> list[Trigger]:
    """The triggers of a tracker that is captured by triggers."""
    compile_them = compile_related if method.kind == "related triggers" else compile_triggers
    return compile_them(tracker, connection)


def catch_up(trackers: list[ModelTracker], connection: BaseDatabaseWrapper) -> None:
    """Write what the events of trackers don't say yet, as one statement each: initial states, and what a sweep finds.

    It is for a moment at which nobody else writes, and opens no tracker.
    """
    if not trackers:
        return
    opened: set[str] = set()
    if _stands(Sweep, connection):
        opened.update(
            Sweep.objects.using(connection.alias)
            .filter(database=connection.alias, opened_at__isnull=False)
            .values_list("tracker", flat=True)
        )
    for tracker in trackers:
        origin = Origin.SWEEP if tracker.slug in opened else Origin.INITIAL
        moves = MissingMoves(tracker, connection, origin=origin)
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            for statement in (*moves.of_rows("1 = 1"), *moves.of_gone("1 = 1")):
                cursor.execute(statement)


def _stands(model: type[models.Model], connection: BaseDatabaseWrapper) -> bool:
    with connection.cursor() as cursor:
        return model._meta.db_table in connection.introspection.table_names(cursor)


def uninstall(using: str) -> list[str]:
    """Take all of this package's triggers out of a database; their names. Another project's stay."""
    connection = connections[using]
    there = own(connection)
    if there:
        _refuse_to_commit(connection)
        with transaction.atomic(using=using):
            drop(connection, there)
    return sorted(there)


def _refuse_to_commit(connection: BaseDatabaseWrapper) -> None:
    """MariaDB commits the transaction that is open when triggers come or go: never behind somebody's back."""
    if connection.in_atomic_block and not connection.features.can_rollback_ddl:
        raise InvalidInput(
            f"The triggers of the database {connection.alias!r} would have to change within a transaction, and "
            f"{connection.display_name} would commit that transaction at once. Do it outside transaction.atomic(); in "
            "tests, where the database is really written to (TransactionTestCase, or django_db(transaction=True))."
        )


def drop(connection: BaseDatabaseWrapper, there: Mapping[str, str]) -> None:
    """Take triggers down, given by name with the table that each is on."""
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
    """Take the triggers down inside, and signals in this thread, and put them back after, whatever happens.

    What is written inside leaves no events: use it to load history whose events are imported too. Anything else shows
    as *unexplained*. Other writers of the database aren't captured meanwhile either. Where there are no triggers,
    as within another such block, none are put back. Raises InvalidInput on MariaDB within a transaction.
    """
    taken = uninstall(using)
    try:
        with silent(using):
            yield
    finally:
        if taken:
            install(registry, using)


def status(registry: Registry, using: str) -> list[TrackerStatus]:
    """What that database has of every tracker that stands in it.

    Four queries, however many trackers there are: two for the triggers, one for the tables and one for their columns;
    and those of the quoting on SQLite.
    """
    connection = connections[using]
    there, all_there = installed(connection), own(connection)
    found = []
    trackers = list(trackers_on(registry, connection))
    columns = columns_of(trackers, connection) if connection.vendor in INSTALLED else {}
    for tracker in trackers:
        method = method_for(tracker, connection)
        waiting: list[str] = []
        names: list[str] = []
        lost: dict[str, str] = {}
        if method.by_triggers:
            waiting, lost = missing(tracker, columns), kept_facets(tracker, connection)[1]
            names = [] if waiting else [trigger.name for trigger in compiled(tracker, method, connection)]
        found.append(
            TrackerStatus(
                tracker=tracker,
                using=using,
                method=method,
                installed=tuple(name for name in names if name in there),
                missing=tuple(name for name in names if name not in there),
                stale=tuple(
                    name
                    for name in all_there
                    if name.startswith(prefix_of(tracker)) and name not in names and not waiting
                ),
                waiting=tuple(waiting),
                lost_facets=lost,
            )
        )
    return found
