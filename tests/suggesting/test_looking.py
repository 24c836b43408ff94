"""What a model's fields suggest: stocks that exclude each other and leave nobody out, and facets that split them."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, models
from django.test.utils import CaptureQueriesContext, isolate_apps

from example.membership.models import Member, Plan
from stockandflow.suggesting.looking import MOST_FACETS, Look, look

NUMBERS = count()
pytestmark = pytest.mark.usefixtures("own_models")


@pytest.fixture
def own_models() -> Any:
    with isolate_apps("tests.testapp"):
        yield


def named(**fields: models.Field[Any, Any]) -> Look:
    """A look at a model with these fields."""
    attributes: dict[str, Any] = {"__module__": __name__, **fields}
    attributes["Meta"] = type("Meta", (), {"app_label": "testapp"})
    return look(type(f"Thing{next(NUMBERS)}", (models.Model,), attributes), query=False)


def stocks(found: Look, place: int = 0) -> dict[str, tuple[str, Any]]:
    """The name of each stock of a dimension → its filter."""
    return {one.name: (one.lookup, one.value) for one in found.dimensions[place].conditions}


def test_choices_of_a_field_named_like_a_state_are_stocks_and_other_choices_a_facet() -> None:
    found = named(
        channel=models.CharField(max_length=9, choices=[("web", "Web"), ("shop", "Shop")]),
        order_status=models.CharField(max_length=9, choices=[("new", "New"), ("paid", "Paid")]),
    )
    assert [one.field_name for one in found.dimensions] == ["order_status"]
    assert stocks(found) == {"New": ("order_status", "new"), "Paid": ("order_status", "paid")}
    assert [(facet.lookup, facet.values) for facet in found.facets] == [
        ("channel", (("Web", "web"), ("Shop", "shop")))
    ]


def test_several_states_are_several_dimensions_the_plainest_first() -> None:
    yes_no = [(1, "Yes"), (2, "No")]
    found = named(
        published=models.BooleanField(),
        stage=models.IntegerField(choices=yes_no),
        status=models.IntegerField(choices=yes_no),
    )
    assert [one.field_name for one in found.dimensions] == ["status", "stage", "published"]


@pytest.mark.parametrize(
    ("null", "blank", "expected"),
    [
        (False, False, {}),
        (True, False, {"No status": ("status__isnull", True)}),
        (False, True, {"No status": ("status", "")}),
        (True, True, {"No status (blank)": ("status", ""), "No status": ("status__isnull", True)}),
    ],
)
def test_null_and_blank_have_stocks_where_the_field_allows_them(
    null: bool, blank: bool, expected: Any
) -> None:
    choices = [("a", "A"), ("b", "B")]
    found = named(status=models.CharField(max_length=1, null=null, blank=blank, choices=choices))
    assert stocks(found) == {"A": ("status", "a"), "B": ("status", "b")} | expected


def test_a_choice_that_stands_for_nothing_gives_its_label() -> None:
    choices = [(None, "Unknown"), (1, "A"), (2, "B")]
    found = named(status=models.IntegerField(null=True, choices=choices))
    assert stocks(found)["Unknown"] == ("status__isnull", True)
    found = named(status=models.CharField(max_length=1, choices=[("", "---------"), ("a", "A"), ("b", "B")]))
    assert stocks(found)["No status"] == ("status", "")


class Colour(models.TextChoices):
    """For a field whose choices are an enumeration."""

    RED = "red", "Red"
    BLUE = "blue", "Blue"


def test_groups_enumerations_and_repeated_values_are_understood() -> None:
    grouped = [("Open", [("new", "New"), ("old", "Old")]), ("done", "Done"), ("new", "New again")]
    assert list(stocks(named(state=models.CharField(max_length=9, choices=grouped)))) == [
        "New",
        "Old",
        "Done",
    ]
    listed = [(Colour.RED, "Red"), (Colour.BLUE, "Blue")]
    found = named(state=models.CharField(max_length=9, choices=listed))
    assert stocks(found) == {"Red": ("state", "red"), "Blue": ("state", "blue")}
    assert type(found.dimensions[0].conditions[0].value) is str


def test_too_many_choices_are_a_facet_and_ever_so_many_one_without_a_list() -> None:
    for number, listed in ((13, True), (30, False)):
        choices = [(n, f"N{n}") for n in range(number)]
        found = named(status=models.IntegerField(choices=choices), active=models.BooleanField())
        assert [one.field_name for one in found.dimensions] == ["active"]
        assert [(one.lookup, one.values is not None) for one in found.facets] == [("status", listed)]


def test_a_boolean_is_two_stocks_or_three_where_it_may_be_null() -> None:
    found = named(is_active=models.BooleanField())
    assert stocks(found) == {"Not active": ("is_active", False), "Active": ("is_active", True)}
    assert found.dimensions[0].part == "active"
    found = named(verified=models.BooleanField(null=True))
    assert stocks(found)["Not known: verified"] == ("verified__isnull", True)


def test_an_instant_that_may_be_null_is_before_and_after_unless_it_is_planned() -> None:
    found = named(
        cancelled_at=models.DateTimeField(null=True),
        sent=models.DateTimeField(null=True),
        last_login=models.DateTimeField(null=True),
        expires_at=models.DateTimeField(null=True),
        created=models.DateTimeField(),
    )
    assert [one.field_name for one in found.dimensions] == ["cancelled_at", "sent"]
    assert stocks(found) == {
        "Not cancelled": ("cancelled_at__isnull", True),
        "Cancelled": ("cancelled_at__isnull", False),
    }


def test_an_instant_beside_a_state_that_says_the_same_is_left_out_and_said_to_be() -> None:
    found = named(
        accepted=models.BooleanField(),
        accepted_at=models.DateTimeField(null=True),
        sent_at=models.DateTimeField(null=True),
    )
    assert [one.field_name for one in found.dimensions] == ["accepted", "sent_at"]
    assert found.left_out == [
        "accepted_at: no stocks of its own, since it tells when and another field tells what"
    ]


def test_where_no_name_says_state_the_first_field_that_could_be_one_is_taken() -> None:
    found = named(large=models.BooleanField(), size=models.IntegerField(choices=[(1, "S"), (2, "L")]))
    assert [one.field_name for one in found.dimensions] == ["size"]
    assert [one.lookup for one in found.facets] == ["large"]
    assert not named(text=models.TextField(), size=models.IntegerField()).dimensions


def test_labels_that_are_alike_give_way_to_values() -> None:
    found = named(
        active=models.BooleanField(), size=models.IntegerField(choices=[(1, "One"), (2, "One"), (3, "Three")])
    )
    assert found.facets[0].values == (("1", 1), ("2", 2), ("3", 3))


def test_more_facets_than_a_few_are_left_out_and_named() -> None:
    flags = {f"flag{number}": models.BooleanField() for number in range(MOST_FACETS + 2)}
    found = named(status=models.IntegerField(choices=[(1, "A"), (2, "B")]), **flags)
    assert len(found.facets) == MOST_FACETS
    assert [line.partition(":")[0] for line in found.left_out] == ["flag5", "flag6"]


def test_fields_of_a_parent_and_generated_ones_are_no_stocks_of_the_child() -> None:
    class Parent(models.Model):  # noqa: DJ008
        status = models.IntegerField(choices=[(1, "A"), (2, "B")])

        class Meta:
            app_label = "testapp"

    class Child(Parent):  # noqa: DJ008
        size = models.IntegerField()
        closed = models.GeneratedField(
            expression=models.functions.Abs("size"), output_field=models.BooleanField(), db_persist=True
        )

        class Meta:
            app_label = "testapp"

    assert not look(Child).dimensions


@pytest.mark.django_db
def test_a_foreign_key_is_a_facet_where_it_points_at_few_rows() -> None:
    Plan.objects.bulk_create(Plan(name=f"P{number}", monthly_price=1) for number in range(20))
    with CaptureQueriesContext(
        connection,
    ) as asked:
        found = look(Member)
    assert len(asked) == 1
    assert "LIMIT 21" in asked[0]["sql"]
    assert ("plan", "plan__name") in [(facet.slug, facet.lookup) for facet in found.facets]
    Plan.objects.create(name="P21", monthly_price=1)
    assert "plan__name: membership.Plan has more than 20 rows, too many for a facet" in look(Member).left_out
    with CaptureQueriesContext(connection) as asked:
        found = look(Member, query=False)
    assert not len(asked)
    assert "plan__name: a facet, if membership.Plan has few rows; nobody looked" in found.left_out


@pytest.mark.django_db
def test_a_facet_never_tells_who_a_user_is() -> None:
    found = named(
        active=models.BooleanField(), owner=models.ForeignKey(User, models.CASCADE, related_name="+")
    )
    assert found.left_out == ["owner: a facet would keep a user's name in every event"]
