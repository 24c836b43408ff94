"""Scales: round ends for axes, and numbers as SVG reads them, whatever the locale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

STEPS = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
"""The round numbers between 10 and 100; others are these times a power of ten."""

ZERO_IN_SIGHT = 0.35
"""From which share of the highest value the lowest one may be for an axis to begin at zero without waste."""


def number(value: float, decimals: int = 2) -> str:
    """A number as SVG reads it: with a point, and without zeros at the end."""
    text = f"{value:.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def percent(share: float) -> str:
    """A share of the width: ``33.333%``."""
    return f"{number(share * 100, 3)}%"


def nice(most: int) -> int:
    """The first round whole number that isn't below ``most``; 1 where nothing is counted."""
    if most <= 10:
        return max(1, most)
    power = int(10 ** (len(str(most)) - 2))
    return next(step * power for step in STEPS if step * power >= most)


@dataclass(frozen=True)
class Axis:
    """What an axis reaches from and to; ``low`` is below ``high``."""

    low: float
    high: float

    @property
    def from_zero(self) -> bool:
        """Whether it begins at zero, so that a filled area below the line tells the truth."""
        return self.low == 0

    def place(self, value: float) -> float:
        """Where a value stands between the two ends: 0 at the low one, 1 at the high one."""
        return (value - self.low) / (self.high - self.low)

    def y(self, value: float, height: float) -> str:
        """That place in px from the top of something with that height."""
        return number(height * (1 - self.place(value)), 1)


def count_axis(values: Iterable[float | None]) -> Axis:
    """An axis that holds all values with some room; it begins at zero where that hides nothing of the change.

    Values that aren't known are left out.
    """
    known = [value for value in values if value is not None]
    low, high = min(known, default=0), max(known, default=0)
    if 0 <= low <= high * ZERO_IN_SIGHT:
        return Axis(0, high * 1.08 or 1)
    room = (high - low) * 0.12 or max(1, abs(high) * 0.02)
    return Axis(low - room, high + room)
