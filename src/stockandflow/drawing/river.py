"""The river of a stock: what came in above, how many there were in the middle, what went out below.

Inflow and outflow have one scale, so that their areas compare. Bars stand between the borders of their period, points
of the count on the borders: a count is of an instant, a move is of a while. What isn't known is a band, never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from stockandflow.drawing.layers import UNIT, Bars, Layer, highest, piled
from stockandflow.drawing.lines import STEP, area, line
from stockandflow.drawing.scales import Axis, count_axis, nice, number, percent

MOST_INFLOWS = 4
MOST_OUTFLOWS = 3
"""Further flows are folded into one: nobody tells more shades than that apart."""

LATE = 76
"""From there on, in % of the width, a date makes way for a word about now where there isn't room for both."""

LABEL = 18
"""The height of a line of text, in px."""


@dataclass(frozen=True)
class Size:
    """The heights of a river's three parts, in px; without ``labels`` no room is left for text.

    With ``bars`` of 0 it is the count alone, for a stock of which nobody knows what comes and goes.
    """

    bars: int = 78
    count: int = 74
    labels: bool = True


NORMAL = Size()
LARGE = Size(bars=116, count=112)
SMALL = Size(bars=22, count=40, labels=False)


@dataclass(frozen=True)
class Pile:
    """The bars of one direction, in an svg of their own at ``y``."""

    y: str
    height: str
    view_box: str
    layers: tuple[Bars, ...]


@dataclass(frozen=True)
class Count:
    """The line of the count, in an svg of its own at ``y``; ``area`` is "" where a fill would overstate it."""

    y: str
    height: str
    view_box: str
    line: str
    area: str
    compared: str
    end: str
    """The y of the last point on the whole drawing, "" where it isn't known."""


@dataclass(frozen=True)
class Band:
    """A stretch of the width, in %."""

    x: str
    width: str


@dataclass(frozen=True)
class Tick:
    """A line across, at the beginning of a period; an ``essential`` one has room on a phone too."""

    x: str
    text: str
    essential: bool

    @property
    def is_late(self) -> bool:
        """Whether it stands where a word about now begins on a narrow axis."""
        return float(self.x.rstrip("%")) > LATE


@dataclass(frozen=True)
class River:
    """The geometry of a river. All y and heights are in px, all x and widths in %."""

    height: str
    inflows: Pile
    count: Count
    outflows: Pile
    top: int
    """What the full height of the bars stands for, in both directions."""
    lowest: int | None
    """Of the counts; None where none is known."""
    highest: int | None
    lines: tuple[str, ...]
    """The y of the lines across: the top of the inflows, their base, that of the outflows, their bottom."""
    dotted: tuple[str, ...]
    """The y of the lines half way, and of the lowest and highest count."""
    ticks: tuple[Tick, ...]
    columns: tuple[Band, ...]
    """What belongs to each period."""
    gaps: tuple[Band, ...]
    """Where something isn't known; neighbours are one."""
    labels: tuple[str, ...]
    """The y of the four lines of text: above the inflows, above the count, below the outflows, the dates."""
    first: str
    """The y where the drawing proper begins."""
    last: str
    reach: str
    """How high it is."""

    @property
    def bases(self) -> tuple[str, ...]:
        """The y of the two lines that bars stand on and hang from."""
        return self.lines[1:3]


