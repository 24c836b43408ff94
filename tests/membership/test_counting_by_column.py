"""Counting where one column decides all stocks, as a status does: the same numbers, by a shorter way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import F, Q
from django.test.utils import CaptureQueriesContext

from stockandflow.declarations import Facet, Stock
from stockandflow.membership import StockCount, count_stocks, counting
from stockandflow.membership.predicate import deciding_field
from tests.testapp.models import Item, Owner

pytestmark = pytest.mark.django_db

TEXTS = ["a", "A", "á", "a ", '"', "'", "\\", "[1, 2]", "null", "", "1", "1.0", "\n", "𝄞", None]


@pytest.fixture
def items() -> None:
    owners = [Owner.objects.create(name=f"owner {number}") for number in range(3)]
    Item.objects.bulk_create(
        Item(
            text=text,
            nick=None if text is None else text[:20],
            number=None if number == 4 else number,
            size=number % 3,
            flag=(True, False, None)[number % 3],
            owner=None if number == 0 else owners[number % 3],
        )
        for number in range(5)
        for text in TEXTS
    )


def counted(stocks: list[Stock]) -> dict[str, StockCount]:
    return count_stocks([stock.count_request() for stock in stocks])


def is_the_list(stocks: list[Stock]) -> None:
    """Every number is the length of the list behind it."""
    for slug, count in counted(stocks).items():
        stock = next(stock for stock in stocks if stock.slug == slug)
        assert count.total == len(stock.all())
        for facet, values in count.facets.items():
            assert sum(values.values()) == count.total
            for key, number in values.items():
                assert number == len(stock.members_with({facet: key})), (slug, facet, key)


FACETS = [Facet(name, name, name) for name in ("text", "number", "flag", "owner", "owner__name", "size")]

STOCKS: dict[str, list[Any]] = {
    "a text": [Q(text="a"), Q(text="A"), Q(text__in=["1", "null"]), Q(text=""), Q(text=None)],
    "a text without case": [Q(nick="a"), Q(nick="A"), ~Q(nick="a")],
    "a number": [Q(number=1), Q(number__in=[2, 3]), Q(number__isnull=True)],
    "a number, overlapping": [Q(number=1), Q(number__in=[1, 2]), Q(number__isnull=False), ~Q(number=1)],
    "yes, no and nothing": [Q(flag=True), Q(flag=False), Q(flag=None)],
    "another object": [Q(owner=None), ~Q(owner=None)],
    "two columns": [Q(number=1), Q(size=1)],
    "more than equality": [Q(number__lt=2), Q(number__gte=2)],
}


@pytest.mark.usefixtures("items")
@pytest.mark.parametrize("kind", STOCKS)
@pytest.mark.parametrize("facets", [0, 1, 6])
def test_every_number_is_the_length_of_its_list(kind: str, facets: int) -> None:
    is_the_list(
        [
            Stock(f"stock-{index}", "", Item.objects.filter(condition), FACETS[:facets])
            for index, condition in enumerate(STOCKS[kind])
        ]
    )


@pytest.mark.usefixtures("items")
def test_a_column_with_too_many_values_is_not_grouped_by(monkeypatch: pytest.MonkeyPatch) -> None:
    stocks = [
        Stock(f"text-{index}", "", Item.objects.filter(text=text), FACETS[1:3])
        for index, text in enumerate("aA")
    ]
    before = counted(stocks)
    assert queries(lambda: counted(stocks)) == 1

    monkeypatch.setattr(counting, "MAX_CELLS", 45)  # 15 texts × 5 numbers are more, 3 masks × 5 numbers fewer
    assert counted(stocks) == before
    assert queries(lambda: counted(stocks)) == 2

    monkeypatch.setattr(counting, "MAX_CELLS", 5)
    assert counted(stocks) == before
    assert queries(lambda: counted(stocks)) == 4


@pytest.mark.parametrize(
    ("condition", "column"),
    [
        (Q(text="a"), "text"),
        (Q(text__in=["a", "b"]), "text"),
        (Q(text=None) | Q(text="a"), "text"),
        (~Q(number=1), "number"),
        (Q(flag=True), "flag"),
        (Q(owner=1), "owner"),
        (Q(owner__isnull=True), "owner"),
        (Q(), None),
        (Q(text="a", number=1), None),
        (Q(text__iexact="a"), None),
        (Q(text__startswith="a"), None),
        (Q(number__gt=1), None),
        (Q(number=F("size")), None),
        (Q(day__year=2026), None),
        (Q(owner__name="a"), None),
        (Q(price=1), None),
        (Q(ratio=1.0), None),
        (Q(data={"a": 1}), None),
        (Q(data__a=1), None),
        (Q(number__in=[F("size"), 1]), None),
        (Q(pk=1), None),
    ],
)
def test_one_column_decides_where_nothing_but_equality_with_constants_is_asked(
    condition: Q, column: str | None
) -> None:
    found = deciding_field(Item.objects.filter(condition))

    assert (found.name if found else None) == column


def queries(work: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as captured:
        work()
    return len(captured)
