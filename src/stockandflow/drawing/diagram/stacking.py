"""How high each item stands: pipes as straight as they can be, the heavy ones first, and no lane with a kink."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stockandflow.drawing.diagram.grid import LEFT, RIGHT, Grid, Hook
from stockandflow.drawing.diagram.ordering import Order
from stockandflow.drawing.diagram.sides import Port, Sides, centred, slid

BEND = 36.0
"""What it costs that a leg isn't straight, in px of its length."""
SLACK = 0.04
"""What a px of room between two neighbours of a column costs, so that they stand close where nothing else matters."""
ROUNDS = 6
SLIP, CLOSER = 6.0, 2.0
"""A step of so many px is taken out, if the ports need come no more than so many px closer than they should."""
NEAR = 0.5
"""What is closer is level, in px."""


@dataclass(frozen=True)
class Stacked:
    """The middle of each item and the height of each port, in px from above."""

    items: Sequence[float]
    ports: Mapping[Port, float]


def stacked(
    grid: Grid, order: Order, sides: Sides, weights: Sequence[float], reach: Sequence[tuple[float, float]]
) -> Stacked:
    """The heights of all items. ``weights`` are those of the pipes, ``reach`` what an item needs above and below."""
    search = _Search(grid, order, sides, weights, reach)
    return search.found()


def reaches(grid: Grid, sides: Sides) -> list[tuple[float, float]]:
    """What each item needs above and below its middle: a box with its hooks, a lane with its label."""
    sizes = sides.sizes
    found: list[tuple[float, float]] = []
    for item, one in enumerate(grid.items):
        if one.box is None:
            found.append((sizes.above(one.labelled), sizes.below(False)))
            continue
        half = sides.heights[item] / 2
        above, below = (hooks_of(grid.hooks, item, inward=inward) for inward in (True, False))
        found.append((half + hook_reach(len(above), sizes.hook), half + hook_reach(len(below), sizes.hook)))
    return found


def hooks_of(hooks: Iterable[Hook], item: int, *, inward: bool) -> list[Hook]:
    """The hooks of an item above it, or below it, nearest first."""
    return [hook for hook in hooks if hook.item == item and hook.inward is inward]


def hook_reach(many: int, row: float) -> float:
    """How far that many hooks reach beyond their box."""
    return many * row + row / 3 if many else 0.0


