"""History from columns of the subjects themselves, each of which says when something happened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import QuerySet

from stockandflow.declarations import ModelTracker, State, state_key
from stockandflow.exceptions import InvalidInput
from stockandflow.history.versions import CHUNK, captured_since
from stockandflow.models.clock import database_now
from stockandflow.models.staging import PastMove, known_states, unknown_state


def from_columns(
    tracker: ModelTracker, columns: Mapping[str, State], *, until: datetime | None = None
) -> Iterator[PastMove]:
    """The moves that timestamp columns tell: name of the column → the stock that an object came to then.

    ::

        from_columns(tracker, {"created_at": trial, "activated_at": active, "cancelled_at": churned})

    An object's columns count in the order of their times, and at one time in the order given; those that are NULL don't
    count. None is external. ``until``, itself not included, is by default the tracker's first captured event, or
    now. Dates want ``timezone=…`` in ``import_events``; don't mix them with datetimes. Two queries, read in chunks.
    Raises InvalidInput for a column that isn't there, or is of another kind, and for a stock that isn't known.
    """
    kinds = {_kind(tracker.model, name) for name in columns}
    if len(kinds) != 1:
        given = ", ".join(columns) or "none"
        raise InvalidInput(
            f"The columns are {given}; name at least one, and all DateTimeFields or all DateFields."
        )
    until = captured_since(tracker) if until is None else until
    until = database_now(tracker.database) if until is None else until
    end: Any = until if kinds == {models.DateTimeField} else until.date()
    events: Any = tracker.events._meta
    key = events.get_field("subject")
    sinks = [state_key(state) for state in columns.values()]
    for name, sink in zip(columns, sinks, strict=True):
        if sink not in known_states(tracker):
            raise InvalidInput(f"The column {name!r} leads to {unknown_state(tracker, sink)}.")
    objects: QuerySet[Any] = tracker.model._base_manager.using(tracker.database).order_by()
    rows = objects.values_list(key.target_field.attname, *columns)
    for subject, *times in rows.iterator(chunk_size=CHUNK):
        source = ""
        moves = [(at, place) for place, at in enumerate(times) if at is not None and at < end]
        for at, place in sorted(moves):
            if sinks[place] != source:
                yield PastMove(subject, at, source, sinks[place])
                source = sinks[place]


def _kind(model: type[models.Model], name: str) -> type[models.Field[Any, Any]]:
    try:
        field: Any = model._meta.get_field(name)
    except FieldDoesNotExist as error:
        names = ", ".join(field.name for field in model._meta.fields if isinstance(field, models.DateField))
        raise InvalidInput(
            f"{model._meta.label} has no column {name!r}; those that hold times are {names or 'none'}."
        ) from error
    if not isinstance(field, models.DateField):
        raise InvalidInput(
            f"{model._meta.label}.{name} is a {type(field).__name__}; name a DateTimeField or DateField."
        )
    return models.DateTimeField if isinstance(field, models.DateTimeField) else models.DateField
