"""The sweep: what events say is compared with what the tables hold, and the missing moves are written.

Set-based, one range of keys after another, so that memory stays flat and one that was interrupted goes on. Ranges cover
all keys, also those that only events know; on PostgreSQL those where sums say that something may be missing.
Differences are found without a lock; then the rows are locked, looked at again, and written. The first complete sweep
opens the tracker: what it finds without any event is the opening balance, and the stocks are counted then.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext_noop

from stockandflow.batches import batched
from stockandflow.capture.event_sql import exactly
from stockandflow.capture.install import databases, trackers_on
from stockandflow.capture.methods import method_for
from stockandflow.capture.moves import ROW, MissingMoves
from stockandflow.capture.readiness import columns_of, missing
from stockandflow.capture.sums import EVERYWHERE, Span, doubtful
from stockandflow.declarations import ModelTracker, State, state_key
from stockandflow.exceptions import InvalidInput
from stockandflow.membership import count_memberships, crossings_sql, literal, text_literal
from stockandflow.models import Origin, StockRecord, Sweep, last_first_seen, sweeps, told_unopened
from stockandflow.models.clock import DatabaseNow, database_now, fresh, move_sql, utc_of, writing
from stockandflow.registry import Registry

logger = logging.getLogger(__name__)

CHUNK = 10_000
"""Subjects compared by one query."""
EVENTS_A_SUBJECT = 4
"""A range ends early where it has more events than this for each subject of a chunk."""
BATCH = 1000
"""Subjects that are locked, and whose events are written, in one transaction."""
RESWEPT_AFTER = timedelta(hours=23)
"""A tracker that triggers serve isn't swept again by the schedule before; an hour less than a day, not to drift."""
SAMPLE = 100
"""Objects of a tracker by function that are asked for their states, to see whether the stocks say the same."""


Move = tuple[str, str]
"""The keys of source and sink."""
Found = tuple[Any, str, str]
"""A missing move: the subject's key as the database gives it, and the keys of source and sink."""
Progress = Callable[[str, int, int], None]
"""Called after each range with the tracker's slug, about how many subjects were looked at, and how many moves found."""


@dataclass(frozen=True)
class Swept:
    """What a sweep found and wrote for one tracker: (source, sink) → moves.

    ``opened`` where this was the first complete one, whose moves from external are the opening balance. ``left_out``
    says why nothing was looked at, "" where it was.
    """

    tracker: ModelTracker
    using: str
    moves: dict[Move, int]
    opened: bool = False
    left_out: str = ""

    @property
    def found(self) -> int:
        return sum(self.moves.values())


def repair(
    registry: Registry,
    *,
    using: str | None = None,
    slugs: Iterable[str] | None = None,
    chunk: int = CHUNK,
    progress: Progress | None = None,
) -> list[Swept]:
    """Sweep trackers, all unless ``slugs`` names some, on one database or all; in registered order.

    Writes the missing moves, those before later events too, with the origin ``sweep``, which are delivered to event
    callables, and opens trackers that aren't yet, whose objects get the origin ``initial``. Safe beside writers and
    other sweeps. Raises UnknownSlug or InvalidInput for what isn't there.
    """
    return [
        sweep(tracker, alias, chunk=chunk, progress=progress)
        for tracker, alias in chosen(registry, using, slugs)
    ]


def repair_due(registry: Registry) -> list[Swept]:
    """Sweep what the schedule should: trackers that triggers serve once a day, all others at every call.

    One that was interrupted goes on.
    """
    done = []
    for alias in databases(registry):
        connection = connections[alias]
        if not _is_there(connection):
            continue
        fresh = {"completed_at__gt": DatabaseNow() - RESWEPT_AFTER, "started_at": None}
        settled = set(sweeps(alias).filter(**fresh).values_list("tracker", flat=True))
        done += [
            sweep(tracker, alias)
            for tracker in trackers_on(registry, connection)
            if tracker.slug not in settled or method_for(tracker, connection).kind == "signals"
        ]
    return done