class _Search:
    def __init__(
        self,
        grid: Grid,
        order: Order,
        sides: Sides,
        weights: Sequence[float],
        reach: Sequence[tuple[float, float]],
    ) -> None:
        self.grid, self.sides, self.weights, self.reach = grid, sides, weights, reach
        self.block = _blocks(grid, order)
        self.offsets = centred(sides)
        self.lower: dict[int, dict[int, float]] = {}
        self.upper: dict[int, dict[int, float]] = {}
        for column in order:
            for above, below in pairwise(column):
                first, second = self.block[above], self.block[below]
                apart = max(self._apart(above, below), self.lower.get(first, {}).get(second, 0.0))
                self.lower.setdefault(first, {})[second] = apart
                self.upper.setdefault(second, {})[first] = apart
        blocks = sorted(set(self.block))
        self.y = dict.fromkeys(blocks, 0.0)
        self.legs_of: dict[int, list[int]] = {block: [] for block in blocks}
        self.across = []
        for index, leg in enumerate(sides.legs):
            first, second = (self.block[end.item] for end in leg.ends[:2]) if leg.crosses else (0, 0)
            if first != second:
                self.across.append(index)
                self.legs_of[first].append(index)
                self.legs_of[second].append(index)

    def found(self) -> Stacked:
        self._stack_from_the_top()
        self._towards_neighbours()
        for _ in range(2):
            self._straighten()
            self._slide()
        self._straighten()
        self._slide()
        self._level_out()
        items = [self.y[self.block[item]] for item in range(len(self.grid.items))]
        ports = {
            (index, number): items[end.item] + self.offsets[index, number]
            for index, leg in enumerate(self.sides.legs)
            for number, end in enumerate(leg.ends)
        }
        return Stacked(items, ports)

    def _apart(self, above: int, below: int) -> float:
        sizes = self.sides.sizes
        lanes = [self.grid.items[item].box is None for item in (above, below)]
        air = 0 if all(lanes) else sizes.beside_lane if any(lanes) else sizes.between_boxes
        return self.reach[above][1] + self.reach[below][0] + air

    def _difference(self, index: int) -> float:
        """How much higher the left end of a leg stands than the right one is low: 0 where it is level."""
        first, second = self.sides.legs[index].ends
        left = self.y[self.block[first.item]] + self.offsets[index, LEFT]
        return left - self.y[self.block[second.item]] - self.offsets[index, RIGHT]

    def _stack_from_the_top(self) -> None:
        for block in _topological(self.y, self.lower):
            ups = self.upper.get(block, {})
            self.y[block] = max((self.y[up] + apart for up, apart in ups.items()), default=0.0)

    def _towards_neighbours(self) -> None:
        for _ in range(ROUNDS):
            for block in self.y:
                pulls = []
                for index in self.legs_of[block]:
                    leg = self.sides.legs[index]
                    sign = -1 if self.block[leg.ends[0].item] == block else 1
                    pulls.append((sign * self._difference(index), self.weights[leg.pipe]))
                if pulls:
                    self._try(block, _weighted_median(pulls))

    def _straighten(self) -> None:
        for _ in range(ROUNDS):
            improved = False
            for index in sorted(
                self.across, key=lambda index: (-self.weights[self.sides.legs[index].pipe], index)
            ):
                apart = self._difference(index)
                if abs(apart) < NEAR:
                    continue
                left, right = (self.block[end.item] for end in self.sides.legs[index].ends)
                improved |= self._best_of(
                    [
                        ({right}, apart),
                        ({left}, -apart),
                        self._together(right, left, apart),
                        self._together(left, right, -apart),
                    ]
                )
            if not improved:
                return

    def _together(self, block: int, without: int, by: float) -> tuple[set[int], float]:
        """A block and all that level legs tie to it, unless that leads round to the other one."""
        found, todo = {block}, [block]
        while todo:
            here = todo.pop()
            for index in self.legs_of[here]:
                if abs(self._difference(index)) < NEAR:
                    for end in self.sides.legs[index].ends:
                        other = self.block[end.item]
                        if other not in found:
                            found.add(other)
                            todo.append(other)
        return ({block} if without in found else found), by

    def _try(self, block: int, by: float) -> bool:
        return abs(by) >= NEAR and self._best_of([({block}, by)])

    def _best_of(self, moves: Iterable[tuple[set[int], float]]) -> bool:
        """Make the move that saves most, if one does; what stands in the way is pushed along."""
        best, saved = None, 0.01
        for blocks, by in moves:
            places = self._pushed(blocks, by)
            saving = self._saving(places)
            if saving > saved:
                best, saved = places, saving
        if best is not None:
            self.y.update(best)
        return best is not None

    def _pushed(self, blocks: set[int], by: float) -> dict[int, float]:
        places = {block: self.y[block] + by for block in blocks}
        todo = sorted(blocks)
        neighbours, sign = (self.lower, 1) if by > 0 else (self.upper, -1)
        while todo:
            here = todo.pop()
            for other, apart in neighbours.get(here, {}).items():
                wanted = places[here] + sign * apart
                if (wanted - places.get(other, self.y[other])) * sign > 1e-6:
                    places[other] = wanted
                    todo.append(other)
        return places

    def _saving(self, places: Mapping[int, float]) -> float:
        touched = {index for block in places for index in self.legs_of[block]}
        before = self._cost(touched, places)
        kept = {block: self.y[block] for block in places}
        self.y.update(places)
        after = self._cost(touched, places)
        self.y.update(kept)
        return before - after

    def _cost(self, legs: Iterable[int], blocks: Iterable[int]) -> float:
        cost = 0.0
        for index in legs:
            apart = abs(self._difference(index))
            if apart >= NEAR:
                cost += self.weights[self.sides.legs[index].pipe] * (apart + BEND)
        for block in blocks:
            for other, apart in self.lower.get(block, {}).items():
                cost += SLACK * (self.y[other] - self.y[block] - apart)
            for other, apart in self.upper.get(block, {}).items():
                cost += SLACK * (self.y[block] - self.y[other] - apart)
        return cost

    def _slide(self) -> None:
        """Slide ports along their boxes towards the other ends of their legs, so that near ones run level."""
        for side in (RIGHT, LEFT, RIGHT):
            for (item, here), ports in self.sides.ports.items():
                if here != side or item not in self.sides.heights:
                    continue
                wanted = []
                for index, number in ports:
                    now = self.offsets[index, number]
                    if index in self.across:
                        apart = self._difference(index)
                        now += apart if number == RIGHT else -apart
                    wanted.append(now)
                self.offsets.update(zip(ports, slid(self.sides, item, ports, wanted), strict=True))

    def _level_out(self) -> None:
        """Take out steps of a few px, which look like a slip: a port may come a little nearer to the next one."""
        for index in self.across:
            apart = self._difference(index)
            if 0 < abs(apart) <= SLIP and not self._moved((index, LEFT), -apart):
                self._moved((index, RIGHT), apart)

    def _moved(self, port: Port, by: float) -> bool:
        """Move a port, if there is room for it."""
        end = self.sides.legs[port[0]].ends[port[1]]
        if end.item not in self.sides.heights:
            return False
        ports = self.sides.ports[end.item, end.side]
        low, high = self.sides.room(end.item, ports)
        place, offset = ports.index(port), self.offsets[port] + by
        steps = self.sides.separations(ports)
        if place and offset - self.offsets[ports[place - 1]] < steps[place - 1] - CLOSER:
            return False
        if place < len(steps) and self.offsets[ports[place + 1]] - offset < steps[place] - CLOSER:
            return False
        if not low - CLOSER <= offset <= high + CLOSER:
            return False
        self.offsets[port] = offset
        return True


