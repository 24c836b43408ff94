"""A flush empties the subjects' tables and the events' in no particular order, and leaves no event behind."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow.models import Delivery


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "reset_sequences", [True, False]
)  # False, as between tests: MariaDB then has a DELETE each
def test_after_a_flush_there_are_no_events_and_the_capture_works(reset_sequences: bool) -> None:
    for _ in range(2):
        plan = Plan.objects.create(name="Basic", monthly_price=9)
        Member.objects.create(name="Ada", plan=plan, status=Status.TRIAL)
        Member.objects.update(status=Status.ACTIVE)
        assert MemberFlowEvent.objects.count() == 2
        assert Delivery.objects.count() == 1
        call_command("flush", interactive=False, verbosity=0, reset_sequences=reset_sequences)
        assert not MemberFlowEvent.objects.exists()
        assert not Delivery.objects.exists()
