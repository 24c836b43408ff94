"""The list behind a number: as long as the number, in the columns of its admin, and acted on by those who may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.admin_site import site
from example.membership.models import Member, MemberFlowEvent, Plan, Status
from example.support.models import Ticket
from stockandflow import reports
from stockandflow.admin import StockAndFlowAdminSite
from stockandflow.models import Watermark
from stockandflow.registry import registry
from stockandflow.reports import Kind, Number
from stockandflow.site.access import ACTING, LISTING
from stockandflow.site.columns import admin_of
from stockandflow.site.links import objects_url
from tests.reports.history import Step, counted, written
from tests.site.test_views import text_of
from tests.users import ACTS, LISTS, user_with

pytestmark = pytest.mark.django_db

START, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
OBJECTS = "/stockandflow/membership/objects/"

membership = registry.process("membership")
trial, active = registry.stock("trial"), registry.stock("active")


@pytest.fixture
def past() -> None:
    """Five members with a past, one of them gone, and a count of each stock before it began."""
    histories: list[list[Step]] = [
        [(START + DAY, "trial"), (START + 2 * DAY, "active")],
        [(START + DAY, "trial"), (START + 3 * DAY, "active"), (START + 5 * DAY, "paused")],
        [(START + DAY, "trial"), (START + 3 * DAY, "")],
        [(START + DAY, "trial"), (START + 2 * DAY, "churned")],
        [(START + DAY, "trial")],
    ]
    written(histories)
    counted(histories, START)


def html_of(client: Client, address: str, status: int = 200) -> str:
    response = client.get(address)
    assert response.status_code == status
    return response.content.decode()


def length_of(html: str) -> int:
    """How many the page says that there are, with those that are gone."""
    found = re.search(r'<h2 id="sf-list">([\d,]+) (?:object|move)s?</h2>', html)
    gone = re.search(r"([\d,]+) of these (?:is|are) gone", text_of(html))
    return int((found or gone or ["", "0"])[1].replace(",", ""))


def names_of(html: str) -> list[str]:
    """The rows' names, in order."""
    return [unescape(name) for name in re.findall(r'<th scope="row"><a[^>]*>(.*?)</a>', html)]


@contextmanager
def unseen() -> Iterator[None]:
    """Whatever happens inside leaves no event."""
    known = set(MemberFlowEvent.objects.values_list("pk", flat=True))
    yield
    MemberFlowEvent.objects.exclude(pk__in=known).delete()


def numbers_of(balance: reports.Balance) -> Iterator[Number]:
    for line in balance.stocks:
        for name in ("opening", "inflow", "outflow", "closing"):
            yield balance.number(line, name)
        for flow in (*line.inflows, *line.outflows):
            yield balance.number(flow, "count")


def test_every_number_of_a_report_leads_to_a_list_as_long_as_it_is(reader: Client, past: None) -> None:
    seen = set()
    for until in (START + 4 * DAY, timezone.now() + DAY):
        balance = reports.balance(membership, START + DAY, until)
        for number in numbers_of(balance):
            html = html_of(reader, objects_url(number, membership))
            assert length_of(html) == number.value, number
            assert len(names_of(html)) <= 50
            assert "by now it is" not in html
            seen.add(number.kind)
        for line in balance.stocks:
            net = balance.number(line, "net")
            moved = sum(one.count for one in (*line.inflows, *line.outflows))
            assert length_of(html_of(reader, objects_url(net, membership))) == moved
            unexplained = balance.number(line, "unexplained")
            assert length_of(html_of(reader, objects_url(unexplained, membership))) == line.unexplained == 0
    assert seen == {Kind.LEVEL, Kind.FLOW, Kind.INFLOW, Kind.OUTFLOW}


def test_subjects_and_net_moves_lead_to_lists_as_long_as_they_are(reader: Client, past: None) -> None:
    flow = registry.flow("signing-up")
    number = Number.of_flow(flow, START, START + 9 * DAY, measure="subjects")
    html = html_of(reader, objects_url(number, membership))
    assert length_of(html) == 5
    assert "1 of these is gone" in text_of(html)
    found = reports.net(membership, START, START + 9 * DAY)
    assert found.lines
    for line in found.lines:
        html = html_of(reader, objects_url(found.number(line), membership))
        assert length_of(html) == line.count, line


def test_a_slice_leads_to_its_members_now_and_to_its_moves(reader: Client) -> None:
    pro = Plan.objects.create(name="Pro", monthly_price=29)
    written([[(START, "trial")]] * 3)
    written([[(START, "trial")]] * 2, pro)
    now = Number.level(trial, facets={"plan": "Pro"})
    assert length_of(html_of(reader, objects_url(now, membership))) == 2
    moves = Number.of_flow(registry.flow("signing-up"), START, START + DAY, facets={"plan": "Basic"})
    assert length_of(html_of(reader, objects_url(moves, membership))) == 3


