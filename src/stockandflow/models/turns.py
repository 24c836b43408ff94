"""The schedule's rows in SQL: taking an entry's turn, taking a period, and noting it as done.

Written by hand, since that is all that a claim does: the ORM takes longer to say it than the database to do it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from stockandflow.models.clock import later_sql, now_sql
from stockandflow.models.schedule import ScheduleEntry, ScheduleRun

ENTRIES, RUNS = ScheduleEntry._meta.db_table, ScheduleRun._meta.db_table
GONE = "The runner was gone before the end."

Status = ScheduleRun.Status


def locked(name: str, using: str) -> ScheduleEntry | None:
    """The entry's row, which nobody else writes to until this transaction ends. One query, on SQLite two.

    None, one query later, while somebody else writes to it: he is passed over, however long he is at it, where the
    database can. Raises ScheduleEntry.DoesNotExist where there is no such row.
    """
    connection = connections[using]
    skip = connection.features.has_select_for_update_skip_locked
    reading = f"SELECT id, high_water, kept_since, seen_at FROM {ENTRIES} WHERE name = %s"
    with connection.cursor() as cursor:
        if connection.features.has_select_for_update:
            reading += " FOR UPDATE SKIP LOCKED" if skip else " FOR UPDATE"
        else:  # whoever writes on SQLite writes alone
            cursor.execute(f"UPDATE {ENTRIES} SET name = name WHERE name = %s", [name])
        cursor.execute(reading, [name])
        row = cursor.fetchone()
        if row is None and skip:
            cursor.execute(f"SELECT 1 FROM {ENTRIES} WHERE name = %s", [name])
            if cursor.fetchone():
                return None
    if row is None:
        raise ScheduleEntry.DoesNotExist(f"There is no row of the schedule's entry {name!r}.")
    instant = _reading(connection)
    high_water, kept_since, seen_at = (instant(at) for at in row[1:])
    return ScheduleEntry(pk=row[0], name=name, high_water=high_water, kept_since=kept_since, seen_at=seen_at)


def seen(entry_pk: int, at: datetime, using: str) -> None:
    """Note that somebody looked. One query."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {ENTRIES} SET seen_at = %s WHERE id = %s", [_written(connection, at), entry_pk]
        )


def seen_idle(entry_pks: Sequence[int], at: datetime, using: str) -> None:
    """Note that somebody looked at these. One query.

    PostgreSQL leaves those out that somebody writes to just now, so that nobody is waited for.
    """
    connection = connections[using]
    chosen = f"id IN ({', '.join(map(str, entry_pks))}) AND (seen_at IS NULL OR seen_at < %s)"
    if connection.vendor == "postgresql":
        chosen = f"id = ANY(ARRAY(SELECT id FROM {ENTRIES} WHERE {chosen} FOR UPDATE SKIP LOCKED))"
    value = _written(connection, at)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {ENTRIES} SET seen_at = %s WHERE {chosen}", [value, value])


def rows(entry_pk: int, start: datetime, using: str) -> list[ScheduleRun]:
    """The run of the period that begins then, if there is one, and all that run by their status. One query.

    They hold their key, their period's start, where they stand, and how often they were tried.
    """
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, period_start, status, attempt FROM {RUNS} "
            f"WHERE entry_id = %s AND (period_start = %s OR status = '{Status.RUNNING}')",
            [entry_pk, _written(connection, start)],
        )
        instant = _reading(connection)
        return [
            ScheduleRun(pk=pk, period_start=instant(at), status=status, attempt=attempt)
            for pk, at, status, attempt in cursor.fetchall()
        ]


def fail_gone(keys: list[int], using: str) -> int:
    """Note as failed those of these runs whose runner has given no sign of life for their lease; how many. One query.

    A note of theirs that they are done would find no running row any more.
    """
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {RUNS} SET status = '{Status.FAILED}', leased_until = NULL, message = %s "
            f"WHERE id IN ({', '.join(map(str, keys))}) AND {_gone(connection)}",
            [GONE],
        )
        return int(cursor.rowcount)


