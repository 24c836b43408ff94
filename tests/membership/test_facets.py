"""A facet's lookup on a model: what it reads, and one key for a value wherever the value comes from."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import FieldError
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from stockandflow.exceptions import NotLocal
from stockandflow.membership.facets import (
    KEY_LENGTH,
    NONE,
    OTHER,
    FacetColumn,
    facet_key,
    facet_text_sql,
    facets_json_sql,
)
from tests.membership.strategies import rows
from tests.testapp.models import BigItem, Item, Label, Owner

pytestmark = pytest.mark.django_db

UTC_PLUS_2 = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("lookup", "value_lookup", "condition", "multi_valued", "joins"),
    [
        ("text", "text", "", False, False),
        ("text__exact", "text", "", False, False),
        ("pk", "pk", "", False, False),
        ("number__gte", "number", "gte", False, False),
        ("text__isnull", "text", "isnull", False, False),
        ("moment__year", "moment__year", "", False, False),
        ("moment__year__gte", "moment__year", "gte", False, False),
        ("moment__date", "moment__date", "", False, False),
        ("data__plan", "data__plan", "", False, False),
        ("data__plan__name", "data__plan__name", "", False, False),
        ("owner", "owner", "", False, False),
        ("owner_id", "owner_id", "", False, False),
        ("owner__name", "owner__name", "", False, True),
        ("owner__name__in", "owner__name", "in", False, True),
        ("label__code", "label__code", "", False, True),
        ("parts", "parts", "", True, True),
        ("parts__kind", "parts__kind", "", True, True),
        ("parts__weight__gte", "parts__weight", "gte", True, True),
        ("owner__items__text", "owner__items__text", "", True, True),
    ],
)
def test_a_lookup_is_a_column_with_transforms_and_perhaps_a_question(
    lookup: str, value_lookup: str, condition: str, multi_valued: bool, joins: bool
) -> None:
    column = FacetColumn.resolve(Item, lookup)
    assert (column.value_lookup, column.condition) == (value_lookup, condition)
    assert (column.multi_valued, column.joins) == (multi_valued, joins)
    assert column.capturable == (not condition and not multi_valued)


@pytest.mark.parametrize(
    "lookup", ["", "colour", "text__colour", "owner__colour", "text__exact__gte", "owner__name__x__y"]
)
def test_a_lookup_that_does_not_resolve_is_refused(lookup: str) -> None:
    with pytest.raises(FieldError):
        FacetColumn.resolve(Item, lookup)


def test_the_column_of_a_child_may_be_its_parents() -> None:
    assert FacetColumn.resolve(BigItem, "text").joins
    assert not FacetColumn.resolve(BigItem, "weight").joins


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (None, NONE),
        ("", ""),
        ("gold", "gold"),
        (3, "3"),
        (True, "True"),
        (date(2024, 1, 2), "2024-01-02"),
        ("(none)", "'(none)'"),
        ("(other)", "'(other)'"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
    ],
)
def test_the_key_of_a_value(value: Any, key: str) -> None:
    assert facet_key(value) == key


@given(st.text(max_size=3 * KEY_LENGTH))
def test_a_key_fits_and_is_the_key_of_itself(text: str) -> None:
    key = facet_key(text)
    assert len(key) <= KEY_LENGTH
    assert key not in (NONE, OTHER)
    assert facet_key(key) == key


@pytest.mark.parametrize(
    ("lookup", "spellings"),
    [
        ("number", [3, "3"]),
        ("size", [Item.Size.SMALL, 1, "1"]),
        ("flag", [True, 1, "True", "1"]),
        ("price", [Decimal("1.5"), Decimal("1.50"), 1.5, "1.5", "1.50"]),
        ("price", [Decimal("-0.00"), 0, "0"]),
        ("ratio", [1, 1.0, "1", "1.0"]),
        ("ratio", [0, -0.0]),
        ("day", [date(2024, 1, 2), "2024-01-02"]),
        (
            "moment",
            [
                datetime(2024, 1, 2, 3, tzinfo=UTC),
                datetime(2024, 1, 2, 5, tzinfo=UTC_PLUS_2),
                "2024-01-02 03:00:00",
                "2024-01-02T05:00:00+02:00",
                "2024-01-02 05:00:00+02",
            ],
        ),
        ("code", [UUID(int=5), UUID(int=5).hex, str(UUID(int=5))]),
        ("moment__year", [2024, "2024"]),
        ("data__plan", [True, "true"]),
        ("data__plan", [1, "1"]),
        ("data__plan", ["gold"]),
    ],
)
def test_a_column_gives_all_spellings_of_a_value_one_key(lookup: str, spellings: list[Any]) -> None:
    assert len({FacetColumn.resolve(Item, lookup).key(value) for value in spellings}) == 1


def test_an_object_stands_for_its_key() -> None:
    owner = Owner(pk=7)
    assert FacetColumn.resolve(Item, "owner").key(owner) == FacetColumn.resolve(Item, "owner").key(7) == "7"


LOOKUPS = [
    "text",
    "number",
    "flag",
    "day",
    "moment",
    "price",
    "ratio",
    "code",
    "nick",
    "owner",
    "pk",
    "data__plan",
]
RELATED = ["owner__name", "owner__active", "label__code"]
if connection.vendor != "sqlite":
    LOOKUPS += ["moment__year", "moment__date", "day__month"]


@given(st.lists(rows, max_size=5), st.sampled_from([*LOOKUPS, *RELATED]))
def test_the_text_of_a_trigger_has_the_key_that_the_orm_reads(
    given: list[dict[str, Any]], lookup: str
) -> None:
    Item.objects.all().delete()
    Owner.objects.all().delete()
    items = []
    for row in given:
        owner = Owner.objects.create(name=row["text"], active=bool(row["flag"]))
        items.append(Item.objects.create(**row, owner=owner if row["flag"] else None))
    Label.objects.bulk_create(Label(item=item, code=item.nick) for item in items if item.nick is not None)
    column = FacetColumn.resolve(Item, lookup)
    read = {pk: column.key(value) for pk, value in Item.objects.values_list("pk", column.value_lookup)}
    selected = {pk: column.key(value) for pk, value in Item.objects.values_list("pk", column.expression())}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, {facet_text_sql(column, 'new', connection)} FROM testapp_item AS new")
        written = {pk: column.key(text) for pk, text in cursor.fetchall()}
    assert written == read == selected


def test_the_values_of_a_row_are_one_json_object() -> None:
    nasty = 'it\'s "50%" \\'
    Item.objects.create(text=nasty, number=None, flag=True)
    columns = {slug: FacetColumn.resolve(Item, slug) for slug in ("text", "number", "flag")}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {facets_json_sql(columns, 'new', connection)} FROM testapp_item AS new")
        (found,) = cursor.fetchone()
    assert json.loads(found) == {"text": nasty, "number": None, "flag": "True"}
    assert facets_json_sql({}, "new", connection) == "'{}'"


@pytest.mark.parametrize("lookup", ["parts__kind", "number__gte"])
def test_an_event_keeps_no_value_that_is_not_single(lookup: str) -> None:
    with pytest.raises(NotLocal, match="doesn't give one value"):
        facet_text_sql(FacetColumn.resolve(Item, lookup), "new", connection)


@pytest.mark.skipif(
    connection.vendor != "sqlite", reason="the functions that Django adds are SQLite's trouble"
)
@pytest.mark.parametrize("lookup", ["moment__year", "day__month", "moment__date"])
def test_a_value_that_only_django_can_compute_is_refused_on_sqlite(lookup: str) -> None:
    with pytest.raises(NotLocal, match="Django's own"):
        facet_text_sql(FacetColumn.resolve(Item, lookup), "new", connection)
