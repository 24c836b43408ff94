"""Ledgers: which flows are recorded from the events of one model, and in which calendars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.db import models, router

from stockandflow.declarations import Flow, Process
from stockandflow.models import FlowRecord, stored_events
from stockandflow.periods import Calendar
from stockandflow.registry import Registry

Pair = tuple[str, str, str]
"""Flow slug, source key, sink key; ALL twice for a flow's total.

Moves that no flow covers have "" as the flow, or the slug of one that isn't registered any more.
"""


@dataclass(frozen=True)
class Ledger:
    """The flow records of one event model in one calendar.

    ``stocks`` are the slugs of those whose moves that no flow covers are recorded here: an empty flow, and one that
    isn't among all that are ``registered``, has no event model, so such a move is known by its stocks.
    """

    event_model: type[Any]
    calendar: Calendar
    flows: tuple[Flow, ...]
    stocks: frozenset[str]
    registered: frozenset[str]

    @property
    def label(self) -> str:
        """What names the event model in the watermark."""
        label: str = self.event_model._meta.label_lower
        return label

    @property
    def name(self) -> str:
        """What a person calls it: the event model, and the calendar's zone."""
        return f"{self.label} in {self.calendar.timezone}"

    @property
    def slugs(self) -> list[str]:
        """The slugs of the flows, each once, in registered order."""
        return list(dict.fromkeys(flow.slug for flow in self.flows))

    def facets_of(self, slug: str) -> frozenset[str]:
        """The slugs of the facets that the flow's records have; none for a flow that isn't one of these."""
        return frozenset(
            facet.slug for flow in self.flows if flow.slug == slug for facet in flow.applied_facets
        )

    @property
    def reading(self) -> str:
        """The database that holds the events."""
        return router.db_for_read(self.event_model)

    @property
    def writing(self) -> str:
        """The database that holds the records."""
        return router.db_for_write(FlowRecord)

    def events(self) -> models.QuerySet[Any]:
        """The events of the model, those that are opening balances and no moves too."""
        return stored_events(self.event_model)

    def records(self) -> models.QuerySet[FlowRecord]:
        """The flow records that this ledger keeps, of all grains."""
        touching = models.Q(source__in=self.stocks) | models.Q(sink__in=self.stocks)
        others = ~models.Q(flow__in=self.registered) & touching
        mine = models.Q(flow__in=self.slugs) | others
        return FlowRecord.objects.using(self.writing).filter(mine, calendar=self.calendar.key).order_by()

    def holds(self, pair: Pair) -> bool:
        """Whether moves of this flow, source and sink are recorded here."""
        flow, source, sink = pair
        if flow in self.registered:
            return flow in self.slugs
        return source in self.stocks or sink in self.stocks


def ledgers(registry: Registry, calendar: Calendar | None = None) -> list[Ledger]:
    """What is recorded: every flow in the project's calendar, and those of a process in the one of its own.

    Those of a process are the ones that touch its stocks, and the moves of its stocks that no flow covers. With a
    ``calendar`` it is every flow in that one alone. Ledgers without flows and stocks are left out.
    """
    if calendar is not None:
        return _of_all(registry, calendar)
    default = Calendar.default()
    own: dict[Calendar, list[Process]] = {}
    for process in registry.processes:
        if process.calendar != default:
            own.setdefault(process.calendar, []).append(process)
    found = _of_all(registry, default)
    whole = list(found)
    for other, processes in own.items():
        flows = {flow for process in processes for flow in process.flows}
        stocks = {stock.slug for process in processes for stock in process.stocks}
        for ledger in whole:
            # Also flows that a process leaves out: its report shows their moves of its stocks as other moves.
            mine = tuple(
                flow
                for flow in ledger.flows
                if flow in flows or not stocks.isdisjoint(stock.slug for stock in flow.stocks)
            )
            if mine or ledger.stocks & stocks:
                found.append(replace(ledger, calendar=other, flows=mine, stocks=ledger.stocks & stocks))
    return found


def _of_all(registry: Registry, calendar: Calendar) -> list[Ledger]:
    flows: dict[type[Any], list[Flow]] = {model: [] for model in registry.event_models()}
    for flow in registry.flows:
        flows[flow.flow_event_model].append(flow)
    # A stock's uncovered moves are written by its tracker; one without a tracker has none but those added by hand.
    home = {stock.slug: flow.flow_event_model for flow in reversed(registry.flows) for stock in flow.stocks}
    home |= {stock.slug: tracker.events for tracker in registry.trackers for stock in tracker.stocks}
    registered = frozenset(flow.slug for flow in registry.flows)
    return [
        Ledger(
            model,
            calendar,
            tuple(mine),
            frozenset(slug for slug, at in home.items() if at is model),
            registered,
        )
        for model, mine in flows.items()
    ]
