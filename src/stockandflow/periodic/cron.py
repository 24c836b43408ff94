"""Cron expressions as frequencies: a period begins whenever the expression says. Needs the extra ``[cron]``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from stockandflow.exceptions import DeclarationError
from stockandflow.periodic.frequencies import Bounds, Frequency, bounds
from stockandflow.periods import Calendar, aware

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@dataclass(frozen=True)
class Cron:
    """A cron expression of five fields: minute, hour, day of the month, month, day of the week.

    It is read as Debian's cron does, in the calendar's zone: what is set for an hour that the clocks skip comes right
    after the skip, and in an hour that they repeat it comes once, unless hour or minute begin with ``*``.
    """

    value: str

    @classmethod
    def checked(cls, expression: str) -> Cron:
        """Raises DeclarationError where it is no cron expression, never comes true, or cronsim isn't installed."""
        if len(expression.split()) != 5:
            raise DeclarationError(
                f"The cron expression {expression!r} must have five fields: minute, hour, day of the month, month, day "
                "of the week, e.g. '30 7 * * MON-FRI'."
            )
        found = cls(" ".join(expression.split()))
        try:
            next(found._from(datetime(2001, 1, 1)))  # noqa: DTZ001 - a time on the clock
        except cron_errors() as error:
            raise DeclarationError(
                f"{expression!r} is no cron expression ({error}); write e.g. '30 7 * * MON-FRI'."
            ) from error
        except StopIteration as error:
            raise DeclarationError(
                f"The cron expression {expression!r} never comes true; write a date that there is."
            ) from error
        return found

    def bounds(self, calendar: Calendar, at: datetime) -> Bounds:
        """The period that contains ``at``: from the last instant that the expression names until its next."""
        at, zone = aware(at), calendar.zone
        offsets = [at.astimezone(zone).utcoffset() or timedelta() for at in (at - DAY, at, at + DAY)]
        shift = max(offsets) - min(offsets)
        return Bounds(
            max(self._near(at, zone, shift, back=True)), min(self._near(at, zone, shift, back=False))
        )

    def _near(self, at: datetime, zone: tzinfo, shift: timedelta, *, back: bool) -> Iterator[datetime]:
        """The last instants until ``at`` that the expression names, or the first after it.

        Times on the clock are looked through in their order, from as far as the clocks are shifted around here, and as
        far on after the first that fits: an earlier time can be a later instant.
        """
        sign = -1 if back else 1
        wall = at.astimezone(zone).replace(tzinfo=None)
        last: datetime | None = None
        for time in self._from(wall - sign * (shift + MINUTE), reverse=back):
            if last is not None and (time - last) * sign > shift:
                return
            for instant in self._instants(time, zone):
                if (instant <= at) is back:
                    last = last or time
                    yield instant

    def _instants(self, wall: datetime, zone: tzinfo) -> list[datetime]:
        """When the clocks show that time: never or twice where they change, if hour or minute begin with ``*``."""
        minute, hour, *_ = self.value.split()
        shown = [one for fold in (0, 1) if (one := _instant(wall, zone, fold)) is not None]
        if minute.startswith("*") or hour.startswith("*"):
            return shown
        while not shown:
            wall += MINUTE
            shown = [one for one in [_instant(wall, zone, 0)] if one is not None]
        return shown[:1]

    def _from(self, at: datetime, *, reverse: bool = False) -> Any:
        """The times on the clock, without zone, that the expression names after ``at``, or before it."""
        return cronsim().CronSim(self.value, at, reverse=reverse)


def _instant(wall: datetime, zone: tzinfo, fold: int) -> datetime | None:
    """The instant at which the clocks show that time, for the first or the second time; None where they don't."""
    instant = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    return instant if instant.astimezone(zone).replace(tzinfo=None, fold=0) == wall else None


def cronsim() -> Any:
    """The library; raises DeclarationError with how to get it."""
    try:
        import cronsim as library  # noqa: PLC0415 - an extra: wanted only where an expression is used
    except ImportError as error:
        raise DeclarationError(
            "A cron expression needs the library cronsim; pip install 'django-stockandflow[cron]'."
        ) from error
    return library


def cron_errors() -> type[Exception]:
    """What the library raises for an expression that it can't read."""
    found: type[Exception] = cronsim().CronSimError
    return found


def frequency_of(value: Any) -> Frequency | Cron:
    """A frequency from its constant, its text, or a cron expression; raises ValueError where it is none of them.

    Raises DeclarationError for a text of several words that is no cron expression.
    """
    if isinstance(value, Cron):
        return value
    if isinstance(value, str) and len(value.split()) > 1:
        return Cron.checked(value)
    return Frequency(value)


def bounds_of(frequency: Frequency | Cron, calendar: Calendar, at: datetime) -> Bounds | None:
    """The period of that frequency that contains ``at``; None for one that never comes."""
    return frequency.bounds(calendar, at) if isinstance(frequency, Cron) else bounds(frequency, calendar, at)
