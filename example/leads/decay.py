"""Leads cool down by themselves: what the schedule calls every day."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from example.leads.models import Lead, Status

HOT_FOR = timedelta(days=4)
WARM_FOR = timedelta(days=21)
KEPT_FOR = timedelta(days=90)
"""Since the last contact: how long a lead stays hot, then warm, and when a cold or a won one is forgotten."""


def cool_down() -> int:
    """Hot leads without a contact become warm, warm ones cold; how many moved."""
    now = timezone.now()
    cold = Lead.objects.filter(status=Status.WARM, last_contact_at__lt=now - WARM_FOR).update(
        status=Status.COLD
    )
    warm = Lead.objects.filter(status=Status.HOT, last_contact_at__lt=now - HOT_FOR).update(
        status=Status.WARM
    )
    return cold + warm


def forget() -> int:
    """Delete the leads that have been cold, or won, for long; how many there were."""
    over = Lead.objects.filter(
        status__in=[Status.COLD, Status.WON], last_contact_at__lt=timezone.now() - KEPT_FOR
    )
    return over.delete()[1].get(Lead._meta.label, 0)
