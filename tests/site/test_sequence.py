"""Work through a stock: each member once, in its order, whatever becomes of those that were passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import HttpRequest
from django.template import Context, Template
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from example.membership.models import Member, Plan, Status
from stockandflow.exceptions import InvalidInput
from stockandflow.registry import registry
from stockandflow.site.sequence import StockSequencer, next_in_stock, work_at

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 1, tzinfo=UTC)
trial = registry.stock("trial")


@pytest.fixture
def plan() -> Plan:
    return Plan.objects.create(name="Basic", monthly_price=9)


def made(plan: Plan, *names: str, **fields: Any) -> list[Member]:
    return [Member.objects.create(name=name, email="m@example.org", plan=plan, **fields) for name in names]


def walked(sequencer: StockSequencer, *, forward: bool = True) -> list[Any]:
    """The members as one comes to them, by place."""
    found, current = [], sequencer.first() if forward else sequencer.last()
    while current is not None:
        found.append(current)
        place = sequencer.place(current)
        current = sequencer.next(place) if forward else sequencer.previous(place)
    return found


ORDERS: list[list[str]] = [
    [],
    ["pk"],
    ["-pk"],
    ["name"],
    ["-name"],
    ["country"],
    ["-country", "name"],
    ["status_since"],
    ["plan"],
]


@pytest.mark.parametrize("order", ORDERS, ids=str)
@settings(max_examples=settings().max_examples // 5)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abC"), st.sampled_from([None, "", "GB", "ie"]), st.integers(0, 2)),
        max_size=8,
    )
)
def test_each_member_comes_once_forwards_and_backwards(order: list[str], rows: list[Any]) -> None:
    with transaction.atomic():
        plans = [Plan.objects.create(name=str(n), monthly_price=n) for n in range(2)]
        for name, country, days in rows:
            Member.objects.create(
                name=name,
                email="m@example.org",
                plan=plans[days % 2],
                country=country,
                status_since=START + timedelta(days=days, microseconds=days),
            )
        sequencer = StockSequencer(trial, order=order)
        forwards = walked(sequencer)
        assert len(forwards) == len(set(forwards)) == len(rows) == sequencer.count()
        assert walked(sequencer, forward=False) == forwards[::-1]
        assert [sequencer.position(one) for one in forwards] == [
            (n, len(rows)) for n in range(1, len(rows) + 1)
        ]
        transaction.set_rollback(True)


def test_ties_go_by_primary_key(plan: Plan) -> None:
    members = made(plan, "b", "a", "b", "a")
    for order in (["name"], ["-name"]):
        names = sorted({"a", "b"}, reverse=order == ["-name"])
        assert walked(StockSequencer(trial, order=order)) == [
            one for name in names for one in members if one.name == name
        ]


def test_what_has_left_the_stock_is_passed_and_nobody_is_missed(plan: Plan) -> None:
    members = made(plan, *"abcde")
    sequencer = StockSequencer(trial, order=["status_since"])
    seen = []
    current = sequencer.first()
    while current is not None:
        place = sequencer.place(current)
        seen.append(current)
        # Working on it changes what it is ordered by, and takes it away.
        Member.objects.filter(pk=current.pk).update(
            status=Status.ACTIVE, status_since=datetime(2030, 1, 1, tzinfo=UTC)
        )
        current = sequencer.next(place)
    assert seen == members
    assert sequencer.count() == 0


def test_what_is_gone_is_passed_by_its_place(plan: Plan) -> None:
    _, second, third, *_ = made(plan, *"abcd")
    sequencer = StockSequencer(trial, order=["name"])
    place = sequencer.place(second)
    second.delete()
    assert sequencer.next(place) == third
    assert sequencer.at(place) == third
    assert sequencer.at(place, forward=False) == sequencer.first()


def test_an_object_stands_for_its_place_also_when_it_is_no_member(plan: Plan) -> None:
    first, second, third = made(plan, *"abc")
    Member.objects.filter(pk=second.pk).update(status=Status.ACTIVE)
    sequencer = StockSequencer(trial)
    assert (sequencer.previous(second), sequencer.next(second)) == (first, third)


def test_a_slice_and_members_of_ones_own_are_gone_through_alone(plan: Plan) -> None:
    pro = Plan.objects.create(name="Pro", monthly_price=29)
    made(plan, *"ab")
    wanted = made(pro, *"cd")
    assert walked(StockSequencer(trial, facets={"plan": "Pro"})) == wanted
    assert walked(StockSequencer(trial, members=trial.all().filter(name="d"))) == wanted[1:]


def test_an_empty_stock_ends_where_it_begins() -> None:
    sequencer = StockSequencer(trial)
    assert (sequencer.first(), sequencer.last(), sequencer.count()) == (None, None, 0)


@pytest.mark.parametrize("place", ["", "x", "1.2", "..", "_00", "9" * 40, "1 OR 1=1"])
def test_what_is_no_place_is_told(place: str) -> None:
    with pytest.raises(InvalidInput, match=r"is no (place|key)"):
        StockSequencer(trial).next(place)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["price"], "'price', which is no column"),
        (["plan__name"], "is no column"),
        (["tickets"], "is no column"),
        ("name", r"write a list of columns, e\.g\. \['name'\]"),
    ],
)
def test_what_nothing_is_ordered_by_is_told(order: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        StockSequencer(trial, order=order)


def test_each_step_is_one_query_however_large_the_stock(plan: Plan) -> None:
    Member.objects.bulk_create(Member(name=f"m{n}", email="m@example.org", plan=plan) for n in range(300))
    sequencer = StockSequencer(trial, order=["name"])
    middle = Member.objects.get(name="m150")
    for step in (
        sequencer.first,
        sequencer.last,
        lambda: sequencer.next(middle),
        lambda: sequencer.previous(middle),
    ):
        with CaptureQueriesContext(connection) as captured:
            step()
        assert len(captured) == 1
    with CaptureQueriesContext(connection) as captured:
        work_at(sequencer, middle)
    assert len(captured) == 3


# From a project's own views.


def asked(**parameters: str) -> HttpRequest:
    return RequestFactory().get("/", parameters)


VIEWS: dict[str, Any] = {"object_view": "work-member", "stop_iteration_view": "work-done"}


@pytest.fixture
def views(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.site.working_urls"


def test_the_next_one_is_redirected_to_with_its_place_and_all_parameters(views: None, plan: Plan) -> None:
    first, second = made(plan, *"ab")
    response = next_in_stock(asked(team="x y"), trial, current_object_id=first.pk, **VIEWS)
    assert response["Location"] == f"/member/{second.pk}/?team=x+y&at={second.pk}"
    response = next_in_stock(asked(), trial, current_object_id=second.pk, is_forward=False, **VIEWS)
    assert response["Location"] == f"/member/{first.pk}/?at={first.pk}"


def test_without_a_current_object_it_begins_with_the_first(views: None, plan: Plan) -> None:
    first, second = made(plan, *"ab")
    assert next_in_stock(asked(), trial, **VIEWS)["Location"].startswith(f"/member/{first.pk}/")
    back = next_in_stock(asked(), trial, is_forward=False, **VIEWS)
    assert back["Location"].startswith(f"/member/{second.pk}/")


def test_it_ends_at_the_other_view_with_the_parameters(views: None, plan: Plan) -> None:
    (only,) = made(plan, "a")
    response = next_in_stock(asked(team="x", at=str(only.pk)), trial, current_object_id=only.pk, **VIEWS)
    assert response["Location"] == "/done/?team=x"


def test_it_moves_on_from_an_object_that_has_left_or_is_gone(views: None, plan: Plan) -> None:
    first, second, third = made(plan, *"abc")
    Member.objects.filter(pk=second.pk).update(status=Status.ACTIVE)
    response = next_in_stock(asked(), trial, current_object_id=second.pk, **VIEWS)
    assert response["Location"].startswith(f"/member/{third.pk}/")
    key = second.pk
    second.delete()
    response = next_in_stock(asked(at=str(key)), trial, current_object_id=key, **VIEWS)
    assert response["Location"].startswith(f"/member/{third.pk}/")
    response = next_in_stock(asked(), trial, current_object_id=key, **VIEWS)
    assert response["Location"].startswith(f"/member/{first.pk}/"), "nobody knows where it stood"


def test_an_object_is_known_by_a_slug_too(views: None, plan: Plan) -> None:
    made(plan, "ann", "ben")
    response = next_in_stock(
        asked(),
        trial,
        current_slug="ann",
        slug_field="name",
        order=["name"],
        object_view="work-slug",
        stop_iteration_view="work-done",
    )
    assert response["Location"].startswith("/slug/ben/?at=ben.")
    assert reverse("work-slug", kwargs={"name": "ben"}) == "/slug/ben/"


def test_a_template_shows_where_one_stands(plan: Plan) -> None:
    _, second, third = made(plan, *"abc")
    template = Template(
        "{% load stockandflow %}{% work_through stock member as work %}"
        "{{ work.number }} of {{ work.count }}, next {{ work.next }} at {{ work.next_place }}"
    )
    text = template.render(Context({"stock": trial, "member": second}))
    assert text == f"2 of 3, next c at {third.pk}"
