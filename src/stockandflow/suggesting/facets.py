"""The facet that a field can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DatabaseError, models, router

from stockandflow.suggesting.dimensions import Dimension, Value, choices_of
from stockandflow.suggesting.names import sentence, slug_of

MOST_VALUES = 24
"""A facet lists so many choices; with more it takes whatever the column holds."""
SMALL = 20
"""A table with so many rows is small enough for a facet."""
LABELS = ("name", "title", "label", "slug", "code")


@dataclass(frozen=True)
class SuggestedFacet:
    """``values`` are (label, value) in declared order, None for whatever the column holds."""

    slug: str
    name: str
    lookup: str
    values: tuple[tuple[str, Value], ...] | None = None


def facet_of(
    column: Any, dimension: Dimension | None, left_out: list[str], query: bool
) -> Iterator[SuggestedFacet]:
    """The field's facet, if it can be one; ``left_out`` gets the reason in words where it nearly can.

    One query for a foreign key, or none without ``query``.
    """
    if column.primary_key or getattr(column, "generated", False):
        return
    if column.remote_field:
        yield from _of_related(column, left_out, query)
    elif choices := choices_of(column):
        values = tuple((label, value) for value, label in choices if value is not None)
        labels = {label for label, _ in values}
        listed = values if len(values) <= MOST_VALUES else None
        if listed and len(labels) < len(listed):
            listed = tuple((str(value), value) for _, value in listed)
        if len(values) > 1:
            yield SuggestedFacet(slug_of(column.name) or "facet", _name(column), column.name, listed)
    elif dimension is not None and dimension.kind == "boolean":
        yield SuggestedFacet(dimension.part, sentence(dimension.name), column.name)


def _name(column: Any) -> str:
    return sentence(str(column.verbose_name))


def _of_related(column: Any, left_out: list[str], query: bool) -> Iterator[SuggestedFacet]:
    """A facet by the label of what a foreign key points at, where that is a small table. One query at most."""
    if not isinstance(column, models.ForeignKey) or column.unique:
        return
    related: Any = column.remote_field.model
    if related._meta.label == settings.AUTH_USER_MODEL or issubclass(related, AbstractBaseUser):
        left_out.append(f"{column.name}: a facet would keep a user's name in every event")
        return
    label = _label_of(related)
    if label is None:
        left_out.append(
            f"{column.name}: {related._meta.label} has no field {' or '.join(LABELS)} for a facet"
        )
        return
    lookup = f"{column.name}__{label}"
    if not query:
        left_out.append(f"{lookup}: a facet, if {related._meta.label} has few rows; nobody looked")
        return
    using = router.db_for_read(related)
    try:
        rows = len(related._base_manager.using(using).order_by().values_list("pk")[: SMALL + 1])
    except DatabaseError:
        left_out.append(f"{lookup}: {related._meta.label} can't be read; is the database {using!r} migrated?")
        return
    if rows > SMALL:
        left_out.append(f"{lookup}: {related._meta.label} has more than {SMALL} rows, too many for a facet")
        return
    yield SuggestedFacet(slug_of(column.name) or "facet", _name(column), lookup)


def _label_of(model: type[models.Model]) -> str | None:
    """The field by which people know the rows."""
    texts = {one.name for one in model._meta.concrete_fields if isinstance(one, models.CharField)}
    return next((name for name in LABELS if name in texts), None)
