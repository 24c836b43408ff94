"""Membership that depends on related rows, followed back to the subjects: which subjects a row of a table concerns.

A queryset reads tables that hang together by equal columns, a tree whose root is the subject's own table. A subject's
membership can change only when a row on the way from the subject changes. The first that changes on that way is
found from the subject's side by rows that didn't change, so asking each changed row, as it was and as it is, finds all
subjects concerned; others may be among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Col, Exists, Subquery
from django.db.models.fields.related import ForeignObject
from django.db.models.fields.reverse_related import ForeignObjectRel
from django.db.models.lookups import Exact, In, IsNull, Lookup
from django.db.models.sql import Query
from django.db.models.sql.constants import INNER, LOUTER
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import AND, XOR, WhereNode

from stockandflow.exceptions import NotLocal
from stockandflow.membership.predicate import (
    asked_by_key,
    below,
    reason_in,
    reason_of_shape,
    refuse_nul,
    refuse_restless,
)


@dataclass(frozen=True)
class Step:
    """One table on the way: the rows of ``table`` whose ``key`` equals ``column`` of the table before."""

    column: str
    table: str
    key: str


@dataclass(frozen=True)
class Reach:
    """One table that membership reads, the way to it from the subject's table, and the columns that matter there.

    ``path`` is () for the subject's own table. A row matters when it comes, when it goes, and when one of ``columns``
    changes, those by which it is joined included.
    """

    model: type[models.Model]
    path: tuple[Step, ...]
    columns: frozenset[str]


def reason_not_followed(queryset: models.QuerySet[Any]) -> str | None:
    """Why the subjects that a related row concerns can't be told, in words; None where they can. No query."""
    try:
        reaches(queryset)
    except NotLocal as error:
        return str(error)
    return None


def reaches(
    queryset: models.QuerySet[Any], connection: BaseDatabaseWrapper | None = None
) -> tuple[Reach, ...]:
    """Every table that membership reads, the subject's own first. No query.

    Raises NotLocal, with the reason in words, where subjects can't be followed; with a connection also where that
    database, or a client of it that isn't Django, couldn't evaluate the condition.
    """
    query = queryset.query.clone()
    followed = _Followed()
    base = query.get_initial_alias()
    if reason := reason_of_shape(query):
        raise NotLocal(reason)
    scope = followed.enter(query, base, None)
    followed.read(query.where, scope)
    if connection is not None:
        _refuse_elsewhere(followed, connection)
        sql, params = asked_by_key(queryset, "sf_row", connection)
        refuse_restless(connection, sql)
        refuse_nul(params)
    return followed.found()


def concerned(reach: Reach, row: str, quote: Callable[[str], str], subject: str = "sf_row") -> str:
    """The condition that a row of ``reach.model`` called ``row`` concerns ``subject``, a row of the subject's table.

    Raises ValueError for the subject's own table, whose rows concern themselves.
    """
    if not reach.path:
        raise ValueError("A row of the subject's own table concerns itself; compare the keys.")
    first, last = reach.path[0], reach.path[-1]
    if len(reach.path) == 1:
        return f"{subject}.{quote(first.column)} = {row}.{quote(first.key)}"
    tables = f"{quote(first.table)} AS sf_1"
    for number, step in enumerate(reach.path[1:-1], 2):
        tables += (
            f" JOIN {quote(step.table)} AS sf_{number} "
            f"ON sf_{number}.{quote(step.key)} = sf_{number - 1}.{quote(step.column)}"
        )
    return (
        f"{subject}.{quote(first.column)} IN (SELECT sf_1.{quote(first.key)} FROM {tables} "
        f"WHERE sf_{len(reach.path) - 1}.{quote(last.column)} = {row}.{quote(last.key)})"
    )


def subjects_of(reach: Reach, rows: str, table: str, key: str, quote: Callable[[str], str]) -> str:
    """A query that gives, as ``sf_key``, the keys of the subjects that many rows of ``reach.model`` concern.

    ``rows`` is a table or a query in parentheses, and called ``sf_changed``; ``table`` and ``key`` are the subject's,
    quoted.
    """
    if not reach.path:
        return f"SELECT sf_changed.{key} AS sf_key FROM {rows} AS sf_changed"
    tables, after = f"{rows} AS sf_changed", "sf_changed"
    for number in range(len(reach.path) - 1, -1, -1):
        step = reach.path[number]
        name, alias = (quote(reach.path[number - 1].table), f"sf_{number}") if number else (table, "sf_row")
        tables += f" JOIN {name} AS {alias} ON {alias}.{quote(step.column)} = {after}.{quote(step.key)}"
        after = alias
    return f"SELECT sf_row.{key} AS sf_key FROM {tables}"


