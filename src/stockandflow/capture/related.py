"""Triggers for stocks that depend on related rows: on the subject's table and on each related table that is read.

Such a trigger can't tell a subject's state before the change, since other rows have made it. So it compares what the
subject's last event says with what the tables hold now, for those subjects that the changed row concerns, and
writes the moves that are missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from stockandflow.capture.moves import MissingMoves
from stockandflow.capture.triggers import Statements, Templates, Trigger, named, with_body
from stockandflow.declarations import ModelTracker
from stockandflow.membership import Reach, concerned, reaches, subjects_of


def compile_related(tracker: ModelTracker, connection: BaseDatabaseWrapper) -> list[Trigger]:
    """The triggers that capture a tracker of which some stock depends on related rows, on that database.

    Opens the connection; on SQLite queries for quoting. Raises NotLocal where the subjects that a related row concerns
    can't be told.
    """
    moves = MissingMoves(tracker, connection)
    writers = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mariadb}
    return [
        named(tracker, connection, watched.model._meta.db_table, event, statements)
        for watched in _all_watched(tracker, connection)
        for event, statements in writers[connection.vendor](_Parts(moves, watched))
    ]


@dataclass
class _Watched:
    """One table with triggers: the columns that matter there, and the ways from a row of it to subjects.

    ``is_subjects`` tells the subject's own table, whose rows concern themselves besides.
    """

    model: type[models.Model]
    is_subjects: bool
    columns: set[str] = field(default_factory=set)
    ways: list[Reach] = field(default_factory=list)


def _all_watched(tracker: ModelTracker, connection: BaseDatabaseWrapper) -> list[_Watched]:
    """The subject's table first, the others as the stocks name them."""
    found: dict[str, _Watched] = {}
    paths = set()
    for stock in tracker.stocks:
        for reach in reaches(stock.queryset, connection):
            table, ours = reach.model._meta.db_table, not reach.path
            watched = found.setdefault(table, _Watched(reach.model, ours))
            watched.columns |= reach.columns
            if reach.path and reach.path not in paths:
                paths.add(reach.path)
                watched.ways.append(reach)
    return list(found.values())


class _Parts:
    """The pieces of SQL that one table's triggers are made of."""

    def __init__(self, moves: MissingMoves, watched: _Watched) -> None:
        self.moves, self.watched, self.sql = moves, watched, moves.sql
        self.connection = moves.sql.connection
        self.quote = self.connection.ops.quote_name
        meta: Any = watched.model._meta
        self.table = self.quote(meta.db_table)
        self.fields: dict[str, Any] = {one.column: one for one in meta.local_concrete_fields if one.column}
        self.columns = sorted(
            watched.columns | ({moves.sql.subject_column} if watched.is_subjects else set())
        )
        self.is_computed = any(getattr(self.fields[column], "generated", False) for column in self.columns)

    def key_of(self, row: str) -> str:
        return f"{row}.{self.sql.subject}"

    def concerned(self, way: Reach, row: str) -> str:
        return concerned(way, row, self.quote)

    def differs(self, column: str, old: str = "old", new: str = "new") -> str:
        """Whether a column has another value in another row, to the letter, whatever its collation."""
        name, vendor = self.quote(column), self.connection.vendor
        old, new = f"{old}.{name}", f"{new}.{name}"
        if vendor == "sqlite":
            return f"{old} IS NOT {new} COLLATE BINARY"
        kind = self.fields[column]
        while kind.remote_field:
            kind = kind.target_field
        if not isinstance(
            kind, models.IntegerField | models.BooleanField | models.DateField | models.UUIDField
        ):
            exactly = '{}::text COLLATE "C"' if vendor == "postgresql" else "BINARY {}"
            old, new = exactly.format(old), exactly.format(new)
        return f"{old} IS DISTINCT FROM {new}" if vendor == "postgresql" else f"NOT ({old} <=> {new})"

    def changed(self, old: str = "old", new: str = "new") -> str:
        """Whether an update has changed what matters; "" where a computed column hides it."""
        return "" if self.is_computed else " OR ".join(self.differs(one, old, new) for one in self.columns)


@dataclass(frozen=True)
class _Block:
    """Statements of a row trigger's body, run where ``only`` holds, "" for always.

    ``keys`` gives the keys of the subjects concerned: a query where they are reached from a related row, else a value.
    """

    statements: tuple[str, ...]
    keys: str
    only: str = ""


