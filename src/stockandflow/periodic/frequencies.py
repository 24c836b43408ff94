"""How often an entry runs: each frequency cuts a calendar's time into periods."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from stockandflow.periods import Calendar, Grain, aware


class Frequency(StrEnum):
    """How often; the periods begin where the calendar's minutes, hours, days, … and years begin."""

    NEVER = "never"
    MINUTELY = "minutely"
    TWELVE_MINUTELY = "twelve-minutely"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    TWO_WEEKLY = "two-weekly"
    FOUR_WEEKLY = "four-weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"


class Bounds(NamedTuple):
    """The instants ``start <= t < end`` of one period of a frequency, aware and in UTC."""

    start: datetime
    end: datetime


GRAINS = {
    Frequency.HOURLY: Grain.HOUR,
    Frequency.DAILY: Grain.DAY,
    Frequency.WEEKLY: Grain.WEEK,
    Frequency.MONTHLY: Grain.MONTH,
    Frequency.QUARTERLY: Grain.QUARTER,
    Frequency.YEARLY: Grain.YEAR,
}
MINUTES = {Frequency.MINUTELY: 1, Frequency.TWELVE_MINUTELY: 12}
WEEKS = {Frequency.TWO_WEEKLY: 2, Frequency.FOUR_WEEKLY: 4}

FIRST_WEEK = date(2001, 1, 1)
"""A Monday in the week from which two and four weeks are counted, for ever and for every project."""


def bounds(frequency: Frequency, calendar: Calendar, at: datetime) -> Bounds | None:
    """The period of that frequency that contains ``at``; None for NEVER, which has none.

    Consecutive periods leave no instant out and share none, also where the clocks change.
    """
    at = aware(at)
    if frequency is Frequency.NEVER:
        return None
    if frequency in MINUTES:
        return _minutes(MINUTES[frequency], calendar, at)
    if frequency in WEEKS:
        return _weeks(WEEKS[frequency], calendar, at)
    period = calendar.period(GRAINS[frequency], at)
    return Bounds(period.start, period.end)


def _minutes(length: int, calendar: Calendar, at: datetime) -> Bounds:
    # Slots of the local hour, and an hour that the clocks cut short cuts its slots.
    hour = calendar.period(Grain.HOUR, at)
    local = at.astimezone(calendar.zone)
    into = timedelta(minutes=local.minute % length, seconds=local.second, microseconds=local.microsecond)
    start = at - into
    return Bounds(max(start, hour.start), min(start + timedelta(minutes=length), hour.end))


def _weeks(length: int, calendar: Calendar, at: datetime) -> Bounds:
    epoch = FIRST_WEEK + timedelta(days=calendar.week_start - (7 if calendar.week_start else 0))
    first = calendar.local_date(calendar.period(Grain.WEEK, at).start)
    block = (first - epoch).days // (7 * length)
    start = epoch + timedelta(weeks=block * length)
    return Bounds(calendar.midnight(start), calendar.midnight(start + timedelta(weeks=length)))
