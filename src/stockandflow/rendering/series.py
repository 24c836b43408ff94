"""Series as tables for a terminal: a number and a bar for each period, and whether it can still change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from stockandflow.periods import Status
from stockandflow.rendering.table import clean, columns_of, right, wrapped
from stockandflow.rendering.words import UNICODE, Signs, bar, count, grouped, moment, period, said
from stockandflow.reports import Series

LONGEST_BAR = 30


@dataclass(frozen=True)
class _Line:
    start: datetime
    end: datetime
    value: float | None
    status: Status
    since: datetime | None = None


def series_to_table(found: Iterable[Series], *, width: int = 80, signs: Signs = UNICODE) -> str:
    """Each series as lines of at most ``width`` columns, 80 or more, with a blank one between two of them.

    Bars begin at 0 and compare the periods of one series. Gaps that follow each other share a line, and
    what is known of a part of a period says since when, without a bar.
    """
    return "\n".join("".join(f"{row.rstrip()}\n" for row in _rows(one, width, signs)) for one in found)


def _rows(series: Series, width: int, signs: Signs) -> Iterator[str]:
    facts = (str(series.of.name), series.measure, f"by {series.grain.value}", series.calendar.timezone)
    yield from wrapped(f" {signs.dot} ".join(map(clean, facts)), width)
    lines = _lines(series)
    names = [period(line.start, line.end, series.calendar, signs) for line in lines]
    numbers = [_number(series, line.value, signs) for line in lines]
    first, second = (max(map(columns_of, texts), default=0) for texts in (names, numbers))
    most = max((line.value or 0 for line in lines if line.status is not Status.PARTIAL), default=0)
    for line, name, number in zip(lines, names, numbers, strict=True):
        compares = line.status is not Status.PARTIAL
        drawn = bar(line.value / most, LONGEST_BAR, signs) if line.value and compares else ""
        status = "" if line.status is Status.FINAL else said(line.status)
        if line.since:
            status += f" since {moment(line.since, series.calendar)}"
        beside = "  ".join(filter(None, (drawn, status)))
        yield f"  {name + ' ' * (first - columns_of(name))}  {right(number, second)}  {beside}"
    for one in series.breaks:
        at = moment(one.at, series.calendar)
        yield from wrapped(f"Since {at} it means something else: {one.text}", width, 2)


def _lines(series: Series) -> list[_Line]:
    points = [*series.points, *series.partial, *([series.open] if series.open else [])]
    lines = [_Line(point.start, point.end, point.value, point.status, point.since) for point in points]
    known = {point.start for point in points}
    lines += [_Line(gap.start, gap.end, None, Status.GAP) for gap in series.gaps if gap.start not in known]
    joined: list[_Line] = []
    for line in sorted(lines, key=lambda line: line.start):
        if joined and line.status is joined[-1].status is Status.GAP:
            joined[-1] = replace(joined[-1], end=line.end)
        else:
            joined.append(line)
    return joined


def _number(series: Series, value: float | None, signs: Signs) -> str:
    if value is None:
        return signs.dash
    if series.measure == "rate":
        return f"{grouped(value * 100, 1)} %"
    return grouped(value, 1) if series.measure == "mean" else count(int(value), signs)
