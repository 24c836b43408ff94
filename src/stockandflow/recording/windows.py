"""The window over events: whole days counted, and which moves are the first of their subject in a week, month, year."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from django.db import connections
from django.db.models.sql import Query

from stockandflow.membership.facets import FacetColumn, FacetText, facet_key
from stockandflow.models import ALL, Origin
from stockandflow.periods import Grain, Period
from stockandflow.recording.buckets import instant_literal, local_day_sql
from stockandflow.recording.coding import KIND, Coding, Kind, case_sql
from stockandflow.recording.ledgers import Ledger, Pair
from stockandflow.spans import merged

Measures = tuple[int, ...]
"""Events, distinct subjects, and how many of these moved for the first time in the week, month, quarter and year."""


class Row(NamedTuple):
    """Moves of one pair and day, or of a whole flow, whose pair is ALL, with one origin or one value of a facet."""

    pair: Pair
    kept: str
    day: Period
    measures: Measures


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
        self.first = self._ordinal(self.since)
        if begun is not None:
            self.since = max(self.since, begun)
        numbers = {day: [self._ordinal(start) for start in given] for day, given in starts.items()}
        self.by_number = {number - self.first: day for day, (number, *_) in numbers.items()}
        self.backs = {
            number - self.first: [number - begins for begins in periods]
            for number, *periods in numbers.values()
        }
        quote = self.connection.ops.quote_name
        meta = ledger.event_model._meta
        self.table = quote(meta.db_table)
        self.column = {
            name: f"{self.table}.{quote(meta.get_field(name).column)}"
            for name in (*KIND, "subject", "timestamp")
        }
        self.movers = self._movers()
        self.by_span = self.connection.vendor == "sqlite" and not self.movers

    def _ordinal(self, at: datetime) -> int:
        return self.ledger.calendar.local_date(at).toordinal()

    def read(
        self, *, flows: Sequence[str] | None = None, facet: tuple[str, FacetColumn] | None = None
    ) -> Iterator[Row]:
        """The moves counted by pair, origin and day, or, of some flows, by pair, value of a facet and day.

        Those of each whole flow as well, which may come in parts. A subject's move is the first of a week where the one
        before it of the same pair, or of the same flow, isn't of that week; ``origin`` has no say in it. By origin the
        opening balances are among them, apart from the moves.

        Queries: one. Where the year is read whole, one more if a flow has several pairs, and for the whole window, one
        for the kinds of moves.
        """
        if self.movers:
            yield from self._of_movers(flows, facet)
            return
        pairs = filter(self.ledger.holds, dict.fromkeys(kind[:3] for kind in self.kinds))
        mine = {pair: pair for pair in pairs if flows is None or pair[0] in flows}
        pairs_of = Counter(flow for flow, *_ in mine)
        totals = {pair: (pair[0], ALL, ALL) for pair in mine if pair[0] in self.ledger.slugs}
        for row in self._coded(mine, facet):
            yield row
            if row.pair in totals and pairs_of[row.pair[0]] == 1:
                yield row._replace(pair=totals[row.pair])
        # What is the first of a pair may not be that of its flow.
        yield from self._coded(
            {pair: total for pair, total in totals.items() if pairs_of[pair[0]] > 1}, facet
        )

    @cached_property
    def kinds(self) -> list[Kind]:
        """The kinds of moves that there are, those of other ledgers too. One query."""
        names = ", ".join(self.column[name] for name in KIND)
        with self.connection.cursor() as cursor:
            cursor.execute(f"{self._with()}SELECT DISTINCT {names} FROM {self._from([])}")
            return sorted(cursor.fetchall())

    def _coded(self, counted_as: Mapping[Pair, Pair], facet: tuple[str, FacetColumn] | None) -> Iterator[Row]:
        """The moves of these pairs, counted as the ones given, each move as one number. At most one query."""
        coding = Coding.of(self.kinds, counted_as, max(self.by_number) + 1, by_origin=facet is None)
        if not coding.codes:
            return
        code, params = case_sql(
            [self.column[name] for name in KIND], [(kind, coding.codes.get(kind)) for kind in self.kinds]
        )
        kept, of_kept = ("", []) if facet is None else self._text(facet[0])
        text, value = (f", {kept} AS kept", ", kept") if kept else ("", "")
        flows = {flow for flow, *_ in coding.codes}
        conditions, wanted = self._of_flows(flows) if flows < {flow for flow, *_ in self.kinds} else ([], [])
        year, step = coding.days * coding.step, coding.step
        origin = f" - moved %% {step}" if step > 1 else ""
        earlier = f"COALESCE(LAG(moved) OVER (PARTITION BY subject{value} ORDER BY moved), -1)"
        sql = (
            f"{self._with(self._days(step))}SELECT moved{value}, COUNT(*), {self._firsts('earlier', f'moved{origin}')} "
            f"FROM (SELECT moved{value}, {earlier} AS earlier FROM "
            f"(SELECT {self.column['subject']} AS subject{text}, {code} + {self._day()} * {step} AS moved "
            f"FROM {self._from(conditions)}) every_move) moves {self._join} days "
            f"ON day = moved %% {year}{origin} GROUP BY moved{value}"
        )
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [*of_kept, *params, *wanted])
            for number, *numbers in cursor:
                pair, name, on = coding.decoded(number)
                if facet is not None:
                    name = _value(numbers.pop(0), facet[1])
                yield Row(pair, name, self.by_number[on], tuple(numbers))

    def _of_movers(self, flows: Sequence[str] | None, facet: tuple[str, FacetColumn] | None) -> Iterator[Row]:
        """The moves of few subjects. They lie scattered, so they are read once, and are too few to be coded."""
        origin = self.column["origin"]
        conditions, wanted = ([], []) if flows is None else self._of_flows(flows)
        if facet is None:
            kept, of_kept, of_alike = origin, list[Any](), list[Any]()
            # Not by origin itself: of the moves each may be the first one.
            alike = f"CASE WHEN {origin} = '{Origin.INITIAL.value}' THEN 1 ELSE 0 END"
        else:
            kept, of_kept = alike, of_alike = self._text(facet[0])
            conditions.append(f"{origin} <> '{Origin.INITIAL.value}'")
        of_flow = "subject, flow, alike"
        before, before_any = (
            f"COALESCE(LAG(moved) OVER (PARTITION BY {alone} ORDER BY moved), -1)"
            for alone in (f"{of_flow}, source, sink", of_flow)
        )
        named = ", ".join(f"{self.column[name]} AS {name}" for name in ("subject", "flow", "source", "sink"))
        sql = (
            f"{self._with(self._days(1))}SELECT flow, source, sink, kept, day, COUNT(*), "
            f"{self._firsts('before_it', 'day')}, {self._firsts('before_any', 'day')} FROM "
            f"(SELECT flow, source, sink, kept, moved, {before} AS before_it, {before_any} AS before_any FROM "
            f"(SELECT {named}, {kept} AS kept, {alike} AS alike, {self._day()} AS moved "
            f"FROM {self._from(conditions)}) every_move) moves {self._join} days ON day = moved "
            "GROUP BY day, flow, source, sink, kept"
        )
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [*of_kept, *of_alike, *wanted])
            for flow, source, sink, value, number, count, *firsts in cursor:
                pair, total = (flow, source, sink), (flow, ALL, ALL)
                name = value if facet is None else _value(value, facet[1])
                day, half = self.by_number[number], len(firsts) // 2
                if self.ledger.holds(pair):
                    yield Row(pair, name, day, (count, *firsts[:half]))
                if flow in self.ledger.slugs:
                    yield Row(total, name, day, (count, *firsts[half:]))

    def _firsts(self, earlier: str, at: str) -> str:
        """The SQL that counts those with an earlier one before the day, and the week, month, quarter and year."""
        conditions = [
            f"{earlier} < {at}{back}" for back in ("", " - week", " - month", " - quarter", " - year")
        ]
        if self.connection.features.supports_aggregate_filter_clause:
            return ", ".join(f"COUNT(*) FILTER (WHERE {condition})" for condition in conditions)
        return ", ".join(f"COUNT(CASE WHEN {condition} THEN 1 END)" for condition in conditions)

    def _of_flows(self, flows: Collection[str]) -> tuple[list[str], list[str]]:
        """The condition by which only moves of these flows are looked at, and its parameters."""
        # With the sign SQLite doesn't make an index by flow first.
        sign = "+" if self.connection.vendor == "sqlite" else ""
        return [f"{sign}{self.column['flow']} IN ({', '.join(['%s'] * len(flows))})"], sorted(flows)

    def _text(self, slug: str) -> tuple[str, list[Any]]:
        """The SQL of what the events keep for a facet, and its parameters."""
        query = Query(self.ledger.event_model)
        compiler = query.get_compiler(connection=self.connection)
        sql, params = compiler.compile(FacetText(slug).resolve_expression(query))
        return sql, list(params)

    @property
    def _join(self) -> str:
        return "CROSS JOIN" if self.connection.vendor == "sqlite" else "JOIN"

    def _days(self, step: int) -> str:
        """The table of the days, each with how far back its week, month, quarter and year begin, in these steps."""
        rows = (
            f"({', '.join(str(number * step) for number in numbers)})"
            for numbers in ((day, *backs) for day, backs in self.backs.items())
        )
        return f"days (day, week, month, quarter, year) AS {{}}(VALUES {', '.join(rows)})"

    def _with(self, *tables: str) -> str:
        """The WITH clause of these tables, and of the spans of all days where moves are looked for by them."""
        materialized = "" if self.connection.vendor == "mysql" else "MATERIALIZED "
        if self.by_span:
            tables = (*tables, f"spans (day, since, until) AS {{}}(VALUES {self._spans})")
        return f"WITH {', '.join(table.format(materialized) for table in tables)} " if tables else ""

    @cached_property
    def _spans(self) -> str:
        rows, at = list[str](), self.since
        while at < self.until:
            until = self.ledger.calendar.period(Grain.DAY, at).end
            rows.append(f"({self._ordinal(at) - self.first}, {self._instant(at)}, {self._instant(until)})")
            at = until
        return ", ".join(rows)

    def _day(self) -> str:
        """The SQL of the day of a move, by number from the first one on."""
        if self.by_span:
            return "spans.day"
        offsets = self.ledger.calendar.offsets(self.since, self.until)
        return f"({local_day_sql(self.connection, self.column['timestamp'], offsets)} - {self.first})"

    def _from(self, conditions: Sequence[str]) -> str:
        """FROM and WHERE of the moves to look at."""
        table, vendor = self.table, self.connection.vendor
        if self.by_span:
            at = self.column["timestamp"]
            conditions = [f"{at} >= spans.since", f"{at} < spans.until", *conditions]
            # Along the index of instants, which tells the day of each move for nothing.
            return f"spans CROSS JOIN {table} WHERE {' AND '.join(conditions)}"
        conditions = [self._within(self.since, self.until), *conditions]
        if self.movers:
            # Subject by subject along the index, whatever a planner thinks of reading the whole year.
            conditions.append(f"{self.column['subject']} = movers.mover")
            join = {"sqlite": "CROSS JOIN", "mysql": "STRAIGHT_JOIN"}.get(vendor)
            if join is None:
                theirs = f"SELECT * FROM {table} WHERE {' AND '.join(conditions)} OFFSET 0"
                return f"({self.movers}) movers CROSS JOIN LATERAL ({theirs}) {table}"
            table = f"({self.movers}) movers {join} {table}"
        if vendor == "postgresql":
            # Read as it lies and sorted then: for the sake of an order PostgreSQL would follow the index of subjects
            # through millions of rows all over the table.
            return f"(SELECT * FROM {table} WHERE {' AND '.join(conditions)} OFFSET 0) {table}"
        return f"{table} WHERE {' AND '.join(conditions)}"

    def _within(self, since: datetime, until: datetime) -> str:
        at = self.column["timestamp"]
        return f"{at} >= {self._instant(since)} AND {at} < {self._instant(until)}"

    def _instant(self, at: datetime) -> str:
        return instant_literal(self.connection, at)

    def _movers(self) -> str:
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
