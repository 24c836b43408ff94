"""Local dates in SQL: in which day of a calendar an instant lies."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateField, F, Func

EPOCH = date(1970, 1, 1).toordinal()

Offsets = list[tuple[datetime, timedelta]]
"""The stretches of constant offset from UTC: what ``Calendar.offsets`` gives."""


def instant_literal(connection: BaseDatabaseWrapper, at: datetime) -> str:
    """An instant as a datetime column compares it, written out: it holds no quote and no percent sign."""
    text = f"'{connection.ops.adapt_datetimefield_value(at)}'"
    return {"postgresql": f"{text}::timestamptz", "mysql": f"TIMESTAMP{text}"}.get(connection.vendor, text)


def local_date_sql(connection: BaseDatabaseWrapper, instant: str, offsets: Offsets) -> str:
    """The local date of an instant, by plain arithmetic: each database adds the calendar's offset of that stretch.

    No database needs to know time zones, and none is asked for a function of its own. SQLite gives a text.
    """
    seconds = _offset_sql(connection, instant, offsets)
    return {
        # Without the fraction, which SQLite would round to milliseconds and thereby into the next day.
        "sqlite": f"date(substr({instant}, 1, 19), ({seconds}) || ' seconds')",
        # A timestamptz is turned into UTC whatever the connection's zone is.
        "postgresql": f"(({instant} AT TIME ZONE 'UTC') + ({seconds}) * INTERVAL '1 second')::date",
        "mysql": f"DATE({instant} + INTERVAL ({seconds}) SECOND)",
    }[connection.vendor]


def local_day_sql(connection: BaseDatabaseWrapper, instant: str, offsets: Offsets) -> str:
    """The local date of an instant as a number, its ``date.toordinal()``, by the same arithmetic."""
    if connection.vendor == "sqlite":
        since_1970 = f"CAST(strftime('%%s', substr({instant}, 1, 19)) AS INTEGER)"
        seconds = f"{since_1970} + ({_offset_sql(connection, instant, offsets)})"
        # Added before it is divided: SQLite rounds towards zero, which before 1970 would be the next day.
        return f"(({seconds} + {EPOCH} * 86400) / 86400)"
    day = local_date_sql(connection, instant, offsets)
    return (
        f"({day} - DATE '0001-01-01' + 1)" if connection.vendor == "postgresql" else f"(TO_DAYS({day}) - 365)"
    )


def _offset_sql(connection: BaseDatabaseWrapper, instant: str, offsets: Offsets) -> str:
    seconds = str(int(offsets[-1][1].total_seconds()))
    if len(offsets) == 1:
        return seconds
    whens = " ".join(
        f"WHEN {instant} < {instant_literal(connection, end)} THEN {int(offset.total_seconds())}"
        for (_, offset), (end, _) in pairwise(offsets)
    )
    return f"CASE {whens} ELSE {seconds} END"


class LocalDate(Func):
    """``local_date_sql`` of a column as an expression."""

    output_field = DateField()

    def __init__(self, expression: str, offsets: Offsets) -> None:
        super().__init__(F(expression))
        self.offsets = offsets

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **context: Any) -> Any:
        # A column has no parameters, so it may be named as often as there are stretches.
        sql, params = compiler.compile(self.get_source_expressions()[0])
        return local_date_sql(connection, sql, self.offsets), params
