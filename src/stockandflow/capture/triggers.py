"""A tracker compiled to triggers: the statement that changes a row writes the row's event.

A trigger's name carries a digest of its definition, so that a look at the names tells what is missing or stale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from stockandflow.capture.event_sql import EventSql
from stockandflow.declarations import ModelTracker
from stockandflow.membership import RowPredicate, row_predicate

PREFIX = "stockandflow_"


def prefix_of(tracker: ModelTracker) -> str:
    """What the names of all of the tracker's triggers begin with, whatever their definition."""
    return f"{PREFIX}{hashlib.sha256(tracker.slug.encode()).hexdigest()[:8]}_"


@dataclass(frozen=True)
class Trigger:
    """One trigger on one table; ``sql`` are the statements that make it, in order."""

    name: str
    table: str
    sql: tuple[str, ...]


def compile_triggers(tracker: ModelTracker, connection: BaseDatabaseWrapper) -> list[Trigger]:
    """The triggers that capture a tracker on that database. Opens the connection; on SQLite queries for quoting.

    Raises NotLocal where a stock can't be read from one row.
    """
    parts = _Parts(tracker, connection)
    writers = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mariadb}
    return [
        named(tracker, connection, parts.table_name, event, statements)
        for event, statements in writers[connection.vendor](parts)
    ]


def named(
    tracker: ModelTracker, connection: BaseDatabaseWrapper, table: str, event: str, statements: Statements
) -> Trigger:
    """A trigger on a table, whose name tells its tracker, its definition and, by ``event``, its kind of change."""
    # Names and tags are put in by calls, never by replacing a word: a project's own value may hold any word.
    text = "\n;\n".join(statements("", ""))
    digest = hashlib.sha256(f"{connection.vendor}\n{text}".encode()).hexdigest()[:16]
    name = f"{prefix_of(tracker)}{digest}_{event}"
    # The tag of a PostgreSQL body: a literal in the body can't close it, since it would have to contain the digest
    # of a text that contains it.
    sql = statements(connection.ops.quote_name(name), f"$sf_{digest}$")
    return Trigger(name=name, table=table, sql=tuple(sql))


Statements = Callable[[str, str], list[str]]
"""The statements that make a trigger, given its quoted name and the tag that quotes a PostgreSQL body."""
Templates = list[tuple[str, Statements]]
"""For each trigger the kind of change that ends its name, and its statements."""


@dataclass(frozen=True)
class _Change:
    """A change of a row. ``source`` and ``sink`` are the SQL of its move; the facets are read from ``row``.

    ``only`` is a condition, "" for none, and ``brief`` tells that it alone spares most rows that don't move a closer
    look; ``columns`` are those that an update must name, () for any.
    """

    name: str
    event: Literal["INSERT", "UPDATE", "DELETE"]
    row: Literal["new", "old"]
    source: str
    sink: str
    only: str = ""
    brief: bool = True
    columns: tuple[str, ...] = ()


class _Parts(EventSql):
    """The pieces of SQL that the three databases' triggers share."""

    def predicates(self, row: str) -> list[tuple[str, RowPredicate]]:
        return [
            (stock.slug, row_predicate(stock.queryset, row, self.connection)) for stock in self.tracker.stocks
        ]

    def state(self, row: str) -> str:
        """The key of the stock that the row is in, "" for none."""
        cases = " ".join(f"WHEN {found.sql} THEN {self.text(slug)}" for slug, found in self.predicates(row))
        return f"(CASE {cases} ELSE {self.empty} END)"

    def deciding_columns(self) -> list[str] | None:
        """The columns whose change can move a row; None where a computed column hides which."""
        found = [predicate for _, predicate in self.predicates("new")]
        if any(predicate.reads_generated for predicate in found):
            return None
        return sorted(set().union(*(predicate.columns for predicate in found)))

    def changes(self) -> list[_Change]:
        """What can happen to a row, and the move that it makes.

        An update of a row's key is the departure of one subject and the arrival of another: events know their
        subjects by key.
        """
        old, new, key = self.state("old"), self.state("new"), self.subject
        made = [
            _Change("insert", "INSERT", "new", self.empty, new),
            _Change("delete", "DELETE", "old", old, self.empty),
        ]
        columns = self.deciding_columns()
        if columns is None or columns:
            same, touched = f"old.{key} = new.{key}", _touched(self.tracker, columns, self.connection)
            only = f"{same} AND ({touched})" if touched else same
            made.append(
                _Change("update", "UPDATE", "new", old, new, only, bool(touched), tuple(columns or ()))
            )
        other, of_key = f"old.{key} <> new.{key}", (self.subject_column,)
        made.append(_Change("leave", "UPDATE", "old", old, self.empty, other, columns=of_key))
        made.append(_Change("enter", "UPDATE", "new", self.empty, new, other, columns=of_key))
        return made


