"""A queryset's membership, read four ways: as SQL over one row, as a database condition, as counts, as words."""

from __future__ import annotations

from stockandflow.membership.counting import StockCount, count_stocks
from stockandflow.membership.facets import FacetColumn, facet_key, facet_text_sql
from stockandflow.membership.literals import literal, text_literal
from stockandflow.membership.predicate import MemberOf, RowPredicate, reason_not_local, row_predicate
from stockandflow.membership.words import describe, sql_of

__all__ = [
    "FacetColumn",
    "MemberOf",
    "RowPredicate",
    "StockCount",
    "count_stocks",
    "describe",
    "facet_key",
    "facet_text_sql",
    "literal",
    "reason_not_local",
    "row_predicate",
    "sql_of",
    "text_literal",
]
