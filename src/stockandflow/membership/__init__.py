"""A queryset's membership, read four ways: as SQL over one row, as a database condition, as counts, as words."""

from __future__ import annotations

from stockandflow.membership.counting import (
    CountRequest,
    StockCount,
    count_memberships,
    count_stocks,
    members_of_exactly,
)
from stockandflow.membership.crossing import crossings_sql
from stockandflow.membership.facets import FacetColumn, facet_key, facet_text_sql
from stockandflow.membership.literals import literal, text_literal
from stockandflow.membership.predicate import (
    MemberOf,
    RowPredicate,
    asks_the_time,
    compiled_where,
    deciding_field,
    member_of_each,
    reason_not_local,
    row_condition,
    row_predicate,
)
from stockandflow.membership.reach import Reach, Step, concerned, reaches, reason_not_followed, subjects_of
from stockandflow.membership.words import describe, sql_of

__all__ = [
    "CountRequest",
    "FacetColumn",
    "MemberOf",
    "Reach",
    "RowPredicate",
    "Step",
    "StockCount",
    "asks_the_time",
    "compiled_where",
    "concerned",
    "count_memberships",
    "count_stocks",
    "crossings_sql",
    "deciding_field",
    "describe",
    "facet_key",
    "facet_text_sql",
    "literal",
    "member_of_each",
    "members_of_exactly",
    "reaches",
    "reason_not_followed",
    "reason_not_local",
    "row_condition",
    "row_predicate",
    "sql_of",
    "subjects_of",
    "text_literal",
]
