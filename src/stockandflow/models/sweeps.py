"""Sweeps: how far the events of each tracker have been compared with its tables."""

from __future__ import annotations

from django.db import models, router
from django.utils.translation import gettext_lazy


class Sweep(models.Model):
    """What is known of the sweeps of one tracker on one database.

    The first complete one opens the tracker. One that was interrupted has ``started_at``, and goes on after ``cursor``,
    the key of the last subject that it has seen to.
    """

    tracker = models.CharField(gettext_lazy("tracker"), max_length=100)
    database = models.CharField(
        gettext_lazy("database"), max_length=100, help_text=gettext_lazy("Alias in DATABASES.")
    )
    opened_at = models.DateTimeField(
        gettext_lazy("opened at"),
        null=True,
        blank=True,
        help_text=gettext_lazy("When the first complete sweep had written the opening balance."),
    )
    told_since = models.DateTimeField(
        gettext_lazy("told since"),
        null=True,
        blank=True,
        help_text=gettext_lazy(
            "When subjects were last first seen whose past is unknown. Empty where each one's history begins outside."
        ),
    )
    completed_at = models.DateTimeField(
        gettext_lazy("completed at"),
        null=True,
        blank=True,
        help_text=gettext_lazy("When the last complete sweep ended."),
    )
    found = models.PositiveBigIntegerField(
        gettext_lazy("found"),
        default=0,
        help_text=gettext_lazy("Missing moves that the last sweep found, or the one under way so far."),
    )
    started_at = models.DateTimeField(
        gettext_lazy("started at"),
        null=True,
        blank=True,
        help_text=gettext_lazy("When the sweep began that is under way, or was interrupted."),
    )
    cursor = models.TextField(  # noqa: DJ001
        gettext_lazy("cursor"),
        null=True,
        blank=True,
        help_text=gettext_lazy("Key of the last subject seen to."),
    )

    class Meta:
        verbose_name = gettext_lazy("sweep")
        verbose_name_plural = gettext_lazy("sweeps")
        ordering = ("database", "tracker")
        constraints = [models.UniqueConstraint(fields=["tracker", "database"], name="sf_sweep_tracker")]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.tracker} on {self.database}"


def sweeps(using: str) -> models.QuerySet[Sweep]:
    """What is known of the sweeps of that database: kept there, unless a router keeps it elsewhere."""
    here = router.allow_migrate_model(using, Sweep)
    return Sweep.objects.using(using if here else router.db_for_write(Sweep)).filter(database=using)