def _touched(tracker: ModelTracker, columns: list[str] | None, connection: BaseDatabaseWrapper) -> str:
    """Whether an update gave a column that decides another value: a shorter question than whether the row moves.

    "" where a column's type may call two values equal that a filter tells apart. Texts are compared to the letter,
    whatever their collation.
    """
    if columns is None:
        return ""
    if connection.vendor == "sqlite":
        names = map(connection.ops.quote_name, columns)
        return " OR ".join(f"old.{name} IS NOT new.{name} COLLATE BINARY" for name in names)
    fields = {field.column: field for field in tracker.model._meta.concrete_fields}
    postgresql = connection.vendor == "postgresql"
    found = []
    for column in columns:
        field: Any = fields[column]
        while field.remote_field:
            field = field.target_field
        old, new = (f"{row}.{connection.ops.quote_name(column)}" for row in ("old", "new"))
        if isinstance(field, models.CharField | models.TextField):
            exactly = '{}::text COLLATE "C"' if postgresql else "BINARY {}"
            old, new = exactly.format(old), exactly.format(new)
        elif not isinstance(field, models.IntegerField | models.BooleanField | models.DateField):
            return ""
        found.append(f"{old} IS DISTINCT FROM {new}" if postgresql else f"NOT ({old} <=> {new})")
    return " OR ".join(found)


def _sqlite(parts: _Parts) -> Templates:
    quote = parts.connection.ops.quote_name
    made: Templates = []
    for change in parts.changes():
        of = f" OF {', '.join(map(quote, change.columns))}" if change.columns else ""
        source, moves = change.source, f"{change.source} <> {change.sink}"
        if change.row == "new" and source == parts.empty:
            source = _last_known(parts)
            moves = f"({moves} OR EXISTS (SELECT 1 FROM {_events_of_new(parts)}))"
        when = " AND ".join(filter(None, (change.only, moves)))
        subject, facets = f"{change.row}.{parts.subject}", parts.facets(change.row)
        values = parts.values("sf.source", "sf.sink", subject, facets, now="sf.now")
        # With a limit it is worked out once, rather than wherever the values name it.
        once = f"SELECT {source} AS source, {change.sink} AS sink, {parts.now} AS now LIMIT 1"
        body = (
            f"INSERT INTO {parts.event_table} ({parts.columns}) SELECT {values} "
            f"FROM ({once}) AS sf WHERE sf.source <> sf.sink; "
        )
        if parts.with_callables:
            flows = ", ".join(map(parts.text, parts.with_callables))
            body += (
                f"INSERT INTO {parts.delivery_table} ({parts.delivery_columns}) "
                f"SELECT {parts.delivery_values(parts.event_id, quote('flow'))} FROM {parts.event_table} "
                f"WHERE changes() = 1 AND {parts.event_id} = last_insert_rowid() AND {quote('flow')} IN ({flows}); "
            )
        made.append(
            (
                change.name,
                with_body(f"{change.event}{of} ON {parts.table} FOR EACH ROW WHEN {when} BEGIN {body}END"),
            )
        )
    return made


def _last_known(parts: _Parts) -> str:
    """Where events have left the subject that arrives, "" for outside.

    ``OR REPLACE`` takes the row of the same key away without firing a trigger, so an arrival may be a move.
    """
    quote = parts.connection.ops.quote_name
    sink, slugs = quote("sink"), ", ".join(parts.text(stock.slug) for stock in parts.tracker.stocks)
    # The + keeps SQLite from walking the index of all timestamps for the sake of the order.
    last = (
        f"SELECT {sink} FROM {_events_of_new(parts)} AND {quote('tracker')} = {parts.text(parts.tracker.slug)} "
        f"ORDER BY +{quote('timestamp')} DESC, {parts.event_id} DESC LIMIT 1"
    )
    known = f"coalesce((SELECT {sink} FROM ({last}) WHERE {sink} IN ({slugs})), {parts.empty})"
    return f"(CASE WHEN EXISTS (SELECT 1 FROM {_events_of_new(parts)}) THEN {known} ELSE {parts.empty} END)"


def _events_of_new(parts: _Parts) -> str:
    return f"{parts.event_table} WHERE {parts.event_subject} = new.{parts.subject}"


def with_body(rest: str) -> Statements:
    """The statement that makes a trigger whose body is its own."""
    return lambda name, _: [f"CREATE TRIGGER {name} AFTER {rest}"]