def test_what_is_gone_is_told_and_leads_to_what_happened_to_it(reader: Client, past: None) -> None:
    html = html_of(reader, objects_url(Number.level(trial, START + 2 * DAY), membership))
    assert "1 of these is gone; what happened to it is known all the same." in text_of(html)
    (url,) = re.findall(r'Gone: <a href="(.*?)">#\d+</a>', html)
    assert reader.get(url).status_code == 200


def test_a_list_says_where_it_differs_from_the_report(reader: Client, past: None) -> None:
    html = html_of(reader, f"{OBJECTS}?kind=level&stock=trial&value=7")
    assert "The report showed 7; by now it is 1." in text_of(html)
    assert "The report" not in html_of(reader, f"{OBJECTS}?kind=level&stock=trial&value=1")


def test_what_is_unexplained_is_listed_as_it_disagrees_now(reader: Client, past: None) -> None:
    with unseen():
        Member.objects.filter(status=Status.TRIAL).update(status=Status.PAUSED)
    html = html_of(
        reader, f"{OBJECTS}?kind=unexplained&stock=trial&since=2026-03-01&until=2026-03-09&value=-1"
    )
    assert length_of(html) == 1
    assert "whose row and last event disagree by now" in text_of(html)


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("", 400, "kind is ''; write one of level"),
        ("kind=level&stock=nowhere", 400, "No stock of the process 'membership'"),
        ("kind=level&stock=trial&until=tomorrow", 400, "which is no date"),
        ("kind=level&stock=trial&facet-nope=1", 400, "No facet of the process"),
        ("kind=level&stock=trial&facet-plan=%00", 400, "holds a NUL"),
        ("kind=level", 200, "names no stock"),
        ("kind=inflow", 200, "names no stock"),
        ("kind=level&stock=trial&facet-plan=Nope", 200, "no value 'Nope'"),
        ("kind=level&stock=trial&until=1999-01-01", 200, "its first event"),
        ("kind=level&stock=trial&until=2199-01-01", 200, "which hasn't come yet"),
        (
            "kind=level&stock=trial&until=2026-03-03&facet-plan=Basic",
            200,
            "who had them in between isn't known",
        ),
        ("kind=reclassified&stock=trial&facet-plan=Basic", 200, "leaves no event"),
    ],
)
def test_what_cannot_be_listed_is_explained(
    reader: Client, past: None, query: str, status: int, text: str
) -> None:
    html = html_of(reader, f"{OBJECTS}?{query}", status)
    assert "There is no list to show" in html
    assert text in text_of(html)


def test_moves_that_were_pruned_are_explained(reader: Client, past: None) -> None:
    Watermark.objects.create(
        event_model="membership.memberflowevent", calendar=membership.calendar.key, horizon=START + DAY
    )
    html = html_of(reader, f"{OBJECTS}?kind=inflow&stock=trial&since=2026-02-01&until=2026-03-09")
    assert "were pruned; ask for that instant or a later one" in text_of(html)


def test_the_columns_are_those_of_the_stocks_admin_and_sort_as_it_says(reader: Client) -> None:
    written([[(START, "trial")]] * 3)
    for member, name in zip(Member.objects.order_by("pk"), ("Cleo", "Ann", "Ben"), strict=True):
        Member.objects.filter(pk=member.pk).update(name=name)
    address = f"{OBJECTS}?kind=level&stock=trial"
    html = html_of(reader, address)
    heads = [text_of(head) for head in re.findall(r'<th scope="col"[^>]*>(.*?)</th>', html)]
    assert heads == ["Name", "Email", "Plan", "Country", "Status since"]
    assert names_of(html_of(reader, f"{address}&sort=name")) == ["Ann", "Ben", "Cleo"]
    html = html_of(reader, f"{address}&sort=-name")
    assert names_of(html) == ["Cleo", "Ben", "Ann"]
    assert 'aria-sort="descending"' in html


def test_a_stock_without_an_admin_shows_states_and_dates_and_nothing_that_people_wrote(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "_registry", {})
    written([[(START, "trial")]])
    html = html_of(reader, f"{OBJECTS}?kind=level&stock=trial")
    heads = [text_of(head) for head in re.findall(r'<th scope="col"[^>]*>(.*?)</th>', html)]
    assert heads == ["Member", "Status", "Status since", "Joined at"]
    assert "m@example.org" not in html


