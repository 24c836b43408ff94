"""Who is let in where: each route of the URLconf, in each format, for each kind of user; and what they may read."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.test import Client

from example.membership.models import Member, Plan
from stockandflow.models import ScheduleRun
from tests.site.routes import ARGUMENTS, Route, routes

pytestmark = [pytest.mark.django_db, pytest.mark.once]

FORMATS = ("", "csv", "xlsx", "json")
VIEWS = ("view_member", "view_ticket", "view_lead")
ROLES: dict[str, tuple[str, ...]] = {
    "anonymous": (),
    "logged in": (),
    "sees numbers": ("view_process",),
    "sees objects": ("view_process", "list_objects", *VIEWS),
    "takes files": ("view_process", "list_objects", "export_process", *VIEWS),
    "sees a part": ("view_process", "list_objects", "export_process", *VIEWS),
    "superuser": (),
}
"""Kind of user → the codenames of the permissions."""

LOGIN, HERE, NO, HIDDEN, WHO, WRONG = 302, 200, 403, 404, 401, 400
METRICS = HERE if find_spec("prometheus_client") else 501
EXPECTED: dict[tuple[str, bool], tuple[int, ...]] = {
    ("index", False): (LOGIN, HERE, HERE, HERE, HERE, HERE, HERE),
    ("index", True): (LOGIN, NO, NO, NO, HERE, HERE, HERE),
    ("status", False): (LOGIN, NO, NO, NO, NO, NO, HERE),
    ("process", False): (LOGIN, HIDDEN, HERE, HERE, HERE, HERE, HERE),
    ("process", True): (LOGIN, HIDDEN, NO, NO, HERE, NO, HERE),
    ("stock", False): (LOGIN, HIDDEN, HERE, HERE, HERE, HERE, HERE),
    ("stock", True): (LOGIN, HIDDEN, NO, NO, HERE, NO, HERE),
    ("work", False): (LOGIN, HIDDEN, NO, HERE, HERE, HERE, HERE),
    ("flow", False): (LOGIN, HIDDEN, HERE, HERE, HERE, HERE, HERE),
    ("flow", True): (LOGIN, HIDDEN, NO, NO, HERE, NO, HERE),
    ("unexplained", False): (LOGIN, HIDDEN, HERE, HERE, HERE, HERE, HERE),
    ("objects", False): (LOGIN, HIDDEN, NO, HERE, HERE, HERE, HERE),
    ("objects", True): (LOGIN, HIDDEN, NO, NO, HERE, HERE, HERE),
    ("timeline", False): (LOGIN, HIDDEN, NO, HERE, HERE, HERE, HERE),
    ("timeline", True): (LOGIN, HIDDEN, NO, NO, HERE, HERE, HERE),
    ("api-schema", False): (WHO, HERE, HERE, HERE, HERE, HERE, HERE),
    ("api-processes", False): (WHO, HERE, HERE, HERE, HERE, HERE, HERE),
    ("api-processes", True): (WHO, WRONG, WRONG, WRONG, WRONG, WRONG, WRONG),
    ("api-process", False): (WHO, HIDDEN, NO, NO, HERE, NO, HERE),
    ("api-process", True): (WHO, HIDDEN, NO, NO, WRONG, NO, WRONG),
    ("api-stock", False): (WHO, HIDDEN, NO, NO, HERE, NO, HERE),
    ("api-stock", True): (WHO, HIDDEN, NO, NO, WRONG, NO, WRONG),
    ("api-flow", False): (WHO, HIDDEN, NO, NO, HERE, NO, HERE),
    ("api-flow", True): (WHO, HIDDEN, NO, NO, WRONG, NO, WRONG),
    ("api-events", False): (WHO, HIDDEN, NO, HERE, HERE, HERE, HERE),
    ("api-events", True): (WHO, HIDDEN, WRONG, WRONG, WRONG, WRONG, WRONG),
    ("api-nowhere", False): (WHO, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN),
    ("metrics", False): (WHO, NO, NO, NO, NO, NO, METRICS),
    ("feed-stock", False): (WHO, HIDDEN, NO, NO, HERE, NO, HERE),
    ("feed-stock", True): (WHO, HIDDEN, NO, NO, WRONG, NO, WRONG),
    ("feed-flow", False): (WHO, HIDDEN, NO, NO, HERE, NO, HERE),
    ("feed-flow", True): (WHO, HIDDEN, NO, NO, WRONG, NO, WRONG),
}
"""Name of a route, whether with a format → what each role gets, in order. Where there is no second row, a format
changes nothing; what programs read has no formats, and refuses the parameter.
"""
MEMBERS = 1237
"""So many that the number is nobody else's."""


