"""Who stood where at an instant of the past, told by events; and since when they tell all of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import router
from django.db.models import Exists, F, Max, Min, OuterRef, Q, QuerySet, Window
from django.db.models.functions import FirstValue, RowNumber

from stockandflow.exceptions import InvalidInput
from stockandflow.models.clock import database_now
from stockandflow.models.flow_records import Watermark
from stockandflow.models.origin import Origin
from stockandflow.models.sweeps import Sweep
from stockandflow.periods import aware

if TYPE_CHECKING:
    from stockandflow.declarations import ModelTracker


@dataclass(frozen=True)
class Exactness:
    """From ``since`` on a tracker's events tell where each of its subjects stood; ``reason`` is why not before.

    ``since`` is None where they tell nothing yet.
    """

    since: datetime | None
    reason: str


def exactness(tracker: ModelTracker) -> Exactness:
    """Since when the tracker's history is exact. Four queries, and one more for a tracker that isn't opened yet."""
    found, horizon = _told(tracker), Watermark.horizon_of(tracker.events)
    if horizon is None or found.since is None or found.since > horizon:
        return found
    return Exactness(horizon, "the events before it were pruned")


def _told(tracker: ModelTracker) -> Exactness:
    """Since when the events that are there tell it."""
    events = _events(tracker)
    opened = _opened_at(tracker)
    found = events.aggregate(
        opening=Max("timestamp", filter=Q(origin=Origin.INITIAL)), first=Min("timestamp")
    )
    if opened is None and _unknown(tracker):
        return Exactness(
            None,
            "it isn't opened yet, and some of its subjects have no event; run 'manage.py stockandflow sweep'",
        )
    seen = [at for at in (found["opening"], _first_seen(events, opened)) if at is not None]
    if seen:
        return Exactness(
            max(seen),
            "some subjects were first seen then, and where they were before is unknown; import their history",
        )
    if found["first"] is not None and (opened is None or found["first"] <= opened):
        return Exactness(found["first"], "that is its first event")
    return Exactness(opened, "it was opened then" if opened else "it has no events yet")


def _opened_at(tracker: ModelTracker) -> datetime | None:
    using = tracker.database
    here = router.allow_migrate_model(using, Sweep)
    sweeps = Sweep.objects.using(using if here else router.db_for_write(Sweep))
    return sweeps.filter(tracker=tracker.slug, database=using).values_list("opened_at", flat=True).first()


def _unknown(tracker: ModelTracker) -> bool:
    """Whether a subject has no event."""
    events: Any = tracker.events._meta
    key = events.get_field("subject").target_field.attname
    subjects: QuerySet[Any] = tracker.model._base_manager.using(tracker.database)
    return subjects.exclude(Exists(_events(tracker).filter(subject=OuterRef(key)))).exists()


def _first_seen(events: QuerySet[Any], opened: datetime | None) -> datetime | None:
    """The last instant until the opening at which a subject was seen to leave a stock and nothing was known of it."""
    seen = events.exclude(origin__in=[Origin.IMPORT, Origin.INITIAL]).exclude(source="")
    if opened is not None:
        seen = seen.filter(timestamp__lte=opened)
    before = events.filter(subject=OuterRef("subject"), timestamp__lte=OuterRef("timestamp")).filter(
        Q(timestamp__lt=OuterRef("timestamp")) | Q(pk__lt=OuterRef("pk"))
    )
    found: datetime | None = seen.exclude(Exists(before)).aggregate(last=Max("timestamp"))["last"]
    return found


def standing(tracker: ModelTracker, slug: str, at: datetime) -> QuerySet[Any]:
    """The events by which subjects came to where they stood at ``at``, the stock ``slug``; one for each subject.

    The last one of a subject by (timestamp, id) at or before ``at`` counts. Raises InvalidInput for a naive or future
    instant, and for one before the history is exact. Five queries, and one more when the events are asked for.
    """
    at = aware(at, "at")
    now, exact = database_now(tracker.database), exactness(tracker)
    if at > now:
        raise InvalidInput(f"at is {at.isoformat()}, which hasn't come yet; ask for an instant that has.")
    if exact.since is None or at < exact.since:
        since = "not known" if exact.since is None else f"exact since {exact.since.isoformat()}"
        raise InvalidInput(
            f"at is {at.isoformat()}, and the history of the tracker {tracker.slug!r} is {since}: {exact.reason}."
        )
    past = _events(tracker).filter(timestamp__lte=at)
    if not tracker.derived:
        # A function may serve several dimensions at once, so only events that touch the stock tell of it.
        past = past.filter(Q(source=slug) | Q(sink=slug))
    # By windows, whose cost is one sort: an anti-join is quicker only where the database's statistics are up to date.
    window: dict[str, Any] = {
        "partition_by": [F("subject")],
        "order_by": [F("timestamp").desc(), F("id").desc()],
    }
    last = Window(RowNumber(), **window)
    placed = past.annotate(sf_nth=last, sf_sink=Window(FirstValue("sink"), **window))
    found: QuerySet[Any] = placed.filter(sf_nth=1, sf_sink=slug)
    return found


def _events(tracker: ModelTracker) -> QuerySet[Any]:
    # Not by a manager, which may leave rows out.
    return tracker.events._base_manager.using(tracker.database).filter(tracker=tracker.slug).order_by()
