"""The measures of a diagram, in px: for a page, for a wide process, and for a miniature."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sizes:
    """All lengths are px; ``label_*`` are 0 in a diagram without labels."""

    box_width: int = 148
    box_height: int = 92
    font: float = 12.5
    """Of the labels; a box's name is as large."""
    label_above: int = 23
    """From a pipe up to the top of its label, with air."""
    label_under: int = 0
    """From a pipe down to the bottom of its count where that stands below the pipe; 0 where it follows the name."""
    label_most: int = 158
    """A longer label is cut off, with an ellipsis."""
    label_air: int = 4
    """Left and right of a label, as much of the pipe as shows there."""
    pitch: int = 8
    """Half of the distance between pipes without a label."""
    edge: int = 6
    """Between a box's corner and what its outermost pipe needs."""
    between_boxes: int = 26
    beside_lane: int = 8
    track: int = 12
    """Between vertical runs of pipes."""
    pad: int = 15
    """Between a column and what stands in the gap; an arrow's head fits in."""
    corner: int = 10
    hook: int = 30
    """The height of a row for a pipe that comes from or goes outside, above or below its box."""
    cloud: int = 13
    """Half of a cloud's width."""
    thinnest: float = 3.0
    thickest: float = 9.0
    margin: int = 8
    labels: bool = True

    def above(self, labelled: bool) -> int:
        """What a pipe needs above its middle."""
        return self.label_above if labelled and self.labels else self.pitch

    def below(self, labelled: bool) -> int:
        """What a pipe needs below its middle; only those in the gaps may have their count there."""
        return max(self.pitch, self.label_under) if labelled and self.labels else self.pitch


FULL = Sizes()
MEDIUM = replace(
    FULL, box_width=136, box_height=86, font=12, label_above=22, label_air=3, label_most=140, pad=14
)
COMPACT = replace(
    MEDIUM, box_width=132, label_under=18, label_air=1, label_most=108, track=11, pad=13, hook=28, corner=9
)
MINIATURE = Sizes(
    box_width=26,
    box_height=16,
    font=0,
    label_above=4,
    label_most=0,
    label_air=0,
    pitch=3,
    edge=0,
    between_boxes=8,
    beside_lane=3,
    track=5,
    pad=9,
    corner=4,
    hook=9,
    cloud=3,
    thinnest=1.25,
    thickest=3.0,
    margin=3,
    labels=False,
)

MOST_COLUMNS = 8
"""A longer way is folded into as many columns, so that a diagram stays about two screens wide."""
MEDIUM_FROM, COMPACT_FROM = 4, 5
"""Diagrams of as many columns are drawn smaller, so that they fit into a page without a scroll bar if they can."""


def sizes_for(columns: int) -> Sizes:
    """The measures of a diagram with labels that has as many columns."""
    return FULL if columns < MEDIUM_FROM else MEDIUM if columns < COMPACT_FROM else COMPACT
