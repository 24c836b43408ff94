"""The SQL that writes missing moves: what the events of some subjects say against what their rows hold.

The last known state of a subject is the sink of its last event by (timestamp, id); none, or one that is no stock of the
tracker, is outside. Its state in the table is the first stock that holds it. Where the two differ, a move is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper

from stockandflow.capture.event_sql import EventSql, exactly
from stockandflow.declarations import ModelTracker
from stockandflow.membership import row_condition
from stockandflow.models import Origin
from stockandflow.models.clock import just_before_sql

ROW, EVENT = "sf_row", "sf_event"
"""What conditions call the subject's row, and in ``of_gone`` a subject's event."""


class MissingMoves:
    """Statements that write the missing moves of those subjects that a condition names, with their deliveries.

    They have no parameters, so run them as ``cursor.execute(statement)``, one after the other in one transaction, or
    let them stand in a trigger's body, each ended by a semicolon. Writing twice writes nothing more. An instance
    can be kept and asked again; building one opens the connection, and on SQLite queries for quoting. ::

        moves = MissingMoves(tracker, connection)
        for statement in moves.of_rows(f"{moves.row_key} = {literal(connection, member.pk)}"):
            cursor.execute(statement)
        moves.of_rows('sf_row."plan_id" = new."id"')     # in a trigger on plans
        moves.of_gone(f"{moves.event_key} = 7")          # should the row be gone

    A condition should be one that an index answers: the work is in proportion to the rows that it names.

    Two that write the moves of one subject at once would both write them: whoever may not be alone locks the rows
    before, by ``locking``.

    ``origin`` is that of the events. With INITIAL it is that of subjects without any event, and other missing
    moves have SWEEP. Event callables get what is LIVE or SWEEP. ``timestamp`` is SQL for when a row's move
    happened, by default the database's now; it may read ``sf_row`` and ``sf``, with ``source``, ``sink`` and ``since``,
    the instant of the subject's last event (NULL for none). No event is put before that instant. A subject whose
    row is gone leaves now, with the facets of its last event. ``opened_at`` is when the tracker was opened, if it was,
    for ``gaps``.

    Stocks are asked as Django's own connection can: a trigger must not be given those that ``row_predicate`` refuses on
    that database for another reason than that they depend on related rows (the clock, SQLite's missing functions).
    """

    def __init__(
        self,
        tracker: ModelTracker,
        connection: BaseDatabaseWrapper,
        *,
        origin: Origin = Origin.LIVE,
        timestamp: str | None = None,
        opened_at: datetime | None = None,
    ) -> None:
        self.tracker, self.vendor, self.sql = tracker, connection.vendor, EventSql(tracker, connection)
        self.row_key, self.event_key = f"{ROW}.{self.sql.subject}", f"{EVENT}.{self.sql.event_subject}"
        self.timestamp = timestamp or self.sql.now
        self.origin = origin
        self.opened_at = None if opened_at is None else self.sql.instant(opened_at)
        self.holding = {
            stock.slug: row_condition(stock.queryset, ROW, connection) for stock in tracker.stocks
        }
        self.state = self.by_state(self.sql.text, self.sql.empty)
        self.facets = self.sql.facets(ROW)
        self.slugs = ", ".join(self.sql.text(stock.slug) for stock in tracker.stocks) or "NULL"

    def of_rows(self, condition: str) -> list[str]:
        """The statements for the subjects whose rows meet a condition on ``sf_row``."""
        return self._written(
            f"({self.differing(condition)}) AS sf JOIN {self.sql.table} AS {ROW} ON {self.row_key} = sf.subject "
            f"WHERE {self._differ('sf.source', 'sf.sink')}",
            self.facets,
            self._not_before_last(self.timestamp),
        )

    def of_gone(self, condition: str, *, row: str = "", rows: str = "") -> list[str]:
        """The statements for subjects whose rows are gone; the condition is one on ``sf_event``, by ``event_key``.

        Where what was deleted can still be read, the facets are those of ``row``, e.g. ``old`` in a trigger, or of
        each subject's row in the table ``rows``.
        """
        gone, facets = f"({self.gone(condition)}) AS sf", self.sql.facets(row) if row else "sf.facets"
        if rows:
            gone, facets = f"{gone} JOIN {rows} AS {ROW} ON {self.row_key} = sf.subject", self.facets
        return self._written(gone, facets, self._not_before_last(self.sql.now))

    def of_leaving(self, condition: str) -> list[str]:
        """The statements for subjects that are about to be deleted; the condition is one on ``sf_row``."""
        leaving = (
            f"(SELECT subject, source, {self.sql.empty} AS sink, since FROM ({self.differing(condition)}) AS sf_known) "
            f"AS sf JOIN {self.sql.table} AS {ROW} ON {self.row_key} = sf.subject "
            f"WHERE {self._differ('sf.source', 'sf.sink')}"
        )
        return self._written(leaving, self.facets, self._not_before_last(self.sql.now))

    def of_gaps(self, condition: str) -> list[str]:
        """The statements for moves missed before later events, where there is room; the condition as in ``of_gone``.

        They happened just before the later event, and have its facets.
        """
        return self._written(
            f"({self.gaps(condition)}) AS sf WHERE sf.moved_at > sf.since", "sf.facets", "sf.moved_at"
        )

    def locking(self, condition: str, *, skip: bool = False) -> str:
        """A query that gives the keys of the rows that meet the condition and locks them, in order.

        With ``skip`` those that another transaction holds are left out, else they are waited for. On SQLite, where a
        writer is alone, it locks nothing.
        """
        how = "" if self.vendor == "sqlite" else f" FOR UPDATE{' SKIP LOCKED' if skip else ''}"
        return f"SELECT {self.row_key} FROM {self.sql.table} AS {ROW} WHERE {condition} ORDER BY 1{how}"

    def compared(self, condition: Callable[[str], str]) -> list[str]:
        """Queries that give ``subject``, ``source`` and ``sink`` of every missing move, for many subjects at a time.

        ``condition`` turns the SQL of a key into a condition on it. Those of subjects that are gone come last.
        """
        if self.vendor == "postgresql":
            return [self._compared_at_once(condition)]
        differing, gone = (
            self.differing(condition(self.row_key)),
            self.gone(condition(self.event_key), condition(self.row_key)),
        )
        return [
            f"SELECT subject, source, sink FROM ({query}) AS sf WHERE {self._differ('source', 'sink')}"
            for query in (differing, gone)
        ]

    def _compared_at_once(self, condition: Callable[[str], str]) -> str:
        # Two passes in the order of keys that meet, rather than a look-up for every subject.
        at, number = f"{EVENT}.{self._column('timestamp')}", f"{EVENT}.{self.sql.event_id}"
        last = (
            f"SELECT DISTINCT ON ({self.event_key}) {self.event_key} AS subject, {EVENT}.sink "
            f"FROM {self.sql.event_table} AS {EVENT} "
            f"WHERE {condition(self.event_key)} AND {self.is_trackers(EVENT)} "
            f"ORDER BY {self.event_key} DESC, {at} DESC, {number} DESC"
        )
        rows = f"SELECT * FROM {self.sql.table} AS {ROW} WHERE {condition(self.row_key)}"
        sides = (
            f"SELECT COALESCE({self.row_key}, sf_last.subject) AS subject, {self.known('sf_last', 'sink')} AS source, "
            f"CASE WHEN {self.row_key} IS NULL THEN {self.sql.empty} ELSE {self.state} END AS sink "
            f"FROM ({rows}) AS {ROW} FULL JOIN ({last}) AS sf_last ON sf_last.subject = {self.row_key} OFFSET 0"
        )
        return f"SELECT subject, source, sink FROM ({sides}) AS sf WHERE source <> sink ORDER BY subject"

    def differing(self, condition: str) -> str:
        """A query that gives ``subject``, ``source``, ``sink`` and ``since`` of each row that meets the condition.

        Rows that don't move are among them: source and sink are equal there.
        """
        at, lateral = self._column("timestamp"), self.vendor == "postgresql"
        what = f"{EVENT}.sink, {EVENT}.{at}" if lateral else f"{EVENT}.{self.sql.event_id}"
        last = (
            f"SELECT {what} FROM {self.sql.event_table} AS {EVENT} "
            f"WHERE {self.event_key} = {self.row_key} AND {self.is_trackers(EVENT)} "
            f"ORDER BY {EVENT}.{at} DESC, {EVENT}.{self.sql.event_id} DESC LIMIT 1"
        )
        joined = (
            f"LEFT JOIN LATERAL ({last}) AS sf_last ON true"
            if lateral
            else f"LEFT JOIN {self.sql.event_table} AS sf_last ON sf_last.{self.sql.event_id} = ({last})"
        )
        # Worked out once a row, rather than wherever the outer query names it.
        once = {"postgresql": "OFFSET 0", "sqlite": "LIMIT -1"}.get(self.vendor, "LIMIT 18446744073709551615")
        return (
            f"SELECT {self.row_key} AS subject, {self.known('sf_last', 'sink')} AS source, {self.state} AS sink, "
            f"sf_last.{at} AS since FROM {self.sql.table} AS {ROW} {joined} "
            f"WHERE {condition} {once}"
        )

    def gone(self, condition: str, on_row: str = "1 = 1") -> str:
        """A query that gives ``subject``, ``source``, ``sink``, ``since`` and ``facets`` of subjects without a row.

        ``on_row`` is what the condition says of a row's key, should the rows be looked up together.
        """
        at, number = self._column("timestamp"), self.sql.event_id
        same_time = f"sf_later.{at} = {EVENT}.{at} AND sf_later.{number} > {EVENT}.{number}"
        later = f"sf_later.{at} > {EVENT}.{at} OR ({same_time})"
        return (
            f"SELECT {self.event_key} AS subject, {EVENT}.{self._column('sink')} AS source, "
            f"{self.sql.empty} AS sink, {EVENT}.{at} AS since, {EVENT}.{self._column('facets')} AS facets "
            f"FROM {self.sql.event_table} AS {EVENT} WHERE {condition} AND {self.is_trackers(EVENT)} "
            f"AND {self._exactly(EVENT + '.' + self._column('sink'))} IN ({self.slugs}) "
            f"AND NOT EXISTS (SELECT 1 FROM {self.sql.table} AS {ROW} "
            f"WHERE {self.row_key} = {self.event_key} AND {on_row}) "
            f"AND NOT EXISTS (SELECT 1 FROM {self.sql.event_table} AS sf_later "
            f"WHERE sf_later.{self.sql.event_subject} = {self.event_key} AND {self.is_trackers('sf_later')} "
            f"AND ({later}))"
        )

    def gaps(self, condition: str) -> str:
        """A query that gives the moves that must have been missed between two events of a subject.

        The later event begins elsewhere than the one before ended: ``source`` and ``sink`` are where the one ended and
        the other begins, ``since`` and ``later_at`` their instants; ``moved_at`` is just before the later one, and
        ``facets`` are its facets. Who had no event when the tracker was opened was outside; before that, nobody knows
        where a subject was before its first event, nor do imports say.
        """
        at = f"{EVENT}.{self._column('timestamp')}"
        over = f"OVER (PARTITION BY {self.event_key} ORDER BY {self.event_order(EVENT)})"
        before, since = f"LAG({self.known(EVENT, 'sink')}) {over}", f"LAG({at}) {over}"
        if self.opened_at is not None:
            captured = f"{at} > {self.opened_at} AND {EVENT}.origin <> {self.sql.text(Origin.IMPORT.value)}"
            before = f"COALESCE({before}, CASE WHEN {captured} THEN {self.sql.empty} END)"
            since = f"COALESCE({since}, {self.opened_at})"
        chain = (
            f"SELECT {self.event_key} AS subject, {before} AS source, "
            f"{self.known(EVENT, 'source')} AS sink, {since} AS since, {at} AS later_at, "
            f"{just_before_sql(self.vendor, at)} AS moved_at, {EVENT}.{self._column('facets')} AS facets "
            f"FROM {self.sql.event_table} AS {EVENT} WHERE {condition} AND {self.is_trackers(EVENT)}"
        )
        # Where the source is NULL, what was before the subject's first event is no gap.
        return f"SELECT * FROM ({chain}) AS sf_chain WHERE {self._differ('source', 'sink')}"

    def by_state(self, value: Callable[[str], str], outside: str) -> str:
        """SQL for what ``value`` makes of the slug of the stock that holds the row; ``outside`` where none does."""
        cases = [f"WHEN {condition} THEN {value(slug)}" for slug, condition in self.holding.items()]
        return f"(CASE {' '.join(cases)} ELSE {outside} END)" if cases else outside

    def known(self, event: str, side: str) -> str:
        """SQL for an event's ``source`` or ``sink``, where outside is "" whatever it is called."""
        named = f"{event}.{self._column(side)}"
        return f"(CASE WHEN {self._exactly(named)} IN ({self.slugs}) THEN {named} ELSE {self.sql.empty} END)"

    def event_order(self, event: str) -> str:
        """What a subject's events are ordered by."""
        return f"{event}.{self._column('timestamp')}, {event}.{self.sql.event_id}"

    def is_trackers(self, event: str) -> str:
        """The condition that an event is one of this tracker's."""
        tracker = self._exactly(f"{event}.{self._column('tracker')}")
        return f"{tracker} = {self.sql.text(self.tracker.slug)}"

    def _written(self, moved: str, facets: str, timestamp: str) -> list[str]:
        sql, delivered = self.sql, bool(self.sql.with_callables) and self.origin != Origin.IMPORT
        one_by_one = delivered and self.vendor == "mysql"
        values = sql.values(
            "sf.source",
            "sf.sink",
            "sf.subject",
            f"{facets}::jsonb" if self.vendor == "postgresql" else facets,
            flow=sql.flow(self._exactly("sf.source"), self._exactly("sf.sink")),
            timestamp=timestamp,
            origin=self._origin_of_each(),
        )
        if one_by_one:
            return [self._one_by_one(f"SELECT {values} FROM {moved}")]
        insert = f"INSERT INTO {sql.event_table} ({sql.columns}) SELECT {values} FROM {moved}"
        if not delivered:
            return [insert]
        if self.vendor == "postgresql":
            return [self._with_deliveries(insert)]
        return [insert, self._deliveries_of_the_last_insert()]

    def _with_deliveries(self, insert: str) -> str:
        sql = self.sql
        return (
            f"WITH sf_moved AS ({insert} RETURNING {sql.event_id} AS id, flow, origin) "
            f"INSERT INTO {sql.delivery_table} ({sql.delivery_columns}) "
            f"SELECT {sql.delivery_values('sf_moved.id', 'sf_moved.flow')} FROM sf_moved "
            f"WHERE {self._delivered('sf_moved')}"
        )

    def _deliveries_of_the_last_insert(self) -> str:
        # The keys of one statement follow each other on SQLite, where nobody else writes meanwhile.
        sql, number = self.sql, f"{EVENT}.{self.sql.event_id}"
        return (
            f"INSERT INTO {sql.delivery_table} ({sql.delivery_columns}) "
            f"SELECT {sql.delivery_values(number, f'{EVENT}.flow')} FROM {sql.event_table} AS {EVENT} "
            f"WHERE {number} > last_insert_rowid() - changes() AND {number} <= last_insert_rowid() "
            f"AND {self._delivered(EVENT)}"
        )

    def _one_by_one(self, rows: str) -> str:
        # MariaDB tells the key of one new row; those of one statement needn't follow each other. No FOR loop over rows:
        # now and then a second one in the same session finds no fields in its row.
        sql = self.sql
        names = [f"sf_value_{number}" for number in range(len(sql.column_names))]
        kinds = [
            f"{kind} CHARACTER SET utf8mb4" if "char" in kind or "text" in kind else kind
            for kind in sql.column_kinds
        ]
        declared = "".join(f"DECLARE {name} {kind}; " for name, kind in zip(names, kinds, strict=True))
        values, flow, origin = ", ".join(names), names[1], names[-1]
        return (
            f"BEGIN NOT ATOMIC DECLARE sf_done BOOLEAN DEFAULT FALSE; {declared}"
            f"DECLARE sf_moves CURSOR FOR {rows}; DECLARE CONTINUE HANDLER FOR NOT FOUND SET sf_done = TRUE; "
            f"OPEN sf_moves; sf_each: LOOP FETCH sf_moves INTO {values}; IF sf_done THEN LEAVE sf_each; END IF; "
            f"INSERT INTO {sql.event_table} ({sql.columns}) VALUES ({values}); "
            f"IF {self._is_delivered(flow, origin)} THEN INSERT INTO {sql.delivery_table} ({sql.delivery_columns}) "
            f"VALUES ({sql.delivery_values('LAST_INSERT_ID()', flow)}); END IF; END LOOP; CLOSE sf_moves; END"
        )

    def _delivered(self, row: str) -> str:
        return self._is_delivered(f"{row}.flow", f"{row}.origin")

    def _is_delivered(self, flow: str, origin: str) -> str:
        flows = ", ".join(map(self.sql.text, self.sql.with_callables))
        origins = f"{self.sql.text(Origin.LIVE.value)}, {self.sql.text(Origin.SWEEP.value)}"
        return f"{self._exactly(flow)} IN ({flows}) AND {origin} IN ({origins})"

    def _origin_of_each(self) -> str:
        if self.origin != Origin.INITIAL:
            return self.sql.text(self.origin.value)
        initial, sweep = self.sql.text(Origin.INITIAL.value), self.sql.text(Origin.SWEEP.value)
        return f"(CASE WHEN sf.since IS NULL THEN {initial} ELSE {sweep} END)"

    def _not_before_last(self, timestamp: str) -> str:
        greatest = "max" if self.vendor == "sqlite" else "GREATEST"
        return f"{greatest}({timestamp}, COALESCE(sf.since, {timestamp}))"

    def _column(self, name: str) -> str:
        return self.sql.connection.ops.quote_name(name)

    def _differ(self, source: str, sink: str) -> str:
        return f"{self._exactly(source)} <> {self._exactly(sink)}"

    def _exactly(self, text: str) -> str:
        return exactly(self.sql.connection, text)
