"""Plans, and the members who subscribe to them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from stockandflow.models import FlowEvent, SubjectForeignKey


class Plan(models.Model):
    """What a member subscribes to."""

    name = models.CharField(max_length=40, unique=True)
    monthly_price = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        ordering = ["monthly_price"]

    def __str__(self) -> str:
        return self.name


class Status(models.TextChoices):
    """Where a member stands."""

    TRIAL = "trial", "Trial"
    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"
    PAST_DUE = "past_due", "Past due"
    CHURNED = "churned", "Churned"


class MemberQuerySet(models.QuerySet["Member"]):
    """What can happen to members: each verb moves those it applies to by one UPDATE, and says how many."""

    def convert(self) -> int:
        return self._move([Status.TRIAL], Status.ACTIVE)

    def lapse(self) -> int:
        return self._move([Status.TRIAL], Status.CHURNED)

    def pause(self) -> int:
        return self._move([Status.ACTIVE], Status.PAUSED)

    def resume(self) -> int:
        return self._move([Status.PAUSED], Status.ACTIVE)

    def expire(self) -> int:
        return self._move([Status.PAUSED], Status.CHURNED)

    def mark_past_due(self) -> int:
        return self._move([Status.ACTIVE], Status.PAST_DUE)

    def mark_paid(self) -> int:
        return self._move([Status.PAST_DUE], Status.ACTIVE)

    def churn(self) -> int:
        return self._move([Status.PAST_DUE], Status.CHURNED)

    def cancel(self) -> int:
        return self._move([Status.ACTIVE], Status.CHURNED)

    def reactivate(self) -> int:
        return self._move([Status.CHURNED], Status.ACTIVE)

    def _move(self, sources: list[Status], sink: Status) -> int:
        return self.filter(status__in=sources).update(status=sink, status_since=timezone.now())


class Member(models.Model):
    """A person, or a team, with a subscription."""

    name = models.CharField(max_length=100)
    email = models.EmailField()
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="members")
    # NULL where the payment provider didn't say: the facet shows it as "(none)".
    country = models.CharField(max_length=2, null=True, blank=True)  # noqa: DJ001
    status = models.CharField(max_length=10, choices=Status, default=Status.TRIAL, db_index=True)
    status_since = models.DateTimeField(default=timezone.now)
    joined_at = models.DateTimeField(default=timezone.now)

    objects = MemberQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class MemberFlowEvent(FlowEvent):
    """A member's move from one stock to another."""

    subject = SubjectForeignKey(Member)


class WelcomeNote(models.Model):
    """The note that greets a member who has converted; a real project would send it as an e-mail."""

    member = models.OneToOneField(Member, models.CASCADE, related_name="welcome_note")
    text = models.TextField()
    written_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-written_at"]

    def __str__(self) -> str:
        return f"Welcome, {self.member}"
