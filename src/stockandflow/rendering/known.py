"""What was reported then beside what is known now, as text and for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from stockandflow.periods import Calendar
from stockandflow.rendering.document import iso
from stockandflow.rendering.table import clean, columns_of, right, wrapped
from stockandflow.rendering.words import UNICODE, Signs, count, moment, span
from stockandflow.reports import OTHER, OUTSIDE, Known, Number


def known_text(
    known: Sequence[Known], at: datetime, calendar: Calendar, *, width: int = 80, signs: Signs = UNICODE
) -> str:
    """A line for each number with what it was known to be and what it is, and why some weren't known.

    ``at`` is the instant that was asked for. A number that is another one by now has a note.
    """
    return "".join(f"{row.rstrip()}\n" for row in _rows(known, at, calendar, width, signs))


def _rows(
    known: Sequence[Known], at: datetime, calendar: Calendar, width: int, signs: Signs
) -> Iterator[str]:
    yield from wrapped(f"As it was reported on {moment(at, calendar)}, {calendar.timezone}", width)
    when = ""
    lines = [("", "then", "now", "")]
    for one in known:
        number = one.number
        if number.since and number.until:
            ranged = span(number.since, number.until, calendar, signs)
            if ranged != when:
                lines.append((when := ranged, "", "", ""))
        changed = one.value is not None and one.value != number.value
        then, now = count(one.value, signs), count(number.value, signs)
        lines.append((f"  {name_of(number, calendar)}", then, now, "changed" if changed else ""))
    first = max(columns_of(line[0]) for line in lines)
    second, third = (max(columns_of(line[place]) for line in lines) for place in (1, 2))
    for name, then, now, note in lines:
        yield f"{name + ' ' * (first - columns_of(name))}  {right(then, second)}  {right(now, third)}  {note}"
    for reason in dict.fromkeys(one.reason for one in known if one.value is None):
        yield from wrapped(f"{signs.dash}: {reason}.", width)


def name_of(number: Number, calendar: Calendar) -> str:
    """A number in words: of which stock or flow it is, and what it counts."""
    if number.stock is not None:
        kind = (
            f"before {moment(number.until, calendar)}" if number.until and not number.since else number.kind
        )
        return clean(f"{number.stock.name}, {kind}")
    process = number.process
    names = {
        stock.slug: str(stock.name) for flow in (process.flows if process else ()) for stock in flow.stocks
    }
    names |= {stock.slug: str(stock.name) for stock in (process.stocks if process else ())}
    source, sink = (names.get(state, state) or str(OUTSIDE) for state in (number.source, number.sink))
    flow = str(number.flow.name) if number.flow else str(OTHER)
    subjects = ", subjects" if number.measure == "subjects" else ""
    return clean(f"{flow} from {source} to {sink}{subjects}")


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
