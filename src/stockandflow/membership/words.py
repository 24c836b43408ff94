"""A queryset's membership in words, for the people who read its number, and as SQL, for those who check it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.apps import apps
from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models.expressions import (
    Case,
    Col,
    CombinedExpression,
    Exists,
    ExpressionWrapper,
    Func,
    NegatedExpression,
    Subquery,
    Value,
)
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Cast, Now
from django.db.models.lookups import Exact, In, IsNull, Lookup
from django.db.models.sql import Query
from django.db.models.sql.where import NothingNode, WhereNode
from django.utils import timezone

from stockandflow.membership.literals import inlined

LISTED = 20
"""Of more values than these, the others are told by their number."""

# Lookup → what a value is said to be, and what it is said not to be.
PHRASES = {
    "exact": ("is {}", "is not {}"),
    "iexact": ("is {}, in any case", "is not {}, in any case"),
    "gt": ("is above {}", "is not above {}"),
    "gte": ("is at least {}", "is not at least {}"),
    "lt": ("is below {}", "is not below {}"),
    "lte": ("is at most {}", "is not at most {}"),
    "in": ("is {}", "is not {}"),
    "range": ("is from {}", "is not from {}"),
    "contains": ("contains {}", "does not contain {}"),
    "icontains": ("contains {}, in any case", "does not contain {}, in any case"),
    "startswith": ("starts with {}", "does not start with {}"),
    "istartswith": ("starts with {}, in any case", "does not start with {}, in any case"),
    "endswith": ("ends with {}", "does not end with {}"),
    "iendswith": ("ends with {}, in any case", "does not end with {}, in any case"),
    "regex": ("matches {}", "does not match {}"),
    "iregex": ("matches {}, in any case", "does not match {}, in any case"),
}
IN_TIME = {
    "gt": ("is after {}", "is not after {}"),
    "gte": ("is {} or later", "is not {} or later"),
    "lt": ("is before {}", "is not before {}"),
    "lte": ("is {} or earlier", "is not {} or earlier"),
}
AGGREGATES = {"Count": "number", "Sum": "sum", "Avg": "mean", "Max": "largest", "Min": "smallest"}


def describe(queryset: models.QuerySet[Any]) -> str:
    """The definition as one phrase, e.g. ``subscriptions whose status is Active``. No query."""
    words = _Words(queryset.query, queryset.model).members()
    return f"{words} (the first rows only)" if queryset.query.is_sliced else words


def sql_of(queryset: models.QuerySet[Any]) -> str:
    """The definition as SQL, to be read: parameters are written in place. Opens the connection."""
    connection = connections[queryset.db]
    try:
        sql, params = queryset.order_by().values("pk").query.get_compiler(connection=connection).as_sql()
    except EmptyResultSet:
        return "-- no row can match"
    return inlined(connection, sql, params)


@dataclass(frozen=True)
class _Words:
    """What one query asks for, of one model."""

    query: Query
    model: type[models.Model]

    def members(self) -> str:
        plural, where = str(self.model._meta.verbose_name_plural), self.query.where
        if _is_never(where):
            return f"no {plural}"
        phrase = self.phrase(where)
        if not phrase:
            return f"all {plural}"
        return f"{plural} {'where' if _needs_where(where) else 'whose'} {phrase}"

    def phrase(self, node: Any, *, negated: bool = False) -> str:
        """A condition, or its opposite; "" for none."""
        if isinstance(node, WhereNode):
            return self.joined(node, negated=negated)
        if isinstance(node, NegatedExpression):
            return self.phrase(node.expression, negated=not negated)
        if isinstance(node, Exact) and isinstance(node.rhs, bool) and _is_condition(node.lhs):
            return self.phrase(node.lhs, negated=negated == node.rhs)
        if isinstance(node, Exists):
            return f"{'no matching' if negated else 'matching'} {_plural(node.query)} exist"
        if isinstance(node, Lookup):
            return self.comparison(node, negated=negated)
        return f"a condition in SQL is {'not ' if negated else ''}true"

    def joined(self, node: WhereNode, *, negated: bool) -> str:
        meant = _meant(node)
        negated = negated != meant.negated
        if len(meant.conditions) == 1:
            return self.phrase(meant.conditions[0], negated=negated)
        phrases = []
        for condition in meant.conditions:
            phrase = self.phrase(condition)
            within = _meant(condition)
            phrases.append(f"({phrase})" if len(within.conditions) > 1 and not within.negated else phrase)
        joined = f" {meant.connector} ".join(phrases)
        return f"not ({joined})" if negated else joined

    def comparison(self, lookup: Any, *, negated: bool) -> str:
        left, name = lookup.lhs, self.name(lookup.lhs)
        if isinstance(lookup, IsNull):
            if isinstance(left, Col) and left.target.primary_key and self.path(left.alias):
                return f"{self.path(left.alias)} {'is missing' if lookup.rhs != negated else 'exists'}"
            return f"{name} {'is empty' if lookup.rhs != negated else 'is set'}"
        kind = str(getattr(lookup, "lookup_name", "") or "is as asked")
        field = getattr(left, "output_field", None)
        in_time = isinstance(field, models.DateField | models.TimeField)
        unknown = f"{kind.replace('_', ' ')} {{}}", f"not {kind.replace('_', ' ')} {{}}"
        phrases = (IN_TIME if in_time else {}).get(kind) or PHRASES.get(kind) or unknown
        return f"{name} {phrases[negated].format(self.right(lookup, kind))}"

    def right(self, lookup: Any, kind: str) -> str:
        """What a column is compared with."""
        choices = dict(getattr(getattr(lookup.lhs, "target", None), "flatchoices", None) or ())
        if isinstance(lookup, In) and isinstance(lookup.rhs, Query):
            return f"among {_Words(lookup.rhs, lookup.rhs.model or self.model).members()}"
        if isinstance(lookup, In):
            return _listed([self.value(value, choices) for value in _ordered(lookup.rhs, choices)])
        if kind == "range":
            low, high = (self.value(value, choices) for value in lookup.rhs)
            return f"{low} to {high}"
        return self.value(lookup.rhs, choices)

    def name(self, expression: Any) -> str:
        """What is compared: a column, or what is made of columns."""
        if isinstance(expression, Col):
            path = self.path(expression.alias)
            return f"{path} {expression.target.verbose_name}" if path else str(expression.target.verbose_name)
        if isinstance(expression, KeyTransform):
            return f"{expression.key_name} of {self.name(expression.get_source_expressions()[0])}"
        if isinstance(expression, models.Aggregate):
            return self.aggregate(expression)
        if isinstance(expression, CombinedExpression):
            return f"{self.value(expression.lhs)} {expression.connector} {self.value(expression.rhs)}"
        if isinstance(expression, ExpressionWrapper | Cast):
            return self.value(expression.get_source_expressions()[0])
        if isinstance(expression, Subquery | Query):
            query: Any = expression if isinstance(expression, Query) else expression.query
            return f"value of {_plural(query)}"
        if isinstance(expression, Case):
            return "value by cases"
        if isinstance(expression, Func):
            given = [self.value(part) for part in expression.get_source_expressions() if part is not None]
            known: Any = getattr(expression, "lookup_name", None)  # of a transform
            called = str(known or expression.extra.get("function") or expression.function).lower()
            return f"{called} of {' and '.join(given)}" if given else called
        return type(expression).__name__.lower()

    def aggregate(self, aggregate: Any) -> str:
        kind = AGGREGATES.get(type(aggregate).__name__, type(aggregate).__name__.lower())
        of = aggregate.get_source_expressions()[0]
        if isinstance(of, Col) and of.target.primary_key:
            return f"{kind} of {of.target.model._meta.verbose_name_plural}"
        return f"{kind} of {self.value(of)}"

    def path(self, alias: str | None) -> str:
        """The relations that lead to a joined table, "" for the model's own."""
        join: Any = self.query.alias_map.get(alias) if alias else None
        field: Any = getattr(join, "join_field", None)
        if field is None:
            return ""
        parent = self.path(join.parent_alias)
        forward = getattr(field, "remote_field", None) if getattr(field, "concrete", False) else None
        if forward is not None and getattr(forward, "parent_link", False):
            return parent  # a parent's columns are the child's own
        if forward is None and field.related_model._meta.auto_created:
            return parent  # the table between, which nobody named
        name = field.verbose_name if forward is not None else field.related_model._meta.verbose_name
        return f"{parent} {name}" if parent else str(name)

    def value(self, value: Any, choices: dict[Any, Any] | None = None) -> str:
        if isinstance(value, Value):
            value = value.value
        if isinstance(value, Now):
            return "now"
        if hasattr(value, "resolve_expression"):
            return self.name(value)
        if isinstance(value, models.Model):
            value = value.pk
        try:
            if choices and value in choices:
                return str(choices[value])
        except TypeError:
            pass  # a document is no choice
        return _constant(value)


