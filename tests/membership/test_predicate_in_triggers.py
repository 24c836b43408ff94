"""Membership inside real triggers, where ``new`` and ``old`` are no tables: SQLite's, for one, have no affinity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.models import Q, QuerySet
from hypothesis import example, given, settings

from stockandflow.membership import row_predicate
from tests.membership.strategies import Drawn, drawn
from tests.testapp.models import Item

# MariaDB commits when a trigger is made, so a transaction around the test couldn't be rolled back.
pytestmark = pytest.mark.django_db(transaction=True)

LOG = "predicate_log"


def probe(event: str, row: str, predicate: str) -> list[str]:
    """The statements that make a trigger which logs the rows for which the predicate is true."""
    head, table = f"CREATE TRIGGER probe_{row} AFTER {event} ON", Item._meta.db_table
    insert = f"INSERT INTO {LOG} VALUES ('{row}', {row}.id)"
    if connection.vendor == "sqlite":
        return [f"{head} {table} WHEN {predicate} BEGIN {insert}; END"]
    if connection.vendor == "mysql":
        return [f"{head} {table} FOR EACH ROW BEGIN IF {predicate} THEN {insert}; END IF; END"]
    body = f"BEGIN IF ({predicate}) THEN {insert}; END IF; RETURN NULL; END"
    return [
        f"CREATE FUNCTION probe_{row}() RETURNS trigger LANGUAGE plpgsql AS $probe_body${body}$probe_body$",
        f"{head} {table} FOR EACH ROW EXECUTE FUNCTION probe_{row}()",
    ]


@contextmanager
def probed(queryset: QuerySet[Item]) -> Iterator[None]:
    """Have inserted members logged as new, deleted ones as old."""
    statements = [f"CREATE TABLE {LOG} (what varchar(3), id bigint)"]
    for event, row in (("INSERT", "new"), ("DELETE", "old")):
        statements += probe(event, row, row_predicate(queryset, row, connection).sql)
    postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        try:
            for statement in statements:
                cursor.execute(statement)
            yield
        finally:
            for row in ("new", "old"):
                cursor.execute(
                    f"DROP TRIGGER IF EXISTS probe_{row}{' ON testapp_item' if postgresql else ''}"
                )
                if postgresql:
                    cursor.execute(f"DROP FUNCTION IF EXISTS probe_{row}()")
            cursor.execute(f"DROP TABLE IF EXISTS {LOG}")


def logged(row: str) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {LOG} WHERE what = %s ORDER BY id", [row])
        return [pk for (pk,) in cursor.fetchall()]


ROW: dict[str, Any] = {"text": None, "number": None, "size": None, "flag": None, "day": None, "moment": None}
DEAR = {**ROW, "price": Decimal("1.50")}


@example(Drawn([DEAR], "price above", Q(price__gt=Decimal(1))))
@example(Drawn([DEAR], "price is", Q(price=Decimal("1.5"))))
@example(Drawn([DEAR], "price in", Q(price__in=[Decimal("1.5"), Decimal(2)])))
@settings(max_examples=100)
@given(drawn())
def test_a_trigger_sees_the_members_come_and_go(sample: Drawn) -> None:
    Item.objects.all().delete()
    with probed(sample.queryset()):
        Item.objects.bulk_create([Item(**row) for row in sample.rows])
        members = sorted(sample.queryset().values_list("pk", flat=True))
        assert logged("new") == members
        Item.objects.all().delete()
        assert logged("old") == members
