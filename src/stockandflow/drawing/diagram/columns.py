"""In which column each box stands: the declared order is the reading order, a flow to an earlier stock returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, sqrt

from stockandflow.drawing.diagram.sizes import MOST_COLUMNS

Pair = tuple[int, int]
"""The places of a source and a sink among the boxes."""


MOST_LONE = 5
"""Boxes without any pipe don't widen a diagram beyond as many columns."""


def columns_of(boxes: int, pairs: Sequence[Pair], fixed: Mapping[int, int]) -> list[int]:
    """The column of each box, from 0 and without a gap.

    A box stands right of all that flow forward into it; one into which nothing flows stands just left of the nearest
    that it flows into. ``fixed`` is place of a box → column, and wins. Boxes without any pipe fill what is low.
    """
    joined = {place for pair in pairs if pair[0] != pair[1] for place in pair}
    columns = _longest_paths(boxes, pairs)
    _pull_beginnings(columns, pairs)
    _stand_by_returns(columns, pairs)
    if joined:
        _fold(columns, joined)
    _fill_with_lone(columns, [place for place in range(boxes) if place not in joined])
    for place, column in fixed.items():
        columns[place] = column
    used = {column: place for place, column in enumerate(sorted(set(columns)))}
    return [used[column] for column in columns]


def components_of(boxes: int, pairs: Sequence[Pair]) -> list[int]:
    """For each box the first box that pipes join it with: the parts of a diagram that nothing joins."""
    first = list(range(boxes))

    def root(place: int) -> int:
        while first[place] != place:
            place = first[place]
        return place

    for source, sink in pairs:
        low, high = sorted((root(source), root(sink)))
        first[high] = low
    return [root(place) for place in range(boxes)]


def _longest_paths(boxes: int, pairs: Sequence[Pair]) -> list[int]:
    columns = [0] * boxes
    for place in range(boxes):  # the declared order is a topological one of the forward flows
        columns[place] = max((columns[a] + 1 for a, b in pairs if b == place and a < b), default=0)
    return columns


def _pull_beginnings(columns: list[int], pairs: Sequence[Pair]) -> None:
    for place in reversed(range(len(columns))):
        if columns[place] == 0 and (ahead := [columns[b] for a, b in pairs if a == place < b]):
            columns[place] = max(0, min(ahead) - 1)


def _stand_by_returns(columns: list[int], pairs: Sequence[Pair]) -> None:
    for place in range(len(columns)):
        forward = any(place in pair and pair[0] < pair[1] for pair in pairs)
        back = [columns[b] for a, b in pairs if a == place > b]
        if back and not forward:
            columns[place] = max(back) + 1


def _fold(columns: list[int], joined: set[int]) -> None:
    longest = max(columns[place] for place in joined) + 1
    if longest > MOST_COLUMNS:
        for place in joined:
            columns[place] = columns[place] * MOST_COLUMNS // longest


def _fill_with_lone(columns: list[int], lone: Sequence[int]) -> None:
    others = [column for place, column in enumerate(columns) if place not in set(lone)]
    wide = min(MOST_LONE, ceil(sqrt(len(columns)))) if lone else 1
    width = max([wide, *(column + 1 for column in others)])
    heights = [others.count(column) for column in range(width)]
    for place in lone:
        # The last of the low ones: what flows nowhere shouldn't look like a beginning.
        low = min(range(width), key=lambda column: (heights[column], -column if others else column))
        columns[place] = low
        heights[low] += 1
