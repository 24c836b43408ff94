"""A line for a wallboard: the numbers of a series and what stands at its axes."""

from __future__ import annotations

from typing import Any

from stockandflow.declarations import Flow
from stockandflow.periods import Period
from stockandflow.rendering.document import iso
from stockandflow.rendering.words import periods
from stockandflow.reports import Point, Series

COLOUR = "27496d"
"""That of stocks on the pages."""
MOST_NAMES = 6
"""So many periods are named at the axis of an old chart."""


def plain(found: Series) -> dict[str, Any]:
    """Every period with its name, its number or None, and its status; the last one of a stock is that of now.

    A period of which nothing is known is a gap, never 0. That of a flow which is under way is left out: it would fall.
    """
    points = [*found.points, *([found.open] if found.open and not isinstance(found.of, Flow) else [])]
    known = {point.start: point for point in points}
    rows: list[Point | Period] = sorted([*points, *found.gaps], key=lambda one: one.start)
    unknown = "suppressed" if found.suppressed else "gap"
    names = periods([(one.start, one.end) for one in rows], found.calendar)
    return {
        "kind": "line",
        "name": str(found.of.name),
        "measure": found.measure,
        "grain": found.grain.value,
        "time_zone": found.calendar.timezone,
        "labels": names,
        "starts": [iso(one.start) for one in rows],
        "values": [known[one.start].value if one.start in known else None for one in rows],
        "statuses": [known[one.start].status.value if one.start in known else unknown for one in rows],
    }


def geckoboard(found: Series) -> dict[str, Any]:
    """The line chart of Geckoboard's custom widgets: ``item``, the numbers as text, and ``settings``.

    The form has no gaps, so that periods of which nothing is known are left out, as on the pages the one under way of a
    flow. ``axisx`` names up to MOST_NAMES of the periods, ``axisy`` the least and the greatest number.
    """
    line = plain(found)
    shown = [
        (name, value) for name, value in zip(line["labels"], line["values"], strict=True) if value is not None
    ]
    values = [value for _, value in shown]
    step = max(1, (len(shown) - 1) / (MOST_NAMES - 1))
    places = sorted({round(place * step) for place in range(MOST_NAMES) if place * step <= len(shown) - 1})
    return {
        "item": [_text(value) for value in values],
        "settings": {
            "axisx": [shown[place][0] for place in places],
            "axisy": [_text(value) for value in sorted({min(values), max(values)})] if values else [],
            "colour": COLOUR,
        },
    }


def _text(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, float) and not value.is_integer() else str(int(value))


SHAPES = {"plain": plain, "geckoboard": geckoboard}
"""Value of the parameter ``shape`` → what makes the feed."""
