"""What a model's own fields say about its states: dimensions, and what may split them."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DatabaseError, models, router

from stockandflow.suggesting.names import sentence, slug_of

Value = str | int | bool

MOST_STOCKS = 12
"""A field with more choices is a facet: nobody reads so many stocks."""
MOST_VALUES = 24
"""A facet lists so many choices; with more it takes whatever the column holds."""
MOST_FACETS = 5
SMALL = 20
"""A table with so many rows is small enough for a facet."""

STATES = ("status", "state", "stage", "phase", "step", "lifecycle", "condition", "progress")
LABELS = ("name", "title", "label", "slug", "code")
PLANNED = frozenset(
    {
        "last",
        "next",
        "due",
        "expire",
        "expires",
        "expiry",
        "expiration",
        "until",
        "birth",
        "valid",
        "scheduled",
    }
    | {"deadline", "updated", "modified", "changed", "after", "before", "eta", "created", "added", "joined"}
)
"""Words in the names of instants that are planned, or change again and again, or are there from the beginning."""
PARTICIPLES = frozenset(
    {
        "sent",
        "paid",
        "won",
        "lost",
        "read",
        "seen",
        "done",
        "sold",
        "held",
        "kept",
        "left",
        "met",
        "shown",
        "spent",
    }
    | {
        "taken",
        "told",
        "written",
        "gone",
        "run",
        "cut",
        "shut",
        "hidden",
        "frozen",
        "withdrawn",
        "stolen",
        "broken",
    }
    | {"active", "public", "live", "valid", "complete", "success", "successful", "primary"}
)
"""What an object can become, where the word doesn't end in -ed."""


@dataclass(frozen=True)
class Condition:
    """One stock: the last part of its slug, its name, and the keyword of its filter."""

    part: str
    name: str
    lookup: str
    value: Value


Kind = Literal["choices", "boolean", "instant"]


@dataclass(frozen=True)
class Dimension:
    """Conditions that exclude each other, and one of which each object meets; ``name`` is the field's, in words."""

    field_name: str
    kind: Kind
    part: str
    name: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class SuggestedFacet:
    """``values`` are (label, value) in declared order, None for whatever the column holds."""

    slug: str
    name: str
    lookup: str
    values: tuple[tuple[str, Value], ...] | None = None


@dataclass
class Look:
    """What was found in a model; ``left_out`` says of a field in words why nothing was made of it."""

    model: type[models.Model]
    dimensions: list[Dimension] = field(default_factory=list)
    facets: list[SuggestedFacet] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def look(model: type[models.Model], *, query: bool = True) -> Look:
    """What the model's own fields suggest. One bounded query for each foreign key, or none without ``query``."""
    found = Look(model)
    dimensions: list[Dimension] = []
    maybe: list[Dimension] = []
    facets: list[SuggestedFacet] = []
    for column in model._meta.local_concrete_fields:
        dimension = _dimension(column)
        if dimension is None:
            pass
        elif _is_state(column, dimension.kind):
            dimensions.append(dimension)
            continue
        else:
            maybe.append(dimension)
        facets += _facet(column, dimension, found.left_out, query)
    if not dimensions and (first := _preferred(maybe)):
        dimensions = [first]
        facets = [one for one in facets if one.lookup != first.field_name]
    _settle(found, dimensions)
    found.facets = facets[:MOST_FACETS]
    found.left_out += [
        f"{one.lookup}: a facet more than {MOST_FACETS}; add it to the facets if you want it"
        for one in facets[MOST_FACETS:]
    ]
    return found


def _settle(found: Look, dimensions: list[Dimension]) -> None:
    """Keep the dimensions in the order of how plain they are; an instant beside a state of its own is its history."""
    ranks = {"choices": 0, "boolean": 1, "instant": 2}
    dimensions.sort(key=lambda one: (ranks[one.kind], _rank(one.field_name)))
    parts: set[str] = set()
    has_choices = any(one.kind == "choices" for one in dimensions)
    for one in dimensions:
        if one.part in parts or (one.kind == "instant" and has_choices):
            found.left_out.append(
                f"{one.field_name}: no stocks of its own, since it tells when and another field tells what"
            )
            continue
        parts.add(one.part)
        found.dimensions.append(one)


def _preferred(maybe: Sequence[Dimension]) -> Dimension | None:
    """What is most likely a state where no name says so."""
    by_kind: dict[str, Dimension] = {}
    for one in maybe:
        by_kind.setdefault(one.kind, one)
    return next((by_kind[kind] for kind in ("choices", "boolean", "instant") if kind in by_kind), None)


