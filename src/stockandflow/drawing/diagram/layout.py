"""The diagram of a process: columns, order, heights and routes put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import floor, sqrt

from stockandflow.drawing.diagram.columns import columns_of, components_of
from stockandflow.drawing.diagram.drawn import (
    Diagram,
    DrawnBox,
    DrawnPipe,
    Kind,
    Label,
    Point,
    Rectangle,
    arrow_of,
    head_length,
    path_of,
    valve_of,
)
from stockandflow.drawing.diagram.given import Box, Pipe, Places, outside
from stockandflow.drawing.diagram.grid import LEFT, RIGHT, Grid, Hook, Way, grid
from stockandflow.drawing.diagram.lettering import fitted, text_width
from stockandflow.drawing.diagram.ordering import Order, ordered
from stockandflow.drawing.diagram.routing import Tracks, tracks
from stockandflow.drawing.diagram.sides import Sides, sides
from stockandflow.drawing.diagram.sizes import FULL, MINIATURE, Sizes, sizes_for
from stockandflow.drawing.diagram.stacking import Stacked, hooks_of, reaches, stacked
from stockandflow.drawing.sparkline import sparkline

MOST_PIPES = 40
"""More can't be told from each other: the smallest ones are left out."""
SPARK = 30
"""The height of a box's sparkline, in px."""
BOX_PAD = 11
"""Between a box's sides and its text, in px."""
COUNT_FONT, COUNT_FONT_LEAST = 22, 16
"""The size of the counts, in px, and the least one that makes room for a change."""


def diagram(
    boxes: Sequence[Box], pipes: Sequence[Pipe], *, places: Places | None = None, most: int = MOST_PIPES
) -> Diagram:
    """The diagram of these stocks and flows, boxes in the order in which they are to be read.

    The same boxes and pipes give the same diagram. ``places`` (slug → column, row) put boxes where they say. Of more
    than ``most`` pipes the smallest are left out. A pipe from outside to outside isn't drawn.
    """
    return _made(boxes, pipes, places or {}, most, None)


def miniature(
    boxes: Sequence[Box], pipes: Sequence[Pipe], *, places: Places | None = None, most: int = MOST_PIPES
) -> Diagram:
    """The same diagram, about a fifth as large and without a text."""
    return _made(boxes, pipes, places or {}, most, MINIATURE)


def neighbourhood(
    boxes: Sequence[Box], pipes: Sequence[Pipe], slug: str, *, most: int = MOST_PIPES
) -> Diagram:
    """One stock and those that pipes join it with: on its left those declared before it, on its right those after."""
    near = [pipe for pipe in pipes if slug in (pipe.source, pipe.sink)]
    joined = {end for pipe in near for end in (pipe.source, pipe.sink)} | {slug}
    shown = [box for box in boxes if box.slug in joined]
    middle = [box.slug for box in shown].index(slug)
    columns = {box.slug: 1 + (place > middle) - (place < middle) for place, box in enumerate(shown)}
    rows = {box.slug: place for place, box in enumerate(shown)}
    places = {box.slug: (columns[box.slug], rows[box.slug]) for box in shown}
    return _made(shown, near, places, most, None)


def _made(
    boxes: Sequence[Box], pipes: Sequence[Pipe], places: Places, most: int, sizes: Sizes | None
) -> Diagram:
    slugs = {box.slug: place for place, box in enumerate(boxes)}
    inner = [pipe for pipe in pipes if outside(pipe, slugs) != (None, None)]
    largest = sorted(inner, key=lambda pipe: -pipe.number)[:most]
    kept = set(map(id, largest))
    shown = [pipe for pipe in inner if id(pipe) in kept]
    drawing = _Drawing(boxes, shown, places, sizes)
    return drawing.diagram(tuple(pipe for pipe in inner if id(pipe) not in kept))


@dataclass(frozen=True)
class _Gap:
    """The space left of a column, or right of the last one: its ends, and what stands in it from left to right."""

    left: float
    right: float
    zones: tuple[tuple[float, float], tuple[float, float]]
    """Where labels stand that belong to the left column, and those that belong to the right one."""
    cloud: float
    tracks: Sequence[float]


