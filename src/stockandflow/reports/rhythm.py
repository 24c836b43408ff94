"""The rhythm of a flow: its moves by weekday and hour, and the latest of them. Both are read from events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet

from stockandflow.declarations import Flow, Process
from stockandflow.exceptions import InvalidInput
from stockandflow.periods import Calendar, checked_range
from stockandflow.reports.events import (
    checked_process,
    models_of,
    moves_within,
    refuse_pruned,
    sliced,
    touching,
)
from stockandflow.reports.hours import hour_of_week, slots_of, with_hour_of_week
from stockandflow.reports.slicing import asked

LONGEST = timedelta(days=367)
"""A year, however many days it has and wherever it begins."""

Slot = tuple[int, int]
"""A weekday, 0 for Monday, and an hour, 0 to 23."""


@dataclass(frozen=True)
class Rhythm:
    """The moves of a flow over ``since <= t < until`` by the weekday and the hour that the clocks showed.

    ``counts`` is slot → moves, without those of none. ``weekdays`` are in the calendar's order. An hour that the clocks
    skip has no moves, and one that they repeat has those of both.
    """

    since: datetime
    until: datetime
    calendar: Calendar
    counts: Mapping[Slot, int]

    @property
    def weekdays(self) -> list[int]:
        return [(self.calendar.week_start + day) % 7 for day in range(7)]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def greatest(self) -> int:
        """The count of the fullest hour of the week, 0 where nothing moved."""
        return max(self.counts.values(), default=0)


def rhythm(
    process: Process,
    flow: Flow | None,
    since: datetime,
    until: datetime,
    *,
    facets: Mapping[str, Any] | None = None,
    apart: Collection[str] = (),
) -> Rhythm:
    """The moves of a flow of the process by weekday and hour, of one facet value where given.

    ``flow`` None is for the moves of its stocks that no flow of the process covers, ``apart`` that of the balance whose
    moves they are. Raises InvalidInput for a flow of
    another process, a range of more than 367 days, events that were pruned, and a facet or value that there isn't. One
    query for each event model, whose cost is one look at each of the range's events, and one for the horizon; a facet
    takes up to two more.
    """
    since, until = checked_range(since, until)
    calendar = checked_process(process).calendar
    if until - since > LONGEST:
        raise InvalidInput(
            f"The range has {(until - since).days} days; hours of the week are read from events, for {LONGEST.days} "
            "days at most. Take a shorter range."
        )
    counts: Counter[Slot] = Counter()
    for events in _moves(process, flow, since, until, facets, apart):
        rows = with_hour_of_week(events, calendar, since, until)
        for slot, number in rows.values_list("sf_slot").annotate(n=Count("pk")):
            counts[hour_of_week(slot)] += number
    return Rhythm(since, until, calendar, counts)


def latest_moves(
    process: Process,
    flow: Flow | None,
    since: datetime,
    until: datetime,
    *,
    facets: Mapping[str, Any] | None = None,
    apart: Collection[str] = (),
    slot: Slot | None = None,
    start: int = 0,
    limit: int = 25,
) -> list[Any]:
    """The latest moves of a flow of the process, newest first, with their subjects: ``limit`` from ``start`` on.

    ``slot`` narrows them to one hour of the week. Raises and asks as ``rhythm`` does, but for ranges of any length.
    """
    since, until = checked_range(since, until)
    calendar = checked_process(process).calendar
    if slot is not None and (slot[0] not in range(7) or slot[1] not in range(24)):
        raise InvalidInput(f"slot is {slot!r}; write a weekday, 0 for Monday to 6, and an hour, 0 to 23.")
    found: list[Any] = []
    models = _moves(process, flow, since, until, facets, apart)
    for moves in models:
        events = moves
        if slot is not None:
            events = with_hour_of_week(moves, calendar, since, until).filter(sf_slot__in=slots_of(*slot))
        newest = events.select_related("subject").order_by("-timestamp", "-id")
        found += newest[start : start + limit] if len(models) == 1 else newest[: start + limit]
    if len(models) == 1:
        return found
    found.sort(key=lambda event: (event.timestamp, event.pk), reverse=True)
    return found[start : start + limit]


def _moves(
    process: Process,
    flow: Flow | None,
    since: datetime,
    until: datetime,
    facets: Mapping[str, Any] | None,
    apart: Collection[str],
) -> list[QuerySet[Any]]:
    """The moves of a flow that touch the process, by event model."""
    if flow is not None and flow not in process.flows:
        slugs = ", ".join(repr(one.slug) for one in process.flows)
        raise InvalidInput(
            f"flow is {flow!r}, which isn't one of the process {process.slug!r}; give one of {slugs}, or None for the "
            "moves that none of them covers."
        )
    models = models_of(process) if flow is None else [flow.flow_event_model]
    refuse_pruned(models, since)
    slicing, key = asked(process, facets, None)
    if slicing is not None and key is not None:
        slicing.check(key, apart)
    found = []
    for model in models:
        events = moves_within(model, since, until)
        if flow is not None:
            events = events.filter(flow=flow.slug)
        else:
            events = events.filter(touching([stock.slug for stock in process.stocks]))
            events = events.exclude(flow__in=[one.slug for one in process.flows])
        if slicing is not None and key is not None:
            facet = next(iter(slicing.facets.values()))
            events = sliced(events, facet, key, slicing.flows(), apart)
        found.append(events)
    return found
