"""Calendars, grains and periods: which instants belong to one hour, day, week, month, quarter or year."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

from stockandflow.conf import conf
from stockandflow.exceptions import InvalidInput

TICK = timedelta(microseconds=1)
"""Instants are told no finer."""


class Grain(StrEnum):
    """The length of a period."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Status(StrEnum):
    """Whether the number of a period can still change."""

    IN_PROGRESS = "in_progress"
    """The period hasn't ended."""
    PROVISIONAL = "provisional"
    """It has ended, and was last computed while late events were still allowed for."""
    FINAL = "final"
    """Computed after the allowed lateness: it changes by a restatement alone."""
    PARTIAL = "partial"
    """It has ended, and a part of it alone was ever computed."""
    GAP = "gap"
    """Nothing was computed."""

    @classmethod
    def of(cls, end: datetime, computed_at: datetime | None, now: datetime, lateness: timedelta) -> Status:
        """The status at ``now`` of a number for a period that ends at ``end``, last computed at ``computed_at``."""
        if now < end:
            return cls.IN_PROGRESS
        if computed_at is None:
            return cls.GAP
        return cls.FINAL if computed_at >= end + lateness else cls.PROVISIONAL


@dataclass(frozen=True, order=True)
class Period:
    """One hour, day, week … of a calendar: the instants ``start <= t < end``, both aware and in UTC."""

    start: datetime
    end: datetime
    grain: Grain

    def __contains__(self, at: datetime) -> bool:
        return self.start <= at < self.end


@dataclass(frozen=True)
class Calendar:
    """A time zone, the first day of the week and the first month of the year.

    Bounds are found from local dates, never by adding 24 hours: a day has 23 h or 25 h when the clocks change,
    and a date that the zone skipped has no period.
    """

    timezone: str = "UTC"
    week_start: int = 0
    year_start_month: int = 1

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise InvalidInput(
                f"Unknown time zone {self.timezone!r}; write an IANA name such as 'Europe/London' or 'UTC'."
            ) from error
        if self.week_start not in range(7):
            raise InvalidInput(f"week_start is {self.week_start!r}; write 0 (Monday) … 6 (Sunday).")
        if self.year_start_month not in range(1, 13):
            raise InvalidInput(f"year_start_month is {self.year_start_month!r}; write 1 … 12.")

    @classmethod
    def default(cls) -> Calendar:
        """The project's calendar, from the settings."""
        now = conf()
        return cls(now.time_zone, now.week_start, now.year_start_month)

    @property
    def key(self) -> str:
        """What names it in records, e.g. ``Europe/London 0 4``."""
        return f"{self.timezone} {self.week_start} {self.year_start_month}"

    @property
    def zone(self) -> tzinfo:
        return ZoneInfo(self.timezone)

    def local_date(self, at: datetime) -> date:
        """The local date whose day holds ``at``: the one that the clocks show.

        Where they go back over midnight, they show the next date for a while before it begins for good; that while
        belongs to the day before.
        """
        shown = self._wall(at).date()
        return shown if self.midnight(shown) <= at else shown - timedelta(days=1)

    def midnight(self, day: date) -> datetime:
        """The first instant of the local date ``day``, in UTC.

        Where the clocks skip midnight, the instant of the change; where they skip the whole date, the start of the
        next. Where they repeat midnight, the first of the two, unless the date before is shown in between: dates
        never go back.
        """
        wall = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        try:
            first, second = wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
        except OverflowError as error:
            raise InvalidInput(f"{day.isoformat()} is out of the calendar's reach.") from error
        if second < first:
            # There is no midnight, and ``first`` may come after the instant at which the clocks were put forward.
            return self._jump(second - timedelta(days=1), first)
        if second > first and self._wall(second - TICK).date() < day:
            return second
        return first

    def period(self, grain: Grain, at: datetime) -> Period:
        """The period of that grain that contains ``at``."""
        grain, at = _checked_grain(grain), aware(at)
        try:
            if grain is Grain.HOUR:
                return self._hour(at)
            first = self._first_day(grain, self.local_date(at))
            return Period(self.midnight(first), self.midnight(_next_first_day(grain, first)), grain)
        except (OverflowError, ValueError) as error:
            raise _out_of_reach(grain, at) from error

    def following(self, period: Period) -> Period:
        """The period right after; its start is the other's end."""
        return self.period(period.grain, period.end)

    def preceding(self, period: Period) -> Period:
        """The period right before; its end is the other's start."""
        return self.period(period.grain, period.start - TICK)

    def grain_of(self, since: datetime, until: datetime) -> Grain | None:
        """The grain of which ``since <= t < until`` is one whole period; None where it is none."""
        since, until = aware(since, "since"), aware(until, "until")
        whole = (grain for grain in Grain if self.period(grain, since) == Period(since, until, grain))
        return next(whole, None)

    def periods(self, grain: Grain, since: datetime, until: datetime) -> Iterator[Period]:
        """All periods that overlap ``since <= t < until``, in order and without gap."""
        grain, since, until = _checked_grain(grain), aware(since, "since"), aware(until, "until")
        if since >= until:
            return
        if grain is Grain.HOUR:
            period = self.period(grain, since)
            while period.start < until:
                yield period
                period = self.following(period)
            return
        # From date to date, so that each bound is found once.
        try:
            first = self._first_day(grain, self.local_date(since))
            start = self.midnight(first)
            while start < until:
                first = _next_first_day(grain, first)
                end = self.midnight(first)
                if start < end:  # a skipped date is no period
                    yield Period(start, end, grain)
                start = end
        except (OverflowError, ValueError) as error:
            raise _out_of_reach(grain, until) from error

    def offsets(self, since: datetime, until: datetime) -> list[tuple[datetime, timedelta]]:
        """The stretches of constant offset from UTC in ``since <= t < until``: (start in UTC, offset), in order.

        The local date is that of UTC plus the offset. So where clocks go back over midnight, the change counts from
        when it was midnight first. Looks at every local midnight, so a zone may change at most once a day.
        """
        since, until = aware(since, "since"), aware(until, "until")
        found = [(since, self._offset(since))]
        for period in self.periods(Grain.DAY, since, until):
            low, high = max(period.start, since), min(period.end, until)
            offset = self._offset(high)
            if offset == found[-1][1]:
                continue
            jump = self._jump(low, high)
            ahead = self._wall(jump - TICK).date()
            if ahead > self._wall(jump).date():
                midnight = datetime(ahead.year, ahead.month, ahead.day, tzinfo=self.zone)
                jump = max(since, midnight.astimezone(UTC))
            if jump == since:
                found = [(since, offset)]
            elif jump < until:
                found.append((jump, offset))
        return found

    def _wall(self, at: datetime) -> datetime:
        """What the clocks show at ``at``."""
        at = aware(at)
        try:
            return at.astimezone(self.zone)
        except OverflowError as error:
            raise InvalidInput(f"{at.isoformat()} is out of the calendar's reach.") from error

    def _offset(self, at: datetime) -> timedelta:
        return self._wall(at).utcoffset() or timedelta()  # None for naive zones, which no calendar has

    def _first_day(self, grain: Grain, day: date) -> date:
        if grain is Grain.WEEK:
            return day - timedelta(days=(day.weekday() - self.week_start) % 7)
        if grain is Grain.DAY:
            return day
        months = {Grain.MONTH: 1, Grain.QUARTER: 3, Grain.YEAR: 12}[grain]
        index = day.year * 12 + day.month - self.year_start_month
        index -= index % months
        year, month = divmod(index + self.year_start_month - 1, 12)
        return date(year, month + 1, 1)

    def _hour(self, at: datetime) -> Period:
        # Bounds are where the clock shows a whole hour, and where it jumps: Lord Howe moves by half an hour.
        local = at.astimezone(self.zone)
        into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        start, end = at - into, at - into + timedelta(hours=1)
        offset = local.utcoffset()
        if start.astimezone(self.zone).utcoffset() != offset:
            start = self._jump(start, at)
        if end.astimezone(self.zone).utcoffset() != offset:
            end = self._jump(at, end)
        return Period(start, end, Grain.HOUR)

    def _jump(self, low: datetime, high: datetime) -> datetime:
        """The instant in ``low < t <= high`` from which the zone has the offset of ``high``; bisects to 1 s."""
        target = high.astimezone(self.zone).utcoffset()
        low_s, high_s = int(low.timestamp()), int(high.timestamp())
        while high_s - low_s > 1:
            middle = (low_s + high_s) // 2
            if datetime.fromtimestamp(middle, self.zone).utcoffset() == target:
                high_s = middle
            else:
                low_s = middle
        return datetime.fromtimestamp(high_s, UTC)


