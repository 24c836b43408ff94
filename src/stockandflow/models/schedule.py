"""The schedule's memory: what is known of each entry, and one row for each period that an entry ran for."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _


class ScheduleEntry(models.Model):
    """What the schedule knows of an entry; whoever claims one of its periods locks this row first."""

    name = models.CharField(_("name"), max_length=200, unique=True)
    high_water = models.DateTimeField(
        _("high water"),
        null=True,
        blank=True,
        help_text=_("The start of the latest period that was run or passed over."),
    )
    kept_since = models.DateTimeField(
        _("kept since"),
        null=True,
        blank=True,
        help_text=_("Runs for periods that ended before are deleted, and none of these is run any more."),
    )
    seen_at = models.DateTimeField(
        _("seen at"),
        null=True,
        blank=True,
        help_text=_("When a run of the schedule last looked at it."),
    )

    class Meta:
        verbose_name = _("schedule entry")
        verbose_name_plural = _("schedule entries")
        ordering = ("name",)
        default_permissions = ("view",)
        permissions = [("run_scheduleentry", "Can run entries of the schedule")]

    def __str__(self) -> str:
        return self.name

    def forgot(self, end: datetime) -> bool:
        """Whether a run for a period with that end would have been deleted, so that there must be none now."""
        return self.kept_since is not None and end <= self.kept_since


class ScheduleRun(models.Model):
    """One entry for one period ``period_start <= t < period_end``; there is never a second row for the two.

    A row that is running belongs to ``owner`` until ``leased_until`` by the database's clock, then anyone may
    take it over, with a higher ``attempt``. Only the holder of the last attempt can make it done.
    """

    class Status(models.TextChoices):
        """Where the run stands; a failed one is tried again as long as its period is wanted."""

        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        SKIPPED = "skipped", _("skipped")

    SETTLED = (Status.DONE, Status.SKIPPED)

    entry = models.ForeignKey(ScheduleEntry, models.CASCADE, related_name="runs", verbose_name=_("entry"))
    period_start = models.DateTimeField(_("period start"))
    period_end = models.DateTimeField(_("period end"))
    missed_since = models.DateTimeField(
        _("missed since"),
        null=True,
        blank=True,
        help_text=_("Start of the first period before this one that was never run for."),
    )
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.WAITING)
    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    owner = models.CharField(_("owner"), max_length=100, blank=True, default="")
    leased_until = models.DateTimeField(_("leased until"), null=True, blank=True)
    heartbeat_at = models.DateTimeField(_("heartbeat at"), null=True, blank=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    duration = models.DurationField(_("duration"), null=True, blank=True)
    message = models.TextField(_("message"), blank=True, default="")
    traceback = models.TextField(_("traceback"), blank=True, default="")

    class Meta:
        verbose_name = _("schedule run")
        verbose_name_plural = _("schedule runs")
        ordering = ("-period_start", "entry")
        constraints = [models.UniqueConstraint(fields=["entry", "period_start"], name="sf_run_period")]
        indexes = [models.Index(fields=["entry", "status"], name="sf_run_status")]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.entry}: {self.period_start:%Y-%m-%d %H:%M %Z} ({self.status})"

    @property
    def settled(self) -> bool:
        """Whether the period needs no run any more."""
        return self.status in self.SETTLED

    def held(self, at: datetime) -> bool:
        """Whether a runner that gives signs of life is at it at that instant."""
        return self.status == self.Status.RUNNING and self.leased_until is not None and self.leased_until > at
