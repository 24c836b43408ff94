"""The database's clock, which stamps events and records alike."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections

NOW_SQL = {
    # SQLite's clock has milliseconds. Django keeps no fraction for whole seconds, and text must compare as time does.
    "sqlite": "replace(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000', '.000000', '')",
    "postgresql": "clock_timestamp()",
    "mysql": "UTC_TIMESTAMP(6)",
}
TICK = {"sqlite": timedelta(milliseconds=1)}


def now_sql(vendor: str) -> str:
    """The SQL of the database's real instant now, not the transaction's start, as a datetime column keeps it."""
    return NOW_SQL[vendor]


def database_now(using: str) -> datetime:
    """The database's instant now, in UTC. One query."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {now_sql(connection.vendor)}")
        value: Any = cursor.fetchone()[0]
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def next_instant(using: str) -> datetime:
    """An instant that no event stamped so far has reached, and that every later one has: waits a clock tick for it.

    One query and, on SQLite with its clock of milliseconds, a few more.
    """
    tick = TICK.get(connections[using].vendor, timedelta(microseconds=1))
    at = database_now(using) + tick
    while database_now(using) < at:
        time.sleep(tick.total_seconds() / 4)
    return at
