"""Who sees which process, which objects, and who may do what."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.db import connection
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.test.utils import CaptureQueriesContext

from example.membership.models import Member, Plan
from example.support.models import Ticket
from stockandflow.declarations import Process, Stock
from stockandflow.exceptions import DeclarationError
from stockandflow.registry import Registry
from stockandflow.site.access import (
    is_scoped,
    may_act,
    may_export,
    may_list,
    may_view,
    process_or_404,
    scoped,
    visible,
)
from tests.users import user_with

pytestmark = pytest.mark.django_db

stock = Stock(slug="all", name="All", queryset=Member.objects.none())
ordinary = Process("ordinary", "Ordinary", [stock], flows=[])
guarded = Process("guarded", "Guarded", [stock], permission="example_membership.view_member")


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    made.register(ordinary, guarded)
    return made


@pytest.mark.parametrize(
    ("codename", "name"),
    [
        ("view_process", "Can view the pages of processes"),
        ("list_objects", "Can list the objects behind the numbers of processes"),
        ("export_process", "Can export the numbers of processes"),
        ("act_on_objects", "Can run actions on the members of stocks"),
    ],
)
def test_the_permissions_come_with_the_app(codename: str, name: str) -> None:
    permission = Permission.objects.get(codename=codename)
    assert (permission.content_type.app_label, permission.name) == ("stockandflow", name)


def test_a_process_needs_the_common_permission_unless_it_names_its_own(registry: Registry) -> None:
    user = user_with("view_process")
    assert visible(user, registry) == [ordinary]


def test_its_own_permission_stands_in_for_the_common_one(registry: Registry) -> None:
    label = Member._meta.app_label
    own = Process("own", "Own", [stock], permission=f"{label}.view_member")
    user = user_with("view_member")
    assert may_view(user, own)
    assert not may_view(user, ordinary)


def test_a_group_gives_it_too(registry: Registry) -> None:
    group = Group.objects.create(name="Readers")
    group.permissions.add(Permission.objects.get(codename="view_process"))
    user = user_with()
    user.groups.add(group)
    assert may_view(user, ordinary)


def test_a_superuser_sees_all_and_an_inactive_one_none(registry: Registry) -> None:
    user = user_with(is_superuser=True)
    assert visible(user, registry) == [ordinary, guarded]
    user.is_active = False
    assert visible(user, registry) == []


def test_nobody_sees_nothing(registry: Registry) -> None:
    assert visible(AnonymousUser(), registry) == []


def test_a_hidden_process_cannot_be_told_from_one_that_does_not_exist(registry: Registry) -> None:
    user = user_with("view_process")
    assert process_or_404(user, registry, "ordinary") is ordinary
    told = []
    for slug in ("guarded", "nowhere"):
        with pytest.raises(Http404) as caught:
            process_or_404(user, registry, slug)
        told.append(str(caught.value).replace(slug, "…"))
    assert told[0] == told[1]


MAY: dict[str, Callable[[Any], bool]] = {
    "list": lambda user: may_list(user, ordinary, Member),
    "export": lambda user: may_export(user, ordinary),
    "act": lambda user: may_act(user, ordinary, Member),
}


@pytest.mark.parametrize(
    ("codenames", "allowed"),
    [
        ((), ()),
        (("view_process",), ()),
        (("view_process", "view_member", "change_member"), ()),
        (("view_process", "list_objects"), ()),
        (("view_process", "list_objects", "view_member"), ("list",)),
        (("view_process", "list_objects", "change_member"), ("list",)),
        (("view_process", "list_objects", "view_plan"), ()),
        (("list_objects", "export_process", "act_on_objects", "view_member", "change_member"), ()),
        (("view_process", "export_process"), ()),
        (("view_process", "export_process", "view_member"), ("export",)),
        (("view_process", "act_on_objects", "view_member"), ()),
        (("view_process", "act_on_objects", "change_member"), ("act",)),
    ],
)
def test_objects_want_their_own_permission_and_their_models(
    codenames: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    user = user_with(*codenames)
    assert tuple(what for what, may in MAY.items() if may(user)) == allowed


def test_a_superuser_may_all_and_nobody_nothing() -> None:
    superuser = user_with(is_superuser=True)
    assert all(may(superuser) for may in MAY.values())
    assert not any(may(AnonymousUser()) for may in MAY.values())


def test_an_export_wants_the_permission_to_view_every_model_of_its_stocks() -> None:
    tickets = Stock(slug="tickets", name="Tickets", queryset=Ticket.objects.all())
    both = Process("both", "Both", [stock, tickets])
    user = user_with("view_process", "export_process", "view_member")
    assert may_export(user, ordinary)
    assert not may_export(user, both)


def request_of(name: str) -> HttpRequest:
    request = HttpRequest()
    request.user = User(username=name)
    return request


def own(request: HttpRequest, queryset: QuerySet[Any]) -> Any:
    """What the tests' project lets its users see: everything, but of members each user sees his namesakes."""
    name = request.user.get_username()
    if queryset.model is not Member or name == "boss":
        return queryset.all()
    if name == "nobody":
        return queryset.none()
    if name == "gambler":
        return queryset.filter(tickets__isnull=False)
    return {"wrong": Plan.objects.all(), "wronger": "members"}.get(name, queryset.filter(name=name))


