"""Facets: what they may be given, and what they say of a value that they don't have."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import date
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from stockandflow.declarations import AppliedFacet, Facet, Stock
from stockandflow.exceptions import DeclarationError, InvalidInput, UnknownFacetValue
from tests.testapp.models import Item, Owner, Part


def facet(values: Any = None, lookup: str = "text") -> Facet:
    return Facet(slug="plan", name="Plan", field_lookup=lookup, values=values)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slug": ""}, r"The facet slug '' can't be used: a slug is 1 to 100 letters"),
        ({"slug": "a b"}, r"The facet slug 'a b' can't be used"),
        ({"slug": None}, r"The facet slug None can't be used"),
        ({"field_lookup": ""}, r"'plan' has the field_lookup ''; write the left side of a filter's keyword"),
        ({"field_lookup": None}, r"'plan' has the field_lookup None; write the left side"),
        ({"values": "gold"}, r"'plan' has the values 'gold'; write a list, a dict of label → value, a flat"),
        ({"values": b"gold"}, r"'plan' has the values b'gold'; write a list"),
        ({"values": 3}, r"'plan' has the values 3; write a list"),
        ({"values": Owner.objects}, r"'plan' has the values <.*Manager.*>; write a list"),
        (
            {"values": Owner.objects.all()},
            r"'plan' has a queryset of Owner .*; write Owner.objects.values_list\('<field>', flat=True\)",
        ),
        (
            {"values": Owner.objects.values_list("name")},
            r"more than one value a row; write Owner.objects.values_list",
        ),
        (
            {"values": Owner.objects.values("name")},
            r"write Owner.objects.values_list\('<field>', flat=True\)",
        ),
        (
            {"values": [["a", "b"]]},
            r"'plan' has \['a', 'b'\] among its values; .* or a tuple",
        ),
        (
            {"values": {"A": "a", "B": "a"}},
            r"'plan' gives the value 'a' two labels, 'A' and 'B'; keep one of them",
        ),
    ],
)
def test_a_wrong_facet_is_refused_where_it_is_built(given: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"slug": "plan", "name": "Plan", "field_lookup": "plan"}
    with pytest.raises(DeclarationError, match=message):
        Facet(**{**right, **given})


def test_a_facet_is_changed_only_by_replacement() -> None:
    plan: Any = facet(["a"])
    with pytest.raises(FrozenInstanceError):
        plan.values = ["b"]
    assert replace(plan, values=["b"]).choices() == [("b", "b")]
    assert plan.choices() == [("a", "a")]


def test_what_was_given_may_change_afterwards() -> None:
    listed, labelled = ["a"], {"A": "a"}
    plans = facet(listed), facet(labelled)
    listed.append("b")
    labelled["B"] = "b"
    assert plans[0].choices() == [("a", "a")]
    assert plans[1].choices() == [("A", "a")]


@pytest.mark.parametrize(
    ("values", "choices"),
    [
        (None, None),
        ([], []),
        (["b", "a", "b"], [("b", "b"), ("a", "a")]),
        (("a", None), [("a", "a"), ("(none)", None)]),
        ((value for value in "ab"), [("a", "a"), ("b", "b")]),
        ({"Gold": "g", "Silver": "s"}, [("Gold", "g"), ("Silver", "s")]),
        (Item.Size, [("1", 1), ("2", 2)]),
        (range(2), [("0", 0), ("1", 1)]),
    ],
)
def test_choices_are_labels_and_values_in_order_each_once(values: Any, choices: Any) -> None:
    assert facet(values).choices() == choices


@pytest.mark.django_db
def test_a_queryset_is_asked_afresh_at_every_use() -> None:
    names = Owner.objects.order_by("-name").values_list("name", flat=True)
    plan = facet(names)
    assert plan.choices() == []
    for name in ("Ann", "Bob", "Ann", None):
        Owner.objects.create(name=name)
    found = plan.choices()
    assert found is not None
    assert dict(found) == {"Bob": "Bob", "Ann": "Ann", "(none)": None}
    Owner.objects.all().delete()
    assert plan.choices() == []
    with CaptureQueriesContext(connection) as captured:
        plan.choices()
    assert len(captured) == 1


def test_a_prefix_leads_to_the_faceted_object() -> None:
    name = Facet("owner", "Owner", "name")
    stock = Stock("items", "Items", Item.objects.all(), [(name, "owner"), facet()])
    assert stock.applied_facets == (
        AppliedFacet(name, "owner"),
        AppliedFacet(stock.applied_facets[1].facet, ""),
    )
    assert [applied.lookup for applied in stock.applied_facets] == ["owner__name", "text"]
    assert (stock.applied_facets[0].slug, stock.applied_facets[0].name) == ("owner", "Owner")


@pytest.mark.parametrize(
    ("facets", "message"),
    [
        (
            facet(),
            r"The stock 'items' has the facets <Facet plan>; write a list of them, e.g. facets=\[plan\]",
        ),
        ("plan", r"The stock 'items' has the facets 'plan'; write a list"),
        (
            ["plan"],
            r"The stock 'items' has 'plan' among its facets; write a Facet, or \(Facet, 'field_prefix'\)",
        ),
        ([(facet(), 3)], r"has \(<Facet plan>, 3\) among its facets"),
        ((facet(), "owner"), r"has 'owner' among its facets; write a Facet, or \(Facet, 'field_prefix'\)"),
        (
            [facet(), facet(lookup="number")],
            r"The stock 'items' has the facet 'plan' twice; keep one of them",
        ),
    ],
)
def test_wrong_facets_of_a_stock_are_refused(facets: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        Stock("items", "Items", Item.objects.all(), facets)


@pytest.fixture
def item() -> Item:
    owner = Owner.objects.create(name="Ann", active=True)
    made = Item.objects.create(text="gold", number=3, flag=True, day=date(2024, 1, 2), owner=owner)
    Part.objects.create(item=made, kind="wheel")
    Item.objects.create()
    return made


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("lookup", "values", "asked"),
    [
        ("text", None, "gold"),
        ("text", ["gold"], "gold"),
        ("text", {"Gold plan": "gold"}, "gold"),
        ("text", {"Gold plan": "gold"}, "Gold plan"),
        ("text", {"gold": "silver", "silver": "gold"}, "gold"),  # a value comes before a label
        ("text", ["silver"], "(other)"),
        ("number", None, 3),
        ("number", None, "3"),
        ("number", ["3"], 3),
        ("number", {"three": 3}, "three"),
        ("number__gte", [1, 5], 1),
        ("number__gte", [1, 5], "1"),
        ("number__range", {"few": (1, 5)}, "few"),
        ("number__range", {"few": (1, 5)}, (1, 5)),
        ("text__isnull", [True, False], False),
        ("flag", None, True),
        ("flag", [1, 0], "True"),
        ("day", None, date(2024, 1, 2)),
        ("day", None, "2024-01-02"),
        ("owner__name", None, "Ann"),
        ("parts__kind", None, "wheel"),
        ("parts__kind", ["door"], "(other)"),
    ],
)
def test_members_are_found_by_value_label_or_key(item: Item, lookup: str, values: Any, asked: Any) -> None:
    stock = Stock("items", "Items", Item.objects.all(), [facet(values, lookup)])
    assert list(stock.faceted_qs("plan", asked)) == [item]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "lookup", ["text", "number", "number__gte", "flag", "day", "owner", "owner__name", "parts__kind"]
)
@pytest.mark.parametrize("asked", [None, "(none)"])
def test_none_asks_for_null(item: Item, lookup: str, asked: Any) -> None:
    stock = Stock("items", "Items", Item.objects.all(), [facet([] if "gte" in lookup else None, lookup)])
    assert [found.pk for found in stock.faceted_qs("plan", asked)] == [item.pk + 1]


@pytest.mark.django_db
def test_an_object_may_be_asked_for() -> None:
    owner = Owner.objects.create(name="Ann")
    item = Item.objects.create(owner=owner)
    for values in (None, [owner], Owner.objects.values_list("pk", flat=True)):
        stock = Stock("items", "Items", Item.objects.all(), [facet(values, "owner")])
        assert stock.faceted_qs("plan", owner).get() == item
        assert stock.faceted_qs("plan", owner.pk).get() == item


@pytest.mark.parametrize(
    ("lookup", "values", "asked", "message"),
    [
        (
            "text",
            ["gold", "silver"],
            "brass",
            r"The facet 'plan' has no value 'brass'; it has 'gold', 'silver'\.$",
        ),
        ("text", {"Gold": "gold"}, "brass", r"has no value 'brass'; it has 'gold'"),
        ("text", [], "brass", r"has no value 'brass'; it has no values yet"),
        ("text", [str(n) for n in range(30)], "brass", r"'18', '19' and 10 more"),
        ("text", None, "(other)", r"has no value '\(other\)'; it declares no values, so none is left out"),
        ("text", None, "a\x00", r"has no value 'a\\x00'; text can't be 'a\\x00', which holds a NUL"),
        ("number", [1, 2], 3, r"has no value '3'; it has '1', '2'"),
        ("number", None, "many", r"has no value 'many'; number can't be 'many'"),
        ("number", None, str(2**70), r"number can't be '1180591620717411303424'"),
        ("price", None, "1e999", r"price can't be '1e999'"),
        ("price", None, "nan", r"price can't be 'nan'"),
        ("day", None, "soon", r"day can't be 'soon'"),
        ("flag", None, "maybe", r"flag can't be 'maybe'"),
        ("code", None, "x", r"code can't be 'x'"),
        ("number__gte", [1, 5], 2, r"has no value '2'; it has '1', '5'"),
        ("number__gte", [1, 5], "(other)", r"has no value '\(other\)'; it has '1', '5'"),
    ],
)
def test_a_value_that_does_not_exist_is_told(lookup: str, values: Any, asked: Any, message: str) -> None:
    stock = Stock("items", "Items", Item.objects.all(), [facet(values, lookup)])
    with pytest.raises(UnknownFacetValue, match=message) as raised:
        stock.faceted_qs("plan", asked)
    assert isinstance(raised.value, InvalidInput)
    assert raised.value.facet == "plan"


def test_a_lookup_that_does_not_resolve_names_the_choices() -> None:
    stock = Stock("items", "Items", Item.objects.all(), [facet(lookup="colour")])
    with pytest.raises(FieldError, match=r"colour.*Choices are: .*text"):
        stock.faceted_qs("plan", "red")


def test_a_facet_is_itself_alone_and_reads_well() -> None:
    one, other = facet(["a"]), facet(["a"])
    assert one != other
    assert len({one, other, one}) == 2
    assert (str(one), repr(one)) == ("Plan", "<Facet plan>")
