"""The window over events: whole days counted, and which moves are the first of their subject in a week, month, year."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connections
from django.db.models.sql import Query

from stockandflow.membership.facets import FacetColumn, FacetText, facet_key
from stockandflow.models import Origin
from stockandflow.periods import Grain, Period
from stockandflow.recording.buckets import instant_literal, local_day_sql
from stockandflow.recording.ledgers import Ledger, Pair
from stockandflow.spans import merged

Measures = tuple[int, ...]
"""Events, distinct subjects, and how many of these moved for the first time in the week, month, quarter and year."""


class Row(NamedTuple):
    """Moves of one pair and day with one origin, or one value of a facet.

    ``of_pair`` counts as distinct or first what is so among the moves of the pair, ``of_flow`` among those of the flow:
    these add up to those of the flow.
    """

    pair: Pair
    kept: str
    day: Period
    of_pair: Measures
    of_flow: Measures


GRAINS = (Grain.WEEK, Grain.MONTH, Grain.QUARTER, Grain.YEAR)
SPANS = 20
"""Beyond so many stretches of dirty days in a year it is read whole, rather than the subjects that moved in them."""


class Window:
    """The moves that decide what is the first on these days of one year: those of the year up to the last day.

    Before ``begun`` there are none, where it is given.
    """

    def __init__(self, ledger: Ledger, days: Sequence[Period], begun: datetime | None = None) -> None:
        self.ledger, self.days = ledger, days
        self.connection: Any = connections[ledger.reading]
        calendar = ledger.calendar
        starts = {
            day: (day.start, *(calendar.period(grain, day.start).start for grain in GRAINS)) for day in days
        }
        self.since, self.until = min(starts[days[0]]), days[-1].end
        # By number, since a database sorts and compares many of them.
        numbers = {
            day: [calendar.local_date(start).toordinal() for start in given] for day, given in starts.items()
        }
        if begun is not None:
            self.since = max(self.since, begun)
        self.by_number = {number: day for day, (number, *_) in numbers.items()}
        self.starts = ", ".join(f"({', '.join(map(str, given))})" for given in numbers.values())
        quote = self.connection.ops.quote_name
        meta = ledger.event_model._meta
        self.table = quote(meta.db_table)
        self.column = {
            name: f"{self.table}.{quote(meta.get_field(name).column)}"
            for name in ("flow", "source", "sink", "subject", "timestamp", "origin")
        }
        offsets = calendar.offsets(self.since, self.until)
        self.local_day = local_day_sql(self.connection, self.column["timestamp"], offsets)

    def _instant(self, at: datetime) -> str:
        return instant_literal(self.connection, at)

    def read(
        self, *, flows: Sequence[str] | None = None, facet: tuple[str, FacetColumn] | None = None
    ) -> Iterator[Row]:
        """The moves counted by pair, origin and day, or, of some flows, by pair, value of a facet and day. One query.

        A subject's move is the first of a week where the one before it of the same pair, or of the same flow, isn't of
        that week; ``origin`` has no say in it. By origin the opening balances are among them, apart from the moves.
        """
        column, params, more = self.column, list[Any](), list[Any]()
        origin = column["origin"]
        if facet is None:
            kept = origin
            # Not by origin itself: of the moves each may be the first one.
            alike = f"CASE WHEN {origin} = '{Origin.INITIAL.value}' THEN 1 ELSE 0 END"
        else:
            kept, params = self._text(facet[0])
            alike, more = kept, params
        inner, wanted = self._from(flows, openings=facet is None)
        counts = ", ".join(
            f"COUNT(CASE WHEN {before} IS NULL OR {before} < {first} THEN 1 END)"
            for before in ("before_it", "before_any")
            for first in ("day", "week", "month", "quarter", "year")
        )
        # The one window's order begins as the other's, so that a database sorts little for the second. The subject
        # comes first since it tells moves apart best. Of the moves of one day any may be the first.
        of_flow = "subject, flow, alike"
        of_pair = f"{of_flow}, source, sink"
        before, before_any = (
            f"LAG(moved_on) OVER (PARTITION BY {partition} ORDER BY moved_on)"
            for partition in (of_pair, of_flow)
        )
        join = "CROSS JOIN" if self.connection.vendor == "sqlite" else "JOIN"
        materialized = "" if self.connection.vendor == "mysql" else "MATERIALIZED"
        named = ", ".join(f"{column[name]} AS {name}" for name in ("subject", "flow", "source", "sink"))
        moves = (
            f"SELECT flow, source, sink, kept, moved_on, {before} AS before_it, {before_any} AS before_any FROM "
            f"(SELECT {named}, {kept} AS kept, {alike} AS alike, {self.local_day} AS moved_on FROM {inner}) every_move"
        )
        sql = (
            f"WITH days (day, week, month, quarter, year) AS {materialized} (VALUES {self.starts}) "
            f"SELECT flow, source, sink, kept, day, COUNT(*), {counts} FROM ({moves}) moves {join} days "
            "ON day = moved_on GROUP BY day, flow, source, sink, kept"
        )
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [*params, *more, *wanted])
            for flow, source, sink, value, day, count, *firsts in cursor:
                name = value if facet is None else _value(value, facet[1])
                on = self.by_number[day]
                yield Row((flow, source, sink), name, on, (count, *firsts[:5]), (count, *firsts[5:]))

    def _text(self, slug: str) -> tuple[str, list[Any]]:
        """The SQL of what the events keep for a facet, and its parameters."""
        query = Query(self.ledger.event_model)
        compiler = query.get_compiler(connection=self.connection)
        sql, params = compiler.compile(FacetText(slug).resolve_expression(query))
        return sql, list(params)

    def _from(self, flows: Sequence[str] | None, *, openings: bool) -> tuple[str, list[Any]]:
        """FROM and WHERE of the moves to look at, and their parameters."""
        column = self.column
        conditions, params = [self._within(self.since, self.until)], list[Any]()
        if not openings:
            conditions.append(f"{column['origin']} <> '{Origin.INITIAL.value}'")
        if flows is not None:
            conditions.append(f"{column['flow']} IN ({', '.join(['%s'] * len(flows))})")
            params += flows
        table = self.table
        if narrow := self._subjects():
            # Subject by subject along the index, whatever a planner thinks of reading the whole year.
            conditions.append(f"{column['subject']} = movers.mover")
            join = {"sqlite": "CROSS JOIN", "mysql": "STRAIGHT_JOIN"}.get(self.connection.vendor)
            if join is None:
                theirs = f"SELECT * FROM {table} WHERE {' AND '.join(conditions)} OFFSET 0"
                return f"({narrow}) movers CROSS JOIN LATERAL ({theirs}) {table}", params
            table = f"({narrow}) movers {join} {table}"
        if self.connection.vendor == "postgresql":
            # Read as it lies and sorted then: for the sake of an order PostgreSQL would follow the index of subjects
            # through millions of rows all over the table.
            return f"(SELECT * FROM {table} WHERE {' AND '.join(conditions)} OFFSET 0) {table}", params
        return f"{table} WHERE {' AND '.join(conditions)}", params

    def _within(self, since: datetime, until: datetime) -> str:
        at = self.column["timestamp"]
        return f"{at} >= {self._instant(since)} AND {at} < {self._instant(until)}"

    def _subjects(self) -> str:
        """The SQL of the subjects that moved on these days, "" where it is as well to look at all."""
        spans = merged((day.start, day.end) for day in self.days)
        length = sum((until - since for since, until in spans), start=timedelta(0))
        if len(spans) > SPANS or length * 4 > self.until - self.since:
            return ""
        # Not by one OR: SQLite would look through all of history, in the order of the subjects.
        movers = f"SELECT DISTINCT {self.column['subject']} AS mover FROM {self.table} WHERE"
        return " UNION ".join(f"{movers} {self._within(since, until)}" for since, until in spans)


def _value(text: str | bytes | None, column: FacetColumn) -> str:
    if text is None:
        return facet_key(None)
    return column.key(text.decode() if isinstance(text, bytes) else text)
