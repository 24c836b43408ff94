"""Which moves happen inside a block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import router
from django.db.models import Max, QuerySet
from django.test.testcases import DatabaseOperationForbidden  # type: ignore[attr-defined]

from stockandflow.capture import database_of
from stockandflow.declarations import Flow, State, state_key
from stockandflow.exceptions import InvalidInput, UnknownSlug
from stockandflow.models import FlowEvent, Origin
from stockandflow.registry import Registry
from stockandflow.registry import registry as project_registry

Key = Flow | str | None | tuple[Flow | str | None, State, State]
"""A flow or its slug, or (flow, source, sink); None for moves that no flow covers."""

SHOWN = 20
"""So many events are listed in a message at most."""


@contextmanager
def assert_flows(expected: Mapping[Key, int], *, registry: Registry = project_registry) -> Iterator[None]:
    """Assert that exactly these moves happen inside: flow, slug or (flow, source, sink) → number of events.

    Moves of all the registry's trackers count, so ``{}`` says that nothing moves. A flow that is None stands for moves
    that no flow covers; a source or a sink is a stock, its slug, or None for external. Opening balances aren't moves.

    Raises AssertionError with what was expected, what there was, and each event that nobody expected. Raises
    UnknownSlug, or InvalidInput for a number that is none, and for a flow that doesn't lead from that source to that
    sink. One query for each event model before and one after; more only to fail.
    """
    wanted = [_wanted(key, number, registry) for key, number in expected.items()]
    before = _latest(registry, [one.flow for one in wanted])
    yield
    found = [event for (model, using), latest in before.items() for event in _since(model, using, latest)]
    found.sort(key=lambda event: event.timestamp)
    got = [sum(one.covers(event) for event in found) for one in wanted]
    strange = [event for event in found if not any(one.covers(event) for one in wanted)]
    if strange or any(number != one.count for one, number in zip(wanted, got, strict=True)):
        raise AssertionError(_message(wanted, got, found, strange))


@dataclass(frozen=True)
class _Wanted:
    """``source`` and ``sink`` are keys of states; both None where any will do."""

    flow: Flow | None
    source: str | None
    sink: str | None
    count: int

    def covers(self, event: FlowEvent) -> bool:
        if event.flow != (self.flow.slug if self.flow else ""):
            return False
        return self.source is None or (event.source, event.sink) == (self.source, self.sink)

    def __str__(self) -> str:
        name = self.flow.slug if self.flow else "no flow"
        return name if self.source is None else f"{name}: {_route(self.source, self.sink or '')}"


def _wanted(key: Key, number: int, registry: Registry) -> _Wanted:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise InvalidInput(
            f"assert_flows() expects {number!r} moves of {key!r}; write a whole number from 0 on."
        )
    given, *states = key if isinstance(key, tuple) else (key,)
    if len(states) not in (0, 2) or not isinstance(given, Flow | str | None):
        raise InvalidInput(
            f"assert_flows() got the key {key!r}; write a flow or its slug, or (flow, source, sink) with None for "
            "external."
        )
    flow = registry.flow(given) if isinstance(given, str) else given
    if not states:
        return _Wanted(flow, None, None, number)
    source, sink = map(state_key, states)
    _refuse_unknown(flow, source, sink, registry)
    return _Wanted(flow, source, sink, number)


def _refuse_unknown(flow: Flow | None, source: str, sink: str, registry: Registry) -> None:
    owners = registry.flows if flow is None else [flow]
    states = {state_key(state) for owner in owners for state in (*owner.sources, *owner.sinks)}
    if flow is None:
        states |= {stock.slug for stock in registry.stocks}
    for key in (source, sink):
        if key and key not in states:
            kind = "stock" if flow is None else f"source or sink of the flow {flow.slug!r}"
            raise UnknownSlug(kind, key, states - {""})
    if flow is not None and not flow.covers(source, sink):
        raise InvalidInput(
            f"The flow {flow.slug!r} never leads from {_name(source)} to {_name(sink)}; it leads from "
            f"{_names(flow.sources)} to {_names(flow.sinks)}."
        )


def _names(states: Any) -> str:
    return " or ".join(_name(state_key(state)) for state in states)


def _name(key: str) -> str:
    return repr(key) if key else "outside"


def _route(source: str, sink: str) -> str:
    return f"{source or 'outside'} → {sink or 'outside'}"


EventTables = dict[tuple[type[FlowEvent], str], int]
"""Event model and the alias of its database → the latest event's id, 0 without any."""


def _latest(registry: Registry, flows: list[Flow | None]) -> EventTables:
    """For each kind of event that a test may see."""
    tables = [(tracker.events, database_of(tracker)) for tracker in registry.trackers]
    tracked = {model for model, _ in tables}
    models = [flow.flow_event_model for flow in (*registry.flows, *flows) if flow is not None]
    tables += [(model, router.db_for_write(model)) for model in models if model not in tracked]
    found: EventTables = {}
    forbidden: DatabaseOperationForbidden | None = None
    for model, using in dict.fromkeys(tables):
        try:
            found[model, using] = _events(model, using).aggregate(latest=Max("pk"))["latest"] or 0
        except DatabaseOperationForbidden as error:
            forbidden = error  # what a test may not read it can't write either
    if forbidden is not None and not found:
        raise forbidden
    return found


def _since(model: type[FlowEvent], using: str, latest: int) -> list[FlowEvent]:
    """The moves written since, in the order in which they happened."""
    events = _events(model, using).filter(pk__gt=latest).exclude(origin=Origin.INITIAL)
    return list(events.order_by("timestamp", "pk"))


def _events(model: type[FlowEvent], using: str) -> QuerySet[Any]:
    return model._base_manager.using(using).order_by()


def _message(wanted: list[_Wanted], got: list[int], found: list[FlowEvent], strange: list[FlowEvent]) -> str:
    width = max([*(len(str(one)) for one in wanted), 10])
    lines = ["The moves aren't those expected.", f"  {'':{width}}  expected  got"]
    for one, number in zip(wanted, got, strict=True):
        mark = "" if number == one.count else "  differs"
        lines.append(f"  {one!s:{width}}  {one.count:8}  {number:3}{mark}")
    if not wanted:
        lines[1] = f"  Expected none, got {len(found)}."
    too_many = [
        event
        for event in found
        if any(one.covers(event) and number > one.count for one, number in zip(wanted, got, strict=True))
    ]
    for title, events in (
        ("Nobody expected:", strange),
        ("More than expected, among these:", too_many),
    ):
        if events:
            lines += [title, *(f"  {_line(event)}" for event in events[:SHOWN])]
        if len(events) > SHOWN:
            lines.append(f"  and {len(events) - SHOWN} more")
    return "\n".join(lines)


def _line(event: Any) -> str:
    """One event: its flow, its subject, from where to where. One query for the subject."""
    subject = event.subject
    model = type(event)._meta.get_field("subject").remote_field.model
    who = repr(subject) if subject is not None else f"<{model.__name__} {event.subject_id}, deleted>"
    origin = "" if event.origin == Origin.LIVE else f" (origin {event.origin})"
    return f"{event.flow or 'no flow'}: {who}, {_route(event.source, event.sink)}{origin}"
