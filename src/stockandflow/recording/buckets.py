"""Local dates in SQL: in which day of a calendar an instant lies."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db.models import Case, DateField, F, Func, Value, When


class LocalDate(Func):
    """The local date of an instant, by plain arithmetic: each database adds the calendar's offset of that stretch.

    No database needs to know time zones, and none is asked for a function of its own.
    """

    output_field = DateField()

    def __init__(self, expression: str, offsets: list[tuple[datetime, timedelta]]) -> None:
        seconds: Any = Value(int(offsets[0][1].total_seconds()))
        if len(offsets) > 1:
            seconds = Case(
                *(
                    When(**{f"{expression}__lt": end}, then=Value(int(offset.total_seconds())))
                    for (_, offset), (end, _) in pairwise(offsets)
                ),
                default=Value(int(offsets[-1][1].total_seconds())),
            )
        super().__init__(F(expression), seconds)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="date(%(expressions)s || ' seconds')", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # The connection's zone is UTC under USE_TZ, and a timestamptz is turned into UTC here in any case.
        at, seconds = self.get_source_expressions()
        at_sql, at_params = compiler.compile(at)
        seconds_sql, seconds_params = compiler.compile(seconds)
        sql = f"(({at_sql} AT TIME ZONE 'UTC') + ({seconds_sql}) * INTERVAL '1 second')::date"
        return sql, (*at_params, *seconds_params)

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        at, seconds = self.get_source_expressions()
        at_sql, at_params = compiler.compile(at)
        seconds_sql, seconds_params = compiler.compile(seconds)
        return f"DATE({at_sql} + INTERVAL ({seconds_sql}) SECOND)", (*at_params, *seconds_params)
