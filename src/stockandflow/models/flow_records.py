"""Flow records: the stored moves of a flow over a period."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy

from stockandflow.models.keys import KeyField
from stockandflow.periods import Grain


class Moves(models.Model):
    """Moves counted over one period. Abstract.

    ``count`` is the number of events and adds up; ``subjects``, of the distinct objects that moved, doesn't. So days
    also hold how many subjects made their first such move of the week, month … in them: these add up to the distinct
    subjects of the coarser period. They are 0 in records of that grain and coarser, and where they would not add up.
    """

    count = models.PositiveBigIntegerField(gettext_lazy("count"))
    subjects = models.PositiveBigIntegerField(gettext_lazy("subjects"))
    first_in_week = models.PositiveBigIntegerField(default=0, editable=False)
    first_in_month = models.PositiveBigIntegerField(default=0, editable=False)
    first_in_quarter = models.PositiveBigIntegerField(default=0, editable=False)
    first_in_year = models.PositiveBigIntegerField(default=0, editable=False)

    class Meta:
        abstract = True


class FlowRecord(Moves):
    """The moves of a flow over one period ``start <= t < end`` of a calendar.

    ``source`` and ``sink`` are slugs, "" for external, and ``*`` in the row that totals the flow; every computed
    period has that row, zero included. ``flow`` is "" for moves that no flow covers, which have no total row.
    ``imported`` and ``swept`` say how many of its events have those origins; the others were live. ``initial`` are
    the objects that stood in the sink when the capture began, which no ``count`` holds.
    """

    flow = models.CharField(gettext_lazy("flow"), max_length=100, blank=True)
    source = models.CharField(gettext_lazy("source"), max_length=100, blank=True)
    sink = models.CharField(gettext_lazy("sink"), max_length=100, blank=True)
    calendar = models.CharField(
        gettext_lazy("calendar"),
        max_length=100,
        help_text=gettext_lazy("Time zone, first day of the week, first month."),
    )
    grain = models.CharField(
        gettext_lazy("grain"), max_length=10, choices=[(grain.value, grain.value) for grain in Grain]
    )
    start = models.DateTimeField(gettext_lazy("start"))
    end = models.DateTimeField(gettext_lazy("end"))
    computed_at = models.DateTimeField(
        gettext_lazy("computed at"),
        help_text=gettext_lazy(
            "The instant as of which the events were read; of a final number, the first since which it stands."
        ),
    )
    revision = models.PositiveIntegerField(gettext_lazy("revision"), default=1)
    imported = models.PositiveBigIntegerField(gettext_lazy("imported"), default=0)
    swept = models.PositiveBigIntegerField(gettext_lazy("swept"), default=0)
    initial = models.PositiveBigIntegerField(gettext_lazy("initial"), default=0)

    class Meta:
        verbose_name = gettext_lazy("flow record")
        verbose_name_plural = gettext_lazy("flow records")
        ordering = ("-start", "flow", "source", "sink")
        constraints = [
            models.UniqueConstraint(
                fields=["calendar", "grain", "start", "flow", "source", "sink"], name="sf_flow_period"
            )
        ]
        indexes = [models.Index(fields=["grain", "start"], name="sf_flow_start")]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.flow or 'other'} {self.source or 'outside'} → {self.sink or 'outside'}: {self.count}"


class FlowFacetRecord(Moves):
    """The moves of a flow record's subjects with one facet value, as it was when they moved."""

    flow_record = models.ForeignKey(
        FlowRecord, models.CASCADE, related_name="facet_records", verbose_name=gettext_lazy("flow record")
    )
    facet = models.CharField(gettext_lazy("facet"), max_length=100)
    value = KeyField(max_length=200)

    class Meta:
        verbose_name = gettext_lazy("flow facet record")
        verbose_name_plural = gettext_lazy("flow facet records")
        ordering = ("flow_record", "facet", "id")
        constraints = [
            models.UniqueConstraint(fields=["flow_record", "facet", "value"], name="sf_flow_facet")
        ]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.facet} {self.value}: {self.count}"


class Watermark(models.Model):
    """How far a calendar's flow records have read the events of one model: all up to ``event_id`` are in them.

    ``since`` and ``until`` bound the days computed so far, without gap between them, the last time as of
    ``computed_at``; those that had ended ``lateness`` before are final. ``version`` grows with every recording and
    every change in place, so that a recording notices what came between its reading and its writing. With the
    calendar "" it tells what the derived levels of stocks have read, of events and of counts; ``LevelWatermark``
    tells how far they reach.
    """

    event_model = models.CharField(max_length=200)
    calendar = models.CharField(max_length=100)
    event_id = models.BigIntegerField(default=0)
    since = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True)
    computed_at = models.DateTimeField(null=True)
    lateness = models.DurationField(
        default=timedelta(0),
        help_text=gettext_lazy("How late events might come when days were computed the last time."),
    )
    version = models.PositiveBigIntegerField(default=0)
    anew_since = models.DateTimeField(
        null=True,
        help_text=gettext_lazy("Events from here on were changed in place, so these days are computed anew."),
    )

    horizon = models.DateTimeField(
        null=True,
        help_text=gettext_lazy("Events before it were pruned, but for the last one of each subject."),
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event_model", "calendar"], name="sf_watermark_calendar")
        ]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.event_model}, {self.calendar}: {self.event_id}"

    @classmethod
    def horizon_of(cls, *event_models: type[Any]) -> datetime | None:
        """From when on the events of all these models are kept; None where none were pruned. One query."""
        labels = [model._meta.label_lower for model in event_models]
        marks = cls._default_manager.filter(event_model__in=labels)
        found: datetime | None = marks.aggregate(last=models.Max("horizon"))["last"]
        return found