@pytest.mark.parametrize(
    "sort", ["email__startswith", "plan__monthly_price", "password", "-", "?", "name,pk", "\x00"]
)
def test_only_declared_columns_sort(reader: Client, sort: str) -> None:
    written([[(START, "trial")]])
    response = reader.get(OBJECTS, {"kind": "level", "stock": "trial", "sort": sort})
    assert response.status_code == 200
    assert "choose one of name, email, plan, country, status_since" in text_of(response.content.decode())


def test_a_column_that_cannot_be_told_is_left_empty(
    reader: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(member: Member) -> str:
        raise RuntimeError(member.name)

    found = admin_of(HttpRequest(), trial)
    monkeypatch.setattr(found, "list_display", ["name", broken, "plan__name", "pk"])
    written([[(START, "trial")]])
    html = html_of(reader, f"{OBJECTS}?kind=level&stock=trial")
    assert re.findall(r"<td>(.*?)</td>", html)[:2] == ["–", "Basic"]
    assert "can't be shown" in caplog.text


def test_a_page_has_fifty_and_the_next_goes_on(reader: Client) -> None:
    written([[(START, "trial")]] * 120)
    address = f"{OBJECTS}?kind=level&stock=trial"
    seen: list[str] = []
    while address:
        html = html_of(reader, address)
        seen += re.findall(r"objects/membership\.member/(\d+)/", html)
        following = re.search(r'rel="next" href="(.*?)"', html)
        address = f"{OBJECTS}{unescape(following[1])}" if following else ""
    assert len(seen) == len(set(seen)) == 120
    assert "101–120 of 120" in text_of(html)


@pytest.mark.parametrize(
    ("page", "first"), [("0", 1), ("-1", 1), ("x", 1), ("9" * 40, 1), ("99", 51), ("2", 51)]
)
def test_a_page_that_is_not_there_is_the_nearest(reader: Client, page: str, first: int) -> None:
    written([[(START, "trial")]] * 60)
    html = html_of(reader, f"{OBJECTS}?kind=level&stock=trial&page={page}")
    assert f"{first}–" in text_of(html)


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        html_of(client, address)
    return sum("'now'" not in query["sql"] for query in captured)


@pytest.mark.parametrize(
    "query",
    [
        "kind=level&stock=trial",
        "kind=level&stock=trial&until=2026-03-03",
        "kind=inflow&stock=trial&since=2026-03-01&until=2026-03-09",
        "kind=flow&flow=signing-up&measure=subjects&since=2026-03-01&until=2026-03-09",
        "kind=unexplained&stock=trial",
    ],
)
def test_the_queries_do_not_grow_with_the_list(reader: Client, query: str) -> None:
    erased: list[Step] = [(START, "trial"), (START + 5 * DAY, "")]
    written([[(START, "trial")], erased])
    first = queries(reader, f"{OBJECTS}?{query}")
    for _ in range(4):
        written([[(START, "trial")], erased], Plan.objects.create(name=f"p{_}", monthly_price=9))
    assert queries(reader, f"{OBJECTS}?{query}") == first
    assert first <= 20


PERMISSIONS = [
    ((), 404),
    (("list_objects", "view_member"), 404),
    (("view_process",), 403),
    (("view_process", "list_objects"), 403),
    (("view_process", "view_member"), 403),
    (LISTS, 200),
]


@pytest.mark.parametrize(("codenames", "status"), PERMISSIONS)
@pytest.mark.parametrize("query", ["kind=level&stock=trial", "kind=flow&since=2026-03-01"])
def test_a_list_wants_both_permissions(
    client: Client, past: None, codenames: tuple[str, ...], status: int, query: str
) -> None:
    client.force_login(user_with(*codenames))
    response = client.get(f"{OBJECTS}?{query}")
    assert response.status_code == status
    assert (b"m@example.org" in response.content) == (status == 200 and "level" in query)


def own(request: HttpRequest, queryset: Any) -> Any:
    """Members whose name is the user's."""
    return queryset.filter(name=request.user.get_username()) if queryset.model is Member else queryset


@pytest.mark.parametrize(
    ("query", "length"),
    [
        ("kind=level&stock=trial&value=4", 1),
        ("kind=level&stock=trial&until=2026-03-02T12:00:00Z&value=4", 1),
        ("kind=flow&flow=signing-up&since=2026-02-27&until=2026-03-09&value=4", 1),
        ("kind=flow&flow=signing-up&measure=subjects&since=2026-02-27&until=2026-03-09", 1),
    ],
)
def test_a_scope_leaves_each_of_two_users_his_own(
    client: Client, settings: Any, query: str, length: int
) -> None:
    erased: list[Step] = [(START, "trial"), (START + 3 * DAY, "")]
    keys = written([[(START, "trial")]] * 2 + [[(START, "trial")], erased])
    for key, name in zip(keys, ("ann", "ben"), strict=False):
        Member.objects.filter(pk=key).update(name=name)
    settings.STOCKANDFLOW = {"SCOPE": f"{__name__}.own"}
    for name in ("ann", "ben"):
        client.force_login(user_with(*LISTS, name=name))
        html = html_of(client, f"{OBJECTS}?{query}")
        assert names_of(html) == [name]
        text = text_of(html)
        assert "You see your part of these objects." in text
        assert "gone" not in text
        assert "by now it is" not in text
        assert length_of(html) == length


# Actions.


def chosen(*members: Member, action: str = "convert", **more: Any) -> dict[str, Any]:
    return {"action": action, "_selected_action": [member.pk for member in members], **more}


@pytest.fixture
def three() -> list[Member]:
    keys = written([[(START, "trial")]] * 3)
    return list(Member.objects.filter(pk__in=keys).order_by("pk"))


NOW = f"{OBJECTS}?kind=level&stock=trial"


def test_an_action_runs_on_the_chosen_members_and_says_so(actor: Client, three: list[Member]) -> None:
    html = html_of(actor, NOW)
    assert '<option value="convert">Convert</option>' in html
    response = actor.post(NOW, chosen(*three[:2]))
    assert (response.status_code, response["Location"]) == (302, NOW)
    html = html_of(actor, NOW)
    assert "2 converted." in text_of(html)
    assert length_of(html) == 1


def test_an_action_can_run_on_all_of_a_list_however_few_are_chosen(
    actor: Client, three: list[Member]
) -> None:
    pro = Plan.objects.create(name="Pro", monthly_price=29)
    Member.objects.filter(pk=three[0].pk).update(plan=pro)
    address = f"{NOW}&facet-plan=Basic"
    actor.post(address, chosen(action="convert", select_across="1"))
    assert list(trial.all()) == [three[0]]


def test_an_action_passes_over_what_has_left_the_stock(actor: Client, three: list[Member]) -> None:
    Member.objects.filter(pk=three[0].pk).update(status=Status.PAUSED)
    actor.post(NOW, chosen(*three))
    assert Member.objects.get(pk=three[0].pk).status == Status.PAUSED
    assert active.count() == 2


def test_a_list_of_the_past_says_on_whom_an_action_runs(actor: Client, three: list[Member]) -> None:
    Member.objects.filter(pk=three[0].pk).update(status=Status.CHURNED)
    address = f"{NOW}&until=2026-03-09"
    html = html_of(actor, address)
    assert "An action runs on those that are in Trial now, and passes over the others." in text_of(html)
    assert length_of(html) == 3
    actor.post(address, chosen(*three))
    assert set(active.all()) == set(three[1:])
    actor.post(address, chosen(action="convert", select_across="1"))
    assert Member.objects.get(pk=three[0].pk).status == Status.CHURNED


def test_the_page_of_an_action_works(
    actor: Client, three: list[Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    @admin.action(description="Rename")
    def rename(model_admin: Any, request: HttpRequest, members: Any) -> HttpResponse | None:
        if "name" not in request.POST:
            return TemplateResponse(
                request,
                "stockandflow/_state.html",
                {"objects": list(members), "sure": "asked"},
            )
        members.update(name=request.POST["name"])
        return None

    found = admin_of(HttpRequest(), trial)
    monkeypatch.setattr(found, "actions", [rename])
    response: Any = actor.post(NOW, chosen(*three[:2], action="rename"))
    assert response.status_code == 200
    assert response.context_data["objects"] == three[:2]
    assert actor.post(NOW, chosen(*three[:2], action="rename", name="new")).status_code == 302
    assert Member.objects.filter(name="new").count() == 2


@pytest.mark.parametrize(
    "posted",
    [
        {},
        {"action": "convert"},
        {"action": "drop_tables", "_selected_action": ["1"]},
        {"action": "reactivate"},
    ],
)
def test_what_names_no_action_or_no_object_changes_nothing(
    actor: Client, three: list[Member], posted: dict[str, Any]
) -> None:
    response = actor.post(NOW, posted, follow=True)
    assert response.status_code == 200
    assert trial.count() == 3


@pytest.mark.parametrize("key", ["x", "", "1.5", "9" * 30, "\x00", "1; DROP TABLE"])
def test_a_key_that_no_object_can_have_is_refused(actor: Client, three: list[Member], key: str) -> None:
    assert actor.post(NOW, {"action": "convert", "_selected_action": [key]}).status_code == 400
    assert trial.count() == 3


def test_an_action_wants_the_token_of_the_page(three: list[Member]) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user_with(*ACTS))
    assert strict.post(NOW, chosen(*three)).status_code == 403
    token = re.search(r'name="csrfmiddlewaretoken" value="(.*?)"', html_of(strict, NOW))
    assert token is not None
    assert strict.post(NOW, chosen(*three, csrfmiddlewaretoken=token[1])).status_code == 302


@pytest.mark.parametrize("missing", ["act_on_objects", "change_member"])
def test_who_may_not_act_sees_no_actions_and_runs_none(
    client: Client, three: list[Member], missing: str
) -> None:
    client.force_login(user_with(*(set(ACTS) - {missing})))
    assert "sf-run" not in html_of(client, NOW)
    assert client.post(NOW, chosen(*three)).status_code == 403
    assert trial.count() == 3


@pytest.mark.parametrize(
    "query", ["kind=inflow&stock=trial&since=2026-03-01", "kind=unexplained&stock=trial"]
)
def test_only_members_are_acted_on(actor: Client, three: list[Member], query: str) -> None:
    assert "sf-run" not in html_of(actor, f"{OBJECTS}?{query}")
    assert actor.post(f"{OBJECTS}?{query}", chosen(*three)).status_code == 403


def test_a_scope_holds_for_actions(client: Client, three: list[Member], settings: Any) -> None:
    Member.objects.filter(pk=three[0].pk).update(name="ann")
    settings.STOCKANDFLOW = {"SCOPE": f"{__name__}.own"}
    client.force_login(user_with(*ACTS, name="ann"))
    client.post(NOW, chosen(*three))
    client.post(NOW, chosen(action="convert", select_across="1"))
    assert list(active.all()) == three[:1]


def test_a_list_without_a_tracker_is_listed_as_it_is_now(reader: Client) -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    member = Member.objects.create(name="m", email="m@example.org", plan=plan)
    Ticket.objects.create(title="<b>Help</b>", member=member, priority="urgent")
    html = html_of(reader, "/stockandflow/support/objects/?kind=level&stock=ticket-urgent")
    assert names_of(html) == ["<b>Help</b>"]
    assert "<b>Help" not in html


def test_the_form_asks_for_another_list_and_leaves_out_what_is_empty(reader: Client, past: None) -> None:
    html = html_of(reader, f"{OBJECTS}?kind=level&stock=trial&until=2026-03-03&value=9")
    assert dict(re.findall(r'<input type="hidden" name="(\w+)" value="(.*?)">', html)) == {
        "kind": "level",
        "stock": "trial",
        "filter": "1",
    }
    asked = f"{OBJECTS}?kind=level&stock=trial&filter=1&until=&facet-plan=&facet-country="
    assert length_of(html_of(reader, asked)) == trial.count()


def test_the_permissions_have_the_names_that_the_app_gives() -> None:
    assert {LISTING, ACTING} == {"stockandflow.list_objects", "stockandflow.act_on_objects"}


def test_of_sites_of_one_name_the_one_among_the_addresses_tells_the_columns(rf: RequestFactory) -> None:
    trial = registry.stock("trial")
    twins = [StockAndFlowAdminSite(name=site.name) for _ in range(8)]
    for twin in twins:
        twin.register_stock(trial)
    found = admin_of(rf.get("/"), trial)
    assert found is not None
    assert found.admin_site is site


@pytest.mark.parametrize(
    "parameters", ["kind=netted&source=%3Cb%3Ehi", "kind=flow&flow=converting&sink=nowhere"]
)
def test_a_side_that_is_none_is_refused_and_not_repeated(reader: Client, parameters: str) -> None:
    text = text_of(html_of(reader, f"{OBJECTS}?{parameters}", status=400))
    assert "is no state of the process 'membership', and none of its events names it" in text
    assert "hi" not in re.findall(r"[a-z]+", text)
    assert "nowhere" not in text


def test_who_may_not_list_reads_no_made_up_side_either(viewer: Client) -> None:
    html = html_of(viewer, f"{OBJECTS}?kind=netted&source=madeup", status=403)
    assert "madeup" not in html


def test_a_state_that_events_alone_tell_of_can_still_be_listed(reader: Client, past: None) -> None:
    MemberFlowEvent.objects.filter(sink="paused").update(sink="retired")
    html = html_of(reader, f"{OBJECTS}?kind=flow&source=active&sink=retired")
    assert "to retired" in text_of(html)
