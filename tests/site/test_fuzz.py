"""No address is too odd: every parameter of every route, with whatever a person or a robot may write into it."""

from __future__ import annotations

import os
from datetime import timedelta
from importlib.util import find_spec
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection, reset_queries
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from example.membership.models import Member, Plan
from stockandflow.models import StockRecord
from stockandflow.registry import registry
from tests.site.queries import MORE_ON_POSTGRESQL, most, on_tables
from tests.site.routes import ARGUMENTS, Route, routes

pytestmark = pytest.mark.django_db

ANSWERS = {200, 302, 400, 403, 404}
WITHOUT_CLIENT = set() if find_spec("prometheus_client") else {501}
"""What the metrics answer where the package that writes them isn't installed."""
MORE_WINDOWS = 4
"""The windows of another range may hold records and moves where those of the reference have none."""
LONG = os.environ.get("STOCKANDFLOW_LONG") == "1"
EXAMPLES = 1000 if LONG else settings().max_examples * 3 // 10

PARAMETERS = [
    *("range", "since", "until", "per", "split", "compare", "format", "page", "sort"),
    *("facet-plan", "facet-country", "facet-", "facet-nowhere"),
    *(
        "kind",
        "stock",
        "flow",
        "source",
        "sink",
        "measure",
        "value",
        "at",
        "back",
        "step",
        "q",
        "nobody-knows-this",
    ),
]
GOOD = [
    *(
        "7d",
        "12mo",
        "2026-11-01",
        "2026-11-20",
        "2026-11-20T10:00+01:00",
        "auto",
        "hour",
        "day",
        "year",
        "plan",
        "Basic",
    ),
    *(
        "previous",
        "csv",
        "xlsx",
        "json",
        "1",
        "2",
        "name",
        "-name",
        "timestamp",
        "active",
        "trial",
        "converting",
        "*",
    ),
    *(
        "opening",
        "closing",
        "level",
        "inflow",
        "outflow",
        "flow",
        "net",
        "unexplained",
        "change",
        "count",
        "subjects",
    ),
]
ODD = [
    *(
        "",
        " ",
        "-1",
        "0",
        "1e9",
        "NaN",
        "٣",
        "9" * 400,
        "-" + "9" * 30,
        "0001-01-01",
        "9999-12-31",
        "2026-02-30",
    ),
    *("9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", "2026-10-25T01:30", "2026-11-20T10:00+99:99"),
    *(
        "' OR 1=1 --",
        "1; DROP TABLE auth_user",
        "%",
        "%00",
        "\x00",
        "\ud800",
        "\u202e",
        "💥" * 50,
        "<script>",
        "{{ 7 }}",
    ),
    *(
        "../../etc/passwd",
        "a" * 5000,
        "subject__member__user__password",
        "pk",
        "?",
        "__class__",
        "(none)",
        "(other)",
    ),
]
parameters = st.lists(
    st.tuples(
        st.sampled_from(PARAMETERS) | st.text(max_size=10),
        st.sampled_from(GOOD) | st.sampled_from(ODD) | st.text(max_size=30),
    ),
    max_size=6,
)
"""Some may come twice."""
arguments = st.sampled_from([*GOOD, *ODD]) | st.text(min_size=1, max_size=30)


@pytest.fixture
def someone(client: Client) -> Client:
    """Who may do everything, over a little of everything."""
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.bulk_create(Member(name=f"m{n}", email="m@example.org", plan=plan) for n in range(5))
    Member.objects.filter(name="m0").convert()
    StockRecord.objects.bulk_create(
        StockRecord(stock=stock.slug, timestamp=timezone.now() - timedelta(days=40), count=0)
        for stock in registry.process("membership").stocks
    )
    client.force_login(User.objects.create_superuser("someone"))
    return client


def query_of(given: list[tuple[str, str]]) -> str:
    return urlencode(
        [(name.encode(errors="surrogatepass"), value.encode(errors="surrogatepass")) for name, value in given]
    )


def check(client: Client, address: str, route: Route) -> None:
    reset_queries()  # what is remembered of all requests together has an end
    with CaptureQueriesContext(connection) as captured:
        response = client.get(address)
        if response.streaming:
            b"".join(response)
    assert response.status_code in (ANSWERS | WITHOUT_CLIENT if "/metrics" in address else ANSWERS)
    made = on_tables(captured)
    assert made <= most(route.name) + (
        MORE_WINDOWS + MORE_ON_POSTGRESQL if route.name == "unexplained" else 0
    )


# To find the shortest example takes minutes: that is for who looks for the cause.
PHASES = list(Phase) if LONG else [Phase.explicit, Phase.reuse, Phase.generate]
SEARCHED = settings(
    max_examples=EXAMPLES, phases=PHASES, suppress_health_check=list(HealthCheck), deadline=None
)


@pytest.mark.parametrize("route", routes(), ids=str)
def test_no_parameter_of_a_route_is_too_odd(someone: Client, route: Route) -> None:
    member = Member.objects.earliest("pk").pk

    @SEARCHED
    @given(parameters)
    def search(given_: list[tuple[str, str]]) -> None:
        check(someone, f"{route.address(member)}?{query_of([*route.query.items(), *given_])}", route)

    search()


@pytest.mark.parametrize("route", [route for route in routes() if ARGUMENTS[route.name]], ids=str)
def test_no_part_of_an_address_is_too_odd(someone: Client, route: Route) -> None:
    member = Member.objects.earliest("pk").pk

    @SEARCHED
    @given(st.data())
    def search(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(ARGUMENTS[route.name])))
        try:
            address = route.address(member, **{name: data.draw(arguments)})
        except (NoReverseMatch, UnicodeEncodeError):  # no such address is anybody's
            return
        check(someone, address, route)

    search()


@pytest.mark.parametrize("route", [route for route in routes() if not route.is_in_admin], ids=str)
def test_each_parameter_of_a_route_takes_odd_values_alone(someone: Client, route: Route) -> None:
    member = Member.objects.earliest("pk").pk
    for place, name in enumerate(PARAMETERS):
        for value in ODD if LONG else [ODD[place % len(ODD)]]:
            alone = {**route.query, name: value}
            check(someone, f"{route.address(member)}?{query_of([*alone.items()])}", route)
