"""Levels and moves told again in Python, event by event, from what the capture and the counts left."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

from example.membership.models import MemberFlowEvent
from stockandflow.models import Origin, StockRecord, Sweep

HOUR = timedelta(hours=1)
Move = tuple[str, str, str]


class Retold:
    """All events and all counts, read once."""

    def __init__(self) -> None:
        self.events: list[Any] = list(MemberFlowEvent.objects.order_by("timestamp", "pk"))
        self.moves = [event for event in self.events if event.origin != Origin.INITIAL]
        self.counts: dict[str, list[StockRecord]] = defaultdict(list)
        self.records: dict[str, list[StockRecord]] = defaultdict(list)
        self.begun = Sweep.objects.values_list("told_since", flat=True).first()
        for record in StockRecord.objects.order_by("timestamp"):
            self.records[record.stock].append(record)
            if record.method != "derived":
                self.counts[record.stock].append(record)

    def net(self, slug: str, low: datetime, high: datetime) -> int:
        within = [event for event in self.moves if low <= event.timestamp < high]
        return sum((event.sink == slug) - (event.source == slug) for event in within)

    def level(
        self,
        slug: str,
        at: datetime,
        *,
        of: dict[str, list[StockRecord]] | None = None,
        by: datetime | None = None,
    ) -> int | None:
        """The last count until then, or the first after, carried there by the moves between.

        None where it would be carried back to before the capture began, unless that was before ``by``.
        """
        known = (of or self.counts)[slug]
        record = max(
            (one for one in known if one.timestamp <= at),
            default=known[0],
            key=lambda one: one.timestamp,
        )
        back = (record.carried_from or record.timestamp) > at
        if back and self.begun is not None and (by or at) <= self.begun:
            return None
        held = record.count + self._under_way(record)
        if record.timestamp <= at:
            return max(0, held + self.net(slug, record.timestamp, at))
        return max(0, held - self.net(slug, at, record.timestamp))

    def _under_way(self, record: StockRecord) -> int:
        """In less out by the moves of the hour before a count that it didn't hold."""
        if record.recent_net is None:
            return 0
        low, high = record.timestamp - HOUR, record.timestamp
        settled = [
            event
            for event in self.moves
            if low <= event.timestamp < high
            and low <= event.recorded_at < high
            and event.origin != Origin.SWEEP
        ]
        net: int = sum((event.sink == record.stock) - (event.source == record.stock) for event in settled)
        return net - record.recent_net

    def flows(self, low: datetime, high: datetime) -> Counter[Move]:
        within = (event for event in self.moves if low <= event.timestamp < high)
        return Counter((event.flow, event.source, event.sink) for event in within)

    def subjects(self, move: Move, low: datetime, high: datetime) -> int:
        within = (event for event in self.moves if low <= event.timestamp < high)
        return len({event.subject_id for event in within if (event.flow, event.source, event.sink) == move})
