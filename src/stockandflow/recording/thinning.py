"""Thinning: of old counts, the last one of each day, week or month stays."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from django.db import router, transaction
from django.db.models import Case, F, IntegerField, Min, QuerySet, Value, When, Window
from django.db.models.functions import RowNumber

from stockandflow.batches import batched
from stockandflow.models import StockFacetRecord, StockRecord
from stockandflow.periods import Calendar, Grain
from stockandflow.recording.retention import Retention

PERIODS = 60
"""So many periods of the first calendar are looked at by one query."""
BATCH = 1000
KEPT_TOO = {Grain.WEEK: (Grain.MONTH,)}
"""Months don't end with a week; where weeks are kept, the last count of a month is too, since longer grains need it."""


def thin(retention: Retention, calendars: Sequence[Calendar], now: datetime, *, dry_run: bool) -> int:
    """Delete the counts that others of the same period make superfluous; how many were, or would be, deleted.

    Derived and imported records stay. Of a period, the last count until its end is kept, for each of the calendars. A
    query for 60 periods, and four for 1,000 records deleted.
    """
    found: set[int] = set()
    deleted = 0
    for grain, age in sorted(retention.stock_records.items(), key=lambda item: item[1]):
        for superfluous in _superfluous(grain, calendars, now - age):
            if dry_run:
                found.update(superfluous)
            else:
                deleted += _delete(list(superfluous))
    return len(found) if dry_run else deleted


def _counts() -> QuerySet[StockRecord]:
    return StockRecord.objects.using(router.db_for_write(StockRecord)).filter(method="counted").order_by()


def _superfluous(grain: Grain, calendars: Sequence[Calendar], until: datetime) -> Iterator[Collection[int]]:
    """The keys of the counts that aren't the last of a period which ended before ``until``, some periods at a time."""
    first = _counts().aggregate(first=Min("timestamp"))["first"]
    if first is None or first >= until:
        return
    ends = [period.end for period in calendars[0].periods(grain, first, until) if period.end <= until]
    low = calendars[0].period(grain, first).start
    for some in batched(ends, PERIODS):
        high = some[-1]
        places = {
            f"sf_nth_{number}_{kept.value}": Window(
                RowNumber(),
                partition_by=[F("stock"), _period_of(calendar, kept, low, high)],
                order_by=[F("timestamp").desc()],
            )
            for number, calendar in enumerate(calendars)
            for kept in (grain, *KEPT_TOO.get(grain, ()))
        }
        later = _counts().filter(timestamp__gt=low, timestamp__lte=high).annotate(**places)
        yield list(later.filter(**{f"{name}__gt": 1 for name in places}).values_list("pk", flat=True))
        low = high


def _period_of(calendar: Calendar, grain: Grain, low: datetime, high: datetime) -> Case:
    """In which period a count lies; one at its very end tells how it closed."""
    ends = [period.end for period in calendar.periods(grain, low, high)]
    return Case(
        *(When(timestamp__lte=end, then=Value(place)) for place, end in enumerate(ends)),
        default=Value(len(ends)),
        output_field=IntegerField(),
    )


def _delete(keys: list[int]) -> int:
    records = _counts()
    for some in batched(keys, BATCH):
        with transaction.atomic(using=records.db):
            StockFacetRecord.objects.using(records.db).filter(stock_record__in=some).delete()
            records.filter(pk__in=some).delete()
    return len(keys)
