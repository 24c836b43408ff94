"""The API: what it answers, that the schema says so, and that what can be asked has bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent
from stockandflow.api import asking
from stockandflow.api.views import json_schema
from stockandflow.declarations import Process, Stock
from stockandflow.models import StockRecord, Watermark
from stockandflow.registry import registry
from stockandflow.rendering.document import iso
from tests.api.conftest import ROOT, Ask, bearer
from tests.users import user_with

pytestmark = pytest.mark.django_db

MEMBERSHIP = "api/v1/processes/membership/"


def test_the_schema_is_one_and_is_served(viewer: User, ask: Ask) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert ask("api/v1/schema/")["schema"] == json_schema()


def test_the_list_has_a_row_for_each_process_stock_and_flow_and_where_its_numbers_are(
    viewer: User, ask: Ask
) -> None:
    rows = ask("api/v1/processes/")["rows"]
    assert [row["slug"] for row in rows if row["kind"] == "process"] == [
        one.slug for one in registry.processes
    ]
    mine = [row for row in rows if row["process"] == "membership"]
    assert len(mine) == 1 + 5 + 12
    for row in mine:
        assert ask(row["url"].removeprefix(ROOT))["kind"] in ("balance", "series")


def test_a_process_has_the_rows_of_its_balance(viewer: User, members: None, ask: Ask) -> None:
    found = ask(MEMBERSHIP)
    assert found["meta"]["process"] == "membership"
    rows = [row for row in found["rows"] if row["measure"] == "count"]
    for stock in registry.process("membership").stocks:
        mine = dict.fromkeys(("opening", "inflow", "outflow", "unexplained", "closing"), 0)
        for row in rows:
            if row["stock"] == stock.slug:
                mine[row["kind"]] += row["value"]
        assert mine["opening"] + mine["inflow"] - mine["outflow"] + mine["unexplained"] == mine["closing"]
    assert {row["scope"] for row in rows} == {"range"}


def test_parts_slices_and_comparisons_are_asked_for_by_the_parameters_of_the_page(
    viewer: User, members: None, ask: Ask
) -> None:
    found = ask(MEMBERSHIP, range="7d", per="day", split="plan", compare="previous")
    assert {row["scope"] for row in found["rows"]} == {"range", "part", "slice", "compared"}
    assert (found["meta"]["split"], found["meta"]["compared"] is not None) == ("plan", True)
    sliced = ask(MEMBERSHIP, **{"facet-plan": "Basic"})
    assert sliced["meta"]["slice"] == {"plan": "Basic"}
    assert {row["slice"] for row in sliced["rows"]} == {"plan=Basic"}


def test_a_stock_and_a_flow_have_a_row_for_each_period(viewer: User, members: None, ask: Ask) -> None:
    stock = ask(f"{MEMBERSHIP}stocks/trial/", range="7d", per="day")
    assert (stock["meta"]["of"], stock["meta"]["measure"], stock["meta"]["grain"]) == (
        "stock",
        "closing",
        "day",
    )
    assert len(stock["rows"]) == 7
    assert (stock["rows"][-1]["value"], stock["rows"][-1]["status"]) == (2, "in_progress")
    flow = ask(f"{MEMBERSHIP}flows/converting/", range="7d", per="hour", measure="subjects")
    assert (flow["meta"]["of"], flow["meta"]["measure"], flow["meta"]["grain"]) == (
        "flow",
        "subjects",
        "hour",
    )
    assert sum(row["value"] or 0 for row in flow["rows"]) == 1


@pytest.mark.parametrize(
    "path",
    ["api/v1/processes/nowhere/", f"{MEMBERSHIP}stocks/nowhere/", f"{MEMBERSHIP}flows/urgent/", "api/v2/x"],
)
def test_what_is_not_there_is_told_in_json(viewer: User, ask: Ask, path: str) -> None:
    error = ask(path, status=404)["error"]
    assert error["code"] == "not-found"
    assert error["message"].startswith("There is no ")


@pytest.mark.parametrize(
    "path",
    [MEMBERSHIP, f"{MEMBERSHIP}stocks/trial/", f"{MEMBERSHIP}flows/lapsing/", f"{MEMBERSHIP}events/"],
)
def test_a_hidden_process_is_told_as_one_that_is_not_there(client: Client, ask: Ask, path: str) -> None:
    client.force_login(user_with())
    assert ask(path, status=404)["error"]["message"] == "There is no process 'membership'."
    assert ask("api/v1/processes/")["rows"] == []


@pytest.mark.parametrize(
    ("path", "parameter", "value", "message"),
    [
        (MEMBERSHIP, "since", "yesterday", "since is 'yesterday', which is no date"),
        (
            MEMBERSHIP,
            "sinse",
            "2026-01-01",
            "no parameter 'sinse' here; there are range, since, until, per, facet-<slug>",
        ),
        (MEMBERSHIP, "facet-colour", "red", "facet-colour is 'red'"),
        (MEMBERSHIP, "per", "decade", "per is 'decade'; choose one of auto, day"),
        (MEMBERSHIP, "since", "1950-01-01", "days; ask for 7,320 at most"),
        (f"{MEMBERSHIP}events/", "limit", "0", "limit is '0'; write a whole number from 1 to 1,000"),
        (f"{MEMBERSHIP}events/", "limit", "1001", "from 1 to 1,000"),
        (f"{MEMBERSHIP}events/", "cursor", "made-up", "cursor is 'made-up', which no answer gave"),
        (f"{MEMBERSHIP}stocks/trial/", "facet-plan", "Basic", "no parameter 'facet-plan' here"),
    ],
)
def test_a_parameter_that_can_not_be_says_what_was_given_and_what_is_wanted(
    client: Client, ask: Ask, path: str, parameter: str, value: str, message: str
) -> None:
    client.force_login(user_with("view_process", "list_objects", "export_process", "view_member"))
    error = ask(path, status=400, **{parameter: value})["error"]
    assert error["code"] == "invalid"
    assert message in error["parameters"][parameter]
    assert message in error["message"]


@pytest.mark.parametrize(
    ("path", "parameters", "message"),
    [
        (MEMBERSHIP, {"per": "day", "since": "2020-01-01"}, "more than 400 of these"),
        (f"{MEMBERSHIP}stocks/trial/", {"per": "hour", "since": "2026-01-01"}, "31 days at most"),
        (f"{MEMBERSHIP}stocks/trial/", {"measure": "sum"}, "aggregate is 'sum'"),
        (f"{MEMBERSHIP}flows/signing-up/", {"measure": "rate"}, "no source stock"),
    ],
)
def test_periods_and_measures_have_their_bounds(
    viewer: User, ask: Ask, path: str, parameters: dict[str, str], message: str
) -> None:
    error = ask(path, status=400, **parameters)["error"]
    assert (error["code"], message in error["message"]) == ("invalid", True)


def test_an_answer_with_too_many_rows_is_refused(
    viewer: User, members: None, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MOST_ROWS", 10)
    error = ask(MEMBERSHIP, status=400)["error"]
    assert error["code"] == "too-many"
    assert "10 are the most" in error["message"]


def test_the_api_only_reads_and_says_so_without_a_cookie_too(viewer: User, client: Client) -> None:
    response = Client(enforce_csrf_checks=True).post(f"{ROOT}{MEMBERSHIP}")
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
    jsonschema.validate(response.json(), json_schema())
    assert client.head(f"{ROOT}{MEMBERSHIP}").status_code == 200


def test_who_has_the_answer_already_is_told_so_until_a_number_changes(
    viewer: User, client: Client, members: None
) -> None:
    path = f"{ROOT}{MEMBERSHIP}"
    first = client.get(path)
    assert first["Cache-Control"] == "private, no-cache"
    assert {name.strip() for name in first["Vary"].split(",")} >= {"Authorization", "Cookie"}
    again = client.get(path, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    Member.objects.filter(name="m1").convert()
    changed = client.get(path, headers={"If-None-Match": first["ETag"]})
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]


@pytest.fixture
def lister(client: Client) -> User:
    user = user_with("view_process", "list_objects", "export_process", "view_member")
    client.force_login(user)
    return user


def test_events_come_page_by_page_each_once_in_order(lister: User, members: None, ask: Ask) -> None:
    everything = ask(f"{MEMBERSHIP}events/")
    assert everything["meta"]["next"] is None
    found, cursor = [], ""
    for _ in range(10):
        answer = ask(f"{MEMBERSHIP}events/", limit=1, **({"cursor": cursor} if cursor else {}))
        found += answer["rows"]
        cursor = answer["meta"]["next"]
        if cursor is None:
            break
    assert found == everything["rows"]
    assert [(row["flow"], row["source"], row["sink"]) for row in found] == [
        *[("signing-up", None, "trial")] * 3,
        ("converting", "trial", "active"),
    ]
    assert found[0]["facets"] == {"plan": "Basic"} | found[0]["facets"]


def test_pages_go_on_among_events_of_one_instant(lister: User, members: None, ask: Ask) -> None:
    at = datetime.now(UTC) - timedelta(days=1)
    MemberFlowEvent.objects.update(timestamp=at)
    first = ask(f"{MEMBERSHIP}events/", limit=2)
    rest = ask(f"{MEMBERSHIP}events/", limit=2, cursor=first["meta"]["next"])
    ids = [row["id"] for row in first["rows"] + rest["rows"]]
    assert ids == sorted(MemberFlowEvent.objects.values_list("pk", flat=True))
    assert rest["meta"]["next"] is None


def test_the_events_of_one_flow_can_be_asked_for(lister: User, members: None, ask: Ask) -> None:
    found = ask(f"{MEMBERSHIP}events/", flow="converting")
    assert [row["flow"] for row in found["rows"]] == ["converting"]
    assert ask(f"{MEMBERSHIP}events/", status=404, flow="nowhere")["error"]["code"] == "not-found"


@pytest.mark.parametrize(
    "codenames", [("view_process",), ("view_process", "list_objects"), ("view_process", "view_member")]
)
def test_who_may_not_list_the_objects_gets_no_events(
    client: Client, ask: Ask, codenames: tuple[str, ...]
) -> None:
    client.force_login(user_with(*codenames))
    error = ask(f"{MEMBERSHIP}events/", status=403)["error"]
    assert (error["code"], "stockandflow.list_objects" in error["message"]) == ("forbidden", True)


@pytest.mark.parametrize("path", [MEMBERSHIP, f"{MEMBERSHIP}stocks/trial/", f"{MEMBERSHIP}flows/converting/"])
@pytest.mark.parametrize(
    "codenames",
    [
        ("view_process",),
        ("view_process", "export_process"),
        ("view_process", "list_objects", "view_member"),
    ],
)
def test_who_may_not_export_takes_no_numbers_away_with_a_session_or_a_token(
    client: Client, ask: Ask, path: str, codenames: tuple[str, ...]
) -> None:
    user = user_with(*codenames)
    error = ask(path, status=403, headers=bearer(user))["error"]
    assert (error["code"], "stockandflow.export_process" in error["message"]) == ("forbidden", True)
    client.force_login(user)
    assert ask(path, status=403)["error"] == error


def test_events_that_were_pruned_are_not_told_as_none(lister: User, ask: Ask) -> None:
    Watermark.objects.create(
        event_model="membership.memberflowevent", calendar="x", horizon=datetime.now(UTC) - timedelta(days=3)
    )
    assert "were pruned" in ask(f"{MEMBERSHIP}events/", status=400)["error"]["message"]
    ask(f"{MEMBERSHIP}events/", since=(datetime.now(UTC) - timedelta(days=2)).isoformat())


def only_m0(request: HttpRequest, queryset: Any) -> Any:
    return queryset.filter(name="m0") if queryset.model is Member else queryset


def test_who_sees_a_part_gets_the_events_of_that_part_and_no_number_of_the_whole(
    lister: User, members: None, ask: Ask, settings: Any
) -> None:
    settings.STOCKANDFLOW = {"SCOPE": "tests.api.test_views.only_m0"}
    key = str(Member.objects.get(name="m0").pk)
    assert {row["subject"] for row in ask(f"{MEMBERSHIP}events/")["rows"]} == {key}
    for path in (MEMBERSHIP, f"{MEMBERSHIP}stocks/trial/", f"{MEMBERSHIP}flows/converting/"):
        error = ask(path, status=403)["error"]
        assert "aren't kept for a part" in error["message"]


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        (MEMBERSHIP, {"range": "90d"}),
        (f"{MEMBERSHIP}stocks/trial/", {"range": "90d"}),
        (f"{MEMBERSHIP}flows/converting/", {"range": "90d"}),
        (f"{MEMBERSHIP}events/", {"range": "90d"}),
    ],
)
def test_the_queries_do_not_grow_with_the_range_or_the_rows(
    lister: User, members: None, client: Client, path: str, parameters: dict[str, str]
) -> None:
    counts = []
    for asked in ({}, parameters):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"{ROOT}{path}", asked).status_code == 200
        # SQLite's clock is asked until it has moved on.
        counts.append(len([one for one in queries if "strftime" not in one["sql"]]))
    assert counts[0] == counts[1] <= 20


def torn() -> Stock:
    """A stock whose table has lost a column that it asks for."""
    return Stock(slug="torn-one", name="Torn one", queryset=Member.objects.extra(where=["gone_since = 1"]))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, viewer: User, members: None) -> None:
    """A process with a stock that can't be counted beside one that can, and one with the first alone."""
    half = Process("half", "Half", [registry.stock("trial"), torn()], flows=[])
    monkeypatch.setattr(registry, "processes", [half, Process("torn", "Torn", [torn()], flows=[])])


