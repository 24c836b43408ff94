"""Layers: the bars of several flows on top of each other, one path for each flow."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from stockandflow.drawing.scales import number

UNIT = 100
"""The width of a period, in the units of the viewBox."""
WIDEST = 0.74
"""The share of its period that a bar fills."""
FEW = 24
"""With fewer periods than that, bars fill less of them: a bar as wide as a hand is no bar."""
SEPARATOR = 1.0
"""Between two bars on top of each other, in px: some shades differ too little to tell alone."""
THINNEST = 0.6
"""The height of a bar of anything at all, in px: a little is never drawn as nothing."""

OTHER = "other"


@dataclass(frozen=True)
class Layer:
    """One flow's count for each period; None where it isn't known."""

    name: str
    values: tuple[int | None, ...]
    shade: str
    """``1`` for the largest, ``2`` for the next …, or ``other``."""

    @property
    def total(self) -> int:
        return sum(value or 0 for value in self.values)


@dataclass(frozen=True)
class Bars:
    """The bars of one layer; ``open`` is the path of those whose period isn't told whole, to be drawn paler."""

    name: str
    shade: str
    path: str
    open: str


def shades(totals: Mapping[str, int], most: int, *, folded: frozenset[str] = frozenset()) -> dict[str, str]:
    """Name → shade, largest first, equal ones in the order given; those beyond ``most`` are ``other``.

    So are those in ``folded``, which come last.
    """
    ranked = sorted(totals, key=lambda name: (name in folded, -totals[name]))
    return {
        name: OTHER if name in folded or rank > most else str(rank) for rank, name in enumerate(ranked, 1)
    }


def stacked(
    values: Mapping[str, Sequence[int | None]], most: int, *, folded: frozenset[str] = frozenset()
) -> tuple[Layer, ...]:
    """The layers of name → count for each period, largest first; what is beyond ``most`` is one layer, the last."""
    totals = {name: sum(value or 0 for value in ones) for name, ones in values.items()}
    by_shade: dict[str, list[str]] = {}
    for name, shade in shades(totals, most, folded=folded).items():
        by_shade.setdefault(shade, []).append(name)
    return tuple(
        Layer(names[0] if len(names) == 1 else "", _summed([values[name] for name in names]), shade)
        for shade, names in by_shade.items()
    )


def _summed(rows: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
    """Position by position; what none of them knows isn't known."""
    return tuple(
        None if all(value is None for value in column) else sum(value or 0 for value in column)
        for column in zip(*rows, strict=True)
    )


def highest(layers: Sequence[Layer]) -> int:
    """The height of the highest pile, in what is counted; 0 without any."""
    return (
        max((pile or 0 for pile in _summed([layer.values for layer in layers])), default=0) if layers else 0
    )


def bar_share(periods: int) -> float:
    """Which share of a period its bar fills."""
    return WIDEST * sqrt(min(1.0, max(periods, 1) / FEW))


def piled(
    layers: Sequence[Layer],
    top: int,
    height: float,
    *,
    upward: bool,
    pale: Container[int],
) -> tuple[Bars, ...]:
    """The layers as bars over ``height`` px, where ``top`` fills all of it; the first layer is next to the base.

    ``upward`` they stand on the bottom, else they hang from the top. ``pale`` are the periods that aren't told whole.
    """
    periods = len(layers[0].values) if layers else 0
    share = bar_share(periods)
    left, width = UNIT * (1 - share) / 2, UNIT * share
    reached = [0.0] * periods
    found = []
    for layer in layers:
        paths = ["", ""]
        for period, value in enumerate(layer.values):
            if not value:
                continue
            base, size = reached[period], value / top * height
            reached[period] = base + size
            drawn = max(size - SEPARATOR, THINNEST)
            y = height - base - drawn if upward else base
            paths[period in pale] += (
                f"M{number(period * UNIT + left, 1)} {number(y)}h{number(width, 1)}v{number(drawn)}"
                f"h-{number(width, 1)}Z"
            )
        found.append(Bars(layer.name, layer.shade, *paths))
    return tuple(found)
