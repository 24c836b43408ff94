"""Cron expressions as frequencies: a period begins whenever the expression says. Needs the extra ``[cron]``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import dropwhile
from typing import Any

from stockandflow.exceptions import DeclarationError
from stockandflow.periodic.frequencies import Bounds, Frequency, bounds
from stockandflow.periods import Calendar, aware

DAY = timedelta(days=1)


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
            next(found._from(datetime(2001, 1, 1, tzinfo=UTC)))
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
        at = aware(at)
        # A clock that went back shows an hour again that the search backward would begin before.
        zone = calendar.zone
        repeated = _offset(at - DAY, zone) - _offset(at, zone)
        beyond = (at + max(repeated, timedelta()) + timedelta(minutes=1)).astimezone(zone)
        earlier = (found.astimezone(UTC) for found in self._from(beyond, reverse=True))
        start = next(dropwhile(lambda found: found > at, earlier))
        later = (found.astimezone(UTC) for found in self._from(start.astimezone(zone)))
        return Bounds(start, next(dropwhile(lambda found: found <= at, later)))

    def _from(self, at: datetime, *, reverse: bool = False) -> Any:
        return cronsim().CronSim(self.value, at, reverse=reverse)


def _offset(at: datetime, zone: tzinfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


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
