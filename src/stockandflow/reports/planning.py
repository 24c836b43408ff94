"""How the moves of a range are read: whole days from the coarsest stored periods that fit, the rest from events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from stockandflow.periods import Calendar, Grain, Period

Span = tuple[datetime, datetime]
"""Since, until."""

NESTED = (Grain.YEAR, Grain.QUARTER, Grain.MONTH)
"""The grains above the day of which each consists of whole periods of the next."""
FINER = {
    Grain.WEEK: {Grain.DAY},
    Grain.MONTH: {Grain.DAY},
    Grain.QUARTER: {Grain.DAY, Grain.MONTH},
    Grain.YEAR: {Grain.DAY, Grain.MONTH, Grain.QUARTER},
}
"""Grain → those whose periods add up to its own in a plan."""


@dataclass(frozen=True)
class Plan:
    """A span in parts that don't overlap: ``periods`` from records, ``events`` from events."""

    periods: tuple[Period, ...]
    events: tuple[Span, ...]


def plan(span: Span, calendar: Calendar, computed: Span | None, apart: Collection[Period] = ()) -> Plan:
    """How to read a span of which the whole days within ``computed`` are stored; days ``apart`` by themselves.

    Before the first computed day there are no moves but those of days ``apart``, so the month, quarter or year that
    holds it is stored whole.
    """
    if computed is None:
        return Plan((), (span,))
    since, until = span
    first = _day_from(calendar, max(since, computed[0]))
    last = calendar.period(Grain.DAY, min(until, computed[1])).start
    if first >= last:
        return Plan((), (span,))
    alone = sorted(day for day in apart if first <= day.start and day.end <= last)
    if first == computed[0]:
        first = _beginning(calendar, (since, last), first, apart)
    bounds = [first, *(bound for day in alone for bound in (day.start, day.end)), last]
    stretches = zip(bounds[::2], bounds[1::2], strict=True)
    periods = [period for low, high in stretches if low < high for period in covering(calendar, low, high)]
    edges = tuple((low, high) for low, high in ((since, first), (last, until)) if low < high)
    return Plan((*periods, *alone), edges)


def _beginning(calendar: Calendar, span: Span, first: datetime, apart: Collection[Period]) -> datetime:
    """The start of the longest period in the span that holds the first day and no day apart, else that day's."""
    for period in (calendar.period(grain, first) for grain in NESTED):
        inside = span[0] <= period.start and period.end <= span[1]
        if inside and not any(day.start in period for day in apart):
            return period.start
    return first


def _day_from(calendar: Calendar, at: datetime) -> datetime:
    day = calendar.period(Grain.DAY, at)
    return day.start if day.start == at else day.end


def covering(calendar: Calendar, since: datetime, until: datetime) -> Iterator[Period]:
    """The fewest stored periods that make up whole days, in order: years, quarters, months and days, or one week."""
    week = timedelta(days=7)
    if abs(until - since - week) < timedelta(days=1):
        one = calendar.period(Grain.WEEK, since)
        if (one.start, one.end) == (since, until):
            yield one
            return
    at = since
    while at < until:
        fitting = (period for period in _from(calendar, at) if period.end <= until)
        period = next(fitting)
        yield period
        at = period.end


def _from(calendar: Calendar, at: datetime) -> Iterator[Period]:
    """The periods that begin at a midnight, the longest first."""
    if calendar.local_date(at).day == 1:
        for grain in NESTED:
            period = calendar.period(grain, at)
            if period.start == at:
                yield period
    yield calendar.period(Grain.DAY, at)


def beginning_of(span: Span, periods: Collection[Period], calendar: Calendar) -> Grain | None:
    """The grain of the shortest period that begins with the span and holds it, where finer periods make it up."""
    grains = {period.grain for period in periods}
    for grain, finer in FINER.items():
        if grains <= finer:
            period = calendar.period(grain, span[0])
            if period.start == span[0] and span[1] <= period.end:
                return grain
    return None


def runs(periods: Iterable[Period]) -> list[tuple[Grain, datetime, datetime]]:
    """Periods as (grain, first start, end of the last), those of one grain that follow each other together."""
    found: list[tuple[Grain, datetime, datetime]] = []
    for period in sorted(set(periods), key=lambda one: (one.grain, one.start)):
        if found and found[-1][0] is period.grain and found[-1][2] == period.start:
            found[-1] = (period.grain, found[-1][1], period.end)
        else:
            found.append((period.grain, period.start, period.end))
    return found


def atoms(spans: Iterable[Span]) -> list[Span]:
    """The spans cut where another begins or ends, in order: no two overlap, and each span is some of them."""
    spans = sorted(set(spans))
    bounds = sorted({bound for span in spans for bound in span})
    found, place, reach = [], 0, None
    for low, high in pairwise(bounds):
        while place < len(spans) and spans[place][0] <= low:
            reach = spans[place][1] if reach is None else max(reach, spans[place][1])
            place += 1
        if reach is not None and low < reach:
            found.append((low, high))
    return found