def _blocks(parts: _Parts, event: str) -> list[_Block]:
    """What a row trigger does when a row of the table comes, goes or changes."""
    moves, made = parts.moves, []
    if parts.watched.is_subjects:
        old, new = parts.key_of("old"), parts.key_of("new")
        if event != "INSERT":
            left = moves.of_gone(f"{moves.event_key} = {old}", row="old")
            only = parts.differs(parts.sql.subject_column) if event == "UPDATE" else ""
            made.append(_Block(tuple(left), old, only))
        if event != "DELETE":
            made.append(_Block(tuple(moves.of_rows(f"{moves.row_key} = {new}")), new))
    for way in parts.watched.ways:
        rows = {"INSERT": ("new",), "UPDATE": ("new", "old"), "DELETE": ("old",)}[event]
        for row in rows:
            condition = parts.concerned(way, row)
            # The row as it was concerns the same subjects, unless that by which it is reached has changed.
            only = parts.differs(way.path[-1].key) if event == "UPDATE" and row == "old" else ""
            key = parts.quote(way.path[-1].key)
            subjects = subjects_of(
                way, f"(SELECT {row}.{key} AS {key})", parts.sql.table, parts.sql.subject, parts.quote
            )
            made.append(_Block(tuple(moves.of_rows(condition)), subjects, only))
    return made


def _sqlite(parts: _Parts) -> Templates:
    made: Templates = []
    for event in ("INSERT", "UPDATE", "DELETE"):
        # Each question is a trigger of its own: a body has no conditions.
        for only, statements in _by_question(_blocks(parts, event)):
            clauses, of = [only] if only else [], ""
            if event == "UPDATE" and not parts.is_computed:
                of = f" OF {', '.join(map(parts.quote, parts.columns))}"
                if not only:
                    clauses.append(parts.changed())
            when = f" WHEN {' AND '.join(clauses)}" if clauses else ""
            body = "".join(f"{statement}; " for statement in statements)
            rest = f"{event}{of} ON {parts.table} FOR EACH ROW{when} BEGIN {body}END"
            made.append((event.lower(), with_body(rest)))
    return made


