"""The status page: what ran, what failed, what is silent, and who may run what was missed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import MemberFlowEvent
from stockandflow.declarations import ModelTracker, Process, Stock
from stockandflow.models import Delivery, ScheduleEntry, ScheduleRun, Sweep
from stockandflow.models.clock import DatabaseNow
from stockandflow.periodic import DAILY, NEVER, Bounds, run, schedule
from stockandflow.periods import Calendar
from stockandflow.registry import registry
from stockandflow.site.columns import shown
from stockandflow.site.status import moment_words
from stockandflow.templatetags.stockandflow import moment

pytestmark = [pytest.mark.django_db, pytest.mark.urls("example.urls")]
URL = "/stockandflow/status/"
DAY = timedelta(days=1)
calls: list[Bounds] = []


def charge(period: Bounds) -> str:
    calls.append(period)
    if len(calls) == 1:
        raise ValueError("the <payment> service is away")
    return "41 charged"


@pytest.fixture(autouse=True)
def entries() -> Iterator[None]:
    """A project's own entry that is told its period, and one that never runs, beside nothing else."""
    calls.clear()
    with schedule.set_aside():
        schedule.register(DAILY, charge, name="billing.charge", calendar=Calendar())
        schedule.register(NEVER, int, name="off")
        yield


def user_with(client: Client, *codenames: str) -> None:
    user = User.objects.create_user("somebody", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="stockandflow", codename__in=codenames)
    )
    client.force_login(user)


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def page(client: Client) -> str:
    response = client.get(URL)
    assert response.status_code == 200
    return response.content.decode()


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html.replace("<wbr>", ""))).split())


def entry(html: str, name: str) -> str:
    found: list[str] = [
        part
        for part in re.findall(r'<li class="sf-entry">.*?\n</li>', html, re.DOTALL)
        if name in part.replace("<wbr>", "")
    ]
    assert len(found) == 1
    return found[0]


def post(client: Client, **data: str) -> Any:
    return client.post(URL, data, follow=True)


def test_an_entry_that_was_never_run_says_so_and_can_be_run(root: Client) -> None:
    told = words(entry(page(root), "billing.charge"))
    assert "every day due since" in told
    assert "not run yet" in told
    assert "Run now" in told


def test_an_entry_that_never_runs_has_nothing_to_run(root: Client) -> None:
    off = entry(page(root), "off")
    assert words(off) == "off never never"
    assert "<form" not in off


def test_a_failed_run_has_its_message_and_its_traceback_both_escaped(root: Client) -> None:
    run(schedule)
    html = entry(page(root), "billing.charge")
    assert "sf-state-failed" in html
    assert "ValueError: the &lt;payment&gt; service is away" in html
    assert "raise ValueError" in unescape(html)
    assert "<payment>" not in html


def test_the_traceback_is_for_those_who_may_see_runs(client: Client) -> None:
    run(schedule)
    user_with(client, "view_scheduleentry")
    html = page(client)
    assert "service is away" in html
    assert "Traceback" not in html
    assert "<form" not in html
    assert "Deliveries" not in html
    assert "Capture" not in html


def test_a_run_that_is_done_has_its_duration_and_is_in_time(root: Client) -> None:
    calls.append(Bounds(timezone.now(), timezone.now()))
    run(schedule)
    told = words(entry(page(root), "billing.charge"))
    assert re.search(r"in time done .+ 0\.\d\d s 41 charged", told)
    assert "Run now" not in told


def test_an_entry_that_runs_at_this_moment_is_not_offered_to_be_run(root: Client) -> None:
    run(schedule)
    ScheduleRun.objects.update(status="running", leased_until=DatabaseNow() + DAY)
    html = entry(page(root), "billing.charge")
    assert 'class="sf-run-running"' in html
    assert "running since" in words(html)
    assert "Run now" not in html


def test_an_entry_is_run_from_the_page_and_the_page_says_what_became_of_it(
    root: Client, settings: Any
) -> None:
    (engine,) = settings.TEMPLATES
    processors = [
        *engine["OPTIONS"]["context_processors"],
        "django.contrib.messages.context_processors.messages",
    ]
    options = {**engine["OPTIONS"], "context_processors": list(dict.fromkeys(processors))}
    settings.TEMPLATES = [{**engine, "OPTIONS": options}]
    response = post(root, action="run", entry="billing.charge")
    assert response.redirect_chain == [(URL, 302)]
    assert words(response.content.decode()).count("failed: ValueError: the <payment> service is away") == 1
    assert "done: 41 charged" in words(post(root, action="run", entry="billing.charge").content.decode())
    assert "was run already" in words(post(root, action="run", entry="billing.charge").content.decode())
    assert len(calls) == 2