def _constant(value: Any) -> str:
    """A constant as people write it."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        at = timezone.localtime(value, timezone.get_default_timezone()) if timezone.is_aware(value) else value
        return f"{at:%Y-%m-%d %H:%M:%S %Z}".replace(":00 ", " ").strip()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, dict | list):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, str):
        return f"“{value}”" if value else "blank"
    return value.isoformat() if isinstance(value, date) else str(value)


def _duration(value: timedelta) -> str:
    units = {"day": timedelta(days=1), "hour": timedelta(hours=1), "minute": timedelta(minutes=1)}
    for name, unit in units.items():
        if value and value % unit == timedelta(0):
            number = value // unit
            return f"{number} {name}" if number == 1 else f"{number} {name}s"
    return str(value)


def _ordered(values: Iterable[Any], choices: dict[Any, Any]) -> list[Any]:
    """Values in the order of the choices, else by size, else as given."""
    found = list(values)
    order = list(choices)
    try:
        return sorted(found, key=order.index) if choices else sorted(found)
    except (TypeError, ValueError):
        return found


def _listed(words: list[str]) -> str:
    if len(words) > LISTED:
        words = [*words[: LISTED - 1], f"{len(words) - LISTED + 1} others"]
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)


def _plural(query: Query) -> str:
    """What the rows of a subquery are called."""
    tables = [join.table_name for alias, join in query.alias_map.items() if query.alias_refcount.get(alias)]
    known = {model._meta.db_table: model for model in apps.get_models()}
    # Where Django made the subquery of an exclude(), it begins with another table than its model's.
    model = known.get(tables[0]) if tables else query.model
    return str(model._meta.verbose_name_plural) if model is not None else "rows"


@dataclass(frozen=True)
class _Meant:
    """A node of a WHERE as a reader would write it: no node within a node of one, no guards against NULL."""

    conditions: list[Any]
    connector: str = "and"
    negated: bool = False


def _meant(node: Any) -> _Meant:
    if not isinstance(node, WhereNode):
        return _Meant([node])
    # Django adds guards so that NULL is no member of the opposite.
    conditions = [child for child in node.children if not _is_guard(child, node.children)]
    if len(conditions) == 1:
        within = _meant(conditions[0])
        return replace(within, negated=within.negated != node.negated)
    return _Meant(conditions, node.connector.lower(), node.negated)


def _is_guard(child: Any, siblings: list[Any]) -> bool:
    return (
        isinstance(child, IsNull)
        and child.rhs is False
        and any(
            other is not child and isinstance(other, Lookup) and str(other.lhs) == str(child.lhs)
            for other in siblings
        )
    )


def _is_condition(expression: Any) -> bool:
    return isinstance(expression, Exists | NegatedExpression | WhereNode | Lookup)


def _is_never(node: Any) -> bool:
    """Whether nothing can match, as Django's own ``none()`` and an empty ``in`` say it."""
    if isinstance(node, WhereNode) and not node.negated and node.children:
        check = all if node.connector == "OR" else any
        return check(_is_never(child) for child in node.children)
    return isinstance(node, NothingNode) or (
        isinstance(node, In)
        and not isinstance(node.rhs, Query)
        and hasattr(node.rhs, "__len__")
        and not len(node.rhs)
    )


def _needs_where(node: Any) -> bool:
    """Whether a condition isn't about a column, so that "whose" doesn't fit."""
    if isinstance(node, WhereNode):
        meant = _meant(node)
        return (meant.negated and len(meant.conditions) > 1) or any(map(_needs_where, meant.conditions))
    if isinstance(node, Exact) and isinstance(node.rhs, bool) and _is_condition(node.lhs):
        return True
    return not isinstance(node, Lookup)
