"""Reports: what a process held, what came, what went, and what nobody can explain.

    opening + inflow − outflow + unexplained = closing

Levels come from counts (stock records, and the live tables for now); flows come from events. Where they disagree, the
difference is shown as *unexplained*.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import router
from django.db.models import Count, Max, Min, Q, QuerySet

from stockandflow.declarations import Flow, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.membership import CountRequest, count_stocks
from stockandflow.models import Origin, StockRecord, settled_moves
from stockandflow.models.clock import snapshot
from stockandflow.periods import checked_range
from stockandflow.reports.results import OUTSIDE, Balance, FlowLine, Method, StockBalance


@dataclass(frozen=True)
class _Anchor:
    """A known level: a stock record, or the count taken just now."""

    at: datetime
    count: int
    method: Method = "counted"
    carried_from: datetime | None = None

    @property
    def counted_at(self) -> datetime:
        """The instant of the count that the level comes of."""
        return self.carried_from or self.at


def balance(process: Process, since: datetime, until: datetime) -> Balance:
    """The balance of a process over ``since <= t < until``; an ``until`` in the future means now.

    Raises InvalidInput for naive datetimes, for ``until`` not after ``since``, and for a ``since`` in the future.
    Queries, whatever the range and the number of stocks and flows: three for the snapshot, four for the records, three
    for each event model, and one for each model where live counts are needed: up to now, or where no record stands.
    """
    since, until = checked_range(since, until)
    # One snapshot for counts and events: a move between the two would seem unexplained.
    with snapshot(process.stocks[0].queryset.db) as now:
        if since < now:
            return _balance(process, since, until, now)
    # Raised inside the snapshot, it would spoil a transaction that was open before.
    raise InvalidInput(f"since ({since.isoformat()}) is in the future; it must be before now.")


def _balance(process: Process, since: datetime, until: datetime, now: datetime) -> Balance:
    stocks, in_progress = list(process.stocks), until > now
    end = now if in_progress else until
    opening = _anchors(stocks, since)
    closing = {} if in_progress else _anchors(stocks, end)
    live = _live([stock for stock in stocks if stock.slug not in opening or stock.slug not in closing], now)
    opening, closing = live | opening, live | closing
    spans = {
        (min(a.at, t), max(a.at, t)) for at, t in ((opening, since), (closing, end)) for a in at.values()
    }
    moves, origins = _moves(process, {span for span in spans if span[0] < span[1]} | {(since, end)})

    tracked = {stock.slug for stock in stocks if stock.registry.tracker_of(stock) is not None}

    def level(stock: Stock, anchors: dict[str, _Anchor], at: datetime) -> tuple[int | None, Method]:
        anchor = anchors[stock.slug]
        if anchor.at == at:
            return anchor.count, anchor.method
        if stock.slug not in tracked:
            return (anchor.count, "nearest") if anchor.at < at else (None, "unknown")
        net = _net(moves[min(anchor.at, at), max(anchor.at, at)], stock)
        # Carried back from a later count, a change that nobody saw can lead below nothing; a stock can't be there.
        return max(0, anchor.count + (net if anchor.at < at else -net)), "derived"

    names = {stock.slug: stock.name for flow in process.flows for stock in flow.stocks}
    names |= {stock.slug: stock.name for stock in stocks}
    flows = {flow.slug: flow for flow in process.flows}
    order = {slug: position for position, slug in enumerate(flows)}
    lines = []
    for stock in stocks:
        ins, outs = [], []
        for (slug, source, sink), number in moves[since, end].items():
            line = FlowLine(
                flows.get(slug),
                source,
                sink,
                number,
                names.get(source, source) or OUTSIDE,
                names.get(sink, sink) or OUTSIDE,
            )
            if stock.slug == sink:
                ins.append(line)
            if stock.slug == source:
                outs.append(line)
        opened, opening_method = level(stock, opening, since)
        closed, closing_method = level(stock, closing, end)

        def rank(line: FlowLine) -> tuple[int, str, str]:
            return order.get(line.flow.slug, 0) if line.flow else len(order), line.source, line.sink

        lines.append(
            StockBalance(
                stock=stock,
                opening=opened,
                closing=closed,
                inflows=tuple(sorted(_merged(ins), key=rank)),
                outflows=tuple(sorted(_merged(outs), key=rank)),
                opening_method=opening_method,
                closing_method=closing_method,
                tracked=stock.slug in tracked,
                counted_once=stock.slug in tracked
                and opening[stock.slug].counted_at == closing[stock.slug].counted_at,
            )
        )
    return Balance(process, since, until, end, in_progress, tuple(lines), dict(origins[since, end]))


def _merged(lines: Iterable[FlowLine]) -> list[FlowLine]:
    """Lines with one flow, source and sink made one: moves of flows outside the process are all "Other"."""
    found: dict[tuple[Flow | None, str, str], list[FlowLine]] = defaultdict(list)
    for line in lines:
        found[line.flow, line.source, line.sink].append(line)
    return [
        FlowLine(flow, source, sink, sum(line.count for line in same), same[0].source_name, same[0].sink_name)
        for (flow, source, sink), same in found.items()
    ]


def _live(stocks: list[Stock], now: datetime) -> dict[str, _Anchor]:
    """The stocks counted now."""
    counts = count_stocks([CountRequest(stock.slug, stock.queryset) for stock in stocks])
    return {slug: _Anchor(now, found.total) for slug, found in counts.items()}


def _anchors(stocks: list[Stock], at: datetime) -> dict[str, _Anchor]:
    """The recorded level nearest to ``at`` for each stock that has one: the last until then, else the first after."""
    slugs = [stock.slug for stock in stocks]
    bounds = (
        StockRecord.objects.filter(stock__in=slugs)
        .order_by()
        .values("stock")
        .annotate(
            before=Max("timestamp", filter=Q(timestamp__lte=at)),
            after=Min("timestamp", filter=Q(timestamp__gt=at)),
        )
    )
    nearest = {row["stock"]: row["before"] or row["after"] for row in bounds}
    found = {}
    if nearest:
        wanted = Q(*(Q(stock=slug, timestamp=instant) for slug, instant in nearest.items()), _connector=Q.OR)
        rows: Any = StockRecord.objects.filter(wanted).values_list(
            "stock", "timestamp", "count", "method", "recent_net", "carried_from"
        )
        records = list(rows)
        settled = settled_moves(
            stocks, {instant for _, instant, _, _, recent, _ in records if recent is not None}
        )
        for slug, instant, number, method, recent, carried_from in records:
            late = 0 if recent is None else settled[instant][slug] - recent
            found[slug] = _Anchor(instant, number + late, method, carried_from)
    return found


Move = tuple[str, str, str]
"""Flow slug, source key, sink key."""
Span = tuple[datetime, datetime]


def _moves(process: Process, spans: set[Span]) -> tuple[dict[Span, Counter[Move]], dict[Span, Counter[str]]]:
    """The moves that touch the process's stocks in each span, by flow, source and sink, and by origin.

    Initial events are known by their origin alone: they are levels, not moves. One query an event model.
    """
    slugs = [stock.slug for stock in process.stocks]
    models_of = {flow.flow_event_model for flow in process.flows}
    models_of |= {model for stock in process.stocks for model in stock.registry.event_models_of(stock)}
    found: dict[Span, Counter[Move]] = {span: Counter() for span in spans}
    origins: dict[Span, Counter[str]] = {span: Counter() for span in spans}
    ordered = sorted(spans)
    low, high = min(span[0] for span in ordered), max(span[1] for span in ordered)
    for model in models_of:
        rows: QuerySet[Any] = model._default_manager.using(router.db_for_read(model)).order_by()
        rows = rows.filter(Q(source__in=slugs) | Q(sink__in=slugs), timestamp__gte=low, timestamp__lt=high)
        sums = {
            f"span_{index}": Count("pk", filter=Q(timestamp__gte=since, timestamp__lt=until))
            for index, (since, until) in enumerate(ordered)
        }
        cells = rows.values_list("flow", "source", "sink", "origin").annotate(**sums)
        for flow, source, sink, origin, *counts in cells:
            for span, number in zip(ordered, counts, strict=True):
                if number:
                    origins[span][origin] += number
                    if origin != Origin.INITIAL:
                        found[span][flow, source, sink] += number
    return found, origins


def _net(moves: Counter[Move], stock: Stock) -> int:
    return sum(
        number * ((sink == stock.slug) - (source == stock.slug))
        for (_, source, sink), number in moves.items()
    )


def events_of(flow: Flow, since: datetime, until: datetime) -> QuerySet[Any]:
    """The events of a flow over ``since <= t < until``, newest first. No query yet."""
    since, until = checked_range(since, until)
    return flow.all().filter(timestamp__gte=since, timestamp__lt=until).exclude(origin=Origin.INITIAL)