def chosen(
    registry: Registry, using: str | None = None, slugs: Iterable[str] | None = None
) -> list[tuple[ModelTracker, str]]:
    """The trackers that are asked for, each with the alias of its database; raises UnknownSlug or InvalidInput."""
    wanted = None if slugs is None else [registry.tracker(slug) for slug in slugs]
    if using is not None and using not in connections:
        raise InvalidInput(
            f"There is no database {using!r}; DATABASES has {', '.join(map(repr, connections))}."
        )
    found = [
        (tracker, alias)
        for alias in ([using] if using is not None else list(connections))
        for tracker in trackers_on(registry, connections[alias])
        if wanted is None or tracker in wanted
    ]
    there = [tracker for tracker, _ in found]
    if lost := [tracker.slug for tracker in wanted or () if tracker not in there]:
        where = f"The database {using!r}" if using else "No database"
        raise InvalidInput(
            f"{where} holds the tables of the tracker {lost[0]!r}; look at its stocks' database, and run 'migrate'."
        )
    return found


def sweep(
    tracker: ModelTracker, using: str, *, chunk: int = CHUNK, progress: Progress | None = None
) -> Swept:
    """Compare one tracker's events with its table from the beginning, or from where it was interrupted; see repair.

    Where another has completed meanwhile what was begun, the rest has been seen to, and is left alone.
    """
    checked(chunk)
    if reason := _why_not_yet(tracker, using):
        return Swept(tracker, using, {}, left_out=reason)
    if reason := _why_not_by_stocks(tracker, using):
        _note_beginning(tracker, using)
        return Swept(tracker, using, {}, left_out=reason)
    row = sweeps(using).get_or_create(tracker=tracker.slug, database=using)[0]
    if row.started_at is None:
        idle = sweeps(using).filter(pk=row.pk, started_at=None)
        idle.update(started_at=DatabaseNow(), cursor=None, found=0)
        row.refresh_from_db()
    # Another may go on with this one as well, complete it and begin the next, which isn't ours to write to.
    state = sweeps(using).filter(pk=row.pk, started_at=row.started_at)
    opening = row.opened_at is None
    comparison = Comparison(tracker, using, opening=opening, opened_at=row.opened_at)
    counted: Counter[Move] = Counter()
    looked = 0
    for reached in comparison.ranges(row.cursor, chunk, EVERYWHERE if opening else comparison.doubtful()):
        found = comparison.found(reached)
        counted.update((source, sink) for _, source, sink in found)
        for batch in batched(found, BATCH):
            _write(comparison, batch, row)
        # Only now: who moved on while it was looked at has left a gap instead of what was found.
        gaps = [gap for gap in comparison.gaps(reached) if gap.room]
        counted.update((gap.source, gap.sink) for gap in gaps)
        for some in batched(list(dict.fromkeys(gap.subject for gap in gaps)), BATCH):
            _write_gaps(comparison, some, row)
        looked += chunk
        under_way = state.update(cursor=reached.text, found=row.found + sum(counted.values()))
        if progress:
            progress(tracker.slug, looked, sum(counted.values()))
        if not under_way:
            break
    else:
        now = database_now(using)  # read once: what opens a tracker is no sweep since
        known: dict[str, Any] = {"completed_at": now, "started_at": None, "cursor": None}
        if opening:
            known |= {"opened_at": now, "told_since": last_first_seen(tracker, None)}
            StockRecord.objects.take(tracker.stocks)  # what is missed from now on shows beside a later count
        state.update(**known)
    return Swept(tracker, using, dict(counted), opened=opening)


def _note_beginning(tracker: ModelTracker, using: str) -> None:
    """Note once since when the events of a tracker that can't be opened tell what moved."""
    with writing(using):
        told: dict[str, Any] = {"told_since": lambda: told_unopened(tracker)}
        sweeps(using).get_or_create(tracker=tracker.slug, database=using, defaults=told)


