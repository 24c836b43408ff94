"""Membership of a row: the same answer from the queryset, from SQL over the row, from a trigger, and in a query."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import (
    Case,
    Count,
    DateTimeField,
    Exists,
    F,
    FilteredRelation,
    Func,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import MD5, Lower, Now, Random, RowNumber
from django.utils import timezone
from hypothesis import given

from stockandflow.exceptions import NotLocal
from stockandflow.membership import (
    MemberOf,
    asks_the_time,
    compiled_where,
    member_of_each,
    reason_not_local,
    row_predicate,
)
from tests.membership.strategies import Drawn, drawn
from tests.testapp.models import BigItem, Item, Owner, Part, SpecialItem

pytestmark = pytest.mark.django_db


def written(example: Drawn) -> None:
    Item.objects.all().delete()
    Item.objects.bulk_create([Item(**row) for row in example.rows])


def by_queryset(queryset: QuerySet[Item]) -> set[int]:
    return set(queryset.values_list("pk", flat=True))


def by_row(queryset: QuerySet[Item], row: str) -> set[int]:
    quote = connection.ops.quote_name
    predicate = row_predicate(queryset, row, connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {quote(Item._meta.db_table)} AS {quote(row)} WHERE {predicate.sql}")
        return {pk for (pk,) in cursor.fetchall()}


@given(drawn())
def test_sql_over_the_row_is_membership(example: Drawn) -> None:
    written(example)
    for row in ("new", "old"):
        assert by_row(example.queryset(), row) == by_queryset(example.queryset())


@given(drawn())
def test_member_of_is_membership(example: Drawn) -> None:
    written(example)
    members = by_queryset(example.queryset())
    member = MemberOf(example.queryset())

    assert by_queryset(Item.objects.filter(member)) == members
    case = Case(When(member, then=Value(1)), default=Value(0), output_field=IntegerField())
    marked = dict(Item.objects.values_list("pk", case))
    assert {pk for pk, mark in marked.items() if mark} == members
    # Where the condition is unknown, its opposite is too.
    predicate = row_predicate(example.queryset(), "new", connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {Item._meta.db_table} AS new WHERE NOT ({predicate.sql})")
        others = {pk for (pk,) in cursor.fetchall()}
    assert by_queryset(Item.objects.exclude(member)) == by_queryset(Item.objects.filter(~member)) == others
    assert by_queryset(Item.objects.filter(~member | Q(pk=None))) == others


items = Item.objects
owners_name = Owner.objects.filter(pk=OuterRef("owner")).values("name")


@pytest.mark.parametrize(
    ("queryset", "reason"),
    [
        (items.filter(owner__name="x"), "rows of another table (testapp_owner)"),
        (items.filter(Q(number=1) | Q(owner__name="x")), "rows of another table (testapp_owner)"),
        (
            items.filter(number__gt=F("owner__id") + F("owner__active")),
            "rows of another table (testapp_owner)",
        ),
        (items.filter(parts__kind="x"), "rows of another table (testapp_part)"),
        (items.filter(label=None), "rows of another table (testapp_label)"),
        (
            items.alias(p=FilteredRelation("parts", condition=Q(parts__kind="x"))).filter(p__weight=1),
            "(testapp_part)",
        ),
        (BigItem.objects.filter(number=1), "rows of another table (testapp_item)"),
        (items.filter(bigitem__weight=1), "rows of another table (testapp_bigitem)"),
        (items.exclude(parts__kind="x"), "a subquery"),
        (items.filter(owner__in=Owner.objects.filter(active=True)), "a subquery"),
        (items.filter(Exists(Part.objects.filter(item=OuterRef("pk")))), "a subquery"),
        (items.filter(~Q(number=1) | ~Exists(Part.objects.filter(item=OuterRef("pk")))), "a subquery"),
        (items.alias(o=Subquery(owners_name)).filter(o="x"), "a subquery"),
        (items.alias(o=Lower(Subquery(owners_name))).filter(o="x"), "a subquery"),
        (items.filter(number=Case(When(pk__in=Part.objects.values("item"), then=1))), "a subquery"),
        (items.order_by("pk")[:3], "sliced"),
        (items.order_by("number").distinct("number"), "distinct"),
        (items.annotate(n=Count("parts")).filter(n__gt=1), "groups rows"),
        (items.alias(n=Sum("number")).filter(n__gt=1), "groups rows"),
        (items.annotate(n=Window(RowNumber())).filter(n__lt=3), "aggregates"),
        (items.filter(pk=1).union(items.filter(pk=2)), "a union of querysets; write one filter with Q"),
        (items.extra(where=["1 = 1"]), "raw SQL"),
        (items.extra(select={"one": "1"}), "extra"),
        (items.extra(tables=["testapp_owner"]), "extra"),
        (items.filter(number__in=RawSQL("SELECT 1", ())), "raw SQL"),
        (items.alias(x=RawSQL("1", ())).filter(x=1), "raw SQL"),
        (items.filter(moment__lt=Now()), "the time now"),
        (items.filter(moment__lt=Now() - timedelta(days=1)), "the time now"),
        (items.alias(r=Random()).filter(r__lt=0.5), "random"),
    ],
)
def test_what_a_row_cannot_answer_is_refused_with_the_reason(queryset: QuerySet[Any], reason: str) -> None:
    found = reason_not_local(queryset)
    assert found is not None
    assert reason in found
    with pytest.raises(NotLocal) as refused:
        row_predicate(queryset, "new", connection)
    assert str(refused.value) == found


@pytest.mark.parametrize(
    ("queryset", "columns"),
    [
        (items.all(), set()),
        (items.none(), set()),
        (items.filter(pk=1), {"id"}),
        (items.filter(number=1, day=None), {"order", "now"}),
        (items.filter(owner=1), {"owner_id"}),
        (items.filter(owner__pk__in=[1]), {"owner_id"}),
        (items.filter(owner__isnull=True), {"owner_id"}),
        (items.filter(number=1).distinct(), {"order"}),
        (items.filter(number=1).order_by("owner__name").select_related("owner"), {"order"}),
        (items.annotate(o=Subquery(owners_name)).filter(number=1), {"order"}),
        (
            items.filter(number=Case(When(flag=True, then=F("size")), default=F("number"))),
            {"order", "flag", "size"},
        ),
        (SpecialItem.objects.filter(number=1), {"order"}),
        (BigItem.objects.filter(weight=1), {"weight"}),
    ],
)
def test_what_a_row_can_answer_names_the_columns_that_decide(
    queryset: QuerySet[Any], columns: set[str]
) -> None:
    assert reason_not_local(queryset) is None
    predicate = row_predicate(queryset, "new", connection)
    assert predicate.columns == columns
    assert not predicate.reads_generated


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (Func(function="NOW", output_field=DateTimeField()), "changes by itself, by NOW"),
        (
            Func(template="CURRENT_TIMESTAMP", output_field=DateTimeField()),
            "changes by itself, by CURRENT_TIMESTAMP",
        ),
        (Func(Value(1), function="RAND", output_field=IntegerField()), "changes by itself, by RAND"),
        (Func(Value("now"), template="strftime('%%s', 'now')"), "changes by itself, by 'now'"),
    ],
)
def test_sql_that_changes_by_itself_is_refused(expression: Func, reason: str) -> None:
    queryset = Item.objects.alias(restless=expression).filter(restless=F("moment"))
    with pytest.raises(NotLocal, match=reason):
        compiled_where(queryset, "new", connection)


def test_a_column_may_be_called_as_the_clock_is() -> None:
    assert compiled_where(Item.objects.filter(day="2024-01-01"), "new", connection)[0]


@pytest.mark.skipif(
    connection.vendor != "sqlite", reason="the functions that Django adds are SQLite's trouble"
)
@pytest.mark.parametrize(
    ("queryset", "reason"),
    [
        (items.filter(text__regex="a"), "no regular expressions of its own"),
        (items.filter(moment__date="2024-01-01"), "no function django_datetime_cast_date"),
        (items.filter(day__month=1), "no function django_date_extract"),
        (items.alias(hashed=MD5("text")).filter(hashed="x"), "no function md5"),
    ],
)
def test_functions_of_django_alone_are_refused_on_sqlite(queryset: QuerySet[Any], reason: str) -> None:
    assert reason_not_local(queryset) is None
    with pytest.raises(NotLocal, match=reason):
        row_predicate(queryset, "new", connection)


def test_text_with_a_nul_is_refused() -> None:
    with pytest.raises(NotLocal, match="NUL character"):
        row_predicate(Item.objects.filter(text="a\x00b"), "new", connection)


def test_the_predicate_does_not_follow_the_active_time_zone() -> None:
    def made() -> str:
        return row_predicate(Item.objects.filter(moment__year=2024), "new", connection).sql

    with timezone.override("Asia/Tokyo"):
        there = made()
    assert there == made()


def test_the_order_of_a_set_does_not_change_the_sql() -> None:
    values = [f"value {n}" for n in range(50)]
    assert list(set(values)) != values
    made = {
        row_predicate(Item.objects.filter(text__in=given), "new", connection).sql
        for given in (set(values), frozenset(values), values, values[::-1])
    }
    assert len(made) == 1


def test_the_queryset_given_is_left_as_it_was() -> None:
    queryset = Item.objects.filter(price__gt=1, text__in={"a", "b"})
    before = str(queryset.query)
    row_predicate(queryset, "new", connection)
    MemberOf(queryset)
    assert str(queryset.query) == before


def test_a_queryset_with_joins_gives_each_member_once() -> None:
    Item.objects.create(number=2)
    double = Item.objects.create(number=1)
    for kind in ("a", "b"):
        Part.objects.create(item=double, kind=kind)
    queryset = Item.objects.filter(parts__weight=1)
    assert queryset.count() == 2
    assert list(Item.objects.filter(MemberOf(queryset))) == [double]
    assert Item.objects.exclude(MemberOf(queryset)).get().number == 2


def test_member_of_survives_the_relabelling_of_its_query() -> None:
    owner = Owner.objects.create(name="x")
    wanted = Item.objects.create(number=1, owner=owner)
    Item.objects.create(number=2, owner=owner)
    member = Item.objects.filter(MemberOf(Item.objects.filter(number=1)))
    # Within itself as a subquery, and combined with a copy of its own.
    assert list(Item.objects.filter(pk__in=member.values("pk"))) == [wanted]
    assert list(Item.objects.filter(number=1) & member) == [wanted]
    assert list(Owner.objects.filter(items__in=member)) == [owner]


def test_who_asks_the_time_is_told_wherever_it_is_asked() -> None:
    items = Item.objects.all()
    late = items.filter(moment__lt=Now())
    for asking in (
        late,
        items.filter(Q(text="a") | Q(moment__lt=Now() - timedelta(days=1))),
        items.annotate(n=Count("parts", filter=Q(moment__lt=Now()))).filter(n__gt=1),
        items.filter(Exists(Part.objects.filter(item=OuterRef("pk"), item__moment__lt=Now()))),
        items.filter(pk__in=late),
        items.filter(text="a").union(late),
        items.alias(at=RawSQL("CURRENT_TIMESTAMP", ())).filter(moment__lt=F("at")),
        items.extra(where=["moment < CURRENT_TIMESTAMP"]),
    ):
        assert asks_the_time(asking), asking.query
    for quiet in (
        items,
        items.filter(moment__lt=timezone.now()),
        items.annotate(n=Count("parts")).filter(n__gt=1),
        items.filter(pk__in=items.filter(text="a")),
        items.filter(number__in=RawSQL("SELECT 1", ())),
        items.annotate(now=Now()),
    ):
        assert not asks_the_time(quiet), quiet.query


@pytest.mark.django_db
def test_asked_each_by_its_key_the_same_rows_are_members() -> None:
    items = Item.objects.all()
    made = [items.create(text=text, number=number) for number, text in enumerate("abca")]
    for item, number in zip(made, (0, 1, 2, 3), strict=True):
        Part.objects.bulk_create(Part(item=item) for _ in range(number))
    numbered = Window(RowNumber(), order_by=F("number").asc())
    several = items.annotate(n=Count("parts")).filter(n__gt=1)
    alone: list[QuerySet[Any]] = [
        several,
        items.filter(parts__isnull=False),
        items.filter(Exists(Part.objects.filter(item=OuterRef("pk")))).order_by("text"),
        items.filter(moment__gt=Now()) | items.filter(text="a"),
        items.extra(where=["text = 'b'"]),
        items.filter(pk__in=several),
        SpecialItem.objects.filter(text="a"),
    ]
    together = [
        items.annotate(place=numbered).filter(place__lte=2),
        items.values("text").annotate(n=Count("pk")).filter(n=2),
        *([items.order_by("text", "pk").distinct("text")] if connection.vendor == "postgresql" else []),
    ]
    assert {type(member_of_each(queryset)) for queryset in alone} <= {Exists, MemberOf}
    assert {type(member_of_each(queryset)) for queryset in together} == {MemberOf}
    assert isinstance(member_of_each(several), Exists)
    for queryset in (*alone, *together):
        members = Item.objects.filter(MemberOf(queryset))
        each = [one for one in made if Item.objects.filter(member_of_each(queryset), pk=one.pk).exists()]
        assert {one.pk for one in each} == set(members.values_list("pk", flat=True)), queryset.query
