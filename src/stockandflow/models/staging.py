"""Rows of history on their way into the database: each read on its own, and laid down in a temporary table.

What rows say about each other and about what is there already is asked of the database: see ``importing``.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from stockandflow.declarations import ModelTracker, state_key
from stockandflow.membership import FacetColumn
from stockandflow.periods import Calendar
from stockandflow.ranges import YEARS

if TYPE_CHECKING:
    from stockandflow.models.events import FlowEvent

SHOWN = 100
"""How many problems are told one by one; of the rest, how many there are."""
SHOWN_ALIKE = 5
"""How many lines are named that share a problem with one that is told."""
CHUNK = 5000
"""Rows that are in memory at once."""
TABLE = "sf_history"
COLUMNS = ("seq", "line", "subject", "at", "source", "sink", "flow", "facets")
NUMBER = re.compile(r"[+-]?[0-9]+")
NO_FACETS: Mapping[str, Any] = {}


class PastMove(NamedTuple):
    """One move of history. A plain tuple of the first four, or five, does as well.

    ``subject`` is the key of the object or the object itself, ``source`` and ``sink`` are stocks, their slugs, or
    stand-ins that flows declare, and None or "" is external. ``timestamp`` is an aware datetime, or ISO text; a naive
    one, or a date, needs a time zone beside it. ``facets`` is facet slug → value as it was. ``line`` is where it
    stands in its source, for messages; 0 takes its place among the rows.
    """

    subject: Any
    timestamp: datetime | date | str
    source: Any
    sink: Any
    facets: Mapping[str, Any] = NO_FACETS
    line: int = 0


class Unreadable(NamedTuple):
    """A line of a source that is no move at all, and why."""

    text: str
    line: int


@dataclass
class Alike:
    """What is wrong with a row, and the lines of others with which the same is wrong: how many, and the first."""

    line: int
    text: str
    number: int = 0
    others: list[int] = field(default_factory=list)

    def again(self, line: int) -> None:
        """The same in another line."""
        if line == (self.others or [self.line])[-1]:
            return
        self.number += 1
        if len(self.others) < SHOWN_ALIKE:
            self.others.append(line)

    def __str__(self) -> str:
        if not self.number:
            return self.text
        lines = ", ".join(map(str, self.others)) + (" …" if self.number > len(self.others) else "")
        return f"{self.text}. The same in {self.number:,} more {'line' if self.number == 1 else 'lines'}: {lines}"


@dataclass
class Problems:
    """What is wrong with rows: the first by line, and how many there are; what many rows share is one."""

    first: list[tuple[int, str]] = field(default_factory=list)
    total: int = 0
    alike: dict[str, Alike] = field(default_factory=dict)

    def add(self, line: int, text: str) -> None:
        """One more; kept if there is room."""
        self.total += 1
        if len(self.first) < SHOWN:
            self.first.append((line, text))

    def add_alike(self, kind: str, line: int, text: str) -> None:
        """One more of a kind that one thing mends; told with the first of it once all rows are read."""
        if kind in self.alike:
            self.alike[kind].again(line)
        elif len(self.alike) < SHOWN:
            self.alike[kind] = Alike(line, text)
        else:
            self.total += 1

    def tell_alike(self) -> None:
        """Count each kind as one problem."""
        self.merge([(alike.line, str(alike)) for alike in self.alike.values()], len(self.alike))
        self.alike.clear()

    def merge(self, found: list[tuple[int, str]], total: int) -> None:
        """Those that one question to the database found: its first by line, and how many there are."""
        self.first = sorted([*self.first, *found])[:SHOWN]
        self.total += total


def known_states(tracker: ModelTracker) -> set[str]:
    """Where a subject can be, as events keep it: the slugs of stocks, the stand-ins of flows, and "" for external."""
    ends = (state for flow in tracker.flows for state in (*flow.sources, *flow.sinks))
    return {"", *(stock.slug for stock in tracker.stocks), *map(state_key, ends)}


def unknown_state(tracker: ModelTracker, key: str) -> str:
    """What is wrong with a state that isn't among the known ones, to follow "it is"."""
    known = ", ".join(repr(state) for state in sorted(known_states(tracker)) if state)
    return f"{key!r}, which the tracker {tracker.slug!r} doesn't know: {known}"


def shown(at: datetime, zone: tzinfo) -> str:
    """An instant as messages have it: by the clocks of the zone, with their offset from UTC."""
    return at.astimezone(zone).isoformat(" ")


class _NoZone(ValueError):
    """A timestamp without a time zone names no instant."""


