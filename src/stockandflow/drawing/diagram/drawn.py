"""A diagram as it is drawn: boxes, pipes, labels and clouds in px, and the paths that SVG wants for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import hypot
from typing import Literal

from stockandflow.drawing.diagram.given import Box, Pipe
from stockandflow.drawing.sparkline import Sparkline

Point = tuple[float, float]
Kind = Literal["in", "out", "on", "back"]
"""From outside, to outside, on to a later stock in the order declared, or back to an earlier one."""


@dataclass(frozen=True)
class Rectangle:
    """Its left upper corner, and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def moved(self, y: float) -> Rectangle:
        """The same one, so much lower."""
        return Rectangle(self.x, self.y + y, self.width, self.height)

    def overlaps(self, other: Rectangle) -> bool:
        """Whether the two have more than an edge in common."""
        return (
            self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom
        )


@dataclass(frozen=True)
class Label:
    """The name and count of a pipe; ``x`` is the middle of the text, ``y`` its base line.

    ``count_y`` is the base line of the count where that stands below the pipe, else None: it follows the name.
    """

    x: float
    y: float
    name: str
    count: str
    count_y: float | None
    places: tuple[Rectangle, ...]
    """What the text covers, as far as can be told without the font."""


@dataclass(frozen=True)
class DrawnBox:
    """A stock's box, with its sparkline at its foot; None where fewer than two levels are known."""

    box: Box
    place: Rectangle
    name: str
    """As much of the name as fits."""
    count: str
    change: str
    """"" where it doesn't fit beside the count."""
    count_font: float
    """The size of the count in px, the same in all boxes of a diagram."""
    spark: Sparkline | None
    spark_at: Rectangle
    name_at: Point
    count_at: Point
    change_at: Point


@dataclass(frozen=True)
class DrawnPipe:
    """A flow's pipe, from its source to its sink. ``points`` are its corners, the last one where its arrow touches."""

    pipe: Pipe
    kind: Kind
    points: tuple[Point, ...]
    width: float
    path: str
    arrow: str
    valve: str
    """"" in a diagram without labels."""
    cloud: Point | None
    """The middle of the cloud where it comes from or goes outside."""
    label: Label | None

    @property
    def cloud_place(self) -> str:
        """Where the cloud is, as SVG's ``transform``."""
        return f"translate({in_svg(self.cloud[0])} {in_svg(self.cloud[1])})" if self.cloud else ""


@dataclass(frozen=True)
class Diagram:
    """Boxes and pipes on a canvas of ``width`` × ``height`` px, its corner at (0, 0); pipes in the order given.

    ``left_out`` are the pipes that aren't drawn, since there are too many.
    """

    width: int
    height: int
    boxes: tuple[DrawnBox, ...]
    pipes: tuple[DrawnPipe, ...]
    left_out: tuple[Pipe, ...] = ()
    compact: bool = False
    columns: int = 0
    order: tuple[tuple[str, ...], ...] = field(default=())
    """The slugs of each column's boxes, from the top."""

    @property
    def narrowest(self) -> int:
        """To how few px it may be drawn smaller, so that its text can still be read; from there on it scrolls."""
        return round(self.width * 0.7)

    @property
    def view_box(self) -> str:
        return f"0 0 {self.width} {self.height}"


def in_svg(length: float) -> str:
    """A length as SVG wants it, whatever the locale: ``12.5``, ``3``."""
    written = f"{length:.1f}".removesuffix(".0")
    return "0" if written == "-0" else written


def _at(x: float, y: float) -> str:
    return f"{in_svg(x)} {in_svg(y)}"


def head_length(width: float, *, labels: bool) -> float:
    """How long the head of an arrow is, for a pipe of that width."""
    return 6 + width * 0.55 if labels else 3 + width * 0.6


def path_of(points: Sequence[Point], corner: float, shorter: float) -> str:
    """The points joined by lines with round corners; ends ``shorter`` px before the last one, for the arrow's head."""
    line = list(points)
    line[-1] = _before(line[-2], line[-1], shorter)
    parts = [f"M{_at(*line[0])}"]
    for before, here, after in zip(line, line[1:], line[2:], strict=False):
        into, out = _length(before, here), _length(here, after)
        radius = min(corner, into / 2, out / 2)
        start, end = _before(before, here, radius), _before(after, here, radius)
        parts.append(f"L{_at(*start)}Q{_at(*here)} {_at(*end)}")
    parts.append(f"L{_at(*line[-1])}")
    return "".join(parts)


def arrow_of(points: Sequence[Point], width: float, length: float) -> str:
    """The head of the arrow, whose tip is at the last point."""
    before, tip = points[-2], points[-1]
    base = _before(before, tip, length)
    tip = _before(before, tip, 1)
    whole = _length(before, points[-1]) or 1
    across = ((points[-1][1] - before[1]) / whole, (before[0] - points[-1][0]) / whole)
    half = max(length * 0.58, width / 2 + 1.5)
    left = base[0] + across[0] * half, base[1] + across[1] * half
    right = base[0] - across[0] * half, base[1] - across[1] * half
    return f"M{_at(*tip)}L{_at(*left)}L{_at(*right)}Z"


def valve_of(x: float, y: float) -> str:
    """A valve on a pipe that runs level, with its middle there."""
    return f"M{_at(x - 7, y - 6)}v12l14-12v12z"


def _length(a: Point, b: Point) -> float:
    return hypot(b[0] - a[0], b[1] - a[1])


def _before(away: Point, here: Point, by: float) -> Point:
    """The point ``by`` px before ``here``, on the way from ``away``."""
    whole = _length(away, here) or 1
    return here[0] + (away[0] - here[0]) / whole * by, here[1] + (away[1] - here[1]) / whole * by
