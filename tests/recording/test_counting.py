"""Counting for records: what a stock has called before and after."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from stockandflow import recording
from stockandflow.declarations import Stock
from stockandflow.exceptions import DeclarationError
from stockandflow.models import StockRecord
from stockandflow.registry import Registry
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(transaction=True)


def stock(slug: str = "items", **hooks: Any) -> Stock:
    return Stock(slug, "Items", Item.objects.filter(number=1), **hooks)


def tidy(_: Stock) -> None:
    Item.objects.filter(text="old").update(number=2)


def test_before_it_is_counted_a_stock_can_be_tidied_and_after_its_record_is_told() -> None:
    told: list[tuple[Stock, StockRecord, bool]] = []

    def tell(which: Stock, record: StockRecord) -> None:
        told.append((which, record, StockRecord.objects.filter(pk=record.pk).exists()))

    for text in ("old", "new"):
        Item.objects.create(text=text, number=1)
    items, others = stock(before_recording=[tidy], after_recording=[tell]), stock("others")
    recording.store(recording.count([items, others]))
    record = StockRecord.objects.get(stock="items")
    assert record.count == 1
    assert told == [(items, record, True)]

    Item.objects.create(text="old", number=1)
    again = items.save_count()
    assert (again.count, told[1:]) == (1, [(items, again, True)])


def test_what_is_rolled_back_is_told_to_nobody() -> None:
    told: list[StockRecord] = []
    items = stock(after_recording=[lambda _, record: told.append(record)])
    with transaction.atomic():
        items.save_count()
        assert told == []
        transaction.set_rollback(True)
    assert told == []
    with transaction.atomic():
        kept = items.save_count()
    assert told == [kept]


def test_one_that_raises_stops_neither_the_count_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    def fail(*_: Any) -> None:
        raise RuntimeError("the printer is on fire")

    items = stock(before_recording=[fail, tidy], after_recording=[fail, lambda one, _: told.append(one.slug)])
    Item.objects.create(text="old", number=1)
    made = recording.record(_registry(items))
    assert made.stocks == 1
    assert (StockRecord.objects.get().count, told) == (0, ["items"])
    assert caplog.text.count("RuntimeError: the printer is on fire") == 2


def _registry(*stocks: Stock) -> Registry:
    registry = Registry()
    registry.register(*stocks)
    return registry


@pytest.mark.parametrize("name", ["before_recording", "after_recording"])
@pytest.mark.parametrize("given", [tidy, ["tidy"], None])
def test_what_cant_be_called_is_told(name: str, given: Any) -> None:
    with pytest.raises(
        DeclarationError, match=rf"'items' has {name}=.*; write a list of functions of \(stock"
    ):
        stock(**{name: given})
