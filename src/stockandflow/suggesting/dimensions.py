"""The dimension that a field is by its type and its name: stocks that exclude each other and leave nobody out."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from django.db import DatabaseError, models

from stockandflow.suggesting.names import sentence, slug_of

Value = str | int | bool

MOST_STOCKS = 12
"""A field with more choices is a facet: nobody reads so many stocks."""

STATES = ("status", "state", "stage", "phase", "step", "lifecycle", "condition", "progress")
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


def rank_of(name: str) -> int:
    """How plainly a name says that it is a state; the less the plainer, ``len(STATES)`` for not at all."""
    words = name.split("_")
    return min((STATES.index(word) for word in words if word in STATES), default=len(STATES))


def is_state(column: Any, kind: Kind) -> bool:
    """Whether the field's name says that an object moves from one of its values to another."""
    words = column.name.lower().split("_")
    if kind == "choices":
        return rank_of(column.name.lower()) < len(STATES)
    if kind == "instant":
        words = [word for word in words if word not in ("at", "on", "date", "time", "datetime", "timestamp")]
        if is_planned(column.name):
            return False
    last = words[-1] if words else ""
    return last in PARTICIPLES or (last.endswith("ed") and len(last) > 3)


def is_planned(name: str) -> bool:
    """Whether an instant of that name isn't one at which the object became something."""
    return bool(PLANNED & set(name.lower().split("_")))


def dimension_of(column: Any) -> Dimension | None:
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
    """A field's choices as (value, label), each value once; [] for none, and for some that can't be written down.

    A field of django-fsm without choices has the states of its transitions.
    """
    try:
        given = list(column.flatchoices)
    except (AttributeError, DatabaseError):  # a function that asks a database which isn't there yet
        return []
    if not given and hasattr(column, "get_all_transitions"):
        given = [(state, sentence(slug_of(state).replace("-", " "))) for state in _states_of(column)]
    found: dict[Value | None, str] = {}
    for value, label in given:
        plain = value.value if isinstance(value, enum.Enum) else value
        if plain is not None and type(plain) not in (str, int, bool):
            return []
        found.setdefault(plain, str(label))
    return list(found.items())


def _states_of(column: Any) -> list[str]:
    """The states of a field of django-fsm: its default, and those that its transitions lead from and to."""
    moves = [(one.source, one.target) for one in column.get_all_transitions(column.model)]
    states = [column.default, *(state for move in sorted(moves, key=str) for state in move)]
    return list(dict.fromkeys(one for one in states if isinstance(one, str) and one not in ("*", "+")))


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
