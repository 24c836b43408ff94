"""The range that another one is compared with: the one before it, or the same a year before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Literal, get_args

from stockandflow.exceptions import InvalidInput
from stockandflow.periods import Calendar
from stockandflow.ranges import is_midnight
from stockandflow.reports.planning import Span

Compare = Literal["previous", "year"]


def compared_span(span: Span, now: datetime, how: Compare, calendar: Calendar) -> Span:
    """The span to compare with; of a span that isn't over, as much of it as has passed of the other.

    ``previous`` ends where the span begins: whole months have as many months before them, whole days as many local
    days, and any other span as much time. ``year`` has the same local dates a year before; the 28th of February stands
    for the 29th. How far a day has passed is told by the clocks, so that one of 23 hours is compared with one of 24.
    Raises InvalidInput for another ``how``.
    """
    if how not in get_args(Compare):
        raise InvalidInput(f"compare is {how!r}; write 'previous', 'year', or None for no comparison.")
    try:
        return _compared_span(span, now, how, calendar)
    except (OverflowError, ValueError):  # from a year that there isn't, or a date
        raise InvalidInput(
            f"compare is {how!r}, and no calendar has what comes before {span[0]}; take a later range, or None."
        ) from None


def _compared_span(span: Span, now: datetime, how: Compare, calendar: Calendar) -> Span:
    since, until = span
    if how == "year":
        low, high, reached = _moved(since, calendar), _moved_end(until, calendar), _moved(now, calendar)
    elif is_midnight(since, calendar) and is_midnight(until, calendar):
        first = calendar.local_date(since)
        before = _before(first, calendar.local_date(until))
        low, high = calendar.midnight(before), since
        reached = _at(before + (calendar.local_date(now) - first), now, calendar)
    else:
        low, high, reached = since - (until - since), since, now - (until - since)
    return low, high if now >= until else min(reached, high)


def compared_bounds(
    bounds: Sequence[datetime], span: Span, compared: Span, how: Compare, calendar: Calendar
) -> list[datetime]:
    """For each bound of parts of ``span``, as many instants within ``compared``, in order, two perhaps the same.

    Months that begin and end at bounds are compared with months, whatever their lengths; all else day by day.
    """
    first, after = (calendar.local_date(at) for at in span)
    if how == "previous" and all(_begins_month(at, calendar) for at in (*span, *bounds[:-1])):
        months = _month(after) - _month(first)
        found = [calendar.midnight(_first_of(_month(calendar.local_date(at)) - months)) for at in bounds[:-1]]
    else:
        found = [compared_span(span, at, how, calendar)[1] for at in bounds[:-1]]
    return [*(min(max(at, compared[0]), compared[1]) for at in found), compared[1]]


def _begins_month(at: datetime, calendar: Calendar) -> bool:
    return is_midnight(at, calendar) and calendar.local_date(at).day == 1


def _month(day: date) -> int:
    return day.year * 12 + day.month - 1


def _first_of(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)


def _before(first: date, after: date) -> date:
    """Where the days or months begin that come before those of ``first <= day < after``, as many of them."""
    if first.day != 1 or after.day != 1:
        return first - (after - first)
    return _first_of(2 * _month(first) - _month(after))


def _a_year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:  # 29 February
        return day.replace(year=day.year - 1, day=28)


def _moved(at: datetime, calendar: Calendar) -> datetime:
    return _at(_a_year_before(calendar.local_date(at)), at, calendar)


def _moved_end(until: datetime, calendar: Calendar) -> datetime:
    """A year before; a range that ends with the 28th of February still holds that day."""
    day = calendar.local_date(until)
    if is_midnight(until, calendar) and (day.month, day.day) == (2, 29):
        return calendar.midnight(date(day.year - 1, 3, 1))
    return _moved(until, calendar)


def _at(day: date, like: datetime, calendar: Calendar) -> datetime:
    """The instant on ``day`` at which the clocks show the same time as at ``like``."""
    if is_midnight(like, calendar):
        return calendar.midnight(day)
    return datetime.combine(day, like.astimezone(calendar.zone).timetz()).astimezone(UTC)
