"""The events of a process, page by page: in the order in which they happened, from all event models that it has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import Any

from django.core import signing
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from stockandflow.api.refusals import invalid
from stockandflow.rendering.document import iso

SALT = "stockandflow.api.events"


@dataclass(frozen=True, order=True)
class Place:
    """Where a page ended: the last event's instant, its model's label, and its id."""

    at: datetime
    model: str
    id: int

    @property
    def cursor(self) -> str:
        """As a program keeps it; what it holds may change."""
        return signing.dumps([self.at.isoformat(), self.model, self.id], salt=SALT)


def read_cursor(text: str) -> Place | None:
    """The place that a cursor names, None for "". Raises Refused for one that we didn't give."""
    if not text:
        return None
    try:
        at, model, key = signing.loads(text, salt=SALT)
        return Place(datetime.fromisoformat(at), model, key)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise invalid(
            {
                "cursor": _(
                    "cursor is %(given)r, which no answer gave; send meta.next as it came, or leave it out."
                )
                % {"given": text[:40]}
            }
        ) from error


def page(
    querysets: Sequence[QuerySet[Any]], after: Place | None, limit: int
) -> tuple[list[Any], Place | None]:
    """The events after a place, and the place where the next page begins, None on the last. One query a queryset."""
    streams: list[Iterable[Any]] = []
    for events in querysets:
        label = events.model._meta.label_lower
        if after is not None:
            events = events.filter(_after(after, label), timestamp__gte=after.at)  # noqa: PLW2901
        streams.append(list(events.order_by("timestamp", "id")[: limit + 1]))
    found = list(islice(merge(*streams, key=place_of), limit + 1))
    shown = found[:limit]
    return shown, place_of(shown[-1]) if len(found) > limit else None


def place_of(event: Any) -> Place:
    return Place(event.timestamp, event._meta.label_lower, event.pk)


def _after(place: Place, label: str) -> Q:
    later = Q(timestamp__gt=place.at)
    if label < place.model:
        return later
    return later | Q(timestamp=place.at, **({"id__gt": place.id} if label == place.model else {}))


def row(event: Any) -> dict[str, Any]:
    """The event with what it keeps, flat but for its facet values."""
    subject = event._meta.get_field("subject").related_model
    return {
        "model": event._meta.label_lower,
        "id": event.pk,
        "timestamp": iso(event.timestamp),
        "recorded_at": iso(event.recorded_at),
        "flow": event.flow or None,
        "source": event.source or None,
        "sink": event.sink or None,
        "subject_model": subject._meta.label_lower,
        "subject": str(event.subject_id),
        "origin": event.origin,
        "facets": event.facets,
    }