def river(
    inflows: Sequence[Layer],
    outflows: Sequence[Layer],
    levels: Sequence[int | None],
    *,
    compared: Sequence[int | None] = (),
    ticks: Sequence[tuple[int, str, bool]] = (),
    gaps: Sequence[int] = (),
    open_from: int | None = None,
    size: Size = NORMAL,
    top: int | None = None,
    axis: Axis | None = None,
) -> River:
    """A river of ``len(levels) - 1`` periods: a level for each border, None where it isn't known.

    ``compared`` are the levels of another range, drawn over this one's borders. ``ticks`` are (period, text,
    essential). ``gaps`` are the periods of which something isn't known; those with an unknown level are gaps anyway.
    Periods from ``open_from`` on are in progress. ``top`` and ``axis`` are those of several rivers on one scale.
    """
    periods = len(levels) - 1
    open_from = periods if open_from is None else open_from
    pale = range(open_from, periods)
    full = top or nice(max(highest(inflows), highest(outflows)))
    compared = list(compared[: len(levels)])
    scale = axis or count_axis([*levels, *compared])
    known = [level for level in levels if level is not None]
    y = _Rows.of(size)
    unknown = {period for period in range(periods) if None in levels[period : period + 2]} | set(gaps)
    low, high = (min(known), max(known)) if known else (None, None)
    halves = [y.inflows + size.bars / 2, y.outflows + size.bars / 2] if size.labels and size.bars else []
    reach = {float(scale.y(level, size.count)) + y.count for level in (low, high) if level is not None}
    return River(
        height=number(y.height),
        inflows=pile(y.inflows, size.bars, periods, piled(inflows, full, size.bars, upward=True, pale=pale)),
        count=Count(
            y=number(y.count),
            height=number(size.count),
            view_box=f"0 0 {periods * STEP} {size.count}",
            line=line(levels, scale, size.count),
            area=area(levels, scale, size.count),
            compared=line(compared, scale, size.count),
            end="" if levels[-1] is None else number(float(scale.y(levels[-1], size.count)) + y.count, 1),
        ),
        outflows=pile(
            y.outflows,
            size.bars,
            periods,
            piled(outflows, full, size.bars, upward=False, pale=pale),
        ),
        top=full,
        lowest=low,
        highest=high,
        lines=tuple(
            number(at) for at in (y.inflows, y.inflows + size.bars, y.outflows, y.outflows + size.bars)
        ),
        dotted=tuple(number(at, 1) for at in sorted({*halves, *(reach if size.labels else ())})),
        ticks=tuple(Tick(percent(period / periods), text, essential) for period, text, essential in ticks),
        columns=tuple(Band(percent(period / periods), percent(1 / periods)) for period in range(periods)),
        gaps=bands(sorted(unknown), periods),
        labels=tuple(number(at) for at in y.labels),
        first=number(y.inflows),
        last=number(y.outflows + size.bars),
        reach=number(y.outflows + size.bars - y.inflows),
    )


@dataclass(frozen=True)
class _Rows:
    """Where the parts of a river begin, from the top, in px."""

    inflows: int
    count: int
    outflows: int
    height: int
    labels: tuple[int, ...]

    @classmethod
    def of(cls, size: Size) -> _Rows:
        if not size.labels:
            count = size.bars + 4
            outflows = count + size.count + 4
            return cls(0, count, outflows, outflows + size.bars, ())
        if not size.bars:
            return cls(
                LABEL,
                LABEL,
                LABEL + size.count,
                LABEL + size.count + 22,
                (0, LABEL - 6, 0, LABEL + size.count + 17),
            )
        inflows = LABEL
        count = inflows + size.bars + 34
        outflows = count + size.count + 14
        bottom = outflows + size.bars
        return cls(inflows, count, outflows, bottom + 36, (inflows - 6, count - 10, bottom + 13, bottom + 31))


def pile(y: int, height: int, periods: int, layers: tuple[Bars, ...]) -> Pile:
    """The bars of so many periods in an svg of their own, ``height`` px high."""
    return Pile(number(y), number(height), f"0 0 {periods * UNIT} {height}", layers)


def bands(positions: Sequence[int], periods: int) -> tuple[Band, ...]:
    """The stretches that positions in order make, of a width of so many periods; neighbours are one."""
    found = []
    for _, ones in groupby(enumerate(positions), key=lambda one: one[1] - one[0]):
        stretch = [position for _, position in ones]
        found.append(Band(percent(stretch[0] / periods), percent(len(stretch) / periods)))
    return tuple(found)
