"""Parameters written into SQL as literals, by the database backend's own quoting; for trigger bodies only."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper


def literal(connection: BaseDatabaseWrapper, value: Any) -> str:
    """One adapted query parameter as an SQL literal. Opens the connection; on SQLite makes one query."""
    connection.ensure_connection()
    raw: Any = connection.connection
    if connection.vendor == "postgresql":
        from_psycopg: Any = connection.Database.sql  # type: ignore[attr-defined]
        return str(from_psycopg.Literal(value).as_string(raw))
    if connection.vendor == "sqlite":
        if isinstance(value, bool):
            value = int(value)
        with closing(raw.cursor()) as cursor:
            return str(cursor.execute("SELECT quote(?)", (value,)).fetchone()[0])
    quoted = raw.literal(value)
    return quoted.decode() if isinstance(quoted, bytes) else str(quoted)


def text_literal(connection: BaseDatabaseWrapper, value: str) -> str:
    """A text literal that needs no type inference (PostgreSQL reads a bare literal as unknown)."""
    quoted = literal(connection, value)
    return f"{quoted}::text" if connection.vendor == "postgresql" else quoted


def inlined(connection: BaseDatabaseWrapper, sql: str, params: Any) -> str:
    """``sql`` with its ``%s`` filled by literals and its ``%%`` undone."""
    return sql % tuple(literal(connection, param) for param in params)
