"""States: what a page says where there is nothing, or not all, to show; the rest of it stands, and it is a 200."""

import logging
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone
from django.utils.formats import date_format

from example.membership.models import Member, Plan
from stockandflow.declarations import Process, Stock
from stockandflow.models import StockRecord
from stockandflow.periods import Calendar
from stockandflow.registry import registry
from tests.site.test_views import INDEX, MEMBERSHIP, page, text_of

pytestmark = pytest.mark.django_db

TORN = "/stockandflow/torn/"
PANEL = 'id="sf-stock-{}"'


@pytest.fixture
def member() -> Member:
    return Member.objects.create(
        name="Ann", email="a@example.org", plan=Plan.objects.create(name="Basic", monthly_price=9)
    )


def torn() -> Stock:
    """A stock whose table has lost a column that it asks for."""
    return Stock(slug="torn-one", name="Torn one", queryset=Member.objects.extra(where=["gone_since = 1"]))


def days_ago(days: int) -> str:
    return (timezone.localdate() - timedelta(days=days)).isoformat()


def add_process(monkeypatch: pytest.MonkeyPatch, *stocks: Stock) -> None:
    more = Process("torn", "Torn", stocks, flows=[])
    monkeypatch.setattr(registry, "processes", [*registry.processes, more])


def test_what_was_never_recorded_says_so_and_shows_what_is_there_now(viewer: Client) -> None:
    html = page(viewer, MEMBERSHIP)
    assert "Never recorded yet" in text_of(html)
    assert "levels of the past need the schedule" in text_of(html)
    assert PANEL.format("trial") in html


def test_where_nothing_moved_there_is_a_button_that_widens_the_range(viewer: Client, member: Member) -> None:
    StockRecord.objects.create(stock="trial", timestamp=timezone.now() - timedelta(days=90), count=0)
    html = unescape(page(viewer, MEMBERSHIP, since="2001-01-01", until="2001-01-31"))
    assert "No object came, went or changed its stock." in text_of(html)
    wider = html.split(">Look at the last 12 months<")[0].rsplit('href="', 1)[1].rstrip('"')
    assert "Nothing moved" not in page(viewer, MEMBERSHIP + wider)