def gap(root: Client) -> list[str]:
    """Two days are missed, and today is run; the starts that the page offers to be run, newest first."""
    calls.append(Bounds(timezone.now(), timezone.now()))
    for days in (3, 0):
        run(schedule, now=timezone.now() - days * DAY)
    return re.findall(r'name="start" value="([^"]*)"', page(root))


def test_a_missed_period_is_run_from_the_page_once(root: Client) -> None:
    starts = gap(root)
    assert len(starts) == 2
    assert "2 missed periods" in words(page(root))
    response = post(root, action="period", entry="billing.charge", start=starts[1])
    assert "done: 41 charged" in words(response.content.decode())
    assert calls[-1].start.isoformat() == starts[1]
    again = post(root, action="period", entry="billing.charge", start=starts[1])
    assert "was run already" in words(again.content.decode())
    assert len(calls) == 4
    assert re.findall(r'name="start" value="([^"]*)"', page(root)) == starts[:1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            {"action": "period", "entry": "billing.charge", "start": "x"},
            "start is 'x', which is no date; write YYYY-MM-DD",
        ),
        (
            {"action": "period", "entry": "billing.charge", "start": "2026-01-01T12:00"},
            "names no instant without its offset",
        ),
        ({"action": "period", "entry": "off", "start": "2026-01-01T00:00:00+00:00"}, "can't be run for one"),
        ({"action": "run", "entry": "billing.chrge"}, "Did you mean 'billing.charge'?"),
        ({"action": "dance"}, "write run, period or replay"),
        ({}, "write run, period or replay"),
    ],
)
def test_what_cannot_be_run_is_said_and_nothing_is_run(root: Client, data: dict[str, str], said: str) -> None:
    response = root.post(URL, data, follow=True)
    assert said in words(response.content.decode())
    assert calls == []


@pytest.mark.parametrize(
    ("codenames", "seen", "run_by", "replayed"),
    [
        ((), 403, 403, 403),
        (("view_schedulerun", "run_scheduleentry"), 403, 403, 403),
        (("view_scheduleentry",), 200, 403, 403),
        (("view_scheduleentry", "run_scheduleentry"), 200, 302, 403),
        (("view_scheduleentry", "replay_delivery"), 200, 403, 302),
    ],
)
def test_permissions_decide_who_sees_and_who_runs(
    client: Client, codenames: tuple[str, ...], seen: int, run_by: int, replayed: int
) -> None:
    user_with(client, *codenames)
    assert client.get(URL).status_code == seen
    assert client.post(URL, {"action": "run", "entry": "billing.charge"}).status_code == run_by
    assert client.post(URL, {"action": "period", "entry": "billing.charge"}).status_code == run_by
    assert client.post(URL, {"action": "replay"}).status_code == replayed
    assert bool(calls) is (run_by == 302)


def test_nobody_sees_it_without_logging_in_and_nothing_is_run_without_a_token() -> None:
    assert Client().get(URL).status_code == 302
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("root"))
    assert strict.post(URL, {"action": "run", "entry": "billing.charge"}).status_code == 403
    assert calls == []


def test_when_the_ticks_stop_the_page_says_so(root: Client) -> None:
    assert "The schedule was never run" in words(page(root))
    calls.append(Bounds(timezone.now(), timezone.now()))
    run(schedule)
    assert "sf-silence" not in page(root)
    ScheduleEntry.objects.update(seen_at=timezone.now() - 3 * DAY, high_water=timezone.now() - 3 * DAY)
    ScheduleRun.objects.all().delete()
    told = words(page(root))
    assert "and nobody has called it since" in told
    assert re.search(r"overdue by \d d \d+ h", told)
    assert "1 overdue" in told


