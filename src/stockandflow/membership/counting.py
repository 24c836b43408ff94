"""Counting many stocks of one model together: one pass over the table for all stocks and single-valued facets.

Every stock is one bit of a number; rows are grouped by that number and the facets' columns, so a stock's total and
its facets come from the same cells and always sum.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.db import connections, models
from django.db.models import BigIntegerField, Case, Count, F, Func, IntegerField, Value, When
from django.db.models.functions import Cast, JSONArray
from django.utils import timezone

from stockandflow.batches import batched
from stockandflow.membership.facets import NONE, OTHER, FacetColumn
from stockandflow.membership.predicate import MemberOf, deciding_field

BITS = 60
"""Stocks counted in one pass; a signed 64-bit number holds them."""
MAX_CELLS = 100_000
"""Above so many groups the facets are grouped one by one: their combinations never fill the client's memory."""


Values = Callable[[], list[tuple[str, Any]] | None]
"""Gives the values that a facet declares as (label, value); None where the column decides."""


@dataclass(frozen=True)
class FacetRequest:
    """One facet of one stock: its column, and the values it declares (None: whatever the column holds).

    Stocks that share a facet give equal requests, which are counted once.
    """

    slug: str
    column: FacetColumn
    values: Values


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
    whose values are a queryset. When a model's facets have over 100,000 combinations: one or two more, and one per
    facet. Days and years are those of the project's time zone, whichever is active.
    """
    requests = list(requests)
    groups: dict[tuple[type[models.Model], str], list[CountRequest]] = defaultdict(list)
    for request in requests:
        groups[request.queryset.model, request.queryset.db].append(request)
    counted: dict[str, StockCount] = {}
    with timezone.override(timezone.get_default_timezone()):
        for members in groups.values():
            for some in batched(members, BITS):
                counted.update(_count_together(some))
    return {request.slug: counted[request.slug] for request in requests}


Cells = Counter[tuple[int, str]]
"""(Stock mask, value key) → objects."""
Choices = list[tuple[str, Any]] | None
"""A facet's declared values as (label, value); None where the column decides."""


def _count_together(requests: list[CountRequest]) -> dict[str, StockCount]:
    rows, mask, decided_by = _rows_of(requests)
    facets = list(dict.fromkeys(facet for request in requests for facet in request.facets))
    choices = {values: values() for values in dict.fromkeys(facet.values for facet in facets)}
    plain = {f.column.value_lookup: f.column for f in facets if f.column.capturable}
    totals, by_lookup = _grouped(rows, mask, plain, decided_by)
    rows = rows.annotate(sf_mask=mask)
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


def _rows_of(requests: list[CountRequest]) -> tuple[models.QuerySet[Any], Any, str]:
    """All rows of the model; their mask, one bit for each stock that a row is in; the column that alone decides it.

    The column is "" where the stocks ask for more than the value of one.
    """
    first = requests[0].queryset
    mask: Any = Value(0, output_field=BigIntegerField())
    for bit, request in enumerate(requests):
        one = When(MemberOf(request.queryset), then=Value(1 << bit, output_field=BigIntegerField()))
        mask = mask + Case(one, default=Value(0), output_field=BigIntegerField())
    # Not by a manager, which may leave rows out.
    rows: models.QuerySet[Any] = models.QuerySet(first.model, using=first.db)
    return rows, mask, _deciding_column(request.queryset for request in requests)


def _deciding_column(querysets: Iterable[models.QuerySet[Any]]) -> str:
    """The one field whose value decides membership of them all; "" where there is none."""
    deciding = {deciding_field(queryset) for queryset in querysets}
    field = deciding.pop() if len(deciding) == 1 else None
    return field.attname if field else ""


Slugs = tuple[str, ...]


def count_memberships(querysets: Mapping[str, models.QuerySet[Any]]) -> dict[Slugs, int]:
    """In which of these querysets of one model the objects are: the slugs of all that hold an object → objects.

    One query, one pass over the table, or over the index of the one column that decides. Where that column has very
    many values, a second one.
    """
    rows, names = _placed(querysets)
    decided_by = _deciding_column(querysets.values())
    found: Counter[Slugs] = Counter()
    cells = _by_masks(rows, names, decided_by, MAX_CELLS + 1) if decided_by else []
    if not decided_by or len(cells) > MAX_CELLS:
        cells = _by_masks(rows, names)
    for *masks, count in cells:
        found[_slugs_of(masks, list(querysets))] += count
    return dict(found)


def _by_masks(
    rows: models.QuerySet[Any], names: list[str], decided_by: str = "", limit: int | None = None
) -> list[tuple[Any, ...]]:
    """At most ``limit`` of the groups of rows with equal masks, or with one value in the column that decides them."""
    if not decided_by:
        return list(rows.order_by().values_list(*names).annotate(sf_count=Count("*"))[:limit])
    masks = {name: OfGroup(rows.query.annotations[name]) for name in names}
    plain = models.QuerySet(rows.model, using=rows.db).annotate(sf_column=F(decided_by), **masks)
    cells = plain.order_by().values_list("sf_column", *names).annotate(sf_count=Count("*"))
    return [masks_and_count for _, *masks_and_count in cells[:limit]]