@dataclass
class _Table:
    """One table in the tree; ``before`` is the one that it hangs on, by ``step``."""

    model: type[models.Model]
    before: _Table | None = None
    step: Step | None = None
    columns: set[str] = field(default_factory=set)

    @property
    def path(self) -> tuple[Step, ...]:
        if self.before is None or self.step is None:
            return ()
        return (*self.before.path, self.step)


Scope = Mapping[str, _Table]
"""Alias → table, of a query and those around it."""


class _Followed:
    """The tree of tables, as far as it is read."""

    def __init__(self) -> None:
        self.tables: list[_Table] = []

    def found(self) -> tuple[Reach, ...]:
        """Tables that are reached by one way are one, however often the queryset goes it."""
        columns: dict[tuple[type[models.Model], tuple[Step, ...]], set[str]] = {}
        for table in self.tables:
            columns.setdefault((table.model, table.path), set()).update(table.columns)
        return tuple(Reach(model, path, frozenset(names)) for (model, path), names in columns.items())

    def enter(
        self, query: Query, root: str, tied: tuple[_Table, str, str] | None, around: Scope | None = None
    ) -> Scope:
        """Take in a query's tables from the alias ``root`` on, which is tied to a table around by equal columns."""
        active = {alias: join for alias, join in query.alias_map.items() if query.alias_refcount.get(alias)}
        active.setdefault(root, query.alias_map[root])
        ties: dict[str, list[tuple[str, str, str]]] = {alias: [] for alias in active}
        for alias, join in active.items():
            if isinstance(join, Join):
                here, there = _joined_by(join)
                if join.parent_alias in active:
                    ties[join.parent_alias].append((here, alias, there))
                    ties[alias].append((there, join.parent_alias, here))
        scope = {root: self._hang(active[root].table_name, tied)}
        waiting = [root]
        for alias in waiting:  # grows as it goes
            for here, other, there in ties[alias]:
                if other not in scope:
                    scope[other] = self._hang(active[other].table_name, (scope[alias], here, there))
                    waiting.append(other)
        if lost := sorted(str(active[alias].table_name) for alias in active if alias not in scope):
            raise NotLocal(
                f"it reads a table that nothing ties to the subject by equal columns ({', '.join(lost)})"
            )
        return {**(around or {}), **scope}

    def _hang(self, name: str, tied: tuple[_Table, str, str] | None) -> _Table:
        model = _model_of(name)
        if tied is None:
            table = _Table(model)
        else:
            before, here, there = tied
            table = _Table(model, before, Step(here, name, there), {there})
            before.columns.add(here)
        self.tables.append(table)
        return table

    def read(self, node: Any, scope: Scope, *, must_hold: bool = True) -> None:
        """Note the columns that a condition or an expression reads, subqueries included.

        ``must_hold`` tells a condition for which unknown is as good as false, as it isn't once it is negated.
        """
        if isinstance(node, In) and isinstance(node.rhs, Query):
            self.read(node.lhs, scope)
            self._read_subquery(node.rhs, scope, compared=node.lhs, must_hold=must_hold)
        elif isinstance(node, Subquery):
            self._read_subquery(node.query, scope, exists=isinstance(node, Exists))
        elif isinstance(node, Query):
            self._read_subquery(node, scope)
        else:
            if reason := reason_in(node):
                raise NotLocal(reason)
            if isinstance(node, Col):
                scope[node.alias].columns.add(str(node.target.column))
            plain = isinstance(node, WhereNode) and not node.negated and node.connector != XOR
            for part in below(node):
                self.read(part, scope, must_hold=must_hold and plain)

    def _read_subquery(
        self,
        query: Query,
        around: Scope,
        *,
        compared: Any = None,
        exists: bool = False,
        must_hold: bool = True,
    ) -> None:
        if reason := reason_of_shape(query, exists=exists):
            raise NotLocal(f"in a subquery, {reason}")
        query = query.clone()
        if not must_hold and compared is not None and (column := _maybe_null(query)):
            raise NotLocal(
                f"it asks for what is not in a subquery, whose column {column} may be NULL, and then it holds for no "
                f"row at all; leave NULL out there, e.g. by filter({column}__isnull=False), or use Exists"
            )
        tie = _compared(query, compared) or next(_correlations(query.where, query, around), None)
        if tie is None:
            raise NotLocal(
                "it contains a subquery that no equality ties to the row, so each of its rows may concern every subject"
            )
        outer, here, alias, there = tie
        scope = self.enter(query, alias, (around[outer], here, there), around)
        for part in (query.where, *query.select, *query.annotation_select.values()):
            self.read(part, scope)


