"""Deliveries: the outbox of event callables, one row an event, written in the event's own transaction."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Delivery(models.Model):
    """The event callables of one event's flow, to be called after commit; found by status, never by id."""

    class Status(models.TextChoices):
        """Where the delivery stands."""

        PENDING = "pending", _("pending")
        DONE = "done", _("done")
        DEAD = "dead", _("dead")

    event_model = models.CharField(
        _("event model"),
        max_length=200,
        help_text=_("Label of the event's model, e.g. shop.saleevent."),
    )
    event_id = models.BigIntegerField(_("event id"))
    flow = models.CharField(_("flow"), max_length=100)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    done_calls = models.PositiveIntegerField(
        _("done calls"), default=0, help_text=_("How many of the callables have succeeded.")
    )
    due_at = models.DateTimeField(_("due at"))
    leased_until = models.DateTimeField(_("leased until"), null=True, blank=True)
    finished_at = models.DateTimeField(
        _("finished at"), null=True, blank=True, help_text=_("When it was done, or given up.")
    )
    owner = models.CharField(_("owner"), max_length=100, blank=True, default="")
    error = models.TextField(_("error"), blank=True, default="")

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [models.UniqueConstraint(fields=["event_model", "event_id"], name="sf_delivery_event")]
        indexes = [models.Index(fields=["status", "due_at"], name="sf_delivery_due")]
        default_permissions = ("view",)
        permissions = [("replay_delivery", "Can have dead deliveries tried again")]

    def __str__(self) -> str:
        return f"{self.flow}: {self.event_model} {self.event_id} ({self.status})"
