"""A queryset's WHERE, re-read over one row of its own table (``new`` and ``old`` in a trigger) or as a condition.

A row can answer for its own columns only. What needs another table, another row or the clock is *not local*, and
``reason_not_local`` says why in words.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.sqlite3 import _functions as sqlite_functions  # type: ignore[attr-defined]
from django.db.models.expressions import (
    Col,
    Combinable,
    Exists,
    Expression,
    OuterRef,
    RawSQL,
    Subquery,
    Window,
)
from django.db.models.functions import Now, Random
from django.db.models.lookups import Exact, In, IsNull, Lookup
from django.db.models.sql import Query
from django.db.models.sql.where import ExtraWhere, WhereNode
from django.utils import timezone

from stockandflow.exceptions import NotLocal
from stockandflow.membership.literals import inlined

NAMES = re.compile(r'"[^"]*"|`[^`]*`')
"""Quoted names in SQL: a column may be called "now"."""
RESTLESS = re.compile(
    r"\b(?:CURRENT_(?:TIMESTAMP|DATE|TIME)|LOCALTIME(?:STAMP)?|(?:STATEMENT|CLOCK)_TIMESTAMP|UTC_(?:TIMESTAMP|DATE|TIME))\b"
    r"|\b(?:NOW|SYSDATE|CURDATE|CURTIME|RANDOM|RAND|UUID|GEN_RANDOM_UUID)(?=\s*\()|'now'",
    re.IGNORECASE,
)
"""Functions whose value changes while no row does."""


@dataclass(frozen=True)
class RowPredicate:
    """Membership of one row: SQL without parameters, and the columns that decide it."""

    sql: str
    columns: frozenset[str]
    reads_generated: bool = False


def nodes(node: Any) -> Iterator[Any]:
    """Every node of a WHERE tree, right-hand sides included, top down; a subquery's own are not looked into."""
    yield node
    for part in below(node):
        yield from nodes(part)


def below(node: Any) -> list[Any]:
    """The nodes right below one of a WHERE tree."""
    if isinstance(node, WhereNode):
        return list(node.children)
    if isinstance(node, Lookup):
        rhs = node.rhs if isinstance(node.rhs, list | tuple) else [node.rhs]
        return [node.lhs, *(part for part in rhs if isinstance(part, Combinable | Query | Lookup))]
    if hasattr(node, "get_source_expressions"):
        return [part for part in node.get_source_expressions() if part is not None]
    return []


def reason_not_local(queryset: models.QuerySet[Any], *, by_clock: bool = False) -> str | None:
    """Why membership can't be read from the subject's own row, in words; None where it can. No query.

    The answer for the shape of the queryset, on any database; ``row_predicate`` also knows the database's limits.
    ``by_clock`` lets the row and the time now tell together.
    """
    query = queryset.query
    if reason := reason_of_shape(query):
        return reason
    for node in nodes(query.where):
        if isinstance(node, Query | Subquery):
            return "it contains a subquery, so membership changes with another table"
        if (reason := reason_in(node)) and not (by_clock and isinstance(node, Now)):
            return reason
    base = query.get_initial_alias() if not query.alias_map else query.base_table
    others = sorted(
        {
            str(join.table_name)
            for alias, join in query.alias_map.items()
            if alias != base and query.alias_refcount.get(alias)
        }
    )
    if others:
        return f"it depends on rows of another table ({', '.join(others)})"
    return None


def asks_the_time(queryset: models.QuerySet[Any]) -> bool:
    """Whether the passing of time alone can change membership, as far as the queryset shows. No query."""
    return any(
        isinstance(node, Now)
        or (isinstance(node, RawSQL) and RESTLESS.search(node.sql))
        or (isinstance(node, ExtraWhere) and RESTLESS.search(" ".join(node.sqls)))
        for node in _nodes_everywhere(queryset.query)
    )


def _nodes_everywhere(query: Query) -> Iterator[Any]:
    for node in nodes(query.where):
        yield node
        if isinstance(node, Query | Subquery):
            yield from _nodes_everywhere(node if isinstance(node, Query) else node.query)
    for one in query.combined_queries:
        yield from _nodes_everywhere(one)


def reason_of_shape(query: Query, *, exists: bool = False) -> str | None:
    """Why membership depends on rows beside those that a query reads for one subject; None where it doesn't.

    Where rows need but ``exists``, Django asks for the first one only.
    """
    if query.combinator:
        return f"it is a {query.combinator} of querysets; write one filter with Q(…) | Q(…)"
    if query.low_mark if exists else query.is_sliced:
        return "it is sliced, so membership depends on the other rows"
    if query.distinct_fields:
        return "distinct(…) on fields makes membership depend on the other rows"
    if query.group_by is not None:
        return "it groups rows, so membership depends on other rows"
    if query.extra_tables or query.extra:
        return "extra(…) is SQL that can't be re-read over one row"
    return None


