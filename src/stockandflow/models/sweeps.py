"""Sweeps: how far the events of each tracker have been compared with its tables."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy


class Sweep(models.Model):
    """What is known of the sweeps of one tracker on one database.

    The first complete one opens the tracker. One that was interrupted has ``started_at``, and goes on after ``cursor``,
    the key of the last subject that it has seen to.
    """

    tracker = models.CharField(gettext_lazy("tracker"), max_length=100)
    database = models.CharField(gettext_lazy("database"), max_length=100, help_text="Alias in DATABASES.")
    opened_at = models.DateTimeField(
        gettext_lazy("opened at"),
        null=True,
        blank=True,
        help_text="When the first complete sweep had written the opening balance.",
    )
    completed_at = models.DateTimeField(
        gettext_lazy("completed at"), null=True, blank=True, help_text="When the last complete sweep ended."
    )
    found = models.PositiveBigIntegerField(
        gettext_lazy("found"),
        default=0,
        help_text="Missing moves that the last sweep found, or the one under way so far.",
    )
    started_at = models.DateTimeField(
        gettext_lazy("started at"),
        null=True,
        blank=True,
        help_text="When the sweep began that is under way, or was interrupted.",
    )
    cursor = models.TextField(  # noqa: DJ001
        gettext_lazy("cursor"), null=True, blank=True, help_text="Key of the last subject seen to."
    )

    class Meta:
        verbose_name = gettext_lazy("sweep")
        verbose_name_plural = gettext_lazy("sweeps")
        ordering = ("database", "tracker")
        constraints = [models.UniqueConstraint(fields=["tracker", "database"], name="sf_sweep_tracker")]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.tracker} on {self.database}"
