"""Lines as tables: for the terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measuring import Line

HEADS = ("work", "baseline", "takes", "compared", "takes", "ratio", "quartiles", "bound", "")
NUMBERS = (2, 4, 5, 6, 7)
"""The columns that stand to the right."""


def seconds(value: float) -> str:
    """Three digits, in the unit that a person would choose."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            number = value / size
            return f"{number:.{max(0, 2 - len(str(int(number))) + 1)}f} {unit}"
    return f"{value * 1e9:.0f} ns"


def cells(line: Line) -> tuple[str, ...]:
    """The columns of one line, in the order of HEADS."""
    return (
        line.work,
        line.baseline,
        seconds(line.baseline_s),
        line.way,
        seconds(line.way_s),
        f"{line.ratio:.2f}×",
        f"{line.low:.2f}-{line.high:.2f}" if line.rounds > 1 else "once",
        str(line.bound) if line.bound and line.judged else "",
        line.verdict,
    )


def table(lines: Sequence[Line]) -> str:
    """Aligned columns for the terminal."""
    rows = [HEADS, *map(cells, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    shown = [
        "  ".join(
            text.rjust(width) if column in NUMBERS else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([shown[0], "-" * max(map(len, shown)), *shown[1:]])


def markdown(lines: Sequence[Line]) -> str:
    """The same columns as a table in Markdown."""
    rule = tuple("---:" if column in NUMBERS else "---" for column in range(len(HEADS)))
    return "\n".join("| " + " | ".join(row) + " |" for row in (HEADS, rule, *map(cells, lines)))
