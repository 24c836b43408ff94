"""Which numbers lead to the list behind them, and for whom."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from stockandflow.registry import registry
from stockandflow.reports import Kind, Number
from stockandflow.site.links import linker, objects_url

pytestmark = pytest.mark.django_db

MEMBERSHIP = registry.process("membership")
NOW = timezone.now()


def linked(number: Number, *permissions: str, process: Any = MEMBERSHIP) -> str | None:
    user = User.objects.create_user("someone")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    request = RequestFactory().get("/")
    request.user = User.objects.get(pk=user.pk)
    return linker(request, process)(number)


def level(slug: str, **kwargs: Any) -> Number:
    return Number(Kind.LEVEL, stock=registry.stock(slug), **{"value": 3, **kwargs})


LISTER = ("view_process", "list_objects", "view_member", "view_ticket")


def test_a_number_leads_to_its_list_for_who_may_list_the_model() -> None:
    number = level("active")
    assert linked(number, *LISTER) == objects_url(number, MEMBERSHIP)


@pytest.mark.parametrize("lacking", ["view_process", "list_objects", "view_member"])
def test_without_one_of_the_permissions_a_number_leads_nowhere(lacking: str) -> None:
    assert linked(level("active"), *(set(LISTER) - {lacking})) is None


def test_a_flow_is_of_the_model_that_moves_and_other_moves_of_all_models() -> None:
    kwargs: Any = {"since": NOW - timedelta(days=1), "until": NOW, "value": 3}
    assert linked(Number(Kind.FLOW, flow=registry.flow("converting"), **kwargs), *LISTER)
    User.objects.all().delete()
    assert linked(Number(Kind.FLOW, **kwargs), *LISTER)
    User.objects.all().delete()
    assert linked(Number(Kind.FLOW, **kwargs), "view_process", "list_objects") is None


@pytest.mark.parametrize(
    "number",
    [
        level("active", value=0),
        level("active", value=None),
        level("active", until=NOW, slice=(("plan", "Pro"),)),
        Number(Kind.RECLASSIFIED, stock=registry.stock("active"), value=3),
    ],
)
def test_what_no_list_is_behind_leads_nowhere(number: Number) -> None:
    assert linked(number, *LISTER) is None


def test_the_past_of_a_stock_in_no_tracker_leads_nowhere_and_its_members_now_do() -> None:
    support = registry.process("support")
    assert linked(level("ticket-urgent", until=NOW), *LISTER, process=support) is None
    User.objects.all().delete()
    assert linked(level("ticket-urgent"), *LISTER, process=support)


def test_the_permissions_are_asked_once() -> None:
    user = User.objects.create_user("someone")
    request = RequestFactory().get("/")
    request.user = user
    link = linker(request, MEMBERSHIP)
    with CaptureQueriesContext(connection) as captured:
        for slug in ("active", "trial", "paused"):
            link(level(slug))
    assert len(captured) == 2
