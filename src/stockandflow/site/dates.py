"""Periods in words, by the reader's locale and as short as a chart needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from django.utils.formats import date_format, get_format
from django.utils.translation import gettext as _

from stockandflow.periods import Calendar, Grain
from stockandflow.ranges import last_date


def per(grain: Grain) -> str:
    """``per day``, after a number or a word."""
    return {
        Grain.HOUR: _("per hour"),
        Grain.DAY: _("per day"),
        Grain.WEEK: _("per week"),
        Grain.MONTH: _("per month"),
        Grain.QUARTER: _("per quarter"),
        Grain.YEAR: _("per year"),
    }[grain]


def partial(grain: Grain) -> str:
    """What is said of the period in progress."""
    return {
        Grain.HOUR: _("this hour, partial"),
        Grain.DAY: _("today, partial"),
        Grain.WEEK: _("this week, partial"),
        Grain.MONTH: _("this month, partial"),
        Grain.QUARTER: _("this quarter, partial"),
        Grain.YEAR: _("this year, partial"),
    }[grain]


def period_header(grain: Grain) -> str:
    """What a column of such periods is called."""
    return {
        Grain.HOUR: _("Hour"),
        Grain.DAY: _("Day"),
        Grain.WEEK: _("Week"),
        Grain.MONTH: _("Month"),
        Grain.QUARTER: _("Quarter"),
        Grain.YEAR: _("Year"),
    }[grain]


def short(name: str) -> str:
    """Django's format of that name with the months' short names: ``j F`` is ``j M``."""
    return str(get_format(name)).replace("F", "M").replace("N", "M")


def short_day(day: date, *, year: bool = False) -> str:
    """``25 Oct``, or ``25 Oct 2026``, in the order of the locale."""
    return date_format(day, short("DATE_FORMAT" if year else "MONTH_DAY_FORMAT"))


def short_span(since: datetime, until: datetime, calendar: Calendar, *, year: bool = True) -> str:
    """A range by its first and last day: ``25 Oct – 23 Nov 2026``."""
    first, last = calendar.local_date(since), last_date(until, calendar)
    if first == last:
        return short_day(first, year=year)
    return f"{short_day(first, year=year and first.year != last.year)} – {short_day(last, year=year)}"


def period_name(
    since: datetime, until: datetime, grain: Grain, calendar: Calendar, *, year: bool = False
) -> str:
    """A period or what a range leaves of it: ``Mon 2 Nov``, ``2 Nov – 8 Nov``, ``Nov 2026``, ``2026``.

    ``year`` tells it of days and weeks as well.
    """
    first, last = calendar.local_date(since), last_date(until, calendar)
    if grain is Grain.DAY:
        return f"{date_format(first, 'D')} {short_day(first, year=year)}"
    if grain is Grain.HOUR:
        local = since.astimezone(calendar.zone)
        return f"{short_day(first, year=year)}, {date_format(local, 'TIME_FORMAT')}"
    whole = calendar.period(grain, since)
    if grain is Grain.WEEK or (since, until) != (whole.start, whole.end):
        return short_span(since, until, calendar, year=year)
    if grain is Grain.YEAR and first.month == 1:
        return str(first.year)
    if (first.year, first.month) == (last.year, last.month):
        return date_format(first, short("YEAR_MONTH_FORMAT"))
    begin = date_format(first, "M" if first.year == last.year else short("YEAR_MONTH_FORMAT"))
    return f"{begin} – {date_format(last, short('YEAR_MONTH_FORMAT'))}"


def tick_names(starts: Sequence[date], grain: Grain) -> Iterator[str]:
    """What stands below the axis at periods that begin at these dates: a year where it is new."""
    before = None
    for day in starts:
        if grain is Grain.YEAR:
            yield str(day.year)
        elif grain in (Grain.MONTH, Grain.QUARTER):
            yield date_format(day, "M" if before == day.year else short("YEAR_MONTH_FORMAT"))
        else:
            yield short_day(day)
        before = day.year