def checked(chunk: int) -> int:
    """The chunk itself; raises InvalidInput where nothing could be compared."""
    if chunk < 1:
        raise InvalidInput(
            f"chunk is {chunk!r}; give the number of subjects to compare at a time, 1 or more."
        )
    return chunk


def open_trackers(registry: Registry, using: str, progress: Progress | None = None) -> list[Swept]:
    """Open the trackers of a database that aren't yet; for ``migrate``, once the triggers are in place.

    Two queries where all are open; where a tracker has neither subjects nor events, two more for it and two to note it.
    One that can't be opened is logged, and opened by the next sweep.
    """
    connection = connections[using]
    known = opened(using)
    if known is None:
        return []
    done = []
    for tracker in trackers_on(registry, connection):
        if tracker.slug in known:
            continue
        try:
            if not any(rows_of(model, using).exists() for model in (tracker.model, tracker.events)):
                with writing(using):
                    now = database_now(using)
                    sweeps(using).update_or_create(
                        tracker=tracker.slug, database=using, defaults={"opened_at": now, "completed_at": now}
                    )
            else:
                done.append(sweep(tracker, using, progress=progress))
        except DatabaseError:
            logger.exception(
                "The tracker %r could not be opened on %r; 'manage.py stockandflow sweep' will, once that is mended.",
                tracker.slug,
                using,
            )
    return done


def opened(using: str) -> set[str] | None:
    """The slugs of that database's trackers which have been opened; None where no table tells yet. Two queries."""
    if not _is_there(connections[using]):
        return None
    found = sweeps(using).filter(opened_at__isnull=False)
    return set(found.values_list("tracker", flat=True))


def why_left_out(tracker: ModelTracker, using: str) -> str:
    """Why a sweep can't tell where the tracker's objects are, in words; "" where it can.

    A tracker by function is swept by its stocks' querysets, where these say what the function says. One query for
    the tables and two for each; for a tracker by function one pass over its table too, and a look at 100 objects.
    """
    return _why_not_yet(tracker, using) or _why_not_by_stocks(tracker, using)


def _why_not_yet(tracker: ModelTracker, using: str) -> str:
    """Why nothing can be compared, whatever the tracker's function says."""
    connection = connections[using]
    if not tracker.stocks:
        return gettext_noop("it has no stocks, so no queryset says where its objects are")
    if not _is_there(connection):
        return f"the database {using!r} has no table for sweeps yet; run 'migrate'"
    if waiting := missing(tracker, columns_of([tracker], connection)):
        return f"the database {using!r} lacks {', '.join(waiting)}; run 'migrate'"
    return ""


def _why_not_by_stocks(tracker: ModelTracker, using: str) -> str:
    """Why the querysets of its stocks don't tell where its objects are; "" where they do."""
    if tracker.derived:
        return ""
    states: Any = tracker.states_to_stocks_func
    rows = rows_of(tracker.model, using).values_list("pk", *tracker.fields_to_track)
    by_key = {stock.slug: stock for stock in tracker.stocks}
    sample = list(rows[:SAMPLE])
    keys = [key for key, *_ in sample]
    held: dict[Any, str] = {}
    for slug, stock in reversed(by_key.items()):
        held |= dict.fromkeys(stock.all().using(using).filter(pk__in=keys).values_list("pk", flat=True), slug)
    for key, *values in sample:
        try:
            sinks: tuple[State, ...] = tuple(states(None, tuple(values))[1])
        except Exception as error:  # noqa: BLE001  (a project's function; what it raises is told)
            return f"its function failed for the object {key!r}: {error!r}"
        if len(sinks) != 1:
            return (
                f"its function gives {len(sinks)} states for one object, and a sweep knows one dimension; declare a "
                "tracker for each"
            )
        said = state_key(sinks[0])
        if (said if said in by_key else "") != held.get(key, ""):
            return (
                f"its function says that the object {key!r} is in {said!r}, and the stocks' querysets say "
                f"{held.get(key, '')!r}"
            )
    placed = count_memberships({slug: stock.queryset.using(using) for slug, stock in by_key.items()})
    if several := next((slugs for slugs in placed if len(slugs) > 1), None):
        return (
            f"objects are in {' and '.join(map(repr, several))} at once, and a sweep knows one dimension; declare a "
            "tracker for each"
        )
    return ""


