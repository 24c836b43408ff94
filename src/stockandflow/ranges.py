"""Ranges as people ask for them: dates and instants as text, and the last so many days."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from stockandflow.exceptions import InvalidInput
from stockandflow.periods import TICK, Calendar, checked_range

DEFAULT_DAYS = 30
YEARS = range(1900, 2201)
"""What every database and every zone's clock can hold, with room on both sides."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def instant(text: str, calendar: Calendar, name: str) -> datetime:
    """The instant that ``text`` names, in UTC: the first one of a date, or that of an ISO datetime with its offset.

    Raises InvalidInput, with ``name`` in the message, for anything else and for a year outside of ``YEARS``.
    """
    given = text.strip()
    try:
        found = date.fromisoformat(given) if _DATE.fullmatch(given) else datetime.fromisoformat(given)
    except ValueError as error:
        raise InvalidInput(
            f"{name} is {text!r}, which is no date; write YYYY-MM-DD, e.g. '2026-03-29', or an instant such as "
            f"'2026-03-29T14:00+00:00'."
        ) from error
    if found.year not in YEARS:
        raise InvalidInput(f"{name} is {text!r}; its year must be {YEARS[0]} to {YEARS[-1]}.")
    if not isinstance(found, datetime):
        return calendar.midnight(found)
    if found.utcoffset() is None:
        there = found.replace(tzinfo=calendar.zone).isoformat()
        raise InvalidInput(
            f"{name} is {text!r}, which names no instant without its offset from UTC; write {there!r} for that time "
            f"in {calendar.timezone}, or the date alone for its first instant."
        )
    return found.astimezone(UTC)


def last_days(days: int, calendar: Calendar, until: datetime) -> datetime:
    """Where the range begins that ends at ``until`` and touches that many local days, the last one perhaps in part."""
    last = calendar.local_date(until - TICK)
    return calendar.midnight(last - timedelta(days=days - 1))


def last_year(calendar: Calendar, until: datetime) -> datetime:
    """Where the range begins that ends with the local day of ``until`` and holds that date's year: 12 months."""
    following = calendar.local_date(until - TICK) + timedelta(days=1)
    try:
        return calendar.midnight(following.replace(year=following.year - 1))
    except ValueError:  # 29 February
        return calendar.midnight(following.replace(year=following.year - 1, day=28))


def end_of_day(calendar: Calendar, at: datetime) -> datetime:
    """The first instant of the local day after that of ``at``."""
    return calendar.midnight(calendar.local_date(at) + timedelta(days=1))


def asked_range(
    since: datetime | None, until: datetime | None, *, calendar: Calendar, now: datetime
) -> tuple[datetime, datetime]:
    """The range asked for, ``since <= t < until`` in UTC, with what was left out filled in.

    Without ``until`` it ends with today; without ``since`` it has the last DEFAULT_DAYS local days before its end.
    Raises InvalidInput when ``since`` hasn't come yet or ``until`` doesn't come after it.
    """
    end = end_of_day(calendar, now) if until is None else until
    if since is not None and until is not None and until <= since:
        raise InvalidInput(
            f"until ({described(until, calendar)}) doesn't come after since ({described(since, calendar)}); a range "
            f"is since <= t < until, so swap the two, or widen it."
        )
    begin = last_days(DEFAULT_DAYS, calendar, end) if since is None else since
    if begin >= now:
        given = "since" if since is not None else "since, by default,"
        raise InvalidInput(
            f"{given} is {described(begin, calendar)}, which hasn't come yet; ask for a range that begins before now."
        )
    return checked_range(begin, end)


def is_midnight(at: datetime, calendar: Calendar) -> bool:
    """Whether a local day begins at that instant."""
    return calendar.midnight(calendar.local_date(at)) == at


def last_date(until: datetime, calendar: Calendar) -> date:
    """The last local date that a range touches which ends at ``until``, excluded."""
    return calendar.local_date(until - TICK)


def described(at: datetime, calendar: Calendar) -> str:
    """An instant as ``instant`` reads it: a date where a local day begins, else an ISO datetime in the calendar."""
    if is_midnight(at, calendar):
        return calendar.local_date(at).isoformat()
    return at.astimezone(calendar.zone).isoformat()
