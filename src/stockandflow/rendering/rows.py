"""Balances and series in long form: one row for each number, for spreadsheets, data frames and databases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from stockandflow.declarations import Stock
from stockandflow.periods import Calendar, Status
from stockandflow.reports import Balance, FlowLine, Series, StockBalance, rate


class Row(NamedTuple):
    """One number with all that it is of; ``docs/reference/report-json.md`` says what each column holds.

    Instants are aware and in UTC, save for the local ones: what the clocks of ``time_zone`` show, without an offset.
    Slugs and names that don't apply are "".
    """

    process: str
    scope: str
    """``range``, ``part``, ``slice``, ``compared`` or ``series``: numbers of two scopes don't sum."""
    period_start: datetime
    period_end: datetime
    local_start: datetime
    local_end: datetime
    time_zone: str
    grain: str
    """Of which the period is a whole one; "" where it is none."""
    status: str
    slice: str
    kind: str
    measure: str
    stock: str = ""
    stock_name: str = ""
    flow: str = ""
    flow_name: str = ""
    source: str = ""
    source_name: str = ""
    sink: str = ""
    sink_name: str = ""
    value: float | None = None
    method: str = ""
    restated: int = 0
    redefined: int = 0
    computed_at: datetime | None = None


COLUMNS = Row._fields
MOVES = ("inflow", "outflow", "flow")
"""The kinds of rows that are about moves; the others are about levels."""
SUPPRESSED = "suppressed"
"""The status of a number that is hidden, since it or one that would tell it is too small."""


def balance_rows(balance: Balance, calendar: Calendar) -> Iterator[Row]:
    """The rows of the range, then those of its parts, its slices, and what it is compared with."""
    yield from _of_balance(balance, "range", calendar)
    for part in balance.parts:
        yield from _of_balance(part, "part", calendar)
    for one in balance.slices.values():
        yield from _of_balance(one, "slice", calendar)
    if balance.compared:
        yield from _of_balance(balance.compared, "compared", calendar)


def series_rows(found: Iterable[Series], process: str = "") -> Iterator[Row]:
    """The periods of each series in their order: points, gaps without a value, and with their status the open one
    and what is known of a part alone: that has the range of the part.
    """
    for series in found:
        points = [*series.points, *([series.open] if series.open else [])]
        rows = [
            _of_period(series, process, point.start, point.end, point.status, point.value, point.computed_at)
            for point in points
        ]
        for one in series.partial:
            # The period that the number covers, which is no whole one.
            part = _of_period(
                series, process, one.since or one.start, one.end, one.status, one.value, one.computed_at
            )
            rows.append(part._replace(grain=""))
        known = {one.start for one in series.partial}
        rows += [
            _of_period(series, process, gap.start, gap.end, Status.GAP)
            for gap in series.gaps
            if gap.start not in known
        ]
        yield from sorted(rows, key=lambda row: row.period_start)


def _of_balance(balance: Balance, scope: str, calendar: Calendar) -> Iterator[Row]:
    grain = calendar.grain_of(balance.since, balance.until)
    about = {
        "process": balance.process.slug,
        "scope": scope,
        **_period(balance.since, balance.until, calendar),
        "grain": grain.value if grain else "",
        "slice": ",".join(f"{facet}={value}" for facet, value in balance.slice.items()),
    }
    for line in balance.stocks:
        status = SUPPRESSED if line.suppressed else line.status.value
        stock = {"status": status, "stock": line.stock.slug, "stock_name": str(line.stock.name)}
        yield from _of_stock(balance, line, about | stock)


def _of_stock(balance: Balance, line: StockBalance, about: dict[str, Any]) -> Iterator[Row]:
    def row(kind: str, value: int | None, **more: Any) -> Row:
        """Of a number that isn't known there is a row too, so that nobody takes it for 0."""
        known = {} if value is not None else {"status": Status.GAP.value}
        restated = len(balance.restated_of(line, kind))
        return Row(kind=kind, measure="count", value=value, restated=restated, **about | known | more)

    if line.suppressed:
        # Its levels stand for the row, so that nobody takes what is hidden for what isn't there.
        yield from (Row(kind=kind, measure="count", **about) for kind in ("opening", "closing"))
        return
    yield row("opening", line.opening, method=line.opening_method, computed_at=line.opening_computed_at)
    for kind, moves in (("inflow", line.inflows), ("outflow", line.outflows)):
        if not line.flows_known:
            yield row(kind, None)
        for move in moves:
            share = rate(move.count, [line.opening]) if kind == "outflow" else None
            restated = len(balance.restated_of(move, "count"))
            for measure, value in (("count", move.count), ("subjects", move.subjects), ("rate", share)):
                if value is not None:
                    yield Row(
                        kind=kind,
                        measure=measure,
                        value=value,
                        restated=restated,
                        computed_at=None if measure == "rate" else move.computed_at,
                        **_ends(move),
                        **about,
                    )
    if line.tracked:
        beside = "reclassified" if line.slice else "unexplained"
        yield row(beside, getattr(line, beside))
    closed_at = balance.at if balance.in_progress else line.closing_computed_at
    yield row("closing", line.closing, method=line.closing_method, computed_at=closed_at)


def _ends(move: FlowLine) -> dict[str, Any]:
    return {
        "flow": move.flow.slug if move.flow else "",
        "flow_name": str(move.name),
        "source": move.source,
        "source_name": str(move.source_name),
        "sink": move.sink,
        "sink_name": str(move.sink_name),
    }


def _of_period(
    series: Series,
    process: str,
    start: datetime,
    end: datetime,
    status: Status,
    value: float | None = None,
    computed_at: datetime | None = None,
) -> Row:
    kind = "stock" if isinstance(series.of, Stock) else "flow"
    names: dict[str, Any] = {kind: series.of.slug, f"{kind}_name": str(series.of.name)}
    return Row(
        process=process,
        scope="series",
        **_period(start, end, series.calendar),
        grain=series.grain.value,
        status=SUPPRESSED if series.suppressed else status.value,
        slice="",
        kind="level" if kind == "stock" else "flow",
        measure=series.measure,
        value=value,
        redefined=sum(start <= one.at < end for one in series.breaks),
        computed_at=computed_at,
        **names,
    )


def _period(since: datetime, until: datetime, calendar: Calendar) -> dict[str, Any]:
    local_start, local_end = (at.astimezone(calendar.zone).replace(tzinfo=None) for at in (since, until))
    return {
        "period_start": since,
        "period_end": until,
        "local_start": local_start,
        "local_end": local_end,
        "time_zone": calendar.timezone,
    }
