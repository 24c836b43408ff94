"""Definitions as they were: since when a stock, a flow or a calendar has meant what it means."""

from __future__ import annotations

from django.db import models


class Definition(models.Model):
    """What a stock, a flow or a process's calendar meant from ``since`` on, until its next definition.

    ``digest`` tells one definition from another; ``text`` shows a person what it was.
    """

    kind = models.CharField(
        max_length=10, choices=[("stock", "stock"), ("flow", "flow"), ("calendar", "calendar")]
    )
    slug = models.CharField(max_length=100)
    since = models.DateTimeField(help_text="The first recording that used it.")
    digest = models.CharField(max_length=64)
    text = models.TextField()

    class Meta:
        ordering = ("kind", "slug", "-since")
        get_latest_by = "since"
        constraints = [models.UniqueConstraint(fields=["kind", "slug", "since"], name="sf_definition_since")]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.kind} {self.slug} since {self.since:%Y-%m-%d %H:%M %Z}"
