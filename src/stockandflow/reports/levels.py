"""The levels of stocks at instants: records that stand there, the nearest ones, and the live tables for now."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigAutoField, BooleanField, ExpressionWrapper, F, Func, Q

from stockandflow.conf import conf
from stockandflow.declarations import Facet, ModelTracker, Stock
from stockandflow.membership import CountRequest, count_stocks
from stockandflow.membership.counting import FacetRequest, Values
from stockandflow.models import StockFacetRecord, StockRecord, told_since_of
from stockandflow.models.clock import SETTLING
from stockandflow.periods import TICK, Status
from stockandflow.reports.planning import Span
from stockandflow.reports.reading import Moves
from stockandflow.reports.results import Method

YOUNG = timedelta(days=3)
"""How long reports carry levels from counts by themselves: derived ones may lack moves that became known since."""
VALUES_CARRIED = timedelta(days=1)
"""How far the count of a facet value is carried by moves; values change without a move, so further it would mislead."""


@dataclass(frozen=True)
class Anchor:
    """A known level: a stock record, or the count taken just now.

    ``values`` is value key → members, None where no facet was asked for or the record doesn't tell it. ``recent`` is
    what the count held of the events that were settling at it, and ``carried_from`` the instant of the count that was
    carried here. ``told_since`` is when subjects of its tracker were last first seen whose past is unknown. ``leads``
    is whether it tells other instants than its own.
    """

    at: datetime
    count: int
    method: Method = "counted"
    computed_at: datetime | None = None
    recent: int | None = None
    carried_from: datetime | None = None
    told_since: datetime | None = None
    leads: bool = True
    revision: int = 1
    values: Mapping[str, int] | None = None
    by: Mapping[str, Mapping[str, int]] = field(default_factory=dict, hash=False)
    """Of the count taken just now: facet slug → value key → members, for the facets that were to be counted as well."""

    @property
    def counted_at(self) -> datetime:
        """The instant of the count that tells this level."""
        return self.carried_from or self.at

    @property
    def begun(self) -> datetime | None:
        """Just after the capture began; None where the past of all subjects is known."""
        return self.told_since and self.told_since + TICK

    def tells(self, at: datetime, by: datetime | None = None) -> bool:
        """Whether the level at ``at`` is told by it: not where it is carried back to before the capture began.

        But where that began before ``by``, what stood there then is the level of before.
        """
        if self.told_since is None or self.counted_at <= at:
            return True
        return self.told_since < min(by or at, self.counted_at)

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
    begun: datetime | None = None
    """Just after the capture began, where that was later: the members of then make it."""


UNKNOWN = Level(None, "unknown", Status.GAP, None)


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
    nearest: Mapping[Stock, Collection[datetime]],
    exactly: Collection[datetime],
    now: datetime,
    facet: str = "",
) -> dict[str, list[Anchor]]:
    """Slug → the records wanted, in order of time: of each stock those for its instants, and all ``exactly``.

    For an instant that is the record that stands there, and the last one until then, else the first after. Derived
    levels that are YOUNG tell no other instant, and none where they aren't final: moves since the count that they are
    from may have become known after they were derived. One query, and one for the values of a facet.
    """
    final = Q(computed_at__gte=F("timestamp") + conf().allowed_lateness)
    lasting = ~Q(method="derived") | Q(computed_at=None) | Q(timestamp__lte=now - YOUNG)
    by_slug = {stock.slug: sorted(instants) for stock, instants in nearest.items() if instants}
    kept = StockRecord.objects.filter(lasting | final)
    records = kept.annotate(
        sf_told_since=told_since_of(trackers_of(nearest), kept.db),
        sf_leads=ExpressionWrapper(lasting, BooleanField()),
    ).values_list(
        "pk",
        "stock",
        "timestamp",
        "count",
        "method",
        "computed_at",
        "recent_net",
        "carried_from",
        "sf_told_since",
        "sf_leads",
        "revision",
    )
    instants = sorted({*exactly}.union(*by_slug.values()))
    wanted = records.filter(stock__in=[stock.slug for stock in nearest], timestamp__in=instants)
    if by_slug:
        # Not as one condition, for which no database would use an index.
        wanted = wanted.order_by().union(records.filter(pk__in=_Nearest(by_slug, lasting)).order_by())
    rows: Any = list(wanted.order_by("timestamp"))
    values = _values([row[0] for row in rows], facet)
    found: dict[str, list[Anchor]] = defaultdict(list)
    for pk, slug, at, number, *known in rows:
        parts = values.get(pk, {}) if facet else None
        if parts is not None and sum(parts.values()) != number:
            parts = None
        found[slug].append(replace(Anchor(at, number, *known), values=parts))
    return found


def tracker_of(stock: Stock) -> ModelTracker | None:
    return stock.registry.tracker_of(stock) if stock.is_registered else None


def trackers_of(stocks: Iterable[Stock]) -> list[ModelTracker]:
    """The trackers of those stocks that stand in one, each once."""
    return list(dict.fromkeys(filter(None, map(tracker_of, stocks))))


class _Nearest(Func):
    """For ``pk__in``: for each instant of a stock the ``lasting`` record that stands there, or is nearest to it.

    Each is found in the index: by one short statement for each stock however many its instants are, or, on MariaDB,
    which seeks there by constants alone, for each instant.
    """

    output_field = BigAutoField()

    def __init__(self, instants: Mapping[str, Sequence[datetime]], lasting: Q) -> None:
        super().__init__(F("pk"), F("stock"), F("timestamp"), ExpressionWrapper(lasting, BooleanField()))
        self.instants = instants

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        parts = [compiler.compile(one) for one in self.get_source_expressions()]
        (key, stock, at, lasting), given = (sql for sql, _ in parts), parts[-1][1]
        table = connection.ops.quote_name(StockRecord._meta.db_table)
        apart = connection.vendor == "mysql"
        instant = "%s" if apart else "sf_at"

        def first(comparison: str, order: str) -> str:
            # The columns are named as in the query around it; inside, they are those of the table named here.
            return (
                f"(SELECT {key} FROM {table} WHERE {stock} = %s AND {at} {comparison} {instant} AND {lasting}"  # noqa: S608
                f" ORDER BY {at} {order} LIMIT 1)"
            )

        nearest = f"SELECT COALESCE({first('<=', 'DESC')}, {first('>', 'ASC')}) AS sf_key"
        found: list[str] = []
        params: list[Any] = []
        for slug, instants in self.instants.items():
            ats = [connection.ops.adapt_datetimefield_value(one) for one in instants]
            if apart:
                found += [nearest] * len(ats)
                params += [one for at in ats for one in 2 * (slug, at, *given)]
            else:
                rows = ", ".join(["(%s)"] * len(ats))
                rows = f"SELECT column1 AS sf_at FROM (VALUES {rows}) AS given"  # noqa: S608
                found.append(f"{nearest} FROM ({rows}) AS instants")
                params += [*2 * (slug, *given), *ats]
        return f"(SELECT sf_key FROM ({' UNION ALL '.join(found)}) AS nearest)", params  # noqa: S608


def _values(records: list[int], facet: str) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = defaultdict(dict)
    if facet and records:
        rows = StockFacetRecord.objects.filter(stock_record__in=records, facet=facet).order_by("id")
        for pk, value, number in rows.values_list("stock_record_id", "value", "count"):
            found[pk][value] = number
    return found


def nearest_to(at: datetime, anchors: Iterable[Anchor]) -> Anchor | None:
    """The anchor of ``at``, or the last one before that leads there, else the first after; None where there is none."""
    usable = (anchor for anchor in anchors if anchor.leads or anchor.at == at)
    ordered = sorted(usable, key=lambda anchor: anchor.at)
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
    if anchor is None:
        return UNKNOWN
    if value is None:
        number: int | None = anchor.count
    else:
        number = None if anchor.values is None else anchor.values.get(value, 0)
        if anchor.at != at and tracked and anchor.count + _change(anchor, at, moves, slug) == 0:
            return Level(0, "derived", Status.PROVISIONAL, anchor)  # nobody was in it, whatever the value
    if number is None:
        return UNKNOWN
    if anchor.at == at:
        return Level(number, anchor.method, anchor.status(now), anchor)
    if not tracked:
        if anchor.at > at:
            return UNKNOWN
        return Level(number, "nearest", Status.of(at, now, now, conf().allowed_lateness), anchor)
    if value is not None and (
        abs(anchor.counted_at - at) > VALUES_CARRIED or _contradict(anchor, at, moves, slug)
    ):
        return UNKNOWN
    # Carried back from a later count, a change that nobody saw can lead below nothing; a stock can't be there.
    reached = max(0, number + _change(anchor, at, moves, slug, value))
    return Level(reached, "derived", Status.PROVISIONAL, anchor)


def _change(
    anchor: Anchor, at: datetime, moves: Mapping[Span, Moves], slug: str, value: str | None = None
) -> int:
    """What the moves between change of a stock, or of its slice, on the way from the anchor to an instant."""
    net = moves[between(anchor, at)].net(slug, value)
    return net if anchor.at < at else -net


def _contradict(anchor: Anchor, at: datetime, moves: Mapping[Span, Moves], slug: str) -> bool:
    """Whether more would have come or gone with some value than there were, so that the values wouldn't sum."""
    values = anchor.values or {}
    return any(
        values.get(value, 0) + _change(anchor, at, moves, slug, value) < 0
        for value in {*values, *moves[between(anchor, at)].values}
    )