class _Drawing:
    def __init__(
        self, boxes: Sequence[Box], pipes: Sequence[Pipe], places: Places, sizes: Sizes | None
    ) -> None:
        self.boxes, self.pipes = boxes, pipes
        slugs = {box.slug: place for place, box in enumerate(boxes)}
        self.ways: list[Way] = [outside(pipe, slugs) for pipe in pipes]
        pairs = [(a, b) for a, b in self.ways if a is not None and b is not None]
        fixed = {slugs[slug]: place for slug, place in places.items() if slug in slugs}
        columns = columns_of(len(boxes), pairs, {box: column for box, (column, _) in fixed.items()})
        self.grid: Grid = grid(columns, self.ways)
        self.sizes = sizes or sizes_for(self.grid.columns)
        component = components_of(len(boxes), pairs)
        if fixed:
            component = [0] * len(boxes)
        of_items = [
            component[item.box] if item.box is not None else component[self.ways[item.pipe or 0][0] or 0]
            for item in self.grid.items
        ]
        rows = {box: row for box, (_, row) in fixed.items()}
        self.order: Order = ordered(self.grid, of_items, rows)
        self.sides: Sides = sides(self.grid, self.order, self.sizes)
        self.reach = reaches(self.grid, self.sides)
        self.largest = max((pipe.number for pipe in pipes), default=0) or 1
        weights = [1 + 3 * sqrt(max(pipe.number, 0) / self.largest) for pipe in pipes]
        self.stacked: Stacked = stacked(self.grid, self.order, self.sides, weights, self.reach)
        self.widths = [self._width(pipe) for pipe in pipes]
        self.below = self.sizes.label_under > 0

    def diagram(self, left_out: tuple[Pipe, ...]) -> Diagram:
        routes = [self._tracks(gap) for gap in range(self.grid.columns + 1)]
        self._place_gaps(routes)
        drawn = self._through_gaps(routes)
        for hook in self.grid.hooks:
            drawn[hook.pipe] = self._hooked(hook)
        margin = self.sizes.margin
        ys = [
            y
            for item, y in enumerate(self.stacked.items)
            for y in (y - self.reach[item][0], y + self.reach[item][1])
        ]
        ys += [y for points, _, _ in drawn.values() for _, y in points]
        top = min(ys, default=0.0) - margin
        self.shift = -top
        return Diagram(
            width=round(self.end + margin),
            height=round(max(ys, default=0.0) - top + margin),
            boxes=tuple(self._box(place) for place in range(len(self.boxes))),
            pipes=tuple(self._pipe(index, *drawn[index]) for index in sorted(drawn)),
            left_out=left_out,
            compact=self.sizes.labels and self.sizes is not FULL,
            columns=self.grid.columns,
            order=tuple(
                tuple(
                    self.boxes[box].slug for item in column if (box := self.grid.items[item].box) is not None
                )
                for column in self.order
            ),
        )

    def _width(self, pipe: Pipe) -> float:
        thin, thick = self.sizes.thinnest, self.sizes.thickest
        return round(thin + (thick - thin) * sqrt(max(pipe.number, 0) / self.largest), 1)

    def _text(self, pipe: Pipe, most: float, *, below: bool) -> tuple[str, float, float]:
        """As much of the pipe's name as fits, the width of all above the pipe, and that of the count."""
        if not self.sizes.labels:
            return "", 0.0, 0.0
        font = self.sizes.font
        count = text_width(pipe.count, font * 1.08)
        beside = 0.0 if below or not pipe.count else count + font * 0.35
        name = fitted(pipe.name, font, most - beside)
        return name, text_width(name, font) + beside, count

    def _tracks(self, gap: int) -> Tracks:
        legs = {index: leg for index, leg in enumerate(self.sides.legs) if leg.gap == gap}
        widths = {index: self.widths[leg.pipe] for index, leg in legs.items()}
        return tracks(legs, self.stacked.ports, widths, self.sizes.track)

    def _place_gaps(self, routes: Sequence[Tracks]) -> None:
        x = float(self.sizes.margin)
        self.gaps: list[_Gap] = []
        self.lefts: list[float] = []
        for gap, route in enumerate(routes):
            placed = self._gap(gap, route, x)
            self.gaps.append(placed)
            x = placed.right
            if gap < self.grid.columns:
                self.lefts.append(x)
                x += self.sizes.box_width
        self.end = x

    def _gap(self, gap: int, route: Tracks, x: float) -> _Gap:
        sizes = self.sizes
        wide = [0.0, 0.0]
        clouds, any_leg = False, False
        for leg in self.sides.legs:
            if leg.gap != gap:
                continue
            any_leg = True
            clouds |= len(leg.ends) == 1
            if leg.labelled is not None and sizes.labels:
                side = RIGHT if leg.ends[leg.labelled].side == LEFT else LEFT
                _, *widths = self._text(self.pipes[leg.pipe], sizes.label_most, below=self.below)
                wide[side] = max(wide[side], *(width + 2 * sizes.label_air for width in widths), 40)
        if not any_leg and gap in (0, self.grid.columns):
            return _Gap(x, x, ((x, x), (x, x)), x, ())
        start, cloud = x, 2 * sizes.cloud if clouds else 0
        if gap == 0:
            near, stand = (x + cloud, x + cloud), x + cloud / 2
            end = x + cloud + wide[RIGHT] + sizes.pad
            return _Gap(x, end, (near, (near[0], end - sizes.pad)), stand, ())
        x += sizes.pad * (gap < self.grid.columns or wide[LEFT] == 0 or route.many > 0)
        left = x, x + wide[LEFT]
        stand = left[1] + cloud / 2
        x = left[1] + cloud
        upright = [x + sizes.track * (track + 0.5) for track in range(route.many)]
        x += sizes.track * route.many
        if gap == self.grid.columns:
            return _Gap(start, x, (left, left), stand, upright)
        right = x, x + wide[RIGHT]
        x = right[1] + sizes.pad
        if not route.many:  # nothing stands upright: labels may have their middle in the middle of the gap
            x = max(x, start + 2 * sizes.pad + (40 if sizes.labels else 8))
            left = right = start + sizes.pad, x - sizes.pad
        return _Gap(start, x, (left, right), stand, upright)

    def _through_gaps(
        self, routes: Sequence[Tracks]
    ) -> dict[int, tuple[list[Point], Label | None, Point | None]]:
        drawn: dict[int, tuple[list[Point], Label | None, Point | None]] = {}
        for index, leg in enumerate(self.sides.legs):
            gap, ports = self.gaps[leg.gap], self.stacked.ports
            before, label, _ = drawn.get(leg.pipe, ([], None, None))
            heights = [ports[index, end] for end in range(len(leg.ends))]
            cloud = (gap.cloud, heights[0]) if len(leg.ends) == 1 else None
            if cloud:
                points = [cloud, (gap.right, heights[0])] if leg.gap == 0 else [(gap.left, heights[0]), cloud]
            else:
                points = self._leg(index, gap, heights, routes[leg.gap])
            if leg.labelled is not None:
                side = RIGHT if leg.ends[leg.labelled].side == LEFT else LEFT
                label = self._label(leg.pipe, *gap.zones[side], heights[leg.labelled], below=self.below)
            drawn[leg.pipe] = before + points, label, cloud
        for item, one in enumerate(self.grid.items):
            if one.box is None and one.labelled and one.pipe is not None:
                points, _, cloud = drawn[one.pipe]
                left = self.lefts[one.column]
                label = self._label(one.pipe, left, left + self.sizes.box_width, self.stacked.items[item])
                drawn[one.pipe] = points, label, cloud
        return {
            pipe: (self._directed(pipe, points), label, cloud)
            for pipe, (points, label, cloud) in drawn.items()
        }

    def _leg(self, index: int, gap: _Gap, heights: Sequence[float], route: Tracks) -> list[Point]:
        leg = self.sides.legs[index]
        start = (gap.left, heights[0])
        end = (gap.left if leg.turns else gap.right, heights[1])
        runs = [gap.tracks[track] for (run, _), track in sorted(route.of.items()) if run == index]
        levels = [heights[0], *([route.between[index]] if len(runs) == 2 else []), heights[1]]
        middle = [(x, y) for x, pair in zip(runs, pairwise(levels), strict=False) for y in pair]
        return [start, *middle, end]

    def _directed(self, pipe: int, points: Sequence[Point]) -> list[Point]:
        """The corners alone, from source to sink."""
        corners = [points[0]]
        for here, after in zip(points[1:], [*points[2:], None], strict=True):
            if after and abs(here[1] - corners[-1][1]) < 0.5 and abs(here[1] - after[1]) < 0.5:
                continue
            if here != corners[-1]:
                corners.append(here)
        source, sink = self.ways[pipe]
        columns = [self.grid.items[end].column for end in (source, sink) if end is not None]
        return corners[::-1] if len(columns) == 2 and columns[0] > columns[1] else corners

    def _hooked(self, hook: Hook) -> tuple[list[Point], Label | None, Point | None]:
        sizes = self.sizes
        beside = hooks_of(self.grid.hooks, hook.item, inward=hook.inward)
        row = beside.index(hook)
        left, y = self.lefts[self.grid.items[hook.item].column], self.stacked.items[hook.item]
        right, half = left + sizes.box_width, self.sides.heights[hook.item] / 2
        inset = min(sizes.hook / 2, sizes.box_width / 4) + min(
            sizes.track, (sizes.box_width / 2) / len(beside)
        ) * (len(beside) - 1 - row)
        room = 2 * sizes.cloud - 4
        if hook.inward:
            level, x, cloud_x = y - half - sizes.hook * (row + 0.55), right - inset, left + sizes.cloud - 4
            points = [(cloud_x, level), (x, level), (x, y - half)]
            label = self._label(hook.pipe, left + room, x - 5, level)
        else:
            level, x, cloud_x = y + half + sizes.hook * (row + 1) - 1, left + inset, right - sizes.cloud + 4
            points = [(x, y + half), (x, level), (cloud_x, level)]
            label = self._label(hook.pipe, x + 5, right - room, level)
        return points, label, (cloud_x, level)

    def _label(
        self, index: int, left: float, right: float, level: float, *, below: bool = False
    ) -> Label | None:
        """The label over a level part of a pipe, in the middle of that span; its count ``below`` the pipe or beside."""
        if not self.sizes.labels:
            return None
        pipe, font, half = self.pipes[index], self.sizes.font, self.widths[index] / 2
        below = below and bool(pipe.count)
        name, above, count = self._text(pipe, min(self.sizes.label_most, right - left), below=below)
        x, y = (left + right) / 2, level - half - 5
        places = [Rectangle(x - above / 2, y - font * 0.85, above, font * 1.1)]
        count_y = level + max(half, 6) + font * 0.85 + 1 if below else None
        if count_y is not None:
            places.append(Rectangle(x - count / 2, count_y - font * 0.78, count, font * 0.8))
        return Label(x, y, name, pipe.count, count_y, tuple(places))

    def _box(self, place: int) -> DrawnBox:
        box, sizes = self.boxes[place], self.sizes
        height = self.sides.heights[place]
        x = self.lefts[self.grid.items[place].column]
        y = self.stacked.items[place] + self.shift - height / 2
        rectangle = Rectangle(x, y, sizes.box_width, height)
        if not sizes.labels:
            return DrawnBox(box, rectangle, "", "", "", 0, None, rectangle, (x, y), (x, y), (x, y))
        inside = sizes.box_width - 2 * BOX_PAD
        fits = text_width(box.count, self.count_font) + _change_width(box) <= inside
        is_known = sum(value is not None for value in box.values) > 1
        return DrawnBox(
            box,
            rectangle,
            name=fitted(box.name, 12.5, inside),
            count=box.count,
            change=box.change if fits else "",
            count_font=self.count_font,
            spark=sparkline(box.values, height=SPARK) if is_known else None,
            spark_at=Rectangle(x + 2, y + height - SPARK - 4, sizes.box_width - 4, SPARK),
            name_at=(x + BOX_PAD, y + 22),
            count_at=(x + BOX_PAD, y + 48),
            change_at=(x + sizes.box_width - BOX_PAD, y + 47),
        )

    @cached_property
    def count_font(self) -> float:
        """The size of all counts in px: as large as leaves room for each change, but a change gives way to 16 px."""
        inside = self.sizes.box_width - 2 * BOX_PAD
        widths = [(text_width(box.count, 1) or 1, _change_width(box)) for box in self.boxes]
        alone, beside = (
            min((room for room in rooms), default=COUNT_FONT)
            for rooms in zip(
                *((inside / count, (inside - change) / count) for count, change in widths), strict=True
            )
        )
        return floor(min(COUNT_FONT, alone, max(COUNT_FONT_LEAST, beside)) * 2) / 2

    def _pipe(self, index: int, points: list[Point], label: Label | None, cloud: Point | None) -> DrawnPipe:
        shift, width, sizes = self.shift, self.widths[index], self.sizes
        moved = [(x, y + shift) for x, y in points]
        if cloud:
            cloud = cloud[0], cloud[1] + shift
        valve = ""
        if label:
            valve = valve_of(label.x, label.y + width / 2 + 5 + shift)
            label = replace(
                label,
                y=label.y + shift,
                count_y=None if label.count_y is None else label.count_y + shift,
                places=tuple(place.moved(shift) for place in label.places),
            )
        source, sink = self.ways[index]
        tip = moved
        if sink is None and cloud:  # the arrow's tip touches the cloud's edge
            tip = [*moved[:-1], (cloud[0] - sizes.cloud - 1.5 * sizes.labels, cloud[1])]
        head = head_length(width, labels=sizes.labels)
        return DrawnPipe(
            pipe=self.pipes[index],
            kind=_kind(source, sink),
            points=tuple(tip),
            width=width,
            path=path_of(tip, sizes.corner, head),
            arrow=arrow_of(tip, width, head + 1),
            valve=valve,
            cloud=cloud,
            label=label,
        )


def _change_width(box: Box) -> float:
    """What the change takes in px, with the air before it; 0 where there is none."""
    return text_width(box.change, 11.5) + 8 if box.change else 0


def _kind(source: int | None, sink: int | None) -> Kind:
    if source is None:
        return "in"
    if sink is None:
        return "out"
    return "on" if source < sink else "back"
