"""Small groups on every route: who may not list the objects reads no small number, in whatever form it is asked for."""

from __future__ import annotations

import ast
import csv
import json
import re
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory
from django.utils import translation

import stockandflow
from example.membership.models import Member, Plan, Status
from stockandflow.feeds import dashboard
from stockandflow.models import ApiToken
from stockandflow.recording import record
from stockandflow.registry import registry
from tests.site.routes import Route, routes
from tests.site.test_views import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]

SMALL, LARGE, LEAST = 1237, 1871, 1500
"""So many are paused, so many active: numbers that are nobody else's. Fewer than LEAST are hidden."""
NUMBERS = ("view_process", "export_process", "view_metrics", "view_member", "view_ticket", "view_lead")
QUERIES: tuple[dict[str, str], ...] = (
    {},
    {"format": "csv"},
    {"format": "xlsx"},
    {"format": "json"},
    {"range": "7d", "per": "day"},
    {"range": "7d", "per": "week"},
    {"split": "plan", "range": "7d"},
    {"split": "plan", "range": "7d", "format": "csv"},
    {"facet-plan": "Basic", "range": "7d"},
    {"facet-plan": "Basic", "range": "7d", "format": "json"},
    {"compare": "previous", "range": "7d"},
    {"embed": "1"},
    {"shape": "geckoboard", "range": "7d"},
    {"measure": "mean", "per": "week"},
    {"measure": "rate", "per": "week"},
)
MEMBERSHIP = "/stockandflow/membership/"


@pytest.fixture(autouse=True)
def groups(settings: Any) -> None:
    settings.STOCKANDFLOW = {"MIN_CELL": LEAST, "EMBED_ORIGINS": ["'self'"]}
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.bulk_create(
        Member(name="Somebody", email="s@example.org", plan=plan, status=status)
        for status, number in ((Status.PAUSED, SMALL), (Status.ACTIVE, LARGE))
        for _ in range(number)
    )
    record(registry)


