"""The admin: a page lists exactly a stock's members or a flow's events, and permissions decide who does what."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection, connections
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import include, path, reverse
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from example.support.models import Priority, Ticket
from stockandflow import periodic
from stockandflow.admin import StockAndFlowAdminSite
from stockandflow.declarations import Flow, Stock
from stockandflow.exceptions import DeclarationError
from stockandflow.models import (
    Definition,
    Delivery,
    FlowRecord,
    Origin,
    ScheduleEntry,
    ScheduleRun,
    StockFacetRecord,
    StockRecord,
    Sweep,
)
from stockandflow.periods import Calendar
from stockandflow.registry import registry
from tests.testapp.models import SpecialItem

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.test_admin")]

trial, active, paused = (registry.stock(slug) for slug in ("trial", "active", "paused"))
pausing, erasing, lapsing = (registry.flow(slug) for slug in ("pausing", "erasing", "lapsing"))


@admin.action(description="Pause the chosen members")
def pause(model_admin: Any, request: HttpRequest, members: QuerySet[Member]) -> None:
    assert members.model is Member
    moved = members.update(status=Status.PAUSED)
    model_admin.message_user(request, f"{moved} of {model_admin.stock} paused.")


@admin.action(permissions=["view"])
def look(model_admin: Any, request: HttpRequest, members: QuerySet[Member]) -> None:
    model_admin.message_user(request, f"Seen: {', '.join(sorted(str(member) for member in members))}.")


class Cancelling:
    """Actions that several stocks share."""

    actions = ("cancel", look)

    @admin.action(permissions=["change"])
    def cancel(self, request: HttpRequest, members: QuerySet[Member]) -> None:
        members.update(status=Status.CHURNED)


# Made while the addresses are imported, as in a project.
site = StockAndFlowAdminSite()
site.register_stock(
    active,
    {
        "list_display": ["name", "plan"],
        "list_filter": ["plan", "tickets__priority"],
        "search_fields": ["name", "tickets__title"],
        "list_per_page": 20,
        "actions": [pause, look],
    },
    [Cancelling],
)
site.register_stock(trial)
site.register_stock(paused)
for flow in (pausing, erasing, lapsing):
    site.register_flow(flow)
site.register(Plan)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("business/", site.urls),
    path("pages/", include("stockandflow.urls")),
]

ACTIVE, TRIAL, PAUSED = (f"/business/membership/stock-{slug}/" for slug in ("active", "trial", "paused"))
PAUSING, ERASING, LAPSING = (
    f"/business/membership/flow-{slug}/" for slug in ("pausing", "erasing", "lapsing")
)


@pytest.fixture
def plan() -> Plan:
    return Plan.objects.create(name="Basic", monthly_price=9)


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def user_with(*codenames: str) -> User:
    user = User.objects.create_user("somebody", is_staff=True)
    known = Permission.objects.exclude(content_type__app_label="write_paths")  # which has a plan of its own
    user.user_permissions.set(known.filter(codename__in=codenames))
    assert user.user_permissions.count() == len(codenames)
    return user


def join(plan: Plan, *names: str, status: Status = Status.ACTIVE) -> list[Member]:
    return [
        Member.objects.create(name=name, email="m@example.org", plan=plan, status=status) for name in names
    ]


def listed(client: Client, url: str) -> list[Any]:
    response = client.get(url)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def act(client: Client, url: str, action: str, chosen: Sequence[Model], **data: Any) -> Any:
    return client.post(
        url,
        {"action": action, "_selected_action": [member.pk for member in chosen], "index": 0} | data,
        follow=True,
    )


# Stocks


def test_a_stocks_page_lists_exactly_its_members(root: Client, plan: Plan) -> None:
    join(plan, "Ada", "Ben")
    join(plan, "Cy", status=Status.TRIAL)
    assert {str(member) for member in listed(root, ACTIVE)} == {"Ada", "Ben"}
    for stock, url in ((active, ACTIVE), (trial, TRIAL), (paused, PAUSED)):
        assert set(listed(root, url)) == set(stock.all())


def test_a_stocks_page_has_its_name_and_its_definition(root: Client, plan: Plan) -> None:
    content = root.get(ACTIVE).content.decode()
    assert "<h1>Active</h1>" in content
    assert "Members whose status is Active." in content


def test_stocks_of_one_model_have_pages_side_by_side(root: Client, plan: Plan) -> None:
    (member,) = join(plan, "Ada")
    urls = {
        reverse(f"admin:membership_stock-{slug}_change", args=[member.pk], current_app=site.name)
        for slug in ("active", "trial")
    }
    assert urls == {f"{ACTIVE}{member.pk}/change/", f"{TRIAL}{member.pk}/change/"}
    assert f'href="{ACTIVE}{member.pk}/change/"' in root.get(ACTIVE).content.decode()


def test_an_action_moves_the_chosen_members_out_of_the_list(root: Client, plan: Plan) -> None:
    ada, ben = join(plan, "Ada", "Ben")
    response = act(root, ACTIVE, "pause", [ada])
    assert messages_of(response) == ["1 of Active paused."]
    assert listed(root, ACTIVE) == [ben]
    assert listed(root, PAUSED) == [ada]


def test_an_action_reaches_members_alone(root: Client, plan: Plan) -> None:
    (ada,) = join(plan, "Ada")
    (cy,) = join(plan, "Cy", status=Status.TRIAL)
    act(root, ACTIVE, "pause", [ada, cy])
    cy.refresh_from_db()
    assert cy.status == Status.TRIAL
    assert list(paused.all()) == [ada]


def test_an_action_reaches_every_page_of_the_list_and_what_the_filters_leave(
    root: Client, plan: Plan
) -> None:
    other = Plan.objects.create(name="Pro", monthly_price=19)
    ada, *_ = join(plan, *(f"m{number}" for number in range(25)))
    (kept,) = join(other, "Kept")
    response = act(root, f"{ACTIVE}?plan__id__exact={plan.pk}", "pause", [ada], select_across=1)
    assert messages_of(response) == ["25 of Active paused."]
    assert listed(root, ACTIVE) == [kept]


def test_actions_of_attributes_and_of_mixins_are_merged_each_once(root: Client, plan: Plan) -> None:
    ada, ben = join(plan, "Ada", "Ben")
    choices = root.get(ACTIVE).context["action_form"].fields["action"].choices
    assert [name for name, _ in choices] == ["", "pause", "look", "cancel"]
    act(root, ACTIVE, "cancel", [ada])
    assert listed(root, ACTIVE) == [ben]


def test_without_actions_there_is_nothing_to_choose_and_nothing_to_delete(root: Client, plan: Plan) -> None:
    (cy,) = join(plan, "Cy", status=Status.TRIAL)
    response = root.get(TRIAL)
    assert response.context["action_form"] is None
    act(root, TRIAL, "delete_selected", [cy], post="yes")
    assert list(trial.all()) == [cy]


def test_delete_selected_stays_away_even_when_it_is_asked_for(root: Client) -> None:
    asking = StockAndFlowAdminSite()
    asking.register_stock(active, {"actions": ["delete_selected", pause]})
    (page,) = asking._registry.values()
    request = RequestFactory().get("/")
    request.user = User.objects.get(username="root")
    assert list(page.get_actions(request)) == ["pause"]
    assert "delete_selected" not in [name for name, _ in asking.actions]


def test_search_and_filters_follow_reverse_relations_and_list_a_member_once(root: Client, plan: Plan) -> None:
    ada, ben = join(plan, "Ada", "Ben")
    for title in ("Invoice lost", "Invoice wrong"):
        Ticket.objects.create(title=title, member=ada, priority=Priority.URGENT)
    Ticket.objects.create(title="Hello", member=ben)
    assert listed(root, f"{ACTIVE}?q=invoice") == [ada]
    assert listed(root, f"{ACTIVE}?tickets__priority=urgent") == [ada]
    assert listed(root, f"{ACTIVE}?tickets__priority__exact=normal") == [ben]


def test_the_order_is_the_admins_then_the_stocks_own(root: Client, plan: Plan, rf: RequestFactory) -> None:
    join(plan, "Ben", "Ada", "Cy")
    by_name = Stock("by-name", "By name", Member.objects.order_by("name"))
    ordered = StockAndFlowAdminSite()
    ordered.register_stock(by_name)
    ordered.register_stock(active, {"ordering": ["-name"]})
    request = rf.get("/")
    request.user = User.objects.get(username="root")
    names = [
        [str(member) for member in page.get_changelist_instance(request).result_list]
        for page in ordered._registry.values()
    ]
    assert names == [["Ada", "Ben", "Cy"], ["Cy", "Ben", "Ada"]]


def test_a_stock_of_joined_tables_lists_each_member_once(
    root: Client, plan: Plan, rf: RequestFactory
) -> None:
    (ada,) = join(plan, "Ada")
    for title in ("One", "Two"):
        Ticket.objects.create(title=title, member=ada)
    asking = Stock("asking", "Asking", Member.objects.filter(tickets__isnull=False))
    joined = StockAndFlowAdminSite()
    joined.register_stock(asking)
    (page,) = joined._registry.values()
    request = rf.get("/")
    request.user = User.objects.get(username="root")
    assert list(page.get_changelist_instance(request).result_list) == [ada]
    assert page.get_object(request, str(ada.pk)) == ada


# Pages of one member


def change(client: Client, member: Member, status: Status, **data: str) -> Any:
    fields = {
        "name": member.name,
        "email": member.email,
        "plan": member.plan_id,
        "country": "",
        "status": status,
    }
    for name in ("status_since", "joined_at"):
        at = timezone.localtime(getattr(member, name))
        fields |= {f"{name}_0": f"{at:%Y-%m-%d}", f"{name}_1": f"{at:%H:%M:%S}"}
    return client.post(f"{ACTIVE}{member.pk}/change/", fields | data, follow=True)


def test_a_member_is_edited_on_its_own_page_and_the_log_names_the_model(root: Client, plan: Plan) -> None:
    (ada,) = join(plan, "Ada")
    ada.name = "Ada L."
    response = change(root, ada, Status.ACTIVE)
    assert response.redirect_chain == [(ACTIVE, 302)]
    assert [str(member) for member in listed(root, ACTIVE)] == ["Ada L."]
    assert LogEntry.objects.get().content_type == ContentType.objects.get_for_model(Member)
    assert "Changed Name" in root.get(f"{ACTIVE}{ada.pk}/history/").content.decode()
    assert root.get("/business/").status_code == 200


@pytest.mark.parametrize("button", ["_save", "_continue"])
def test_whoever_is_edited_out_of_the_stock_leaves_the_list_and_the_user_is_told(
    root: Client, plan: Plan, button: str
) -> None:
    (ada,) = join(plan, "Ada")
    response = change(root, ada, Status.PAUSED, **{button: "1"})
    assert response.redirect_chain == [(ACTIVE, 302)]
    assert messages_of(response) == ["The member “Ada” was changed successfully and is no longer in Active."]
    assert listed(root, ACTIVE) == []


def test_saving_and_continuing_stays_with_a_member_that_stays(root: Client, plan: Plan) -> None:
    (ada,) = join(plan, "Ada")
    response = change(root, ada, Status.ACTIVE, _continue="1")
    assert response.redirect_chain == [(f"{ACTIVE}{ada.pk}/change/", 302)]


@pytest.mark.parametrize("view", ["change", "history"])
def test_who_is_no_member_has_no_page(root: Client, plan: Plan, view: str) -> None:
    (cy,) = join(plan, "Cy", status=Status.TRIAL)
    assert root.get(f"{TRIAL}{cy.pk}/{view}/").status_code == 200
    response = root.get(f"{ACTIVE}{cy.pk}/{view}/", follow=True)
    assert response.redirect_chain == [("/business/", 302)]
    assert messages_of(response) == [f"member with ID “{cy.pk}” doesn’t exist. Perhaps it was deleted?"]


def test_who_is_no_member_is_not_changed_either(root: Client, plan: Plan) -> None:
    (cy,) = join(plan, "Cy", status=Status.TRIAL)
    response = change(root, cy, Status.CHURNED)
    assert response.redirect_chain == [("/business/", 302)]
    cy.refresh_from_db()
    assert cy.status == Status.TRIAL


# Permissions


@pytest.mark.parametrize(
    ("codenames", "page", "one", "save"),
    [
        ((), 403, 403, 403),
        (("view_plan",), 403, 403, 403),
        (("view_member",), 200, 200, 403),
        (("change_member",), 200, 200, 302),
        (("view_member", "add_member", "delete_member"), 200, 200, 403),
    ],
)
def test_djangos_permissions_of_the_model_decide_over_a_stock(
    client: Client, plan: Plan, codenames: tuple[str, ...], page: int, one: int, save: int
) -> None:
    (ada,) = join(plan, "Ada")
    client.force_login(user_with(*codenames))
    assert client.get(ACTIVE).status_code == page
    assert client.get(f"{ACTIVE}{ada.pk}/change/").status_code == one
    posted = change(client, ada, Status.PAUSED)
    assert (posted.redirect_chain[0][1] if posted.redirect_chain else posted.status_code) == save
    assert paused.all().exists() == (save == 302)
    assert client.get(f"{ACTIVE}add/").status_code == 403
    assert client.post(f"{ACTIVE}add/", {"name": "X"}).status_code == 403
    assert client.post(f"{ACTIVE}{ada.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Member.objects.count() == 1


@pytest.mark.parametrize(("codename", "seen"), [("view_specialitem", True), ("view_item", False)])
def test_a_stock_of_a_projects_proxy_model_goes_by_the_proxys_permissions(
    rf: RequestFactory, codename: str, seen: bool
) -> None:
    special = StockAndFlowAdminSite()
    special.register_stock(Stock("special", "Special", SpecialItem.objects.all()))
    (page,) = special._registry.values()
    request = rf.get("/")
    request.user = user_with(codename)
    assert page.has_view_permission(request) is seen
    assert page.model is SpecialItem


def test_nothing_is_added_or_deleted_by_a_superuser_either(root: Client, plan: Plan) -> None:
    (ada,) = join(plan, "Ada")
    event = pausing.add_event(ada, active, paused)
    assert event is not None
    for url in (
        f"{ACTIVE}add/",
        f"{ACTIVE}{ada.pk}/delete/",
        f"{PAUSING}add/",
        f"{PAUSING}{event.pk}/delete/",
    ):
        assert root.get(url).status_code == 403
        assert root.post(url, {"post": "yes"}).status_code == 403
    content = root.get(f"{ACTIVE}{ada.pk}/change/").content.decode()
    assert "_addanother" not in content
    assert 'class="deletelink"' not in content


def test_nobody_sees_a_page_without_logging_in(client: Client) -> None:
    for url in ("/business/", ACTIVE, PAUSING):
        response = client.get(url)
        assert response.status_code == 302
        assert response["Location"] == f"/business/login/?next={url}"


def test_who_may_only_look_runs_only_the_actions_that_say_so(client: Client, plan: Plan) -> None:
    (ada,) = join(plan, "Ada")
    client.force_login(user_with("view_member"))
    choices = client.get(ACTIVE).context["action_form"].fields["action"].choices
    assert [name for name, _ in choices] == ["", "look"]
    assert messages_of(act(client, ACTIVE, "look", [ada])) == ["Seen: Ada."]
    assert messages_of(act(client, ACTIVE, "pause", [ada])) == ["No action selected."]
    assert list(active.all()) == [ada]


def test_the_first_page_shows_what_the_user_may_see_stocks_first_in_their_order(
    client: Client, root: Client
) -> None:
    def groups(client: Client) -> list[tuple[str, list[str]]]:
        response = client.get("/business/")
        return [
            (app["name"], [page["name"] for page in app["models"]]) for app in response.context["app_list"]
        ]

    assert groups(root) == [
        ("Membership stocks", ["Active", "Trial", "Paused"]),
        ("Membership flows", ["Pausing", "Erasing", "Lapsing"]),
        ("Membership", ["Plans"]),
    ]
    assert "<h1>Membership</h1>" in root.get("/business/membership/").content.decode()
    client.force_login(user_with("view_memberflowevent"))
    assert groups(client) == [("Membership flows", ["Pausing", "Erasing", "Lapsing"])]


# Flows


def test_a_flows_page_lists_its_events_newest_first_and_by_name(root: Client, plan: Plan) -> None:
    ada, ben = join(plan, "Ada", "Ben")
    events = [pausing.add_event(member, active, paused) for member in (ada, ben)]
    erasing.add_event(ada, paused, None)
    assert listed(root, PAUSING) == list(pausing.all()) == events[::-1]
    content = root.get(PAUSING).content.decode()
    assert "<h1>Pausing</h1>" in content
    assert "Moves from Active to Paused." in content
    for cell in ('field-subject_name">Ada<', 'field-source_name">Active<', 'field-sink_name">Paused<'):
        assert cell in content
    assert 'field-sink_name">outside<' in root.get(ERASING).content.decode()


def test_events_outlive_their_subject_on_the_list_and_on_their_own_page(root: Client, plan: Plan) -> None:
    (ada,) = join(plan, "Ada")
    pausing.add_event(ada, active, paused)
    key = ada.pk
    ada.delete()
    (event,) = listed(root, PAUSING)
    for url in (PAUSING, f"{PAUSING}{event.pk}/change/"):
        assert f"#{key} (deleted)" in root.get(url).content.decode()


def test_events_are_chosen_by_source_sink_origin_and_date(root: Client, plan: Plan) -> None:
    (ada,) = join(plan, "Ada")
    outside = lapsing.add_event(ada, trial, None)
    inside = lapsing.add_event(ada, trial, registry.stock("churned"))
    changelist = root.get(LAPSING).context["cl"]
    choices = {
        spec.title: [choice["display"] for choice in spec.choices(changelist)]
        for spec in changelist.filter_specs
    }
    assert choices.keys() == {"sink", "origin"}, "there is one source"
    assert choices["sink"] == ["All", "Churned", "outside"]
    assert listed(root, f"{LAPSING}?sink=") == [outside]
    assert listed(root, f"{LAPSING}?sink=churned") == [inside]
    assert listed(root, f"{LAPSING}?source=trial&sink=churned") == [inside]
    assert listed(root, f"{LAPSING}?source=&sink=churned") == []
    assert listed(root, f"{LAPSING}?source=elsewhere") == []
    assert listed(root, f"{LAPSING}?origin__exact={Origin.SWEEP}") == []
    assert len(listed(root, f"{LAPSING}?origin__exact={Origin.LIVE}&_facets=True")) == 2
    assert len(listed(root, f"{LAPSING}?timestamp__year={timezone.localtime().year}")) == 2
    assert listed(root, f"{LAPSING}?timestamp__year=2001") == []


def test_a_date_hierarchy_is_drawn_wherever_the_database_knows_the_zone(root: Client, plan: Plan) -> None:
    (ada,) = join(plan, "Ada")
    pausing.add_event(ada, active, paused)
    hierarchy = root.get(PAUSING).context["cl"].date_hierarchy
    assert hierarchy == ("timestamp" if connection.features.has_zoneinfo_database else None)
    with timezone.override("UTC"):
        assert root.get(PAUSING).context["cl"].date_hierarchy == "timestamp"


@pytest.mark.parametrize(
    ("codenames", "status"), [((), 403), (("view_memberflowevent",), 200), (("view_member",), 403)]
)
def test_djangos_permissions_of_the_event_model_decide_over_a_flow(
    client: Client, plan: Plan, codenames: tuple[str, ...], status: int
) -> None:
    (ada,) = join(plan, "Ada")
    event = pausing.add_event(ada, active, paused)
    assert event is not None
    client.force_login(user_with(*codenames))
    assert client.get(PAUSING).status_code == status
    assert client.get(f"{PAUSING}{event.pk}/change/").status_code == status


def test_an_event_is_never_changed(root: Client, plan: Plan) -> None:
    (ada,) = join(plan, "Ada")
    event = pausing.add_event(ada, active, paused)
    assert event is not None
    MemberFlowEvent.objects.filter(pk=event.pk).update(facets={"country": None, "age": "30", "plan": "Basic"})
    url = f"{PAUSING}{event.pk}/change/"
    content = root.get(url).content.decode()
    assert "_save" not in content
    for shown in ("Ada", "Active", "Paused", "Plan: Basic, Country: (none), age: 30", "live"):
        assert shown in content
    assert root.post(url, {"flow": "erasing"}).status_code == 403
    event.refresh_from_db()
    assert event.flow == "pausing"


def test_an_event_of_another_flow_has_no_page(root: Client, plan: Plan) -> None:
    (ada,) = join(plan, "Ada")
    event = erasing.add_event(ada, active, None)
    assert event is not None
    response = root.get(f"{PAUSING}{event.pk}/change/", follow=True)
    assert response.redirect_chain == [("/business/", 302)]
    assert messages_of(response) == [
        f"member flow event with ID “{event.pk}” doesn’t exist. Perhaps it was deleted?"
    ]


# What the site leaves alone


def test_neither_migrations_nor_content_types_nor_permissions_know_of_the_pages(
    root: Client, plan: Plan
) -> None:
    ada, ben = join(plan, "Ada", "Ben")
    pausing.add_event(ben, active, paused)
    before = ContentType.objects.count(), Permission.objects.count()
    for url in ("/business/", ACTIVE, f"{ACTIVE}{ada.pk}/change/", f"{ACTIVE}{ada.pk}/history/", PAUSING):
        assert root.get(url).status_code == 200
    act(root, ACTIVE, "pause", [ada])
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    assert (ContentType.objects.count(), Permission.objects.count()) == before
    assert {model._meta.object_name for model in apps.get_models() if issubclass(model, Member)} == {"Member"}
    assert Member.__subclasses__() == []


def test_the_system_checks_of_the_pages_pass_and_find_what_is_wrong() -> None:
    assert run_checks(tags=["admin"]) == []
    wrong = StockAndFlowAdminSite()
    wrong.register_stock(active, {"list_display": ["nam"], "list_filter": ["tickets__nothing"]})
    assert [message.id for message in wrong.check(None)] == ["admin.E108", "admin.E116"]


def test_a_model_registered_beside_the_stocks_may_ask_who_refers_to_it(
    root: Client, rf: RequestFactory
) -> None:
    assert not site.get_model_admin(Plan).to_field_allowed(rf.get("/"), "name")
    assert root.get("/business/membership/plan/add/?_to_field=id").status_code == 200


@pytest.mark.parametrize("url", [ACTIVE, PAUSING, "/admin/stockandflow/stockrecord/"])
def test_a_list_makes_no_more_queries_for_many_rows_than_for_few(root: Client, plan: Plan, url: str) -> None:
    def queries(rows: int) -> int:
        members = join(plan, *(f"m{number}" for number in range(rows)))
        for member in members:
            pausing.add_event(member, active, paused)
        Member.objects.filter(pk=members[0].pk).delete()
        StockRecord.objects.bulk_create(
            StockRecord(stock=f"s{number}", timestamp=timezone.now(), count=number) for number in range(rows)
        )
        with CaptureQueriesContext(connection) as captured:
            assert len(listed(root, url)) > 1
        return len(captured)

    # What MariaDB is asked once a connection is asked here.
    root.get(url)
    assert queries(3) == queries(15) <= 6


# What is given wrongly


def test_registering_twice_is_refused() -> None:
    twice = StockAndFlowAdminSite()
    twice.register_stock(active)
    with pytest.raises(
        DeclarationError, match=r"'active' can't be registered.*<Stock active> has its address already"
    ):
        twice.register_stock(active)
    with pytest.raises(DeclarationError, match="each a slug of its own"):
        twice.register_stock(Stock("ACTIVE", "Active", Member.objects.all()))
    twice.register_flow(pausing)
    with pytest.raises(DeclarationError, match=r"'pausing' can't be registered.*Call register_flow"):
        twice.register_flow(pausing)


def test_a_stock_and_a_flow_of_one_slug_are_two_pages() -> None:
    both = StockAndFlowAdminSite()
    both.register_stock(active)
    both.register_flow(Flow("active", "Becoming active", MemberFlowEvent, [None], [active]))
    assert [page.opts.model_name for page in both._registry.values()] == ["stock-active", "flow-active"]


@pytest.mark.parametrize(
    ("register", "given", "wanted"),
    [
        ("register_stock", Member, "pass a Stock"),
        ("register_stock", [active], "one at a time"),
        ("register_stock", pausing, r"write register_flow\(\) for a flow"),
        ("register_flow", "pausing", "pass a Flow"),
        ("register_flow", active, r"write register_stock\(\) for a stock"),
    ],
)
def test_what_is_no_stock_or_no_flow_is_refused(register: str, given: Any, wanted: str) -> None:
    with pytest.raises(DeclarationError, match=wanted) as error:
        getattr(StockAndFlowAdminSite(), register)(given)
    assert repr(given) in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ((["name"],), "write a dict"),
        (({"actions": "pause"},), "write a list of functions and of names of methods"),
        (({"actions": pause},), "write a list of functions and of names of methods"),
        (({}, Cancelling), "write a list of classes"),
        (({}, [pause]), "write a list of classes"),
    ],
)
def test_wrong_attributes_and_mixins_are_refused(arguments: tuple[Any, ...], wanted: str) -> None:
    with pytest.raises(DeclarationError, match=wanted):
        StockAndFlowAdminSite().register_stock(active, *arguments)


# The ordinary admin


@pytest.fixture
def stored() -> dict[type[Model], Model]:
    """One of each kind that the app keeps."""
    now = timezone.now()
    record = StockRecord.objects.create(stock="active", timestamp=now, count=2)
    StockFacetRecord.objects.create(stock_record=record, facet="plan", value="Basic", count=2)
    moves = FlowRecord.objects.create(
        flow="", source="", sink="*", grain="day", start=now, end=now, count=3, subjects=2, computed_at=now
    )
    moves.facet_records.create(facet="plan", value="Pro", count=3, subjects=2)
    error = "Traceback\n…\nOSError: no post\n"
    delivery = Delivery.objects.create(
        event_model="membership.memberflowevent", event_id=1, flow="gone", due_at=now, error=error
    )
    entry = ScheduleEntry.objects.create(name="recording")
    Sweep.objects.all().delete()
    sweep = Sweep.objects.create(tracker="gone", database="default", found=3)
    run = ScheduleRun.objects.create(entry=entry, period_start=now, period_end=now, message="x" * 60)
    meant = Definition.objects.create(
        kind="stock", slug="active", since=now, digest="d", text="what it was " * 20
    )
    return {type(kept): kept for kept in (record, moves, delivery, entry, run, sweep, meant)}


def address(model: type[Model]) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def test_what_is_stored_is_shown_and_nobody_changes_it(
    root: Client, stored: dict[type[Model], Model]
) -> None:
    for model, kept in stored.items():
        assert listed(root, address(model)) == [kept]
        assert "_save" not in root.get(f"{address(model)}{kept.pk}/change/").content.decode()
        for url in ("add/", f"{kept.pk}/change/", f"{kept.pk}/delete/"):
            assert root.post(f"{address(model)}{url}", {"post": "yes"}).status_code == 403
        acts = model in (Delivery, ScheduleEntry)
        assert (root.get(address(model)).context["action_form"] is not None) is acts
        assert model._default_manager.count() == 1


def may(client: Client, *codenames: str) -> None:
    """Log in with these permissions and no others."""
    User.objects.filter(username="somebody").delete()
    client.force_login(user_with(*codenames))


def test_dead_deliveries_are_tried_again_by_those_who_may(client: Client) -> None:
    kept = [
        Delivery.objects.create(
            event_model="membership.memberflowevent",
            event_id=n,
            flow="gone",
            due_at=timezone.now(),
            status=status,
            attempts=10,
            done_calls=1,
        )
        for n, status in enumerate(("dead", "dead", "done"))
    ]
    may(client, "view_delivery")
    act(client, address(Delivery), "try_again", kept)
    assert Delivery.objects.filter(status="dead").count() == 2, "who may only look changes nothing"

    may(client, "view_delivery", "replay_delivery")
    page = act(client, address(Delivery), "try_again", [kept[0], kept[2]])
    assert messages_of(page) == ["From now on one delivery is tried again, when the schedule delivers next."]
    found = Delivery.objects.order_by("event_id").values_list("status", "attempts", "done_calls")
    assert list(found) == [("pending", 0, 1), ("dead", 10, 1), ("done", 10, 1)]
    (told,) = messages_of(act(client, address(Delivery), "try_again", kept[2:]))
    assert told == "None of them is dead, so there is nothing to try again."


def test_entries_are_run_by_those_who_may(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periodic.schedule, "_entries", {})
    periodic.schedule.register(periodic.DAILY, lambda: "all tidy", name="tidying", calendar=Calendar())
    periodic.schedule.register("0 7 * * *", lambda: 1 / 0, name="failing", calendar=Calendar())
    entries = [ScheduleEntry.objects.create(name=name) for name in ("tidying", "failing", "long gone")]
    may(client, "view_scheduleentry")
    act(client, address(ScheduleEntry), "run_now", entries)
    assert not ScheduleRun.objects.exists(), "who may only look runs nothing"

    may(client, "view_scheduleentry", "run_scheduleentry")
    assert messages_of(act(client, address(ScheduleEntry), "run_now", entries)) == [
        "tidying: done: all tidy",
        "failing: failed: ZeroDivisionError: division by zero",
        "long gone: scheduled no more",
    ]
    runs = ScheduleRun.objects.order_by("entry__name").values_list("entry__name", "status")
    assert list(runs) == [("failing", "failed"), ("tidying", "done")]
    assert messages_of(act(client, address(ScheduleEntry), "run_now", entries[:1])) == ["tidying: not due"]
    content = client.get(address(ScheduleEntry)).content.decode()
    for cell in (
        'frequency">every day<',
        'frequency">when cron says 0 7 * * *<',
        'frequency">scheduled no more<',
    ):
        assert cell in content
    for cell in ('last_run">done ', 'last_run">failed ', 'last_run">-<'):
        assert cell in content


def test_a_missed_period_is_run_from_the_entrys_page_once_by_those_who_may(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    def charge(period: periodic.Bounds) -> str:
        ran.append(period.start)
        return "charged"

    monkeypatch.setattr(periodic.schedule, "_entries", {})
    periodic.schedule.register(periodic.DAILY, charge, name="charging", calendar=Calendar())
    for days in (2, 0):
        periodic.run(periodic.schedule, now=timezone.now() - timedelta(days=days))
    entry = ScheduleEntry.objects.get()
    url, start = address(ScheduleEntry), (ran[1] - timedelta(days=1)).isoformat()
    may(client, "view_scheduleentry")
    html = client.get(f"{url}{entry.pk}/change/").content.decode()
    assert "Missed periods" in html
    assert "Run this period" not in html
    assert client.post(f"{url}{entry.pk}/run-period/", {"start": start}).status_code == 403
    may(client, "view_scheduleentry", "run_scheduleentry")
    assert f'value="{start}"' in client.get(f"{url}{entry.pk}/change/").content.decode()
    assert client.get(f"{url}{entry.pk}/run-period/").status_code == 403
    for said in ("charging: done: charged", "charging: not due: it was run for that period already"):
        response = client.post(f"{url}{entry.pk}/run-period/", {"start": start}, follow=True)
        assert response.redirect_chain == [(f"{url}{entry.pk}/change/", 302)]
        assert messages_of(response) == [said]
    for wrong, said in (
        ("x", "start is 'x', which is no date; write YYYY-MM-DD"),
        ("2026-11-01T12:00", "names no instant without its offset"),
        (ran[1].isoformat(), "isn't over"),
    ):
        response = client.post(f"{url}{entry.pk}/run-period/", {"start": wrong}, follow=True)
        assert said in messages_of(response)[0]
    assert len(ran) == 3
    assert "Missed periods" not in response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_what_is_run_from_the_admin_has_its_own_transactions_whatever_those_of_requests(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = []

    def look(period: periodic.Bounds) -> None:
        within.append((period.start, connection.in_atomic_block))

    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    monkeypatch.setattr(periodic.schedule, "_entries", {})
    periodic.schedule.register(periodic.DAILY, look, name="looking", calendar=Calendar(), atomic=False)
    periodic.run(periodic.schedule, now=timezone.now() - timedelta(days=2))
    entry = ScheduleEntry.objects.get()
    may(client, "view_scheduleentry", "run_scheduleentry")
    act(client, address(ScheduleEntry), "run_now", [entry])
    missed = (within[0][0] + timedelta(days=1)).isoformat()
    client.post(f"{address(ScheduleEntry)}{entry.pk}/run-period/", {"start": missed})
    assert [in_one for _, in_one in within] == [False] * 3
    assert len({start for start, _ in within}) == 3
    assert set(ScheduleRun.objects.values_list("status", flat=True)) == {"done"}


def test_when_nobody_calls_the_schedule_its_entries_say_so(client: Client) -> None:
    may(client, "view_scheduleentry")
    told = "Is run_periodic_schedule called?"
    assert told in client.get(address(ScheduleEntry)).content.decode()
    entry = ScheduleEntry.objects.create(name="stockandflow.deliver", seen_at=timezone.now())
    assert told not in client.get(address(ScheduleEntry)).content.decode()
    ScheduleEntry.objects.filter(pk=entry.pk).update(seen_at=timezone.now() - timedelta(days=3))
    assert told in client.get(address(ScheduleEntry)).content.decode()


def test_records_show_names_and_their_facets(root: Client, stored: dict[type[Model], Model]) -> None:
    records, moves = address(StockRecord), address(FlowRecord)
    assert 'field-stock_shown">Active<' in root.get(records).content.decode()
    content = root.get(moves).content.decode()
    for cell in ('flow_shown">Other<', 'source_shown">outside<', 'sink_shown">all<'):
        assert cell in content
    content = root.get(address(Delivery)).content.decode()
    for cell in ('flow_shown">gone<', 'last_error">OSError: no post<'):
        assert cell in content
    assert f'outcome">{"x" * 49}…<' in root.get(address(ScheduleRun)).content.decode()
    assert "what it was" in root.get(address(Definition)).content.decode()
    for model, value in ((StockRecord, "Basic"), (FlowRecord, "Pro"), (ScheduleRun, "x" * 60)):
        assert value in root.get(f"{address(model)}{stored[model].pk}/change/").content.decode()


def test_records_are_chosen_by_stock_and_by_flow(root: Client, stored: dict[type[Model], Model]) -> None:
    assert listed(root, f"{address(StockRecord)}?stock=active") == [stored[StockRecord]]
    assert listed(root, f"{address(StockRecord)}?stock=trial") == []
    assert listed(root, f"{address(FlowRecord)}?flow=") == [stored[FlowRecord]]
    assert listed(root, f"{address(FlowRecord)}?flow=pausing") == []
    assert listed(root, f"{address(ScheduleRun)}?status__exact=failed") == []


def test_djangos_permissions_decide_over_what_is_stored(
    client: Client, stored: dict[type[Model], Model]
) -> None:
    client.force_login(user_with("view_stockrecord"))
    assert client.get(address(StockRecord)).status_code == 200
    content = client.get(f"{address(StockRecord)}{stored[StockRecord].pk}/change/").content.decode()
    assert "Basic" not in content, "facet records have a permission of their own"
    assert client.get(address(FlowRecord)).status_code == 403


def test_the_app_does_without_djangos_admin() -> None:
    program = """
        import sys
        import django
        from django.conf import settings
        settings.configure(
            INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "stockandflow"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            USE_TZ=True,
        )
        django.setup()
        from django.core.management import call_command
        call_command("migrate", verbosity=0)
        call_command("check", fail_level="WARNING")
        print("django.contrib.admin.sites" in sys.modules, "stockandflow.admin" in sys.modules)
    """
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False False"


@pytest.mark.urls("example.urls")
def test_every_page_of_the_examples_site_opens(root: Client, plan: Plan) -> None:
    join(plan, "Ada", "Ben")
    pages = [
        page
        for app in root.get(reverse("admin:index", current_app="stockandflow_admin")).context["app_list"]
        for page in app["models"]
    ]
    assert {stock.name for stock in registry.stocks} <= {page["name"] for page in pages}
    for page in pages:
        assert root.get(page["admin_url"]).status_code == 200


def test_the_list_of_a_stock_leads_to_its_page_where_the_user_may_see_one(client: Client, plan: Plan) -> None:
    link = 'href="/business/pages/membership/stocks/active/"'
    client.force_login(user_with("view_member"))
    assert link not in client.get(ACTIVE).content.decode()
    client.force_login(User.objects.create_superuser("root"))
    assert link in client.get(ACTIVE).content.decode()
    assert 'href="/business/pages/membership/stocks/active/work/"' in client.get(ACTIVE).content.decode()
    assert 'href="/business/pages/membership/flows/pausing/"' in client.get(PAUSING).content.decode()


# The index


def test_the_index_counts_each_stock_now_and_tells_how_it_went(root: Client, plan: Plan) -> None:
    join(plan, "Ada", "Ben")
    midnight = Calendar.default().midnight(timezone.localdate() - timedelta(days=29))
    StockRecord.objects.create(stock="active", timestamp=midnight, count=5)
    FlowRecord.objects.bulk_create(
        FlowRecord(
            flow="pausing",
            source=source,
            sink=sink,
            calendar=Calendar.default().key,
            grain="day",
            start=midnight,
            end=midnight + timedelta(days=1),
            count=7,
            subjects=7,
            computed_at=midnight,
        )
        for source, sink in (("*", "*"), ("active", "paused"))
    )
    rows = index_rows(root)
    assert rows["Active"] == ["2", "▼ down, worse −3", "In 0 Out −7", "Work through As a page"]
    assert rows["Paused"] == ["0", "In +7 Out 0", "Work through As a page"]
    assert rows["Pausing"] == ["7", "As a page"]
    assert rows["Lapsing"] == ["–", "As a page"]


def test_the_index_reads_one_count_a_day_of_a_stock_however_often_it_was_counted(
    root: Client, plan: Plan
) -> None:
    StockRecord.objects.all().delete()
    calendar, today = Calendar.default(), timezone.localdate()
    days = [calendar.midnight(today - timedelta(days=back)) for back in (2, 1)]
    StockRecord.objects.bulk_create(
        StockRecord(stock="active", timestamp=day + timedelta(minutes=5 + minute), count=number + minute)
        for number, day in zip((40, 50), days, strict=True)
        for minute in range(600)
    )
    with CaptureQueriesContext(connection) as captured:
        told = index_rows(root)["Active"]
    read = [query["sql"] for query in captured if re.search(r"SELECT [^(]*stockrecord", query["sql"])]
    with connection.cursor() as cursor:
        rows = [row for sql in read for row in (cursor.execute(sql), cursor.fetchall())[1]]
    assert sorted(count for stock, _, count in rows if stock == "active") == [40, 50]
    assert told[0] == "0"


def test_where_nothing_is_recorded_the_index_has_the_count_alone(root: Client, plan: Plan) -> None:
    StockRecord.objects.all().delete()
    join(plan, "Ada")
    assert index_rows(root)["Active"] == ["1", "Work through As a page"]


def test_the_index_shows_figures_of_what_the_user_may_see_alone(client: Client, plan: Plan) -> None:
    client.force_login(user_with("view_memberflowevent"))
    rows = index_rows(client)
    assert set(rows) == {"Pausing", "Erasing", "Lapsing"}
    assert rows["Pausing"] == ["–"]


def test_of_a_part_of_the_objects_the_index_counts_that_part_and_tells_no_history(
    root: Client, plan: Plan, settings: Any
) -> None:
    settings.STOCKANDFLOW = {"SCOPE": "tests.test_admin.only_ada"}
    join(plan, "Ada", "Ben")
    assert index_rows(root)["Active"] == ["1", "Work through As a page"]
    assert index_rows(root)["Pausing"] == ["–", "As a page"]


def test_of_a_part_of_the_objects_the_lists_hold_open_and_act_on_that_part(
    root: Client, plan: Plan, settings: Any
) -> None:
    settings.STOCKANDFLOW = {"SCOPE": "tests.test_admin.only_ada"}
    ada, ben = join(plan, "Ada", "Ben")
    for address in (ACTIVE, f"{ACTIVE}?q=e", f"{ACTIVE}{ada.pk}/change/"):
        assert "Ben" not in root.get(address).content.decode()
    assert root.get(f"{ACTIVE}{ada.pk}/change/").status_code == 200
    for page in ("change", "history"):
        assert root.get(f"{ACTIVE}{ben.pk}/{page}/").status_code == 302
    chosen = {"action": "pause", "_selected_action": [ada.pk, ben.pk]}
    root.post(ACTIVE, chosen)
    assert list(Member.objects.filter(status=Status.PAUSED)) == [ada]
    ben.status = Status.PAUSED
    ben.save()
    events = root.get(PAUSING).content.decode()
    assert ("Ada" in events, "Ben" in events) == (True, False)
    event = MemberFlowEvent.objects.get(subject=ben, flow="pausing")
    assert root.get(f"{PAUSING}{event.pk}/change/").status_code == 302


def only_ada(request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
    return queryset.filter(name="Ada") if queryset.model is Member else queryset


def test_the_index_of_an_app_has_the_same_figures(root: Client, plan: Plan) -> None:
    assert index_rows(root, "/business/membership/") == index_rows(root)


def test_the_queries_of_the_index_do_not_grow_with_the_stocks(root: Client, plan: Plan) -> None:
    own = StockAndFlowAdminSite()  # of the same name, whose pages are among the addresses
    few = queries_of_figures(own, [trial])
    many = queries_of_figures(own, [active, paused, *map(registry.stock, ("past-due", "churned"))])
    assert few == many
    # the stocks of one model counted, levels at midnights and, where there are none, any levels, and moves
    assert many == 4


def queries_of_figures(own: StockAndFlowAdminSite, stocks: list[Stock]) -> int:
    request = RequestFactory().get("/")
    request.user = User.objects.get(username="root")
    for stock in stocks:
        own.register_stock(stock)
    StockRecord.objects.all().delete()
    with CaptureQueriesContext(connection) as captured:
        own.index(request)
    return len(captured)


def index_rows(client: Client, url: str = "/business/") -> dict[str, list[str]]:
    """The stocks and flows on an index by their name, with what is told of each, in words."""
    html = client.get(url).content.decode()
    rows = re.findall(r'<li class="sf-listing sf-listing-(?:stock|flow)">(.*?)</li>', html, re.DOTALL)
    told = [[_words(part) for part in re.findall(r"<(?:h3|p)\b.*?</(?:h3|p)>", row)] for row in rows]
    return {name: [words for words in rest if words] for name, *rest in told}


def _words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())
