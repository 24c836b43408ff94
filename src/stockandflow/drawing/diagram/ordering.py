"""In which order items stand in each column, from the top: with few crossings, near the declared order."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence

from stockandflow.drawing.diagram.grid import Grid

Order = list[list[int]]
"""The items of each column, from the top."""

SWEEPS = 10
LANES_CROSS = 4
"""How much a crossing of two lanes weighs: it bends one of them on its way."""


def declared_order(grid: Grid, components: Sequence[int]) -> Order:
    """Boxes as declared and lanes below the boxes, part by part."""
    order: Order = [[] for _ in range(grid.columns)]
    for item in sorted(range(len(grid.items)), key=lambda item: (components[item], item)):
        order[grid.items[item].column].append(item)
    return order


def ordered(grid: Grid, components: Sequence[int], rows: Mapping[int, int]) -> Order:
    """The order with the fewest crossings among those tried; ``rows``, by item, keep the order that they give.

    Items of one component (``components``, by item) stay together, so that parts that nothing joins don't interleave.
    """
    search = _Search(grid, components, rows)
    return search.best()


def crossings(grid: Grid, order: Order) -> int:
    """How often legs cross in that order, as straight lines from item to item."""
    places = {item: place for column in order for place, item in enumerate(column)}
    found = 0
    for gap in range(1, grid.columns):
        pairs = [
            (places[leg.ends[0].item], places[leg.ends[1].item])
            for leg in grid.legs
            if leg.crosses and leg.gap == gap
        ]
        found += _inversions(pairs)
    return found


def _inversions(pairs: list[tuple[int, int]]) -> int:
    seen: list[int] = []
    found = 0
    for _, right in sorted(pairs):
        found += len(seen) - bisect_right(seen, right)
        insort(seen, right)
    return found


class _Search:
    """Barycentre sweeps, then swaps of neighbours while they help."""

    def __init__(self, grid: Grid, components: Sequence[int], rows: Mapping[int, int]) -> None:
        self.grid, self.components, self.rows = grid, components, rows
        many = len(grid.items)
        self.before: list[list[int]] = [[] for _ in range(many)]
        self.after: list[list[int]] = [[] for _ in range(many)]
        self.turned: list[list[int]] = [[] for _ in range(many)]
        for leg in grid.legs:
            if leg.crosses:
                left, right = leg.ends[0].item, leg.ends[1].item
                self.after[left].append(right)
                self.before[right].append(left)
            elif leg.turns and leg.ends[0].item != leg.ends[1].item:
                first, second = leg.ends[0].item, leg.ends[1].item
                self.turned[first].append(second)
                self.turned[second].append(first)
        self.lane = [item.box is None for item in grid.items]

    def best(self) -> Order:
        current = declared_order(self.grid, self.components)
        self._settle(current, float)
        best, fewest = [column[:] for column in current], self._cost(current)
        for sweep in range(SWEEPS):
            self._sweep(current, forward=sweep % 2 == 0)
            if sweep % 2:
                self._swap(current)
            if (cost := self._cost(current)) < fewest:
                best, fewest = [column[:] for column in current], cost
        self._swap(best)
        return best

    def _settle(self, order: Order, key: Callable[[int], float]) -> None:
        for column in order:
            column.sort(key=lambda item: (self.components[item], key(item)))
            self._keep_rows(column)

    def _keep_rows(self, column: list[int]) -> None:
        slots = [place for place, item in enumerate(column) if item in self.rows]
        for place, item in zip(slots, sorted((column[p] for p in slots), key=self.rows.get), strict=True):  # type: ignore[arg-type]
            column[place] = item

    def _sweep(self, order: Order, *, forward: bool) -> None:
        columns = range(1, len(order)) if forward else range(len(order) - 2, -1, -1)
        neighbours = self.before if forward else self.after
        for number in columns:
            place = {item: p - (len(column) - 1) / 2 for column in order for p, item in enumerate(column)}

            def centre(item: int, place: Mapping[int, float] = place) -> float:
                near = neighbours[item]
                return sum(place[other] for other in near) / len(near) if near else place[item]

            order[number].sort(key=lambda item: (self.components[item], centre(item)))
            self._keep_rows(order[number])

    def _swap(self, order: Order) -> None:
        place = {item: p for column in order for p, item in enumerate(column)}
        for _ in range(4):
            improved = False
            for column in order:
                for upper in range(len(column) - 1):
                    first, second = column[upper], column[upper + 1]
                    if self.components[first] != self.components[second]:
                        continue
                    if first in self.rows and second in self.rows:
                        continue
                    if self._pair(second, first, place) < self._pair(first, second, place):
                        column[upper], column[upper + 1] = second, first
                        place[first], place[second] = upper + 1, upper
                        improved = True
            if not improved:
                return

    def _pair(self, upper: int, lower: int, place: Mapping[int, int]) -> float:
        """What it costs that one stands just above the other: their crossings, and how far turns reach."""
        cost = 0.0
        for neighbours in (self.before, self.after):
            for one in neighbours[upper]:
                for other in neighbours[lower]:
                    if place[one] > place[other]:
                        lanes = (self.lane[upper] and self.lane[one], self.lane[lower] and self.lane[other])
                        cost += LANES_CROSS if all(lanes) else 1
        here = min(place[upper], place[lower])
        for item, stands in ((upper, here), (lower, here + 1)):
            for other in self.turned[item]:
                if other not in (upper, lower):
                    cost += 0.4 * abs(stands - place[other])
        return cost

    def _cost(self, order: Order) -> float:
        place = {item: p for column in order for p, item in enumerate(column)}
        turns = sum(
            abs(place[item] - place[other]) for item, others in enumerate(self.turned) for other in others
        )
        lanes: dict[int, list[tuple[int, int]]] = {}
        for item, others in enumerate(self.after):
            if self.lane[item]:
                for other in others:
                    if self.lane[other]:
                        lanes.setdefault(self.grid.items[other].column, []).append(
                            (place[item], place[other])
                        )
        along = sum(map(_inversions, lanes.values()))
        return crossings(self.grid, order) + (LANES_CROSS - 1) * along + 0.2 * turns
