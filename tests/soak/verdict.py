"""Whether the events of a run lead to what the tables hold, asked of the database itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Count

from stockandflow.models import Delivery, Origin
from tests.soak.models import Order, OrderFlowEvent
from tests.soak.stocksandflows import opening, tracker

NUMBERED = """
SELECT id, subject_id, source, sink,
    LAG(sink) OVER (PARTITION BY subject_id ORDER BY timestamp, id) AS before_it,
    ROW_NUMBER() OVER (PARTITION BY subject_id ORDER BY timestamp DESC, id DESC) AS from_the_end
FROM soak_orderflowevent
"""

BROKEN = "SELECT id, subject_id, source, before_it FROM ({}) e WHERE source <> COALESCE(before_it, '')"


@dataclass(frozen=True)
class Verdict:
    """What was found. ``repaired`` are the events that a sweep wrote.

    ``off`` are (stock, held, by the events), ``broken`` (event, subject, source, the sink before it) of events that
    don't begin where their subject was, ``misplaced`` (subject, where it is, the sink of its last event).
    """

    events: int
    repaired: int
    off: tuple[tuple[str, int, int], ...]
    broken: tuple[tuple[Any, ...], ...]
    misplaced: tuple[tuple[Any, ...], ...]
    undelivered: int

    def wrongs(self) -> list[str]:
        """What isn't as it must be, in words; empty where all is well."""
        found = [f"the stock {stock!r} holds {held}, its events say {said}" for stock, held, said in self.off]
        if self.broken:
            found.append(
                f"{len(self.broken)} events don't begin where their subject was: (event, subject, source, sink before "
                f"it), e.g. {self.broken[:5]}"
            )
        if self.misplaced:
            found.append(
                f"{len(self.misplaced)} subjects aren't where they went: (subject, where it is, where it went), e.g. "
                f"{self.misplaced[:5]}"
            )
        if self.undelivered:
            found.append(
                f"{self.undelivered} deliveries without their event, or events without their delivery"
            )
        return found


def verdict() -> Verdict:
    """Compare everything with everything; nobody writes meanwhile."""
    events = OrderFlowEvent._default_manager.order_by()
    came = dict(events.values_list("sink").annotate(count=Count("pk")))
    went = dict(events.values_list("source").annotate(count=Count("pk")))
    balances = [
        (stock.slug, stock.count(), came.get(stock.slug, 0) - went.get(stock.slug, 0))
        for stock in tracker.stocks
    ]
    # A delivery is made with each event of a flow with event callables, and with no other.
    due = set(events.filter(flow=opening.slug).values_list("pk", flat=True))
    made = set(Delivery.objects.values_list("event_id", flat=True))
    return Verdict(
        events=events.count(),
        repaired=events.filter(origin=Origin.SWEEP).count(),
        off=tuple(balance for balance in balances if balance[1] != balance[2]),
        broken=tuple(_asked(BROKEN)),
        misplaced=tuple(_misplaced()),
        undelivered=len(due ^ made),
    )


def _asked(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.format(NUMBERED))
        return list(cursor.fetchall())


def _misplaced() -> list[tuple[Any, ...]]:
    said = dict(_asked("SELECT subject_id, sink FROM ({}) e WHERE from_the_end = 1"))
    held = dict.fromkeys(Order._default_manager.values_list("pk", flat=True), "")
    for stock in tracker.stocks:
        held |= dict.fromkeys(stock.queryset.values_list("pk", flat=True), stock.slug)
    return [
        (pk, held.get(pk, ""), said.get(pk, ""))
        for pk in sorted(held.keys() | said.keys())
        if held.get(pk, "") != said.get(pk, "")
    ]
