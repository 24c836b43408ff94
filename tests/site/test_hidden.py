"""What moves to and from the stocks of a process that a user may not see: told everywhere, and nowhere by name."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow.capture import repair
from stockandflow.declarations import Process
from stockandflow.models import Definition, Restatement
from stockandflow.registry import registry
from stockandflow.reports import Hidden, balance, without_hidden
from tests.site.test_matrix import text_of
from tests.users import user_with

pytestmark = pytest.mark.django_db

SEEN, SECRET = ("trial", "active"), ("paused", "past-due", "churned")
ALL = ("view_process", "list_objects", "export_process", "act_on_objects", "change_member")
PAGES = "/stockandflow/seen/"
API = "/stockandflow/api/v1/processes/seen/"
WIDE = "per=day&compare=previous"
LEAK = re.compile(r"\b(paused|past[- ]due|churned|expiring|churning|secret)\b", re.IGNORECASE)


def process(slug: str, stocks: tuple[str, ...], **more: Any) -> Process:
    own = [registry.stock(one) for one in stocks]
    flows = [flow for flow in registry.flows if set(own) & set(flow.stocks)]
    return Process(slug, slug.title(), own, flows=flows, **more)


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process with the first two stocks of the members, and one with the others, for superusers alone."""
    secret = process("secret", SECRET, permission="auth.view_group")
    monkeypatch.setattr(registry, "processes", [process("seen", SEEN), secret])


@pytest.fixture
def ada() -> Member:
    """She came back from elsewhere, where she moved; three others didn't, two of whom are gone."""
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    people = [Member.objects.create(name=name, email="a@example.org", plan=plan) for name in "ABCD"]
    Member.objects.update(status=Status.ACTIVE)
    for name, states in {"A": ("paused", "churned", "active"), "BC": ("paused",), "D": ("churned",)}.items():
        for state in states:
            Member.objects.filter(name__in=list(name)).update(status=state)
    Member.objects.filter(name__in="CD").delete()
    return people[0]


@pytest.fixture
def somebody(client: Client) -> Client:
    client.force_login(user_with(*ALL, name="somebody"))
    return client


def read(client: Client, address: str) -> str:
    response: Any = client.get(address)
    assert response.status_code == 200, address
    if "spreadsheet" in response["Content-Type"]:
        book = zipfile.ZipFile(io.BytesIO(response.content))
        return "\n".join(book.read(name).decode() for name in book.namelist() if name.endswith(".xml"))
    return unescape(text_of(response))


def addresses(ada: Member) -> list[str]:
    flows = [flow.slug for flow in process("seen", SEEN).flows]
    pages = ["", "stocks/trial/", "stocks/active/", "unexplained/", "flows/-/"]
    pages += [f"flows/{slug}/" for slug in flows]
    found = [f"{PAGES}{page}?{WIDE}" for page in pages]
    found += [
        f"{PAGES}?{WIDE}&split=plan",
        f"{PAGES}stocks/active/?split=plan",
        f"{PAGES}flows/erasing/?split=plan",
    ]
    found += [f"{PAGES}?{WIDE}&format={kind}" for kind in ("csv", "xlsx", "json")]
    found += [
        f"{PAGES}objects/membership.member/{ada.pk}/{kind}" for kind in ("", "?format=csv", "?format=json")
    ]
    for kind in ("", "&format=csv", "&format=json"):
        found += [f"{PAGES}objects/?kind={one}&stock=active{kind}" for one in ("inflow", "outflow", "net")]
        found.append(f"{PAGES}objects/?kind=flow{kind}")
    found += [f"{API}{path}" for path in ("", "?per=day", "events/", "stocks/active/")]
    found += [f"{API}flows/{slug}/" for slug in flows]
    found += ["/stockandflow/", "/stockandflow/?format=csv", "/stockandflow/api/v1/processes/"]
    return found


def test_what_is_hidden_is_named_nowhere(somebody: Client, ada: Member) -> None:
    for address in addresses(ada):
        text = read(somebody, address)
        assert not LEAK.search(text), (address, LEAK.search(text))


def test_who_may_see_it_reads_the_names(ada: Member) -> None:
    root = Client()
    root.force_login(user_with(*ALL, "view_group", name="root"))
    named = [address for address in addresses(ada) if LEAK.search(read(root, address))]
    assert len(named) > len(addresses(ada)) / 2


