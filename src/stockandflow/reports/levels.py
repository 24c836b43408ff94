"""The levels of stocks at instants: records that stand there, the nearest ones, and the live tables for now."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, Subquery
from django.db.models.functions import Coalesce

from stockandflow.conf import conf
from stockandflow.declarations import Facet, Stock
from stockandflow.membership import CountRequest, count_stocks
from stockandflow.membership.counting import FacetRequest, Values
from stockandflow.models import StockFacetRecord, StockRecord
from stockandflow.models.clock import SETTLING
from stockandflow.periods import Status
from stockandflow.reports.planning import Span
from stockandflow.reports.reading import Moves
from stockandflow.reports.results import Method

VALUES_CARRIED = timedelta(days=1)
"""How far the count of a facet value is carried by moves; values change without a move, so further it would mislead."""


@dataclass(frozen=True)
class Anchor:
    """A known level: a stock record, or the count taken just now.

    ``values`` is value key → members, None where no facet was asked for or the record doesn't tell it. ``recent`` is
    what the count held of the events that were settling at it, and ``carried_from`` the instant of the count that was
    carried here.
    """

    at: datetime
    count: int
    method: Method = "counted"
    computed_at: datetime | None = None
    recent: int | None = None
    carried_from: datetime | None = None
    revision: int = 1
    values: Mapping[str, int] | None = None
    by: Mapping[str, Mapping[str, int]] = field(default_factory=dict, hash=False)
    """Of the count taken just now: facet slug → value key → members, for the facets that were to be counted as well."""

    @property
    def counted_at(self) -> datetime:
        """The instant of the count that tells this level."""
        return self.carried_from or self.at

    def settled(self, late: Mapping[datetime, Counter[str]], slug: str) -> Anchor:
        """With the moves that were under way when it was counted, and were committed since."""
        if self.recent is None:
            return self
        added = late[self.at][slug] - self.recent
        # Of which values these are isn't known.
        return replace(self, count=self.count + added, recent=None, values=None if added else self.values)

    def status(self, now: datetime) -> Status:
        """Whether the level can still change: a count once what was under way has settled, else as records do."""
        if self.computed_at is None:
            return Status.of(self.at, now, now, SETTLING)
        return Status.of(self.at, self.computed_at, now, conf().allowed_lateness)


@dataclass(frozen=True)
class Level:
    """What a stock held at an instant, None where nothing tells it, and how that is known."""

    count: int | None
    method: Method
    status: Status
    anchor: Anchor | None


def live(
    stocks: Sequence[Stock],
    now: datetime,
    facet: str = "",
    by: Collection[str] = (),
    values: Mapping[Facet, Values] | None = None,
) -> dict[str, Anchor]:
    """The stocks counted now, by a facet and by others as well. One query for each model, as ``count_stocks`` says.

    ``values`` gives what facets declare, where that is known already.
    """
    counts = count_stocks(
        CountRequest(
            stock.slug,
            stock.queryset,
            [
                FacetRequest(
                    one.slug, one.column(stock.model), (values or {}).get(one.facet, one.facet.choices)
                )
                for one in stock.applied_facets
                if one.slug == facet or one.slug in by
            ],
        )
        for stock in stocks
    )
    return {
        slug: Anchor(
            now,
            found.total,
            values=found.facets.get(facet),
            by={one: values for one, values in found.facets.items() if one in by},
        )
        for slug, found in counts.items()
    }


def recorded(
    nearest: Mapping[str, Collection[datetime]], exactly: Collection[datetime], facet: str = ""
) -> dict[str, list[Anchor]]:
    """Slug → the records wanted, in order of time: of each stock the nearest to its instants, and all ``exactly``.

    The nearest is the last one until then, else the first after. One query, and one for the values of a facet.
    """
    wanted = Q(stock__in=list(nearest), timestamp__in=sorted(exactly))
    for slug, instants in nearest.items():
        if instants:
            wanted |= Q(stock=slug, timestamp__in=[_nearest(slug, at) for at in sorted(instants)])
    names = (
        "pk",
        "stock",
        "timestamp",
        "count",
        "method",
        "computed_at",
        "recent_net",
        "carried_from",
        "revision",
    )
    rows: Any = list(StockRecord.objects.filter(wanted).order_by("timestamp").values_list(*names))
    values = _values([row[0] for row in rows], facet)
    found: dict[str, list[Anchor]] = defaultdict(list)
    for pk, slug, at, number, method, computed_at, recent, carried_from, revision in rows:
        parts = values.get(pk, {}) if facet else None
        if parts is not None and sum(parts.values()) != number:
            parts = None
        found[slug].append(Anchor(at, number, method, computed_at, recent, carried_from, revision, parts))
    return found


def _nearest(slug: str, at: datetime) -> Coalesce:
    """The instant of the stock's record that is nearest to ``at``, found in the index."""
    records = StockRecord.objects.filter(stock=slug)
    before = records.filter(timestamp__lte=at).order_by("-timestamp").values("timestamp")[:1]
    after = records.filter(timestamp__gt=at).order_by("timestamp").values("timestamp")[:1]
    return Coalesce(Subquery(before), Subquery(after))


def _values(records: list[int], facet: str) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = defaultdict(dict)
    if facet and records:
        rows = StockFacetRecord.objects.filter(stock_record__in=records, facet=facet).order_by("id")
        for pk, value, number in rows.values_list("stock_record_id", "value", "count"):
            found[pk][value] = number
    return found


def nearest_to(at: datetime, anchors: Iterable[Anchor]) -> Anchor | None:
    """The last of the anchors until ``at``, else the first after; None where there is none."""
    ordered = sorted(anchors, key=lambda anchor: anchor.at)
    before = [anchor for anchor in ordered if anchor.at <= at]
    return before[-1] if before else next(iter(ordered), None)


def between(anchor: Anchor, at: datetime) -> Span:
    """The span over which moves carry an anchor to ``at``."""
    return min(anchor.at, at), max(anchor.at, at)


def level(
    slug: str,
    at: datetime,
    anchor: Anchor | None,
    moves: Mapping[Span, Moves],
    now: datetime,
    *,
    tracked: bool,
    value: str | None = None,
) -> Level:
    """The level of a stock at an instant by its anchor, or of its slice with one ``value``."""
    unknown = Level(None, "unknown", Status.GAP, None)
    if anchor is None:
        return unknown
    if value is None:
        number: int | None = anchor.count
    else:
        number = None if anchor.values is None else anchor.values.get(value, 0)
    if number is None:
        return unknown
    if anchor.at == at:
        return Level(number, anchor.method, anchor.status(now), anchor)
    if not tracked:
        if anchor.at > at:
            return unknown
        return Level(number, "nearest", Status.of(at, now, now, conf().allowed_lateness), anchor)
    carried = moves[between(anchor, at)]
    if value is not None and (abs(anchor.at - at) > VALUES_CARRIED or _contradict(anchor, at, carried, slug)):
        return unknown
    net = carried.net(slug, value)
    # Carried back from a later count, a change that nobody saw can lead below nothing; a stock can't be there.
    return Level(max(0, number + (net if anchor.at < at else -net)), "derived", Status.PROVISIONAL, anchor)


def _contradict(anchor: Anchor, at: datetime, carried: Moves, slug: str) -> bool:
    """Whether more would have come or gone with some value than there were, so that the values wouldn't sum."""
    sign = 1 if anchor.at < at else -1
    values = anchor.values or {}
    return any(
        values.get(value, 0) + sign * carried.net(slug, value) < 0 for value in {*values, *carried.values}
    )
