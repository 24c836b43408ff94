"""Who stood where at an instant of the past, told by events; and since when they tell all of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import (
    Case,
    DateTimeField,
    Exists,
    F,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
    Window,
)
from django.db.models.functions import FirstValue, RowNumber

from stockandflow.exceptions import InvalidInput
from stockandflow.models.clock import database_now
from stockandflow.models.flow_records import Watermark
from stockandflow.models.origin import Origin
from stockandflow.models.sweeps import sweeps
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
    """Since when the tracker's history is exact. Three queries, and three more for a tracker that isn't opened yet."""
    found, horizon = _told(tracker), Watermark.horizon_of(tracker.events)
    if horizon is None or found.since is None or found.since > horizon:
        return found
    return Exactness(horizon, "the events before it were pruned")


def _told(tracker: ModelTracker) -> Exactness:
    """Since when the events that are there tell it."""
    opened, seen = sweeps(tracker.database).filter(tracker=tracker.slug).values_list(
        "opened_at", "told_since"
    ).first() or (None, None)
    if opened is None:
        if _unknown(tracker):
            return Exactness(
                None,
                "it isn't opened yet, and some of its subjects have no event; run 'manage.py stockandflow sweep'",
            )
        seen = last_first_seen(tracker, None)
    if seen:
        return Exactness(
            seen,
            "some subjects were first seen then, and where they were before is unknown; import their history",
        )
    first = _events(tracker).aggregate(first=Min("timestamp"))["first"]
    if first is not None and (opened is None or first <= opened):
        return Exactness(first, "that is its first event")
    return Exactness(opened, "it was opened then" if opened else "it has no events yet")


def told_since(trackers: Iterable[ModelTracker]) -> dict[str, datetime]:
    """Stock slug → since when events tell where its subjects stood, of stocks whose subjects have an unknown past.

    No event says what the stocks of these trackers held before: levels aren't carried back over it. One query for each
    database with trackers.
    """
    found: dict[str, datetime] = {}
    by_database: dict[str, dict[str, ModelTracker]] = defaultdict(dict)
    for tracker in trackers:
        by_database[tracker.database][tracker.slug] = tracker
    for using, there in by_database.items():
        known: Any = sweeps(using).filter(tracker__in=list(there), told_since__isnull=False)
        for slug, at in known.values_list("tracker", "told_since"):
            found |= dict.fromkeys((stock.slug for stock in there[slug].stocks), at)
    return found


def told_since_of(trackers: Iterable[ModelTracker], using: str) -> Case:
    """Of a row with a ``stock``, that of ``told_since``, in the same query of the database ``using``.

    No query, but one for each database whose sweeps are kept elsewhere.
    """
    cases = []
    for tracker in trackers:
        known: Any = sweeps(tracker.database)
        if known.db == using:
            since: Any = Subquery(known.filter(tracker=tracker.slug).values("told_since")[:1])
        else:
            since = Value(known.filter(tracker=tracker.slug).values_list("told_since", flat=True).first())
        cases.append(When(stock__in=[stock.slug for stock in tracker.stocks], then=since))
    return Case(*cases, default=None, output_field=DateTimeField())


def last_first_seen(tracker: ModelTracker, opened: datetime | None) -> datetime | None:
    """When subjects of the tracker were last first seen whose past is unknown. Reads all its events, by two queries."""
    events = _events(tracker)
    opening = events.filter(origin=Origin.INITIAL).aggregate(last=Max("timestamp"))["last"]
    return max((at for at in (opening, _first_seen(events, opened)) if at is not None), default=None)


def told_unopened(tracker: ModelTracker, began: datetime | None = None) -> datetime | None:
    """Since when the events of a tracker that isn't opened tell what moved: since ``began``, by default now.

    Earlier where each subject has an event: then as ``last_first_seen``. Two queries, or four.
    """
    began = began or database_now(tracker.database)
    if _unknown(tracker):
        return began
    seen = last_first_seen(tracker, None)
    return seen and min(began, seen)


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
    instant, and for one before the history is exact. Four queries, and one more when the events are asked for.
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