@pytest.fixture
def own_scope(settings: Any) -> None:
    settings.STOCKANDFLOW = {"SCOPE": f"{__name__}.own"}


@pytest.fixture
def ann_and_ben() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    for name in ("ann", "ben"):
        Member.objects.create(name=name, email=f"{name}@example.org", plan=plan)


def test_without_a_scope_a_queryset_comes_back_as_it_is(settings: Any, ann_and_ben: None) -> None:
    everybody = Member.objects.all()
    assert scoped(request_of("ann"), everybody) is everybody
    assert not is_scoped(request_of("ann"), ordinary)


def test_a_scope_leaves_each_user_his_own(own_scope: None, ann_and_ben: None) -> None:
    members = Member.objects.order_by("name")
    names = {
        name: [member.name for member in scoped(request_of(name), members)]
        for name in ("ann", "boss", "nobody")
    }
    assert names == {"ann": ["ann"], "boss": ["ann", "ben"], "nobody": []}
    assert scoped(request_of("ann"), Plan.objects.all()).count() == 1


def test_a_scope_that_joins_other_rows_gives_each_object_once(own_scope: None, ann_and_ben: None) -> None:
    ann = Member.objects.get(name="ann")
    for title in ("one", "two"):
        Ticket.objects.create(title=title, member=ann)
    assert list(scoped(request_of("gambler"), Member.objects.all())) == [ann]


def test_a_request_is_scoped_where_any_model_of_the_process_is_narrowed(own_scope: None) -> None:
    tickets = Stock(slug="tickets", name="Tickets", queryset=Ticket.objects.all())
    support = Process("support", "Support", [tickets], flows=[])
    both = Process("both", "Both", [tickets, stock], flows=[])
    told = {
        name: [is_scoped(request_of(name), process) for process in (support, both)]
        for name in ("ann", "boss", "nobody")
    }
    assert told == {"ann": [False, True], "boss": [False, False], "nobody": [False, True]}


def test_asking_whether_a_request_is_scoped_makes_no_query(own_scope: None) -> None:
    with CaptureQueriesContext(connection) as captured:
        is_scoped(request_of("ann"), ordinary)
    assert len(captured) == 0


@pytest.mark.parametrize(
    ("name", "given"), [("wrong", "a queryset of membership.Plan"), ("wronger", "'members'")]
)
def test_a_scope_that_gives_something_else_shows_nothing(own_scope: None, name: str, given: str) -> None:
    with pytest.raises(DeclarationError, match="return the queryset that was passed in") as raised:
        scoped(request_of(name), Member.objects.all())
    assert given in str(raised.value)


def test_a_scope_that_is_gone_shows_nothing(settings: Any) -> None:
    settings.STOCKANDFLOW = {"SCOPE": f"{__name__}.gone"}
    with pytest.raises(DeclarationError, match="can't be imported"):
        scoped(request_of("ann"), Member.objects.all())
    with pytest.raises(DeclarationError, match="can't be imported"):
        is_scoped(request_of("ann"), ordinary)