def test_a_level_that_nobody_recorded_is_a_gap_that_is_named(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_process(monkeypatch, registry.process("support").stocks[-1])
    html = page(viewer, TORN, since="2001-01-01", until="2001-01-31")
    assert 'class="sf-gap"' in html
    assert "Not known" in text_of(html)


def test_today_is_said_to_be_partial_where_it_is_drawn(viewer: Client, member: Member) -> None:
    html = page(viewer, MEMBERSHIP)
    assert "today, partial" in html
    assert 'class="sf-open"' in html
    assert "today, partial" not in page(viewer, MEMBERSHIP, since="2001-01-01", until="2001-01-31")


def test_a_date_makes_way_for_the_word_about_now_where_there_is_no_room_for_both(viewer: Client) -> None:
    html = page(viewer, MEMBERSHIP, since=days_ago(8), until=days_ago(-1), per="day")
    assert 'class="sf-minor sf-late"' in html
    assert "sf-late" not in page(viewer, MEMBERSHIP, since="2001-01-01", until="2001-01-10")


def test_a_stock_that_cannot_be_counted_leaves_the_rest_as_it_is(
    viewer: Client, member: Member, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_process(monkeypatch, registry.process("membership").stocks[0], torn())
    html = page(viewer, TORN)
    assert "Torn one This stock can't be counted, so it is left out." in text_of(html)
    assert PANEL.format("trial") in html
    assert "The stock 'torn-one' can't be counted." in caplog.text
    assert "gone_since" not in html


def test_there_is_no_file_that_would_lack_a_stock_without_a_word(
    member: Member, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(User.objects.create_superuser("root"))
    for stocks in ([torn()], [registry.process("membership").stocks[0], torn()]):
        add_process(monkeypatch, *stocks)
        for kind in ("csv", "json", "xlsx"):
            response = client.get(TORN, {"format": kind})
            assert response.status_code == 400
            assert "these stocks can't be counted: Torn one." in response.content.decode()
            response = client.get(f"{TORN}stocks/torn-one/", {"format": kind})
            assert response.status_code == 400
            assert "these stocks can't be counted: Torn one." in response.content.decode()
        monkeypatch.undo()


def test_a_stock_that_cannot_be_counted_is_marked_on_its_card(
    viewer: Client, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_process(monkeypatch, registry.process("membership").stocks[0], torn())
    text = text_of(page(viewer, INDEX))
    assert "Torn one Can't be counted" in text
    assert "The server's log says why" not in text


def test_a_process_of_which_nothing_can_be_counted_says_so_on_its_card_and_leaves_the_others(
    viewer: Client, member: Member, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = Process("torn", "Torn", [torn()], flows=[], calendar=Calendar("Asia/Tokyo"))
    monkeypatch.setattr(registry, "processes", [registry.process("membership"), elsewhere])
    with caplog.at_level(logging.ERROR):
        text = text_of(page(viewer, INDEX))
    assert "Torn Can't be counted" in text
    assert "The server's log says why." in text
    assert "You see a part of the objects" not in text
    assert "Trial 1" in text
    assert "The card of the process 'torn' has no numbers." in caplog.text


def test_who_may_not_list_objects_sees_the_numbers_as_text(viewer: Client, member: Member) -> None:
    for path in (INDEX, MEMBERSHIP, f"{MEMBERSHIP}stocks/trial/", f"{MEMBERSHIP}flows/signing-up/"):
        html = page(viewer, path)
        assert "/objects/" not in html
        assert 'class="sf-number"' not in html
    for codename in ("list_objects", "view_member"):
        User.objects.get().user_permissions.add(Permission.objects.get(codename=codename))
    assert "/objects/" in page(viewer, MEMBERSHIP)


def none_of_members(request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
    return queryset.filter(pk=0) if queryset.model is Member else queryset


def test_who_sees_but_a_part_gets_what_a_process_and_its_stocks_are_and_their_part_of_now(
    viewer: Client, member: Member, settings: Any
) -> None:
    settings.STOCKANDFLOW = {"SCOPE": f"{__name__}.none_of_members"}
    text = text_of(page(viewer, MEMBERSHIP))
    assert str(registry.process("membership").description) in text
    assert "Your part, now Stock Now Trial 0 Active 0" in text
    stock = text_of(page(viewer, f"{MEMBERSHIP}stocks/trial/"))
    assert "Your part, now Stock Now Trial 0" in stock
    assert str(registry.process("membership").description) not in stock


def test_a_hidden_process_has_no_page(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody"))
    for path in (MEMBERSHIP, f"{MEMBERSHIP}stocks/trial/", f"{MEMBERSHIP}flows/signing-up/"):
        page(client, path, status=404)


def test_a_day_of_another_year_is_told_with_its_year(viewer: Client) -> None:
    assert "Opening 1 Jan 2001" in text_of(page(viewer, MEMBERSHIP, since="2001-01-01", until="2001-01-31"))
    today = date_format(timezone.localdate(), "MONTH_DAY_FORMAT")
    html = page(viewer, MEMBERSHIP, since=days_ago(0), until=days_ago(-1))
    assert f"Opening {today} In" in text_of(html)


@pytest.mark.parametrize("rest", ["", "stocks/torn-one/", "flows/-/", "unexplained/", "?range=nonsense"])
def test_a_process_of_which_nothing_can_be_counted_says_so_on_each_of_its_pages(
    viewer: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rest: str
) -> None:
    add_process(monkeypatch, torn())
    html = page(viewer, TORN + rest)
    assert "No stock of this process can be counted The server's log says why. Torn one" in text_of(html)
    assert "The stock 'torn-one' can't be counted." in caplog.text
    assert "gone_since" not in html
    assert ("nonsense" in html) == ("nonsense" in rest)


@pytest.mark.parametrize(
    ("better", "verdict", "spoken"),
    [("up", "sf-better", "up, better"), ("down", "sf-worse", "up, worse"), (None, "", "up")],
)
def test_a_change_is_good_or_bad_where_the_stock_says_which_way_is_better_and_never_by_colour_alone(
    viewer: Client, monkeypatch: pytest.MonkeyPatch, better: Any, verdict: str, spoken: str
) -> None:
    stock = registry.process("membership").stocks[0]
    StockRecord.objects.create(stock=stock.slug, timestamp=timezone.now() - timedelta(days=40), count=0)
    monkeypatch.setitem(vars(stock), "better", better)
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.create(name="Ann", email="a@example.org", plan=plan)
    for path in (MEMBERSHIP, f"{MEMBERSHIP}stocks/{stock.slug}/", INDEX):
        html = page(viewer, path)
        judged = html.split('class="sf-change ') if verdict else html.split('class="sf-change"')
        assert any(one.startswith(f'{verdict}"') or not verdict for one in judged[1:])
        assert f'<span class="sf-hidden">{spoken}</span>' in html
    drawing = page(viewer, MEMBERSHIP).split("sf-box-change", 1)[1]
    assert drawing.startswith(f" {verdict}" if verdict else '"')
