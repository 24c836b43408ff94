"""The page of a flow: its pairs and periods, when it moves, what moved last, and how many queries that takes."""

import re
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow import recording
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Watermark
from stockandflow.periods import Calendar
from stockandflow.registry import registry
from stockandflow.site.week import read_slot
from tests.site.test_stock_page import DAY, PRO, lister, members, reader, viewer
from tests.site.test_views import page, queries, text_of

pytestmark = pytest.mark.django_db

__all__ = ["lister", "members", "viewer"]

SIGNING_UP = "/stockandflow/membership/flows/signing-up/"
OTHER = "/stockandflow/membership/flows/-/"
LONDON = Calendar("Europe/London")
MOST_QUERIES = 27
"""With a facet, of which two are for the session and the user."""


def event(at: datetime, source: str, sink: str, flow: str = "signing-up", subject: int = 1) -> None:
    MemberFlowEvent.objects.create(
        tracker="membership.member", flow=flow, source=source, sink=sink, subject_id=subject,
        timestamp=at, recorded_at=at, facets={"plan": "Basic"},
    )  # fmt: skip


def moves_listed(html: str) -> int:
    return len(re.findall(r"→ Trial</td>", html))


@pytest.fixture
def moves() -> datetime:
    """One move a day of the last twenty, at 9:30 by the clocks, and three by the same hour of the last day."""
    Plan.objects.create(name="Basic", monthly_price=9)
    today = LONDON.midnight(LONDON.local_date(timezone.now()))
    for day in range(1, 21):
        at = LONDON.midnight(LONDON.local_date(today - day * DAY)) + timedelta(hours=9, minutes=30)
        event(at, "", "trial", subject=day)
    return today


def test_it_tells_how_many_moved_how_often_and_what_was_before(lister: Client, moves: datetime) -> None:
    text = text_of(page(lister, SIGNING_UP))
    assert "Processes Membership Signing up" in text
    assert "Moves 20 ▲ up +20 (from 0) against 0 on" in text
    assert "Per day 0.7" in text
    assert "outside → to Trial 20 100.0 % 0.7 0 –" in text
    assert "Rate" not in text.split("From where")[0], "from outside there is nothing to take a share of"


def test_the_bars_have_a_moving_average_from_fourteen_periods_on(lister: Client, moves: datetime) -> None:
    assert "Mean of 7 periods" in page(lister, SIGNING_UP)
    assert "Mean of 7 periods" not in page(lister, SIGNING_UP, range="7d")


def test_what_came_before_its_first_recorded_day_is_not_known(lister: Client, moves: datetime) -> None:
    recording.record(registry)
    first = LONDON.midnight(LONDON.local_date(moves - 20 * DAY))
    day = f"{first.astimezone(LONDON.zone):%-d %b %Y}"
    html = page(lister, SIGNING_UP, range="30d")
    text = text_of(html)
    assert f"Moves 20 Known since {day} Per day" in text, "there is nothing to compare it with"
    assert f"Per day {20 / ((timezone.now() - first) / DAY):.1f}" in text
    table = html[html.index('class="sf-data"') : html.index("</details>", html.index('class="sf-data"'))]
    rows = re.findall(r"<td>([^<]+)</td><td class=.sf-muted.>([^<]+)", table)
    assert rows == [("0", "in progress"), *[("–", "not known")] * 9]
    assert 'class="sf-gap"' in html

    by_month = page(lister, SIGNING_UP, range="12mo")
    assert f"partial, since {day}</td>" in by_month
    assert f"(partial, since {day})</title>" in by_month
    before = page(lister, SIGNING_UP, since="2020-01-01", until="2020-02-01")
    assert f"Not known Known since {day}" in text_of(before)


def test_the_hours_of_the_week_lead_to_their_moves(lister: Client, moves: datetime) -> None:
    html = page(lister, SIGNING_UP)
    day = (moves - DAY / 2).astimezone(LONDON.zone).weekday()
    cells = re.findall(r'<td class="sf-heat-\d"><a href="([^"]+)"[^>]*>(\d+)</a>', html)
    assert sum(int(number) for _address, number in cells) == 20
    (address, number) = next(one for one in cells if f"hour={day}-09" in one[0])
    narrowed = page(lister, SIGNING_UP + address.split("#")[0].replace("&amp;", "&"))
    assert moves_listed(narrowed) == int(number)
    assert "9:00 to 10:00" in narrowed


def test_the_values_of_a_facet_sum_to_the_flow(lister: Client, members: list[Member]) -> None:
    text = text_of(page(lister, SIGNING_UP))
    assert "Basic 3 60.0 % Pro 2 40.0 %" in text
    assert "Basic 3 100.0 %" not in text
    about_one = text_of(page(lister, SIGNING_UP, **PRO))
    assert "Moves 2" in about_one
    assert "This page is about one value; remove it to see them all." in about_one
    assert moves_listed(page(lister, SIGNING_UP, **PRO)) == 2