def _checked_grain(grain: Grain) -> Grain:
    try:
        return Grain(grain)
    except ValueError as error:
        raise InvalidInput(f"{grain!r} is no grain; write one of {', '.join(Grain)}.") from error


def _out_of_reach(grain: Grain, at: datetime) -> InvalidInput:
    return InvalidInput(f"The {grain} of {at.isoformat()} is out of the calendar's reach.")


def _next_first_day(grain: Grain, first: date) -> date:
    if grain in (Grain.DAY, Grain.WEEK):
        return first + timedelta(days=7 if grain is Grain.WEEK else 1)
    index = first.year * 12 + first.month - 1 + {Grain.MONTH: 1, Grain.QUARTER: 3, Grain.YEAR: 12}[grain]
    return date(index // 12, index % 12 + 1, 1)


def aware(at: datetime, name: str = "the instant") -> datetime:
    """``at`` in UTC; raises InvalidInput for a naive datetime, since it names no instant."""
    if not isinstance(at, datetime):
        raise InvalidInput(f"{name} is {at!r}; give an aware datetime, e.g. django.utils.timezone.now().")
    if at.utcoffset() is None:
        raise InvalidInput(
            f"{name} is the naive datetime {at!r}, which names no instant; give it a time zone, e.g. "
            f"django.utils.timezone.make_aware({at!r})."
        )
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput(f"{name} is {at!r}, which in UTC is out of the calendar's reach.") from error


def checked_calendar(calendar: Calendar | None) -> Calendar | None:
    """The calendar, None for the project's; raises InvalidInput for anything else."""
    if calendar is not None and not isinstance(calendar, Calendar):
        raise InvalidInput(f"calendar is {calendar!r}; give a Calendar, e.g. Calendar('Europe/London').")
    return calendar


def checked_range(since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """``(since, until)`` in UTC; raises InvalidInput when one is naive or ``until`` doesn't come after ``since``."""
    since, until = aware(since, "since"), aware(until, "until")
    if until <= since:
        raise InvalidInput(
            f"until ({until.isoformat()}) doesn't come after since ({since.isoformat()}); a range is "
            "since <= t < until, so swap the two or widen it."
        )
    return since, until
