"""What an audit found and what a sweep wrote, as text to read and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from stockandflow.capture import Audit, Named, Skipped, Swept
from stockandflow.declarations import ModelTracker
from stockandflow.registry import Registry


def audit_text(audits: Sequence[Audit], registry: Registry) -> str:
    """One paragraph a tracker, and what to do."""
    lines = [line for one in audits for line in _audited(one, registry.tracker(one.tracker))]
    if missing := sum(one.writable for one in audits):
        lines.append(
            f"Nothing was written. 'manage.py stockandflow sweep' writes the {_moves(missing, 'missing ')}."
        )
    return "".join(f"{line}\n" for line in lines)


def swept_text(done: Sequence[Swept]) -> str:
    """One paragraph a tracker."""
    return "".join(f"{line}\n" for one in done for line in _swept(one))


def audits_to_json(audits: Sequence[Audit]) -> str:
    """The audits as they are: a list of objects, one a tracker."""
    return json.dumps([asdict(one) for one in audits], indent=2, default=str)


def swept_to_json(done: Sequence[Swept]) -> str:
    """A list of objects, one a tracker."""
    return json.dumps(
        [
            {
                "tracker": one.tracker.slug,
                "database": one.using,
                "opened": one.opened,
                "moves": [
                    {"flow": _flow(one.tracker, source, sink), "source": source, "sink": sink, "count": count}
                    for (source, sink), count in one.moves.items()
                ],
                "left_out": one.left_out,
            }
            for one in done
        ],
        indent=2,
    )


def _audited(one: Audit, tracker: ModelTracker) -> Iterator[str]:
    where = f"{one.tracker} on {one.database}"
    if one.left_out:
        yield f"{where}: left out, since {one.left_out}."
        return
    what = f"{_moves(one.moves)} missing" if one.moves else "no move is missing"
    if one.missing and not one.opened:
        what += "; it isn't opened yet, so objects without events are its opening balance"
    yield f"{where}: {'all in order' if one.in_order else what}."
    for move in one.missing:
        yield f"  {_move(tracker, move.source, move.sink)}: {move.count:,}"
        yield from _named(move.objects, move.count)
    for skipped in one.skipped:
        yield from _skipped(skipped, tracker)
    for placed in one.overlapping:
        names = " and ".join(_name(tracker, slug) for slug in placed.stocks)
        yield f"  in {names} at once: {placed.count:,}"
        yield from _named(placed.objects, placed.count)
    if one.nowhere:
        yield f"  in none of its stocks: {one.nowhere.count:,}"
        yield from _named(one.nowhere.objects, one.nowhere.count)
    if one.unheld:
        yield f"  choices that no stock holds: {', '.join(map(repr, one.unheld))}"


def _skipped(skipped: Skipped, tracker: ModelTracker) -> Iterator[str]:
    yield f"  {_move(tracker, skipped.source, skipped.sink)}, before a later event: {skipped.count:,}"
    for between in skipped.objects:
        yield f"    {_object(between)}, after {between.since} and before {between.until}"
    if more := skipped.count - len(skipped.objects):
        yield f"    and {more:,} more"
    if skipped.without_room:
        yield f"    no sweep writes {skipped.without_room:,} of them: no instant is left between the two events"


def _swept(one: Swept) -> Iterator[str]:
    where = f"{one.tracker.slug} on {one.using}"
    if one.left_out:
        yield f"{where}: left out, since {one.left_out}."
        return
    if one.opened:
        opening = sum(count for (source, _), count in one.moves.items() if not source)
        yield f"{where}: opened with {opening:,} {'object' if opening == 1 else 'objects'}."
    elif one.moves:
        yield f"{where}: {_moves(one.found, 'missing ')} written."
    else:
        yield f"{where}: all in order."
    for (source, sink), count in one.moves.items():
        yield f"  {_move(one.tracker, source, sink)}: {count:,}"


def _named(objects: Iterable[Named], count: int) -> Iterator[str]:
    shown = [_object(one) for one in objects]
    if more := count - len(shown):
        shown.append(f"and {more:,} more")
    if shown:
        yield f"    {', '.join(shown)}"


def _object(one: Named) -> str:
    return f"{one.key} {one.name}".strip()


def _move(tracker: ModelTracker, source: str, sink: str) -> str:
    flow = _flow(tracker, source, sink)
    names = {flow.slug: flow.name for flow in tracker.flows}
    return f"from {_name(tracker, source)} to {_name(tracker, sink)} ({names.get(flow, 'no flow')})"


def _flow(tracker: ModelTracker, source: str, sink: str) -> str:
    by_slug: dict[str, Any] = {stock.slug: stock for stock in tracker.stocks}
    flow = tracker.flow_for(by_slug.get(source), by_slug.get(sink))
    return flow.slug if flow else ""


def _name(tracker: ModelTracker, slug: str) -> str:
    names = {stock.slug: str(stock.name) for stock in tracker.stocks}
    return names.get(slug, "outside")


def _moves(number: int, kind: str = "") -> str:
    return f"{number:,} {kind}{'move' if number == 1 else 'moves'}"
