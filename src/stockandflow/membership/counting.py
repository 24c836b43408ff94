"""Counting many stocks of one model together: one pass over the table for all stocks and single-valued facets.

Every stock is one bit of a number; rows are grouped by that number and the facets' columns, so a stock's total and
its facets come from the same cells and always sum.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models import BigIntegerField, Case, Count, F, Q, Value, When

from stockandflow.membership.facets import NONE, OTHER, FacetColumn, facet_key
from stockandflow.membership.predicate import MemberOf

BITS = 60
"""Stocks counted in one pass; a signed 64-bit number holds them."""
MAX_CELLS = 100_000
"""Above so many groups the facets are grouped one by one: the client never holds more."""


@dataclass(frozen=True)
class FacetRequest:
    """One facet of one stock: its column, and the values it declares (None: whatever the column holds)."""

    slug: str
    column: FacetColumn
    values: Callable[[], list[tuple[str, Any]] | None]


@dataclass(frozen=True)
class CountRequest:
    """One stock to count."""

    slug: str
    queryset: models.QuerySet[Any]
    facets: Sequence[FacetRequest] = ()


@dataclass(frozen=True)
class StockCount:
    """What one stock held: ``total`` objects, and per facet slug a dict of value key → objects.

    Declared values come in declared order, zero included; ``(none)`` and ``(other)`` last, where they occur. They sum
    to ``total`` unless the facet is in ``multi_valued``.
    """

    slug: str
    total: int
    facets: Mapping[str, Mapping[str, int]]
    multi_valued: frozenset[str] = frozenset()


def count_stocks(requests: Iterable[CountRequest]) -> dict[str, StockCount]:
    """Count all stocks; a dict of slug → count, in the order given.

    Queries per model (and database, and 60 stocks): one, whatever the number of stocks, single-valued facets and
    values; one more for each multi-valued facet and each that asks a question (``age__gte``); one for each facet
    whose values are a queryset. When a model's facets have over 100,000 combinations: one more per facet.
    """
    requests = list(requests)
    groups: dict[tuple[type[models.Model], str], list[CountRequest]] = defaultdict(list)
    for request in requests:
        groups[request.queryset.model, request.queryset.db].append(request)
    counted: dict[str, StockCount] = {}
    for members in groups.values():
        for start in range(0, len(members), BITS):
            counted.update(_count_together(members[start : start + BITS]))
    return {request.slug: counted[request.slug] for request in requests}


def _count_together(requests: list[CountRequest]) -> dict[str, StockCount]:
    model, using = requests[0].queryset.model, requests[0].queryset.db
    rows = model._base_manager.using(using).order_by()
    mask: Any = Value(0, output_field=BigIntegerField())
    for bit, request in enumerate(requests):
        one = When(MemberOf(request.queryset), then=Value(1 << bit, output_field=BigIntegerField()))
        mask = mask + Case(one, default=Value(0), output_field=BigIntegerField())
    rows = rows.annotate(sf_mask=mask)

    plain: dict[str, FacetColumn] = {}
    apart: dict[tuple[str, str], FacetRequest] = {}
    for request in requests:
        for facet in request.facets:
            if facet.column.condition or facet.column.multi_valued:
                apart.setdefault((facet.slug, facet.column.lookup), facet)
            else:
                plain.setdefault(facet.column.value_lookup, facet.column)

    totals, by_lookup = _grouped(rows, list(plain))
    by_facet: dict[tuple[str, str], Counter[tuple[int, str]]] = {}
    declared: dict[str, list[tuple[str, Any]] | None] = {}

    def values_of(facet: FacetRequest) -> list[tuple[str, Any]] | None:
        if facet.slug not in declared:
            declared[facet.slug] = facet.values()
        return declared[facet.slug]

    for key, facet in apart.items():
        by_facet[key] = (
            _by_condition(rows, facet, values_of(facet) or [])
            if facet.column.condition
            else _by_many(rows, facet)
        )

    results: dict[str, StockCount] = {}
    for bit, request in enumerate(requests):
        flag = 1 << bit
        facets: dict[str, dict[str, int]] = {}
        for facet in request.facets:
            cells = by_facet.get((facet.slug, facet.column.lookup))
            if cells is None:
                raw = by_lookup[facet.column.value_lookup]
                cells = Counter()
                for (group, value), count in raw.items():
                    cells[group, facet.column.key(value)] += count
            found: Counter[str] = Counter()
            for (group, text), count in cells.items():
                if group & flag:
                    found[text] += count
            facets[facet.slug] = _in_declared_order(found, values_of(facet))
        results[request.slug] = StockCount(
            slug=request.slug,
            total=sum(count for group, count in totals.items() if group & flag),
            facets=facets,
            multi_valued=frozenset(
                f.slug for f in request.facets if f.column.multi_valued or f.column.condition
            ),
        )
    return results


def _grouped(
    rows: models.QuerySet[Any], lookups: list[str]
) -> tuple[Counter[int], dict[str, Counter[tuple[int, Any]]]]:
    """Rows by stock mask, and for each lookup by (mask, raw value)."""
    names = {f"sf_facet_{index}": F(lookup) for index, lookup in enumerate(lookups)}
    cells = rows.annotate(**names).values_list("sf_mask", *names).annotate(sf_count=Count("*"))
    found = list(cells[: MAX_CELLS + 1]) if lookups else list(cells)
    totals: Counter[int] = Counter()
    by_lookup: dict[str, Counter[tuple[int, Any]]] = {lookup: Counter() for lookup in lookups}
    if len(found) > MAX_CELLS and len(lookups) > 1:
        for lookup in lookups:
            totals, one = _grouped(rows, [lookup])
            by_lookup.update(one)
        return totals, by_lookup
    if len(found) > MAX_CELLS:
        found = list(cells)
    for mask, *values, count in found:
        totals[mask] += count
        for lookup, value in zip(lookups, values, strict=True):
            by_lookup[lookup][mask, value] += count
    return totals, by_lookup


def _by_many(rows: models.QuerySet[Any], facet: FacetRequest) -> Counter[tuple[int, str]]:
    """Distinct objects by (mask, value) where an object may have several values."""
    named = rows.annotate(sf_value=F(facet.column.value_lookup))
    found: Counter[tuple[int, str]] = Counter()
    for mask, value, count in named.values_list("sf_mask", "sf_value").annotate(
        sf_count=Count("pk", distinct=True)
    ):
        found[mask, facet.column.key(value)] += count
    return found


def _by_condition(
    rows: models.QuerySet[Any], facet: FacetRequest, values: list[tuple[str, Any]]
) -> Counter[tuple[int, str]]:
    """Objects by (mask, value) for which the facet's question is true; one conditional aggregate a value."""
    found: Counter[tuple[int, str]] = Counter()
    if not values:
        return found
    sums = {
        f"sf_value_{index}": Count(
            "pk", filter=Q(**{facet.column.lookup: value}), distinct=facet.column.multi_valued
        )
        for index, (_, value) in enumerate(values)
    }
    for mask, *counts in rows.values_list("sf_mask").annotate(**sums):
        for (_, value), count in zip(values, counts, strict=True):
            found[mask, facet_key(value)] += count
    return found


def _in_declared_order(found: Counter[str], values: list[tuple[str, Any]] | None) -> dict[str, int]:
    if values is None:
        ordered = {key: found[key] for key in sorted(found) if key != NONE}
    else:
        ordered = {key: found.get(key, 0) for key in (facet_key(value) for _, value in values) if key != NONE}
        other = sum(count for key, count in found.items() if key not in ordered and key != NONE)
        if other:
            ordered[OTHER] = other
    if found.get(NONE):
        ordered[NONE] = found[NONE]
    return ordered
