"""What was reported then beside what is known now, as text and for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from stockandflow.rendering.document import iso
from stockandflow.rendering.table import clean, columns_of, right, wrapped
from stockandflow.rendering.words import UNICODE, Signs, count, moment, span
from stockandflow.reports import OTHER, OUTSIDE, Balance, Kind, Known, Number
from stockandflow.reports.reported import numbers_of
from stockandflow.reports.results import stock_names


def known_text(
    balance: Balance, known: Sequence[Known], at: datetime, *, width: int = 80, signs: Signs = UNICODE
) -> str:
    """A line for each number of the balance and its parts: what it was known to be then, and what it is.

    ``known`` is what ``as_reported`` told of them, and ``at`` the instant that was asked for. A number that is another
    one by now has a note, and below stands why some weren't known.
    """
    calendar = balance.process.calendar
    title = f"As it was reported on {moment(at, calendar)}, {calendar.timezone}"
    told = {one.number: one for one in known}
    blocks = [list(_lines(one, told, signs)) for one in (balance, *balance.parts)]
    lines = [line for block in blocks for line in block]
    first, second, third = (max(columns_of(line[place]) for line in lines) for place in range(3))
    rows = wrapped(title, width)
    for block in blocks:
        rows.append("")
        for name, then, now, note in block:
            rows.append(
                f"{name + ' ' * (first - columns_of(name))}  {right(then, second)}  {right(now, third)}  {note}"
            )
    if reasons := dict.fromkeys(one.reason for one in known if one.value is None):
        rows.append("")
        for reason in reasons:
            rows += wrapped(f"{signs.dash}: {reason}.", width, 3)
    return "".join(f"{row.rstrip()}\n" for row in rows)


Line = tuple[str, str, str, str]
"""A name, what was known then, what is now, and a note."""


def _lines(balance: Balance, told: Mapping[Number, Known], signs: Signs) -> Iterator[Line]:
    """Of one balance, without its parts: its range, each stock, and the moves by pair."""
    mine = [told[number] for number in numbers_of(balance) if number in told]
    yield span(balance.since, balance.until, balance.process.calendar, signs), "then", "now", ""
    for stock, some in groupby(mine, key=lambda one: one.number.stock):
        yield clean(stock.name if stock else "Moves"), "", "", ""
        for one in some:
            changed = None not in (one.value, one.number.value) and one.value != one.number.value
            then, now = count(one.value, signs), count(one.number.value, signs)
            yield f"  {_name(one.number, balance)}", then, now, "changed" if changed else ""


def _name(number: Number, balance: Balance) -> str:
    """What a number counts: of a stock, or for one of the moves between which two."""
    if number.kind is Kind.LEVEL:
        openings = {line.opening_at or balance.since for line in balance.stocks if line.stock is number.stock}
        return "Opening" if number.until in openings else "Now" if balance.in_progress else "Closing"
    if number.stock is not None:
        return {Kind.INFLOW: "In", Kind.OUTFLOW: "Out"}.get(number.kind, number.kind.value.capitalize())
    names = stock_names(balance.process)
    source, sink = (names.get(state, state) or OUTSIDE for state in (number.source, number.sink))
    subjects = ", subjects" if number.measure == "subjects" else ""
    return clean(f"{number.flow.name if number.flow else OTHER} from {source} to {sink}{subjects}")


def known_document(known: Sequence[Known], at: datetime) -> dict[str, Any]:
    """The instant and the numbers as dictionaries and lists, for JSON."""
    return {"at": iso(at), "numbers": [_number(one) for one in known]}


def _number(one: Known) -> dict[str, Any]:
    number = one.number
    of_flow = number.stock is None
    return {
        "kind": number.kind.value,
        "stock": number.stock.slug if number.stock else None,
        "flow": number.flow.slug if number.flow else None,
        "source": (number.source or None) if of_flow else None,
        "sink": (number.sink or None) if of_flow else None,
        "measure": number.measure,
        "since": iso(number.since) if number.since else None,
        "until": iso(number.until) if number.until else None,
        "slice": dict(number.slice),
        "then": one.value,
        "now": number.value,
        "reason": one.reason,
    }
