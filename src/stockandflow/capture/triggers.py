"""A tracker compiled to triggers: the statement that changes a row writes the row's event.

A trigger's name carries a digest of its definition, so that a look at the names tells what is missing or stale.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldError
from django.db.backends.base.base import BaseDatabaseWrapper

from stockandflow.declarations import ModelTracker, state_key
from stockandflow.membership import RowPredicate, row_predicate, text_literal
from stockandflow.membership.facets import FacetColumn, facets_json_sql
from stockandflow.models import Delivery, Origin
from stockandflow.models.clock import now_sql

PREFIX = "stockandflow_"


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
    made = []
    for event, template in writers[connection.vendor](parts):
        text = "\n;\n".join(template)
        digest = hashlib.sha256(f"{connection.vendor}\n{text}".encode()).hexdigest()[:16]
        owner = hashlib.sha256(tracker.slug.encode()).hexdigest()[:8]
        name = f"{PREFIX}{owner}_{digest}_{event}"
        # The tag of a PostgreSQL body: a literal in the body can't close it, since it would have to contain the digest
        # of a text that contains it.
        statements = tuple(
            statement.replace("@name@", connection.ops.quote_name(name)).replace("@tag@", f"$sf_{digest}$")
            for statement in template
        )
        made.append(Trigger(name=name, table=parts.table_name, sql=statements))
    return made


class _Parts:
    """The pieces of SQL that the three databases' triggers share."""

    def __init__(self, tracker: ModelTracker, connection: BaseDatabaseWrapper) -> None:
        self.tracker, self.connection = tracker, connection
        quote = connection.ops.quote_name
        meta, events = tracker.model._meta, tracker.events._meta
        self.table_name = meta.db_table
        self.table, self.event_table = quote(meta.db_table), quote(events.db_table)
        self.delivery_table = quote(Delivery._meta.db_table)
        self.event_id = quote(events.pk.column)
        subject: Any = events.get_field("subject")
        self.subject = quote(subject.target_field.column)
        names = ("tracker", "flow", "source", "sink", "subject", "timestamp", "recorded_at", "facets", "origin")
        self.columns = ", ".join(quote(events.get_field(name).column) for name in names)  # type: ignore[union-attr]
        self.now = now_sql(connection.vendor)
        self.empty = self.text("")
        self.facet_columns = _capturable(tracker)
        self.with_callables = [flow.slug for flow in tracker.flows if flow.event_callables]

    def text(self, value: str) -> str:
        return text_literal(self.connection, value)

    def predicates(self, row: str) -> list[tuple[str, RowPredicate]]:
        return [(stock.slug, row_predicate(stock.queryset, row, self.connection)) for stock in self.tracker.stocks]

    def state(self, row: str) -> str:
        """The key of the stock that the row is in, "" for none."""
        cases = " ".join(f"WHEN {found.sql} THEN {self.text(slug)}" for slug, found in self.predicates(row))
        return f"(CASE {cases} ELSE {self.empty} END)"

    def flow(self, source: str, sink: str) -> str:
        """The slug of the first flow that covers the move, "" for none; ``source`` and ``sink`` are SQL."""
        keys = ["", *(stock.slug for stock in self.tracker.stocks)]
        cases = []
        for flow in self.tracker.flows:
            sources = [key for key in keys if key in set(map(state_key, flow.sources))]
            sinks = [key for key in keys if key in set(map(state_key, flow.sinks))]
            if sources and sinks:
                ins = ", ".join(map(self.text, sources)), ", ".join(map(self.text, sinks))
                cases.append(f"WHEN {source} IN ({ins[0]}) AND {sink} IN ({ins[1]}) THEN {self.text(flow.slug)}")
        return f"(CASE {' '.join(cases)} ELSE {self.empty} END)" if cases else self.empty

    def facets(self, row: str) -> str:
        return facets_json_sql(self.facet_columns, row, self.connection)

    def values(self, source: str, sink: str, subject: str, facets: str, flow: str | None = None) -> str:
        """The values of an event, in the order of ``columns``."""
        flow = self.flow(source, sink) if flow is None else flow
        return (
            f"{self.text(self.tracker.slug)}, {flow}, {source}, {sink}, {subject}, {self.now}, {self.now}, "
            f"{facets}, {self.text(Origin.LIVE.value)}"
        )

    @property
    def delivery_columns(self) -> str:
        names = ("event_model", "event_id", "flow", "status", "attempts", "done_calls", "due_at", "owner", "error")
        return ", ".join(self.connection.ops.quote_name(name) for name in names)

    def delivery_values(self, event_id: str, flow: str) -> str:
        label = self.text(self.tracker.events._meta.label_lower)
        pending = self.text(Delivery.Status.PENDING.value)
        return f"{label}, {event_id}, {flow}, {pending}, 0, 0, {self.now}, {self.empty}, {self.empty}"

    def deciding_columns(self) -> list[str] | None:
        """The columns whose change can move a row; None where a computed column hides which."""
        found = [predicate for _, predicate in self.predicates("new")]
        if any(predicate.reads_generated for predicate in found):
            return None
        return sorted(set().union(*(predicate.columns for predicate in found)))

    def can_update_move(self) -> bool:
        return self.deciding_columns() != []


def _capturable(tracker: ModelTracker) -> dict[str, FacetColumn]:
    found = {}
    for slug, facet in tracker.applied_facets.items():
        try:
            column = facet.column(tracker.model)
        except FieldError:
            continue  # a system check reports it; the writes of the project go on meanwhile
        if column.capturable:
            found[slug] = column
    return found


Templates = list[tuple[str, list[str]]]


