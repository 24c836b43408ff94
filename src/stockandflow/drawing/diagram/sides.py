"""Where pipes meet the sides of boxes: in which order, how far apart, and how tall a box is so that they fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from stockandflow.drawing.diagram.grid import LEFT, RIGHT, Grid, Leg, Side
from stockandflow.drawing.diagram.ordering import Order
from stockandflow.drawing.diagram.sizes import Sizes

Port = tuple[int, int]
"""The index of a leg, and of one of its ends."""


MUCH_TALLER = 1.5
"""How many times taller than others a box may become only for its pipes to run level."""


@dataclass(frozen=True)
class Sides:
    """The legs with their labels put beside one end, the ports of each side from the top, and the boxes' heights."""

    legs: tuple[Leg, ...]
    ports: Mapping[tuple[int, Side], Sequence[Port]]
    heights: Mapping[int, float]
    """By item; a lane has none."""
    sizes: Sizes

    def labelled(self, port: Port) -> bool:
        return self.legs[port[0]].labelled == port[1]

    def extent(self, port: Port) -> tuple[float, float]:
        """What the port needs above and below its middle."""
        labelled = self.labelled(port)
        return self.sizes.above(labelled), self.sizes.below(labelled)

    def separations(self, ports: Sequence[Port]) -> list[float]:
        """How far each port stands from the one above it, at least."""
        extents = [self.extent(port) for port in ports]
        return [upper[1] + lower[0] for upper, lower in pairwise(extents)]

    def room(self, item: int, ports: Sequence[Port]) -> tuple[float, float]:
        """The highest and the lowest place of the ports, from the middle of the box."""
        half = self.heights[item] / 2 - self.sizes.edge
        return -half + self.extent(ports[0])[0], half - self.extent(ports[-1])[1]


def sides(grid: Grid, order: Order, sizes: Sizes) -> Sides:
    """The sides of all items, with the items in that order."""
    place = {item: p for column in order for p, item in enumerate(column)}
    ports: dict[tuple[int, Side], list[Port]] = {}
    for index, leg in enumerate(grid.legs):
        for number, end in enumerate(leg.ends):
            ports.setdefault((end.item, end.side), []).append((index, number))
    for found in ports.values():
        found.sort(key=lambda port: _rank(grid.legs[port[0]], port[1], place))
    legs = tuple(_beside_an_end(grid, ports, sizes))
    heights = {
        item: _height(legs, [ports.get((item, side), []) for side in (LEFT, RIGHT)], sizes)
        for item in range(len(grid.items))
        if grid.items[item].box is not None
    }
    return Sides(legs, ports, heights, sizes)


def _rank(leg: Leg, end: int, place: Mapping[int, int]) -> tuple[int, float, int, int]:
    """What orders the ports of one side so that legs to neighbours don't cross, and turns nest."""
    if len(leg.ends) == 1:
        return 1, 0, leg.pipe, end
    here, there = leg.ends[end].item, leg.ends[1 - end].item
    if leg.crosses:
        return 1, place[there], leg.pipe, end
    if here == there:
        return 3, leg.pipe, 0, end
    distance = abs(place[there] - place[here])
    return (0, distance, -leg.pipe, end) if place[there] < place[here] else (2, -distance, leg.pipe, end)


def _height(legs: Sequence[Leg], sides_here: Sequence[Sequence[Port]], sizes: Sizes) -> float:
    """How tall a box has to be; a little taller where pipes that lead side by side to one box can then run level."""
    needed = max(sizes.box_height, *(_need(legs, ports, sizes) for ports in sides_here))
    for ports in sides_here:
        lead = [(port, legs[port[0]].ends[1 - port[1]].item) for port in ports if legs[port[0]].crosses]
        twins = [upper[0][0] for upper, lower in pairwise(lead) if upper[1] == lower[1]]
        spread = _need(legs, ports, sizes) + (sizes.above(True) - sizes.pitch) * sum(
            legs[leg].labelled is not None and (leg, legs[leg].labelled) not in ports for leg in twins
        )
        needed = max(needed, min(spread, sizes.box_height * MUCH_TALLER))
    return needed


def _need(legs: Sequence[Leg], ports: Sequence[Port], sizes: Sizes) -> float:
    marks = [legs[leg].labelled == end for leg, end in ports]
    return sum(sizes.above(mark) + sizes.below(mark) for mark in marks) + 2 * sizes.edge if ports else 0.0


def _beside_an_end(grid: Grid, ports: Mapping[tuple[int, Side], Sequence[Port]], sizes: Sizes) -> list[Leg]:
    """The legs, those from box to box with their labels on the side of their gap where boxes grow less by it."""
    legs = list(grid.legs)
    for gap in range(1, grid.columns):
        direct = [
            index
            for index, leg in enumerate(legs)
            if leg.gap == gap
            and leg.crosses
            and all(grid.items[end.item].box is not None for end in leg.ends)
        ]
        growth = []
        for end in (LEFT, RIGHT):
            tried = [replace(leg, labelled=end) if index in direct else leg for index, leg in enumerate(legs)]
            sides_here = {(legs[index].ends[end].item, 1 - end) for index in direct}
            needs = [_need(tried, ports[side], sizes) for side in sorted(sides_here)]
            growth.append(sum(max(0.0, need - sizes.box_height) for need in needs))
        chosen = LEFT if growth[LEFT] < growth[RIGHT] else RIGHT
        for index in direct:
            legs[index] = replace(legs[index], labelled=chosen)
    return legs


def centred(found: Sides) -> dict[Port, float]:
    """The place of each port from the middle of its item: the ports of a side about the middle of the box."""
    offsets: dict[Port, float] = {}
    for (item, _), ports in found.ports.items():
        if item not in found.heights:
            offsets.update(dict.fromkeys(ports, 0.0))
            continue
        low, high = found.room(item, ports)
        reach = sum(found.separations(ports))
        first = min(max(-reach / 2, low), high - reach)
        for port, step in zip(ports, [0.0, *found.separations(ports)], strict=True):
            first += step
            offsets[port] = first
    return offsets


def slid(found: Sides, item: int, ports: Sequence[Port], wanted: Sequence[float]) -> list[float]:
    """Places as near to those wanted as the box allows, by least squares, in order and far enough apart."""
    low, high = found.room(item, ports)
    steps = found.separations(ports)
    sums = [0.0]
    for step in steps:
        sums.append(sums[-1] + step)
    blocks: list[tuple[float, int]] = []
    for want, before in zip(wanted, sums, strict=True):
        mean, many = want - before, 1
        while blocks and blocks[-1][0] > mean:
            other, number = blocks.pop()
            mean, many = (mean * many + other * number) / (many + number), many + number
        blocks.append((mean, many))
    flat = [mean for mean, many in blocks for _ in range(many)]
    return [min(max(value, low), high - sums[-1]) + before for value, before in zip(flat, sums, strict=True)]