def test_a_stock_that_cannot_be_counted_is_told_beside_the_numbers_of_the_others(
    ask: Ask, broken: None, caplog: pytest.LogCaptureFixture
) -> None:
    found = ask("api/v1/processes/half/", per="day")
    assert found["meta"]["uncounted"] == [
        {
            "stock": "torn-one",
            "name": "Torn one",
            "message": "This stock can't be counted, so it is left out. The server's log says why.",
        }
    ]
    closing = [row for row in found["rows"] if row["kind"] == "closing" and row["scope"] == "range"]
    assert [(row["stock"], row["value"]) for row in closing] == [("trial", 2)]
    assert "The stock 'torn-one' can't be counted." in caplog.text
    assert ask("api/v1/processes/half/stocks/trial/")["meta"]["uncounted"] == []


def test_where_nothing_can_be_counted_the_api_says_so(ask: Ask, broken: None) -> None:
    error = ask("api/v1/processes/torn/", status=503)["error"]
    assert error["code"] == "uncounted"
    assert error["message"] == "No stock of the process 'torn' can be counted; the server's log says why."


def test_a_series_of_a_stock_that_cannot_be_counted_ends_with_what_is_recorded(
    ask: Ask, broken: None
) -> None:
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    StockRecord.objects.create(stock="torn-one", timestamp=today - timedelta(hours=9), count=7)
    found = ask("api/v1/processes/half/stocks/torn-one/", range="7d")
    assert [row["value"] for row in found["rows"] if row["status"] != "gap"] == [7]
    assert found["meta"]["until"] == iso(today)
    assert [one["stock"] for one in found["meta"]["uncounted"]] == ["torn-one"]
    error = ask("api/v1/processes/half/stocks/torn-one/", status=503, since=today.date().isoformat())["error"]
    assert error["code"] == "uncounted"
    assert "The stock 'torn-one' can't be counted, and no period of this range is over" in error["message"]