def test_the_moves_are_told_to_lead_elsewhere(somebody: Client, ada: Member) -> None:
    text = re.sub(r"<[^>]+>|\s+", " ", read(somebody, PAGES))
    assert re.search(r"Pausing\s+to elsewhere\s+3", text)
    assert "Reactivating 1, from elsewhere to Active" in text
    assert "Recovering 0, from elsewhere to Active" in text  # a way that nothing took
    text = re.sub(r"<[^>]+>|\s+", " ", read(somebody, f"{PAGES}flows/erasing/"))
    assert re.search(
        r"elsewhere\s+→\s+to\s+outside\s+2", text
    )  # of a paused one and of a churned one, told as one


def test_a_number_of_such_moves_leads_to_its_list(somebody: Client, ada: Member) -> None:
    for page, count in (("flows/erasing/", 2), ("flows/pausing/", 3), ("flows/reactivating/", 1)):
        links = re.findall(r'<a class="sf-number" href="([^"]*~[^"]*)"', read(somebody, f"{PAGES}{page}"))
        assert links
        for link in links:
            text = read(somebody, link)
            assert text.count('<th scope="row">') == count
            assert "elsewhere" in text


def test_the_name_of_a_hidden_stock_in_an_address_is_that_of_none(somebody: Client, ada: Member) -> None:
    for slug in ("paused", "made-up"):
        response = somebody.get(f"{PAGES}objects/?kind=flow&flow=pausing&sink={slug}")
        assert response.status_code == 400
        text = unescape(text_of(response))
        assert "sink is no state of the process 'seen', and none of its events names it" in text
        assert not LEAK.search(text.replace(f"sink={slug}", ""))


def test_a_timeline_tells_that_somebody_was_elsewhere_and_not_how_he_moved_there(
    somebody: Client, ada: Member
) -> None:
    rows = somebody.get(f"{PAGES}objects/membership.member/{ada.pk}/?format=json").json()["rows"]
    assert [(row["flow"], row["source"], row["sink"]) for row in rows] == [
        ("signing-up", "", "trial"),
        ("converting", "trial", "active"),
        ("pausing", "active", "~"),
        ("reactivating", "~", "active"),
    ]


def test_what_is_missing_leads_elsewhere_once(somebody: Client, ada: Member) -> None:
    repair(registry, slugs=["membership.member"])
    plan = Plan.objects.get()
    for state in ("paused", "churned"):
        one = Member.objects.create(name=state.upper()[0], email="a@example.org", plan=plan, status="active")
        Member.objects.filter(pk=one.pk).update(status=state)
        MemberFlowEvent.objects.filter(subject=one, sink=state).delete()
    text = re.sub(r"<[^>]+>|\s+", " ", read(somebody, f"{PAGES}unexplained/"))
    assert re.search(r"Active → elsewhere\s+2 moves", text)


def test_what_a_flow_meant_is_told_without_it(somebody: Client, ada: Member) -> None:
    at = timezone.now() - timedelta(days=3)
    for day, sink in enumerate(("paused", "active, churned, past-due")):
        Definition.objects.create(
            kind="flow",
            slug="pausing",
            since=at + timedelta(days=day),
            digest=str(day),
            text=f"moves of membership.MemberFlowEvent\nfrom active\nto {sink}",
        )
    (change,) = somebody.get(f"{API}flows/pausing/").json()["meta"]["breaks"]
    assert change["text"].endswith("\nfrom active\nto active, elsewhere")


def test_restatements_of_hidden_moves_stay_with_their_line(somebody: Client, ada: Member) -> None:
    now = timezone.now()
    found = balance(registry.processes[0], now - timedelta(days=2), now)
    one = Restatement(kind="flow", slug="expiring", source="paused", sink="churned", old_count=1, new_count=2)
    other = Restatement(kind="flow", slug="pausing", source="active", sink="paused", old_count=1, new_count=2)
    hidden = Hidden(frozenset(SECRET), frozenset({"expiring", "churning"}))
    assert [(move.slug, move.source, move.sink) for move in map(hidden.told, (one, other))] == [
        ("", "~", "~"),
        ("pausing", "active", "~"),
    ]
    assert (one.slug, one.source) == ("expiring", "paused")
    told = without_hidden(found, hidden)
    assert [line.net for line in told.stocks] == [line.net for line in found.stocks]
    assert without_hidden(found, Hidden()) is found
