"""How stocks change inside a block, and whether their flows explain it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, overload

from django.db.models import Count, Max
from django.utils import timezone

from stockandflow.capture import audit, database_of
from stockandflow.declarations import Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.membership import CountRequest, count_stocks
from stockandflow.models import Origin, StockRecord
from stockandflow.registry import Registry
from stockandflow.registry import registry as project_registry
from stockandflow.reports import balance

SHOWN = 20
"""So many objects of a kind are listed in a message at most."""


@contextmanager
def assert_stock_delta(
    expected: Mapping[Stock | str, int], *, registry: Registry = project_registry
) -> Iterator[None]:
    """Assert by how many objects stocks grow inside: stock or slug → change, negative where it shrinks.

    Stocks that aren't named may do as they like. Raises AssertionError with each stock's counts, UnknownSlug, and
    InvalidInput for a change that is no whole number. One query for each model before, and one after.
    """
    for key, change in expected.items():
        if isinstance(change, bool) or not isinstance(change, int):
            raise InvalidInput(
                f"assert_stock_delta() expects {key!r} to change by {change!r}; write a whole number."
            )
    stocks = [key if isinstance(key, Stock) else registry.stock(key) for key in expected]
    before = _counts(stocks)
    yield
    after = _counts(stocks)
    wrong = [
        f"  {stock.slug}: expected {change:+d}, got {now - then:+d} (from {then} to {now})"
        for stock, change, then, now in zip(stocks, expected.values(), before, after, strict=True)
        if now - then != change
    ]
    if wrong:
        raise AssertionError("\n".join(["The stocks didn't change as expected.", *wrong]))


def _counts(stocks: Iterable[Stock]) -> list[int]:
    """The members of each stock, in the order given."""
    requests = [CountRequest(str(place), stock.queryset) for place, stock in enumerate(stocks)]
    return [count.total for count in count_stocks(requests).values()]


@overload
def assert_balanced(process: Process | str, *, registry: Registry = ...) -> AbstractContextManager[None]: ...
@overload
def assert_balanced(process: Process | str, *, since: datetime, registry: Registry = ...) -> None: ...
def assert_balanced(
    process: Process | str, *, since: datetime | None = None, registry: Registry = project_registry
) -> AbstractContextManager[None] | None:
    """Assert that a process adds up: opening + in − out = closing for each of its stocks, nothing unexplained.

    ``with assert_balanced(process):`` is about what is written inside, by counts before and after it.
    ``assert_balanced(process, since=instant)`` is about what happened since, by what is recorded, and is checked at
    once; it raises InvalidInput where no count of a stock is stored that could tell. Stocks that no tracker watches are
    left out. Raises AssertionError with the levels of each stock that doesn't add up, and the objects whose last event
    led elsewhere.
    """
    found = registry.process(process) if isinstance(process, str) else process
    tracked = [stock for stock in found.stocks if registry.tracker_of(stock) is not None]
    if not tracked:
        raise InvalidInput(
            f"The process {found.slug!r} has no stock that a tracker watches, so its flows explain nothing; register a "
            "ModelTracker with its stocks."
        )
    if since is None:
        return _BalancedInside(found, tracked, registry)
    _assert(found, _since(found, tracked, since), registry)
    return None


@dataclass(frozen=True)
class _Line:
    stock: Stock
    opening: int
    inflow: int
    outflow: int
    closing: int

    @property
    def unexplained(self) -> int:
        return self.closing - self.opening - self.inflow + self.outflow


class _BalancedInside:
    """What ``with assert_balanced(process):`` enters."""

    def __init__(self, process: Process, stocks: list[Stock], registry: Registry) -> None:
        self.process, self.stocks, self.registry = process, stocks, registry
        self.opening: list[int] | None = None

    def __enter__(self) -> None:
        self.opening, self.latest = _counts(self.stocks), _latest(self.stocks, self.registry)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or self.opening is None:
            return
        inflows, outflows = _moves(self.latest)
        closing = _counts(self.stocks)
        _assert(
            self.process,
            [
                _Line(stock, then, inflows[stock.slug], outflows[stock.slug], now)
                for stock, then, now in zip(self.stocks, self.opening, closing, strict=True)
            ],
            self.registry,
        )

    def __del__(self) -> None:
        if self.opening is None:
            slug = self.process.slug
            warnings.warn(
                f"assert_balanced({slug!r}) was never entered, so it checked nothing; write 'with "
                f"assert_balanced({slug!r}):' around what is to balance, or give it since=….",
                RuntimeWarning,
                stacklevel=2,
            )


def _latest(stocks: list[Stock], registry: Registry) -> dict[tuple[Any, str], int]:
    """(Event model, database) → the latest event's id, for all that can hold moves of the stocks."""
    tables = {
        (model, database_of(tracker))
        for stock in stocks
        if (tracker := registry.tracker_of(stock)) is not None
        for model in registry.event_models_of(stock)
    }
    return {
        (model, using): model._base_manager.using(using).aggregate(latest=Max("pk"))["latest"] or 0
        for model, using in tables
    }


