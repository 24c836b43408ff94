"""Computed days: which days the flow records of a process hold, and which events they may lack."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import DateTimeField, F, Func, QuerySet
from django.db.models.functions import TruncHour

from stockandflow.declarations import Process
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Watermark, stored_events
from stockandflow.periods import Calendar, Grain, Period
from stockandflow.reports.events import models_of
from stockandflow.reports.planning import Span

HOUR = timedelta(hours=1)


class _TextHour(Func):
    """The hour of an instant on SQLite, where Django would call Python for each row; there instants are texts."""

    output_field = DateTimeField()
    template = "substr(%(expressions)s, 1, 13) || ':00:00'"


@dataclass(frozen=True)
class Computed:
    """What the watermarks say of a process.

    ``days`` is the span of the days that are in the records, None where none are; ``apart`` are those asked for among
    them with events that the records may not hold yet; ``begun`` is event model → the first day that its records tell
    of, where that is known: before it there were no moves. Events before the ``horizon`` were pruned.
    """

    process: Process
    days: Span | None
    apart: frozenset[Period]
    begun: Mapping[type[Any], datetime]
    horizon: datetime | None

    def was_pruned(self, at: datetime) -> bool:
        """Whether events at that instant were pruned, so that records alone tell of it."""
        return self.horizon is not None and at < self.horizon

    def refuse_pruned(self, spans: Iterable[Span]) -> None:
        """Raise InvalidInput for spans of pruned events; before the first day of any model there were none."""
        all_known = self.days is not None and set(models_of(self.process)) == self.begun.keys()
        first = min(self.begun.values()) if all_known and self.begun else None
        pruned = [low for low, high in spans if self.was_pruned(low) and (first is None or high > first)]
        if pruned and self.horizon:
            raise InvalidInput(
                f"Events from {min(pruned).isoformat()} on are needed, and those before {self.horizon.isoformat()} "
                f"were pruned; ask for whole days in the calendar {self.process.calendar.key!r} that records still "
                "tell, or for whole months or years."
            )


def computed_for(process: Process, spans: Collection[Span], now: datetime) -> Computed:
    """What is computed as of now, and lacks events within these spans. One query, and one for each event model."""
    calendar, models = process.calendar, models_of(process)
    found = list(Watermark.objects.filter(event_model__in=[model._meta.label_lower for model in models]))
    horizon = max((mark.horizon for mark in found if mark.horizon is not None), default=None)
    by_label = {mark.event_model: mark for mark in found if mark.calendar == calendar.key}
    marks = {
        model: mark
        for model in models
        if (mark := by_label.get(model._meta.label_lower))
        and mark.since is not None
        and mark.until is not None
    }
    if not marks or len(marks) < len(models):
        return Computed(process, None, frozenset(), {}, horizon)
    # Days that are computed from the horizon on say nothing of those before it.
    begun = {
        model: mark.since
        for model, mark in marks.items()
        if mark.since and (mark.horizon is None or mark.since < mark.horizon)
    }
    since = min(mark.since for mark in marks.values() if mark.since)
    since = max([since, *(mark.since for model, mark in marks.items() if mark.since and model not in begun)])
    today = calendar.period(Grain.DAY, now).start
    until = min(today, *(mark.until for mark in marks.values() if mark.until))
    if since >= until:
        return Computed(process, None, frozenset(), begun, horizon)
    beginning = calendar.period(Grain.YEAR, since).start
    low = max(beginning, min((low for low, _ in spans), default=beginning))
    high = min(until, max((high for _, high in spans), default=until))
    apart: set[Period] = set()
    for model, mark in marks.items():
        apart.update(_days_of(stored_events(model).filter(pk__gt=mark.event_id), calendar, low, high))
        if mark.anew_since is not None:
            apart.update(calendar.periods(Grain.DAY, max(low, mark.anew_since), high))
    return Computed(process, (since, until), frozenset(apart), begun, horizon)


def _days_of(events: QuerySet[Any], calendar: Calendar, low: datetime, high: datetime) -> Iterator[Period]:
    """The days of these events, as far as they are in that stretch. One query."""
    native = connections[events.db].vendor == "sqlite"
    hour = _TextHour(F("timestamp")) if native else TruncHour("timestamp", tzinfo=UTC)
    # By the hour and not by the instant, so that the index on the time doesn't take the place of the few new keys.
    rows = events.annotate(sf_hour=hour).filter(sf_hour__gt=low - HOUR, sf_hour__lt=high)
    reach = low
    for begun in sorted(rows.values_list("sf_hour", flat=True).distinct()):
        for day in calendar.periods(Grain.DAY, max(begun, reach), min(begun + HOUR, high)):
            yield day
            reach = day.end