class _Reader:
    """Reads rows one by one: a staged row for each, and what is wrong with it."""

    def __init__(self, tracker: ModelTracker, zone: str | None, now: datetime, problems: Problems) -> None:
        self.tracker, self.problems, self.now = tracker, problems, now
        self.calendar = None if zone is None else Calendar(zone)
        self.zone = UTC if self.calendar is None else self.calendar.zone
        events: Any = tracker.events._meta
        self.connection = connections[tracker.database]
        target: Any = events.get_field("subject").target_field
        self.attname = target.attname
        while target.remote_field:
            target = target.target_field
        self.target = target
        self.timestamp: Any = events.get_field("timestamp")
        self.states = known_states(tracker)
        self.model: Any = tracker.model._meta.concrete_model
        self.columns: dict[str, FacetColumn] = {}
        for slug, facet in tracker.applied_facets.items():
            column = facet.column(tracker.model)
            if column.capturable:
                self.columns[slug] = column
        self.flow = lru_cache(maxsize=None)(self._flow)
        self.midnight = lru_cache(maxsize=1000)(self._midnight)

    def staged(self, rows: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        """The rows as the temporary table takes them; one whose subject can't be read is left out."""
        for seq, row in enumerate(rows, 1):
            if isinstance(row, Unreadable):
                self.problems.add(row.line, row.text)
                continue
            if not isinstance(row, tuple | list) or len(row) not in range(4, 7):
                text = "a row is (subject, timestamp, from, to), or with a dict of facets as a fifth"
                self.problems.add(seq, f"{row!r} is no move; {text}")
                continue
            move = PastMove(*row)
            line: Any = move.line or seq
            if not isinstance(line, int) or not 0 < line < 2**63:
                self.problems.add(seq, f"{line!r} is no line; give a number from 1, or leave it out")
                line = seq
            try:
                subject = self._subject(move.subject)
            except ValueError as error:
                self.problems.add(line, str(error))
                continue
            at = self._at(line, move.timestamp)
            source, sink = self._state(line, "from", move.source), self._state(line, "to", move.sink)
            if source == sink:
                place = repr(source) if source else "outside"
                self.problems.add(line, f"it leads from {place} to {place}, which is no move")
            facets = self._facets(line, move.facets) if move.facets else "{}"
            yield (
                seq,
                line,
                subject,
                at,
                _kept(source)[:100],
                _kept(sink)[:100],
                self.flow(source, sink),
                facets,
            )
        self.problems.tell_alike()

    def _subject(self, given: Any) -> Any:
        """The key as the database takes it; raises ValueError, in words, for what can't be one."""
        key = getattr(given, self.attname) if isinstance(given, self.model) else given
        try:
            key = self.target.to_python(_exact(key) if isinstance(self.target, models.IntegerField) else key)
            self.target.run_validators(key)
        except (ValidationError, TypeError, ValueError, OverflowError):
            key = None
        if key in {None, ""} or (isinstance(key, str) and key != _kept(key)):
            kind = type(self.target).__name__
            raise ValueError(f"{given!r} can't be the key of a {self.model._meta.verbose_name}, a {kind}")
        return self.target.get_db_prep_value(key, self.connection)

    def _at(self, line: int, given: Any) -> Any:
        """The instant as the database takes it; None, and a problem, where there is none."""
        try:
            at = self._instant(given)
        except _NoZone as error:
            self.problems.add_alike("zone", line, str(error))
            return None
        except (ValueError, OverflowError) as error:
            self.problems.add(line, str(error))
            return None
        if at.year not in YEARS:
            self.problems.add(line, f"the year of {given!r} must be {YEARS[0]} to {YEARS[-1]}")
            return None
        if at > self.now:
            self.problems.add(line, f"{shown(at, self.zone)} is in the future; history ends now")
        return self.timestamp.get_db_prep_value(at, self.connection)

    def _instant(self, given: Any) -> datetime:
        at = given
        if isinstance(given, str):
            text = given.strip()
            try:
                at = date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
            except ValueError as error:
                raise ValueError(
                    f"{given!r} is no timestamp; write ISO 8601, e.g. '2026-03-29T14:00+00:00' or '2026-03-29'"
                ) from error
        if isinstance(at, datetime) and at.utcoffset() is not None:
            return at.astimezone(UTC)
        if not isinstance(at, date):
            raise ValueError(f"{given!r} is no timestamp; give an aware datetime, or ISO 8601")  # noqa: TRY004
        if self.calendar is None:
            raise _NoZone(
                f"{given!r} names no instant without a time zone; give one, e.g. timezone='Europe/London', or on the "
                "command line --timezone Europe/London"
            )
        return self._there(at, self.calendar.zone) if isinstance(at, datetime) else self.midnight(at)

    def _there(self, wall: datetime, zone: tzinfo) -> datetime:
        """The instant at which the zone's clocks show this, the first of two."""
        at = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if at.astimezone(zone).replace(tzinfo=None) != wall:
            raise ValueError(
                f"{wall.isoformat()} was never shown by the clocks of {zone}, which were put forward"
            )
        return at

    def _midnight(self, day: date) -> datetime:
        assert self.calendar is not None  # noqa: S101  (asked by the only caller)
        return self.calendar.midnight(day)

    def _state(self, line: int, side: str, given: Any) -> str:
        key = state_key(given)
        if key not in self.states:
            means = f"{key}=SLUG"
            cure = f"states={{{key!r}: 'SLUG'}} of from_csv(), or on the command line --state {shlex.quote(means)}"
            text = f"{side!r} is {unknown_state(self.tracker, key)}; say which of them it means: {cure}"
            self.problems.add_alike(f"state {key}", line, text)
        return key

    def _flow(self, source: str, sink: str) -> str:
        found = self.tracker.flow_for(source, sink)
        return found.slug if found else ""

    def _facets(self, line: int, given: Mapping[str, Any]) -> str:
        kept: dict[str, str | None] = {}
        if not isinstance(given, Mapping):
            self.problems.add(line, f"its facets are {given!r}; give a dict of facet slug → value")
            return "{}"
        for slug, value in given.items():
            if slug not in self.columns:
                known = ", ".join(map(repr, sorted(self.columns))) or "none"
                self.problems.add(line, f"events keep no facet {slug!r}; those they keep: {known}")
            else:
                text = None if value is None else self.columns[slug].key(value)
                if text is not None and text != _kept(text):
                    self.problems.add(
                        line, f"its facet {slug!r} is {text!r}, with a character that no text column takes"
                    )
                    continue
                kept[slug] = text
        return json.dumps(kept)


def _exact(given: Any) -> Any:
    """What names a whole number; raises ValueError for what int() would make one of."""
    if isinstance(given, bool) or (isinstance(given, float | Decimal) and given != int(given)):
        raise ValueError
    if isinstance(given, str) and not NUMBER.fullmatch(given.strip()):
        raise ValueError
    return given


def _kept(text: str) -> str:
    """The text without what no text column takes: NUL, and halves of characters."""
    return text.replace("\x00", "?").encode("utf-8", "replace").decode()


@contextmanager
def staged(
    tracker: ModelTracker, rows: Iterable[Any], zone: str | None, now: datetime, problems: Problems
) -> Iterator[int]:
    """Lay the rows down in the temporary table TABLE, which is there inside; gives how many they are.

    ``at`` is NULL where there is no instant; what else is wrong is in ``problems``. CHUNK rows are in memory at once.
    """
    connection = connections[tracker.database]
    _create(tracker.events, connection)
    reader = _Reader(tracker, zone, now, problems)
    number = 0

    def counted(given: Iterable[Any]) -> Iterator[Any]:
        nonlocal number
        for row in given:
            number += 1
            yield row

    try:
        found = reader.staged(counted(rows))
        with closing(found):  # type: ignore[type-var]  # a generator
            while chunk := list(islice(found, CHUNK)):
                _insert(connection, chunk)
        with connection.cursor() as cursor:
            if connection.vendor != "mysql":
                cursor.execute(f"CREATE INDEX {TABLE}_subject ON {TABLE} (subject, seq)")
            if connection.vendor == "postgresql":
                cursor.execute(f"ANALYZE {TABLE}")
        yield number
    finally:
        if not connection.needs_rollback:
            drop(connection, TABLE)


def drop(connection: BaseDatabaseWrapper, table: str) -> None:
    """Take a temporary table away, if it is there."""
    temporary = "TEMPORARY " if connection.vendor == "mysql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP {temporary}TABLE IF EXISTS {table}")


