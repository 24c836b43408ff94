"""The tables that are measured: one subscription model three times, and a wide account table of a million rows."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from stockandflow.models import FlowEvent, SubjectForeignKey

STATUSES = ("trial", "active", "paused", "past_due", "churned")
PLANS = ("free", "solo", "team", "business", "enterprise")
COUNTRIES = ("GB", "IE", "DE", "FR", "NL", "US")


class Plan(models.Model):
    """What is subscribed to."""

    name = models.CharField(max_length=40, unique=True)

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """A subscription as projects have them: eleven columns, a key and two indexes."""

    plan = models.ForeignKey(Plan, models.PROTECT, related_name="+")
    customer = models.CharField(max_length=100)
    email = models.EmailField()
    country = models.CharField(max_length=2, null=True)  # noqa: DJ001
    status = models.CharField(max_length=20, db_index=True)
    seats = models.PositiveIntegerField(default=1)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    started_at = models.DateTimeField(default=timezone.now)
    renews_at = models.DateTimeField(default=timezone.now)
    note = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.customer


class PlainSubscription(Subscription):
    """Without a tracker: what everything is compared with."""


class TrackedSubscription(Subscription):
    """With a tracker of five stocks."""


class ActedOnSubscription(Subscription):
    """With a tracker whose flows all have an event callable, so that every move also queues a delivery."""


class TrackedFlowEvent(FlowEvent):
    """A move of a tracked subscription."""

    subject = SubjectForeignKey(TrackedSubscription)


class ActedOnFlowEvent(FlowEvent):
    """A move of a subscription whose moves are acted on."""

    subject = SubjectForeignKey(ActedOnSubscription)


class Account(models.Model):
    """What recording counts: ten states, and three columns of ten values for the facets; one has NULLs as well."""

    status = models.CharField(max_length=20, db_index=True)
    plan = models.CharField(max_length=40)
    country = models.CharField(max_length=2, null=True)  # noqa: DJ001
    channel = models.CharField(max_length=20)
    customer = models.CharField(max_length=100)
    seats = models.PositiveIntegerField(default=1)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    started_at = models.DateTimeField(default=timezone.now)
    renews_at = models.DateTimeField(default=timezone.now)
    note = models.CharField(max_length=200, blank=True, default="")

    def __str__(self) -> str:
        return self.customer


class Case(models.Model):
    """What moves between twenty steps; its past is in the events alone."""

    step = models.PositiveSmallIntegerField()
    plan = models.CharField(max_length=20, default="free")
    country = models.CharField(max_length=2, default="GB")
    channel = models.CharField(max_length=20, default="web")

    def __str__(self) -> str:
        return f"{self.pk} at {self.step}"


class FewFlowEvent(FlowEvent):
    """A move of a case, in a table of few."""

    subject = SubjectForeignKey(Case)


class ManyFlowEvent(FlowEvent):
    """A move of a case, in a table of many."""

    subject = SubjectForeignKey(Case)


class MonthFlowEvent(FlowEvent):
    """A move of a case, in a table of a month."""

    subject = SubjectForeignKey(Case)


class YearsFlowEvent(FlowEvent):
    """A move of a case, in a table of years."""

    subject = SubjectForeignKey(Case)
