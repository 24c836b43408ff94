"""Roll-ups: weeks, months, quarters and years as the sums of their days; what is open as far as it has come."""

from __future__ import annotations

from collections.abc import Iterable

from stockandflow.periods import Grain, Period
from stockandflow.recording.differences import stored
from stockandflow.recording.ledgers import Ledger, Pair
from stockandflow.recording.moves import Line
from stockandflow.recording.windows import Measures

PARTS = {Grain.WEEK: Grain.DAY, Grain.MONTH: Grain.DAY, Grain.QUARTER: Grain.MONTH, Grain.YEAR: Grain.MONTH}
"""Of which records those of a grain are the sums, in the order in which they can be made."""

COLUMN = {Grain.WEEK: 2, Grain.MONTH: 3, Grain.QUARTER: 4, Grain.YEAR: 5}
"""Which of the measures holds the first moves in a period of that grain."""

AT_ONCE = 60
"""So many periods are read at a time."""


def touched(ledger: Ledger, grain: Grain, days: Iterable[Period]) -> list[Period]:
    """The periods of that grain that hold these days, in order."""
    found: dict[Period, None] = {}
    last: Period | None = None
    for day in days:
        if last is None or day.start not in last:
            last = ledger.calendar.period(grain, day.start)
            found[last] = None
    return list(found)


def summed(ledger: Ledger, periods: Iterable[Period]) -> dict[Period, dict[Pair, Line]]:
    """The lines of these periods of one grain, from the stored records of their parts. Two queries."""
    found: dict[Period, dict[Pair, Line]] = {}
    whole = {}
    for period in periods:
        found[period] = {}
        for part in ledger.calendar.periods(PARTS[period.grain], period.start, period.end):
            whole[part.start] = period
    if not whole:
        return found
    grain = next(iter(found)).grain
    for start, lines in stored(ledger, PARTS[grain], whole).items():
        sums = found[whole[start]]
        for pair, line in lines.items():
            into = sums.setdefault(pair, Line())
            into.add(_as_part(grain, line.measures))
            into.add_origins(line.origins)
            for key, measures in line.facets.items():
                into.add_facet(*key, _as_part(grain, measures))
    return found


def _as_part(grain: Grain, measures: Measures) -> Measures:
    """What a part adds to a period: its events, its first moves in the period as subjects, and those of longer ones."""
    longer = 6 if grain is Grain.WEEK else COLUMN[grain] + 1  # a week is no part of a month
    rest = (0 if column < longer else measures[column] for column in range(2, 6))
    return (measures[0], measures[COLUMN[grain]], *rest)