@dataclass(frozen=True)
class Range:
    """Keys after ``after`` and up to ``until``, both included where they are None: as SQL literals.

    ``text`` is ``until`` as the cursor keeps it.
    """

    after: str | None
    until: str | None
    text: str | None

    def of(self, key: str) -> str:
        """The condition that SQL for a key lies in the range."""
        bounds = [f"{key} > {self.after}"] if self.after is not None else []
        bounds += [f"{key} <= {self.until}"] if self.until is not None else []
        return " AND ".join(bounds) or "1 = 1"


@dataclass(frozen=True)
class Gap:
    """A move that was missed before a later event of the subject, which doesn't begin where the one before ended.

    The subject's key as the database gives it, the keys of source and sink, and the instants of the two events, or of
    the tracker's opening and the subject's first event; without ``room`` there is no instant between them.
    """

    subject: Any
    source: str
    sink: str
    since: datetime
    until: datetime
    room: bool


_WITH_THE_FIRST = "CASE WHEN place = 1 THEN {} ELSE 0 END"


def _placed(moves: str, order: str, roomless: str = "0") -> str:
    """SQL for the same moves, each with its ``place`` among those of its source and sink, and how many these are."""
    alike = "PARTITION BY source, sink"
    without = f"{roomless} OVER ({alike})" if roomless != "0" else "0"
    return (
        f"SELECT sf_moves.*, ROW_NUMBER() OVER ({alike} ORDER BY {order}) AS place, "
        f"COUNT(*) OVER ({alike}) AS moves, {without} AS roomless FROM ({moves}) AS sf_moves"
    )


