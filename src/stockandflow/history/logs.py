"""History from the log of django-fsm-log: which state an object was put in by each transition."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db.models import Case, CharField, Exists, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.expressions import Col
from django.db.models.functions import Coalesce

from stockandflow.declarations import ModelTracker
from stockandflow.exceptions import InvalidInput
from stockandflow.history.versions import CHUNK, captured_since, check_derived, moves_between
from stockandflow.membership import MemberOf, reason_not_local
from stockandflow.membership.predicate import nodes
from stockandflow.models.staging import PastMove

LOG = "django_fsm_log", "StateLog"


def from_fsm_log(
    tracker: ModelTracker, *, created: str | None = None, until: datetime | None = None
) -> Iterator[PastMove]:
    """The moves that django-fsm-log's transitions of the tracker's objects tell. Three queries at most.

    The log holds no creations: ``created`` names the column of the model that says when an object came, and then it
    came to the stock where its first transition found it. Without it, an object comes by its first transition. What was
    changed without a transition shows with the next one. ``until``, itself not included, is by default the tracker's
    first captured event, or now. Raises InvalidInput for stocks that look at more than the one state that is logged.
    """
    check_derived(tracker)
    _check_state(tracker)
    using = tracker.database
    log: Any = apps.get_model(*LOG)
    types: Any = apps.get_model("contenttypes", "ContentType")
    kind = types._default_manager.db_manager(using).get_for_model(tracker.model)
    rows: QuerySet[Any] = log._base_manager.using(using).order_by().filter(content_type=kind)
    until = captured_since(tracker) if until is None else until
    initially: Any = Value("")
    if created is not None:
        objects: QuerySet[Any] = tracker.model._base_manager.using(using).order_by()
        yield from _creations(tracker, objects, rows, created, until)
        there = Exists(objects.filter(pk=OuterRef("object_id")))
        initially = Case(When(there, then=_state(tracker, log, "source_state")), default=Value(""))
    if until is not None:
        rows = rows.filter(timestamp__lt=until)
    rows = rows.annotate(sf_state=_state(tracker, log, "state"))
    yield from moves_between(rows, "object_id", "timestamp", ["timestamp", "pk"], {}, initially)


def _creations(
    tracker: ModelTracker, objects: QuerySet[Any], log: QuerySet[Any], created: str, until: datetime | None
) -> Iterator[PastMove]:
    """How each object came: to where its first transition found it, else to where it is now."""
    first = log.filter(object_id=OuterRef("pk")).order_by("timestamp", "pk")
    found = first.annotate(sf_first=_state(tracker, log.model, "source_state")).values("sf_first")[:1]
    now = Case(
        *(When(MemberOf(stock.queryset), then=Value(stock.slug)) for stock in tracker.stocks),
        default=Value(""),
    )
    came = objects.annotate(sf_sink=Coalesce(Subquery(found), now, output_field=CharField())).exclude(
        sf_sink=""
    )
    if until is not None:
        came = came.filter(**{f"{created}__lt": until})
    for key, at, sink in came.values_list("pk", created, "sf_sink").iterator(chunk_size=CHUNK):
        yield PastMove(key, at, "", sink)


def _state(tracker: ModelTracker, log: Any, field: str) -> Case:
    """The stock that the state in a column of the log leads to, "" for none."""
    column = log._meta.get_field(field)
    cases = [When(_Logged(stock.queryset, column), then=Value(stock.slug)) for stock in tracker.stocks]
    return Case(*cases, default=Value(""), output_field=CharField())


class _Logged(MemberOf):
    """Membership by the state that a column of the log has, in place of the subject's own."""

    def __init__(self, queryset: QuerySet[Any], column: Any) -> None:
        super().__init__(queryset)
        self.column = column

    def resolve_expression(self, query: Any = None, *args: Any, **kwargs: Any) -> Any:
        clone = super().resolve_expression(query, *args, **kwargs)  # with columns of its own
        for node in nodes(clone.condition):
            if isinstance(node, Col):
                node.target = self.column
        return clone


def _check_state(tracker: ModelTracker) -> None:
    """Raise InvalidInput unless all stocks ask one column of texts alone: that is the state which is logged."""
    read: set[Any] = set()
    for stock in tracker.stocks:
        reason = reason_not_local(stock.queryset)
        if reason is not None:
            raise InvalidInput(f"The stock {stock.slug!r} can't be told from a logged state: {reason}.")
        read |= {node.target for node in nodes(stock.queryset.query.where) if isinstance(node, Col)}
    if len(read) != 1 or not isinstance(next(iter(read)), CharField):
        names = ", ".join(sorted(field.name for field in read)) or "nothing"
        raise InvalidInput(
            f"The stocks of the tracker {tracker.slug!r} look at {names}; a log of states tells them only where they "
            "all look at the one FSMField. Import the moves as rows of your own."
        )
