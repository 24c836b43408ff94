"""What happens by itself: on an event, and on the schedule."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.utils import timezone

from example.membership.models import Member, Status, WelcomeNote

logger = logging.getLogger(__name__)

KEPT_AFTER_CHURN = timedelta(days=150)


def write_welcome_note(member: Member | None, source: Any, sink: Any) -> None:
    """Greet a member who has converted.

    Called after the commit, and at least once for each event: a member may be erased by then, or greeted already.
    """
    if member is None:
        return
    _, written = WelcomeNote.objects.get_or_create(
        member=member,
        defaults={"text": f"Dear {member.name}, welcome to the {member.plan} plan!"},
    )
    if written:
        logger.info("Wrote a welcome note to member %s, who moved from %s to %s.", member.pk, source, sink)


def erase_long_gone() -> int:
    """Delete the members who churned over 150 days ago, as the privacy notice says; how many they were."""
    gone = Member.objects.filter(status=Status.CHURNED, status_since__lt=timezone.now() - KEPT_AFTER_CHURN)
    return gone.delete()[1].get(Member._meta.label, 0)