def _weighted_median(pulls: Sequence[tuple[float, float]]) -> float:
    half = sum(weight for _, weight in pulls) / 2
    for value, weight in sorted(pulls):
        half -= weight
        if half <= 0:
            return value
    return 0.0


def _topological(blocks: Iterable[int], lower: Mapping[int, Mapping[int, float]]) -> list[int]:
    """The blocks from above to below; fewer than all where they go round in a circle."""
    waiting = dict.fromkeys(blocks, 0)
    for below in lower.values():
        for block in below:
            waiting[block] += 1
    ready = [block for block, many in waiting.items() if not many]
    found = []
    while ready:
        found.append(block := ready.pop())
        for other in lower.get(block, {}):
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    return found


def _blocks(grid: Grid, order: Order) -> list[int]:
    """The block of each item, named by an item of it. The lanes of a pipe are one block, so that they stand level.

    Where two lanes cross on their way, no heights fit both: the second is parted there.
    """
    block = list(range(len(grid.items)))
    lanes: dict[int, list[int]] = {}
    for item, one in enumerate(grid.items):
        if one.box is None:
            lanes.setdefault(one.pipe or 0, []).append(item)
    for run in lanes.values():
        for item in run[1:]:
            block[item] = run[0]
        if _fits(block, order):
            continue
        for item in run[1:]:
            block[item] = item
        for before, item in pairwise(run):
            block[item] = block[before]
            if not _fits(block, order):
                block[item] = item
    return block


def _fits(block: Sequence[int], order: Order) -> bool:
    lower: dict[int, dict[int, float]] = {}
    for column in order:
        for above, below in pairwise(column):
            lower.setdefault(block[above], {})[block[below]] = 0.0
    blocks = set(block)
    return len(_topological(blocks, lower)) == len(blocks)
