"""The database's clock, which stamps events and records alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Func

NOW_SQL = {
    # SQLite's clock has milliseconds. Django keeps no fraction for whole seconds, and text must compare as time does.
    "sqlite": "replace(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000', '.000000', '')",
    "postgresql": "clock_timestamp()",
    "mysql": "UTC_TIMESTAMP(6)",
}
MOVE_SQL = NOW_SQL | {
    # UTC_TIMESTAMP is the statement's start, and the statement may have waited since for a row that others moved.
    "mysql": "(SYSDATE(6) - INTERVAL TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), NOW(6)) MICROSECOND)",
}
TICK = {"sqlite": timedelta(milliseconds=1)}
SETTLING = timedelta(hours=1)
"""How long a transaction may take from a move to its commit without making a count and the events disagree."""


def now_sql(vendor: str) -> str:
    """The SQL of the database's real instant now, not the transaction's start, as a datetime column keeps it."""
    return NOW_SQL[vendor]


def later_sql(vendor: str, seconds: float) -> str:
    """The SQL of the database's instant ``seconds`` from now, as a datetime column keeps it."""
    return {
        "sqlite": NOW_SQL["sqlite"].replace("'now'", f"'now', '{seconds:f} seconds'"),
        "postgresql": f"{NOW_SQL['postgresql']} + interval '{seconds:f} seconds'",
        "mysql": f"{NOW_SQL['mysql']} + INTERVAL {seconds:f} SECOND",
    }[vendor]


def move_sql(vendor: str) -> str:
    """The same within the statement that moves an object: the real instant at which the row is at hand, and locked."""
    return MOVE_SQL[vendor]


def just_before_sql(vendor: str, instant: str) -> str:
    """The SQL of the last instant that a datetime column tells from a later one: a microsecond before, or a tick."""
    return {
        "sqlite": f"replace(strftime('%Y-%m-%d %H:%M:%f', {instant}, '-0.001 seconds') || '000', '.000000', '')",
        "postgresql": f"({instant} - interval '1 microsecond')",
        "mysql": f"({instant} - INTERVAL 1 MICROSECOND)",
    }[vendor]


def database_now(using: str) -> datetime:
    """The database's instant now, in UTC. One query."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {now_sql(connection.vendor)}")
        return utc_of(cursor.fetchone()[0])


def utc_of(value: Any) -> datetime:
    """The instant in UTC of what a database gives for a datetime column."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    found: datetime = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return found


class DatabaseNow(Func):
    """The database's real instant now as an expression; Django's own ``Now()`` is the transaction's or the session's.

    Adds and subtracts timedeltas: ``DatabaseNow() + lease``.
    """

    output_field = DateTimeField()

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        return now_sql(connection.vendor).replace("%", "%%"), []


@contextmanager
def snapshot(using: str) -> Iterator[datetime]:
    """Read inside as of one moment; gives the first instant that what is read doesn't cover.

    Every move that is seen inside is stamped before that instant. In a transaction of its own the whole block reads
    one snapshot; inside a transaction that is open already, PostgreSQL and MariaDB read with that one's isolation. Two
    queries, on SQLite a few more, since its clock of milliseconds is awaited.
    """
    connection = connections[using]
    tick = TICK.get(connection.vendor, timedelta(microseconds=1))
    own = not connection.in_atomic_block
    if own and connection.vendor == "mysql":
        _execute(using, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # of the next transaction alone
    with ExitStack() as stack:
        # As a reader, also where the project has its transactions begin as writers.
        stack.enter_context(_beginning(connection, None) if own else ExitStack())
        stack.enter_context(transaction.atomic(using=using, savepoint=False))
        # The clock is read once it is fixed what is seen: with the first query, or on MariaDB on request.
        if own and connection.vendor == "postgresql":
            _execute(using, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        elif own and connection.vendor == "mysql":
            _execute(using, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        elif connection.vendor == "sqlite":
            _execute(using, "SELECT count(*) FROM sqlite_master")
        at = database_now(using) + tick
        while connection.vendor == "sqlite" and database_now(using) < at:
            time.sleep(tick.total_seconds() / 4)
        yield at


@contextmanager
def writing(using: str) -> Iterator[None]:
    """A transaction that is SQLite's one writer from its start.

    Who has read first can't write there once another has written. Within a transaction it is a savepoint of that one,
    which began as it did.
    """
    connection = connections[using]
    with ExitStack() as stack:
        with ExitStack() if connection.in_atomic_block else _beginning(connection, "IMMEDIATE"):
            stack.enter_context(transaction.atomic(using=using))
        yield


@contextmanager
def _beginning(connection: Any, mode: str | None) -> Iterator[None]:
    """Have SQLite's transactions that begin inside begin as ``mode`` says, None for as a reader."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()  # the mode is read from the settings when the connection is opened
    kept, connection.transaction_mode = connection.transaction_mode, mode
    try:
        yield
    finally:
        connection.transaction_mode = kept


@contextmanager
def fresh(using: str) -> Iterator[None]:
    """A transaction in which every statement sees what has been committed, unless one is open already."""
    connection = connections[using]
    own = not connection.in_atomic_block
    isolation = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
    if own and connection.vendor == "mysql":
        _execute(using, isolation)  # of the next transaction alone
    with transaction.atomic(using=using):
        if own and connection.vendor == "postgresql":
            _execute(using, isolation)
        yield


def _execute(using: str, sql: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(sql)
