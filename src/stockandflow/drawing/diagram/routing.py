"""How legs run through a gap: level beside the columns, and upright on tracks between, with few crossings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stockandflow.drawing.diagram.grid import LEFT, RIGHT, Leg
from stockandflow.drawing.diagram.sides import Port

LEVEL = 0.5
"""What differs less is level, in px."""
APART = 3.0
"""Between two pipes that run level beside each other, in px."""
FORBIDDEN = 1000.0


@dataclass(frozen=True)
class Run:
    """An upright part of a leg. ``left`` and ``right`` are the heights at which level parts lead away from it."""

    leg: int
    part: int
    left: tuple[float, ...]
    right: tuple[float, ...]
    width: float

    @property
    def top(self) -> float:
        return min(self.left + self.right)

    @property
    def bottom(self) -> float:
        return max(self.left + self.right)


@dataclass(frozen=True)
class Tracks:
    """Run of a leg (leg, part) → its track, from 0 on the left; and the heights of what was bent once more."""

    of: Mapping[tuple[int, int], int]
    many: int
    between: Mapping[int, float]
    """Leg → the height at which it runs between its two upright parts, for those that have two."""


def tracks(
    legs: Mapping[int, Leg], ports: Mapping[Port, float], widths: Mapping[int, float], step: float
) -> Tracks:
    """The tracks of the legs of one gap, by index. ``widths`` are those of the pipes in px, by leg.

    Two legs of which each wants to be left of the other can't both be bent once: the lighter one is bent twice.
    """
    runs = [run for index, leg in legs.items() for run in _runs(index, leg, ports, widths[index])]
    between: dict[int, float] = {}
    order = _ordered(runs)
    while (stuck := _stuck(order)) is not None:
        taken = [ports[index, number] for index, leg in legs.items() for number in range(len(leg.ends))]
        free = _free_height(stuck, [*taken, *between.values()], step)
        between[stuck.leg] = free
        runs = [run for run in runs if run.leg != stuck.leg]
        runs.append(Run(stuck.leg, 0, stuck.left, (free,), stuck.width))
        runs.append(Run(stuck.leg, 1, (free,), stuck.right, stuck.width))
        order = _ordered(runs)
    of: dict[tuple[int, int], int] = {}
    for place, run in enumerate(order):
        before = [of[other.leg, other.part] for other in order[:place] if _meet(run, other, step)]
        of[run.leg, run.part] = max(before, default=-1) + 1
    return Tracks(of, max(of.values(), default=-1) + 1, between)


def _runs(index: int, leg: Leg, ports: Mapping[Port, float], width: float) -> list[Run]:
    heights = [ports[index, number] for number in range(len(leg.ends))]
    if leg.turns:
        return [Run(index, 0, (heights[0], heights[1]), (), width)]
    if leg.crosses and abs(heights[0] - heights[1]) > LEVEL:
        return [Run(index, 0, (heights[LEFT],), (heights[RIGHT],), width)]
    return []


def _meet(run: Run, other: Run, step: float) -> bool:
    return run.leg == other.leg or (run.top - step < other.bottom and other.top - step < run.bottom)


def _price(first: Run, second: Run) -> float:
    """What it costs that one run is left of another: their crossings, and what would lie on top of each other."""
    if first.leg == second.leg:
        return FORBIDDEN if first.part > second.part else 0.0
    price = 0.0
    near = (first.width + second.width) / 2 + APART
    for height in second.left:
        price += first.top < height < first.bottom
        # The left part of the second passes where the right part of the first begins.
        if any(abs(height - other) < near for other in first.right):
            price += FORBIDDEN
    for height in first.right:
        price += second.top < height < second.bottom
    return price


def _ordered(runs: Sequence[Run]) -> list[Run]:
    """The runs from left to right: with few crossings, and nothing forbidden if there is a way."""
    order = sorted(runs, key=lambda run: (_leaning(run), run.leg, run.part))
    price = {(a, b): _price(a, b) for a in runs for b in runs if a is not b}
    for _ in range(len(order) + 2):
        improved = False
        for run in runs:
            place = order.index(run)
            others = order[:place] + order[place + 1 :]
            cost = sum(price[run, other] for other in others)
            best, cheapest = 0, cost
            costs = [cost]
            for number, other in enumerate(others, start=1):
                cost += price[other, run] - price[run, other]
                costs.append(cost)
                if cost < cheapest:
                    best, cheapest = number, cost
            if cheapest < costs[place]:
                order = [*others[:best], run, *others[best:]]
                improved = True
        if not improved:
            break
    return order


def _leaning(run: Run) -> float:
    """Runs that lead up start with the topmost one on the left, those that lead down with the lowest one."""
    if not run.right:
        return run.bottom - run.top - 1e6
    return run.left[0] if run.right[0] < run.left[0] else -run.left[0]


def _stuck(order: Sequence[Run]) -> Run | None:
    """The lightest run that lies on another and can be bent once more."""
    wrong = [
        run
        for place, first in enumerate(order)
        for second in order[place + 1 :]
        if _price(first, second) >= FORBIDDEN
        for run in (first, second)
    ]
    whole = [
        run
        for run in wrong
        if run.right and not any(other.leg == run.leg and other is not run for other in order)
    ]
    return min(whole, key=lambda run: (run.width, run.leg), default=None)


def _free_height(run: Run, taken: Sequence[float], step: float) -> float:
    """The height nearest to the middle of a run at which no leg of the gap runs level."""
    middle = (run.top + run.bottom) / 2
    tried = 0
    while True:
        for sign in (1, -1):
            height = middle + sign * tried * step / 4
            if all(abs(height - other) >= step - 1 for other in taken):
                return height
        tried += 1
