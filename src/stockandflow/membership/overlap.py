"""Whether two querysets of one model can be seen to hold the same objects, without asking the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In, IsNull
from django.db.models.sql.where import WhereNode

from stockandflow.membership.predicate import reason_not_local

Allowed = dict[Any, frozenset[Any]]
"""Field → the values that it may have, None for NULL; fields that may have any are left out."""


def surely_overlap(one: models.QuerySet[Any], other: models.QuerySet[Any]) -> bool:
    """Whether an object of the one is an object of the other too, as filters by equality tell. No query.

    False means that nothing is known: filters by anything else aren't looked into.
    """
    first, second = _allowed(one), _allowed(other)
    if first is None or second is None:
        return False
    # Fields that only one of them asks for may never have both values at once.
    if not (first.keys() <= second.keys() or second.keys() <= first.keys()):
        return False
    return all(first[field] & second[field] for field in first.keys() & second.keys())


def unheld_choices(querysets: Sequence[models.QuerySet[Any]]) -> list[Any]:
    """The choices of a field that none of these querysets lets in, in the field's order. No query.

    Where all of them filter one field with choices by equality, and nothing else; else none is known.
    """
    allowed = [_allowed(queryset) for queryset in querysets]
    fields = {field for one in allowed for field in one or {None: frozenset()}}
    if len(fields) != 1 or None in fields or any(one is None for one in allowed):
        return []
    field = fields.pop()
    held = frozenset().union(*(one[field] for one in allowed if one))
    return [value for value, _ in field.flatchoices if value is not None and value not in held]


def _allowed(queryset: models.QuerySet[Any]) -> Allowed | None:
    """What the queryset asks for; None where that is more than equality with constants, or can never be."""
    if reason_not_local(queryset) is not None:
        return None
    found: Allowed = {}
    for lookup in _conjuncts(queryset.query.where):
        values = _values(lookup)
        if not values:
            return None
        field = lookup.lhs.target
        found[field] = found.get(field, values) & values
    return found if all(found.values()) else None


def _conjuncts(node: Any) -> list[Any]:
    if (
        isinstance(node, WhereNode)
        and not node.negated
        and (node.connector == "AND" or len(node.children) == 1)
    ):
        return [lookup for child in node.children for lookup in _conjuncts(child)]
    return [node]


def _values(lookup: Any) -> frozenset[Any]:
    """The constants that a lookup lets a column have; none where it isn't that simple."""
    given: list[Any] = []
    if isinstance(getattr(lookup, "lhs", None), Col):
        if isinstance(lookup, IsNull):
            given = [None] if lookup.rhs else []
        elif isinstance(lookup, In):
            given = list(lookup.rhs) if isinstance(lookup.rhs, list | tuple | set | frozenset) else []
        elif isinstance(lookup, Exact):
            given = [lookup.rhs]
    if any(hasattr(value, "resolve_expression") for value in given):
        return frozenset()
    try:
        return frozenset(given)
    except TypeError:  # a JSON document
        return frozenset()
