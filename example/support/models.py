"""Tickets: what members ask."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from example.membership.models import Member
from stockandflow import FlowEvent, SubjectForeignKey, TrackedQuerySet


class Status(models.TextChoices):
    """Where a ticket stands."""

    NEW = "new", "New"
    OPEN = "open", "Open"
    WAITING = "waiting", "Waiting"
    RESOLVED = "resolved", "Resolved"
    CLOSED = "closed", "Closed"


class Priority(models.TextChoices):
    """How much a ticket hurts."""

    NORMAL = "normal", "Normal"
    URGENT = "urgent", "Urgent"


class Channel(models.TextChoices):
    """How a ticket came in."""

    EMAIL = "email", "E-mail"
    CHAT = "chat", "Chat"
    PHONE = "phone", "Telephone"


class TicketQuerySet(TrackedQuerySet["Ticket"]):
    """What can happen to tickets: each verb moves those it applies to by one UPDATE, and says how many."""

    def pick_up(self) -> int:
        return self._move([Status.NEW], Status.OPEN)

    def reply(self) -> int:
        return self._move([Status.NEW, Status.OPEN], Status.WAITING)

    def hear_back(self) -> int:
        return self._move([Status.WAITING], Status.OPEN)

    def resolve(self) -> int:
        return self._move([Status.NEW, Status.OPEN, Status.WAITING], Status.RESOLVED)

    def reopen(self) -> int:
        return self._move([Status.RESOLVED, Status.CLOSED], Status.OPEN)

    def close(self) -> int:
        return self._move([Status.RESOLVED], Status.CLOSED)

    def _move(self, sources: list[Status], sink: Status) -> int:
        return self.filter(status__in=sources).update(status=sink, status_since=timezone.now())


class Ticket(models.Model):
    """One question of one member."""

    title = models.CharField(max_length=200)
    # Whoever erases a member erases what the member wrote.
    member = models.ForeignKey(Member, models.CASCADE, related_name="tickets")
    channel = models.CharField(max_length=10, choices=Channel, default=Channel.EMAIL)
    priority = models.CharField(max_length=10, choices=Priority, default=Priority.NORMAL)
    status = models.CharField(max_length=10, choices=Status, default=Status.NEW, db_index=True)
    status_since = models.DateTimeField(default=timezone.now)
    asked_at = models.DateTimeField(default=timezone.now)

    objects = TicketQuerySet.as_manager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.title


class TicketFlowEvent(FlowEvent):
    """A ticket's move from one stock to another."""

    subject = SubjectForeignKey(Ticket)