def _postgresql(parts: _Parts) -> Templates:
    """Inserts and deletes write all their events in one statement; an update looks at each row that moved.

    No ``UPDATE OF`` the columns that decide: it would miss what a BEFORE trigger of the project changes.
    """

    def calling(clause: str, body: str, declared: str = "") -> Statements:
        # Writers may have another search path; a restore by pg_restore has none. It costs a moved row 2 µs.
        kind = "RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT"
        return lambda name, tag: [
            f"CREATE OR REPLACE FUNCTION {name}() {kind} AS {tag} {declared}BEGIN {body}; RETURN NULL; END {tag}",
            f"CREATE TRIGGER {name} {clause} EXECUTE FUNCTION {name}()",
        ]

    def write(rows: str) -> str:
        values = parts.values("sf.source", "sf.sink", "sf.subject", "sf.facets")
        insert = (
            f"INSERT INTO {parts.event_table} ({parts.columns}) "
            f"SELECT {values} FROM ({rows}) AS sf WHERE sf.source <> sf.sink"
        )
        if not parts.with_callables:
            return insert
        flows = ", ".join(map(parts.text, parts.with_callables))
        return (
            f'WITH sf_moved AS ({insert} RETURNING {parts.event_id} AS id, "flow" AS flow) '
            f"INSERT INTO {parts.delivery_table} ({parts.delivery_columns}) "
            f"SELECT {parts.delivery_values('sf_moved.id', 'sf_moved.flow')} FROM sf_moved "
            f"WHERE sf_moved.flow IN ({flows})"
        )

    def write_one(change: _Change, clause: str) -> Statements:
        # Variables: an INSERT … SELECT that worked all of this out would be planned anew for every row.
        facets, subject = f"{parts.facets(change.row)}::jsonb", f"{change.row}.{parts.subject}"
        values = parts.values("sf_source", "sf_sink", subject, facets, flow="sf_flow")
        body = f"sf_flow := {parts.flow('sf_source', 'sf_sink')}; "
        body += f"INSERT INTO {parts.event_table} ({parts.columns}) VALUES ({values})"
        if parts.with_callables:
            flows = ", ".join(map(parts.text, parts.with_callables))
            body += (
                f" RETURNING {parts.event_id} INTO sf_event; IF sf_flow IN ({flows}) THEN "
                f"INSERT INTO {parts.delivery_table} ({parts.delivery_columns}) "
                f"VALUES ({parts.delivery_values('sf_event', 'sf_flow')}); END IF"
            )
        declared = (
            f"DECLARE sf_source text := {change.source}; sf_sink text := {change.sink}; "
            "sf_flow text; sf_event bigint; "
        )
        return calling(clause, f"IF sf_source <> sf_sink THEN {body}; END IF", declared)

    def rows(source: str, sink: str, table: str) -> str:
        return (
            f"SELECT {source} AS source, {sink} AS sink, sf_row.{parts.subject} AS subject, "
            f"{parts.facets('sf_row')}::jsonb AS facets FROM {table} AS sf_row"
        )

    def by_statement(event: str, clause: str, body: str) -> tuple[str, Statements]:
        return event, calling(f"{clause} FOR EACH STATEMENT", body)

    state = parts.state("sf_row")
    made: Templates = [
        by_statement(
            "insert",
            f"AFTER INSERT ON {parts.table} REFERENCING NEW TABLE AS sf_rows",
            write(rows(parts.empty, state, "sf_rows")),
        ),
        by_statement(
            "delete",
            f"AFTER DELETE ON {parts.table} REFERENCING OLD TABLE AS sf_rows",
            write(rows(state, parts.empty, "sf_rows")),
        ),
        by_statement(
            "truncate",
            f"BEFORE TRUNCATE ON {parts.table}",
            write(rows(state, parts.empty, parts.table)),
        ),
    ]
    for change in parts.changes():
        if change.event != "UPDATE":
            continue
        of = "" if change.name == "update" else f" OF {parts.subject}"
        # The function asks whether the row moves; here the question would be read anew by every statement.
        when = change.only if change.brief else f"{change.only} AND {change.source} <> {change.sink}"
        clause = f"AFTER UPDATE{of} ON {parts.table} FOR EACH ROW WHEN ({when})"
        made.append((change.name, write_one(change, clause)))
    return made


def _mariadb(parts: _Parts) -> Templates:
    """One trigger for each kind of statement, since every trigger costs each row something."""

    def block(change: _Change) -> str:
        facets = parts.facets(change.row)
        values = parts.values("sf_source", "sf_sink", f"{change.row}.{parts.subject}", facets, flow="sf_flow")
        body = [
            f"SET sf_flow = {parts.flow('sf_source', 'sf_sink')}",
            f"INSERT INTO {parts.event_table} ({parts.columns}) VALUES ({values})",
        ]
        if parts.with_callables:
            flows = ", ".join(map(parts.text, parts.with_callables))
            body.append(
                f"IF sf_flow IN ({flows}) THEN INSERT INTO {parts.delivery_table} ({parts.delivery_columns}) "
                f"VALUES ({parts.delivery_values('LAST_INSERT_ID()', 'sf_flow')}); END IF"
            )
        # Slugs that differ in case only are different stocks, whatever the collation says.
        block = (
            f"BEGIN DECLARE sf_source VARCHAR(100) DEFAULT {change.source}; "
            f"DECLARE sf_sink VARCHAR(100) DEFAULT {change.sink}; DECLARE sf_flow VARCHAR(100); "
            f"IF BINARY sf_source <> BINARY sf_sink THEN {'; '.join(body)}; END IF; END"
        )
        return f"IF {change.only} THEN {block}; END IF" if change.only else block

    made: Templates = []
    for event in ("INSERT", "UPDATE", "DELETE"):
        blocks = [block(change) for change in parts.changes() if change.event == event]
        made.append(
            (
                event.lower(),
                with_body(f"{event} ON {parts.table} FOR EACH ROW BEGIN {'; '.join(blocks)}; END"),
            )
        )
    return made
