"""A flow by hour of the week, as a table whose cells are the darker the more moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.utils.dates import WEEKDAYS, WEEKDAYS_ABBR
from django.utils.translation import gettext as _

from stockandflow.exceptions import InvalidInput
from stockandflow.reports import Rhythm
from stockandflow.reports.rhythm import Slot
from stockandflow.site.words import count

SHADES = 5
"""How many steps of colour there are."""
HOUR = "hour"
"""The parameter that narrows a flow's latest moves to one hour of the week: ``2-09`` for Wednesday from 9:00."""


@dataclass(frozen=True)
class WeekCell:
    """One hour of the week; ``shade`` is 1 to 5, 0 where nothing moved."""

    text: str
    shade: int
    url: str
    current: bool
    spoken: str


@dataclass(frozen=True)
class WeekRow:
    """One weekday."""

    name: str
    short: str
    cells: tuple[WeekCell, ...]
    total: str


@dataclass(frozen=True)
class Week:
    """The table: seven days of 24 hours."""

    hours: tuple[str, ...]
    rows: tuple[WeekRow, ...]
    totals: tuple[str, ...]
    """The sum of each hour over all days."""
    total: str


def week(rhythm: Rhythm, query: Callable[..., str], slot: Slot | None = None, *, linked: bool = True) -> Week:
    """The table of a rhythm. ``query`` gives the address of the page with the parameter of an hour changed."""
    rows = []
    for day in rhythm.weekdays:
        cells = []
        for hour in range(24):
            number = rhythm.counts.get((day, hour), 0)
            spoken = _("%(day)s from %(hour)s:00: %(number)s") % {
                "day": WEEKDAYS[day],
                "hour": hour,
                "number": count(number),
            }
            url = query(**{HOUR: f"{day}-{hour:02}", "page": None}) if number and linked else ""
            cells.append(
                WeekCell(
                    count(number), _shade(number, rhythm.greatest), url, slot == (day, hour), str(spoken)
                )
            )
        of_day = sum(rhythm.counts.get((day, hour), 0) for hour in range(24))
        rows.append(WeekRow(str(WEEKDAYS[day]), str(WEEKDAYS_ABBR[day]), tuple(cells), count(of_day)))
    of_hours = (sum(rhythm.counts.get((day, hour), 0) for day in range(7)) for hour in range(24))
    return Week(
        hours=tuple(f"{hour:02}" for hour in range(24)),
        rows=tuple(rows),
        totals=tuple(map(count, of_hours)),
        total=count(rhythm.total),
    )


def _shade(number: int, greatest: int) -> int:
    """0 for nothing, else 1 to 5 in equal steps up to the greatest."""
    return -(-number * SHADES // greatest) if number else 0


def read_slot(parameters: Mapping[str, str]) -> Slot | None:
    """The hour of the week that an address asks for, None for all; raises InvalidInput for what is none."""
    text = parameters.get(HOUR, "")
    if not text:
        return None
    day, _dash, hour = text.partition("-")
    if day in map(str, range(7)) and len(hour) == 2 and hour.isascii() and hour.isdigit() and int(hour) < 24:
        return int(day), int(hour)
    raise InvalidInput(f"{HOUR} is {text!r}; write a weekday, 0 for Monday, and an hour, e.g. '2-09'.")


def slot_words(slot: Slot) -> str:
    """``Wednesday, 9:00 to 10:00``."""
    return _("%(day)s, %(since)s:00 to %(until)s:00") % {
        "day": WEEKDAYS[slot[0]],
        "since": slot[1],
        "until": slot[1] + 1,
    }
