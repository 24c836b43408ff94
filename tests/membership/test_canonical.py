"""A definition has one text, in every process, on every database and in every version of Django."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from hypothesis import given

from stockandflow.membership.canonical import canonical_sql, instants_to_the_microsecond
from tests.membership.strategies import Drawn, drawn
from tests.testapp.models import Item, Part

items = Item.objects
at = datetime(2024, 7, 2, 3, 4, tzinfo=UTC)
ITEMS = "SELECT testapp_item.id FROM testapp_item WHERE "


@pytest.mark.parametrize(
    ("queryset", "text"),
    [
        (items.filter(text="it's"), "testapp_item.text = 'it''s'"),
        (items.filter(text__in={"b", "a", "c"}), "testapp_item.text IN ('a', 'b', 'c')"),
        (items.filter(text__contains="9%"), r"testapp_item.text LIKE '%9\%%' ESCAPE '\'"),
        (items.filter(number__gt=3).order_by("text"), "testapp_item.order > 3"),
        (items.filter(moment__lt=at), "testapp_item.moment < '2024-07-02 03:04:00'"),
        (
            items.filter(Q(number=None) | Q(number__in=[20, 3, 3])),
            "(testapp_item.order IS NULL OR testapp_item.order IN (20, 3))",
        ),
        (
            items.filter(Exists(Part.objects.filter(item=OuterRef("pk")).values("item"))),
            "EXISTS(SELECT 1 FROM testapp_part U0 WHERE U0.item_id = (testapp_item.id) LIMIT 1)",
        ),
    ],
)
def test_a_definition_is_written_in_one_dialect(queryset: QuerySet[Any], text: str) -> None:
    # The column of ``number`` is called "order".
    assert canonical_sql(queryset) == ITEMS + text


def test_a_filter_that_nothing_passes_has_a_text() -> None:
    assert canonical_sql(items.none()) == "no row can match"


def test_objects_may_be_kept_in_any_database() -> None:
    assert canonical_sql(
        items.using("elsewhere").filter(pk__in=Part.objects.using("elsewhere").values("item"))
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (items.filter(number=1), items.filter(number=2)),
        (items.filter(number=1), items.exclude(number=1)),
        (items.filter(text="1"), items.filter(number=1)),
        (items.filter(text="a"), items.filter(text="A")),
        (items.filter(parts__isnull=True), items.filter(parts__isnull=False)),
        (
            items.annotate(n=Count("parts")).filter(n__gt=1),
            items.annotate(n=Count("parts", distinct=True)).filter(n__gt=1),
        ),
    ],
)
def test_two_definitions_have_two_texts(one: QuerySet[Any], other: QuerySet[Any]) -> None:
    assert canonical_sql(one) != canonical_sql(other)


@given(drawn())
def test_every_definition_has_a_text_that_stays(case: Drawn) -> None:
    assert canonical_sql(case.queryset()) == canonical_sql(case.queryset().order_by("-pk"))


def test_another_process_writes_the_same() -> None:
    """A set gives its members in another order in each process."""
    code = (
        "import django; django.setup()\n"
        "from stockandflow.membership.canonical import canonical_sql\n"
        "from tests.testapp.models import Item\n"
        "print(canonical_sql(Item.objects.filter(text__in=set('stockandflow'))))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in "123"
    }
    assert len(texts) == 1


def test_instants_that_nobody_writes_by_hand_are_found() -> None:
    computed = at + timedelta(microseconds=123_000)
    assert instants_to_the_microsecond(items.filter(moment__lt=computed)) == [computed]
    for written in (
        items.filter(moment__lt=at),
        items.filter(moment__lt=Now() - timedelta(days=3)),
        items.all(),
    ):
        assert instants_to_the_microsecond(written) == []
