"""Bars of a flow: how much moved in each period, by pair of source and sink, with the average as it went."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from stockandflow.drawing.layers import Layer, highest, piled
from stockandflow.drawing.lines import STEP, line
from stockandflow.drawing.river import LABEL, Band, Pile, Tick, bands, pile
from stockandflow.drawing.scales import Axis, nice, number, percent

LEAST_FOR_AVERAGE = 14
"""With fewer periods a moving average tells nothing that the bars don't."""


@dataclass(frozen=True)
class Columns:
    """The geometry of a flow's bars. All y and heights are in px, all x and widths in %."""

    height: str
    pile: Pile
    average: str
    """The path of the moving average, in the svg of the pile's ``y`` and ``height``; "" without one."""
    average_box: str
    top: int
    lines: tuple[str, ...]
    """The y of the lines across: the top and the base."""
    dotted: tuple[str, ...]
    ticks: tuple[Tick, ...]
    columns: tuple[Band, ...]
    gaps: tuple[Band, ...]
    labels: tuple[str, ...]
    """The y of the lines of text: above the bars, and the dates."""


def columns(
    layers: Sequence[Layer],
    periods: int,
    *,
    ticks: Iterable[tuple[int, str, bool]] = (),
    open_from: int | None = None,
    partial: Collection[int] = (),
    average: Sequence[float | None] = (),
    height: int = 148,
) -> Columns:
    """Bars of so many periods, ``height`` px high; those of which no layer knows anything are gaps.

    Those from ``open_from`` on and those that are ``partial`` are paler.
    """
    pale = {*partial, *range(periods if open_from is None else open_from, periods)}
    top = nice(max(highest(layers), round(max((value or 0 for value in average), default=0))))
    unknown = [at for at in range(periods) if layers and all(layer.values[at] is None for layer in layers)]
    bottom = LABEL + height
    return Columns(
        height=number(bottom + 22),
        pile=pile(LABEL, height, periods, piled(layers, top, height, upward=True, pale=pale)),
        average=line(average, Axis(0, top), height, shift=0.5),
        average_box=f"0 0 {periods * STEP} {height}",
        top=top,
        lines=(number(LABEL), number(bottom)),
        dotted=(number(LABEL + height / 2, 1),),
        ticks=tuple(Tick(percent(at / periods), text, essential) for at, text, essential in ticks),
        columns=tuple(Band(percent(at / periods), percent(1 / periods)) for at in range(periods)),
        gaps=bands(unknown, periods),
        labels=(number(LABEL - 6), number(bottom + 17)),
    )


def moving_average(values: Sequence[int | None], window: int) -> tuple[float | None, ...]:
    """The mean of each value and those before it, ``window`` in all; None where there are fewer, or one isn't known."""
    found: list[float | None] = []
    for end in range(1, len(values) + 1):
        ones = [value for value in values[max(0, end - window) : end] if value is not None]
        found.append(sum(ones) / window if len(ones) == window else None)
    return tuple(found)
