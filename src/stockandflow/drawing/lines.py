"""Lines: paths over points at equal distances, broken where a value isn't known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from stockandflow.drawing.scales import Axis, number

STEP = 10
"""The distance between two points, in the units of the viewBox."""


def stretches(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """What is known in a row, as (position, value)."""
    known = [(position, value) for position, value in enumerate(values) if value is not None]
    for _, ones in groupby(enumerate(known), key=lambda one: one[1][0] - one[0]):
        yield [point for _, point in ones]


def line(values: Sequence[float | None], axis: Axis, height: float, *, shift: float = 0) -> str:
    """A path through the values, ``shift`` of a step to the right; a lone point is a line of no length."""
    return "".join(
        "M" + "L".join(points) + ("h0" if len(points) == 1 else "")
        for points in _points(values, axis, height, shift)
    )


def area(values: Sequence[float | None], axis: Axis, height: float) -> str:
    """The path of what is below the line, "" where the axis doesn't begin at zero: a fill would overstate it."""
    if not axis.from_zero:
        return ""
    bottom = number(height, 1)
    return "".join(
        f"M{points[0].split()[0]} {bottom}L{'L'.join(points)}V{bottom}Z"
        for points in _points(values, axis, height, 0)
        if len(points) > 1
    )


def _points(values: Sequence[float | None], axis: Axis, height: float, shift: float) -> Iterator[list[str]]:
    for stretch in stretches(values):
        yield [f"{number((at + shift) * STEP)} {axis.y(value, height)}" for at, value in stretch]
