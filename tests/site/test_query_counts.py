"""How many queries each address takes, whatever is stored: what the reference says, measured small and then big."""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import Member
from stockandflow.site.embedding import EMBEDDABLE
from tests.site.growing import bigger, small
from tests.site.queries import MORE_ON_POSTGRESQL, Row, documented, most, on_tables
from tests.site.routes import Route, routes

pytestmark = [pytest.mark.django_db, pytest.mark.once]

FORMATS = ("csv", "xlsx", "json")
REPORTS = (
    {"facet-plan": "Plan 1", "compare": "previous"},
    {"split": "plan", "compare": "previous"},
    {"range": "12mo", "per": "week", "compare": "year"},
)
TODAY = timezone.localdate()
WEEK = {"since": str(TODAY - timedelta(days=8)), "until": str(TODAY - timedelta(days=1))}
MORE: dict[str, tuple[dict[str, str], ...]] = {
    "process": REPORTS,
    "stock": REPORTS,
    "flow": REPORTS,
    "unexplained": ({"range": "90d"},),
    "objects": (
        {"kind": "flow", "flow": "converting", **WEEK},
        {"kind": "inflow", "stock": "active", **WEEK},
        {"kind": "level", "stock": "active", "until": WEEK["until"]},
        {"kind": "level", "stock": "active", "facet-plan": "Plan 1"},
    ),
    "api-process": ({"split": "plan", "per": "day", "compare": "previous"},),
    "api-stock": ({"per": "hour", "range": "7d"}, {"per": "week", "measure": "mean"}),
    "api-flow": ({"per": "hour", "range": "7d"}, {"per": "week", "measure": "subjects"}),
    "api-events": ({"flow": "converting", "limit": "1000"},),
}
"""Name of a route → what else it is asked, of all that it can be asked what takes most."""
WITHOUT = set() if find_spec("prometheus_client") else {"metrics"}
"""What answers nothing here."""
ADMIN = {
    "the admin site's index": "/stockandflow-admin/",
    "the index of an app": "/stockandflow-admin/membership/",
    "the list of a stock": "/stockandflow-admin/membership/stock-active/",
    "the list of a flow": "/stockandflow-admin/membership/flow-converting/",
}


def queries(client: Client, address: str, **parameters: str) -> int:
    """How many an address takes; raises where it doesn't answer with what was asked."""
    with CaptureQueriesContext(connection) as captured:
        response = client.get(f"{address}?{urlencode(parameters)}")
        if response.streaming:
            b"".join(response)
    assert response.status_code == (404 if "/api/v2" in address else 200), (
        f"{address} {parameters}: {response.status_code}"
    )
    return on_tables(captured)


def measured(client: Client, asked: list[Route]) -> dict[str, Row]:
    """The queries of each address; raises where a page takes others in the admin, or a file in other formats."""
    member = Member.objects.latest("pk").pk
    found: dict[str, Row] = {}
    for route in asked:
        address = route.address(member)
        plain = queries(client, address, **route.query)
        others = [queries(client, address, **route.query | more) for more in MORE.get(route.name, ())]
        files = {queries(client, address, **route.query, format=kind) for kind in FORMATS if has_files(route)}
        assert len(files) <= 1, f"{route} as a file: {files}"
        row = str(plain), str(max(plain, *others)) if others else "", "".join(map(str, files))
        assert found.setdefault(route.name, row) == row, str(route)
    return found | {name: (str(queries(client, address)), "", "") for name, address in ADMIN.items()}


def has_files(route: Route) -> bool:
    return route.is_page and route.name not in ("status", "work", "unexplained")


def test_each_address_takes_the_queries_that_the_reference_says_whatever_is_stored(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    there = [route for route in routes() if route.name not in WITHOUT]
    small()
    for route in there:  # what is remembered from one request to the next is, from here on
        queries(client, route.address(Member.objects.latest("pk").pk), **route.query)
    few = measured(client, there)
    bigger()
    many = measured(client, [route for route in there if not route.is_in_admin])
    assert many == few
    said = {name: row for name, row in documented().items() if name not in WITHOUT}
    if connection.vendor == "mysql":  # the admin doesn't count what it lists there
        said["the list of a flow"] = many["the list of a flow"]
    if connection.vendor == "postgresql":  # sums tell first what is in order
        said["unexplained"] = many["unexplained"]
        assert int(many["unexplained"][0]) <= most("unexplained") + MORE_ON_POSTGRESQL
    differing = {name: row for name, row in many.items() if said.get(name) != row}
    assert many == said, f"{differing}"


def test_a_page_in_a_page_of_others_takes_as_many(client: Client, settings: Any) -> None:
    settings.STOCKANDFLOW = {"EMBED_ORIGINS": ["https://wall.example"]}
    client.force_login(User.objects.create_superuser("root"))
    small()
    for route in routes():
        if route.name in EMBEDDABLE:
            address = route.address()
            queries(client, address)
            assert queries(client, address, embed="1") <= queries(client, address)