def test_deliveries_that_were_given_up_are_named_and_tried_again(root: Client) -> None:
    assert "Nothing waits · none given up" in words(page(root))
    Delivery.objects.create(
        event_model="membership.memberflowevent", event_id=1, flow="converting", status="dead",
        due_at=timezone.now(), error="Traceback\nConnectionError: <refused>",
    )  # fmt: skip
    html = page(root)
    assert "1 given up" in words(html)
    assert "converting membership.memberflowevent 1 ConnectionError: <refused>" in words(html)
    assert '/admin/stockandflow/delivery/?status__exact=dead"' in html
    said = words(post(root, action="replay").content.decode())
    assert "1 delivery is tried again when the schedule delivers next." in said
    assert "1 waits, due since" in said


def test_how_each_tracker_is_captured_and_what_is_to_be_done(root: Client) -> None:
    html = page(root)
    assert "by triggers: the database writes each move together with the change" in html
    tracker = Sweep.objects.first()
    assert tracker is not None
    Sweep.objects.update(opened_at=None)
    told = words(page(root))
    assert "Run 'manage.py stockandflow sweep'." in told
    assert "Not swept yet" in told


def test_the_queries_of_the_page_grow_neither_with_the_entries_nor_with_the_runs(root: Client) -> None:
    calls.append(Bounds(timezone.now(), timezone.now()))
    gap(root)
    first = queries(root)
    for number in range(8):
        schedule.register(DAILY, charge, name=f"n{number}", calendar=Calendar())
    for days in range(30, 0, -1):
        run(schedule, now=timezone.now() - 2 * days * DAY)
    run(schedule)
    assert queries(root) == first


def queries(client: Client) -> int:
    with CaptureQueriesContext(connection) as captured:
        page(client)
    return len(captured)


def test_the_page_keeps_a_strict_content_security_policy_and_its_ids_are_unique(root: Client) -> None:
    gap(root)
    html = page(root)
    assert re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL) == [""], "no script within the page"
    assert not re.search(r"\s(style|on\w+)\s*=", html)
    ids = re.findall(r'\sid="([^"]*)"', html)
    assert len(ids) == len(set(ids))


def test_the_geometry_is_the_same_in_every_language(root: Client, settings: Any) -> None:
    gap(root)
    shapes = re.findall(r"<(?:rect|circle|svg)[^>]*?( (?:x|cx|width)[^>]*?)>", page(root))
    settings.LANGUAGE_CODE = "de"
    again = re.findall(r"<(?:rect|circle|svg)[^>]*?( (?:x|cx|width)[^>]*?)>", page(root))
    assert [re.sub(r'aria-label="[^"]*"', "", one) for one in shapes] == [
        re.sub(r'aria-label="[^"]*"', "", one) for one in again
    ]


def test_the_index_leads_to_the_page_where_the_user_may_see_it(client: Client) -> None:
    link = f'href="{URL}"'
    user_with(client, "view_process")
    assert link not in client.get("/stockandflow/").content.decode()
    client.force_login(User.objects.create_superuser("root"))
    assert link in client.get("/stockandflow/").content.decode()


def test_stocks_of_a_hidden_process_arent_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    stocks = {tracker.slug: tracker.stocks for tracker in registry.trackers}
    members, tickets = stocks["membership.member"], stocks["support.ticket"]
    torn = Stock("torn-apart", "Torn", members[0].queryset.filter(plan__name="Basic"))
    both = ModelTracker(stocks=[*members, torn], event_model=MemberFlowEvent, slug="membership.member")
    monkeypatch.setattr(registry, "trackers", [both, registry.tracker("support.ticket")])
    secret = Process("secret", "Secret", [torn, *tickets], flows=[], permission="auth.view_group")
    monkeypatch.setattr(registry, "processes", [Process("seen", "Seen", list(members), flows=[]), secret])
    user_with(client, "view_scheduleentry", "view_sweep", "view_process")
    text = words(page(client))
    assert "membership.member" in text
    assert "torn-apart" not in text
    assert "support.ticket" not in text
    client.force_login(User.objects.create_superuser("all"))
    text = words(page(client))
    assert "torn-apart" in text
    assert "support.ticket" in text


def test_lists_and_the_status_tell_an_instant_as_all_pages_do() -> None:
    at, calendar = datetime(2026, 11, 3, 17, 5, tzinfo=UTC), Calendar.default()
    assert shown(at, calendar) == moment_words(at, calendar) == moment(at, calendar)