def test_every_number_leads_to_its_objects(lister: Client, members: list[Member]) -> None:
    numbers = re.findall(r'<a class="sf-number" href="([^"]+)">([^<]+)</a>', page(lister, SIGNING_UP))
    assert {text for _address, text in numbers} >= {"5", "3", "2"}
    for address, shown in numbers:
        assert "kind=flow" in address
        assert f"value={shown}" in address


def test_who_may_not_list_objects_sees_no_object(viewer: Client, members: list[Member]) -> None:
    html = page(viewer, SIGNING_UP)
    assert "Moves 5" in text_of(html)
    assert "You may see how many moved, but not which." in html
    assert "Member 0" not in html
    assert "/objects/" not in html
    assert "hour=" not in html


def test_the_latest_moves_come_a_page_at_a_time(lister: Client, moves: datetime) -> None:
    for n in range(30):
        event(moves - DAY, "", "trial", subject=100 + n)
    first = page(lister, SIGNING_UP)
    assert moves_listed(first) == 25
    second = page(lister, SIGNING_UP, page=2)
    assert moves_listed(second) == 25
    assert "Newer" in second
    assert "Older" not in second
    assert "gone" in second, "the objects of these moves don't exist"
    for odd in ("0", "-3", "x", "99999999", "²"):
        page(lister, SIGNING_UP, page=odd)


def test_moves_that_no_flow_covers_have_a_page(lister: Client, moves: datetime) -> None:
    event(moves - DAY, "churned", "trial", flow="")
    event(moves - DAY, "paused", "trial", flow="removed")
    text = text_of(page(lister, OTHER))
    assert "Other Moves that no flow of this process covers." in text
    assert "Churned → to Trial 1 50.0 %" in text
    assert "Paused → to Trial 1 50.0 %" in text


def test_the_process_leads_to_its_stocks_and_flows_with_the_range_asked_for(
    lister: Client, moves: datetime
) -> None:
    event(moves - DAY, "churned", "trial", flow="")
    html = page(lister, "/stockandflow/membership/", range="7d")
    for place in (SIGNING_UP, OTHER, "/stockandflow/membership/stocks/trial/"):
        assert f'href="{place}?range=7d"' in html
    assert f'href="{OTHER}"' in page(lister, "/stockandflow/membership/")


def test_a_flow_that_touches_no_stock_has_its_moves(client: Client) -> None:
    reader(client, "list_objects", "view_ticket")
    page(client, "/stockandflow/support/flows/escalating/")


def test_nothing_in_the_range_says_so_with_a_way_to_more(viewer: Client) -> None:
    html = page(viewer, SIGNING_UP, range="7d")
    assert "Nothing moved in this range" in html
    assert 'href="?range=12mo"' in html


def test_where_events_were_pruned_records_tell_the_rest(lister: Client, moves: datetime) -> None:
    MemberFlowEvent.objects.update(recorded_at=timezone.now() - 2 * DAY)
    recording.record(registry)
    assert Watermark.objects.update(horizon=moves) >= 1
    text = text_of(
        page(lister, SIGNING_UP, since=LONDON.local_date(moves - 9 * DAY), until=LONDON.local_date(moves))
    )
    assert "Moves 9" in text
    assert text.count("were pruned") == 2


@pytest.mark.parametrize(
    "query", ["", "split=country", "facet-plan=Pro", "range=12mo", "hour=0-09", "page=2"]
)
def test_the_queries_are_as_many_for_one_move_as_for_many(
    lister: Client, members: list[Member], query: str
) -> None:
    recording.record(registry)
    page(lister, f"{SIGNING_UP}?{query}")

    def asked() -> int:
        return queries(lister, f"{SIGNING_UP}?{query}")

    few = asked()
    plan = Plan.objects.get(name="Pro")
    Member.objects.bulk_create(Member(name=f"m{n}", email="m@example.org", plan=plan) for n in range(60))
    assert asked() == few
    assert few <= MOST_QUERIES


@pytest.mark.parametrize("text", ["7-09", "x", "1-24", "1-9", "-1-03", "1-²3", "0-0９"])
def test_an_hour_that_no_week_has_is_none(lister: Client, members: list[Member], text: str) -> None:
    with pytest.raises(InvalidInput, match="write a weekday, 0 for Monday, and an hour"):
        read_slot({"hour": text})
    assert moves_listed(page(lister, SIGNING_UP, hour=text)) == 5


def test_the_admin_lists_all_events_where_it_has_the_flow(client: Client, members: list[Member]) -> None:
    User.objects.create_superuser("boss")
    client.force_login(User.objects.get())
    html = page(client, SIGNING_UP)
    for place in re.findall(r'href="([^"]+)">Open all in admin', html):
        assert client.get(place.replace("&amp;", "&")).status_code == 200
