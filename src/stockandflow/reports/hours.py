"""The hours of a calendar in SQL: events of a bounded range counted by the hour, which no record keeps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db.models import Aggregate, BigIntegerField, Case, F, Func, IntegerField, QuerySet, Value, When

from stockandflow.periods import Calendar, Grain, Period


class _LocalHour(Func):
    """How many hours the clocks have shown since 1970 began, by an instant and the seconds that they are ahead."""

    output_field = BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # Without the fraction, which SQLite would round to milliseconds and thereby into the next hour.
        return self._divided(compiler, "(CAST(strftime('%%s', substr({}, 1, 19)) AS INTEGER) + ({})) / 3600")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self._divided(compiler, "FLOOR((EXTRACT(EPOCH FROM {}) + ({})) / 3600)::bigint")

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self._divided(compiler, "FLOOR((TIMESTAMPDIFF(SECOND, '1970-01-01', {}) + ({})) / 3600)")

    def _divided(self, compiler: Any, template: str) -> tuple[str, tuple[Any, ...]]:
        (at, at_params), (seconds, seconds_params) = map(compiler.compile, self.get_source_expressions())
        return template.format(at, seconds), (*at_params, *seconds_params)


def by_hour(
    events: QuerySet[Any], calendar: Calendar, since: datetime, until: datetime, *keys: str, **sums: Aggregate
) -> Iterator[tuple[Period, tuple[Any, ...]]]:
    """The events of ``since <= t < until`` by hour and ``keys``: the hour, then keys and sums. One query."""
    offsets = calendar.offsets(since, until)
    seconds: Any = Value(int(offsets[0][1].total_seconds()), output_field=IntegerField())
    if len(offsets) > 1:
        seconds = Case(
            *(
                When(timestamp__lt=end, then=Value(int(offset.total_seconds())))
                for (_, offset), (end, _) in pairwise(offsets)
            ),
            default=Value(int(offsets[-1][1].total_seconds())),
            output_field=IntegerField(),
        )
    rows = events.filter(timestamp__gte=since, timestamp__lt=until).order_by()
    rows = rows.annotate(sf_ahead=seconds, sf_hour=_LocalHour(F("timestamp"), seconds))
    for hour, ahead, *found in rows.values_list("sf_hour", "sf_ahead", *keys).annotate(**sums):
        start = datetime.fromtimestamp(hour * 3600 - ahead, UTC)
        # Where the clocks jump by half an hour, the hour begins with the jump.
        jump = max((at for at, offset in offsets if offset == timedelta(seconds=ahead)), default=start)
        inside = max(start, jump) if start < jump < start + timedelta(hours=1) else start
        yield calendar.period(Grain.HOUR, max(inside, since)), tuple(found)
