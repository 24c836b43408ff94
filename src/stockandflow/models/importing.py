"""History brought in: moves from before the capture, checked as a whole and written in one transaction.

The rows are laid down in a temporary table, a chunk at a time, and the database checks what they say about each other
and about the events that are there: so memory stays flat, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from django.apps import apps
from django.db import connections, router
from django.db.models import F, Q, QuerySet

from stockandflow.declarations import ModelTracker
from stockandflow.exceptions import HistoryRefused
from stockandflow.models.clock import database_now, fresh, utc_of
from stockandflow.models.origin import Origin
from stockandflow.models.staging import SHOWN, TABLE, Problems, drop, shown, staged
from stockandflow.models.standing import last_first_seen, told_unopened
from stockandflow.models.sweeps import Sweep, sweeps
from stockandflow.periods import Calendar

MEETINGS = "sf_history_meetings"
"""The temporary table of the subjects whose history meets an event that was captured."""

KNOWN = "sf_history_known"
"""The temporary table of the rows that are events already."""


@dataclass(frozen=True)
class Imported:
    """What an import did, or with ``dry_run`` would do.

    Of ``rows`` given, ``written`` are new events, of so many ``subjects``; the others were there already. Opening
    balances were ``dropped`` where history leads to them, and ``turned`` into missing moves where it ends elsewhere.
    """

    rows: int
    written: int
    subjects: int
    dropped: int
    turned: int
    dry_run: bool = False

    @property
    def already_there(self) -> int:
        return self.rows - self.written

    def __str__(self) -> str:
        if not self.written:
            return f"nothing new: all {self.rows:,} moves are there already" if self.rows else "no moves"
        would = "would " if self.dry_run else ""
        parts = [f"{_number(self.written, 'move')} of {_number(self.subjects, 'subject')}"]
        if self.already_there:
            parts.append(f"{self.already_there:,} were there already")
        if self.dropped:
            gave, whose = "give" if would else "gave", "its" if self.dropped == 1 else "their"
            parts.append(f"{_number(self.dropped, 'opening balance')} {would}{gave} way to {whose} history")
        if self.turned:
            became, what = (
                "become" if would else "became",
                "a missing move" if self.turned == 1 else "missing moves",
            )
            balances = _number(self.turned, "opening balance")
            parts.append(f"{balances} {would}{became} {what}, since history ends elsewhere")
        return "; ".join(parts)


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def import_moves(
    tracker: ModelTracker, rows: Iterable[Any], *, zone: str | None, allow_missing: bool, dry_run: bool
) -> Imported:
    """See ``ModelTracker.import_events``."""
    using = tracker.database
    connection, problems = connections[using], Problems()
    # A pooler of PostgreSQL may give each transaction another session, and temporary tables belong to one; elsewhere
    # the writers needn't wait while the rows are read.
    around: Any = fresh(using) if connection.vendor == "postgresql" else nullcontext()
    now = database_now(using)
    with around, staged(tracker, rows, zone, now, problems) as number:
        history = _History(tracker, problems, UTC if zone is None else Calendar(zone).zone)
        history.check_rows(allow_missing=allow_missing)
        with fresh(using):
            if not dry_run:
                history.lock()
            new = history.pass_over()
            if not new and not problems.total:
                return Imported(number, 0, 0, 0, 0, dry_run)
            with history.meetings():
                return history.fit(number, now, dry_run=dry_run)


def _execute(using: str, sql: str, params: Iterable[Any] = ()) -> int:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, list(params))
        return int(cursor.rowcount)


def _gap(e: str = "e", m: str = "m") -> str:
    """Events that say only where a subject was found: an opening balance, or a missing move after earlier history."""
    return f"({e}.origin = 'initial' OR ({e}.origin = 'sweep' AND {m}.longer = 1))"


def _led(e: str = "e", m: str = "m") -> str:
    """Those that history leads to."""
    return f"({_gap(e, m)} AND {m}.stood = {e}.sink)"


def _turned(e: str = "e", m: str = "m") -> str:
    """Those where history ends elsewhere than it was known to."""
    return f"({_gap(e, m)} AND {m}.stood <> {e}.sink AND ({e}.origin = 'initial' OR {m}.stood <> {e}.source))"


def _first(origin: str) -> str:
    return "opening balance" if origin == Origin.INITIAL else f"first {origin} event"


class _History:
    """The staged rows of one tracker, among themselves and against its events."""

    def __init__(self, tracker: ModelTracker, problems: Problems, zone: tzinfo) -> None:
        self.tracker, self.problems, self.using = tracker, problems, tracker.database
        self.zone = zone
        self.connection = connections[self.using]
        quote = self.connection.ops.quote_name
        events: Any = tracker.events._meta
        subject: Any = events.get_field("subject")
        target = subject.target_field
        self.target = target
        self.events, self.id = quote(events.db_table), quote(events.pk.column)
        self.subject = quote(subject.column)
        self.objects, self.key = quote(target.model._meta.db_table), quote(target.column)
        self.timestamp: Any = events.get_field("timestamp")
        self.imported = "tracker = %s AND origin = %s", (tracker.slug, Origin.IMPORT.value)
        self.there = False

    def _rows(self, sql: str, params: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, list(params))
            return list(cursor.fetchall())

    def _number(self, sql: str, params: Iterable[Any] = ()) -> int:
        return int(self._rows(sql, params)[0][0])

    def _found(self, sql: str, params: Iterable[Any] = ()) -> tuple[list[tuple[Any, ...]], int]:
        """The first rows by line, and how many there are; the query's first column is the line."""
        params = list(params)
        first = self._rows(f"SELECT * FROM ({sql}) AS found ORDER BY 1 LIMIT {SHOWN}", params)
        total = len(first)
        if total == SHOWN:
            total = self._number(f"SELECT COUNT(*) FROM ({sql}) AS found", params)
        return first, total

    def _shown(self, raw: Any) -> str:
        """A subject's key as a person writes it."""
        field = self.target
        while field.remote_field:
            field = field.target_field
        return repr(str(field.to_python(raw)))

    def _instant(self, raw: Any) -> str:
        return shown(utc_of(raw), self.zone)

    # Among themselves

    def check_rows(self, *, allow_missing: bool) -> None:
        """What is wrong with the rows whatever events there are; after this only new rows are left."""
        if not allow_missing:
            self._check_subjects()
        self._check_order()

    def _check_subjects(self) -> None:
        found, total = self._found(
            f"SELECT MIN(s.line) AS line, s.subject FROM {TABLE} s "
            f"LEFT JOIN {self.objects} o ON o.{self.key} = s.subject WHERE o.{self.key} IS NULL AND NOT EXISTS "
            f"(SELECT 1 FROM {self.events} e WHERE e.{self.subject} = s.subject AND e.tracker = %s) "
            "GROUP BY s.subject",
            [self.tracker.slug],
        )
        label = self.tracker.model._meta.verbose_name
        self.problems.merge(
            [
                (
                    line,
                    (
                        f"there is no {label} {self._shown(key)}; for those that are gone, "
                        "allow_missing_subjects=True, or on the command line --allow-missing"
                    ),
                )
                for line, key in found
            ],
            total,
        )

    def _check_order(self) -> None:
        over = "OVER (PARTITION BY subject ORDER BY seq)"
        found, total = self._found(
            "SELECT line, subject, at, source, earlier, stood, CASE WHEN at < earlier THEN 1 ELSE 0 END AS back "
            "FROM (SELECT line, subject, at, source, "
            f"LAG(at) {over} AS earlier, COALESCE(LAG(sink) {over}, '') AS stood FROM {TABLE}) AS chained "
            "WHERE at < earlier OR source <> stood"
        )
        shown = []
        for line, key, at, source, earlier, stood, back in found:
            if back:
                text = (
                    f"goes back in time, from {self._instant(earlier)} to {self._instant(at)}; sort its rows"
                )
            elif not stood:
                text = f"comes from {source!r} and was outside before; add the move by which it came there"
            else:
                text = (
                    f"comes from {self._named(source)} and was in {stood!r} before; a move is missing between"
                )
            shown.append((line, f"{self._shown(key)} {text}"))
        self.problems.merge(shown, total)

    # Against the events

    def lock(self) -> None:
        """Have other imports, sweeps, and writers of these subjects wait until the end of the transaction."""
        if self.connection.vendor == "sqlite":
            # There is one writer, from the first statement that might write.
            _execute(self.using, f"UPDATE {self.events} SET origin = origin WHERE 1 = 0")
            return
        if router.allow_migrate_model(self.using, Sweep):
            # As a sweep does: subjects that are gone have no row to be locked.
            turns = Sweep.objects.using(self.using)
            told: dict[str, Any] = {"told_since": lambda: told_unopened(self.tracker)}
            row, _ = turns.get_or_create(tracker=self.tracker.slug, database=self.using, defaults=told)
            turns.select_for_update().values_list("pk").get(pk=row.pk)
        ours = f"FROM {self.objects} WHERE {self.key} IN (SELECT subject FROM {TABLE}) FOR UPDATE"
        if self.connection.vendor == "postgresql":
            self._rows(f"SELECT COUNT(*) FROM (SELECT 1 {ours}) AS locked")
        else:
            self._rows(f"SELECT COUNT(*) {ours}")

    def pass_over(self) -> int:
        """Drop the staged rows that are events already, of several alike as many as there are; how many are left."""
        self.there = bool(
            self._rows(f"SELECT 1 FROM {self.events} WHERE {self.imported[0]} LIMIT 1", self.imported[1])
        )
        if self.there:
            self._drop_known()
        return self._number(f"SELECT COUNT(*) FROM {TABLE}")

    def _drop_known(self) -> None:
        # By way of a table with a key: MariaDB asks an IN of a DELETE row by row.
        drop(self.connection, KNOWN)
        _execute(self.using, f"CREATE TEMPORARY TABLE {KNOWN} (seq bigint NOT NULL PRIMARY KEY)")
        # A look-up by the events' index for each row: a join of the two makes MariaDB sort for minutes.
        _execute(
            self.using,
            f"INSERT INTO {KNOWN} (seq) SELECT seq FROM (SELECT seq, subject, at, source, sink, ROW_NUMBER() OVER "
            f"(PARTITION BY subject, at, source, sink ORDER BY seq) AS nth FROM {TABLE}) AS s WHERE nth <= "
            f"(SELECT COUNT(*) FROM {self.events} e WHERE e.{self.subject} = s.subject AND e.timestamp = s.at "
            f"AND e.source = s.source AND e.sink = s.sink AND {self.imported[0]})",
            self.imported[1],
        )
        _execute(
            self.using,
            f"DELETE FROM {TABLE} WHERE EXISTS (SELECT 1 FROM {KNOWN} k WHERE k.seq = {TABLE}.seq)",
        )
        drop(self.connection, KNOWN)

    @property
    def _merged(self) -> tuple[str, tuple[Any, ...]]:
        """The new rows and the history that is there of the same subjects, and the parameters."""
        new = f"SELECT subject, at, 1 AS fresh, seq AS place, line, source, sink FROM {TABLE}"
        if not self.there:
            return new, ()
        return (
            f"{new} UNION ALL SELECT {self.subject}, timestamp, 0, {self.id}, NULL, source, sink FROM {self.events} "
            f"WHERE {self.imported[0]} AND {self.subject} IN (SELECT subject FROM {TABLE})"
        ), self.imported[1]

    @contextmanager
    def meetings(self) -> Iterator[None]:
        """Inside, where the new rows meet captured events is laid down in the temporary table MEETINGS."""
        drop(self.connection, MEETINGS)
        exactly = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if self.connection.vendor == "mysql" else ""
        _execute(
            self.using,
            f"CREATE TEMPORARY TABLE {MEETINGS} (event bigint NOT NULL PRIMARY KEY, line bigint NOT NULL, "
            f"stood varchar(100){exactly} NOT NULL, longer integer NOT NULL)",
        )
        merged, params = self._merged
        _execute(
            self.using,
            f"INSERT INTO {MEETINGS} (event, line, stood, longer) SELECT f.event, h.line, h.sink, h.longer FROM "
            f"(SELECT {self.id} AS event, {self.subject} AS subject, ROW_NUMBER() OVER "
            f"(PARTITION BY {self.subject} ORDER BY timestamp, {self.id}) AS nth FROM {self.events} "
            f"WHERE tracker = %s AND origin <> %s AND {self.subject} IN (SELECT subject FROM {TABLE})) AS f JOIN "
            "(SELECT subject, sink, MAX(line) OVER (PARTITION BY subject) AS line, "
            "1 - MIN(fresh) OVER (PARTITION BY subject) AS longer, "
            "ROW_NUMBER() OVER (PARTITION BY subject ORDER BY at DESC, fresh DESC, place DESC) AS nth "
            f"FROM ({merged}) AS merged) AS h ON h.subject = f.subject AND h.nth = 1 WHERE f.nth = 1",
            [*self.imported[1], *params],
        )
        try:
            yield
        finally:
            if not self.connection.needs_rollback:
                drop(self.connection, MEETINGS)

    def fit(self, rows: int, now: datetime, *, dry_run: bool) -> Imported:
        """Check the new rows against the events, and write them."""
        self._check_overlap()
        self._check_meeting()
        if self.there and not self.problems.total:
            self._check_merged()
        if not self.problems.total:
            self._check_ends()
        if self.problems.total:
            raise HistoryRefused(self.tracker.slug, self.problems.first, self.problems.total)
        written = self._number(f"SELECT COUNT(*) FROM {TABLE}")
        subjects = self._number(f"SELECT COUNT(DISTINCT subject) FROM {TABLE}")
        dropped = self._number(f"SELECT COUNT(*) {self._met(_led())}")
        turned = self._number(f"SELECT COUNT(*) {self._met(_turned())}")
        done = Imported(rows, written, subjects, dropped, turned, dry_run)
        if written and not dry_run:
            at = self.timestamp.get_db_prep_value(now, self.connection)
            retold = self._retold()
            self._close_gaps(at)
            self._write(at)
            if retold:
                self._tell_since(*retold)
        return done

    def _check_overlap(self) -> None:
        found, total = self._found(
            f"SELECT s.line, s.subject, s.at, e.timestamp, e.origin FROM {MEETINGS} m "
            f"JOIN {self.events} e ON e.{self.id} = m.event JOIN {TABLE} s ON s.subject = e.{self.subject} "
            "WHERE s.at >= e.timestamp"
        )
        self.problems.merge(
            [
                (
                    line,
                    (
                        f"{self._shown(key)} moves at {self._instant(at)}, and its {_first(origin)} is at "
                        f"{self._instant(first)}; history ends before that, so leave the row out"
                    ),
                )
                for line, key, at, first, origin in found
            ],
            total,
        )

    def _check_meeting(self) -> None:
        found, total = self._found(
            f"SELECT m.line, e.{self.subject}, m.stood, e.source, e.timestamp, e.origin FROM {MEETINGS} m "
            f"JOIN {self.events} e ON e.{self.id} = m.event WHERE m.stood <> e.source AND NOT {_gap()}"
        )
        self.problems.merge(
            [
                (
                    line,
                    (
                        f"the history of {self._shown(key)} ends {self._place(stood)}, and its {_first(origin)}, "
                        f"at {self._instant(at)}, comes from {self._named(source)}; add the move between"
                    ),
                )
                for line, key, stood, source, at, origin in found
            ],
            total,
        )

    @staticmethod
    def _place(state: str) -> str:
        return f"in {state!r}" if state else "outside"

    @staticmethod
    def _named(state: str) -> str:
        return repr(state) if state else "outside"

    def _check_merged(self) -> None:
        """Do the new rows and earlier history make one chain? Ties follow the order in which they were written."""
        merged, params = self._merged
        over = "OVER (PARTITION BY subject ORDER BY at, fresh, place)"
        found, total = self._found(
            "SELECT COALESCE(line, line_before) AS line, subject, at, source, stood FROM (SELECT line, subject, at, "
            f"source, fresh, LAG(line) {over} AS line_before, COALESCE(LAG(sink) {over}, '') AS stood "
            f"FROM ({merged}) AS merged) AS chained "
            "WHERE source <> stood AND COALESCE(line, line_before) IS NOT NULL",
            params,
        )
        self.problems.merge(
            [
                (
                    line,
                    (
                        f"{self._shown(key)} doesn't fit with the history that is there: at {self._instant(at)} it "
                        f"comes from {self._named(source)} and was {self._place(stood)} before"
                    ),
                )
                for line, key, at, source, stood in found
            ],
            total,
        )

    def _check_ends(self) -> None:
        """Does each subject that is gone end outside? Captured events say where the others are, and so do objects."""
        merged, params = self._merged
        found, total = self._found(
            "SELECT h.line, h.subject, h.sink FROM (SELECT subject, sink, MAX(line) OVER (PARTITION BY subject) AS "
            "line, ROW_NUMBER() OVER (PARTITION BY subject ORDER BY at DESC, fresh DESC, place DESC) AS nth "
            f"FROM ({merged}) AS merged) AS h LEFT JOIN {self.objects} o ON o.{self.key} = h.subject "
            f"WHERE h.nth = 1 AND h.sink <> '' AND o.{self.key} IS NULL AND NOT EXISTS (SELECT 1 FROM {self.events} e "
            f"WHERE e.{self.subject} = h.subject AND e.tracker = %s AND e.origin <> %s)",
            [*params, *self.imported[1]],
        )
        label = self.tracker.model._meta.verbose_name
        self.problems.merge(
            [
                (
                    line,
                    (
                        f"the history of {self._shown(key)} ends {self._place(stood)}, and there is no such {label}; "
                        "add the move from there to outside, e.g. when it was deleted"
                    ),
                )
                for line, key, stood in found
            ],
            total,
        )

    def _met(self, condition: str) -> str:
        return f"FROM {MEETINGS} m JOIN {self.events} e ON e.{self.id} = m.event WHERE {condition}"

    def _close_gaps(self, at: Any) -> None:
        """Opening balances that history leads to go; where it ends elsewhere, they are the missing move from there."""
        since = self._rows(f"SELECT MIN(e.timestamp) {self._met(f'({_led()} OR {_turned()})')}")[0][0]
        if since is None:
            return
        # Each by a key of the other table: MariaDB asks an IN of a DELETE or an UPDATE row by row.
        met = f"m.event = {self.events}.{self.id}"
        led = f"SELECT 1 FROM {MEETINGS} m WHERE {met} AND {_led(e=self.events)}"
        _execute(self.using, f"DELETE FROM {self.events} WHERE EXISTS ({led})")
        turned = (
            f"SELECT 1 FROM {self.events} e WHERE e.{self.id} = {MEETINGS}.event AND {_turned(m=MEETINGS)}"
        )
        _execute(self.using, f"DELETE FROM {MEETINGS} WHERE NOT EXISTS ({turned})")
        cases, params = "CASE", []
        for source, sink in self._rows(f"SELECT DISTINCT m.stood, e.sink {self._met('1 = 1')}"):
            flow = self.tracker.flow_for(source, sink)
            cases += " WHEN source = %s AND sink = %s THEN %s"
            params += [source, sink, flow.slug if flow else ""]
        if params:
            stood = f"(SELECT stood FROM {MEETINGS} m WHERE {met})"
            theirs = f"WHERE EXISTS (SELECT 1 FROM {MEETINGS} m WHERE {met})"
            _execute(
                self.using,
                f"UPDATE {self.events} SET source = {stood}, origin = %s, recorded_at = %s {theirs}",
                [Origin.SWEEP.value, at],
            )
            _execute(self.using, f"UPDATE {self.events} SET flow = {cases} ELSE '' END {theirs}", params)
        self._compute_anew(since)

    def _compute_anew(self, since: Any) -> None:
        """Have the flow records computed anew from there on: what changed in place has no new id to tell it."""
        since = datetime.fromisoformat(since) if isinstance(since, str) else since
        since = since.replace(tzinfo=UTC) if since.tzinfo is None else since
        watermark: Any = apps.get_model("stockandflow", "Watermark")
        marks = watermark._default_manager.using(router.db_for_write(watermark))
        mine = marks.filter(event_model=self.tracker.events._meta.label_lower)
        mine.update(version=F("version") + 1)  # a recording that reads meanwhile begins again
        mine.filter(Q(anew_since=None) | Q(anew_since__gt=since)).update(anew_since=since)

    def _retold(self) -> tuple[datetime | None, datetime] | None:
        """When the tracker was opened, and since when events tell where subjects stood; None if they tell no more.

        They do only where the last first seen gets a history.
        """
        known: Any = self._sweeps().values_list("opened_at", "told_since").first()
        if known is None:
            return None
        opened, since = known
        more = opened is None or self._number(
            f"SELECT COUNT(*) FROM {self.events} WHERE tracker = %s AND {self.subject} IN "
            f"(SELECT subject FROM {TABLE}) AND timestamp = %s",
            [self.tracker.slug, self.timestamp.get_db_prep_value(since, self.connection)],
        )
        return (opened, since) if more else None

    def _tell_since(self, opened: datetime | None, since: datetime) -> None:
        """Note since when the events tell where subjects stood."""
        told = last_first_seen(self.tracker, opened) if opened else told_unopened(self.tracker, since)
        self._sweeps().update(told_since=told)

    def _sweeps(self) -> QuerySet[Sweep]:
        """What is known of the tracker's sweeps, where the past of some subjects was unknown."""
        return sweeps(self.using).filter(tracker=self.tracker.slug, told_since__isnull=False)

    def _write(self, at: Any) -> None:
        _execute(
            self.using,
            f"INSERT INTO {self.events} (tracker, flow, source, sink, {self.subject}, timestamp, recorded_at, facets, "
            f"origin) SELECT %s, flow, source, sink, subject, at, %s, facets, %s FROM {TABLE} ORDER BY seq",
            [self.tracker.slug, at, Origin.IMPORT.value],
        )
