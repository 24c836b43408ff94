"""A whole suggestion, as a person reads and pastes it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from stockandflow.exceptions import InvalidInput
from stockandflow.registry import MODULE, Registry
from stockandflow.suggesting import places
from stockandflow.suggesting.code import Declared, File, Taken
from stockandflow.suggesting.dimensions import MOST_STOCKS
from stockandflow.suggesting.history import history_of
from stockandflow.suggesting.looking import Look, look

WIDTH = 110
"""Of what is printed, save for literals that are longer."""
NAMED_MOVES = (
    "Flow.for_stocks() makes a flow into each stock and one that leaves them all. Where you want to name moves "
    "yourself, write them in its place: Flow('converting', 'Converting', TheFlowEvent, sources=[trial], "
    "sinks=[active])."
)


def suggest(labels: Sequence[str], registry: Registry, *, app: str | None = None, query: bool = True) -> str:
    """Python for models.py and stocksandflows.py of the app that takes them, each under a comment that says so.

    ``labels`` are ``app_label.ModelName``; ``app`` is the app for all of it, else each model's own, or the project's
    first for a library's. Raises InvalidInput for a label, an app or a model that can't do, and for a model whose
    fields say nothing. One bounded query for each foreign key that may be a facet; none without ``query``.
    """
    chosen = list(dict.fromkeys(places.model_named(label) for label in labels))
    looks = [look(model, query=query) for model in chosen]
    for found in looks:
        if not found.dimensions:
            raise InvalidInput(_nothing(found))
    taken, files = Taken.of(registry), dict[str, File]()
    trackers: list[list[Declared]] = []
    for found in looks:
        config, why = places.home_of(found.model, app)
        key = config.name if config else places.PLACEHOLDER
        file = files.setdefault(key, File(config, why, taken))
        trackers.append(file.add(found))
    parts = [_file(file) for file in files.values()]
    parts += [
        _comment(lines)
        for found, mine in zip(looks, trackers, strict=True)
        for lines in (_remarks(found, registry), history_of(found, mine))
    ]
    parts.append(_next(list(files.values()), [one.process for mine in trackers for one in mine]))
    return "\n\n\n".join(part for part in parts if part) + "\n"


def _nothing(found: Look) -> str:
    options = found.model._meta
    inherited = [parent for parent in options.parents if parent._meta.local_concrete_fields]
    columns = ", ".join(column.name for column in options.local_concrete_fields) or "none"
    hint = (
        f" It inherits fields from {', '.join(parent._meta.label for parent in inherited)}; suggest for that."
        if inherited
        else ""
    )
    return (
        f"The fields of {options.label} suggest no stocks: none has 2 to {MOST_STOCKS} choices, is a BooleanField, "
        f"or a date or a time that may be NULL. Looked at: {columns}.{hint} A stock can hold any queryset all the "
        f"same; declare it by hand in {MODULE}.py."
    )


def _file(file: File) -> str:
    why = f"{_comment([file.why])}\n" if file.why else ""
    text, parts = file.models_text(), []
    if text:
        parts.append(f"# Add to {file.path_of('models')}:\n{why}\n{text.rstrip()}")
        why = ""
    how = "Add to" if places.has_declarations(file.config) else "Save as"
    parts.append(f"# {how} {file.path_of(MODULE)}:\n{why}\n{file.declarations_text().rstrip()}")
    return "\n\n\n".join(parts)


def _comment(lines: Sequence[str]) -> str:
    """The lines as comments; long ones are wrapped, unless they are indented: those are code."""
    rows: list[str] = []
    for line in lines:
        deeper = "  " if line.startswith("- ") else ""
        wrapped = textwrap.wrap(line, WIDTH - 2, subsequent_indent=deeper, break_long_words=False)
        rows += [line] if line.startswith("  ") else wrapped or [""]
    return "\n".join(f"# {row}".rstrip() for row in rows)


def _remarks(found: Look, registry: Registry) -> list[str]:
    """What there is already, and what was left out."""
    options, lines = found.model._meta, list[str]()
    if trackers := registry.trackers_of(found.model):
        known = ", ".join(repr(tracker.slug) for tracker in trackers)
        lines.append(f"{options.label} is tracked already, by {known}; what is suggested comes beside that.")
    if found.left_out:
        lines += [f"Left out of {options.label}:", *(f"- {line}" for line in found.left_out)]
    return lines


def _next(files: Sequence[File], processes: Sequence[str]) -> str:
    labels = " ".join(
        file.config.label if file.config else places.PLACEHOLDER for file in files if file.events
    )
    lines = [NAMED_MOVES, "", "Then:"]
    if labels:
        lines.append(f"  python manage.py makemigrations {labels}")
    lines.append("  python manage.py migrate")
    lines += [f"  python manage.py stockandflow report {slug}" for slug in processes]
    return _comment(lines)
