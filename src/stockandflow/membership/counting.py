"""Counting many stocks of one model together: one pass over the table for all stocks and single-valued facets.

Every stock is one bit of a number; rows are grouped by that number and the facets' columns, so a stock's total and
its facets come from the same cells and always sum.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.db import models
from django.db.models import BigIntegerField, Case, Count, IntegerField, Value, When
from django.utils import timezone

from stockandflow.membership.facets import NONE, OTHER, FacetColumn
from stockandflow.membership.predicate import MemberOf

BITS = 60
"""Stocks counted in one pass; a signed 64-bit number holds them."""
MAX_CELLS = 100_000
"""Above so many groups the facets are grouped one by one: their combinations never fill the client's memory."""


@dataclass(frozen=True)
class FacetRequest:
    """One facet of one stock: its column, and the values it declares (None: whatever the column holds).

    Stocks that share a facet give equal requests, which are counted once.
    """

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
    whose values are a queryset. When a model's facets have over 100,000 combinations: one more per facet. Days and
    years are those of the project's time zone, whichever is active.
    """
    requests = list(requests)
    groups: dict[tuple[type[models.Model], str], list[CountRequest]] = defaultdict(list)
    for request in requests:
        groups[request.queryset.model, request.queryset.db].append(request)
    counted: dict[str, StockCount] = {}
    with timezone.override(timezone.get_default_timezone()):
        for members in groups.values():
            for start in range(0, len(members), BITS):
                counted.update(_count_together(members[start : start + BITS]))
    return {request.slug: counted[request.slug] for request in requests}


Cells = Counter[tuple[int, str]]
"""(Stock mask, value key) → objects."""
Choices = list[tuple[str, Any]] | None
"""A facet's declared values as (label, value); None where the column decides."""


def _count_together(requests: list[CountRequest]) -> dict[str, StockCount]:
    rows = _with_mask(requests)
    facets = list(dict.fromkeys(facet for request in requests for facet in request.facets))
    choices = {values: values() for values in dict.fromkeys(facet.values for facet in facets)}
    plain = {f.column.value_lookup: f.column for f in facets if f.column.capturable}
    totals, by_lookup = _grouped(rows, plain)
    cells: dict[FacetRequest, Cells] = {}
    for facet in facets:
        if facet.column.condition:
            cells[facet] = _by_condition(rows, facet.column, choices[facet.values] or [])
        elif facet.column.multi_valued:
            cells[facet] = _by_many(rows, facet.column, choices[facet.values])
        else:
            cells[facet] = by_lookup[facet.column.value_lookup]
    return {
        request.slug: StockCount(
            slug=request.slug,
            total=sum(count for mask, count in totals.items() if mask >> bit & 1),
            facets={f.slug: _of_stock(bit, cells[f], f.column, choices[f.values]) for f in request.facets},
            multi_valued=frozenset(f.slug for f in request.facets if not f.column.capturable),
        )
        for bit, request in enumerate(requests)
    }


def _with_mask(requests: list[CountRequest]) -> models.QuerySet[Any]:
    """All rows of the model with ``sf_mask``: one bit for each stock that the row is in."""
    first = requests[0].queryset
    mask: Any = Value(0, output_field=BigIntegerField())
    for bit, request in enumerate(requests):
        one = When(MemberOf(request.queryset), then=Value(1 << bit, output_field=BigIntegerField()))
        mask = mask + Case(one, default=Value(0), output_field=BigIntegerField())
    # Not by a manager, which may leave rows out.
    rows: models.QuerySet[Any] = models.QuerySet(first.model, using=first.db).annotate(sf_mask=mask)
    return rows


def _grouped(
    rows: models.QuerySet[Any], columns: Mapping[str, FacetColumn]
) -> tuple[Counter[int], dict[str, Cells]]:
    """Rows by stock mask, and for each lookup by (mask, value key)."""
    names = {f"sf_facet_{index}": column.expression() for index, column in enumerate(columns.values())}
    cells = rows.annotate(**names).order_by().values_list("sf_mask", *names).annotate(sf_count=Count("*"))
    found = list(cells[: MAX_CELLS + 1] if len(columns) > 1 else cells)
    totals: Counter[int] = Counter()
    by_lookup: dict[str, Cells] = {lookup: Counter() for lookup in columns}
    if len(columns) > 1 and len(found) > MAX_CELLS:
        for lookup, column in columns.items():
            totals, one = _grouped(rows, {lookup: column})
            by_lookup |= one
        return totals, by_lookup
    for mask, *values, count in found:
        totals[mask] += count
        for (lookup, column), value in zip(columns.items(), values, strict=True):
            by_lookup[lookup][mask, column.key(value)] += count
    return totals, by_lookup


def _by_many(rows: models.QuerySet[Any], column: FacetColumn, choices: Choices) -> Cells:
    """Distinct objects by (mask, value key) where an object may have several values.

    Values that aren't declared are one, since an object may have several of those too.
    """
    value, other = column.plain(), cast("Any", Value(0))
    if choices is not None:
        is_other = column.is_other([value for _, value in choices])
        value = Case(When(is_other, then=None), default=value)
        other = Case(When(is_other, then=1), default=0, output_field=IntegerField())
    rows = rows.annotate(sf_value=column.to_the_letter(value), sf_other=other)
    found: Cells = Counter()
    cells = (
        rows.order_by()
        .values_list("sf_mask", "sf_other", "sf_value")
        .annotate(sf_count=Count("pk", distinct=True))
    )
    for mask, rest, raw, count in cells:
        found[mask, OTHER if rest else column.key(raw)] += count
    return found


def _by_condition(rows: models.QuerySet[Any], column: FacetColumn, choices: list[tuple[str, Any]]) -> Cells:
    """Objects by (mask, value key) for which the facet's question is true; one conditional aggregate a value."""
    found: Cells = Counter()
    if not choices:
        return found
    sums = {
        f"sf_value_{index}": Count("pk", filter=column.has(value), distinct=column.multi_valued)
        for index, (_, value) in enumerate(choices)
    }
    for mask, *counts in rows.order_by().values_list("sf_mask").annotate(**sums):
        for (_, value), count in zip(choices, counts, strict=True):
            found[mask, column.key(value)] += count
    return found


def _of_stock(bit: int, cells: Cells, column: FacetColumn, choices: Choices) -> dict[str, int]:
    """Value key → objects of one stock: declared values in declared order, ``(other)``, ``(none)``."""
    found: Counter[str] = Counter()
    for (mask, key), count in cells.items():
        if mask >> bit & 1:
            found[key] += count
    keys = sorted(found) if choices is None else [column.key(value) for _, value in choices]
    ordered = {key: found[key] for key in keys if key not in (NONE, OTHER)}
    if other := sum(count for key, count in found.items() if key not in ordered and key != NONE):
        ordered[OTHER] = other
    if found[NONE] or NONE in keys:
        ordered[NONE] = found[NONE]
    return ordered
