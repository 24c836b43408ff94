"""The causes of what is unexplained as text: when, which objects, what the capture can't see, and the cure."""

from __future__ import annotations

from collections.abc import Iterator

from stockandflow.capture import MissingMove, Skipped
from stockandflow.declarations import Stock
from stockandflow.periods import Calendar
from stockandflow.rendering.table import wrapped
from stockandflow.rendering.words import UNICODE, Signs, count, moment, signed
from stockandflow.reports import Causes, Watched, Window

SWEEP = "Run 'manage.py stockandflow sweep', which writes the missing moves."


def causes_text(causes: Causes, calendar: Calendar, *, width: int = 80, signs: Signs = UNICODE) -> str:
    """The causes as lines of at most ``width`` columns, with a line feed after each."""
    rows = ["Where it comes from"]
    for sentence in _sentences(causes, calendar, signs):
        rows += wrapped(sentence, width, indent=2)
    return "".join(f"{row.rstrip()}\n" for row in rows)


def _sentences(causes: Causes, calendar: Calendar, signs: Signs) -> Iterator[str]:
    for window in causes.windows:
        yield _window(window, calendar, signs)
    names = {stock.slug: stock for one in causes.watched for stock in one.tracker.stocks}
    for missing in causes.missing:
        yield f"Missing by now: {_move(missing, names, signs)}, of {_objects(missing, signs)}."
    for skipped in causes.skipped:
        yield f"Missed before a later one: {_move(skipped, names, signs)}, of {_objects(skipped, signs)}."
    if causes.missing or causes.skipped:
        yield SWEEP
    elif not any(one.audit.left_out for one in causes.watched):
        yield "No move is missing by now: what was missed has been written since, or undone."
    for watched in causes.watched:
        yield from _watched(watched)


def _window(window: Window, calendar: Calendar, signs: Signs) -> str:
    since, until = (moment(at, calendar, seconds=window.in_a_minute) for at in (window.since, window.until))
    unexplained = signed(window.unexplained, signs)
    return f"{window.stock.name}: {unexplained} between the counts of {since} and {until}."


def _move(move: MissingMove | Skipped, names: dict[str, Stock], signs: Signs) -> str:
    source, sink = (names[slug].name if slug in names else "outside" for slug in (move.source, move.sink))
    moves = "move" if move.count == 1 else "moves"
    return f"{count(move.count, signs)} {moves} from {source} to {sink}"


def _objects(move: MissingMove | Skipped, signs: Signs) -> str:
    shown = [f"{one.key} {one.name}".strip() for one in move.objects]
    if more := move.count - len(shown):
        shown.append(f"and {count(more, signs)} more")
    return ", ".join(shown)


def _watched(watched: Watched) -> Iterator[str]:
    slug, audit = watched.tracker.slug, watched.audit
    if audit.left_out:
        yield f"{slug} was left out, since {audit.left_out}."
    elif not audit.opened:
        yield f"{slug} isn't opened yet: objects without events are its opening balance."
    unseen = "; ".join(watched.blind_spots)
    yield f"{slug} is captured by {watched.method.kind}, which can't see: {unseen}."
