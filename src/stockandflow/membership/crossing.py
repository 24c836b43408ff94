"""When a row crossed a line that the clock moves: ``expires_at <= now`` comes true at ``expires_at``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import ExpressionWrapper, F
from django.db.models.expressions import Col, CombinedExpression, Value
from django.db.models.functions import Now
from django.db.models.lookups import GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual
from django.db.models.sql import Query

from stockandflow.membership.literals import inlined
from stockandflow.membership.predicate import nodes

COMPARISONS = (GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual)


def crossings_sql(queryset: models.QuerySet[Any], row: str, connection: BaseDatabaseWrapper) -> list[str]:
    """SQL for the instants at which the clock may move the row called ``row`` into the queryset, or out of it.

    One for each comparison of a datetime column of the row's own ± constant durations with ``Now()`` ± constant
    durations, for Django's own connections; a comparison of another form gives none. Opens the connection.
    """
    own = queryset.query.clone().get_initial_alias()
    found: dict[tuple[str, timedelta], None] = {}
    for node in nodes(queryset.query.where):
        if isinstance(node, COMPARISONS):
            sides = _sum(node.lhs), _sum(node.rhs)
            for (column, offset), (clock, other) in (sides, sides[::-1]):
                if clock == "now" and isinstance(column, Col) and column.alias == own:
                    found[column.target.name, offset - other] = None
    return [_compiled(queryset.model, name, offset, row, connection) for name, offset in found]


def _sum(side: Any) -> tuple[Any, timedelta]:
    """A side of a comparison as (datetime column or "now", what is added to it); (None, …) for anything else."""
    if isinstance(side, ExpressionWrapper):
        return _sum(side.expression)
    if isinstance(side, Now):
        return "now", timedelta()
    if isinstance(side, Col) and isinstance(side.target, models.DateTimeField):
        return side, timedelta()
    if isinstance(side, CombinedExpression) and side.connector in ("+", "-"):
        left, right = _constant(side.lhs), _constant(side.rhs)
        if right is not None:
            term, offset = _sum(side.lhs)
            return term, offset + right if side.connector == "+" else offset - right
        if left is not None and side.connector == "+":
            term, offset = _sum(side.rhs)
            return term, offset + left
    return None, timedelta()


def _constant(part: Any) -> timedelta | None:
    return part.value if isinstance(part, Value) and isinstance(part.value, timedelta) else None


def _compiled(
    model: type[models.Model], name: str, offset: timedelta, row: str, connection: BaseDatabaseWrapper
) -> str:
    query = Query(model)
    # The column itself where nothing is added: on SQLite the sum is a function of Django's, which is slow.
    value: Any = F(name) + Value(offset) if offset else F(name)
    resolved = value.resolve_expression(query).relabeled_clone({query.get_initial_alias(): row})
    sql, params = query.get_compiler(connection=connection).compile(resolved)
    return inlined(connection, sql, params)