def reason_in(node: Any) -> str | None:
    """Why what one node of a WHERE asks can't be told from rows alone; None where it can. Subqueries are let pass."""
    if isinstance(node, Now):
        return "it depends on the time now, and passing time writes no row"
    if isinstance(node, Random):
        return "it is random"
    if isinstance(node, RawSQL | ExtraWhere):
        return "it contains raw SQL, which can't be re-read over one row"
    if isinstance(node, Window) or getattr(node, "contains_aggregate", False) is True:
        return "it aggregates, so membership depends on other rows"
    return None


def deciding_field(queryset: models.QuerySet[Any]) -> models.Field[Any, Any] | None:
    """The field whose equality with constants is all that membership asks for; None for any other. No query.

    Rows that the database takes for one group by this column are members all together, whatever its collation.
    """
    if reason_not_local(queryset) is not None:
        return None
    found: set[models.Field[Any, Any]] = set()
    for node in nodes(queryset.query.where):
        if isinstance(node, Col):
            found.add(node.target)
        elif not isinstance(node, WhereNode | Exact | In | IsNull):
            return None
    if len(found) != 1:
        return None
    field: Any = found.pop()
    kind = field
    while kind.remote_field:
        kind = kind.target_field
    groups = isinstance(kind, models.CharField | models.IntegerField | models.BooleanField)
    return field if groups and not field.unique else None


@cache
def _django_only_functions() -> frozenset[str]:
    """Names of the SQL functions that exist on Django's own SQLite connections only, in lower case."""
    names: set[str] = set()
    plain = sqlite3.connect(":memory:")

    class Recorder:
        execute = staticmethod(
            plain.execute
        )  # asked whether this SQLite was built with mathematical functions

        def create_function(self, name: str, *_: Any, **__: Any) -> None:
            names.add(name.lower())

        create_aggregate = create_function

    sqlite_functions.register(Recorder())
    plain.close()
    return frozenset(names)


def compiled_where(
    queryset: models.QuerySet[Any], row: str, connection: BaseDatabaseWrapper, *, kept: bool = True
) -> tuple[str, tuple[Any, ...], list[Any]]:
    """The WHERE over the row called ``row``: SQL, its parameters, and the fields that it reads. No query.

    Raises NotLocal, with the reason in words, where the row alone can't tell, or where other clients of the database
    couldn't evaluate the condition. SQL that isn't ``kept`` in the database may read the clock, and call what only
    Django's own connections have.
    """
    if reason := reason_not_local(queryset, by_clock=not kept):
        raise NotLocal(reason)
    query = queryset.query.clone()
    base = query.get_initial_alias()
    query.change_aliases({base: row})  # this also copies the lookups, so that they may be touched below
    _settle_order(query)
    for node in nodes(query.where):
        if isinstance(node, Col) and isinstance(node.target, models.DecimalField):
            node.as_sqlite = partial(_numeric, node)  # type: ignore[attr-defined]
    try:
        # Bounds of days and years follow the active time zone; a trigger has but one, the project's.
        with timezone.override(timezone.get_default_timezone()):
            sql, params = query.get_compiler(connection=connection).compile(query.where)
    except FullResultSet:
        return "1 = 1", (), []
    except EmptyResultSet:
        return "1 = 0", (), []
    if kept:
        refuse_restless(connection, sql)
    refuse_nul(params)
    fields = [node.target for node in nodes(query.where) if isinstance(node, Col)]
    return sql or "1 = 1", tuple(params), fields


def _settle_order(query: Query) -> None:
    """Have a query's SQL say the same in every process; its lookups must be its own.

    Django has made a list of what may have been a set, whose order differs between processes; the SQL must not, since
    what it says is how a trigger is told to be the right one.
    """
    for node in nodes(query.where):
        if isinstance(node, In) and isinstance(node.rhs, list | tuple | set | frozenset):
            node.rhs = sorted(node.rhs, key=repr)
        elif isinstance(node, Query):
            _settle_order(node)


def refuse_nul(params: Iterable[Any]) -> None:
    """Raise NotLocal for a text that no trigger's body can hold."""
    for param in params:
        if isinstance(param, str) and "\x00" in param:
            raise NotLocal(f"the value {param!r} contains a NUL character, which SQL text can't carry")


