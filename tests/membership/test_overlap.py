"""Stocks that overlap are seen where that is certain, and only there."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F, Q, QuerySet
from hypothesis import given
from hypothesis import strategies as st

from stockandflow.membership.overlap import _allowed, surely_overlap
from tests.membership.strategies import KINDS
from tests.testapp.models import Item, Owner

items = Item.objects


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (items.all(), items.all(), True),
        (items.all(), items.filter(number=1), True),
        (items.filter(number=1), items.filter(number=1), True),
        (items.filter(number=1), items.filter(number=2), False),
        (items.filter(number__in=[1, 2]), items.filter(number=2), True),
        (items.filter(number__in=[1, 2]), items.filter(number__in=(3, 4)), False),
        (items.filter(Q(number=1)), items.filter(Q(Q(number=1))), True),
        (items.filter(number=1), items.filter(number=1, text="a"), True),
        (items.filter(number=1, text="a"), items.filter(text="a"), True),
        (items.filter(number=1, text="a"), items.filter(number=1, text="b"), False),
        (items.filter(number=1), items.filter(number=1).filter(number__in=[1, 2]), True),
        (items.filter(number=1), items.filter(number=1).filter(number=2), False),
        (items.filter(number=None), items.filter(number__isnull=True), True),
        (items.filter(number=None), items.filter(number=1), False),
        (items.filter(flag=True), items.filter(flag=True), True),
        (items.filter(flag=True), items.filter(flag=False), False),
        (items.filter(owner=1), items.filter(owner__in=[1, 2]), True),
        (items.filter(owner=1), items.filter(owner_id=2), False),
        (items.filter(data={"a": 1}), items.filter(data={"a": 1}), False),
        # Nothing is known of these.
        (items.none(), items.all(), False),
        (items.filter(number=1), items.filter(text="a"), False),
        (items.filter(number__gte=1), items.filter(number__gte=1), False),
        (items.filter(number__gte=1), items.all(), False),
        (items.exclude(number=1), items.exclude(number=1), False),
        (items.filter(Q(number=1) | Q(text="a")), items.filter(number=1), False),
        (items.filter(number=F("size")), items.filter(number=F("size")), False),
        (items.filter(number__isnull=False), items.filter(number=1), False),
        (items.filter(owner__name="a"), items.all(), False),
        (items.filter(owner__in=Owner.objects.all()), items.all(), False),
    ],
)
def test_overlap(one: QuerySet[Any], other: QuerySet[Any], overlap: bool) -> None:
    assert surely_overlap(one, other) is surely_overlap(other, one) is overlap


SIMPLE = (
    "text is",
    "text in",
    "number is",
    "flag",
    "flag empty",
    "day in",
    "price is",
    "price in",
    "owner empty",
)
simple = st.sampled_from(SIMPLE).flatmap(lambda kind: KINDS[kind][1](st.sampled_from(["a", "b", "it's"])))
conditions = st.lists(simple, max_size=2).map(lambda found: Q(*found))


@pytest.mark.django_db
@given(conditions, conditions)
def test_what_surely_overlaps_has_an_object_in_both(one: Q, other: Q) -> None:
    querysets = items.filter(one), items.filter(other)
    if not surely_overlap(*querysets):
        return
    both: dict[str, Any] = {}
    for queryset in querysets:
        for field, values in (_allowed(queryset) or {}).items():
            both[field.attname] = both.get(field.attname, values) & values
    witness = items.create(**{name: min(values, key=str) for name, values in both.items()})
    assert all(queryset.filter(pk=witness.pk).exists() for queryset in querysets)
