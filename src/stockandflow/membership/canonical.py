"""A queryset's membership as a text that stays the same as long as its meaning does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import DatabaseError, connections, models
from django.db.utils import ConnectionHandler

DIALECT = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
"""What every filter is written in, so that its text doesn't depend on where the objects are kept."""
LISTED = re.compile(r"IN \(%s(?:, %s)*\)|%s|%%")
ALIAS = re.compile(r" AS \w+(?=,| FROM )")
"""What a selected column is called, which Django's versions differ in and which means nothing."""
INSTANT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6}")


def canonical_sql(queryset: models.QuerySet[Any]) -> str:
    """Which objects a queryset holds, as SQL that tells one definition from another; not for running.

    The same in every process and on every database: written in SQLite's dialect, unless only the database's own can say
    it, without quotes around names, and with the values of IN sorted, since a set gives them in any order. No query.
    """
    sql, params = _compiled(queryset)
    return "".join(_filled(ALIAS.sub("", sql.replace('"', "").replace("`", "")), params))


def instants_to_the_microsecond(queryset: models.QuerySet[Any]) -> list[datetime]:
    """The instants in a queryset's filter that nobody writes by hand: those with a fraction of a second, in order."""
    _, params = _compiled(queryset)
    found = [param for param in params if isinstance(param, str) and INSTANT.fullmatch(param)]
    return [datetime.fromisoformat(param).replace(tzinfo=UTC) for param in found]


def _compiled(queryset: models.QuerySet[Any]) -> tuple[str, tuple[Any, ...]]:
    query = queryset.order_by().values("pk").query
    neutral: Any = ConnectionHandler({"default": DIALECT, queryset.db: DIALECT})
    try:
        try:
            sql, params = query.get_compiler(connection=neutral[queryset.db]).as_sql()
        except EmptyResultSet:
            return "no row can match", ()
        except (
            DatabaseError,
            NotImplementedError,
            AttributeError,
            TypeError,
        ):  # what only the database's own dialect can say
            sql, params = query.get_compiler(connection=connections[queryset.db]).as_sql()
    finally:
        neutral.close_all()
    return str(sql), tuple(params)


def _filled(sql: str, params: Iterable[Any]) -> Iterator[str]:
    """The pieces of the SQL with its parameters in place."""
    values, end = iter(params), 0
    for place in LISTED.finditer(sql):
        yield sql[end : place.start()]
        end = place.end()
        if place[0] == "%%":
            yield "%"
        elif place[0] == "%s":
            yield _literal(next(values))
        else:
            yield f"IN ({', '.join(sorted(_literal(next(values)) for _ in range(place[0].count('%s'))))})"
    yield sql[end:]


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(int(value)) if isinstance(value, bool) else str(value)
    return f"'{str(value).replace(chr(39), chr(39) * 2)}'"
