"""Numbers by name: which stock or flow a number of a report is of, over which range, and what it counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, get_args

from stockandflow.declarations import Flow, Process, State, Stock, state_key
from stockandflow.declarations.flow import ANY
from stockandflow.exceptions import InvalidInput
from stockandflow.periods import Calendar, aware, checked_range

Measure = Literal["count", "subjects"]


class Kind(StrEnum):
    """What a number counts."""

    LEVEL = "level"
    """The members of a stock, before ``until`` or now."""
    FLOW = "flow"
    """The moves of a flow, or with the measure ``subjects`` the distinct objects that made them."""
    INFLOW = "inflow"
    """The moves into a stock."""
    OUTFLOW = "outflow"
    """The moves out of a stock."""
    NET = "net"
    """The moves into a stock less those out of it."""
    UNEXPLAINED = "unexplained"
    """The change of a stock that no move accounts for."""
    RECLASSIFIED = "reclassified"
    """The objects that entered a slice of a stock less those that left it without a move."""
    NETTED = "netted"
    """The objects that stood in ``source`` before their first move of the range and in ``sink`` after their last."""


@dataclass(frozen=True)
class Number:
    """The name of one number, and where it was taken from a report its ``value``, which doesn't make it another one.

    A level is that before ``until``, or now where that is None. All else counts over ``since <= t < until``; an
    ``until`` to come means until now. ``source`` and ``sink`` are keys, "" for external, ``*`` for any, and ``~`` for
    those of ``elsewhere``. A FLOW without ``flow`` is of the moves that no flow of ``process`` covers. ``slice`` holds
    (facet slug, value key). ``calendar`` is the one whose records have it, the process's or the project's where
    it is None.
    """

    kind: Kind
    process: Process | None = None
    stock: Stock | None = None
    flow: Flow | None = None
    source: str = ANY
    sink: str = ANY
    since: datetime | None = None
    until: datetime | None = None
    measure: Measure = "count"
    slice: tuple[tuple[str, str], ...] = ()
    calendar: Calendar | None = None
    apart: frozenset[str] = frozenset()
    """In the slice ``(other)``: value keys that aren't declared, and that the report tells by themselves."""
    value: int | None = field(default=None, compare=False)
    elsewhere: frozenset[str] = frozenset()
    """The slugs of the stocks that are hidden from whoever asks."""

    @classmethod
    def level(
        cls, stock: Stock, at: datetime | None = None, *, facets: Mapping[str, str] | None = None
    ) -> Number:
        """How many members the stock had before ``at``, or has now, all or those with these facet values."""
        if not isinstance(stock, Stock):
            raise InvalidInput(f"stock is {stock!r}; give a Stock, e.g. registry.stock('active').")
        until = None if at is None else aware(at, "at")
        return cls(Kind.LEVEL, stock=stock, until=until, slice=slice_of(facets))

    @classmethod
    def of_flow(
        cls,
        flow: Flow,
        since: datetime,
        until: datetime,
        *,
        source: State = ANY,
        sink: State = ANY,
        measure: Measure = "count",
        facets: Mapping[str, str] | None = None,
    ) -> Number:
        """How often a flow moved objects, or how many objects, from one source or to one sink where given.

        Raises InvalidInput for a source or sink that the flow doesn't have, and for a measure that there isn't.
        """
        if not isinstance(flow, Flow):
            raise InvalidInput(f"flow is {flow!r}; give a Flow, e.g. registry.flow('signing-up').")
        _check_state(flow, "source", source, flow.sources)
        _check_state(flow, "sink", sink, flow.sinks)
        since, until = checked_range(since, until)
        if measure not in get_args(Measure):
            raise InvalidInput(f"measure is {measure!r}; write one of {', '.join(get_args(Measure))}.")
        return cls(
            Kind.FLOW,
            flow=flow,
            source=state_key(source),
            sink=state_key(sink),
            since=since,
            until=until,
            measure=measure,
            slice=slice_of(facets),
        )

    def __str__(self) -> str:
        what = self.stock.slug if self.stock else self.flow.slug if self.flow else "other moves"
        sides = "" if self.source == self.sink == ANY else f" from {self.source!r} to {self.sink!r}"
        parts = "".join(f", {facet} {value}" for facet, value in self.slice)
        since = f" from {self.since.isoformat()}" if self.since else ""
        until = f" until {self.until.isoformat()}" if self.until else " now"
        return f"{self.kind} of {what}{sides}{parts}{since}{until}"


def _check_state(flow: Flow, side: str, state: State, known: Iterable[State]) -> None:
    keys = [state_key(one) for one in known]
    if state_key(state) not in (ANY, *keys):
        raise InvalidInput(
            f"{side} is {state!r}, and the flow {flow.slug!r} has no such {side}; write one of "
            f"{', '.join(repr(key or None) for key in keys)}, or {ANY!r} for any."
        )


def slice_of(facets: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Facet slug → value key, as a number keeps it; raises InvalidInput for anything but texts."""
    found = {} if facets is None else facets
    if not isinstance(found, Mapping) or not all(
        isinstance(one, str) for pair in found.items() for one in pair
    ):
        raise InvalidInput(
            f"facets is {facets!r}; write slugs and keys of values as text, e.g. {{'plan': 'Pro'}}."
        )
    return tuple(sorted(found.items()))