class Comparison:
    """One tracker's events beside its table on one database; ``opened_at`` is when the tracker was opened there."""

    def __init__(
        self, tracker: ModelTracker, using: str, *, opening: bool = False, opened_at: datetime | None = None
    ) -> None:
        self.tracker, self.using, self.connection = tracker, using, connections[using]
        events: Any = tracker.events._meta
        self.key: Any = events.get_field("subject").target_field
        self.moves = MissingMoves(
            tracker,
            self.connection,
            origin=Origin.INITIAL if opening else Origin.SWEEP,
            timestamp=_when(tracker, self.connection),
            opened_at=opened_at,
        )

    def doubtful(self) -> list[Span]:
        """The spans of keys in which moves may be missing; see ``sums``."""
        return doubtful(self.moves, self.using)

    def ranges(
        self, cursor: str | None, chunk: int, spans: Iterable[Span] = tuple(EVERYWHERE)
    ) -> Iterator[Range]:
        """All keys of the spans after the cursor in ranges of ``chunk`` subjects, fewer where they have many events.

        In order. Two or three queries a range.
        """
        done = None if cursor is None else self.key.to_python(cursor)
        for start, end in spans:
            if done is not None and end is not None and end <= done:
                continue
            after = start if done is None or (start is not None and start > done) else done
            while True:
                until = self._end(after, end, chunk)
                text = None if until is None else str(until)
                yield Range(self._literal(after), self._literal(until), text)
                if until == end:
                    break
                after = until

    def at_once(self, spans: list[Span]) -> list[Range]:
        """All keys of the spans in one range, with those between; none where there are no spans. No query."""
        if not spans:
            return []
        (after, _), (_, until) = spans[0], spans[-1]
        return [Range(self._literal(after), self._literal(until), None if until is None else str(until))]

    def _end(self, after: Any, end: Any, chunk: int) -> Any:
        subjects = rows_of(self.tracker.model, self.using).order_by(self.key.attname)
        events = rows_of(self.tracker.events, self.using).order_by("subject_id")
        if after is not None:
            subjects = subjects.filter(**{f"{self.key.attname}__gt": after})
            events = events.filter(subject_id__gt=after)
        if end is not None:
            subjects = subjects.filter(**{f"{self.key.attname}__lte": end})
        until = _at(subjects.values_list(self.key.attname, flat=True), chunk)
        until = end if until is None else until
        if until is not None:
            events = events.filter(subject_id__lt=until)
        sooner = _at(events.values_list("subject_id", flat=True), chunk * EVENTS_A_SUBJECT)
        return until if sooner is None else sooner

    def _literal(self, key: Any) -> str | None:
        if key is None:
            return None
        return literal(self.connection, self.key.get_db_prep_value(key, self.connection))

    def found(self, reached: Range) -> list[Found]:
        """The missing moves in a range. One query on PostgreSQL, else two."""
        rows: list[Found] = []
        with self.connection.cursor() as cursor:
            for query in self.moves.compared(reached.of):
                cursor.execute(query)
                rows += cursor.fetchall()
        return rows

    def gaps(self, reached: Range) -> list[Gap]:
        """The moves in a range that were missed before later events, by subject and time. One query."""
        gaps = self.moves.gaps(reached.of(self.moves.event_key))
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT subject, source, sink, since, later_at, moved_at > since "
                f"FROM ({gaps}) AS sf ORDER BY subject, later_at"
            )
            return [
                Gap(subject, source, sink, utc_of(since), utc_of(until), bool(room))
                for subject, source, sink, since, until, room in cursor.fetchall()
            ]

    def first_found(self, reached: Range, named: int) -> list[tuple[Found, int]]:
        """The first missing moves in a range by key, ``named`` of each source and sink; as many queries as ``found``.

        With the first of each comes how many there are, with the others 0.
        """
        rows: list[tuple[Found, int]] = []
        with self.connection.cursor() as cursor:
            for query in self.moves.compared(reached.of):
                cursor.execute(
                    f"SELECT subject, source, sink, {_WITH_THE_FIRST.format('moves')} "
                    f"FROM ({_placed(query, 'subject')}) AS sf_first WHERE place <= {max(named, 1)} ORDER BY place"
                )
                rows += [((key, source, sink), moves) for key, source, sink, moves in cursor.fetchall()]
        return rows

    def first_gaps(self, reached: Range, named: int) -> list[tuple[Gap, int, int]]:
        """The first gaps in a range, as ``first_found``, also with how many of them have no room. One query."""
        gaps = self.moves.gaps(reached.of(self.moves.event_key))
        roomless = "SUM(CASE WHEN moved_at > since THEN 0 ELSE 1 END)"
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT subject, source, sink, since, later_at, moved_at > since, "
                f"{_WITH_THE_FIRST.format('moves')}, {_WITH_THE_FIRST.format('roomless')} "
                f"FROM ({_placed(gaps, 'subject, later_at', roomless)}) AS sf_first "
                f"WHERE place <= {max(named, 1)} ORDER BY place"
            )
            return [
                (Gap(subject, source, sink, utc_of(since), utc_of(until), bool(room)), moves, int(without))
                for subject, source, sink, since, until, room, moves, without in cursor.fetchall()
            ]

    def held(self, keys: list[Any]) -> list[Any]:
        """Those of the keys that have a row. One query where there are keys."""
        if not keys:
            return []
        key = self.moves.row_key
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {key} FROM {self.moves.sql.table} AS {ROW} WHERE {self.among(key, keys)}")
            return [found for (found,) in cursor.fetchall()]

    def among(self, key: str, keys: Iterable[Any]) -> str:
        """The condition that SQL for a key is one of these, as the database gave them."""
        return f"{key} IN ({', '.join(literal(self.connection, one) for one in keys)})"