def test_a_line_of_a_stock_that_cannot_be_counted_says_so(client: Client, broken: None) -> None:
    line = client.get("/stockandflow/feeds/half/stocks/torn-one/").json()
    assert [one["stock"] for one in line["uncounted"]] == ["torn-one"]
    assert "item" in client.get("/stockandflow/feeds/half/stocks/torn-one/?shape=geckoboard").json()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("processes/memberships/", "There is no process 'memberships'. Did you mean 'membership'?"),
        (
            "processes/membership/stocks/activ/",
            "There is no stock 'activ' in the process 'membership'. Did you mean 'active'? There are 'trial', ",
        ),
        (
            "processes/membership/flows/convertin/",
            "There is no flow 'convertin' in the process 'membership'. Did you mean 'converting'? There are 'si",
        ),
        (
            "processes/membership/flows/qqqq/",
            "There is no flow 'qqqq' in the process 'membership'. There are 'sign",
        ),
    ],
)
def test_what_is_mistyped_is_told_what_may_be_meant(ask: Ask, viewer: User, path: str, told: str) -> None:
    assert ask(f"api/v1/{path}", status=404)["error"]["message"].startswith(told)


def test_a_process_that_is_hidden_is_never_what_may_be_meant(
    ask: Ask, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Process("secret", "Secret", [registry.stock("trial")], flows=[], permission="auth.view_group")
    monkeypatch.setattr(registry, "processes", [secret, registry.process("membership")])
    for slug in ("secret", "secrets"):
        told = ask(f"api/v1/processes/{slug}/", status=404)["error"]["message"]
        assert told == f"There is no process {slug!r}."


def test_messages_are_in_the_callers_language_and_codes_stay(ask: Ask, viewer: User, settings: Any) -> None:
    settings.LANGUAGE_CODE = "de"
    error = ask("api/v1/processes/membership/flows/convertin/", status=404)["error"]
    assert error["code"] == "not-found"
    assert error["message"].startswith(
        "Im Prozess 'membership' gibt es keinen Fluss 'convertin'. Meinten Sie 'converting'? Es gibt 'signing-up', "
    )
    error = ask("api/v1/processes/membership/", status=400, pre="day")["error"]
    assert error["code"] == "invalid"
    assert error["message"].startswith("Hier gibt es keinen Parameter 'pre'; es gibt range, since, ")
