"""Counting many stocks in one pass: numbers that are the lengths of lists, and queries that don't grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count, Model, Q, QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from stockandflow.declarations import Facet, Stock
from stockandflow.membership import count_stocks, counting
from stockandflow.membership.facets import NONE, OTHER
from stockandflow.models import StockFacetRecord
from tests.membership.strategies import NASTY, days, numbers, prices, rows, texts
from tests.testapp.models import BigItem, Item, Label, Owner, Part, SpecialItem

pytestmark = pytest.mark.django_db


def several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    listed = st.lists(st.none() | values, max_size=4)
    # A facet refuses two labels for one value.
    labelled = st.lists(st.none() | values, max_size=4, unique_by=str)
    return (
        st.none()
        | listed
        | labelled.map(lambda given: {f"label {n}": value for n, value in enumerate(given)})
    )


SINGLE: dict[str, st.SearchStrategy[Any]] = {
    "text": several(texts),
    "text__exact": several(st.sampled_from(NASTY)),
    "nick": several(st.sampled_from(["a", "A", "á", "a "])),
    "number": several(numbers | numbers.map(str)),
    "flag": several(st.booleans() | st.sampled_from([0, 1])),
    "day": several(days),
    "price": several(prices | st.sampled_from([10, "1.5"])),
    "ratio": several(st.sampled_from([0, 0.1, "0.1"])),
    "moment__year": several(st.sampled_from([2023, "2024", 2025])),
    "day__month": several(st.sampled_from([1, 12])),
    "data__plan": several(st.sampled_from(NASTY) | numbers | st.booleans()),
    "owner": st.none(),
    "owner__name": several(texts),
    "owner__active": several(st.booleans()),
    "label__code": several(st.sampled_from(NASTY)),
}
MANY: dict[str, st.SearchStrategy[Any]] = {
    "parts__kind": several(st.sampled_from(NASTY[:6])),
    "parts__weight": several(numbers),
    "owner__items__number": several(numbers),
}
ASKED: dict[str, st.SearchStrategy[Any]] = {
    "number__gte": st.lists(numbers, max_size=3),
    "text__isnull": st.just([True, False]),
    "number__range": st.just({"few": (0, 1), "many": (1, 3)}),
    "text__in": st.just([("a", "A"), ("",)]),
    "parts__weight__gt": st.lists(numbers, max_size=3),
}
QUERYSETS: dict[str, Callable[[], QuerySet[Any]]] = {
    "all": Item.objects.all,
    "none": Item.objects.none,
    "number": lambda: Item.objects.filter(number__gte=0),
    "one": lambda: Item.objects.filter(number=1),
    "a few": lambda: Item.objects.filter(number__in=[0, 2]),
    "text": lambda: Item.objects.filter(text="a"),
    "texts": lambda: Item.objects.filter(Q(text__in=["A", "a "]) | Q(text=None)),
    "no flag": lambda: Item.objects.exclude(flag=True),
    "active owner": lambda: Item.objects.filter(owner__active=True),
    "heavy parts": lambda: Item.objects.filter(parts__weight__gte=0),
    "light parts only": lambda: Item.objects.exclude(parts__weight__gte=0),
    "many parts": lambda: Item.objects.annotate(n=Count("parts")).filter(n__gte=2),
    "related order": lambda: Item.objects.filter(number__lt=2).order_by("owner__name"),
    "distinct": lambda: Item.objects.filter(parts__kind="a").distinct(),
}
lookups = {**SINGLE, **MANY, **ASKED}
facets = st.sampled_from(sorted(lookups)).flatmap(lambda lookup: st.tuples(st.just(lookup), lookups[lookup]))


def populated(given: list[dict[str, Any]]) -> None:
    for model in (Item, Owner):
        model._default_manager.all().delete()
    for position, row in enumerate(given):
        owner = (
            Owner.objects.create(name=row["text"], active=bool(row["flag"]))
            if row["flag"] is not None
            else None
        )
        item = Item.objects.create(**row, owner=owner)
        if row["nick"] is not None:
            Label.objects.create(item=item, code=row["nick"])
        for number in range(position % 4):
            Part.objects.create(
                item=item, kind=(*NASTY[:6], None)[number], weight=(row["number"] or 0) + number % 2
            )


@given(
    st.lists(rows, max_size=6),
    st.lists(st.sampled_from(sorted(QUERYSETS)), min_size=1, max_size=4, unique=True),
    st.lists(facets, max_size=4, unique_by=lambda facet: facet[0]),
)
def test_every_number_is_the_length_of_its_list(
    given: list[dict[str, Any]], kinds: list[str], chosen: list[tuple[str, Any]]
) -> None:
    populated(given)
    made = [Facet(lookup.replace("__", "-"), lookup, lookup, values) for lookup, values in chosen]
    stocks = [Stock(kind.replace(" ", "-"), kind, QUERYSETS[kind](), made) for kind in kinds]
    counts = count_stocks([stock.count_request() for stock in stocks])

    assert list(counts) == [stock.slug for stock in stocks]
    for stock in stocks:
        counted = counts[stock.slug]
        members = list(stock.all())
        assert counted.total == stock.count() == len(members) == len(set(members))
        assert set(counted.facets) == {facet.slug for facet in made}
        for facet in made:
            numbers_of = counted.facets[facet.slug]
            column = stock.get_facet(facet.slug).column(Item)
            assert (facet.slug in counted.multi_valued) == (not column.capturable)
            if column.capturable:
                assert sum(numbers_of.values()) == counted.total
            for key, number in numbers_of.items():
                found = list(stock.members_with({facet.slug: key}))
                assert len(found) == len(set(found)) == number, (facet, key)
                assert set(found) <= set(members)
            for _, value in facet.choices() or []:
                if value not in (None, NONE, OTHER):  # these texts are words of ours
                    assert len(stock.faceted_qs(facet.slug, value)) == numbers_of[column.key(value)]
    record = stocks[0].save_count()
    assert record.count == counts[stocks[0].slug].total
    stored = StockFacetRecord.objects.filter(stock_record=record).values_list("facet", "value", "count")
    assert {(facet, key): number for facet, key, number in stored} == {
        (facet, key): number
        for facet, keys in counts[stocks[0].slug].facets.items()
        for key, number in keys.items()
    }


def test_records_say_which_values_do_not_sum() -> None:
    item = Item.objects.create(text="a", number=1)
    for kind in ("a", "b"):
        Part.objects.create(item=item, kind=kind)
    facets: list[Any] = [
        Facet("text", "", "text"),
        Facet("kind", "", "parts__kind"),
        Facet("above", "", "number__gte", [0, 1]),
        (Facet("owner", "", "name"), "owner"),
    ]
    record = Stock("all", "", Item.objects.all(), facets).save_count()
    stored = StockFacetRecord.objects.filter(stock_record=record)
    assert dict(stored.values_list("facet", "multi_valued")) == {
        "text": False,
        "kind": True,
        "above": True,
        "owner": False,
    }


def queries(requests: list[counting.CountRequest]) -> int:
    with CaptureQueriesContext(connection) as captured:
        count_stocks(requests)
    return len(captured)


def requests_for(number_of_stocks: int, *facets: Any) -> list[counting.CountRequest]:
    return [
        Stock(f"n{number}", "", Item.objects.filter(number=number), facets).count_request()
        for number in range(number_of_stocks)
    ]


def test_one_query_whatever_the_number_of_stocks_facets_and_values() -> None:
    Item.objects.bulk_create([Item(number=n % 7, text=str(n), size=n % 3) for n in range(50)])
    single = [
        Facet("text", "", "text", [str(n) for n in range(50)]),
        Facet("size", "", "size"),
        (Facet("name", "", "name", {"Ann": "Ann"}), "owner"),
    ]
    assert queries(requests_for(1)) == 1
    assert queries(requests_for(60)) == 1
    assert queries(requests_for(1, *single)) == 1
    assert queries(requests_for(60, *single)) == 1


def test_a_query_more_for_each_facet_that_needs_its_own() -> None:
    many = Facet("kind", "", "parts__kind", ["a", "b"])
    asked = Facet("above", "", "number__gte", [0, 1, 2])
    live = Facet("owner", "", "owner__name", Owner.objects.values_list("name", flat=True))
    for stocks in (1, 20):
        assert queries(requests_for(stocks, many)) == 2
        assert queries(requests_for(stocks, asked)) == 2
        assert queries(requests_for(stocks, live)) == 2
        assert queries(requests_for(stocks, many, asked, live)) == 4


def test_a_query_for_each_model_and_for_each_sixty_stocks() -> None:
    owners = Stock("owners", "", Owner.objects.all()).count_request()
    assert queries([*requests_for(60), owners]) == 2
    assert queries(requests_for(61)) == 2
    assert queries([]) == 0


def test_over_sixty_stocks_are_counted_in_several_passes() -> None:
    Item.objects.bulk_create([Item(number=number) for number in range(130) for _ in range(number % 4)])
    counts = count_stocks(requests_for(130, Facet("number", "", "number")))
    assert [counts[f"n{number}"].total for number in range(130)] == [number % 4 for number in range(130)]
    assert counts["n59"].facets["number"] == {"59": 3}
    assert counts["n127"].facets["number"] == {"127": 3}


def test_stocks_may_overlap() -> None:
    Item.objects.bulk_create([Item(number=number, flag=number > 2) for number in range(5)])
    queries_of = {
        "all": Item.objects.all(),
        "big": Item.objects.filter(number__gte=2),
        "flagged": Item.objects.filter(flag=True),
        "odd": Item.objects.filter(Q(number=1) | Q(number=3)),
    }
    flag = Facet("flag", "", "flag", [True, False])
    counts = count_stocks(
        [Stock(slug, "", queryset, [flag]).count_request() for slug, queryset in queries_of.items()]
    )
    assert {slug: (counted.total, dict(counted.facets["flag"])) for slug, counted in counts.items()} == {
        "all": (5, {"True": 2, "False": 3}),
        "big": (3, {"True": 2, "False": 1}),
        "flagged": (2, {"True": 2, "False": 0}),
        "odd": (2, {"True": 1, "False": 1}),
    }


def test_above_so_many_combinations_facets_are_counted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Item.objects.bulk_create([Item(number=n % 10, size=n % 7, text=str(n % 3)) for n in range(100)])
    facets = [Facet(name, "", name) for name in ("number", "size", "text")]
    requests = [Stock("all", "", Item.objects.all(), facets).count_request()]
    together = count_stocks(requests)
    assert queries(requests) == 1
    monkeypatch.setattr(counting, "MAX_CELLS", 20)
    assert count_stocks(requests) == together
    assert queries(requests) == 4
    # One facet with many values is what was asked for.
    alone = [Stock("all", "", Item.objects.all(), facets[:1]).count_request()]
    monkeypatch.setattr(counting, "MAX_CELLS", 5)
    assert queries(alone) == 1
    assert count_stocks(alone)["all"].facets["number"] == together["all"].facets["number"]


def test_values_come_in_declared_order_then_other_then_none() -> None:
    for text in ("b", "b", "c", "z", "y", None):
        Item.objects.create(text=text)
    declared = Facet("declared", "", "text", ["c", "a", "b"])
    open_ = Facet("open", "", "text")
    counts = count_stocks([Stock("all", "", Item.objects.all(), [declared, open_]).count_request()])["all"]
    assert list(counts.facets["declared"].items()) == [
        ("c", 1),
        ("a", 0),
        ("b", 2),
        ("(other)", 2),
        ("(none)", 1),
    ]
    assert list(counts.facets["open"].items()) == [("b", 2), ("c", 1), ("y", 1), ("z", 1), ("(none)", 1)]


def test_none_may_be_declared_and_is_told_even_when_it_is_zero() -> None:
    Item.objects.create(text="a")
    facet = Facet("text", "", "text", [None, "a"])
    counts = count_stocks([Stock("all", "", Item.objects.all(), [facet]).count_request()])["all"]
    assert list(counts.facets["text"].items()) == [("a", 1), ("(none)", 0)]


def test_stocks_of_one_model_may_have_facets_that_share_a_slug() -> None:
    Item.objects.create(text="a", nick="n")
    one = Stock("one", "", Item.objects.all(), [Facet("what", "", "text", ["a", "b"])])
    two = Stock("two", "", Item.objects.all(), [Facet("what", "", "text", ["z"])])
    three = Stock("three", "", Item.objects.all(), [Facet("what", "", "nick")])
    four = Stock("four", "", Item.objects.all(), [Facet("what", "", "number__gte", [1])])
    five = Stock("five", "", Item.objects.all(), [Facet("what", "", "number__gte", [2])])
    counts = count_stocks([stock.count_request() for stock in (one, two, three, four, five)])
    assert {slug: dict(counted.facets["what"]) for slug, counted in counts.items()} == {
        "one": {"a": 1, "b": 0},
        "two": {"z": 0, "(other)": 1},
        "three": {"n": 1},
        "four": {"1": 0},
        "five": {"2": 0},
    }


def test_an_object_with_two_undeclared_values_is_once_among_the_others() -> None:
    item = Item.objects.create()
    for kind in ("a", "x", "y", None):
        Part.objects.create(item=item, kind=kind)
    facet = Facet("kind", "", "parts__kind", ["a", "b"])
    stock = Stock("all", "", Item.objects.all(), [facet])
    counted = count_stocks([stock.count_request()])["all"]
    assert dict(counted.facets["kind"]) == {"a": 1, "b": 0, "(other)": 1, "(none)": 1}
    assert counted.multi_valued == {"kind"}


@pytest.mark.parametrize("model", [Item, BigItem, SpecialItem])
def test_children_and_proxies_are_counted_as_themselves(model: type[Model]) -> None:
    BigItem.objects.create(number=1, weight=3, text="big")
    Item.objects.create(number=1, text="small")
    queryset = model._default_manager.filter(number=1)
    counted = count_stocks([Stock("all", "", queryset, [Facet("text", "", "text")]).count_request()])["all"]
    assert counted.total == queryset.count() == (1 if model is BigItem else 2)
    assert counted.facets["text"] == ({"big": 1} if model is BigItem else {"big": 1, "small": 1})


@pytest.mark.skipif(connection.vendor == "mysql", reason="CONVERT_TZ wants MariaDB's tables of time zones")
def test_days_are_those_of_the_project_whatever_time_zone_is_active() -> None:
    Item.objects.create(moment="2024-06-30T22:30:00Z")  # 23:30 in London, 07:30 of the next day in Tokyo
    facet = Facet("month", "", "moment__month")
    stock = Stock("all", "", Item.objects.all(), [facet])
    with timezone.override("Asia/Tokyo"):
        assert count_stocks([stock.count_request()])["all"].facets["month"] == {"6": 1}


@pytest.mark.parametrize("length", [199, 200, 201, 260])
def test_long_texts_that_begin_alike_are_one_value(length: int) -> None:
    begins = "é" * 199
    for text in (begins, begins + "a", begins + "bb", begins + "bc", "other"):
        Item.objects.create(text=text)
    for values in (None, [begins + "b" * (length - 199), "other"]):
        stock = Stock("all", "", Item.objects.all(), [Facet("text", "", "text", values)])
        counted = count_stocks([stock.count_request()])["all"].facets["text"]
        assert sum(counted.values()) == 5
        assert [len(stock.members_with({"text": key})) for key in counted] == list(counted.values())
        if values is None:
            assert counted == {begins: 1, begins + "a": 1, begins + "…": 2, "other": 1}
