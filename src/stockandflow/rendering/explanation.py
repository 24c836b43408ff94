"""How trackers are captured and what stocks hold, as text for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from textwrap import wrap
from typing import Any

from django.db import DatabaseError

from stockandflow.capture.explanation import Explanation
from stockandflow.capture.install import Strangers
from stockandflow.capture.methods import HOW
from stockandflow.declarations import Stock
from stockandflow.periods import Calendar
from stockandflow.rendering.document import iso
from stockandflow.rendering.words import moment

VERSION = 1
"""Of the keys of the JSON and their meaning: a new key leaves it, anything else raises it."""
WIDTH = 80


@dataclass(frozen=True)
class Subject:
    """What is explained: stocks, with the tracker that captures them, or None for stocks that no tracker watches."""

    stocks: tuple[Stock, ...]
    capture: Explanation | None


def to_text(subjects: Sequence[Subject], others: dict[str, Strangers]) -> str:
    """Lines of at most 80 columns, save for names and SQL that can't be broken; ``others`` is by database alias."""
    blocks = ["\n".join(_subject(subject)) for subject in subjects]
    blocks += ["\n".join(lines) for lines in (list(_strangers(*item)) for item in others.items()) if lines]
    return "\n\n".join(blocks) + "\n"


def to_json(subjects: Sequence[Subject], others: dict[str, Strangers]) -> str:
    """The same as a JSON document, indented, in ASCII."""
    return json.dumps(
        {
            "version": VERSION,
            "trackers": [_tracker_document(subject) for subject in subjects if subject.capture],
            "untracked": [
                _stock_document(stock)
                for subject in subjects
                if not subject.capture
                for stock in subject.stocks
            ],
            "left_over_triggers": {using: dict(found.left_over) for using, found in others.items()},
            "foreign_triggers": {using: dict(found.foreign) for using, found in others.items()},
        },
        indent=2,
    )


def _tracker_document(subject: Subject) -> dict[str, Any]:
    told: Any = subject.capture
    state = told.status
    return {
        "slug": told.tracker.slug,
        "model": told.tracker.model._meta.label,
        "database": told.using,
        "method": told.method.kind,
        "reason": told.method.reason,
        "blind_spots": list(told.blind_spots),
        "error": told.error,
        "migrated": state is not None,
        "installed": list(state.installed) if state else [],
        "missing": list(state.missing) if state else [],
        "stale": list(state.stale) if state else [],
        "waiting_for": list(state.waiting) if state else [],
        "opened_at": _at(told.sweep and told.sweep.opened_at),
        "swept_at": _at(told.sweep and told.sweep.completed_at),
        "to_do": list(told.to_do),
        "stocks": [_stock_document(stock) for stock in subject.stocks],
    }


def _at(at: datetime | None) -> str | None:
    return None if at is None else iso(at)


def _stock_document(stock: Stock) -> dict[str, Any]:
    return {"slug": stock.slug, "name": stock.name, "definition": stock.definition, "sql": _sql(stock)}


def _sql(stock: Stock) -> str:
    """The definition as SQL; "" where the database can't be asked how it writes it."""
    try:
        return stock.sql
    except DatabaseError:
        return ""


def _subject(subject: Subject) -> Iterator[str]:
    told = subject.capture
    if told is None:
        yield "In no tracker"
        yield from _indented("The stocks are counted, and their moves aren't recorded.")
    else:
        yield told.tracker.slug
        yield from _indented(f"Watches {told.tracker.model._meta.label} in the database {told.using!r}.")
        how = HOW.get(told.method.kind, "")
        why = (
            f" Not by triggers on its table alone, since {told.method.reason}." if told.method.reason else ""
        )
        yield from _indented(f"Captured by {told.method.kind}{how and ': '}{how}.{why}")
        yield from _indented(" ".join((*_state(told), *_swept(told))))
        yield ""
        title = "Can't see when it happens; a sweep finds it" if told.tracker.stocks else "Can't see"
        yield from _listed(title, told.blind_spots)
        if told.to_do:
            yield from _listed("To do", told.to_do)
        else:
            yield from _indented("Nothing is to be done.")
    if subject.stocks:
        yield ""
        yield "  Stocks"
    for stock in subject.stocks:
        yield from _indented(f"{stock.slug}: {stock.definition}", 4, hanging=6)
        yield from _indented(_sql(stock), 6)


def _state(told: Explanation) -> Iterator[str]:
    state = told.status
    if told.error:
        yield f"The database can't be asked: {told.error}"
    elif state is None:
        yield "The database has no table for it yet."
    elif state.waiting:
        yield f"Its triggers wait for {', '.join(state.waiting)}, which the database doesn't have."
    elif state.missing:
        yield f"{_triggers(len(state.missing))} of {len(state.missing) + len(state.installed)} missing."
    elif state.installed:
        yield f"{_triggers(len(state.installed))} in place."
    if state is not None and state.stale:
        yield f"{_triggers(len(state.stale))} of an earlier declaration still there: {', '.join(state.stale)}."


def _swept(told: Explanation) -> Iterator[str]:
    sweep, calendar = told.sweep, Calendar.default()
    if not told.tracker.stocks:
        yield "No sweep: it has no stocks, so no queryset says where its objects are."
    elif sweep is None or sweep.opened_at is None:
        yield "Not opened yet: no sweep has written its opening balance."
    else:
        yield f"Opened {moment(sweep.opened_at, calendar)}."
        if sweep.started_at is not None:
            yield f"A sweep that began {moment(sweep.started_at, calendar)} hasn't ended."
        elif sweep.completed_at is not None and sweep.completed_at > sweep.opened_at:
            found = f"{sweep.found:,} missing move{'' if sweep.found == 1 else 's'}"
            yield f"Last swept {moment(sweep.completed_at, calendar)}, with {found} found."
        else:  # what the sweep found that opened it is the opening balance
            yield "Not swept since."


def _triggers(number: int) -> str:
    return f"{number} trigger{'' if number == 1 else 's'}"


def _strangers(using: str, found: Strangers) -> Iterator[str]:
    for triggers, what in (
        (
            found.left_over,
            "of trackers that are gone. They still write events; run 'manage.py stockandflow sync'.",
        ),
        (found.foreign, "of another project, on tables of no model here. They are left alone."),
    ):
        if triggers:
            yield from _indented(f"The database {using!r} has {_triggers(len(triggers))} {what}", 0)
            yield from (f"    {name} on {table}" for name, table in sorted(triggers.items()))


def _listed(title: str, items: Sequence[str]) -> Iterator[str]:
    yield f"  {title}"
    for item in items:
        yield from _indented(f"- {item}", 4, hanging=6)


def _indented(text: str, columns: int = 2, hanging: int | None = None) -> list[str]:
    first, rest = " " * columns, " " * (columns if hanging is None else hanging)
    return wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