def _by_question(blocks: Iterable[_Block]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for block in blocks:
        found.setdefault(block.only, []).extend(block.statements)
    return list(found.items())


def _mariadb(parts: _Parts) -> Templates:
    """The subjects concerned are locked, so that of two changes at once the second sees the first.

    Their rows against writers only, since MariaDB refuses more on a table that the writing statement reads; their
    events against each other. Nothing is read without a lock before that: what is seen then would be seen ever after.
    """

    def written(block: _Block) -> str:
        keys, counted = block.keys, "SELECT COUNT(*) INTO sf_locked FROM"
        locks = []
        if keys.startswith("SELECT"):
            keys = f"{keys} LOCK IN SHARE MODE"
            # By its primary key: an index that has all that is read would be locked in the row's place.
            subject = f"{parts.sql.table} AS sf_subject FORCE INDEX (PRIMARY)"
            locks.append(
                f"{counted} {subject} WHERE sf_subject.{parts.sql.subject} IN ({keys}) LOCK IN SHARE MODE"
            )
        events = f"{parts.sql.event_table} AS sf_event WHERE {parts.moves.event_key} IN ({keys})"
        locks.append(f"{counted} {events} FOR UPDATE")
        body = "".join(f"{statement}; " for statement in (*locks, *block.statements))
        return f"IF {block.only} THEN {body}END IF; " if block.only else body

    made: Templates = []
    for event in ("INSERT", "UPDATE", "DELETE"):
        blocks = _blocks(parts, event)
        if not blocks:
            continue
        body = "".join(map(written, blocks))
        if event == "UPDATE" and (changed := parts.changed()):
            body = f"IF {changed} THEN {body}END IF; "
        rest = f"{event} ON {parts.table} FOR EACH ROW BEGIN DECLARE sf_locked BIGINT; {body}END"
        made.append((event.lower(), with_body(rest)))
    return made


OLD, NEW = "sf_old", "sf_new"
"""What a statement's rows are called, as they were and as they are."""


def _postgresql(parts: _Parts) -> Templates:
    """One look for all rows of a statement, after it, so nothing is seen half done.

    The subjects concerned are locked first: of two changes at once the second sees the first.
    """
    made = [_on_truncate(parts)]
    if parts.watched.is_subjects or parts.watched.ways:
        made += [_on_insert(parts), _on_update(parts), _on_delete(parts)]
    return made


def _on_insert(parts: _Parts) -> tuple[str, Statements]:
    body = _of_concerned(parts, {NEW: NEW}, locks=bool(parts.watched.ways))
    return "insert", _calling(parts, f"AFTER INSERT ON {parts.table} REFERENCING NEW TABLE AS {NEW}", body)


def _on_delete(parts: _Parts) -> tuple[str, Statements]:
    body = _left(parts) if parts.watched.is_subjects else ""
    if parts.watched.ways:
        body += _of_concerned(parts, {OLD: OLD}, locks=True)
    return "delete", _calling(parts, f"AFTER DELETE ON {parts.table} REFERENCING OLD TABLE AS {OLD}", body)


def _on_update(parts: _Parts) -> tuple[str, Statements]:
    meta: Any = parts.watched.model._meta
    keys = [one.column for one in meta.pk_fields]
    rows = {
        name: f"(SELECT {name}.* FROM {name} WHERE NOT EXISTS (SELECT 1 FROM {other} WHERE {{}}))"
        for name, other in ((OLD, NEW), (NEW, OLD))
    }
    same = " AND ".join(f"{NEW}.{parts.quote(key)} = {OLD}.{parts.quote(key)}" for key in keys)
    if changed := parts.changed(OLD, NEW):
        same += f" AND NOT ({changed})"
    else:
        same = "FALSE"
    rows = {name: query.format(same) for name, query in rows.items()}
    body = _of_concerned(parts, rows, locks=bool(parts.watched.ways))
    if parts.watched.is_subjects:
        key = parts.sql.subject
        stays = f"SELECT 1 FROM {NEW} WHERE {NEW}.{key} = {OLD}.{key}"
        body = f"IF EXISTS (SELECT 1 FROM {OLD} WHERE NOT EXISTS ({stays})) THEN {_left(parts)}END IF; {body}"
    body = f"IF EXISTS (SELECT 1 FROM {rows[OLD]} AS sf_changed) THEN {body}END IF; "
    clause = f"AFTER UPDATE ON {parts.table} REFERENCING OLD TABLE AS {OLD} NEW TABLE AS {NEW}"
    return "update", _calling(parts, clause, body)


def _on_truncate(parts: _Parts) -> tuple[str, Statements]:
    if parts.watched.is_subjects:
        when, statements = "BEFORE", parts.moves.of_leaving("TRUE")
    else:
        when, statements = "AFTER", parts.moves.of_rows("TRUE")
    body = "".join(f"{statement}; " for statement in statements)
    return "truncate", _calling(parts, f"{when} TRUNCATE ON {parts.table}", body)


def _left(parts: _Parts) -> str:
    """The departures of the subjects whose rows were there before the statement, and aren't any more."""
    keys = f"SELECT {OLD}.{parts.sql.subject} FROM {OLD}"
    statements = parts.moves.of_gone(f"{parts.moves.event_key} IN ({keys})", rows=OLD)
    return "".join(f"{statement}; " for statement in statements)


def _of_concerned(parts: _Parts, rows: dict[str, str], *, locks: bool) -> str:
    """The missing moves of the subjects that rows concern: of ``sf_old``, ``sf_new`` or both the query for them."""
    sql, moves = parts.sql, parts.moves
    queries = [
        subjects_of(way, query, sql.table, sql.subject, parts.quote)
        for way in parts.watched.ways
        for query in rows.values()
    ]
    if parts.watched.is_subjects and NEW in rows:
        queries.append(f"SELECT sf_changed.{sql.subject} AS sf_key FROM {rows[NEW]} AS sf_changed")
    among = f"{moves.row_key} = ANY(sf_keys)"
    statements = moves.of_rows(among)
    if locks:
        locked = f"{sql.table} AS sf_row WHERE {among} ORDER BY {moves.row_key} FOR NO KEY UPDATE"
        statements = [f"PERFORM 1 FROM {locked}", *statements]
    return (
        f"SELECT array_agg(DISTINCT sf_k.sf_key) INTO sf_keys FROM ({' UNION ALL '.join(queries)}) AS sf_k; "
        f"IF sf_keys IS NOT NULL THEN {''.join(f'{statement}; ' for statement in statements)}END IF; "
    )


def _calling(parts: _Parts, clause: str, body: str) -> Statements:
    events: Any = parts.moves.tracker.events._meta
    keys = f"sf_keys {events.get_field('subject').db_type(parts.connection)}[]"
    # Writers may have another search path. A plan of its own for each list of subjects would take longer than its work.
    kind = "RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan"
    return lambda name, tag: [
        f"CREATE OR REPLACE FUNCTION {name}() {kind} AS {tag} DECLARE {keys}; BEGIN {body}RETURN NULL; END {tag}",
        f"CREATE TRIGGER {name} {clause} FOR EACH STATEMENT EXECUTE FUNCTION {name}()",
    ]