def part(request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
    """What the one who sees a part sees: the members who are called Ada."""
    if queryset.model is Member and request.user.get_username() == "sees a part":
        return queryset.filter(name="Ada")
    return queryset


@pytest.fixture(autouse=True)
def members(settings: Any) -> None:
    settings.STOCKANDFLOW = {"SCOPE": "tests.site.test_matrix.part"}
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.create(name="Ada", email="ada@example.org", plan=plan, status="active")
    Member.objects.bulk_create(
        Member(name="Somebody Else", email="else@example.org", plan=plan, status="active")
        for _ in range(MEMBERS - 1)
    )


def client_of(role: str) -> Client:
    """A browser of such a user, who may enter the admin."""
    client = Client()
    if role != "anonymous":
        user = User.objects.create_user(role, is_staff=True, is_superuser=role == "superuser")
        user.user_permissions.set(Permission.objects.filter(codename__in=ROLES[role]))
        client.force_login(user)
    return client


def answers(client: Client, route: Route) -> dict[str, Any]:
    """What the route answers about Ada, by format."""
    address = route.address(Member.objects.get(name="Ada").pk)
    return {
        kind: client.get(address, {**route.query, **({"format": kind} if kind else {})}) for kind in FORMATS
    }


def text_of(response: Any) -> str:
    content = b"".join(response) if response.streaming else response.content
    return str(content.decode(errors="replace"))


def test_every_route_has_its_arguments_and_its_row() -> None:
    names = {route.name for route in routes()}
    assert names == set(ARGUMENTS)
    assert names == {name for name, _ in EXPECTED}


@pytest.mark.parametrize("route", routes(), ids=str)
def test_each_user_is_let_in_where_the_matrix_says(route: Route) -> None:
    for place, role in enumerate(ROLES):
        wanted = {
            kind: EXPECTED[route.name, bool(kind) and (route.name, True) in EXPECTED][place]
            for kind in FORMATS
        }
        given = answers(client_of(role), route)
        found = {kind: response.status_code for kind, response in given.items()}
        assert found == wanted, role


@pytest.mark.parametrize("route", routes(), ids=str)
def test_no_cache_that_people_share_keeps_an_answer(route: Route) -> None:
    for response in answers(client_of("superuser"), route).values():
        assert "private" in response["Cache-Control"]
        assert "Cookie" in response["Vary"]


@pytest.mark.parametrize("route", routes(), ids=str)
def test_a_post_from_elsewhere_is_refused(route: Route) -> None:
    client = client_of("superuser")
    client.handler.enforce_csrf_checks = True
    address = route.address(Member.objects.get(name="Ada").pk)
    sent = {"action": "run", "entry": "stockandflow.record"}
    assert client.post(f"{address}?{urlencode(route.query)}", sent).status_code in (NO, 405)
    assert not ScheduleRun.objects.exists()


@pytest.mark.parametrize("route", [route for route in routes() if route.is_in_admin], ids=str)
def test_the_admins_pages_are_for_staff(route: Route) -> None:
    client = client_of("superuser")
    User.objects.update(is_staff=False)
    assert {response.status_code for response in answers(client, route).values()} == {LOGIN}


@pytest.mark.parametrize("route", routes(), ids=str)
def test_who_sees_numbers_only_reads_no_name_and_is_led_to_none(route: Route) -> None:
    for response in answers(client_of("sees numbers"), route).values():
        text = text_of(response)
        assert not re.search(r"\bAda\b", text)  # a token may hold the letters
        assert "Somebody Else" not in text
        assert not re.search(r'href="[^"]*/objects/', text)


@pytest.mark.parametrize("route", routes(), ids=str)
def test_who_sees_a_part_reads_nothing_about_the_rest(route: Route) -> None:
    for response in answers(client_of("sees a part"), route).values():
        text = text_of(response)
        assert "Somebody Else" not in text
        assert not re.search(rf"\b{MEMBERS:,}\b|\b{MEMBERS}\b", text)


def test_who_sees_a_part_finds_nobody_elses_history() -> None:
    client, other = client_of("sees a part"), Member.objects.filter(name="Somebody Else").earliest("pk")
    for route in routes():
        if route.name == "timeline":
            assert client.get(route.address(other.pk)).status_code == HIDDEN