def _numeric(column: Col, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
    # Django compares decimals with text on SQLite, which turns it into a number by the column's affinity; new and old
    # in a trigger have none.
    sql, params = column.as_sql(compiler, connection)
    return f"CAST({sql} AS NUMERIC)", params


def row_predicate(queryset: models.QuerySet[Any], row: str, connection: BaseDatabaseWrapper) -> RowPredicate:
    """Membership of the row called ``row``, for a trigger on that database. Opens the connection.

    Raises NotLocal as ``compiled_where`` does.
    """
    sql, params, fields = compiled_where(queryset, row, connection)
    return RowPredicate(
        sql=inlined(connection, sql, params),
        columns=frozenset(field.column for field in fields),
        reads_generated=any(getattr(field, "generated", False) for field in fields),
    )


def row_condition(queryset: models.QuerySet[Any], row: str, connection: BaseDatabaseWrapper) -> str:
    """Membership of the row called ``row`` as SQL without parameters, for any queryset, on Django's own connection.

    Read from the row and the clock where they tell; else the queryset is asked for the row's key, which costs a look-up
    a row, however many members there are. Where membership depends on an order among all rows, all members are asked
    for. Opens the connection.
    """
    try:
        sql, params, _ = compiled_where(queryset, row, connection, kept=False)
    except NotLocal:
        sql, params = asked_by_key(queryset, row, connection)
    return inlined(connection, sql, params)


def asked_by_key(
    queryset: models.QuerySet[Any], row: str, connection: BaseDatabaseWrapper
) -> tuple[str, tuple[Any, ...]]:
    """Whether a queryset holds the row called ``row``, asked by its key: SQL and its parameters. No query."""
    meta: Any = queryset.model._meta
    key = f"{row}.{connection.ops.quote_name(meta.pk.column)}"
    members = queryset.order_by()
    of_all = bool(queryset.query.distinct_fields) or any(
        isinstance(node, Window) for node in nodes(queryset.query.where)
    )
    if not of_all:
        members = members.filter(pk=RawSQL(key, ()))
    query = members.values("pk").query
    query.where = query.where.relabeled_clone({"": "sf_none"})  # this copies the lookups
    _settle_order(query)
    try:
        with timezone.override(timezone.get_default_timezone()):
            sql, params = query.get_compiler(connection=connection).as_sql()
    except EmptyResultSet:
        return "1 = 0", ()
    return f"{key} IN ({sql})" if of_all else f"EXISTS ({sql})", tuple(params)


def refuse_restless(connection: BaseDatabaseWrapper, sql: str) -> None:
    """Raise NotLocal where SQL for a trigger changes its value by itself, or can't be run by every client."""
    bare = NAMES.sub("", sql)
    if restless := RESTLESS.search(bare):
        raise NotLocal(f"its answer changes by itself, by {restless[0]}, and that writes no row")
    if connection.vendor != "sqlite":
        return
    if re.search(r"\bREGEXP\b", bare):
        raise NotLocal("SQLite has no regular expressions of its own, so other clients' writes would fail")
    called = {name.lower() for name in re.findall(r"\b([A-Za-z_]\w*)\s*\(", bare)}
    if missing := sorted(called & _django_only_functions()):
        raise NotLocal(
            f"SQLite itself has no function {missing[0]}; it is Django's own, so other clients' writes would fail"
        )


class MemberOf(Expression):
    """True for the members of a queryset, as a condition in another query on the same model.

    A local queryset contributes its own WHERE; any other is asked by primary key, which also removes the duplicates
    that joins make.
    """

    conditional = True
    output_field = models.BooleanField()

    def __init__(self, queryset: models.QuerySet[Any]) -> None:
        super().__init__()
        self.local = reason_not_local(queryset) is None
        query = queryset.query.clone()
        query.clear_ordering(force=True)
        if self.local:
            self.alias: str | None = query.get_initial_alias()
            self.condition: Any = query.where
        else:
            self.alias = None
            self.condition = models.Q(pk__in=queryset.order_by().values("pk"))

    def resolve_expression(self, query: Any = None, *args: Any, **kwargs: Any) -> MemberOf:
        clone = self.copy()
        if self.local:
            clone.condition = self.condition.relabeled_clone({self.alias: query.get_initial_alias()})
            clone.alias = query.get_initial_alias()
        else:
            clone.condition = self.condition.resolve_expression(query, *args, **kwargs)
        return clone

    def get_source_expressions(self) -> list[Any]:
        # A WHERE tree isn't an expression to every part of Django, so it is kept out of the generic walks.
        return []

    def relabeled_clone(self, change_map: Any) -> MemberOf:
        clone = self.copy()
        clone.condition = self.condition.relabeled_clone(change_map)
        return clone

    @property
    def contains_aggregate(self) -> bool:
        return False

    def get_group_by_cols(self) -> list[Any]:
        return [self]

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        try:
            sql, params = compiler.compile(self.condition)
        except FullResultSet:
            return "1 = 1", ()
        except EmptyResultSet:
            return "1 = 0", ()
        return (sql, params) if sql else ("1 = 1", ())


def member_of_each(queryset: models.QuerySet[Any]) -> Any:
    """The condition of ``MemberOf`` for a query of few rows: each is asked by its key, where it can be asked alone.

    What ``MemberOf`` asks of other rows is all members at once, whatever the number of rows in question.
    """
    query = queryset.query
    together = query.distinct_fields or query.group_by not in (None, True) or query.where.contains_over_clause
    if together or reason_not_local(queryset) is None:
        return MemberOf(queryset)
    # By the equality alone, PostgreSQL may choose to look up all members beforehand.
    return Exists(queryset.order_by().filter(pk=OuterRef("pk"), pk__gte=OuterRef("pk")))