def members_of_exactly(querysets: Mapping[str, models.QuerySet[Any]], slugs: Slugs) -> models.QuerySet[Any]:
    """The objects that are in all of these of the querysets and in no other. No query yet."""
    rows, names = _placed(querysets)
    masks = [0] * len(names)
    for index, slug in enumerate(querysets):
        masks[index // BITS] |= (slug in slugs) << index % BITS
    return rows.filter(**dict(zip(names, masks, strict=True)))


def _placed(querysets: Mapping[str, models.QuerySet[Any]]) -> tuple[models.QuerySet[Any], list[str]]:
    """All rows with a mask for every 60 querysets, and what the masks are called."""
    requests = [CountRequest(slug, queryset) for slug, queryset in querysets.items()]
    rows, names = _rows_of(requests[:1])[0], []
    for start in range(0, len(requests), BITS):
        names.append(f"sf_mask_{start}")
        rows = rows.annotate(**{names[-1]: _rows_of(requests[start : start + BITS])[1]})
    return rows, names


def _slugs_of(masks: Sequence[int], slugs: Sequence[str]) -> Slugs:
    return tuple(slug for index, slug in enumerate(slugs) if masks[index // BITS] >> index % BITS & 1)


class OfGroup(Func):
    """What is the same for all rows of a group: worked out once a group, and not grouped by."""

    arity = 1
    template = "%(expressions)s"

    def get_group_by_cols(self) -> list[Any]:
        return []


Columns = Mapping[str, FacetColumn]
"""Value lookup → the column of a facet that gives each object one value."""


def _grouped(
    rows: models.QuerySet[Any], mask: Any, columns: Columns, decided_by: str = ""
) -> tuple[Counter[int], dict[str, Cells]]:
    """Rows by stock mask, and for each lookup by (mask, value key)."""
    otherwise = bool(decided_by) or len(columns) > 1
    found = _cells(rows, mask, columns, decided_by, MAX_CELLS + 1 if otherwise else None)
    if otherwise and len(found) > MAX_CELLS and decided_by:
        return _grouped(rows, mask, columns)
    totals: Counter[int] = Counter()
    by_lookup: dict[str, Cells] = {lookup: Counter() for lookup in columns}
    if otherwise and len(found) > MAX_CELLS:
        for lookup, column in columns.items():
            totals, one = _grouped(rows, mask, {lookup: column})
            by_lookup |= one
        return totals, by_lookup
    keyed = [(by_lookup[lookup], _remembered(column.key)) for lookup, column in columns.items()]
    for group, *values, count in found:
        totals[group] += count
        for (cells, key), value in zip(keyed, values, strict=True):
            cells[group, key(value)] += count
    return totals, by_lookup


def _cells(
    rows: models.QuerySet[Any], mask: Any, columns: Columns, decided_by: str = "", limit: int | None = None
) -> list[tuple[Any, ...]]:
    """At most ``limit`` of the groups of equal rows: (mask, a value for each column, rows).

    Where one column decides, rows are grouped by it rather than by the mask, which is then worked out for each group.
    """
    values = {f"sf_facet_{index}": column.expression() for index, column in enumerate(columns.values())}
    if columns and connections[rows.db].vendor == "sqlite" and all(map(_is_simple, columns.values())):
        # SQLite groups by sorting, and sorts by one text in half the time that several columns take it.
        by = [F(decided_by) if decided_by else mask, *values.values()]
        cell = JSONArray(*(Cast(value, models.TextField()) for value in by))
        cells = (
            rows.annotate(sf_mask=OfGroup(mask), sf_cell=cell).order_by().values_list("sf_mask", "sf_cell")
        )
        return [(one, *rest, n) for one, (_, *rest), n in cells.annotate(sf_count=Count("*"))[:limit]]
    column = {"sf_column": F(decided_by)} if decided_by else {}
    rows = rows.annotate(sf_mask=OfGroup(mask) if decided_by else mask, **column, **values).order_by()
    cells = rows.values_list(*column, "sf_mask", *values).annotate(sf_count=Count("*"))
    return [cell[len(column) :] for cell in cells[:limit]]


def _is_simple(column: FacetColumn) -> bool:
    """Whether the text of a value has its key."""
    kinds = (models.CharField, models.TextField, models.IntegerField, models.BooleanField)
    return column.reads_json or isinstance(column.output, kinds)


def _remembered(key: Callable[[Any], str]) -> Callable[[Any], str]:
    """``key``, asked once for each value."""
    known: dict[Any, str] = {}

    def remembered(value: Any) -> str:
        try:
            return known[value]
        except KeyError:
            return known.setdefault(value, key(value))
        except TypeError:
            return key(value)  # a list or a dict

    return remembered


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
