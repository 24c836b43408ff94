"""A stock's members one at a time, on the page for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from example.membership.models import Member, Plan, Status
from stockandflow.registry import registry
from tests.reports.history import written
from tests.site.test_objects import html_of, own
from tests.site.test_views import text_of
from tests.users import LISTS, user_with

pytestmark = pytest.mark.django_db

WORK = "/stockandflow/membership/stocks/trial/work/"
START = datetime(2026, 3, 1, tzinfo=UTC)
trial = registry.stock("trial")


@pytest.fixture
def three() -> list[Member]:
    keys = written([[(START, "trial")]] * 3)
    for key, name in zip(keys, ("Ann", "Ben", "Cleo"), strict=True):
        Member.objects.filter(pk=key).update(name=name)
    return list(Member.objects.order_by("pk"))


def shown(html: str) -> str:
    found = re.search(r'<h2 id="sf-work">(.*?)</h2>', html)
    return found[1] if found else ""


def link(html: str, label: str) -> str:
    found = re.search(rf'<a class="sf-step"[^>]*href="([^"]*)">{label}</a>', html)
    return f"{WORK}{unescape(found[1])}" if found else ""


def test_one_goes_from_the_first_to_the_last_and_back(reader: Client, three: list[Member]) -> None:
    html = html_of(reader, WORK)
    assert link(html, "Previous") == ""
    names = [shown(html)]
    while link(html, "Next"):
        html = html_of(reader, link(html, "Next"))
        names.append(shown(html))
    assert names == ["Ann", "Ben", "Cleo"]
    assert "3 of 3" in text_of(html)
    assert shown(html_of(reader, link(html, "Previous"))) == "Ben"
    assert shown(html_of(reader, link(html, "First"))) == "Ann"
    assert shown(html_of(reader, link(html, "Last"))) == "Cleo"


def test_one_moves_on_where_the_object_has_left(reader: Client, three: list[Member]) -> None:
    html = html_of(reader, WORK)
    following = link(html, "Next")
    Member.objects.filter(name="Ben").update(status=Status.ACTIVE)
    html = html_of(reader, following)
    assert shown(html) == "Cleo"
    assert "The one that stood here has left Trial; this one stands beside it." in text_of(html)
    assert shown(html_of(reader, link(html, "Previous"))) == "Ann"


def test_going_back_past_one_that_has_left_comes_to_the_one_before(
    reader: Client, three: list[Member]
) -> None:
    back = link(html_of(reader, f"{WORK}?at={three[2].pk}"), "Previous")
    Member.objects.filter(name="Ben").update(status=Status.ACTIVE)
    assert shown(html_of(reader, back)) == "Ann"


def test_at_the_end_one_is_through(reader: Client, three: list[Member]) -> None:
    address = f"{WORK}?at={three[2].pk}"
    three[2].delete()
    html = html_of(reader, address)
    assert "You are through" in text_of(html)
    assert shown(html_of(reader, link(html, "Begin again"))) == "Ann"


def test_an_empty_stock_says_so(reader: Client) -> None:
    assert "Trial is empty." in text_of(html_of(reader, WORK))


def test_an_action_runs_on_the_one_shown_and_one_goes_on_to_the_next(
    actor: Client, three: list[Member]
) -> None:
    html = html_of(actor, WORK)
    assert '<button class="sf-button" type="submit" name="action" value="convert">Convert</button>' in html
    form = re.search(r'<form method="post" action="(.*?)"', html)
    assert form is not None
    address = f"{WORK}{unescape(form[1])}"
    response = actor.post(address, {"action": "convert", "_selected_action": three[0].pk})
    assert response["Location"] == address
    html = html_of(actor, address)
    assert "1 converted." in text_of(html)
    assert shown(html) == "Ben"


def test_a_facet_stays_in_force_on_the_way(reader: Client, three: list[Member]) -> None:
    written([[(START, "trial")]] * 2, Plan.objects.create(name="A & B", monthly_price=9))
    html = html_of(reader, f"{WORK}?facet-plan=A+%26+B")
    assert "1 of 2" in text_of(html)
    assert "2 of 2" in text_of(html_of(reader, link(html, "Next")))


@pytest.mark.parametrize(
    "query", ["at=x", "at=1.2", "back=%00", "facet-nope=1", "facet-plan=Nope", "at=" + "9" * 50]
)
def test_what_is_no_place_is_told(reader: Client, three: list[Member], query: str) -> None:
    html = html_of(reader, f"{WORK}?{query}", 400)
    assert "There is no such place" in html


@pytest.mark.parametrize(
    ("codenames", "status"),
    [((), 404), (("view_process",), 403), (("view_process", "view_member"), 403), (LISTS, 200)],
)
def test_it_wants_the_permissions_of_a_list(
    client: Client, three: list[Member], codenames: tuple[str, ...], status: int
) -> None:
    client.force_login(user_with(*codenames))
    html_of(client, WORK, status)


def test_who_may_not_act_has_no_buttons_and_runs_nothing(reader: Client, three: list[Member]) -> None:
    assert 'name="action"' not in html_of(reader, WORK)
    posted = {"action": "convert", "_selected_action": three[0].pk}
    assert reader.post(WORK, posted).status_code == 403
    assert trial.count() == 3


def test_a_stock_of_another_process_is_not_found(reader: Client) -> None:
    html_of(reader, "/stockandflow/membership/stocks/ticket-new/work/", 404)


def test_a_scope_holds_here_too(client: Client, three: list[Member], settings: Any) -> None:
    settings.STOCKANDFLOW = {"SCOPE": f"{own.__module__}.own"}
    client.force_login(user_with(*LISTS, name="Ben"))
    html = html_of(client, WORK)
    assert shown(html) == "Ben"
    assert "1 of 1" in text_of(html)


def test_the_queries_do_not_grow_with_the_stock(reader: Client, three: list[Member]) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            html_of(reader, f"{WORK}?at={three[1].pk}")
        return len(captured)

    first = queries()
    written([[(START, "trial")]] * 30)
    assert queries() == first <= 9


def test_the_list_of_members_now_leads_here(reader: Client, three: list[Member]) -> None:
    lists = "/stockandflow/membership/objects/?kind=level&stock=trial"
    assert f'href="{WORK}">Work through them</a>' in html_of(reader, lists)
    assert "Work through" not in html_of(reader, f"{lists}&until=2026-03-09")
