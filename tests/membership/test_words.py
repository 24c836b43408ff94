"""A definition reads as a person would say it, whatever the filter."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import (
    Avg,
    Case,
    CharField,
    Count,
    Exists,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Cast, Length, Lower, Now
from django.test import override_settings
from hypothesis import given

from example.membership.models import Member
from stockandflow.membership import describe, sql_of
from tests.membership.strategies import Drawn, drawn
from tests.testapp.models import BigItem, Item, Owner, Part, SpecialItem

items = Item.objects
one, text = Q(number=1), Q(text="a")
at = datetime(2024, 7, 2, 3, 4, tzinfo=UTC)
parts = Part.objects.filter(item=OuterRef("pk"))


@pytest.mark.parametrize(
    ("queryset", "words"),
    [
        (items.all(), "all items"),
        (items.none(), "no items"),
        (items.filter(pk__in=[]), "no items"),
        (items.filter(one, pk__in=[]), "no items"),
        (items.order_by("pk")[:3], "all items (the first rows only)"),
        (BigItem.objects.filter(number=1, weight=2), "big items whose number is 1 and weight is 2"),
        (SpecialItem.objects.filter(one), "special items whose number is 1"),
        # Comparisons
        (items.filter(number=1), "items whose number is 1"),
        (User.objects.filter(groups__name="vip"), "users whose group name is “vip”"),
        (items.filter(text="it's"), "items whose text is “it's”"),
        (items.filter(text=""), "items whose text is blank"),
        (items.filter(number=None), "items whose number is empty"),
        (items.filter(number__isnull=False), "items whose number is set"),
        (items.filter(flag=True), "items whose flag is true"),
        (items.filter(flag=False), "items whose flag is false"),
        (items.filter(number__gt=1), "items whose number is above 1"),
        (items.filter(price__lte=Decimal("1.50")), "items whose price is at most 1.50"),
        (items.filter(number__range=(1, 3)), "items whose number is from 1 to 3"),
        (items.filter(text__icontains="a"), "items whose text contains “a”, in any case"),
        (items.filter(text__startswith="a"), "items whose text starts with “a”"),
        (items.filter(text__regex="^a"), "items whose text matches “^a”"),
        (items.filter(data={"a": [1]}), 'items whose data is {"a": [1]}'),
        (items.filter(data__plan="gold"), "items whose plan of data is “gold”"),
        (items.filter(data__has_key="plan"), "items whose data has key “plan”"),
        # Time
        (items.filter(day=date(2024, 1, 2)), "items whose day is 2024-01-02"),
        (items.filter(day__gt=date(2024, 1, 2)), "items whose day is after 2024-01-02"),
        (items.filter(day__lte=date(2024, 1, 2)), "items whose day is 2024-01-02 or earlier"),
        (items.filter(moment__gte=at), "items whose moment is 2024-07-02 04:04 BST or later"),
        (
            items.filter(moment__lt=at + timedelta(seconds=5)),
            "items whose moment is before 2024-07-02 04:04:05 BST",
        ),
        (items.filter(moment__lt=Now()), "items whose moment is before now"),
        (items.filter(moment__lt=Now() - timedelta(days=30)), "items whose moment is before now - 30 days"),
        (items.filter(moment__lt=Now() - timedelta(hours=1)), "items whose moment is before now - 1 hour"),
        (items.filter(day__year=2024), "items whose year of day is 2024"),
        (items.filter(moment__date=date(2024, 1, 2)), "items whose date of moment is 2024-01-02"),
        # Several values, and choices by their labels
        (items.filter(number__in=[3, 1, 2]), "items whose number is 1, 2 or 3"),
        (items.filter(number__in=[3]), "items whose number is 3"),
        (
            items.filter(number__in=range(30)),
            f"items whose number is {', '.join(map(str, range(19)))} or 11 others",
        ),
        (items.filter(size=1), "items whose size is Small"),
        (items.filter(size__in=[2, 1]), "items whose size is Small or Large"),
        (items.filter(size__in=[7, 1]), "items whose size is 7 or Small"),
        # Opposites
        (items.exclude(number=1), "items whose number is not 1"),
        (items.exclude(number=None), "items whose number is set"),
        (items.exclude(flag=True), "items whose flag is not true"),
        (items.exclude(text=""), "items whose text is not blank"),
        (items.exclude(size__in=[1, 2]), "items whose size is not Small or Large"),
        (items.exclude(text__startswith="a"), "items whose text does not start with “a”"),
        (items.filter(~~one), "items whose number is 1"),
        (items.exclude(~one), "items whose number is 1"),
        # And, or, not
        (items.filter(one, text), "items whose number is 1 and text is “a”"),
        (items.filter(one | text), "items whose number is 1 or text is “a”"),
        (items.filter(one | text, flag=True), "items whose (number is 1 or text is “a”) and flag is true"),
        (
            items.filter((one & text) | Q(flag=True)),
            "items whose (number is 1 and text is “a”) or flag is true",
        ),
        (items.filter(~one & ~text), "items whose number is not 1 and text is not “a”"),
        (items.filter(~one | ~text), "items whose number is not 1 or text is not “a”"),
        (items.exclude(one | text), "items where not (number is 1 or text is “a”)"),
        (items.exclude(number=1, text="a"), "items where not (number is 1 and text is “a”)"),
        (
            items.exclude(one | text).filter(flag=True),
            "items where not (number is 1 or text is “a”) and flag is true",
        ),
        # Other tables
        (items.filter(owner=1), "items whose owner is 1"),
        (items.filter(owner=Owner(pk=1)), "items whose owner is 1"),
        (items.filter(owner__name="x"), "items whose owner name is “x”"),
        (items.filter(owner__items__number=1), "items whose owner item number is 1"),
        (items.filter(owner=None), "items whose owner is empty"),
        (items.filter(parts__kind="x", parts__weight=1), "items whose part kind is “x” and part weight is 1"),
        (items.filter(label=None), "items whose label is missing"),
        (items.exclude(label=None), "items whose label exists"),
        (
            items.filter(owner__in=Owner.objects.filter(active=True)),
            "items whose owner is among owners whose active is true",
        ),
        (items.filter(owner__in=Owner.objects.all()), "items whose owner is among all owners"),
        (items.exclude(parts__kind="x"), "items where no matching parts exist"),
        (items.filter(Exists(parts)), "items where matching parts exist"),
        (items.filter(~Exists(parts), number=1), "items where no matching parts exist and number is 1"),
        (
            Member.objects.filter(status__in=["active", "trial"], plan__name="Pro"),
            "members whose plan name is “Pro” and status is Trial or Active",
        ),
        # Expressions
        (items.filter(number__gt=F("size")), "items whose number is above size"),
        (items.filter(number__gt=F("size") + 1), "items whose number is above size + 1"),
        (items.alias(low=Lower("text")).filter(low="x"), "items whose lower of text is “x”"),
        (items.alias(long=Length("text")).filter(long__gt=3), "items whose length of text is above 3"),
        (items.alias(n=Count("parts")).filter(n__gt=1), "items whose number of parts is above 1"),
        (items.alias(n=Avg("parts__weight")).filter(n__gt=1), "items whose mean of part weight is above 1.0"),
        (items.alias(t=Cast("number", CharField())).filter(t="1"), "items whose number is “1”"),
        (
            items.alias(k=Subquery(parts.values("kind")[:1])).filter(k="x"),
            "items whose value of parts is “x”",
        ),
        (
            items.alias(g=Case(When(number=1, then=Value("a")))).filter(g="a"),
            "items whose value by cases is “a”",
        ),
        (
            items.alias(f=Func("text", Value(2), function="LEFT", output_field=CharField())).filter(f="ab"),
            "items whose left of text and 2 is “ab”",
        ),
        (items.extra(where=["1 = 1"]), "items where a condition in SQL is true"),
    ],
)
def test_words(queryset: QuerySet[Any], words: str) -> None:
    assert describe(queryset) == words


@given(drawn())
def test_every_definition_has_words_without_an_object_in_them(sample: Drawn) -> None:
    words = describe(sample.queryset())
    assert re.match(r"(all|no) items$|items (whose|where) .", words)
    for code in ("object at 0x", "Col(", "Value(", "<", "None"):
        assert code not in words or code in str(sample.asked)


@override_settings(TIME_ZONE="Asia/Tokyo")
def test_instants_are_told_in_the_projects_time_zone() -> None:
    assert describe(items.filter(moment=at)) == "items whose moment is 2024-07-02 12:04 JST"


@pytest.mark.django_db
def test_sql_shows_the_condition_with_its_values() -> None:
    sql = sql_of(items.filter(text="50% it's", number__gt=3).order_by("text"))
    assert "ORDER BY" not in sql
    assert "> 3" in sql
    assert "50% it''s" in sql or "50% it\\'s" in sql
    with connection.cursor() as cursor:
        cursor.execute(sql)  # for reading only, but it should read as SQL does
        assert cursor.fetchall() in ([], ())


@pytest.mark.django_db
def test_sql_of_what_can_not_match_says_so() -> None:
    assert sql_of(items.none()) == "-- no row can match"
    assert sql_of(items.filter(pk__in=[])) == "-- no row can match"
