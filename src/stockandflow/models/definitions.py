"""Definitions as they were: since when a stock, a flow or a calendar has meant what it means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from django.db import models
from django.utils.translation import gettext_lazy


@dataclass(frozen=True)
class Break:
    """At ``at`` a declaration began to mean ``new`` instead of ``old``; numbers from before and after don't compare."""

    at: datetime
    old: str
    new: str


class Definition(models.Model):
    """What a stock, a flow or a process's calendar meant from ``since`` on, until its next definition.

    ``digest`` tells one definition from another; ``text`` shows a person what it was. A calendar has the slug
    of its process.
    """

    kind = models.CharField(
        gettext_lazy("kind"),
        max_length=10,
        choices=[("stock", "stock"), ("flow", "flow"), ("calendar", "calendar")],
    )
    slug = models.CharField(gettext_lazy("slug"), max_length=100)
    since = models.DateTimeField(
        gettext_lazy("since"), help_text=gettext_lazy("The first recording that used it.")
    )
    digest = models.CharField(gettext_lazy("digest"), max_length=64)
    text = models.TextField(gettext_lazy("text"))

    class Meta:
        verbose_name = gettext_lazy("definition")
        verbose_name_plural = gettext_lazy("definitions")
        ordering = ("kind", "slug", "-since")
        get_latest_by = "since"
        constraints = [models.UniqueConstraint(fields=["kind", "slug", "since"], name="sf_definition_since")]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.kind} {self.slug} since {self.since:%Y-%m-%d %H:%M %Z}"

    @classmethod
    def latest_of_each(cls) -> models.QuerySet[Definition]:
        """The last definition known of each kind and slug."""
        one: models.QuerySet[Definition] = cls._default_manager.order_by("kind", "slug")
        later = one.filter(
            kind=models.OuterRef("kind"), slug=models.OuterRef("slug"), since__gt=models.OuterRef("since")
        )
        return one.exclude(models.Exists(later))

    @classmethod
    def breaks(cls, kind: str, slug: str, since: datetime, until: datetime) -> list[Break]:
        """The changes of meaning in ``since < t < until``, in order. One query.

        ``kind`` is "stock", "flow" or "calendar"; a calendar has the slug of its process.
        """
        known = cls._default_manager.filter(kind=kind, slug=slug, since__lt=until).order_by("since")
        return [
            Break(new.since, old.text, new.text)
            for old, new in pairwise(known)
            if new.since > since and new.digest != old.digest
        ]