def _sqlite(parts: _Parts) -> Templates:
    of = parts.deciding_columns()
    quote = parts.connection.ops.quote_name
    columns = f" OF {', '.join(map(quote, of))}" if of else ""
    made: Templates = []
    for event, when, row, source, sink in (
        ("insert", "INSERT", "new", parts.empty, parts.state("new")),
        ("update", f"UPDATE{columns}", "new", parts.state("old"), parts.state("new")),
        ("delete", "DELETE", "old", parts.state("old"), parts.empty),
    ):
        if event == "update" and not parts.can_update_move():
            continue
        body = [
            f"INSERT INTO {parts.event_table} ({parts.columns}) "
            f"SELECT {parts.values('sf.source', 'sf.sink', f'{row}.{parts.subject}', parts.facets(row))} "
            f"FROM (SELECT {source} AS source, {sink} AS sink) AS sf"
        ]
        if parts.with_callables:
            flows = ", ".join(map(parts.text, parts.with_callables))
            body.append(
                f"INSERT INTO {parts.delivery_table} ({parts.delivery_columns}) "
                f"SELECT {parts.delivery_values(parts.event_id, quote('flow'))} FROM {parts.event_table} "
                f"WHERE {parts.event_id} = last_insert_rowid() AND {quote('flow')} IN ({flows})"
            )
        made.append((event, [
            f"CREATE TRIGGER @name@ AFTER {when} ON {parts.table} FOR EACH ROW WHEN {source} <> {sink} "
            f"BEGIN {'; '.join(body)}; END"
        ]))
    return made


def _postgresql(parts: _Parts) -> Templates:
    """Inserts and deletes write all their events in one statement; an update looks at each row that moved.

    No ``UPDATE OF``: it would miss what a BEFORE trigger of the project changes.
    """

    def function(body: str) -> str:
        return (
            f"CREATE OR REPLACE FUNCTION @name@() RETURNS trigger LANGUAGE plpgsql AS @tag@ "
            f"BEGIN {body}; RETURN NULL; END @tag@"
        )

    def moves(source: str, sink: str, row: str, table: str) -> str:
        subject, facets = f"{row}.{parts.subject}", parts.facets(row)
        rows = (
            f"SELECT {source} AS source, {sink} AS sink, {subject} AS subject, {facets}::jsonb AS facets "
            f"FROM {table} AS {row}"
        )
        return write(f"SELECT {parts.values('sf.source', 'sf.sink', 'sf.subject', 'sf.facets')} "
                     f"FROM ({rows}) AS sf WHERE sf.source <> sf.sink")

    def write(select: str) -> str:
        insert = f"INSERT INTO {parts.event_table} ({parts.columns}) {select}"
        if not parts.with_callables:
            return insert
        flows = ", ".join(map(parts.text, parts.with_callables))
        return (
            f"WITH sf_moved AS ({insert} RETURNING {parts.event_id} AS id, \"flow\" AS flow) "
            f"INSERT INTO {parts.delivery_table} ({parts.delivery_columns}) "
            f"SELECT {parts.delivery_values('sf_moved.id', 'sf_moved.flow')} FROM sf_moved "
            f"WHERE sf_moved.flow IN ({flows})"
        )

    def by_statement(event: str, clause: str, body: str) -> tuple[str, list[str]]:
        return event, [
            function(body),
            f"CREATE TRIGGER @name@ {clause} FOR EACH STATEMENT EXECUTE FUNCTION @name@()",
        ]

    old, new = parts.state("old"), parts.state("new")
    made: Templates = [
        by_statement(
            "insert",
            f"AFTER INSERT ON {parts.table} REFERENCING NEW TABLE AS sf_rows",
            moves(parts.empty, parts.state("sf_row"), "sf_row", "sf_rows"),
        ),
        by_statement(
            "delete",
            f"AFTER DELETE ON {parts.table} REFERENCING OLD TABLE AS sf_rows",
            moves(parts.state("sf_row"), parts.empty, "sf_row", "sf_rows"),
        ),
        by_statement(
            "truncate",
            f"BEFORE TRUNCATE ON {parts.table}",
            moves(parts.state("sf_row"), parts.empty, "sf_row", parts.table),
        ),
    ]
    if parts.can_update_move():
        values = parts.values("sf.source", "sf.sink", f"new.{parts.subject}", f"{parts.facets('new')}::jsonb")
        body = write(f"SELECT {values} FROM (SELECT {old} AS source, {new} AS sink) AS sf")
        made.append(("update", [
            function(body),
            f"CREATE TRIGGER @name@ AFTER UPDATE ON {parts.table} FOR EACH ROW WHEN ({old} <> {new}) "
            f"EXECUTE FUNCTION @name@()",
        ]))
    return made


def _mariadb(parts: _Parts) -> Templates:
    made: Templates = []
    for event, row, source, sink in (
        ("insert", "new", parts.empty, parts.state("new")),
        ("update", "new", parts.state("old"), parts.state("new")),
        ("delete", "old", parts.state("old"), parts.empty),
    ):
        if event == "update" and not parts.can_update_move():
            continue
        values = parts.values("sf_source", "sf_sink", f"{row}.{parts.subject}", parts.facets(row), flow="sf_flow")
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
        made.append((event, [
            f"CREATE TRIGGER @name@ AFTER {event.upper()} ON {parts.table} FOR EACH ROW BEGIN "
            f"DECLARE sf_source VARCHAR(100) DEFAULT {source}; DECLARE sf_sink VARCHAR(100) DEFAULT {sink}; "
            f"DECLARE sf_flow VARCHAR(100); "
            f"IF BINARY sf_source <> BINARY sf_sink THEN {'; '.join(body)}; END IF; END"
        ]))
    return made
