"""Doing with a suggestion what a person does: pasting each part of it into the file that its comment names."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps

from stockandflow.models import FlowEvent
from stockandflow.registry import registry
from stockandflow.suggesting import suggest
from stockandflow.testing import isolated_registry

HEADING = re.compile(r"^# (?:Add to|Save as) (\S+\.py):$", re.MULTILINE)


def files_of(text: str) -> dict[str, str]:
    """Path → what is to be pasted there, comments and all."""
    _, *parts = HEADING.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@contextmanager
def pasted(*labels: str, **options: Any) -> Iterator[dict[str, Any]]:
    """The names of the declarations, run in a registry of their own; the event models go again afterwards."""
    text = suggest(labels, registry, **options)
    kept = {config.label: dict(config.models) for config in apps.get_app_configs()}
    made: list[tuple[Any, str]] = []
    try:
        with isolated_registry():
            names: dict[str, Any] = {}
            for path, code in files_of(text).items():
                module = (
                    importlib.import_module(path.removesuffix("/models.py").replace("/", ".") + ".models")
                    if (path.endswith("/models.py"))
                    else None
                )
                names = {"__name__": module.__name__ if module else "declarations"}
                exec(compile(code, path, "exec"), names)  # noqa: S102 - that is what pasting comes to
                for name, found in list(names.items()):
                    if (
                        module
                        and isinstance(found, type)
                        and issubclass(found, FlowEvent)
                        and found is not FlowEvent
                    ):
                        setattr(module, name, found)
                        made.append((module, name))
            yield names
    finally:
        for module, name in made:
            delattr(module, name)
        for config in apps.get_app_configs():
            for name in set(config.models) - set(kept[config.label]):
                del config.models[name]
        apps.clear_cache()
