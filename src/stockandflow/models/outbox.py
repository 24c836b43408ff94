"""The outbox in SQL: taking deliveries for this process, and noting what became of them.

Written by hand, since it runs after every save that may have moved something: the ORM takes longer to say it than the
database to do it.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import connections, models, transaction

from stockandflow.declarations.slugs import checked_slug
from stockandflow.models.clock import later_sql, now_sql
from stockandflow.models.delivery import Delivery

TABLE = Delivery._meta.db_table
COLUMNS = "id, event_model, event_id, flow, attempts, done_calls, due_at"


@dataclass(frozen=True)
class Claimed:
    """A delivery that this process holds; ``attempts`` counts this one, and no other claim has this ``owner``."""

    pk: int
    event_model: str
    event_id: int
    flow: str
    attempts: int
    done_calls: int
    owner: str


@dataclass(frozen=True)
class Move:
    """What an event says of a move: the subject's key, and the states as keys."""

    subject: Any
    source: str
    sink: str


@dataclass(frozen=True)
class Ordered:
    """The flows of one event model whose events are told one after the other for each subject."""

    event_model: str
    table: str
    subject: str
    flows: tuple[str, ...]

    @classmethod
    def of(cls, event_model: type[models.Model], flows: Sequence[str]) -> Ordered:
        """Those flows of that event model."""
        options: Any = event_model._meta
        return cls(options.label_lower, options.db_table, options.get_field("subject").column, tuple(flows))

    def sql(self, quote: Callable[[str], str]) -> str:
        """The condition that no earlier event of the subject is still to be told."""
        flows, table, subject = ", ".join(map(_text, self.flows)), quote(self.table), quote(self.subject)
        return (
            f"(flow NOT IN ({flows}) OR NOT EXISTS (SELECT 1 FROM {table} AS sf_mine "
            f"JOIN {table} AS sf_before ON sf_before.{subject} = sf_mine.{subject} AND sf_before.id < sf_mine.id "
            f"JOIN {TABLE} AS sf_waiting ON sf_waiting.event_id = sf_before.id "
            f"AND sf_waiting.event_model = '{self.event_model}' WHERE sf_mine.id = {TABLE}.event_id "
            f"AND sf_waiting.status = '{Delivery.Status.PENDING}' AND sf_waiting.flow IN ({flows})))"
        )


def claim(
    using: str,
    size: int,
    lease: timedelta,
    *,
    tried: bool,
    newest: bool = False,
    flows: Sequence[str] | None = None,
    ordered: tuple[Ordered, ...] = (),
    now: datetime | None = None,
) -> list[Claimed]:
    """Take up to ``size`` due deliveries, tried before or not, for the time of ``lease``; oldest first.

    With ``newest`` the youngest are taken; of ``ordered`` flows none before which another one waits. ``flows`` are the
    slugs to choose from, all unless given; ``now`` decides what is due, the database's clock unless given. One query
    when there are none. What another process is claiming is left to it, rather than waited for, where the database can.
    """
    if flows is not None and not flows:
        return []
    connection = connections[using]
    where, chosen = _choosing(
        connection.vendor,
        tried=tried,
        newest=newest,
        flows=None if flows is None else tuple(flows),
        ordered=tuple(_sql(one.sql(connection.ops.quote_name)) for one in ordered),
        at=now is not None,
    )
    chosen = f"{chosen} LIMIT {size}"
    params = [] if now is None else [connection.ops.adapt_datetimefield_value(now)]
    with connection.cursor() as cursor:
        keys: list[int] = []
        if newest or connection.vendor != "postgresql":
            # After most commits there are none, and to read that takes half as long as to try to write.
            cursor.execute(chosen, params)
            keys = [key for (key,) in cursor.fetchall()]
            if not keys:
                return []
        owner = f"{uuid.uuid4().hex} {os.getpid()}@{socket.gethostname()}"[:100]
        taking = (
            f"UPDATE {TABLE} SET owner = %s, attempts = attempts + 1, "
            f"leased_until = {_sql(later_sql(connection.vendor, int(lease.total_seconds())))}"
        )
        if connection.vendor == "postgresql":
            # An array is found once; a subquery may be run again for each row, and take more than its limit.
            cursor.execute(
                f"{taking} WHERE id = ANY(ARRAY({chosen} FOR UPDATE SKIP LOCKED)) RETURNING {COLUMNS}",
                [owner, *params],
            )
            return _claimed(cursor.fetchall(), owner)
        # Another process may have been quicker, so they must be due and free still.
        held = f"id IN ({', '.join(map(str, keys))})"
        if connection.vendor == "sqlite" and connection.features.can_return_columns_from_insert:
            cursor.execute(f"{taking} WHERE {held} AND {where} RETURNING {COLUMNS}", [owner, *params])
            return _claimed(cursor.fetchall(), owner)
        if connection.vendor == "sqlite":
            cursor.execute(f"{taking} WHERE {held} AND {where}", [owner, *params])
            cursor.execute(f"SELECT {COLUMNS} FROM {TABLE} WHERE {held} AND owner = %s", [owner])
            return _claimed(cursor.fetchall(), owner)
        skip = " SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
        with transaction.atomic(using=using):
            cursor.execute(f"SELECT id FROM {TABLE} WHERE {held} AND {where} FOR UPDATE{skip}", params)
            if locked := [str(key) for (key,) in cursor.fetchall()]:
                cursor.execute(f"{taking} WHERE id IN ({', '.join(locked)})", [owner])
                cursor.execute(f"SELECT {COLUMNS} FROM {TABLE} WHERE id IN ({', '.join(locked)})")
                return _claimed(cursor.fetchall(), owner)
    return []


