"""Who is let in among the lists of the admin site's stocks and flows, and what who sees a part gets out of lists."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any

import pytest
from django.urls import reverse

from example.admin_site import site
from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow.admin.listings import Listing
from stockandflow.declarations import Stock
from stockandflow.models import ApiToken
from stockandflow.registry import registry
from tests.site.test_matrix import HERE, LOGIN, NO, ROLES, client_of, text_of

pytestmark = pytest.mark.django_db

LISTINGS: list[Any] = [one for one in site._registry if isinstance(one, Listing)]
STOCKS = (LOGIN, NO, NO, HERE, HERE, HERE, HERE)
FLOWS = (LOGIN, NO, NO, NO, NO, NO, HERE)
"""What each of ROLES gets; a flow's list is of events, whose model is to be viewed."""
EXPORT = "/stockandflow/membership/objects/?kind=level&stock=active&format={}"


@pytest.fixture(autouse=True)
def members(settings: Any) -> None:
    settings.STOCKANDFLOW = {"SCOPE": "tests.site.test_matrix.part"}
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    for name in ("Ada", "Somebody Else", "Somebody Else"):
        Member.objects.create(name=name, email="e@example.org", plan=plan, status="active")


def address(listing: Any) -> str:
    options = listing._meta
    return reverse(f"{site.name}:{options.app_label}_{options.model_name}_changelist")


def test_there_is_a_list_for_stocks_and_for_flows() -> None:
    assert {isinstance(one.declaration, Stock) for one in LISTINGS} == {True, False}


def test_a_list_of_the_admin_is_for_who_may_view_its_objects_or_events() -> None:
    for place, role in enumerate(ROLES):
        client = client_of(role)
        for listing in LISTINGS:
            wanted = STOCKS if isinstance(listing.declaration, Stock) else FLOWS
            assert client.get(address(listing)).status_code == wanted[place], (role, listing)


def test_who_sees_a_part_reads_nobody_else_in_a_list_of_the_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    events = ("view_memberflowevent", "view_ticketflowevent", "view_leadflowevent")
    monkeypatch.setitem(ROLES, "sees a part", (*ROLES["sees a part"], *events))
    client, seen = client_of("sees a part"), []
    for listing in LISTINGS:
        response = client.get(address(listing))
        assert "Somebody Else" not in text_of(response)
        seen.append(response.status_code)
    assert HERE in seen
    everybody = [text_of(client_of("superuser").get(address(LISTINGS[1])))]
    assert any("Somebody Else" in text for text in everybody)


def test_who_sees_a_part_cant_open_anybody_else_in_the_admin() -> None:
    client, other = client_of("sees a part"), Member.objects.filter(name="Somebody Else").earliest("pk")
    for listing in LISTINGS:
        options = listing._meta
        if isinstance(listing.declaration, Stock) and listing.declaration.model is Member:
            place = reverse(f"{site.name}:{options.app_label}_{options.model_name}_change", args=[other.pk])
            assert "Somebody Else" not in text_of(client.get(place, follow=True))


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_file_of_a_list_holds_the_objects_of_the_part(kind: str) -> None:
    text = text_of(client_of("sees a part").get(EXPORT.format(kind)))
    assert "Ada" in text
    assert "Somebody Else" not in text
    if kind == "csv":
        assert len(list(csv.reader(StringIO(text)))) == 2


def test_the_api_gives_the_events_of_the_part_page_by_page() -> None:
    client, ada = client_of("sees a part"), Member.objects.get(name="Ada")
    for parameters in ({}, {"limit": "1"}, {"flow": "signing-up"}):
        cursor: str | None = ""
        while cursor is not None:
            found = client.get(
                "/stockandflow/api/v1/processes/membership/events/", {**parameters, "cursor": cursor}
            ).json()
            if found["kind"] == "error":  # there is no such flow
                break
            assert {
                row["subject"] for row in found["rows"] if row["subject_model"] == "membership.member"
            } <= {str(ada.pk)}
            cursor = found["meta"]["next"]
    everything = client_of("superuser").get("/stockandflow/api/v1/processes/membership/events/").json()
    assert len({row["subject"] for row in everything["rows"]}) == 3


