"""Anchors: the counts from which levels are carried."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import router
from django.db.models import Max, Min, Q

from stockandflow.batches import batched
from stockandflow.declarations import Stock
from stockandflow.models import StockFacetRecord, StockRecord, settled_moves
from stockandflow.periods import Calendar
from stockandflow.recording.buckets import LocalDate
from stockandflow.recording.counting import Counted
from stockandflow.spans import Span, stretches, within

NEAR = timedelta(days=7)
"""How far before the first midnight a count is looked for, before all of them are."""
AT_ONCE = 500

Known = tuple[str, datetime]
"""A stock's slug and an instant."""
Facets = Mapping[str, Mapping[str, int]]
"""Facet slug → value key → objects."""


@dataclass(frozen=True)
class Anchor:
    """A count; ``late`` is in less out of the moves under way when it was taken, which it doesn't hold."""

    count: int
    late: int = 0
    facets: Facets = field(default_factory=dict)


class Counts:
    """The counts that tell levels at given midnights."""

    def __init__(
        self, wanted: Mapping[Stock, Sequence[datetime]], calendar: Calendar, counted: Counted | None
    ) -> None:
        self.stocks = list(wanted)
        self.new = counted
        self.fresh = {count.slug: count for count in counted.counts} if counted else {}
        self.known: dict[str, list[datetime]] = {stock.slug: [] for stock in wanted}
        self.records = StockRecord.objects.using(router.db_for_read(StockRecord)).exclude(method="derived")
        self.records = self.records.filter(stock__in=list(self.known)).order_by()
        self._find(wanted, calendar)

    def _find(self, wanted: Mapping[Stock, Sequence[datetime]], calendar: Calendar) -> None:
        """The last count of each day; for stocks that have none NEAR before a stretch, the nearest. Two queries."""
        spans = stretches(at for ordered in wanted.values() for at in ordered)
        near = [(low - NEAR, high) for low, high in spans]
        low, high = near[0][0], near[-1][1]
        day = LocalDate("timestamp", calendar.offsets(low, high + timedelta(days=1)))
        # In one range too, for which the index is used everywhere.
        records = self.records.filter(within([(low, high)]), within(near))
        last = records.annotate(sf_day=day).values_list("stock", "sf_day")
        for slug, _, at in last.annotate(last=Max("timestamp")):
            self.known[slug].append(at)
        for slug, known in self.known.items():
            known.sort()
            if self.new is not None and slug in self.fresh:
                known.append(self.new.at)
        missing = {
            stock.slug
            for stock, ordered in wanted.items()
            for low, _ in spans
            if not self._begins_near(stock.slug, ordered, low)
        }
        if missing:
            self._find_afar(missing, spans)

    def _begins_near(self, slug: str, ordered: Sequence[datetime], low: datetime) -> bool:
        """Whether a count is known that lies near before the first midnight from ``low`` on, or there is none."""
        place = bisect_left(ordered, low)
        if place == len(ordered):
            return True
        known = self.known[slug]
        before = bisect_right(known, ordered[place])
        return before > 0 and known[before - 1] >= low - NEAR

    def _find_afar(self, slugs: set[str], spans: Sequence[Span]) -> None:
        """The last count of these stocks before each span, and the first after."""
        sums: dict[str, Any] = {}
        for index, (low, _) in enumerate(spans):
            sums[f"before_{index}"] = Max("timestamp", filter=Q(timestamp__lte=low))
            sums[f"after_{index}"] = Min("timestamp", filter=Q(timestamp__gt=low))
        rows = self.records.filter(stock__in=slugs).values_list("stock").annotate(**sums)
        for slug, *found in rows:
            self.known[slug] = sorted({*self.known[slug], *(at for at in found if at is not None)})

    def nearest(self, slug: str, at: datetime) -> datetime | None:
        """The instant of the last count until then, or of the first after; None where there is no count."""
        known = self.known[slug]
        return known[max(0, bisect_right(known, at) - 1)] if known else None

    def read(self, wanted: set[Known], *, with_facets: set[Known]) -> dict[Known, Anchor]:
        """The counts of these stocks and instants, with their facets where asked."""
        found: dict[Known, Anchor] = {}
        recent: dict[Known, int] = {}
        keys: dict[int, Known] = {}
        for instants in batched(sorted({at for _, at in wanted}), AT_ONCE):
            rows = self.records.filter(timestamp__in=instants)
            for pk, slug, at, count, net in rows.values_list(
                "pk", "stock", "timestamp", "count", "recent_net"
            ):
                if (slug, at) in wanted:
                    found[slug, at] = Anchor(count)
                    if net is not None:
                        recent[slug, at] = net
                    if (slug, at) in with_facets:
                        keys[pk] = slug, at
        for slug, new in self.fresh.items():
            if self.new is not None and (slug, self.new.at) in wanted - found.keys():
                single = {name: values for name, values in new.facets.items() if name not in new.multi_valued}
                found[slug, self.new.at] = Anchor(new.total, facets=single)
                recent[slug, self.new.at] = self.new.recent.get(slug, 0)
        settled = settled_moves(self.stocks, {at for _, at in recent})
        for (slug, at), net in recent.items():
            found[slug, at] = replace(found[slug, at], late=settled[at][slug] - net)
        for key, facets in self._facets(keys).items():
            found[key] = replace(found[key], facets=facets)
        return found

    def _facets(self, keys: Mapping[int, Known]) -> dict[Known, dict[str, dict[str, int]]]:
        found: dict[Known, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
        records = StockFacetRecord.objects.using(self.records.db).filter(multi_valued=False).order_by("id")
        for pks in batched(list(keys), AT_ONCE):
            rows = records.filter(stock_record__in=pks)
            for pk, facet, value, count in rows.values_list("stock_record", "facet", "value", "count"):
                found[keys[pk]][facet][value] = count
        return found
