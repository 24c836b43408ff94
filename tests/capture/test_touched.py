"""Whichever kind of column decides, an update that touches it moves the row, and any other leaves it where it is."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Q, QuerySet

from stockandflow.declarations import Flow, ModelTracker, Stock
from tests.capture.conftest import Declare
from tests.testapp.models import Item, ItemFlowEvent

pytestmark = pytest.mark.django_db(transaction=True)

CODES = uuid.UUID(int=1), uuid.UUID(int=2)

MOVES: dict[str, tuple[Any, Any, dict[str, Any], dict[str, Any]]] = {
    "text": (Q(text="a"), Q(text="b"), {"text": "a"}, {"text": "b"}),
    "text that begins": (Q(text__startswith="a"), Q(text__startswith="b"), {"text": "aa"}, {"text": "ba"}),
    "a letter's case": (Q(nick__startswith="a"), Q(nick__startswith="A"), {"nick": "ab"}, {"nick": "Ab"}),
    "a space at the end": (Q(nick__endswith="a"), Q(nick__endswith=" "), {"nick": "a"}, {"nick": "a "}),
    "number": (Q(number__lt=5), Q(number__gte=5), {"number": 4}, {"number": 5}),
    "flag": (Q(flag=True), Q(flag=None), {"flag": True}, {"flag": None}),
    "day": (
        Q(day__lt=date(2026, 1, 2)),
        Q(day__gte=date(2026, 1, 2)),
        {"day": date(2026, 1, 1)},
        {"day": date(2026, 1, 2)},
    ),
    "moment": (
        Q(moment__lt=datetime(2026, 1, 1, tzinfo=UTC)),
        Q(moment__gte=datetime(2026, 1, 1, tzinfo=UTC)),
        {"moment": datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
        {"moment": datetime(2026, 1, 1, tzinfo=UTC)},
    ),
    "price": (Q(price__lt=2), Q(price__gte=2), {"price": Decimal("1.99")}, {"price": Decimal("2.00")}),
    "ratio": (Q(ratio__lt=0.5), Q(ratio__gte=0.5), {"ratio": 0.4}, {"ratio": 0.5}),
    "code": (Q(code=CODES[0]), Q(code=CODES[1]), {"code": CODES[0]}, {"code": CODES[1]}),
    "one of two columns": (
        Q(text="a", number=1),
        Q(text="a", number=2),
        {"text": "a", "number": 1},
        {"number": 2},
    ),
}


@pytest.mark.parametrize("kind", MOVES)
def test_an_update_moves_a_row_when_it_touches_what_decides(kind: str, declare: Declare) -> None:
    here, there, before, after = MOVES[kind]
    stocks = [
        Stock(name, name, Item.objects.filter(condition))
        for name, condition in (("here", here), ("there", there))
    ]
    declare(ModelTracker(stocks=stocks, flows=Flow.for_stocks(ItemFlowEvent, stocks), slug="touched"))
    item = Item.objects.create(**before)
    others: QuerySet[Item] = Item.objects.filter(pk=item.pk)
    expected = [("", "here")]

    others.update(data={"touched": "not what decides"})
    others.update(**before)
    assert moves() == expected

    others.update(**after)
    if state(stocks, item) == "there":  # SQLite takes small and large letters for the same
        expected.append(("here", "there"))
    assert moves() == expected

    others.update(**after)
    others.update(text=None, number=None, nick=None, flag=False, day=None, moment=None)
    others.update(price=None, ratio=None, code=None)
    assert moves() == [*expected, (expected[-1][1], "")]


def test_a_value_that_decides_nothing_new_moves_nothing(declare: Declare) -> None:
    stocks = [Stock("low", "Low", Item.objects.filter(number__lt=5))]
    declare(ModelTracker(stocks=stocks, flows=Flow.for_stocks(ItemFlowEvent, stocks), slug="touched"))
    Item.objects.create(number=1)

    Item.objects.update(number=2)

    assert moves() == [("", "low")]


def state(stocks: list[Stock], item: Item) -> str:
    return next((stock.slug for stock in stocks if stock.all().filter(pk=item.pk).exists()), "")


def moves() -> list[tuple[str, str]]:
    return list(ItemFlowEvent.objects.order_by("pk").values_list("source", "sink"))
