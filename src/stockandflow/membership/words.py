"""A queryset's membership in words, for the people who read its number, and as SQL, for those who check it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models.expressions import Col, Value
from django.db.models.lookups import Lookup
from django.db.models.sql import Query
from django.db.models.sql.where import NothingNode, WhereNode

PHRASES = {
    "exact": "is",
    "iexact": "is, in any case,",
    "gt": "is above",
    "gte": "is at least",
    "lt": "is below",
    "lte": "is at most",
    "contains": "contains",
    "icontains": "contains, in any case,",
    "startswith": "starts with",
    "istartswith": "starts, in any case, with",
    "endswith": "ends with",
    "iendswith": "ends, in any case, with",
    "regex": "matches",
    "iregex": "matches, in any case,",
}


def describe(queryset: models.QuerySet[Any]) -> str:
    """The definition as one phrase, e.g. ``subscriptions whose status is Active``. No query."""
    query = queryset.query
    plural = str(queryset.model._meta.verbose_name_plural)
    where = (
        _phrase(query.where, queryset.model)
        if isinstance(query.where, WhereNode) and query.where.children
        else ""
    )
    limits = " (the first rows only)" if query.is_sliced else ""
    return f"{plural} whose {where}{limits}" if where else f"all {plural}{limits}"


def sql_of(queryset: models.QuerySet[Any]) -> str:
    """The definition as SQL for display: parameters are written in place, so never execute it. Opens the connection."""
    query = queryset.order_by().values("pk").query
    connection = connections[queryset.db]
    try:
        sql, params = query.get_compiler(connection=connection).as_sql()
    except EmptyResultSet:
        return "-- no row can match"
    with connection.cursor() as cursor:
        return str(connection.ops.last_executed_query(cursor, sql, params))


def _phrase(node: Any, model: type[models.Model]) -> str:
    if isinstance(node, WhereNode):
        children = list(node.children)
        if node.connector == "AND" and not node.negated:
            # Django adds "… IS NOT NULL" beside a negated comparison; it is noise to a reader.
            children = [child for child in children if not _is_null_guard(child, children)] or children
        parts = [_phrase(child, model) for child in children]
        joined = f" {node.connector.lower()} ".join(
            f"({part})"
            if isinstance(child, WhereNode) and len(child.children) > 1 and not child.negated
            else part
            for part, child in zip(parts, children, strict=True)
        )
        if not node.negated:
            return joined
        if len(children) == 1 and isinstance(children[0], Lookup) and " is " in f" {joined} ":
            return joined.replace(" is ", " is not ", 1)
        return f"not ({joined})"
    if isinstance(node, NothingNode):
        return "nothing matches"
    if isinstance(node, Lookup):
        return _lookup_phrase(node, model)
    return str(node)


def _is_null_guard(child: Any, siblings: list[Any]) -> bool:
    return (
        isinstance(child, Lookup)
        and child.lookup_name == "isnull"
        and child.rhs is False
        and any(
            other is not child and isinstance(other, Lookup) and str(other.lhs) == str(child.lhs)
            for other in siblings
        )
    )


def _lookup_phrase(lookup: Any, model: type[models.Model]) -> str:
    name = _name(lookup.lhs, model)
    if lookup.lookup_name == "isnull":
        return f"{name} is {'empty' if lookup.rhs else 'set'}"
    if lookup.lookup_name == "in":
        if isinstance(lookup.rhs, Query):
            return f"{name} is among {_meta_of(lookup.rhs)}"
        values = [_value(lookup.lhs, value, model) for value in lookup.rhs]
        return f"{name} is {' or '.join(sorted(values))}"
    if lookup.lookup_name == "range":
        low, high = lookup.rhs
        return f"{name} is from {_value(lookup.lhs, low, model)} to {_value(lookup.lhs, high, model)}"
    if lookup.lookup_name == "exact" and isinstance(lookup.rhs, bool):
        return f"{name} is {'true' if lookup.rhs else 'false'}"
    phrase = PHRASES.get(lookup.lookup_name, str(lookup.lookup_name).replace("_", " "))
    return f"{name} {phrase} {_value(lookup.lhs, lookup.rhs, model)}"


def _meta_of(query: Query) -> str:
    model = query.model
    return str(model._meta.verbose_name_plural) if model is not None else "a subquery"


def _name(expression: Any, model: type[models.Model]) -> str:
    if isinstance(expression, Col):
        field = expression.target
        own = str(field.verbose_name)
        mine = issubclass(model, field.model) and expression.alias == field.model._meta.db_table
        return own if mine else f"{field.model._meta.verbose_name} {own}"
    if isinstance(expression, models.Transform):
        return f"{expression.lookup_name} of {_name(expression.lhs, model)}"
    return str(expression)


def _value(lhs: Any, value: Any, model: type[models.Model]) -> str:
    if isinstance(value, Value):
        value = value.value
    if isinstance(value, Col):
        return _name(value, model)
    if isinstance(value, models.Model):
        value = value.pk
    field = lhs.target if isinstance(lhs, Col) else None
    for key, label in getattr(field, "flatchoices", ()) or ():
        if key == value:
            return str(label)
    if value is None:
        return "empty"
    if isinstance(value, str):
        return f"“{value}”"
    return str(value)