def start(
    entry_pk: int,
    period: tuple[datetime, datetime],
    missed_since: datetime | None,
    owner: str,
    lease: timedelta,
    using: str,
) -> int:
    """A new row for the period that is running, in the first attempt; its key. One query."""
    connection = connections[using]
    now, until = _now(connection), _later(connection, lease)
    inserting = (
        f"INSERT INTO {RUNS} (entry_id, period_start, period_end, missed_since, status, attempt, owner, leased_until, "
        f"heartbeat_at, started_at, message, traceback) VALUES (%s, %s, %s, %s, '{Status.RUNNING}', 1, %s, {until}, "
        f"{now}, {now}, '', '')"
    )
    values = [entry_pk, *(_written(connection, at) for at in (*period, missed_since)), owner]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"{inserting} RETURNING id", values)
            return int(cursor.fetchone()[0])
        cursor.execute(inserting, values)
        return int(cursor.lastrowid)


def restart(
    row: ScheduleRun, owner: str, lease: timedelta, using: str, *, also: tuple[Status, ...] = ()
) -> bool:
    """Have a row that isn't settled run once more; False where somebody else was quicker, or is at it. One query.

    ``also`` are the states that are taken beside waiting, failed, and running without a sign of life.
    """
    connection = connections[using]
    now = _now(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {RUNS} SET status = '{Status.RUNNING}', attempt = attempt + 1, owner = %s, "
            f"leased_until = {_later(connection, lease)}, heartbeat_at = {now}, started_at = {now}, "
            "finished_at = NULL, duration = NULL, message = '', traceback = '' "
            f"WHERE id = %s AND attempt = %s AND {_free(connection, also)}",
            [owner, row.pk, row.attempt],
        )
        return bool(cursor.rowcount)


def finish(pk: int, owner: str, attempt: int, duration: timedelta, message: str, using: str) -> bool:
    """Note a run as done; False once somebody else holds it. One query."""
    connection = connections[using]
    field: Any = ScheduleRun._meta.get_field("duration")
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {RUNS} SET status = '{Status.DONE}', leased_until = NULL, finished_at = {_now(connection)}, "
            "duration = %s, message = %s "
            f"WHERE id = %s AND owner = %s AND attempt = %s AND status = '{Status.RUNNING}'",
            [field.get_db_prep_save(duration, connection), message, pk, owner, attempt],
        )
        return bool(cursor.rowcount)


def raise_high_water(entry_pk: int, at: datetime, using: str) -> None:
    """Let the latest period that was run or passed over begin no earlier than then. One query."""
    connection = connections[using]
    value = _written(connection, at)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {ENTRIES} SET high_water = %s WHERE id = %s AND (high_water IS NULL OR high_water < %s)",
            [value, entry_pk, value],
        )


def _free(connection: BaseDatabaseWrapper, also: tuple[Status, ...]) -> str:
    # Not a settled one: its runner may have come to its end since it was read.
    states = ", ".join(f"'{status.value}'" for status in (Status.WAITING, Status.FAILED, *also))
    return f"(status IN ({states}) OR {_gone(connection)})"


def _gone(connection: BaseDatabaseWrapper) -> str:
    return f"(status = '{Status.RUNNING}' AND leased_until <= {_now(connection)})"


def _now(connection: BaseDatabaseWrapper) -> str:
    """The SQL of the database's clock, for a statement with parameters."""
    return now_sql(connection.vendor).replace("%", "%%")


def _later(connection: BaseDatabaseWrapper, lease: timedelta) -> str:
    return later_sql(connection.vendor, lease.total_seconds()).replace("%", "%%")


def _written(connection: BaseDatabaseWrapper, at: datetime | None) -> Any:
    return connection.ops.adapt_datetimefield_value(at)


def _reading(connection: BaseDatabaseWrapper) -> Callable[[Any], Any]:
    """What makes an instant of a column's value, as the ORM does it."""
    field: Any = ScheduleRun._meta.get_field("period_start")
    column = field.get_col(RUNS)
    convert = [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]

    def instant(value: Any) -> Any:
        for converter in convert:
            value = converter(value, column, connection)
        return value

    return instant