def client_of(*codenames: str) -> Client:
    user = User.objects.create_user("someone", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def read(response: Any) -> str:
    content = b"".join(response) if response.streaming else response.content
    if content.startswith(b"PK"):
        book = ZipFile(BytesIO(content))
        content = b"\n".join(book.read(name) for name in book.namelist())
    return str(content.decode(errors="replace"))


def tells(text: str, number: int) -> bool:
    return bool(re.search(rf"(?<![\d.,]){number // 1000},?{number % 1000:03}(?![\d])", text))


def alone() -> list[Route]:
    """The routes where they stand alone; those in an admin's frame have the same views."""
    return [route for route in routes() if not route.is_in_admin]


def test_no_route_tells_a_small_group_to_who_may_not_list_it() -> None:
    client = client_of(*NUMBERS)
    member = Member.objects.values_list("pk", flat=True)[0]
    for route in alone():
        address = route.address(member)
        for query in QUERIES:
            response = client.get(address, {**route.query, **query})
            assert not tells(read(response), SMALL), (str(route), query, response.status_code)
        assert not tells(str(dict(client.head(address, route.query).items())), SMALL)
    metrics = client.get("/stockandflow/metrics", headers={"Accept": "application/openmetrics-text"})
    assert not tells(read(metrics), SMALL)


SHOWN = {"index", "process", "api-process", "metrics"}


def test_who_may_list_the_objects_is_told_all() -> None:
    pytest.importorskip("prometheus_client")
    client = client_of(*NUMBERS, "list_objects")
    for route in alone():
        if route.name in SHOWN:
            text = read(client.get(route.address()))
            assert tells(text, SMALL), str(route)
            assert tells(text, LARGE), str(route)


def test_the_ledger_says_that_there_are_few_and_hides_what_would_tell_how_many() -> None:
    client = client_of(*NUMBERS)
    text = text_of(read(client.get(MEMBERSHIP, {"range": "7d"})))
    assert "< 1,500" in text
    assert "Groups of fewer than 1,500 are hidden, with the numbers that would give them away." in text
    assert tells(text, LARGE)
    with translation.override("de"):
        text = text_of(read(client.get(MEMBERSHIP, {"range": "7d"}, headers={"Accept-Language": "de"})))
    assert "< 1.500" in text


def test_a_file_marks_what_is_hidden_and_keeps_its_columns_of_numbers() -> None:
    text = read(client_of(*NUMBERS).get(MEMBERSHIP, {"format": "csv", "range": "7d"}))
    rows = [
        row for row in csv.DictReader(StringIO(text)) if row["scope"] == "range" and row["kind"] == "closing"
    ]
    found = {row["stock"]: (row["value"], row["status"]) for row in rows}
    assert found["paused"] == ("", "suppressed")
    assert found["active"] == (str(LARGE), "in_progress")


def test_json_has_null_and_a_marker() -> None:
    client = client_of(*NUMBERS)
    found = json.loads(read(client.get(MEMBERSHIP, {"format": "json", "range": "7d"})))
    paused = next(one for one in found["stocks"] if one["slug"] == "paused")
    numbers = ("opening", "inflow", "outflow", "net", "unexplained", "closing", "change")
    assert {paused[name] for name in numbers} == {None}
    assert paused["status"] == "suppressed"
    assert found["min_cell"] == LEAST
    api = client.get("/stockandflow/api/v1/processes/membership/").json()
    rows = [row for row in api["rows"] if row["stock"] == "paused" and row["kind"] == "closing"]
    assert [(row["value"], row["status"]) for row in rows] == [(None, "suppressed")]
    assert api["meta"]["suppressed"]
    line = client.get("/stockandflow/feeds/membership/stocks/paused/?range=7d").json()
    assert set(line["values"]) == {None}
    assert set(line["statuses"]) == {"suppressed"}


def test_the_index_as_a_file_marks_what_is_hidden() -> None:
    text = read(client_of(*NUMBERS).get("/stockandflow/", {"format": "csv"}))
    found = {row["stock"]: (row["count"], row["status"]) for row in csv.DictReader(StringIO(text))}
    assert found["paused"] == ("", "suppressed")
    assert found["active"] == (str(LARGE), "")


def test_a_token_is_told_what_its_user_is() -> None:
    client_of(*NUMBERS)
    user = User.objects.get(username="someone")
    _, secret = ApiToken.objects.issue("robot", user, ["feeds", "api/v1", "metrics"])
    program = Client(headers={"Authorization": f"Bearer {secret}"})
    for address in (
        "feeds/membership/stocks/paused/",
        "api/v1/processes/membership/stocks/paused/",
        "metrics",
    ):
        assert not tells(read(program.get(f"/stockandflow/{address}")), SMALL)


def test_a_dashboard_has_few_where_there_are() -> None:
    client_of(*NUMBERS)
    request = RequestFactory().get("/")
    request.user = User.objects.get(username="someone")
    found = dashboard(request, "membership")
    assert found is not None
    assert {card.title: card.metric for card in found.cards}["Paused"] == "< 1,500"
    assert str(SMALL) not in found.chart


def test_a_process_may_say_another_size_than_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.process("membership"), "min_cell", 5)
    assert tells(read(client_of(*NUMBERS).get(MEMBERSHIP, {"range": "7d"})), SMALL)


def test_the_list_of_a_hidden_number_is_refused_and_nothing_leads_there() -> None:
    client = client_of(*NUMBERS)
    html = read(client.get(MEMBERSHIP, {"range": "7d"}))
    assert "/objects/" not in html
    assert client.get(f"{MEMBERSHIP}objects/", {"kind": "level", "stock": "paused"}).status_code == 403


def test_a_value_alone_is_hidden_where_the_split_hides_it() -> None:
    other = Plan.objects.create(name="Pro", monthly_price=19)
    Member.objects.bulk_create(
        Member(name="S", email="s@example.org", plan=other, status=Status.ACTIVE) for _ in range(LARGE)
    )
    for plan in ("Basic", "Pro"):
        client = Client()
        client.force_login(User.objects.filter(username="someone").first() or _user())
        text = text_of(read(client.get(MEMBERSHIP, {"range": "7d", "facet-plan": plan})))
        assert not tells(text, LARGE)
        assert "hidden" in text


def _user() -> User:
    client_of(*NUMBERS)
    return User.objects.get(username="someone")


HERE = Path(stockandflow.__file__).parent
TELLING = {"balance", "causes", "latest", "net", "rhythm", "series"}
"""What of ``stockandflow.reports`` gives numbers of a whole process."""
HIDE_BY_THEMSELVES = {
    ("site/cards.py", "balance"),
    ("site/views/flow.py", "rhythm"),
    ("site/views/unexplained.py", "causes"),
    ("feeds/metrics.py", "latest"),
}


def test_every_output_takes_its_numbers_where_small_groups_are_hidden() -> None:
    found = {
        (path.relative_to(HERE).as_posix(), alias.name)
        for folder in ("site", "api", "feeds")
        for path in (HERE / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stockandflow.reports")
        for alias in node.names
        if alias.name in TELLING
    }
    assert found == HIDE_BY_THEMSELVES