def _write(comparison: Comparison, batch: list[Found], row: Sweep) -> None:
    """Lock the subjects, look again, and write what is still missing.

    Rows that a transaction holds are passed over at first and then waited for one by one: who waits for one row while
    holding no other can be in nobody's way.
    """
    keys, leaving = [key for key, _, _ in batch], {key for key, _, sink in batch if not sink}
    skips = bool(comparison.connection.features.has_select_for_update_skip_locked)
    with fresh(comparison.using):
        written = _write_those(comparison, keys, leaving, row, skip=skips)
    for key in comparison.held([key for key in keys if key not in written]) if skips else ():
        with fresh(comparison.using):
            _write_those(comparison, [key], set(), row, skip=False)


def _write_those(
    comparison: Comparison, keys: list[Any], leaving: set[Any], row: Sweep, *, skip: bool
) -> set[Any]:
    """Write the missing moves of these subjects, some of whose rows may be gone; the keys of the rows locked."""
    moves, connection = comparison.moves, comparison.connection
    with connection.cursor() as cursor:
        _take_turns(comparison, row, cursor)
        cursor.execute(moves.locking(comparison.among(moves.row_key, keys), skip=skip))
        locked = {key for (key,) in cursor.fetchall()}
        statements = moves.of_rows(comparison.among(moves.row_key, locked)) if locked else []
        if leaving:
            statements += moves.of_gone(comparison.among(moves.event_key, leaving))
        for statement in statements:
            cursor.execute(statement)
    return locked


def _write_gaps(comparison: Comparison, keys: list[Any], row: Sweep) -> None:
    """Write the moves of these subjects that were missed before later events; only sweeps write between two events."""
    moves = comparison.moves
    with fresh(comparison.using), comparison.connection.cursor() as cursor:
        _take_turns(comparison, row, cursor)
        for statement in moves.of_gaps(comparison.among(moves.event_key, keys)):
            cursor.execute(statement)


def _take_turns(comparison: Comparison, row: Sweep, cursor: Any) -> None:
    """Let no other sweep of the tracker write meanwhile: subjects that are gone have no row to be locked.

    On SQLite take the write lock before anything is read, so that what is read stays so.
    """
    if comparison.connection.vendor == "sqlite":
        cursor.execute(f"UPDATE {comparison.moves.sql.event_table} SET origin = origin WHERE 0 = 1")
    elif sweeps(comparison.using).db == comparison.using:
        sweeps(comparison.using).select_for_update().filter(pk=row.pk).values_list("pk").first()


def _when(tracker: ModelTracker, connection: BaseDatabaseWrapper) -> str | None:
    """SQL for when a row made its missing move, where the clock moves it: the last line that it crossed since.

    None where no stock asks for the time. Without an event since when is known, it is now.
    """
    now, crossed = move_sql(connection.vendor), []
    source, sink = (exactly(connection, f"sf.{side}") for side in ("source", "sink"))
    for stock in tracker.stocks:
        slug = text_literal(connection, stock.slug)
        for instant in crossings_sql(stock.queryset, ROW, connection):
            moved = f"({source} = {slug} OR {sink} = {slug}) AND {instant} <= {now}"
            crossed.append(f"COALESCE(CASE WHEN {moved} THEN {instant} END, sf.since)")
    if not crossed:
        return None
    latest = f"{'max' if connection.vendor == 'sqlite' else 'GREATEST'}({', '.join(crossed)}, sf.since)"
    return f"(CASE WHEN {latest} > sf.since THEN {latest} ELSE {now} END)"


def rows_of(model: type[models.Model], using: str) -> models.QuerySet[Any]:
    return models.QuerySet(model, using=using)  # not by a manager, which may leave rows out


def _at(values: models.QuerySet[Any], place: int) -> Any:
    """The value at that place, counted from one; None where there are fewer."""
    return next(iter(values[place - 1 : place]), None)


def _is_there(connection: BaseDatabaseWrapper) -> bool:
    """Whether that database, or the one that keeps its sweeps, has a table for them. One query."""
    keeper = connections[sweeps(connection.alias).db]
    with keeper.cursor() as cursor:
        return Sweep._meta.db_table in keeper.introspection.table_names(cursor)
