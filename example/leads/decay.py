"""How long leads stay warm, and what the schedule does with those that have been cold for long."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from example.leads.models import Lead, Status

HOT_FOR = timedelta(days=4)
WARM_FOR = timedelta(days=21)
KEPT_FOR = timedelta(days=90)
"""Since the last contact: how long a lead stays hot, then warm, and when a cold or a won one is forgotten."""


def forget() -> int:
    """Delete the leads that have been cold, or won, for long; how many there were."""
    over = Lead.objects.filter(
        status__in=[Status.COLD, Status.WON], last_contact_at__lt=timezone.now() - KEPT_FOR
    )
    return over.delete()[1].get(Lead._meta.label, 0)
