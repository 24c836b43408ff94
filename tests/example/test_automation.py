"""What happens by itself in the example: each nightly job moves those whose time has come, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from example.leads.decay import HOT_FOR, KEPT_FOR, WARM_FOR, forget
from example.leads.models import Lead, LeadFlowEvent
from example.leads.models import Status as LeadStatus
from example.membership.automation import KEPT_AFTER_CHURN, erase_long_gone, write_welcome_note
from example.membership.models import Member, MemberFlowEvent, Plan, Status, WelcomeNote
from example.support.automation import CLOSED_AFTER, close_resolved
from example.support.models import Status as TicketStatus
from example.support.models import Ticket, TicketFlowEvent
from stockandflow import periodic

pytestmark = pytest.mark.django_db

A_DAY = timedelta(days=1)


def member(status: str = Status.ACTIVE, for_: timedelta = timedelta()) -> Member:
    plan, _ = Plan.objects.get_or_create(name="Basic", defaults={"monthly_price": 9})
    since = timezone.now() - for_
    return Member.objects.create(
        name="Ada", email="a@example.org", plan=plan, status=status, status_since=since
    )


def lead(status: str, silent_for: timedelta) -> Lead:
    since = timezone.now() - silent_for
    return Lead.objects.create(name="Jay", email="j@example.org", status=status, last_contact_at=since)


def cooling() -> list[Callable[..., Any]]:
    """What cools leads down, in the order of the schedule."""
    entries = periodic.schedule.entries
    return [entry.to_call for entry in entries if entry.name in ("lead-hot.decay", "lead-warm.decay")]


def test_all_jobs_are_on_the_schedule_daily() -> None:
    daily = {entry.to_call for entry in periodic.schedule.entries if entry.frequency == periodic.DAILY}
    assert {erase_long_gone, close_resolved, forget} <= daily
    assert len(cooling()) == 2
    assert daily.issuperset(cooling())


def test_who_churned_long_ago_is_erased_with_all_tickets() -> None:
    long_gone, gone = (member(Status.CHURNED, KEPT_AFTER_CHURN + days) for days in (A_DAY, -A_DAY))
    Ticket.objects.create(title="Help", member=long_gone)
    assert erase_long_gone() == 1
    assert list(Member.objects.all()) == [gone]
    assert MemberFlowEvent.objects.get(sink="").flow == "erasing"
    assert TicketFlowEvent.objects.get(sink="").flow == "erasing-tickets"


def test_tickets_resolved_for_a_week_are_closed() -> None:
    asks = member()
    for days in (A_DAY, -A_DAY):
        since = timezone.now() - CLOSED_AFTER - days
        Ticket.objects.create(title="Help", member=asks, status=TicketStatus.RESOLVED, status_since=since)
    assert close_resolved() == 1
    assert TicketFlowEvent.objects.filter(flow="closing").count() == 1


def test_leads_cool_down_one_step_at_a_time_and_are_forgotten() -> None:
    lead(LeadStatus.HOT, HOT_FOR - A_DAY)
    lead(LeadStatus.HOT, HOT_FOR + A_DAY)
    lead(LeadStatus.HOT, WARM_FOR + A_DAY)
    lead(LeadStatus.WARM, WARM_FOR + A_DAY)
    lead(LeadStatus.COLD, KEPT_FOR - A_DAY)
    lead(LeadStatus.COLD, KEPT_FOR + A_DAY)
    lead(LeadStatus.WON, KEPT_FOR + A_DAY)
    assert [decay() for decay in cooling()] == ["1 moved", "2 moved"]
    assert forget() == 2
    found = list(Lead.objects.order_by("id").values_list("status", flat=True))
    assert found == ["hot", "warm", "warm", "cold", "cold"]
    assert LeadFlowEvent.objects.filter(flow="to-lead-warm").count() == 2 + 1  # one of them began as warm


def test_an_erased_member_is_not_welcomed() -> None:
    write_welcome_note(None, "trial", "active")
    assert not WelcomeNote.objects.exists()


def test_a_second_welcome_changes_nothing() -> None:
    newcomer = member()
    for _ in range(2):
        write_welcome_note(newcomer, "trial", "active")
    assert WelcomeNote.objects.get().text == "Dear Ada, welcome to the Basic plan!"
