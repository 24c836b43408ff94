"""When things happen: working days and weekends, ends of months, seasons, and the hours of the day.

Time is a float here: local days since the timeline's first midnight, as a clock on the wall shows them. 1.5 is noon of
the second day, whether or not the clocks were changed that night.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import accumulate
from math import ceil, exp, inf
from random import Random
from zoneinfo import ZoneInfo

MINUTE = 1 / (24 * 60)


@dataclass(frozen=True)
class Rhythm:
    """On which days, and at which hours, something tends to happen: weights, of which only the ratios count."""

    weekdays: tuple[float, ...]
    """Monday first."""
    hours: tuple[float, ...]
    """From midnight. Nothing happens between 1 and 3, so no clock change makes a moment missing or ambiguous."""
    first_of_month: float = 1
    last_of_month: float = 1
    """For the last three days."""

    def weight(self, day: date) -> float:
        weight = self.weekdays[day.weekday()]
        if day.day == 1:
            return weight * self.first_of_month
        if (day + timedelta(days=3)).month != day.month:
            return weight * self.last_of_month
        return weight


OFFICE = Rhythm(
    (1.15, 1.15, 1.1, 1.05, 0.9, 0.08, 0.03), (0,) * 8 + (1, 4, 6, 6, 3, 4, 6, 6, 5, 2) + (0,) * 6
)
"""What staff do."""
HOME = Rhythm(
    (1.1, 1.1, 1.05, 1, 0.9, 0.6, 0.55), (0,) * 6 + (1, 2, 4, 5, 6, 6, 6, 5, 5, 5, 5, 5, 6, 6, 7, 6, 4, 2)
)
"""What members do."""
MONTH_END = Rhythm(HOME.weekdays, HOME.hours, first_of_month=0.7, last_of_month=2.2)
"""What members do before the next month must be paid."""
BILLING = Rhythm((1, 1, 1, 1, 1, 0.75, 0.75), (0,) * 6 + (6, 4, 1, 1, 1, 1) + (0,) * 12, first_of_month=2.8)
"""What the payment provider does: mornings, and most on the first of the month."""

SEASON = (1.22, 1.08, 1.04, 1.0, 0.98, 0.92, 0.84, 0.82, 1.1, 1.12, 1.06, 0.8)
"""January first: resolutions, a slow summer, a quiet December."""


@dataclass(frozen=True)
class Timeline:
    """The days from ``first`` to ``until`` as one place sees them; ``until`` is an aware instant, and excluded."""

    first: date
    until: datetime
    zone: ZoneInfo
    days: list[date] = field(init=False)
    end: float = field(init=False)
    """``until`` as local days since the first midnight."""
    _weights: dict[Rhythm, list[float]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        end = self.moment(self.until)
        if end <= 0:
            raise ValueError(f"The timeline ends at {self.until}, before its first day, {self.first}.")
        object.__setattr__(self, "end", end)
        object.__setattr__(self, "days", [self.first + timedelta(days=n) for n in range(ceil(end))])

    def instant(self, moment: float) -> datetime:
        """The instant, in UTC, of a moment of this timeline."""
        day = int(moment)
        wall = datetime.combine(self.days[day], time.min, self.zone) + timedelta(days=moment - day)
        return wall.astimezone(UTC)

    def moment(self, at: datetime) -> float:
        """The moment of this timeline that an instant is."""
        local = at.astimezone(self.zone)
        wall = timedelta(
            hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond
        )
        return (local.date() - self.first).days + wall / timedelta(days=1)

    def midnights(self) -> list[datetime]:
        """The first instant of each day, in UTC."""
        return [self.instant(day) for day in range(len(self.days))]

    def after(self, earliest: float, rhythm: Rhythm, random: Random) -> float:
        """A moment after ``earliest`` that suits the rhythm; infinite when it would come after the last day."""
        weights = self._weights.setdefault(rhythm, [])
        if not weights:
            plain = [rhythm.weight(day) for day in self.days]
            highest = max(plain)
            weights.extend(weight / highest for weight in plain)
        for day in range(int(earliest), len(weights)):
            if random.random() < weights[day]:
                moment = day + self.time_of_day(rhythm, random)
                if moment > earliest + MINUTE:
                    return moment
        return inf

    @staticmethod
    def time_of_day(rhythm: Rhythm, random: Random) -> float:
        """A time of day, as a fraction of the day."""
        (hour,) = random.choices(range(24), cum_weights=_cumulated(rhythm.hours))
        return (hour + random.random()) / 24

    @staticmethod
    def next_night(earliest: float, random: Random) -> float:
        """When the nightly jobs first run after ``earliest``: five past midnight, and a few seconds."""
        return int(earliest - 5 * MINUTE) + 1 + (5 + random.random() / 10) * MINUTE


@cache
def _cumulated(weights: tuple[float, ...]) -> list[float]:
    return list(accumulate(weights))


def poisson(mean: float, random: Random) -> int:
    """How often something happens that happens ``mean`` times on average, independently; mean up to some hundreds."""
    limit, product, count = exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count
