"""Dates on an axis: at which periods there are ticks, so that none runs into its neighbour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

MOST = 10
"""Ticks on a wide axis."""
MOST_ESSENTIAL = 4
"""Ticks that a phone has room for."""

CALENDAR: tuple[Callable[[date, int], bool], ...] = (
    lambda _day, _week_start: True,
    lambda day, week_start: day.weekday() == week_start,
    lambda day, _week_start: day.day == 1,
    lambda day, _week_start: day.day == 1 and day.month % 3 == 1,
    lambda day, _week_start: day.day == 1 and day.month == 1,
)
"""What makes a date one to name, the finest first: any; the first day of a week, of a month, a quarter, a year."""


def date_ticks(starts: Sequence[date], *, week_start: int = 0) -> list[tuple[int, bool]]:
    """(position, whether essential) of the periods to name, of those that begin at these dates, in order.

    They are the finest dates of the calendar that fit: each day, the weeks' first, the months' … Where periods begin
    at none of these, such as weeks, it is every so many of them. The last tenth of the axis is kept free for a word
    about now; on a phone that takes three eighths.
    """
    if not starts:
        return []
    last = max(1, len(starts) * 9 // 10)
    fitting = (
        found
        for named in CALENDAR
        if len(found := [at for at, day in enumerate(starts) if named(day, week_start)]) in range(2, MOST + 1)
    )
    places = next(fitting, None) or list(range(0, len(starts), -(-len(starts) // MOST)))
    places = [at for at in places if at < last] or [0]
    every = -(-len(places) // MOST_ESSENTIAL)
    return [(at, position % every == 0 and at < len(starts) * 5 / 8) for position, at in enumerate(places)]
