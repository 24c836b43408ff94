"""Which history of a model's objects a project has already, and the calls that import it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.db import models

from stockandflow.suggesting.code import Declared
from stockandflow.suggesting.dimensions import Condition, is_planned, stem_of
from stockandflow.suggesting.looking import Look
from stockandflow.suggesting.names import call, literal

CREATED = frozenset(
    {
        "created",
        "joined",
        "registered",
        "added",
        "opened",
        "submitted",
        "received",
        "placed",
        "enqueued",
        "found",
    }
)
"""Words in the names of columns that say when an object came."""
WIDTH = 106
"""Of code that stands in a comment."""


def history_of(found: Look, trackers: Sequence[Declared]) -> list[str]:
    """In lines of words and code for ``manage.py shell``; [] where there is none. No query."""
    blocks = []
    hints: list[str] = []
    for tracker in trackers:
        told, unclear = _told(found.model, tracker)
        calls = [*_of_packages(found.model), *_of_columns(tracker, told)]
        if calls:
            blocks.append((tracker, calls))
        if unclear:
            hints.append(
                f"{' and '.join(unclear)} can be imported too by from_columns(), once you say to which stock of "
                f"{tracker.tracker!r} each leads."
            )
    if not blocks:
        return hints
    names = sorted({name for _, calls in blocks for name, _, _ in calls})
    lines = [
        f"What happened to {found.model._meta.label} before can be imported, in manage.py shell once all is migrated:",
        "",
        f"  from stockandflow.history import {', '.join(names)}",
        "  from stockandflow.registry import registry",
    ]
    for tracker, calls in blocks:
        lines += ["", f"  tracker = registry.tracker({literal(tracker.tracker)})"]
        if len(calls) > 1:
            lines.append("  # one of these, the one that knows most:")
        for name, arguments, says in calls:
            read = call(f"{name}(", ["tracker", *arguments], indent=4, width=WIDTH)
            code = call("tracker.import_events(", [read], width=WIDTH)
            lines += [f"  # {row}" for row in textwrap.wrap(says, WIDTH - 2, break_long_words=False)]
            lines += [f"  {row}" for row in code.splitlines()]
    return [*lines, "", *hints] if hints else lines


Call = tuple[str, list[str], str]
"""The name of the function that reads the history, its arguments beside the tracker, and what it reads in words."""


def _of_packages(model: type[models.Model]) -> Iterator[Call]:
    """What packages for histories keep of the model."""
    if hasattr(model._meta, "simple_history_manager_attribute"):
        yield "from_simple_history", [], "the versions of django-simple-history:"
    if events := getattr(model, "pgh_event_models", None):
        kinds = list(dict.fromkeys(events.values()))
        which = (
            ""
            if len(kinds) == 1
            else f"; events=… says which of {', '.join(kind.__name__ for kind in kinds)}"
        )
        yield "from_pghistory", [], f"the events of django-pghistory{which}:"
    if apps.is_installed("django_fsm_log") and any(_is_fsm(column) for column in model._meta.concrete_fields):
        created = _created(model)
        arguments = [f"created={literal(created.name)}"] if created is not None else []
        yield "from_fsm_log", arguments, "the transitions of django-fsm-log:"


def _is_fsm(column: Any) -> bool:
    return any(kind.__name__ == "FSMFieldMixin" for kind in type(column).__mro__)


def _told(model: type[models.Model], tracker: Declared) -> tuple[dict[str, str], list[str]]:
    """Column → slug of the stock that an object came to then; and the columns of which no name tells the stock."""
    slugs = {stock.condition: stock.slug for stock in tracker.stocks}
    told: dict[str, str] = {}
    unclear: list[str] = []
    created = _created(model)
    kind: type[models.Field[Any, Any]] | None = None
    if created is not None:
        told[created.name], kind = slugs[_first(model, tracker)], _kind(created)
    for column in model._meta.local_concrete_fields:
        if not isinstance(column, models.DateField) or not column.null or column.auto_now:
            continue
        condition = _reached(column.name, tracker)
        if condition is not None and kind in (None, _kind(column)):
            told[column.name], kind = slugs[condition], _kind(column)
        elif condition is None and tracker.dimension.kind == "choices" and not is_planned(column.name):
            unclear.append(column.name)
    # When objects came tells nothing of the moves after; those that stand elsewhere by now would seem to move today.
    if created is not None and set(told.values()) == {told[created.name]}:
        told = {}
    return told, unclear


def _of_columns(tracker: Declared, told: dict[str, str]) -> Iterator[Call]:
    """What the model's own columns say of when an object came to which stock of the tracker."""
    if not told:
        return
    says = "what the columns tell; correct what isn't so"
    if unknown := [stock.slug for stock in tracker.stocks if stock.slug not in told.values()]:
        says += f" (no column tells when one came to {' or '.join(unknown)}: that gets the opening balance's time)"
    columns = [f"{literal(name)}: {literal(slug)}" for name, slug in told.items()]
    yield "from_columns", [call("{", columns, indent=8, width=WIDTH).lstrip()], f"{says}:"


def _kind(column: models.DateField[Any, Any]) -> type[models.Field[Any, Any]]:
    """Days and instants can't be mixed."""
    return models.DateTimeField if isinstance(column, models.DateTimeField) else models.DateField


def _created(model: type[models.Model]) -> Any:
    """The column that says when an object came, None where no column does."""
    columns: list[Any] = [
        column
        for column in model._meta.local_concrete_fields
        if isinstance(column, models.DateField) and not column.null and not column.auto_now
    ]
    said = [column for column in columns if CREATED & set(column.name.lower().split("_"))]
    added = [column for column in columns if column.auto_now_add]
    return next(iter([*said, *added]), None)


def _first(model: type[models.Model], tracker: Declared) -> Condition:
    """The stock to which an object comes: that of the field's default, else the first."""
    column: Any = model._meta.get_field(tracker.dimension.field_name)
    default = column.default if tracker.dimension.kind != "instant" else None
    conditions = tracker.dimension.conditions
    return next((one for one in conditions if one.value == default and "__" not in one.lookup), conditions[0])


def _reached(name: str, tracker: Declared) -> Condition | None:
    """The stock to which an object came at the instant in the column of that name, None where no name says it."""
    dimension, stem = tracker.dimension, stem_of(name)
    if dimension.kind == "choices":
        parts = [one.part for one in dimension.conditions]
        alike = [part for part in parts if part == stem] or [part for part in parts if _alike(part, stem)]
        wanted = alike[0] if len(alike) == 1 else ""
    elif name == dimension.field_name or stem == dimension.part:
        wanted = "yes"
    else:
        return None
    return next((one for one in dimension.conditions if one.part == wanted), None)


def _alike(one: str, other: str) -> bool:
    """Whether two words are forms of one: active and activated, cancelled and canceled; not paying and paid."""
    if one.endswith("ing") != other.endswith("ing"):
        return False
    shared = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    shortest = min(len(one), len(other))
    return (shortest if shared is None else shared) >= max(4, shortest - 2)
