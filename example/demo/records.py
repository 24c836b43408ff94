"""Past stock records, derived from the imported events: one a day, at the day's first instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from example.demo.levels import Event, Level, levels, overlap
from example.support.models import Priority
from example.support.stocksandflows import closed, resolved, urgent
from example.support.stocksandflows import stocks as ticket_stocks
from stockandflow import Stock, StockFacetRecord, StockRecord
from stockandflow.membership.facets import NONE, OTHER, facet_key
from stockandflow.registry import registry

BATCH = 2000

Records = Iterator[tuple[StockRecord, list[StockFacetRecord]]]


def derive_records(instants: Sequence[datetime], using: str) -> int:
    """Store what every stock held at these instants, ascending, as its events tell; how many records that were."""
    made: list[tuple[StockRecord, list[StockFacetRecord]]] = []
    for tracker in registry.trackers:
        if tracker.stocks:
            made += _records(tracker.stocks, _events(tracker.slug, using), instants)
    # No tracker keeps the urgent tickets, but what two trackers saw tells when a ticket was urgent and unresolved.
    unresolved = {stock.slug for stock in ticket_stocks} - {resolved.slug, closed.slug}
    moves = overlap(
        urgent.slug,
        _events("support.ticket", using),
        _events("support.escalation", using),
        within=unresolved | {Priority.URGENT.value},
    )
    made += _records([urgent], moves, instants)

    StockRecord.objects.using(using).bulk_create([record for record, _ in made], batch_size=BATCH)
    for record, parts in made:
        for part in parts:
            part.stock_record = record  # it has its id only now
    StockFacetRecord.objects.using(using).bulk_create(
        [part for _, parts in made for part in parts], batch_size=BATCH
    )
    return len(made)


def _events(tracker_slug: str, using: str) -> Iterator[Event]:
    """A tracker's events, oldest first. One query."""
    events = registry.tracker(tracker_slug).events._default_manager.using(using).filter(tracker=tracker_slug)
    fields = ("timestamp", "subject_id", "source", "sink", "facets")
    return (Event(*row) for row in events.order_by("timestamp", "id").values_list(*fields))


def _records(stocks: Sequence[Stock], events: Iterable[Event], instants: Sequence[datetime]) -> Records:
    """A record for each instant and stock, with its facet records."""
    values = {
        (stock.slug, facet.slug): [facet_key(value) for _, value in facet.facet.choices() or ()]
        for stock in stocks
        for facet in stock.applied_facets
    }
    nothing = Level()
    for instant, held in levels(events, instants):
        for stock in stocks:
            level = held.get(stock.slug, nothing)
            record = StockRecord(stock=stock.slug, timestamp=instant, count=level.total, method="derived")
            parts = [
                StockFacetRecord(stock_record=record, facet=facet.slug, value=value, count=number)
                for facet in stock.applied_facets
                for value, number in _by_value(
                    level.facets[facet.slug], values[stock.slug, facet.slug]
                ).items()
            ]
            yield record, parts


def _by_value(found: Counter[str | None], declared: Sequence[str]) -> Mapping[str, int]:
    """What recording would store: declared values, zero included, then what they leave out, and NULL."""
    counts = {value: found[value] for value in declared}
    other = sum(number for value, number in found.items() if value is not None and value not in counts)
    return counts | ({OTHER: other} if other else {}) | ({NONE: found[None]} if found[None] else {})
