"""Querysets over related rows: the tables that they read, and the subjects that a row of each concerns."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, models
from django.db.models import Count, Exists, F, FilteredRelation, OuterRef, Q, Subquery
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from stockandflow.exceptions import NotLocal
from stockandflow.membership import Reach, Step, concerned, reaches, reason_not_followed
from tests.testapp.models import BigItem, Item, Label, Owner, Part

items, users, parts = Item.objects.all(), User.objects.all(), Part.objects.all()
owners = Owner.objects.all()
OF_OWNER = Step("owner_id", "testapp_owner", "id")
OF_ITEM = Step("id", "testapp_item", "owner_id")
OF_PART = Step("id", "testapp_part", "item_id")
OF_THROUGH = Step("id", "auth_user_groups", "user_id")
OF_GROUP = Step("group_id", "auth_group", "id")

# The queryset, and what it reads: model → the columns by the way to it.
FOLLOWED: dict[str, tuple[models.QuerySet[Any], dict[tuple[Step, ...], str]]] = {
    "a foreign key": (items.filter(owner__active=True), {(): "owner_id", (OF_OWNER,): "active id"}),
    "and a column of its own": (
        items.filter(owner__active=True, text="x"),
        {(): "owner_id text", (OF_OWNER,): "active id"},
    ),
    "a reverse foreign key": (items.filter(parts__kind="x"), {(): "id", (OF_PART,): "item_id kind"}),
    "either of two tables": (
        items.filter(Q(parts__kind="x") | Q(owner__name="x")),
        {(): "id owner_id", (OF_PART,): "item_id kind", (OF_OWNER,): "id name"},
    ),
    "one to one, missing": (
        items.filter(label__isnull=True),
        {(): "id", (Step("id", "testapp_label", "item_id"),): "id item_id"},
    ),
    "many to many": (
        users.filter(groups__name="vip"),
        {(): "id", (OF_THROUGH,): "group_id user_id", (OF_THROUGH, OF_GROUP): "id name"},
    ),
    "many to many by key": (
        users.filter(groups__in=[1, 2]),
        {(): "id", (OF_THROUGH,): "group_id user_id"},
    ),
    "two hops": (
        parts.filter(item__owner__active=True),
        {
            (): "item_id",
            (Step("item_id", "testapp_item", "id"),): "id owner_id",
            (Step("item_id", "testapp_item", "id"), OF_OWNER): "active id",
        },
    ),
    "the same table twice": (
        parts.filter(item__parts__kind="x"),
        {
            (): "item_id",
            (Step("item_id", "testapp_item", "id"),): "id",
            (Step("item_id", "testapp_item", "id"), OF_PART): "item_id kind",
        },
    ),
    "a parent's columns": (
        BigItem.objects.filter(text="x", weight=1),
        {(): "item_ptr_id weight", (Step("item_ptr_id", "testapp_item", "id"),): "id text"},
    ),
    "two filters on one relation": (
        items.filter(parts__kind="x").filter(parts__weight=1),
        {(): "id", (OF_PART,): "item_id kind weight"},
    ),
    "an annotation": (
        items.annotate(on=F("owner__active")).filter(on=True),
        {(): "owner_id", (OF_OWNER,): "active id"},
    ),
    "none of many": (items.exclude(parts__kind="x"), {(): "id", (OF_PART,): "item_id kind"}),
    "none of many to many": (
        users.exclude(groups__name="vip"),
        {(): "id", (OF_THROUGH,): "group_id user_id", (OF_THROUGH, OF_GROUP): "id name"},
    ),
    "Exists": (
        items.filter(~Exists(Part.objects.filter(Q(kind="x") & Q(item=OuterRef("pk"))))),
        {(): "id", (OF_PART,): "item_id kind"},
    ),
    "in a subquery": (
        items.filter(owner__in=Owner.objects.filter(active=True)),
        {(): "owner_id", (OF_OWNER,): "active id"},
    ),
    "not in a subquery that gives no NULL": (
        owners.exclude(pk__in=items.filter(owner__isnull=False, text="x").values("owner")),
        {(): "id", (OF_ITEM,): "owner_id text"},
    ),
    "not in a subquery that joins what it gives": (
        owners.exclude(pk__in=items.filter(owner__active=True).values("owner")),
        {(): "id", (OF_ITEM,): "owner_id", (OF_ITEM, OF_OWNER): "active id"},
    ),
    "in a subquery that may give NULL": (
        owners.filter(Q(pk__in=items.values("owner")) | Q(name="x")),
        {(): "id name", (OF_ITEM,): "owner_id"},
    ),
    "in a subquery of a subquery": (
        items.filter(owner__in=Owner.objects.filter(items__in=Item.objects.filter(text="x"))),
        {
            (): "owner_id",
            (OF_OWNER,): "id",
            (OF_OWNER, Step("id", "testapp_item", "owner_id")): "id owner_id",
            (OF_OWNER, Step("id", "testapp_item", "owner_id"), Step("id", "testapp_item", "id")): "id text",
        },
    ),
    "a column of a subquery": (
        items.annotate(sign=Subquery(Label.objects.filter(item=OuterRef("pk")).values("code"))).filter(
            sign="x"
        ),
        {(): "id", (Step("id", "testapp_label", "item_id"),): "code item_id"},
    ),
}
NOT_FOLLOWED: dict[str, tuple[models.QuerySet[Any], str]] = {
    "a number of rows": (items.annotate(n=Count("parts")).filter(n__gt=2), "groups rows"),
    "distinct on fields": (items.filter(parts__kind="x").distinct("text"), "distinct"),
    "the clock": (items.filter(moment__lt=Now(), owner__active=True), "time"),
    "SQL of its own": (items.filter(pk__in=RawSQL("SELECT 1", ())), "raw SQL"),
    "no tie to the row": (items.filter(Exists(Part.objects.filter(kind="x"))), "no equality ties"),
    "a tie that may not hold": (
        items.filter(Exists(Part.objects.filter(Q(item=OuterRef("pk")) | Q(kind="x")))),
        "no equality ties",
    ),
    "a tie that must not hold": (
        items.filter(Exists(Part.objects.filter(~Q(item=OuterRef("pk"))))),
        "no equality ties",
    ),
    "the first of many": (
        items.annotate(
            last=Subquery(Part.objects.filter(item=OuterRef("pk")).order_by("-id").values("kind")[:1])
        ).filter(last="x"),
        "in a subquery, it is sliced",
    ),
    "not in a subquery that may give NULL": (
        owners.exclude(pk__in=items.values("owner")),
        r"may be NULL, and then it holds for no row at all; leave NULL out there, e.g. by filter(owner__isnull=False)",
    ),
    "not in a subquery whose join may give NULL": (
        owners.filter(~Q(name="x", pk__in=parts.values("item__owner"))),
        "column owner may be NULL",
    ),
    "a computed key": (items.filter(pk__in=Part.objects.values_list(F("item_id") + 1)), "no equality ties"),
    "a FilteredRelation": (
        items.annotate(heavy=FilteredRelation("parts", condition=Q(parts__weight__gt=3))).filter(
            heavy__kind="x"
        ),
        "FilteredRelation",
    ),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_every_table_that_is_read_is_reached_from_the_subject(name: str) -> None:
    queryset, wanted = FOLLOWED[name]
    found = reaches(queryset)

    assert reason_not_followed(queryset) is None
    assert found[0].path == ()
    assert found[0].model is queryset.model
    assert {reach.path: " ".join(sorted(reach.columns)) for reach in found} == wanted
    assert [reach.model._meta.db_table for reach in found[1:]] == [
        reach.path[-1].table for reach in found[1:]
    ]


@pytest.mark.parametrize("name", NOT_FOLLOWED)
def test_what_cannot_be_followed_says_why(name: str) -> None:
    queryset, why = NOT_FOLLOWED[name]

    assert why in (reason_not_followed(queryset) or "")
    with pytest.raises(NotLocal, match=re.escape(why)):
        reaches(queryset)


def test_a_reach_tells_the_subjects_that_a_row_concerns() -> None:
    by_owner, by_group = (
        reaches(queryset)[-1]
        for queryset in (items.filter(owner__active=True), users.filter(groups__name="vip"))
    )

    assert concerned(by_owner, "new", str) == "sf_row.owner_id = new.id"
    assert concerned(by_group, "old", str) == (
        "sf_row.id IN (SELECT sf_1.user_id FROM auth_user_groups AS sf_1 WHERE sf_1.group_id = old.id)"
    )
    far = Reach(Group, (OF_OWNER, Step("a", "b", "c"), Step("d", "e", "f")), frozenset())
    assert concerned(far, "new", str) == (
        "sf_row.owner_id IN (SELECT sf_1.id FROM testapp_owner AS sf_1 JOIN b AS sf_2 ON sf_2.c = sf_1.a "
        "WHERE sf_2.d = new.f)"
    )


def test_a_row_of_the_subjects_own_table_concerns_itself() -> None:
    with pytest.raises(ValueError, match="concerns itself"):
        concerned(reaches(items)[0], "new", str)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the other databases have regular expressions")
def test_what_other_clients_cannot_evaluate_is_refused_with_the_database() -> None:
    queryset = items.filter(owner__name__regex="^x")

    assert reason_not_followed(queryset) is None
    with pytest.raises(NotLocal, match="other clients' writes would fail"):
        reaches(queryset, connection)


@pytest.mark.every_database
def test_values_that_sql_text_cannot_carry_are_refused_with_the_database() -> None:
    with pytest.raises(NotLocal, match="NUL"):
        reaches(items.filter(owner__name="a\x00b"), connection)


def test_a_table_of_another_database_is_refused(settings: Any) -> None:
    class Elsewhere:
        def allow_migrate(
            self, db: str, app_label: str, model_name: str | None = None, **_: Any
        ) -> bool | None:
            return False if model_name == "owner" else None

    settings.DATABASE_ROUTERS = [Elsewhere()]
    with pytest.raises(NotLocal, match="isn't in the database 'default'"):
        reaches(items.filter(owner__active=True), connection)
