"""Restatements: the final numbers that changed, as they were and as they are."""

from __future__ import annotations

from django.db import models

from stockandflow.models.keys import KeyField
from stockandflow.periods import Grain


class Restatement(models.Model):
    """One final number that was changed: what it was, what it is, when and why.

    The number is that of a stock record at ``start``, whose ``end`` is the same, or of a flow record over
    ``start <= t < end``; with a ``facet`` and a ``value``, of its facet record. What wasn't there was 0.
    """

    kind = models.CharField(max_length=10, choices=[("stock", "stock"), ("flow", "flow")])
    slug = models.CharField(max_length=100, blank=True, help_text="Of the stock or flow.")
    source = models.CharField(max_length=100, blank=True)
    sink = models.CharField(max_length=100, blank=True)
    calendar = models.CharField(max_length=100, blank=True)
    grain = models.CharField(
        max_length=10, blank=True, choices=[(grain.value, grain.value) for grain in Grain]
    )
    start = models.DateTimeField()
    end = models.DateTimeField()
    facet = models.CharField(max_length=100, blank=True)
    value = KeyField(max_length=200, blank=True)
    revision = models.PositiveIntegerField(help_text="The revision that holds the new number.")
    old_count = models.PositiveBigIntegerField()
    new_count = models.PositiveBigIntegerField()
    old_subjects = models.PositiveBigIntegerField(null=True)
    new_subjects = models.PositiveBigIntegerField(null=True)
    old_computed_at = models.DateTimeField(
        null=True, help_text="Since when the old number stood; None where that isn't known."
    )
    at = models.DateTimeField(help_text="When it was restated.")
    cause = models.CharField(max_length=200)

    class Meta:
        ordering = ("-at", "-id")
        indexes = [
            models.Index(fields=["kind", "slug", "start"], name="sf_restatement_number"),
            models.Index(fields=["at"], name="sf_restatement_at"),
        ]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.slug}: {self.old_count} → {self.new_count} at {self.at:%Y-%m-%d %H:%M %Z}"
