"""What is recorded of subjects that are about to change: where their moves will lead on from.

A derived tracker's subject can have moved unseen: the time has come for it, or SQL has moved it. That move is written
first, as a sweep writes it, so that none is passed over and each event begins where the last one ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.db import connections
from django.db.models import OuterRef, QuerySet, Subquery

from stockandflow.capture import values
from stockandflow.capture.sweep import Comparison
from stockandflow.capture.values import Snapshot
from stockandflow.declarations import ModelTracker
from stockandflow.membership import literal
from stockandflow.models import sweeps


def recorded(tracker: ModelTracker, keys: Collection[Any], using: str) -> dict[Any, Snapshot]:
    """Primary key → what is recorded of each of the subjects that has a row; the rows are locked.

    By function, that is what the row holds: one query, two where locks are a query of their own. Derived, it is the
    stock that the last event led to; one query more, and those of a sweep where it isn't the row's.
    """
    held = values.read(tracker, keys, using, lock=True)
    if not tracker.derived:
        return held
    last = _last(tracker, held, using)
    moved = [subject for key, (subject, state) in last.items() if held[key] != (state,)]
    if moved or len(held) < len(keys):
        gone = _unseen_deletions(tracker, [key for key in keys if key not in held], using)
        _write_missing(tracker, moved, gone, using)
        last = _last(tracker, held, using) if moved else last
    return {key: (state,) for key, (_, state) in last.items()}


def _last(tracker: ModelTracker, keys: Collection[Any], using: str) -> dict[Any, tuple[Any, str]]:
    """Primary key → (what events call the subject, the stock that its last event led to, "" for none)."""
    if not keys:
        return {}
    events: Any = tracker.events
    target = events._meta.get_field("subject").target_field.attname
    its: Any = QuerySet(events, using=using).filter(tracker=tracker.slug, subject_id=OuterRef(target))
    sink = Subquery(its.order_by("-timestamp", "-id").values("sink")[:1])
    found: Any = QuerySet(tracker.model, using=using).filter(pk__in=keys).order_by()
    slugs = {stock.slug for stock in tracker.stocks}
    return {
        key: (subject, state if state in slugs else "")
        for key, subject, state in found.values_list("pk", target, sink)
    }


def _unseen_deletions(tracker: ModelTracker, keys: Collection[Any], using: str) -> list[Any]:
    """The keys of subjects without a row whose events may not know it yet. One query where there are keys."""
    events: Any = tracker.events
    key: Any = tracker.model._meta.pk
    if not keys or events._meta.get_field("subject").target_field.name != key.name:
        return []
    known: Any = QuerySet(events, using=using).filter(tracker=tracker.slug, subject_id__in=keys)
    return list(known.exclude(sink="").order_by().values_list("subject_id", flat=True).distinct())


def _write_missing(tracker: ModelTracker, moved: Collection[Any], gone: Collection[Any], using: str) -> None:
    """Write the missing moves of these subjects, with the origin that a sweep would give them."""
    if not moved and not gone:
        return
    opened = sweeps(using).filter(tracker=tracker.slug, opened_at__isnull=False).exists()
    comparison = Comparison(tracker, using, opening=not opened)
    moves, statements = comparison.moves, []
    if moved:
        statements += moves.of_rows(_among(comparison, moves.row_key, moved))
    if gone:
        statements += moves.of_gone(_among(comparison, moves.event_key, gone))
    with connections[using].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _among(comparison: Comparison, key: str, subjects: Iterable[Any]) -> str:
    connection = comparison.connection
    prepared = [comparison.key.get_db_prep_value(subject, connection) for subject in subjects]
    return f"{key} IN ({', '.join(literal(connection, one) for one in prepared)})"
