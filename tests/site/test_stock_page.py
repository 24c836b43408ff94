"""The page of a stock: what it is, how many it held, where its objects come from, and how many queries that takes."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from example.membership.models import Member, Plan
from stockandflow import recording
from stockandflow.models import StockRecord, Sweep
from stockandflow.registry import registry
from tests.site.test_views import MEMBERSHIP, page, queries, text_of

pytestmark = pytest.mark.django_db

ACTIVE = "/stockandflow/membership/stocks/active/"
TRIAL = "/stockandflow/membership/stocks/trial/"
DAY = timedelta(days=1)
PRO: dict[str, Any] = {"facet-plan": "Pro"}
MOST_QUERIES = 24
"""With a facet, of which two are for the session and the user."""


def reader(client: Client, *codenames: str, **fields: Any) -> Client:
    user = User.objects.create_user("reader", **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_process", *codenames]))
    client.force_login(user)
    return client


@pytest.fixture
def viewer(client: Client) -> Client:
    """Who may see numbers, but no objects."""
    return reader(client)


@pytest.fixture
def lister(client: Client) -> Client:
    return reader(client, "list_objects", "view_member")


@pytest.fixture
def members() -> list[Member]:
    """Five joined today, three as Basic and two as Pro, and two of them converted; ten days ago trial held one."""
    StockRecord.objects.bulk_create(
        StockRecord(stock=stock.slug, timestamp=timezone.now() - 10 * DAY, count=int(stock.slug == "trial"))
        for stock in registry.process("membership").stocks
    )
    plans = [Plan.objects.create(name=name, monthly_price=9) for name in ("Basic", "Pro")]
    made = Member.objects.bulk_create(
        Member(name=f"Member {n}", email="m@example.org", plan=plans[n % 2]) for n in range(5)
    )
    Member.objects.filter(name__in=["Member 0", "Member 1"]).convert()
    return made


def links(html: str) -> list[str]:
    return re.findall(r'href="([^"#]+)', html)


def test_it_tells_what_counts_and_how_many_there_are(lister: Client, members: list[Member]) -> None:
    text = text_of(page(lister, ACTIVE))
    assert "Processes Membership Active" in text
    assert "members whose status is Active" in text
    assert "Now 2 ▲ up, better +2 (from 0)" in text
    assert "Lowest 0" in text
    assert "Highest 2 now" in text
    assert "In +2 Flow Moves Share Of source at the beginning Converting from Trial 2 100.0 %" in text
    assert "Out 0 Nothing went in this range." in text


def test_the_sql_is_for_staff_alone(client: Client) -> None:
    assert "As SQL" not in page(reader(client), ACTIVE)
    User.objects.update(is_staff=True)
    html = page(client, ACTIVE)
    assert "As SQL" in html
    assert re.search(r"<pre[^>]*><code>.*status.*</code>", html, re.DOTALL)


def test_every_number_leads_to_its_objects_where_the_reader_may_see_them(
    lister: Client, members: list[Member]
) -> None:
    html = page(lister, ACTIVE)
    numbers = re.findall(r'<a class="sf-number" href="([^"]+)">([^<]+)</a>', html)
    assert len(numbers) >= 4
    for address, shown in numbers:
        assert address.startswith("/stockandflow/membership/objects/?kind=")
        assert f"value={shown.lstrip('+−')}" in address
    assert all(member.name in html for member in members[:2])
    assert "/stockandflow/membership/objects/membership.member/" in html
    assert 'href="/stockandflow/membership/stocks/active/work/"' in html


def test_who_may_not_list_objects_sees_the_numbers_alone(viewer: Client, members: list[Member]) -> None:
    html = page(viewer, ACTIVE)
    assert "Now 2" in text_of(html)
    assert "You may see how many there are, but not which." in html
    assert "Member 0" not in html
    assert "/objects/" not in html


def test_the_facets_are_tabs_that_keep_the_range(lister: Client, members: list[Member]) -> None:
    html = page(lister, ACTIVE, range="7d")
    assert {"?range=7d&amp;split=plan", "?range=7d&amp;split=country"} <= set(links(html))
    split = page(lister, ACTIVE, split="plan")
    assert "sf-multiples" in split
    assert re.search(r'aria-current="page">\s*By Plan', split)


def test_a_facet_in_force_makes_it_a_page_about_that_value(lister: Client, members: list[Member]) -> None:
    text = text_of(page(lister, TRIAL, **PRO))
    assert "Plan: Pro" in text
    assert "Now 1" in text
    assert "Member 3" in text
    assert "Member 2" not in text


def test_the_objects_of_the_past_are_those_of_the_end_of_the_range_or_told_why_not(
    lister: Client, members: list[Member]
) -> None:
    today = registry.process("membership").calendar.local_date(timezone.now())
    text = text_of(page(lister, TRIAL, since=today - 9 * DAY, until=today - 2 * DAY))
    assert "Objects" in text
    assert "Member 0" not in text


def test_a_stock_in_no_tracker_has_its_count(lister: Client) -> None:
    text = text_of(page(lister, "/stockandflow/support/stocks/ticket-urgent/"))
    assert "Urgent tickets that nobody has resolved yet." in text
    assert "There are none." in text or "You may see how many there are" in text


def test_a_stock_without_the_facet_asked_for_says_so(
    lister: Client, members: list[Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = registry.process("membership").stocks[1]
    monkeypatch.setitem(vars(stock), "facets", ())
    text = text_of(page(lister, ACTIVE, **PRO))
    assert "Active doesn’t have the facet that is asked for." in text
    assert "members whose status is Active" in text
    assert "By Plan" not in text


@pytest.mark.parametrize("path", ["stocks/nothing/", "flows/nothing/"])
def test_what_the_process_does_not_have_is_not_found(viewer: Client, path: str) -> None:
    page(viewer, f"/stockandflow/membership/{path}", status=404)


@pytest.mark.parametrize("path", [ACTIVE, "/stockandflow/membership/flows/converting/"])
def test_who_may_not_see_the_process_finds_no_page(client: Client, path: str) -> None:
    client.force_login(User.objects.create_user("someone"))
    page(client, path, status=404)


def test_the_admin_lists_all_where_it_has_the_stock(client: Client, members: list[Member]) -> None:
    User.objects.create_superuser("boss")
    client.force_login(User.objects.get())
    html = page(client, ACTIVE)
    (place,) = re.findall(r'href="([^"]+)">Open all in admin', html)
    assert client.get(place).status_code == 200


def test_its_levels_and_the_counts_of_a_flow_are_had_as_files(client: Client, members: list[Member]) -> None:
    recording.record(registry)
    reader(client, "export_process", "view_member")
    for path, slug in ((ACTIVE, "active"), ("/stockandflow/membership/flows/converting/", "converting")):
        assert "?range=7d&amp;format=csv" in page(client, path, range="7d")
        lines = b"".join(client.get(path, {"range": "7d", "format": "csv"})).decode().splitlines()
        assert lines[0].startswith("process,")
        assert f",{slug}," in lines[1]
        assert client.get(path, {"format": "csv", "facet-plan": "Pro"}).status_code == 400
        assert "format=csv" not in page(client, path, **PRO)


@pytest.mark.parametrize("path", [ACTIVE, "/stockandflow/membership/flows/converting/"])
def test_who_sees_a_part_of_the_objects_gets_no_number_of_all(
    lister: Client, members: list[Member], settings: Any, path: str
) -> None:
    settings.STOCKANDFLOW = {"SCOPE": "tests.site.test_stock_page.first_alone"}
    text = text_of(page(lister, path))
    assert "You see a part of the objects" in text
    assert ("Active 1" in text) == (path == ACTIVE)
    assert "Converting 2" not in text


def first_alone(_request: Any, queryset: Any) -> Any:
    return queryset.filter(name="Member 0") if queryset.model is Member else queryset


@pytest.mark.parametrize("query", ["", "split=plan", "compare=previous", "facet-plan=Pro", "range=12mo"])
def test_the_queries_are_as_many_for_one_object_as_for_many(
    lister: Client, members: list[Member], query: str
) -> None:
    recording.record(registry)
    page(lister, f"{ACTIVE}?{query}")

    def asked() -> int:
        return queries(lister, f"{ACTIVE}?{query}")

    few = asked()
    plan = Plan.objects.get(name="Pro")
    Member.objects.bulk_create(Member(name=f"m{n}", email="m@example.org", plan=plan) for n in range(30))
    Member.objects.filter(name__startswith="m").convert()
    assert asked() == few
    assert few <= MOST_QUERIES


def test_invalid_parameters_are_told_beside_their_fields(lister: Client) -> None:
    html = page(lister, ACTIVE, since="yesterday", per="fortnight")
    assert "which is no date" in html
    assert "Now" in html


def test_a_panel_shows_the_stock_of_now_by_its_first_facet_and_each_value_leads_to_its_members(
    lister: Client,
) -> None:
    plans = {name: Plan.objects.create(name=name, monthly_price=9) for name in ("Basic", "Pro", "Team")}
    for number, name in enumerate(["Basic", "Pro", "Pro"]):
        Member.objects.create(name=f"Member {number}", email="m@example.org", plan=plans[name])
    html = page(lister, MEMBERSHIP)
    assert "Now, by Plan Basic 1 Pro 2 Team 0" in text_of(html)
    assert html.count('<div class="sf-now-by" role="group" aria-label="Now, by Plan"') == 1
    bars = html.split('<div class="sf-now-by"')[1].split("</div>")[0]
    assert re.findall(r'<rect width="([\d.]+)%"', bars) == ["33.333", "66.667", "0"]
    to_pro = unescape(re.findall(r'href="([^"]+)"', bars)[1])
    assert "2 objects" in text_of(page(lister, to_pro))
    others: list[dict[str, Any]] = [
        {"facet-plan": "Pro"},
        {"split": "plan"},
        {"since": "2001-01-01", "until": "2001-02-01"},
    ]
    for other in others:
        assert "sf-now-by" not in page(lister, MEMBERSHIP, **other)


def test_the_page_of_a_process_makes_fifteen_queries_at_most(lister: Client, members: None) -> None:
    page(lister, MEMBERSHIP)
    assert queries(lister, MEMBERSHIP) <= 15


def test_before_the_capture_began_nothing_is_said_of_what_came_and_went(
    viewer: Client, members: list[Member]
) -> None:
    Sweep.objects.update(told_since=timezone.now())
    days: dict[str, Any] = {"range": "custom", "since": day_before(30), "until": day_before(20)}
    text = text_of(page(viewer, TRIAL, **days))
    assert text.count("– What came and went isn't known: the capture began later.") == 2
    assert "Nothing came" not in text

    html = page(viewer, MEMBERSHIP, **days)
    assert "Nothing moved in this range" not in html
    assert text_of(html).count("What came and went isn't known: the capture began later.") == 5
    assert 'href="#sf-untracked"' not in html
    assert "Signing up –, from outside to Trial" in html
    assert re.search(r"Trial – – – – – –", text_of(html))
    assert "in no tracker" not in text_of(html)

    for flow in ("signing-up", "-"):
        text = text_of(page(viewer, f"/stockandflow/membership/flows/{flow}/", **days))
        assert "Nothing moved" not in text
        assert "Not known Known since " in text
    text = text_of(page(viewer, "/stockandflow/membership/unexplained/", **days))
    assert "All is explained" not in text
    assert "Not known What came and went isn't known" in text


def test_a_flow_isnt_compared_with_what_is_not_known(viewer: Client, members: list[Member]) -> None:
    Sweep.objects.update(told_since=timezone.now() - 2 * DAY)
    days: dict[str, Any] = {"range": "custom", "since": day_before(2), "until": day_before(-1)}
    text = text_of(page(viewer, "/stockandflow/membership/flows/signing-up/", **days))
    assert "Moves 5 " in text
    assert "against 0" not in text


def test_a_slice_of_what_is_tracked_says_nothing_of_trackers(viewer: Client, members: list[Member]) -> None:
    assert "in no tracker" not in page(viewer, MEMBERSHIP, **PRO)


def day_before(days: int) -> str:
    return (timezone.localdate() - days * DAY).isoformat()
