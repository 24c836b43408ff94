"""Flow events: one timestamped move of one subject."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models, router, transaction
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor

from stockandflow.exceptions import InvalidInput
from stockandflow.models.clock import database_now
from stockandflow.models.delivery import Delivery
from stockandflow.models.importing import Imported, import_moves
from stockandflow.models.origin import Origin
from stockandflow.models.standing import Exactness, exactness, standing
from stockandflow.periods import aware
from stockandflow.ranges import YEARS

if TYPE_CHECKING:
    from stockandflow.declarations import AppliedFacet, Flow, ModelTracker


class SubjectDescriptor(ForwardManyToOneDescriptor):  # type: ignore[type-arg]  # Django's own takes none
    """Gives the subject, or None once it was deleted: its history stays."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        try:
            return super().__get__(instance, cls)
        except self.field.remote_field.model.DoesNotExist:
            return None


IMPLIED = {
    "on_delete": models.DO_NOTHING,
    "db_constraint": False,
    "db_index": False,
    "null": True,
    "blank": False,
}


class SubjectForeignKey(models.ForeignKey[Any, Any]):
    """The foreign key from an event to the object that moved; the event outlives the object.

    So there is no database constraint, deleting the subject leaves the event alone, and the subject of such an event
    is None. The column is never empty; it is declared nullable only so that joins to the subject are outer joins and
    ``select_related("subject")`` loses no event.
    """

    forward_related_accessor_class = SubjectDescriptor

    def __init__(self, to: Any, **kwargs: Any) -> None:
        kwargs.setdefault("related_name", "+")
        kwargs |= IMPLIED
        super().__init__(to, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        for implied in IMPLIED:
            kwargs.pop(implied, None)
        return name, path, args, kwargs

    def contribute_to_class(self, cls: Any, name: str, private_only: bool = False, **kwargs: Any) -> None:
        """Give the events an index that finds the last one of a subject; it serves as the foreign key's own too."""
        super().contribute_to_class(cls, name, private_only, **kwargs)
        historical = cls.__module__ == "__fake__"  # migrations say themselves what indexes there were
        if cls._meta.abstract or historical or not issubclass(cls, FlowEvent):
            return
        fields = [name, "timestamp", "id"]
        if not any(index.fields == fields for index in cls._meta.indexes):
            # Unnamed, it is named by Django after the table, once all columns are known.
            cls._meta.indexes = [*cls._meta.indexes, models.Index(fields=fields)]
            cls._meta.original_attrs["indexes"] = cls._meta.indexes


class FlowEvent(models.Model):
    """One move of one subject from a source to a sink, at an instant. Abstract.

    Each kind of subject has a subclass of its own, with ``subject = SubjectForeignKey(TheModel)``; it may add fields
    that are nullable or have a ``db_default``, since the database writes the rows. ``source`` and ``sink`` are slugs
    of stocks, or "" for external; ``flow`` is "" for a move that no flow covers. ``facets`` holds the subject's facet
    values as they were, as text. Events with one timestamp happened in the order of their ids.
    """

    id: models.BigAutoField[int, int] = models.BigAutoField(primary_key=True)
    tracker = models.CharField(max_length=100, blank=True, default="", editable=False)
    flow = models.CharField(max_length=100, blank=True, default="")
    source = models.CharField(max_length=100, blank=True, default="")
    sink = models.CharField(max_length=100, blank=True, default="")
    timestamp = models.DateTimeField(db_index=True, help_text="When it happened.")
    recorded_at = models.DateTimeField(editable=False, help_text="When it was written down.")
    facets = models.JSONField(default=dict, blank=True)
    origin = models.CharField(max_length=10, choices=Origin.choices, default=Origin.LIVE)

    class Meta:
        abstract = True
        ordering = ("-timestamp", "-id")
        get_latest_by = ("timestamp", "id")

    def __str__(self) -> str:
        subject: Any = getattr(self, "subject_id", None)
        return (
            f"{self.flow or 'other'}: {subject} from {self.source or 'outside'} to {self.sink or 'outside'}"
        )

    @classmethod
    def record_move(
        cls,
        flow: Flow | None,
        subject: models.Model,
        source: str,
        sink: str,
        timestamp: datetime | None = None,
        *,
        tracker: str = "",
        facets: dict[str, str | None] | None = None,
        using: str | None = None,
    ) -> FlowEvent:
        """Write one event, and the delivery that its flow's event callables need, in one transaction.

        ``source`` and ``sink`` are keys. ``facets`` are the subject's facet values as text; where they aren't given,
        those of the flow are read from the database. At most four queries: the facets, the database's clock, the
        event, the delivery. Raises InvalidInput for a subject that isn't saved or isn't of this model's kind, and for a
        timestamp outside of the years that calendars reach.
        """
        field: Any = cls._meta.get_field("subject")
        expected: Any = field.remote_field.model
        if (
            not isinstance(subject, expected._meta.concrete_model)
            or subject.pk is None
            or subject._state.adding  # a key given beforehand, such as a UUID, is no row yet
        ):
            raise InvalidInput(
                f"{subject!r} can't flow here: {cls.__name__} holds moves of saved {expected._meta.label} objects."
            )
        at = None if timestamp is None else aware(timestamp, "timestamp")
        if at is not None and at.year not in YEARS:
            raise InvalidInput(f"timestamp is {timestamp!r}; its year must be {YEARS[0]} to {YEARS[-1]}.")
        using = using or router.db_for_write(cls, instance=subject)
        if facets is None:
            applied = flow.applied_facets if flow else ()
            facets = facet_values(subject, {facet.slug: facet for facet in applied}, using)
        with transaction.atomic(using=using):
            now = database_now(using)
            make: Any = cls  # each subclass has the subject
            event: FlowEvent = make(
                tracker=tracker,
                flow=flow.slug if flow else "",
                source=source,
                sink=sink,
                subject_id=getattr(subject, field.target_field.attname),
                timestamp=at or now,
                recorded_at=now,
                facets=facets,
            )
            event.save(using=using, force_insert=True)
            if flow is not None and flow.event_callables:
                Delivery.objects.using(using).create(
                    event_model=cls._meta.label_lower, event_id=event.pk, flow=flow.slug, due_at=now
                )
        return event

    @classmethod
    def import_moves(
        cls,
        tracker: ModelTracker,
        rows: Iterable[Any],
        *,
        timezone: str | None = None,
        allow_missing_subjects: bool = False,
        dry_run: bool = False,
    ) -> Imported:
        """Bring in a tracker's history: see ``ModelTracker.import_events``."""
        return import_moves(
            tracker, rows, zone=timezone, allow_missing=allow_missing_subjects, dry_run=dry_run
        )

    @classmethod
    def exactness(cls, tracker: ModelTracker) -> Exactness:
        """Since when a tracker's events tell where each of its subjects stood, and why not before."""
        return exactness(tracker)

    @classmethod
    def standing(cls, tracker: ModelTracker, slug: str, at: datetime) -> models.QuerySet[Any]:
        """The events by which subjects came to the stock where they stood at ``at``: see ``Stock.members``."""
        return standing(tracker, slug, at)


def stored_events(model: type[Any]) -> models.QuerySet[Any]:
    """All events of the model where they are read, opening balances too, in no order. No query yet."""
    events: models.QuerySet[Any] = model._default_manager.using(router.db_for_read(model))
    return events.order_by()


def facet_values(
    subject: models.Model, facets: Mapping[str, AppliedFacet], using: str
) -> dict[str, str | None]:
    """Facet slug → the subject's value as text, None for NULL. One query where there are facets, else none."""
    for _, values in subjects_facets(type(subject), [subject.pk], facets, using).values():
        return values
    return {}


def subjects_facets(
    model: type[models.Model],
    keys: Collection[Any],
    facets: Mapping[str, AppliedFacet],
    using: str,
    *,
    subject_field: str = "pk",
) -> dict[Any, tuple[Any, dict[str, str | None]]]:
    """Primary key → (value of ``subject_field``, facet slug → value as text, None for NULL), for rows that are there.

    One query where there are facets or the field isn't the primary key, else none, and then all are given.
    """
    columns = {slug: facet.column(model) for slug, facet in facets.items()}
    columns = {slug: column for slug, column in columns.items() if column.capturable}
    key: Any = model._meta.pk
    own_field = subject_field not in ("pk", key.name)
    if not columns and not own_field:
        return {pk: (pk, {}) for pk in keys}
    rows: Any = models.QuerySet(model, using=using).filter(pk__in=keys).order_by()
    found = rows.values_list(
        "pk",
        subject_field if own_field else "pk",
        *(column.value_lookup for column in columns.values()),
    )
    return {
        pk: (
            subject,
            {
                slug: None if value is None else column.key(value)
                for (slug, column), value in zip(columns.items(), values, strict=True)
            },
        )
        for pk, subject, *values in found
    }