def _rank(name: str) -> int:
    words = name.split("_")
    return min((STATES.index(word) for word in words if word in STATES), default=len(STATES))


def _is_state(column: Any, kind: Kind) -> bool:
    """Whether the field's name says that an object moves from one of its values to another."""
    words = column.name.lower().split("_")
    if kind == "choices":
        return _rank(column.name.lower()) < len(STATES)
    if kind == "instant":
        words = [word for word in words if word not in ("at", "on", "date", "time", "datetime", "timestamp")]
        if is_planned(column.name):
            return False
    last = words[-1] if words else ""
    return last in PARTICIPLES or (last.endswith("ed") and len(last) > 3)


def is_planned(name: str) -> bool:
    """Whether an instant of that name isn't one at which the object became something."""
    return bool(PLANNED & set(name.lower().split("_")))


def _dimension(column: Any) -> Dimension | None:
    """The dimension of a field, whether or not its name says that it is a state."""
    if column.primary_key or column.remote_field or getattr(column, "generated", False):
        return None
    words = str(column.verbose_name)
    if choices := choices_of(column):
        conditions = tuple(_of_choices(column, choices, words))
        if 2 <= len(conditions) <= MOST_STOCKS:
            return Dimension(column.name, "choices", slug_of(column.name) or "state", words, conditions)
        return None
    if isinstance(column, models.BooleanField):
        words = re.sub(r"^(is|has|was)[ _]", "", words, flags=re.IGNORECASE)
        conditions = (
            Condition("no", f"Not {_lowered(words)}", column.name, False),
            Condition("yes", sentence(words), column.name, True),
        )
        if column.null:
            conditions += (
                Condition("unknown", f"Not known: {_lowered(words)}", f"{column.name}__isnull", True),
            )
        return Dimension(column.name, "boolean", stem_of(column.name), words, conditions)
    if isinstance(column, models.DateField) and column.null:
        words = re.sub(r"[ _](at|on|date|time|datetime)$", "", words, flags=re.IGNORECASE)
        conditions = (
            Condition("no", f"Not {_lowered(words)}", f"{column.name}__isnull", True),
            Condition("yes", sentence(words), f"{column.name}__isnull", False),
        )
        return Dimension(column.name, "instant", stem_of(column.name), words, conditions)
    return None


def _lowered(words: str) -> str:
    return words if words[:2].isupper() else words[:1].lower() + words[1:]


def stem_of(name: str) -> str:
    """A field's name without what says that it is a flag or an instant: ``"cancelled_at"`` → ``"cancelled"``."""
    name = re.sub(
        r"^(is|has|was|date|time|datetime)_|_(at|on|date|time|datetime|timestamp)$", "", name.lower()
    )
    return slug_of(name) or "state"


def choices_of(column: Any) -> list[tuple[Value | None, str]]:
    """A field's choices as (value, label), each value once; [] for none, and for some that can't be written down."""
    try:
        given = list(column.flatchoices)
    except (AttributeError, DatabaseError):  # a function that asks a database which isn't there yet
        return []
    found: dict[Value | None, str] = {}
    for value, label in given:
        plain = value.value if isinstance(value, enum.Enum) else value
        if plain is not None and type(plain) not in (str, int, bool):
            return []
        found.setdefault(plain, str(label))
    return list(found.items())


def _of_choices(column: Any, choices: list[tuple[Value | None, str]], words: str) -> Iterator[Condition]:
    """One condition for each choice, and those for NULL and for the empty text that the field allows beside them."""
    text = isinstance(column, models.CharField | models.TextField)
    empty = text and (column.blank or any(value == "" for value, _ in choices))
    for value, label in choices:
        if value is None or value == "":
            continue
        part = slug_of(str(value)) if isinstance(value, str) else slug_of(label)
        yield Condition(
            part or slug_of(label) or slug_of(f"value {value}") or "value", label, column.name, value
        )
    labels = dict(choices)
    nothing = f"No {_lowered(words)}"
    if empty:
        name = labels.get("", "").strip(" -–—") or nothing
        yield Condition("blank", f"{name} (blank)" if column.null else name, column.name, "")
    if column.null:
        yield Condition("none", labels.get(None, "").strip(" -–—") or nothing, f"{column.name}__isnull", True)


def _facet(
    column: Any, dimension: Dimension | None, left_out: list[str], query: bool
) -> Iterator[SuggestedFacet]:
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
