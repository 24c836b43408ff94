"""Who sees which process."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.http import Http404

from example.membership.models import Member
from stockandflow.declarations import Process, Stock
from stockandflow.registry import Registry
from stockandflow.site.access import may_view, process_or_404, visible

pytestmark = pytest.mark.django_db

stock = Stock(slug="all", name="All", queryset=Member.objects.none())
ordinary = Process("ordinary", "Ordinary", [stock])
guarded = Process("guarded", "Guarded", [stock], permission="example_membership.view_member")


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    made.register(ordinary, guarded)
    return made


def user_with(*codenames: str, **fields: Any) -> User:
    user = User.objects.create_user("someone", **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def test_the_permission_to_view_processes_comes_with_the_app() -> None:
    permission = Permission.objects.get(codename="view_process")
    assert (permission.content_type.app_label, permission.name) == (
        "stockandflow",
        "Can view the pages of processes",
    )


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
