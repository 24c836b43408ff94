"""Files of the pages: the numbers that the page shows, harmless in a spreadsheet, for those who may have them."""

from __future__ import annotations

import csv
import json
import sys
from datetime import UTC, date, datetime, timedelta
from io import BytesIO, StringIO
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import Permission
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow.exceptions import InvalidInput
from stockandflow.models import StockRecord
from stockandflow.periods import Calendar
from stockandflow.registry import registry
from stockandflow.reports import Hidden, series
from stockandflow.site import exports
from stockandflow.site.exports import file_name, list_file, list_of, series_file
from tests.users import user_with

pytestmark = pytest.mark.django_db

MEMBERSHIP = "/stockandflow/membership/"
LONDON = Calendar("Europe/London")


@pytest.fixture
def exporter(client: Client) -> Client:
    client.force_login(user_with("view_process", "export_process", "view_member"))
    return client


@pytest.fixture
def members() -> None:
    plan = Plan.objects.create(name="=Basic", monthly_price=9)
    Member.objects.bulk_create(Member(name=f"m{n}", email="m@example.org", plan=plan) for n in range(3))
    Member.objects.filter(name="m0").convert()


def content(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def numbers(client: Client, **parameters: str) -> list[dict[str, str]]:
    response = client.get(MEMBERSHIP, {"format": "csv", **parameters})
    assert response.status_code == 200
    return list(csv.DictReader(StringIO(content(response).decode())))


def test_the_file_is_named_after_the_process_and_the_first_and_last_day_of_its_range(
    exporter: Client,
) -> None:
    for kind in ("csv", "xlsx", "json"):
        response = exporter.get(MEMBERSHIP, {"format": kind, "since": "2026-03-01", "until": "2026-04-01"})
        named = f'attachment; filename="membership_2026-03-01_2026-03-31.{kind}"'
        assert response["Content-Disposition"] == named
        assert response["Cache-Control"] == "private, no-store"
    since, until = LONDON.midnight(date(2026, 7, 1)), datetime(2026, 7, 1, 9, tzinfo=UTC)
    assert file_name("x", since, until, LONDON, "csv") == "x_2026-07-01_2026-07-01.csv"


def test_csv_json_and_workbook_hold_the_same_numbers(exporter: Client, members: None) -> None:
    rows = numbers(exporter)
    found = {
        (row["kind"], row["stock"]): row["value"]
        for row in rows
        if row["scope"] == "range" and row["kind"] in ("opening", "closing")
    }
    assert (found["closing", "trial"], found["closing", "active"]) == ("2", "1")
    document = json.loads(content(exporter.get(MEMBERSHIP, {"format": "json"})))
    assert {
        ("closing", stock["slug"]): str(stock["closing"]) for stock in document["stocks"]
    }.items() <= found.items()
    book = openpyxl.load_workbook(BytesIO(content(exporter.get(MEMBERSHIP, {"format": "xlsx"}))))
    assert book.sheetnames == ["Ledger", "Stocks", "Flows", "About"]
    assert book["Stocks"].max_row + book["Flows"].max_row == len(rows) + 2


def test_the_file_has_the_filters_of_the_page(exporter: Client, members: None) -> None:
    rows = numbers(exporter, range="7d", per="week", split="plan", compare="previous")
    assert {row["scope"] for row in rows} == {"range", "part", "slice", "compared"}
    sliced = numbers(exporter, **{"facet-plan": "=Basic"})
    assert {row["slice"] for row in sliced} == {"plan==Basic"}


def test_a_formula_is_defused(members: None) -> None:
    Member.objects.filter(name="m0").update(name="=1+1")
    columns, rows = list_of(Member.objects.filter(name="=1+1"), Hidden())
    assert content(list_file("n", columns, rows, {}, "csv")).decode().splitlines()[1].endswith(",'=1+1")


@pytest.mark.parametrize(
    "codenames", [("view_process",), ("view_process", "export_process"), ("view_process", "view_member")]
)
def test_who_may_not_export_gets_no_link_and_no_file(client: Client, codenames: tuple[str, ...]) -> None:
    client.force_login(user_with(*codenames))
    assert "format=csv" not in client.get(MEMBERSHIP).content.decode()
    assert client.get(MEMBERSHIP, {"format": "csv"}).status_code == 403


def test_a_hidden_process_is_not_found_as_a_file_either(client: Client) -> None:
    client.force_login(user_with("export_process", "view_member"))
    assert client.get(MEMBERSHIP, {"format": "csv"}).status_code == 404


def test_the_page_links_to_its_files_and_keeps_its_filters(exporter: Client) -> None:
    html = exporter.get(MEMBERSHIP, {"range": "7d"}).content.decode()
    for kind in ("csv", "xlsx", "json"):
        assert f'href="?range=7d&amp;format={kind}"' in html


def test_without_the_library_there_is_no_link_to_a_workbook_and_its_address_says_what_to_install(
    exporter: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    monkeypatch.setattr(exports, "find_spec", lambda _: None)
    assert "format=xlsx" not in exporter.get(MEMBERSHIP).content.decode()
    response = exporter.get(MEMBERSHIP, {"format": "xlsx"})
    assert response.status_code == 400
    assert "pip install 'django-stockandflow[xlsx]'" in response.content.decode()


def test_what_can_not_be_understood_is_refused_and_not_replaced_by_another_range(exporter: Client) -> None:
    response = exporter.get(MEMBERSHIP, {"format": "csv", "since": "yesterday"})
    assert response.status_code == 400
    assert "since is 'yesterday', which is no date" in response.content.decode()
    response = exporter.get(MEMBERSHIP, {"format": "pdf"})
    assert response.content.decode() == (
        "format is 'pdf'; write one of csv, xlsx, json, or leave it out for the page.\n"
    )


def nobody(request: HttpRequest, queryset: Any) -> Any:
    return queryset.none()


def test_who_sees_a_part_of_the_objects_gets_no_file_of_the_whole(exporter: Client, settings: Any) -> None:
    settings.STOCKANDFLOW = {"SCOPE": "tests.site.test_exports.nobody"}
    assert exporter.get(MEMBERSHIP, {"format": "csv"}).status_code == 403


def test_the_index_has_the_last_recorded_count_of_each_stock_that_may_be_exported(
    exporter: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    StockRecord.objects.create(stock="trial", timestamp=datetime(2026, 11, 1, tzinfo=UTC), count=7)
    assert 'href="?format=csv"' in exporter.get("/stockandflow/").content.decode()
    response = exporter.get("/stockandflow/", {"format": "csv"})
    assert response["Content-Disposition"] == 'attachment; filename="processes.csv"'
    rows = list(csv.DictReader(StringIO(content(response).decode())))
    assert {row["process"] for row in rows} == {"membership"}
    assert [(row["stock"], row["count"], row["counted_at"]) for row in rows[:2]] == [
        ("trial", "7", "2026-11-01T00:00:00Z"),
        ("active", "", ""),
    ]
    assert exporter.get("/stockandflow/", {"format": "pdf"}).status_code == 400
    Permission.objects.get(codename="export_process").user_set.clear()
    assert exporter.get("/stockandflow/", {"format": "csv"}).status_code == 403
    assert "format=csv" not in exporter.get("/stockandflow/").content.decode()


def only_m0(request: HttpRequest, queryset: Any) -> Any:
    return queryset.filter(name="m0") if queryset.model is Member else queryset


@pytest.fixture
def lister(client: Client) -> Client:
    client.force_login(user_with("view_process", "export_process", "list_objects", "view_member"))
    return client


def test_a_list_of_objects_holds_those_that_the_request_sees(
    lister: Client, members: None, settings: Any
) -> None:
    address = f"{MEMBERSHIP}objects/?kind=level&stock=trial&format=csv"
    assert content(lister.get(address)).decode().splitlines()[1:] != []
    settings.STOCKANDFLOW = {"SCOPE": "tests.site.test_exports.only_m0"}
    assert content(lister.get(address)).decode().splitlines() == ["key,object"]
    converted = address.replace("trial", "active")
    assert content(lister.get(converted)).decode().splitlines()[1].endswith(",m0")


def test_the_moves_of_an_object_can_be_had_as_a_file(lister: Client, members: None) -> None:
    key = Member.objects.get(name="m0").pk
    address = f"{MEMBERSHIP}objects/membership.member/{key}/"
    assert 'href="?format=csv"' in lister.get(address).content.decode()
    rows = list(csv.DictReader(StringIO(content(lister.get(address, {"format": "csv"})).decode())))
    assert [(row["source"], row["sink"]) for row in rows] == [("", "trial"), ("trial", "active")]
    assert (rows[0]["until"], rows[1]["until"]) == (rows[1]["timestamp"], "")
    document = json.loads(content(lister.get(address, {"format": "json"})))
    assert document["about"] == {"Process": "membership", "Object": str(key)}


def test_a_series_is_named_after_what_it_is_of() -> None:
    process, now = registry.process("membership"), timezone.now()
    one = series(registry.stock("trial"), now - timedelta(days=3), now, "day", calendar=LONDON)
    two = series(registry.flow("lapsing"), now - timedelta(days=3), now, "day", calendar=LONDON)
    assert "membership_trial_" in series_file([one], process, "json")["Content-Disposition"]
    assert 'filename="membership_2' in series_file([one, two], process, "xlsx")["Content-Disposition"]
    lines = content(series_file([one, two], process, "csv")).decode().splitlines()
    assert len(lines) == 8


def test_a_list_has_the_key_and_the_name_of_each_object_and_no_field_of_it(members: None) -> None:
    columns, rows = list_of(Member.objects.order_by("pk"), Hidden())
    assert columns == ("key", "object")
    assert [name for _, name in rows] == ["m0", "m1", "m2"]


def test_a_list_of_events_names_what_moved_and_who_is_gone_by_the_key(members: None) -> None:
    keys = {member.name: str(member.pk) for member in Member.objects.all()}
    Member.objects.filter(name="m2").delete()
    columns, rows = list_of(MemberFlowEvent.objects.filter(flow="signing-up").order_by("id"), Hidden())
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [(row["subject"], row["object"]) for row in found] == [
        (keys["m0"], "m0"),
        (keys["m1"], "m1"),
        (keys["m2"], ""),
    ]
    assert {(row["source"], row["sink"], row["origin"]) for row in found} == {("", "trial", "live")}


@pytest.mark.parametrize("kind", ["csv", "xlsx", "json"])
def test_a_list_can_be_had_in_every_format(members: None, kind: str) -> None:
    columns, rows = list_of(MemberFlowEvent.objects.order_by("id"), Hidden())
    response = list_file("events", columns, rows, {"Process": "Membership"}, kind)
    assert response["Content-Disposition"] == f'attachment; filename="events.{kind}"'
    made = content(response)
    if kind == "json":
        document = json.loads(made)
        assert document["about"] == {"Process": "Membership"}
        assert [row["flow"] for row in document["rows"]] == ["signing-up"] * 3 + ["converting"]
        assert document["rows"][0]["timestamp"].endswith("Z")
    elif kind == "csv":
        assert len(made.decode().splitlines()) == 5
    else:
        assert openpyxl.load_workbook(BytesIO(made)).sheetnames == ["Objects", "About"]


def test_a_list_that_is_too_long_for_a_file_is_refused(
    members: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MOST_OBJECTS", 2)
    with pytest.raises(InvalidInput, match=r"has 3 rows, and a file holds 2; .* API"):
        list_of(Member.objects.all(), Hidden())


def test_a_long_list_is_sent_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "LINES_AT_ONCE", 2)
    response: Any = list_file("n", ("number",), ((str(n),) for n in range(4)), {}, "csv")
    assert list(response.streaming_content) == [b"number\n0\n", b"1\n2\n", b"3\n"]
