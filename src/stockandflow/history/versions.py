"""History from the versions of objects that other packages keep in tables: each version is asked for its stock.

A stock's own filter is read over the rows of such a table, which have the subject's columns, so the database finds the
moves and only they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import FieldError
from django.db import models
from django.db.models import Case, CharField, F, Min, Q, QuerySet, Value, When, Window
from django.db.models.expressions import Col
from django.db.models.functions import Coalesce, Lag

from stockandflow.declarations import ModelTracker
from stockandflow.exceptions import InvalidInput
from stockandflow.membership import MemberOf, reason_not_local
from stockandflow.membership.facets import FacetColumn
from stockandflow.membership.predicate import nodes
from stockandflow.models import Origin
from stockandflow.models.staging import PastMove

CHUNK = 5000


def from_simple_history(
    tracker: ModelTracker, *, history: type[models.Model] | None = None, until: datetime | None = None
) -> Iterator[PastMove]:
    """The moves that django-simple-history's versions of the tracker's objects tell. One or two queries.

    ``history`` is the historical model, by default that of the tracker's model. ``until``, itself not included, is
    by default the tracker's first captured event, or now. Facets on the object's own columns are kept as they were.
    Raises InvalidInput for stocks that can't be told from one version.
    """
    if history is None:
        name = getattr(tracker.model._meta, "simple_history_manager_attribute", None)
        if name is None:
            raise InvalidInput(
                f"{tracker.model._meta.label} has no HistoricalRecords; pass its historical model as history=…."
            )
        history = getattr(tracker.model, name).model
    yield from version_moves(
        tracker,
        history,
        subject=_key(tracker),
        at="history_date",
        order=["history_date", "history_id"],
        gone=Q(history_type="-"),
        until=until,
    )


def from_pghistory(
    tracker: ModelTracker,
    *,
    events: type[models.Model] | None = None,
    deletions: Sequence[str] = ("delete",),
    until: datetime | None = None,
) -> Iterator[PastMove]:
    """The moves that django-pghistory's events of the tracker's objects tell. One or two queries.

    ``events`` is the event model, by default the one of the tracker's model. Its rows must be versions as they were
    after the change, as InsertEvent and UpdateEvent keep them; those with a label among ``deletions`` say that the
    object is gone. ``until``, itself not included, is by default the tracker's first captured event, or now. Facets
    on the object's own columns are kept as they were. Raises InvalidInput for stocks that can't be told from one
    version.
    """
    if events is None:
        known = list(dict.fromkeys(getattr(tracker.model, "pgh_event_models", {}).values()))
        if len(known) != 1:
            raise InvalidInput(
                f"{tracker.model._meta.label} has {len(known) or 'no'} event models of django-pghistory; pass the one "
                "that keeps its versions as events=…."
            )
        events = known[0]
    names = {field.name for field in events._meta.get_fields()}
    yield from version_moves(
        tracker,
        events,
        subject="pgh_obj_id" if "pgh_obj" in names else _key(tracker),
        at="pgh_created_at",
        order=["pgh_created_at", "pgh_id"],
        gone=Q(pgh_label__in=list(deletions)),
        until=until,
    )


def _key(tracker: ModelTracker) -> str:
    events: Any = tracker.events._meta
    return str(events.get_field("subject").target_field.attname)


def version_moves(
    tracker: ModelTracker,
    versions: type[models.Model],
    *,
    subject: str,
    at: str,
    order: Sequence[str],
    gone: Q,
    until: datetime | None,
) -> Iterator[PastMove]:
    """The moves between the versions of each subject, in its order; ``gone`` tells the version of a deletion."""
    _check_local(tracker, versions)
    rows: QuerySet[Any] = versions._base_manager.using(tracker.database).order_by()
    until = captured_since(tracker) if until is None else until
    if until is not None:
        rows = rows.filter(**{f"{at}__lt": until})
    cases = [When(gone, then=Value(""))]
    cases += [When(MemberOf(stock.queryset), then=Value(stock.slug)) for stock in tracker.stocks]
    rows = rows.annotate(sf_state=Case(*cases, default=Value(""), output_field=CharField()))
    facets = _facets(tracker, versions)
    yield from moves_between(rows, subject, at, order, facets)


def moves_between(
    rows: QuerySet[Any],
    subject: str,
    at: str,
    order: Sequence[str],
    facets: dict[str, str],
    initially: Any = Value(""),  # noqa: B008  (never changed)
) -> Iterator[PastMove]:
    """The moves between rows that say, as ``sf_state``, in which stock a subject was from ``at`` on.

    ``facets`` is facet slug → what is read as its value, ``initially`` where a subject was before its first row. One
    query, read in chunks.
    """
    before = Window(Lag("sf_state"), partition_by=[F(subject)], order_by=[F(name).asc() for name in order])
    moves = rows.annotate(sf_before=Coalesce(before, initially, output_field=CharField()))
    moves = moves.exclude(sf_state=F("sf_before")).order_by(*order)
    names = list(facets)
    found = moves.values_list(subject, at, "sf_before", "sf_state", *facets.values())
    for key, moment, source, sink, *values in found.iterator(chunk_size=CHUNK):
        yield PastMove(key, moment, source, sink, dict(zip(names, values, strict=True)))


def captured_since(tracker: ModelTracker) -> datetime | None:
    """The instant of the tracker's first event that wasn't imported, None for none: there history ends. One query."""
    events: QuerySet[Any] = tracker.events._base_manager.using(tracker.database).filter(tracker=tracker.slug)
    found: datetime | None = events.exclude(origin=Origin.IMPORT).aggregate(first=Min("timestamp"))["first"]
    return found


def check_derived(tracker: ModelTracker) -> None:
    """Raise InvalidInput for a tracker whose states come from a Python function."""
    if not tracker.derived:
        raise InvalidInput(
            f"The states of the tracker {tracker.slug!r} come from a Python function, which can't be asked of rows of "
            "the past; import its moves as rows of your own."
        )


def _check_local(tracker: ModelTracker, versions: type[models.Model]) -> None:
    """Raise InvalidInput where a version alone can't tell in which stock it is."""
    check_derived(tracker)
    columns = {str(field.column) for field in versions._meta.concrete_fields}
    for stock in tracker.stocks:
        reason = reason_not_local(stock.queryset)
        read = {
            str(node.target.column) for node in nodes(stock.queryset.query.where) if isinstance(node, Col)
        }
        if reason is None and read - columns:
            reason = (
                f"it reads {', '.join(sorted(read - columns))}, which {versions._meta.label} doesn't keep"
            )
        if reason is not None:
            raise InvalidInput(
                f"The stock {stock.slug!r} can't be told from one version of an object: {reason}. Import its moves as "
                "rows of your own, or by from_columns()."
            )


def _facets(tracker: ModelTracker, versions: type[models.Model]) -> dict[str, str]:
    """Facet slug → lookup, for the facets that a version itself tells; today's related rows don't tell the past."""
    found = {}
    for slug, facet in tracker.applied_facets.items():
        try:
            column = FacetColumn.resolve(versions, facet.lookup)
        except FieldError:
            continue
        if column.capturable and not column.joins and not column.reads_json:
            found[slug] = column.value_lookup
    return found