def _create(events: type[FlowEvent], connection: BaseDatabaseWrapper) -> None:
    meta: Any = events._meta
    quote = connection.ops.quote_name

    def kind(name: str) -> str:
        return str(meta.get_field(name).db_parameters(connection)["type"])

    exactly = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if connection.vendor == "mysql" else ""
    columns = [
        "seq bigint DEFAULT 0 PRIMARY KEY",  # MariaDB wants the default of what its SELECT doesn't give
        "line bigint",
        f"at {kind('timestamp')} NULL",
        *(f"{name} {kind(name)}{exactly}" for name in ("source", "sink", "flow")),
        f"facets {kind('facets')}",
    ]
    subject, like = f"subject {kind('subject')}", ""
    if connection.vendor == "mysql":
        # Of the very collation of the events' column, whatever the database's default is by now.
        subject = ""
        column = quote(meta.get_field("subject").column)
        like = f" SELECT {column} AS subject FROM {quote(meta.db_table)} WHERE 1 = 0"
    # MariaDB would commit, were the index made afterwards.
    key = f"KEY {TABLE}_subject (subject, seq)" if connection.vendor == "mysql" else ""
    drop(connection, TABLE)
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE {TABLE} ({', '.join(filter(None, [*columns, subject, key]))}){like}"
        )


def _insert(connection: BaseDatabaseWrapper, rows: list[tuple[Any, ...]]) -> None:
    names = ", ".join(COLUMNS)
    # In one transaction, else SQLite makes one of each row.
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {TABLE} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(COLUMNS))
            cursor.executemany(f"INSERT INTO {TABLE} ({names}) VALUES ({marks})", rows)
