"""The hours of a calendar in SQL: the events of a bounded range by the hour, or by the hour of the week."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db.models import Aggregate, BigIntegerField, Case, F, Func, IntegerField, QuerySet, Value, When

from stockandflow.periods import Calendar, Grain, Period

YEAR_1 = 17_259_888
"""How many hours there are from the year 1 to 1970."""
HOURS_OF_WEEK = 168
THURSDAY = 3
"""The weekday on which 1970 began."""


class _LocalHour(Func):
    """How many hours the clocks have shown since 1970 began, by an instant and the seconds that they are ahead."""

    output_field = BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # Without the fraction, which SQLite would round to milliseconds and thereby into the next hour. It divides
        # towards 0, so before 1970 hours are counted from the year 1 and set back.
        seconds = "CAST(strftime('%%s', substr({}, 1, 19)) AS INTEGER) + ({})"
        return self._divided(compiler, f"(({seconds} + {YEAR_1 * 3600}) / 3600 - {YEAR_1})")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self._divided(compiler, "FLOOR((EXTRACT(EPOCH FROM {}) + ({})) / 3600)::bigint")

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self._divided(compiler, "FLOOR((TIMESTAMPDIFF(SECOND, '1970-01-01', {}) + ({})) / 3600)")

    def _divided(self, compiler: Any, template: str) -> tuple[str, tuple[Any, ...]]:
        (at, at_params), (seconds, seconds_params) = map(compiler.compile, self.get_source_expressions())
        return template.format(at, seconds), (*at_params, *seconds_params)


def _ahead(offsets: Sequence[tuple[datetime, timedelta]]) -> Any:
    """How many seconds the clocks were ahead of UTC at an event."""
    seconds: Any = Value(int(offsets[0][1].total_seconds()), output_field=IntegerField())
    if len(offsets) == 1:
        return seconds
    return Case(
        *(
            When(timestamp__lt=end, then=Value(int(offset.total_seconds())))
            for (_, offset), (end, _) in pairwise(offsets)
        ),
        default=Value(int(offsets[-1][1].total_seconds())),
        output_field=IntegerField(),
    )


def by_hour(
    events: QuerySet[Any], calendar: Calendar, since: datetime, until: datetime, *keys: str, **sums: Aggregate
) -> Iterator[tuple[Period, tuple[Any, ...]]]:
    """The events of ``since <= t < until`` by hour and ``keys``: the hour, then keys and sums. One query."""
    offsets = calendar.offsets(since, until)
    seconds = _ahead(offsets)
    rows = events.filter(timestamp__gte=since, timestamp__lt=until).order_by()
    rows = rows.annotate(sf_ahead=seconds, sf_hour=_LocalHour(F("timestamp"), seconds))
    for hour, ahead, *found in rows.values_list("sf_hour", "sf_ahead", *keys).annotate(**sums):
        start = datetime.fromtimestamp(hour * 3600 - ahead, UTC)
        # Where the clocks jump by half an hour, the hour begins with the jump.
        jump = max((at for at, offset in offsets if offset == timedelta(seconds=ahead)), default=start)
        inside = max(start, jump) if start < jump < start + timedelta(hours=1) else start
        yield calendar.period(Grain.HOUR, max(inside, since)), tuple(found)


def with_hour_of_week(
    events: QuerySet[Any], calendar: Calendar, since: datetime, until: datetime
) -> QuerySet[Any]:
    """The events of ``since <= t < until``, unordered, with ``sf_slot``: the hour of the week that the clocks showed.

    See ``hour_of_week``; before 1970 it counts from below 0. No query yet.
    """
    seconds = _ahead(calendar.offsets(since, until))
    rows = events.filter(timestamp__gte=since, timestamp__lt=until).order_by()
    found: QuerySet[Any] = rows.annotate(sf_slot=_LocalHour(F("timestamp"), seconds) % HOURS_OF_WEEK)
    return found


def hour_of_week(slot: int) -> tuple[int, int]:
    """The weekday, 0 for Monday, and the hour of a ``sf_slot``."""
    days, hour = divmod(int(slot) % HOURS_OF_WEEK, 24)
    return (days + THURSDAY) % 7, hour


def slots_of(weekday: int, hour: int) -> tuple[int, int]:
    """The two ``sf_slot`` that an hour of the week can have, since and before 1970."""
    slot = (weekday - THURSDAY) % 7 * 24 + hour
    return slot, slot - HOURS_OF_WEEK
