"""What stands in the columns and what crosses the gaps: boxes, lanes of long pipes, and the legs of each pipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEFT, RIGHT = 0, 1
Side = int
"""LEFT or RIGHT: that side of an item."""


@dataclass(frozen=True)
class Item:
    """What takes a place in a column: a box, or the lane of a pipe that passes through; ``box`` is None for a lane."""

    column: int
    box: int | None = None
    pipe: int | None = None
    labelled: bool = False


@dataclass(frozen=True)
class End:
    """Where a leg meets an item, on one of its sides."""

    item: int
    side: Side


@dataclass(frozen=True)
class Leg:
    """The part of a pipe within one gap; gap g is left of column g.

    With two ends on two columns it crosses the gap, with both on one column it turns, with one it leads outside. The
    ends stand in the pipe's own direction where it turns, else left before right. ``labelled`` is the end that has the
    label beside it, as an index, None for none.
    """

    pipe: int
    gap: int
    ends: tuple[End, ...]
    labelled: int | None = None

    @property
    def turns(self) -> bool:
        return len(self.ends) == 2 and self.ends[0].side == self.ends[1].side

    @property
    def crosses(self) -> bool:
        return len(self.ends) == 2 and not self.turns


@dataclass(frozen=True)
class Hook:
    """A pipe from or to outside that bends round within its box's column: above the box, or below it."""

    pipe: int
    item: int
    inward: bool


@dataclass(frozen=True)
class Grid:
    """Boxes first, in the order given, then lanes. ``legs`` are those of each pipe from left to right."""

    columns: int
    items: tuple[Item, ...]
    legs: tuple[Leg, ...]
    hooks: tuple[Hook, ...]


Way = tuple[int | None, int | None]
"""The places of a pipe's source and sink among the boxes, None for outside."""


def grid(columns: Sequence[int], ways: Sequence[Way]) -> Grid:
    """The items and legs of pipes that lead these ways, with boxes in these columns.

    A pipe whose both ends are outside is left out.
    """
    count = max(columns, default=-1) + 1
    items = [Item(column, box=place) for place, column in enumerate(columns)]
    legs: list[Leg] = []
    hooks: list[Hook] = []
    for pipe, (source, sink) in enumerate(ways):
        if source is None:
            if sink is not None:
                _outer(pipe, sink, True, columns[sink], count, legs, hooks)
        elif sink is None:
            _outer(pipe, source, False, columns[source], count, legs, hooks)
        elif columns[source] == columns[sink]:
            ends = End(source, RIGHT), End(sink, RIGHT)
            legs.append(Leg(pipe, columns[source] + 1, ends, labelled=0))
        else:
            left, right = sorted((source, sink), key=lambda place: columns[place])
            _across(pipe, left, right, columns, items, legs)
    return Grid(count, tuple(items), tuple(legs), tuple(hooks))


def _outer(
    pipe: int, place: int, inward: bool, column: int, count: int, legs: list[Leg], hooks: list[Hook]
) -> None:
    if inward and column == 0:
        legs.append(Leg(pipe, 0, (End(place, LEFT),), labelled=0))
    elif not inward and column == count - 1:
        legs.append(Leg(pipe, count, (End(place, RIGHT),), labelled=0))
    else:
        hooks.append(Hook(pipe, place, inward))


def _across(
    pipe: int, left: int, right: int, columns: Sequence[int], items: list[Item], legs: list[Leg]
) -> None:
    passed = range(columns[left] + 1, columns[right])
    # The label stands over the middle of a lane: at its ends pipes meet.
    middle = passed[len(passed) // 2] if passed else None
    before = left
    for column in passed:
        items.append(Item(column, pipe=pipe, labelled=column == middle))
        lane = len(items) - 1
        legs.append(Leg(pipe, column, (End(before, RIGHT), End(lane, LEFT))))
        before = lane
    legs.append(Leg(pipe, columns[right], (End(before, RIGHT), End(right, LEFT))))
