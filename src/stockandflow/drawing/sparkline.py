"""Sparklines: how something went, as a line as small as a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stockandflow.drawing.lines import STEP, area, line
from stockandflow.drawing.scales import Axis, count_axis, number, percent

EDGE = 4
"""Room above and below, in px, so that neither the stroke nor the dot is cut."""


@dataclass(frozen=True)
class Sparkline:
    """A line for an svg of ``width`` × ``height`` units, to be stretched; "" where nothing is known."""

    width: str
    height: str
    line: str
    area: str
    """Below the line, where the axis begins at zero; else ""."""
    end_x: str
    """The last known point: x in %, y in px; both "" where nothing is known."""
    end_y: str

    @property
    def view_box(self) -> str:
        return f"0 0 {self.width} {self.height}"


def sparkline(values: Sequence[float | None], *, height: int = 28) -> Sparkline:
    """A line through the values, as high as ``height`` px; it breaks where one isn't known."""
    axis = _with_edges(count_axis(values), height)
    last = next((at for at in reversed(range(len(values))) if values[at] is not None), None)
    steps = max(1, len(values) - 1)
    end = None if last is None else values[last]
    return Sparkline(
        width=number(steps * STEP),
        height=number(height),
        line=line(values, axis, height),
        area=area(values, axis, height) if axis.low >= 0 else "",
        end_x="" if last is None else percent(last / steps),
        end_y="" if end is None else axis.y(end, height),
    )


def _with_edges(axis: Axis, height: int) -> Axis:
    """The same axis with room at both ends; one that begins at zero keeps it."""
    room = (axis.high - axis.low) * EDGE / (height - EDGE)
    return Axis(axis.low if axis.from_zero else axis.low - room, axis.high + room)
