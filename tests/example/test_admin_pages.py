"""The example's admin: every page opens, and the actions that a stock offers move its members."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from example.admin_site import site
from example.leads.models import Lead
from example.membership.models import Member, MemberFlowEvent, Plan, Status
from example.support.models import Priority, Ticket, TicketFlowEvent

pytestmark = pytest.mark.django_db

ACTIONS = [
    (Status.TRIAL, "convert", Status.ACTIVE),
    (Status.ACTIVE, "pause", Status.PAUSED),
    (Status.PAUSED, "resume", Status.ACTIVE),
    (Status.PAST_DUE, "mark_paid", Status.ACTIVE),
    (Status.PAST_DUE, "churn", Status.CHURNED),
    (Status.CHURNED, "reactivate", Status.ACTIVE),
]


def client_of(*, superuser: bool = False) -> Client:
    """A browser of somebody who may look at everything, or do everything."""
    person = User.objects.create_user("someone", is_staff=True, is_superuser=superuser)
    person.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(person)
    return client


def member(status: str = Status.ACTIVE) -> Member:
    plan, _ = Plan.objects.get_or_create(name="Basic", defaults={"monthly_price": 9})
    return Member.objects.create(name="Ada", email="ada@example.org", plan=plan, status=status)


def addresses() -> list[str]:
    """The address of every list in both admin sites."""
    ordinary = [
        reverse(f"admin:{app}_{model}_changelist")
        for app, model in (
            ("membership", "plan"),
            ("membership", "member"),
            ("membership", "welcomenote"),
            ("support", "ticket"),
            ("leads", "lead"),
        )
    ]
    listed: list[str] = [
        reverse(f"{site.name}:{listing._meta.app_label}_{listing._meta.model_name}_changelist")
        for listing in site._registry
    ]
    return ordinary + listed


@pytest.mark.parametrize("superuser", [True, False], ids=["may do all", "may look"])
def test_every_page_opens(superuser: bool) -> None:
    someone = member(Status.PAST_DUE)
    Ticket.objects.create(title="Help", member=someone, priority=Priority.URGENT)
    Lead.objects.create(name="Donella", email="donella@example.org")
    Member.objects.all().mark_paid()
    client = client_of(superuser=superuser)
    pages = [
        "/",
        "/admin/",
        "/stockandflow/",
        "/stockandflow/membership/",
        "/stockandflow-admin/",
        *addresses(),
    ]
    assert len(addresses()) > 40
    for address in pages:
        assert client.get(address, follow=True).status_code == 200, address


@pytest.mark.parametrize(("status", "action", "then"), ACTIONS)
def test_an_action_moves_the_chosen_members_and_is_captured(status: str, action: str, then: str) -> None:
    chosen, other = member(status), member(status)
    client = client_of(superuser=True)
    slug = status.replace("_", "-")
    address = next(address for address in addresses() if address.rstrip("/").endswith(f"stock-{slug}"))
    client.post(address, {"action": action, "_selected_action": [chosen.pk]})
    chosen.refresh_from_db()
    other.refresh_from_db()
    assert (chosen.status, other.status) == (then, status)
    event = MemberFlowEvent.objects.latest()
    assert (event.subject, event.source, event.sink) == (chosen, slug, then.replace("_", "-"))


def test_the_addresses_of_a_stocks_members_can_be_listed_by_who_may_look() -> None:
    chosen = member()
    address = next(address for address in addresses() if address.rstrip("/").endswith("stock-active"))
    found = client_of().post(address, {"action": "list_addresses", "_selected_action": [chosen.pk]})
    assert found.content == b"ada@example.org"


def test_calming_a_ticket_down_is_seen_by_the_function_tracker() -> None:
    ticket = Ticket.objects.create(title="Help", member=member(), priority=Priority.URGENT)
    address = next(address for address in addresses() if address.rstrip("/").endswith("stock-ticket-urgent"))
    client_of(superuser=True).post(address, {"action": "calm_down", "_selected_action": [ticket.pk]})
    flows = TicketFlowEvent.objects.filter(tracker="support.escalation").order_by("id")
    assert list(flows.values_list("flow", flat=True)) == ["escalating", "calming-down"]


def test_a_lead_that_was_contacted_is_hot_again() -> None:
    lead = Lead.objects.create(name="Jay", email="jay@example.org", status="cold")
    address = next(address for address in addresses() if address.rstrip("/").endswith("stock-lead-cold"))
    client_of(superuser=True).post(address, {"action": "contact", "_selected_action": [lead.pk]})
    lead.refresh_from_db()
    assert lead.status == "hot"