def _moves(latest: Mapping[tuple[Any, str], int]) -> tuple[Counter[str], Counter[str]]:
    """Stock slug → moves in, and → moves out, written since; without what says how things stood before."""
    inflows: Counter[str] = Counter()
    outflows: Counter[str] = Counter()
    for (model, using), last in latest.items():
        events = model._base_manager.using(using).filter(pk__gt=last).order_by()
        events = events.exclude(origin__in=[Origin.INITIAL, Origin.IMPORT])
        for source, sink, number in events.values_list("source", "sink").annotate(Count("pk")):
            inflows[sink] += number
            outflows[source] += number
    return inflows, outflows


def _since(process: Process, tracked: list[Stock], since: datetime) -> list[_Line]:
    recorded = StockRecord.objects.filter(stock__in=[stock.slug for stock in tracked]).order_by()
    known = set(recorded.values_list("stock", flat=True).distinct())
    if unknown := [stock.slug for stock in tracked if stock.slug not in known]:
        raise InvalidInput(
            f"No count of {', '.join(map(repr, unknown))} is stored, so whatever is there now counts as explained; "
            "record the stocks first, with stock.save_count() or 'manage.py stockandflow record', or use 'with "
            f"assert_balanced({process.slug!r}):' around what is to balance."
        )
    found = balance(process, since, timezone.now() + timedelta(days=1))
    return [
        _Line(line.stock, line.opening, line.inflow, line.outflow, line.closing)
        for line in found.stocks
        if line.tracked
        and line.opening is not None
        and line.inflow is not None
        and line.outflow is not None
        and line.closing is not None
    ]


def _assert(process: Process, lines: list[_Line], registry: Registry) -> None:
    wrong = [line for line in lines if line.unexplained]
    if not wrong:
        return
    width = max(len(line.stock.slug) for line in wrong)
    rows = [
        f"The process {process.slug!r} doesn't add up: its stocks changed without events.",
        f"  {'':{width}}  opening       in      out  unexplained  closing",
    ]
    rows += [
        f"  {one.stock.slug:{width}}  {one.opening:7}  {one.inflow:+7}  {-one.outflow:7}  {one.unexplained:+11}  "
        f"{one.closing:7}"
        for one in wrong
    ]
    if objects := _lost(wrong, registry):
        rows += ["Their last events led elsewhere:", *(f"  {one}" for one in objects)]
    raise AssertionError("\n".join(rows))


def _lost(wrong: list[_Line], registry: Registry) -> list[str]:
    """The objects whose last event and whose stock differ, where a stock that doesn't add up is one of the two."""
    slugs = {line.stock.slug for line in wrong}
    trackers = {
        tracker.slug: tracker for slug in slugs if (tracker := registry.tracker_of(registry.stock(slug)))
    }
    found: list[str] = []
    for audited in audit(registry, slugs=list(trackers), named=SHOWN):
        model = trackers[audited.tracker].model.__name__
        for move in audited.missing:
            if {move.source, move.sink}.isdisjoint(slugs):
                continue
            led = f"event to {move.source or 'outside'}, now {f'in {move.sink}' if move.sink else 'outside'}"
            found += [
                f"<{model} {one.key}: {one.name}>: {led}"
                if move.sink
                else f"<{model} {one.key}, deleted>: {led}"
                for one in move.objects
            ]
            if move.count > len(move.objects):
                found.append(f"and {move.count - len(move.objects)} more: {led}")
    return found
