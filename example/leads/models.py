"""Leads: people who may become members."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from example.membership.models import Member
from stockandflow.models import FlowEvent, SubjectForeignKey


class Status(models.TextChoices):
    """How likely a lead is to become a member."""

    HOT = "hot", "Hot"
    WARM = "warm", "Warm"
    COLD = "cold", "Cold"
    WON = "won", "Won"


class Source(models.TextChoices):
    """Where a lead came from."""

    WEBSITE = "website", "Website"
    REFERRAL = "referral", "Referral"
    EVENT = "event", "Event"


class Lead(models.Model):
    """A person who may become a member."""

    name = models.CharField(max_length=100)
    email = models.EmailField()
    source = models.CharField(max_length=10, choices=Source, default=Source.WEBSITE)
    status = models.CharField(max_length=10, choices=Status, default=Status.HOT, db_index=True)
    found_at = models.DateTimeField(default=timezone.now)
    last_contact_at = models.DateTimeField(default=timezone.now)
    member = models.ForeignKey(Member, models.SET_NULL, null=True, blank=True, related_name="leads")

    def __str__(self) -> str:
        return self.name

    def contact(self) -> None:
        """We spoke with the lead, who is hot again."""
        self.status, self.last_contact_at = Status.HOT, timezone.now()
        self.save(update_fields=["status", "last_contact_at"])

    def win(self, member: Member) -> None:
        """The lead became this member."""
        self.status, self.member = Status.WON, member
        self.save(update_fields=["status", "member"])


class LeadFlowEvent(FlowEvent):
    """A lead's move from one stock to another."""

    subject = SubjectForeignKey(Lead)