def any_due(using: str, flows: Sequence[str], ordered: tuple[Ordered, ...] = ()) -> bool:
    """Whether ``claim`` would find a delivery of these flows that nobody has tried. One query, none without flows."""
    if not flows:
        return False
    connection = connections[using]
    _, chosen = _choosing(
        connection.vendor,
        tried=False,
        newest=True,
        flows=tuple(flows),
        ordered=tuple(_sql(one.sql(connection.ops.quote_name)) for one in ordered),
        at=False,
    )
    with connection.cursor() as cursor:
        cursor.execute(f"{chosen} LIMIT 1", [])
        return cursor.fetchone() is not None


def note(using: str, delivery: Claimed, done_calls: int, *, end: bool) -> bool:
    """Note how many of the callables have succeeded, and whether that is the end; False once another process has it."""
    connection = connections[using]
    ended = (
        f", status = '{Delivery.Status.DONE}', leased_until = NULL, error = '', "
        f"finished_at = {_sql(now_sql(connection.vendor))}"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET done_calls = %s{ended if end else ''} "
            f"WHERE id = %s AND owner = %s AND status = '{Delivery.Status.PENDING}'",
            [done_calls, delivery.pk, delivery.owner],
        )
        return bool(cursor.rowcount)


def moves(event_model: type[models.Model], keys: Sequence[int], using: str) -> dict[int, Move]:
    """Event key → what it says, for those of ``keys`` that are there. One query."""
    connection = connections[using]
    options: Any = event_model._meta
    quote = connection.ops.quote_name
    subject: Any = options.get_field("subject").get_col(options.db_table)
    convert = [*connection.ops.get_db_converters(subject), *subject.get_db_converters(connection)]
    columns = [quote(options.get_field(name).column) for name in ("id", "subject", "source", "sink")]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(columns)} FROM {quote(options.db_table)} "
            f"WHERE {columns[0]} IN ({', '.join(map(str, keys))})"
        )
        found = {}
        for key, value, source, sink in cursor.fetchall():
            for converter in convert:
                value = converter(value, subject, connection)  # noqa: PLW2901 - one after the other
            found[key] = Move(value, source, sink)
    return found


@lru_cache
def _choosing(
    vendor: str,
    *,
    tried: bool,
    newest: bool,
    flows: tuple[str, ...] | None,
    ordered: tuple[str, ...],
    at: bool,
) -> tuple[str, str]:
    """The condition of deliveries that are due and free, and the query for their keys; ``at``: due at a parameter."""
    # Each statement has one now: where every row has its own, PostgreSQL can't look it up in an index.
    now = "statement_timestamp()" if vendor == "postgresql" else _sql(now_sql(vendor))
    where = (
        f"status = '{Delivery.Status.PENDING}' AND due_at <= {'%s' if at else now} "
        f"AND attempts {'>' if tried else '='} 0 AND (leased_until IS NULL OR leased_until <= {now})"
    )
    if flows is not None:
        where += f" AND flow IN ({', '.join(map(_text, flows))})"
    where = " AND ".join([where, *ordered])
    direction = " DESC" if newest else ""
    return where, f"SELECT id FROM {TABLE} WHERE {where} ORDER BY due_at{direction}, id{direction}"


def _text(slug: str) -> str:
    """A slug as a literal; parameters take the drivers longer than the databases take for all the rest."""
    return f"'{checked_slug('flow', slug)}'"


def _sql(sql: str) -> str:
    """SQL for a statement with parameters."""
    return sql.replace("%", "%%")


def _claimed(rows: Sequence[tuple[Any, ...]], owner: str) -> list[Claimed]:
    return [
        Claimed(pk, event_model, event_id, flow, attempts, done_calls, owner)
        for pk, event_model, event_id, flow, attempts, done_calls, _ in sorted(
            rows, key=lambda row: (row[6], row[0])
        )
    ]