def _compared(query: Query, compared: Any) -> tuple[str, str, str, str] | None:
    """How ``column IN (subquery)`` ties the two: (alias, column) around and (alias, column) within; else None."""
    if not isinstance(compared, Col):
        return None
    selected = [*query.select, *query.annotation_select.values()]
    if len(selected) != 1 or not isinstance(selected[0], Col):
        return None
    within = selected[0]
    return compared.alias, str(compared.target.column), within.alias, str(within.target.column)


def _maybe_null(query: Query) -> str:
    """The name of the field that a subquery selects, where the subquery may give NULL for it; else ""."""
    selected = [*query.select, *query.annotation_select.values()]
    if len(selected) != 1 or not isinstance(selected[0], Col):
        return "" if len(selected) != 1 else "selected"
    column = selected[0]
    joins = {alias: join for alias, join in query.alias_map.items() if query.alias_refcount.get(alias)}
    outer = getattr(joins.get(column.alias), "join_type", None) == LOUTER
    if not (column.target.null or outer) or _needs(query.where, column):
        return ""
    joined = any(
        isinstance(join, Join)
        and (join.parent_alias, join.join_type) == (column.alias, INNER)
        and any(here == column.target.column for here, _ in join.join_cols)
        for join in joins.values()
    )
    return "" if joined else str(column.target.name)  # an inner join finds no row for NULL


def _needs(node: Any, column: Col) -> bool:
    """Whether a condition can't hold where the column is NULL."""
    if isinstance(node, WhereNode):
        plain = not node.negated and (node.connector == AND or len(node.children) == 1)
        return plain and any(_needs(child, column) for child in node.children)
    if not isinstance(node, Lookup) or (isinstance(node, IsNull) and node.rhs):
        return False
    read = node.lhs
    return isinstance(read, Col) and (read.alias, read.target) == (column.alias, column.target)


def _correlations(node: Any, query: Query, around: Scope) -> Iterator[tuple[str, str, str, str]]:
    """The equalities, each of which must hold, of a column around with one of the subquery; as ``_compared``."""
    if isinstance(node, WhereNode):
        if not node.negated and (node.connector == "AND" or len(node.children) == 1):
            for child in node.children:
                yield from _correlations(child, query, around)
    elif isinstance(node, Exact) and isinstance(node.lhs, Col) and isinstance(node.rhs, Col):
        for outer, within in ((node.rhs, node.lhs), (node.lhs, node.rhs)):
            if (
                within.alias in query.alias_map
                and outer.alias not in query.alias_map
                and outer.alias in around
            ):
                yield outer.alias, str(outer.target.column), within.alias, str(within.target.column)


def _joined_by(join: Join) -> tuple[str, str]:
    """The column of the table before, and that of the joined table."""
    join_field: Any = join.join_field
    owner = join_field.field if isinstance(join_field, ForeignObjectRel) else join_field
    if join.filtered_relation is not None:
        raise NotLocal("it joins a FilteredRelation, whose condition isn't followed")
    if type(owner).get_extra_restriction is not ForeignObject.get_extra_restriction:
        raise NotLocal(
            f"it reaches {join.table_name} by {type(owner).__name__}, which asks for more than equal keys"
        )
    if len(join.join_cols) != 1:
        raise NotLocal(f"it joins {join.table_name} by several columns")
    (here, there), *_ = join.join_cols
    return str(here), str(there)


def _model_of(table: str) -> type[models.Model]:
    for model in apps.get_models(include_auto_created=True):
        if model._meta.db_table == table and not model._meta.proxy:
            if not model._meta.managed:
                raise NotLocal(f"it reads {table}, which Django doesn't manage and which may be a view")
            return model
    raise NotLocal(f"it reads {table}, which is no model's table")


def _refuse_elsewhere(followed: _Followed, connection: BaseDatabaseWrapper) -> None:
    for table in followed.tables:
        if not router.allow_migrate_model(connection.alias, table.model):
            raise NotLocal(
                f"it reads {table.model._meta.db_table}, which isn't in the database {connection.alias!r}"
            )
