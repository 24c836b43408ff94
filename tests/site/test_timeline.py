"""What happened to one object, as long as anything is known of it."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from example.support.models import Ticket
from stockandflow.models import Origin
from stockandflow.registry import registry
from stockandflow.reports import Hidden
from stockandflow.site.lifelines import lasting, lifelines, standing_in, strip
from stockandflow.site.links import timeline_url
from tests.reports.history import Step, written
from tests.site.test_objects import html_of, own, unseen
from tests.site.test_views import text_of
from tests.users import LISTS, user_with

pytestmark = pytest.mark.django_db

START, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
membership = registry.process("membership")

LIFE: list[Step] = [(START, "trial"), (START + 10 * DAY, "active"), (START + 40 * DAY, "paused")]


def url_of(key: Any) -> str:
    return timeline_url(Member, key, membership)


def rows_of(html: str) -> list[list[str]]:
    """The moves as read, in order."""
    body = re.findall(r'<tr>\s*<th scope="row">(.*?)</tr>', html, re.DOTALL)
    return [[text_of(cell) for cell in re.split(r"</t[hd]>", row)][1:5] for row in body]


def test_the_moves_are_listed_newest_first_with_the_stay_that_each_began(reader: Client) -> None:
    (key,) = written([LIFE])
    html = html_of(reader, url_of(key))
    rows = rows_of(html)
    assert [row[:3] for row in rows] == [
        ["Pausing", "Active", "Paused"],
        ["Converting", "Trial", "Active"],
        ["Signing up", "outside", "Trial"],
    ]
    assert rows[0][3].endswith("d so far")
    assert [row[3] for row in rows[1:]] == ["30 d", "10 d"]
    assert re.search(r"Now Paused for \d+ d", text_of(html))


def test_how_moves_are_known_is_told_where_any_was_not_seen_as_it_happened(reader: Client) -> None:
    (key,) = written([LIFE])
    assert "Known by" in text_of(html_of(reader, url_of(key)))
    MemberFlowEvent.objects.filter(subject=key).update(origin=Origin.LIVE)
    assert "Known by" not in text_of(html_of(reader, url_of(key)))


def test_an_object_that_is_gone_keeps_its_history(reader: Client) -> None:
    (key,) = written([[*LIFE, (START + 50 * DAY, "")]])
    assert not Member.objects.filter(pk=key).exists()
    html = html_of(reader, url_of(key))
    assert f"Member #{key}" in text_of(html)
    assert "This object is gone. What happened to it is kept." in text_of(html)
    assert [row[3] for row in rows_of(html)] == ["", "10 d", "30 d", "10 d"]


def test_a_move_that_does_not_begin_where_the_one_before_ended_is_marked(reader: Client) -> None:
    (key,) = written([LIFE])
    MemberFlowEvent.objects.filter(subject_id=key, source="active").update(source="churned", flow="")
    html = html_of(reader, url_of(key))
    assert "1 move doesn't begin where the one before it ended" in text_of(html)
    assert rows_of(html)[0][:3] == ["Other", "Churned was in Active", "Paused"]


def test_an_object_that_is_not_where_its_events_led_says_so(reader: Client) -> None:
    (key,) = written([LIFE])
    with unseen():
        Member.objects.filter(pk=key).update(status=Status.CHURNED)
    text = text_of(html_of(reader, url_of(key)))
    assert "Its events say that it is in Paused, and it isn't." in text
    assert "Now Churned since when isn't known" in text
    with unseen():
        Member.objects.filter(pk=key).delete()
    assert "Its last move led into a stock, so the one by which it went was missed." in text_of(
        html_of(reader, url_of(key))
    )


def test_the_stays_are_drawn_side_by_side_in_percent_whatever_the_locale(
    reader: Client, settings: Any
) -> None:
    settings.LANGUAGE_CODE = "de"
    (key,) = written([[*LIFE, (START + 50 * DAY, "")]])
    html = html_of(reader, url_of(key))
    edges = re.findall(r'<svg x="([\d.]+)%" width="([\d.]+)%"', html)
    assert len(edges) == 3
    for (x, width), (following, _) in pairwise(edges):
        assert float(x) + float(width) == pytest.approx(float(following), abs=0.01)
    assert "style=" not in html


def test_every_dimension_has_a_line_of_its_own(reader: Client) -> None:
    (key,) = written([LIFE])
    ticket = Ticket.objects.create(title="Help", member_id=key, priority="urgent")
    support = registry.process("support")
    lines = lifelines(support, Ticket, ticket.pk, Hidden())
    assert [(line.name, line.state) for line in lines] == [
        ("support.ticket", "ticket-new"),
        ("support.escalation", "urgent"),
    ]
    assert [stock.slug for stock in standing_in(support, ticket)] == ["ticket-new", "ticket-urgent"]
    text = text_of(html_of(reader, timeline_url(Ticket, ticket.pk, support)))
    assert "Urgent in no tracker, so since when isn't known" in text


def test_an_object_that_nothing_moved_yet_is_shown(reader: Client) -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    with unseen():
        member = Member.objects.create(name="new", email="m@example.org", plan=plan)
    assert "No event tells of this object." in text_of(html_of(reader, url_of(member.pk)))


def test_a_long_life_is_cut_and_says_so(reader: Client) -> None:
    life: list[Step] = [(START + n * DAY / 24, ("trial", "active")[n % 2]) for n in range(520)]
    (key,) = written([life])
    html = html_of(reader, url_of(key))
    assert len(rows_of(html)) == 500
    assert "The latest 500 moves are shown; there are older ones." in text_of(html)


@pytest.mark.parametrize(
    "path",
    [
        "membership.member/999999/",
        "membership.member/x/",
        "membership.member/_/",
        "membership.member/_00/",
        f"membership.member/{'9' * 40}/",
        "membership.plan/1/",
        "support.ticket/1/",
        "auth.user/1/",
        "nonsense/1/",
        f"membership.member/{uuid.UUID(int=0)}/",
    ],
)
def test_what_there_is_not_is_not_found(reader: Client, path: str) -> None:
    html_of(reader, f"/stockandflow/membership/objects/{path}", 404)


@pytest.mark.parametrize(
    ("codenames", "status"),
    [((), 404), (("view_process",), 403), (("view_process", "list_objects"), 403), (LISTS, 200)],
)
def test_a_timeline_wants_the_permissions_of_a_list(
    client: Client, codenames: tuple[str, ...], status: int
) -> None:
    (key,) = written([LIFE])
    client.force_login(user_with(*codenames))
    html_of(client, url_of(key), status)


def test_a_scope_hides_the_objects_of_others_and_those_that_are_gone(client: Client, settings: Any) -> None:
    mine, others, gone = written([LIFE, LIFE, [*LIFE, (START + 50 * DAY, "")]])
    Member.objects.filter(pk=mine).update(name="ann")
    settings.STOCKANDFLOW = {"SCOPE": f"{own.__module__}.own"}
    client.force_login(user_with(*LISTS, name="ann"))
    html_of(client, url_of(mine))
    for key in (others, gone):
        html_of(client, url_of(key), 404)


def test_the_queries_do_not_grow_with_the_history(reader: Client) -> None:
    def queries(key: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            html_of(reader, url_of(key))
        return len(captured)

    life: list[Step] = [(START + n * DAY, ("trial", "active")[n % 2]) for n in range(100)]
    short, long = written([LIFE, life])
    assert queries(short) == queries(long) <= 9


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(seconds=12), "12 s"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=5, minutes=10), "5 h 10 min"),
        (timedelta(days=3, hours=4), "3 d 4 h"),
        (timedelta(days=3), "3 d"),
        (timedelta(days=1200), "1,200 d"),
    ],
)
def test_a_length_is_told_in_its_two_largest_units(length: timedelta, said: str) -> None:
    assert lasting(length) == said


def test_a_strip_of_an_instant_is_no_division_by_zero() -> None:
    (key,) = written([[(START, "trial")]])
    (line,) = lifelines(membership, Member, key, Hidden())
    (one,) = strip(line, START, {}, str)
    assert (one.x, one.state) == ("0.000%", "trial")


@pytest.mark.parametrize(("staff", "may_view"), [(True, True), (False, True), (True, False)])
def test_who_may_view_the_object_in_the_admin_finds_its_page_there(
    client: Client, *, staff: bool, may_view: bool
) -> None:
    (key,) = written([LIFE])
    user = user_with(*LISTS) if may_view else user_with("view_process", "list_objects", "change_member")
    user.is_staff = staff
    user.save()
    client.force_login(user)
    answer = client.get(url_of(key))
    shown = f'href="/admin/membership/member/{key}/change/"' in answer.content.decode()
    assert shown == staff
    if shown:
        assert client.get(f"/admin/membership/member/{key}/change/").status_code == 200
