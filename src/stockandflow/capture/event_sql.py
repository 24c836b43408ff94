"""What a tracker's events are made of in SQL: columns, the flow of a move, the facets of a row, the deliveries beside.

Whatever writes events within the database shares it, so that they are written alike.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.exceptions import FieldError
from django.db.backends.base.base import BaseDatabaseWrapper

from stockandflow.declarations import ModelTracker, state_key
from stockandflow.exceptions import NotLocal
from stockandflow.membership import literal, text_literal
from stockandflow.membership.facets import FacetColumn, facet_text_sql, facets_json_sql
from stockandflow.models import Delivery, Origin
from stockandflow.models.clock import move_sql


class EventSql:
    """The pieces of SQL of which a tracker's events and their deliveries are made, on one database.

    Opens the connection; on SQLite queries for quoting.
    """

    def __init__(self, tracker: ModelTracker, connection: BaseDatabaseWrapper) -> None:
        self.tracker, self.connection = tracker, connection
        quote = connection.ops.quote_name
        meta: Any = tracker.model._meta
        events: Any = tracker.events._meta
        self.table_name = meta.db_table
        self.table, self.event_table = quote(meta.db_table), quote(events.db_table)
        self.delivery_table = quote(Delivery._meta.db_table)
        self.event_id = quote(events.pk.column)
        of_subject = events.get_field("subject")
        self.subject_column = of_subject.target_field.column
        self.subject, self.event_subject = quote(self.subject_column), quote(of_subject.column)
        names = [
            "tracker",
            "flow",
            "source",
            "sink",
            "subject",
            "timestamp",
            "recorded_at",
            "facets",
            "origin",
        ]
        self.timestamp = events.get_field("timestamp")
        fields: list[Any] = [events.get_field(name) for name in names]
        self.column_names = [quote(field.column) for field in fields]
        self.column_kinds = [str(field.db_type(connection)) for field in fields]
        self.columns = ", ".join(self.column_names)
        self.now = move_sql(connection.vendor)
        self.empty = self.text("")
        self.facet_columns = kept_facets(tracker, connection)[0]
        self.with_callables = [flow.slug for flow in tracker.flows if flow.event_callables]

    def text(self, value: str) -> str:
        return text_literal(self.connection, value)

    def instant(self, at: datetime) -> str:
        """An instant as a datetime column keeps it."""
        given = literal(self.connection, self.timestamp.get_db_prep_value(at, self.connection))
        return f"CAST({given} AS DATETIME(6))" if self.connection.vendor == "mysql" else given

    def flow(self, source: str, sink: str) -> str:
        """The slug of the first flow that covers the move, "" for none; ``source`` and ``sink`` are SQL."""
        keys = ["", *(stock.slug for stock in self.tracker.stocks)]
        cases = []
        for flow in self.tracker.flows:
            sources = [key for key in keys if key in set(map(state_key, flow.sources))]
            sinks = [key for key in keys if key in set(map(state_key, flow.sinks))]
            if sources and sinks:
                covers = f"{self.among(source, sources)} AND {self.among(sink, sinks)}"
                cases.append(f"WHEN {covers} THEN {self.text(flow.slug)}")
        return f"(CASE {' '.join(cases)} ELSE {self.empty} END)" if cases else self.empty

    def among(self, state: str, keys: list[str]) -> str:
        """Whether a state, which is SQL, is one of those keys."""
        # For IN with more than two values SQLite fills a table, in a trigger anew for every row. It takes no more than
        # a thousand conditions that are nested.
        if self.connection.vendor == "sqlite" and len(keys) <= 50:
            return f"({' OR '.join(f'{state} = {self.text(key)}' for key in keys)})"
        return f"{state} IN ({', '.join(map(self.text, keys))})"

    def facets(self, row: str) -> str:
        return facets_json_sql(self.facet_columns, row, self.connection)

    def values(
        self,
        source: str,
        sink: str,
        subject: str,
        facets: str,
        *,
        flow: str | None = None,
        timestamp: str | None = None,
        now: str | None = None,
        origin: str | None = None,
    ) -> str:
        """The values of an event, in the order of ``columns``; it happens now and live unless SQL says otherwise."""
        now = now or self.now
        values = [
            self.text(self.tracker.slug),
            self.flow(source, sink) if flow is None else flow,
            source,
            sink,
            subject,
            timestamp or now,
            now,
            facets,
            self.text(Origin.LIVE.value) if origin is None else origin,
        ]
        return ", ".join(values)

    @property
    def delivery_columns(self) -> str:
        names = (
            "event_model",
            "event_id",
            "flow",
            "status",
            "attempts",
            "done_calls",
            "due_at",
            "owner",
            "error",
        )
        return ", ".join(self.connection.ops.quote_name(name) for name in names)

    def delivery_values(self, event_id: str, flow: str) -> str:
        label = self.text(self.tracker.events._meta.label_lower)
        pending = self.text(Delivery.Status.PENDING.value)
        return f"{label}, {event_id}, {flow}, {pending}, 0, 0, {self.now}, {self.empty}, {self.empty}"


def kept_facets(
    tracker: ModelTracker, connection: BaseDatabaseWrapper
) -> tuple[dict[str, FacetColumn], dict[str, str]]:
    """The facets whose values the database can keep, and why it can't keep the others: by slug.

    A facet is never a reason to miss a move; system checks report those that are left out. Opens the connection.
    """
    kept: dict[str, FacetColumn] = {}
    lost: dict[str, str] = {}
    for slug, facet in tracker.applied_facets.items():
        try:
            column = facet.column(tracker.model)
            facet_text_sql(column, "new", connection)
        except (FieldError, NotLocal) as error:
            lost[slug] = str(error)
        else:
            kept[slug] = column
    return kept, lost


def exactly(connection: BaseDatabaseWrapper, text: str) -> str:
    """SQL for a slug to be compared to the letter: MariaDB takes slugs that differ in case only for the same."""
    return f"BINARY {text}" if connection.vendor == "mysql" else text