def test_a_cursor_and_an_etag_of_one_user_open_nothing_to_another() -> None:
    address = "/stockandflow/api/v1/processes/membership/events/"
    root, some = client_of("superuser"), client_of("sees a part")
    given = root.get(address, {"limit": "1"})
    found = some.get(address, {"cursor": given.json()["meta"]["next"]}).json()
    ada = Member.objects.get(name="Ada")
    assert {row["subject"] for row in found["rows"]} <= {str(ada.pk)}
    numbers = "/stockandflow/api/v1/processes/membership/"
    tag = root.get(numbers)["ETag"]
    for role in ("logged in", "sees numbers"):
        assert client_of(role).get(numbers, headers={"If-None-Match": tag}).status_code in (403, 404)
    assert some.get(numbers, headers={"If-None-Match": tag}).status_code == 403


def test_a_token_for_one_path_or_revoked_opens_no_other() -> None:
    root = client_of("superuser")
    user = root.get("/stockandflow/").wsgi_request.user
    token, secret = ApiToken.objects.issue("one", user, ["feeds/membership"])
    headers = {"Authorization": f"Bearer {secret}"}
    program = root.__class__(headers=headers)
    feed = "/stockandflow/feeds/membership/stocks/active/"
    assert program.get(feed).status_code == 200
    for other in (
        "api/v1/processes/membership/",
        "metrics",
        "feeds/membership-two/stocks/active/",
        "feeds/support/",
    ):
        assert program.get(f"/stockandflow/{other}").status_code in (403, 404)
    for way in (
        "feeds/membership/../../api/v1/processes/",
        "feeds/membership/%2e%2e/%2e%2e/metrics",
        "feeds//membership/",
    ):
        assert program.get(f"/stockandflow/{way}").status_code in (403, 404)
    # A page takes no token.
    assert program.get("/stockandflow/membership/").status_code == 302
    ApiToken.objects.filter(pk=token.pk).delete()
    assert program.get(feed).status_code == 401


def test_work_through_and_timeline_by_a_key_out_of_the_part_tell_nothing() -> None:
    client, other = client_of("sees a part"), Member.objects.filter(name="Somebody Else").earliest("pk")
    work = "/stockandflow/membership/stocks/active/work/"
    for query in (
        {},
        {"step": "last"},
        {"at": str(other.pk)},
        {"back": str(other.pk)},
        {"at": f"[{other.pk}]"},
    ):
        assert "Somebody Else" not in text_of(client.get(work, query))
    sent = {"action": "nothing", "_selected_action": str(other.pk), "select_across": "1"}
    assert "Somebody Else" not in text_of(client.post(work, sent, follow=True))


def test_a_hidden_process_is_named_on_no_route() -> None:
    client = client_of("logged in")
    for name in (
        "",
        "status/",
        "api/v1/processes/",
        "metrics",
        "membership/",
        "feeds/membership/stocks/active/",
    ):
        text = text_of(client.get(f"/stockandflow/{name}"))
        for process in registry.processes:
            assert str(process.name) not in text, name


def test_what_is_unexplained_names_nobody_outside_of_the_part() -> None:
    Member.objects.filter(name="Somebody Else").update(status="paused")
    MemberFlowEvent.objects.filter(sink="paused").delete()
    client = client_of("sees a part")
    for kind in ("netted", "unexplained", "flow", "level"):
        query = {"kind": kind, "stock": "paused", "since": "2026-01-01"}
        assert "Somebody Else" not in text_of(client.get("/stockandflow/membership/objects/", query))
    assert "Somebody Else" not in text_of(client.get("/stockandflow/membership/unexplained/"))
