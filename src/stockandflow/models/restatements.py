"""Restatements: the final numbers that changed, as they were and as they are."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy

from stockandflow.models.keys import KeyField
from stockandflow.periods import Grain


class Restatement(models.Model):
    """One final number that was changed: what it was, what it is, when and why.

    The number is that of a stock record at ``start``, whose ``end`` is the same, or of a flow record over
    ``start <= t < end``; with a ``facet`` and a ``value``, of its facet record. What wasn't there was 0.
    """

    kind = models.CharField(
        gettext_lazy("kind"), max_length=10, choices=[("stock", "stock"), ("flow", "flow")]
    )
    slug = models.CharField(
        gettext_lazy("slug"), max_length=100, blank=True, help_text=gettext_lazy("Of the stock or flow.")
    )
    source = models.CharField(gettext_lazy("source"), max_length=100, blank=True)
    sink = models.CharField(gettext_lazy("sink"), max_length=100, blank=True)
    calendar = models.CharField(gettext_lazy("calendar"), max_length=100, blank=True)
    grain = models.CharField(
        gettext_lazy("grain"),
        max_length=10,
        blank=True,
        choices=[(grain.value, grain.value) for grain in Grain],
    )
    start = models.DateTimeField(gettext_lazy("start"))
    end = models.DateTimeField(gettext_lazy("end"))
    facet = models.CharField(gettext_lazy("facet"), max_length=100, blank=True)
    value = KeyField(max_length=200, blank=True)
    revision = models.PositiveIntegerField(
        gettext_lazy("revision"), help_text=gettext_lazy("The revision that holds the new number.")
    )
    old_count = models.PositiveBigIntegerField(gettext_lazy("old count"))
    new_count = models.PositiveBigIntegerField(
        gettext_lazy("new count"), null=True, help_text=gettext_lazy("None where it isn't known any more.")
    )
    old_subjects = models.PositiveBigIntegerField(gettext_lazy("old subjects"), null=True)
    new_subjects = models.PositiveBigIntegerField(gettext_lazy("new subjects"), null=True)
    old_computed_at = models.DateTimeField(
        gettext_lazy("old computed at"),
        null=True,
        help_text=gettext_lazy("Since when the old number stood; None where that isn't known."),
    )
    at = models.DateTimeField(gettext_lazy("at"), help_text=gettext_lazy("When it was restated."))
    cause = models.CharField(gettext_lazy("cause"), max_length=200)

    class Meta:
        verbose_name = gettext_lazy("restatement")
        verbose_name_plural = gettext_lazy("restatements")
        ordering = ("-at", "-id")
        indexes = [
            models.Index(fields=["kind", "slug", "start"], name="sf_restatement_number"),
            models.Index(fields=["at"], name="sf_restatement_at"),
        ]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.slug}: {self.old_count} → {self.new_count} at {self.at:%Y-%m-%d %H:%M %Z}"
