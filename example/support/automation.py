"""What happens on the schedule."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from example.support.models import Status, Ticket

CLOSED_AFTER = timedelta(days=7)


def close_resolved() -> int:
    """Close the tickets that have been resolved for a week; how many they were."""
    return Ticket.objects.filter(
        status=Status.RESOLVED, status_since__lt=timezone.now() - CLOSED_AFTER
    ).close()
