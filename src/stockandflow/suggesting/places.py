"""Which models can be suggested for, and in which files of the project the code goes."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import django
from django.apps import AppConfig, apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.module_loading import module_has_submodule

from stockandflow.exceptions import InvalidInput
from stockandflow.membership import reason_not_local
from stockandflow.models import FlowEvent, SubjectForeignKey
from stockandflow.registry import MODULE

PLACEHOLDER = "yourapp"
"""Stands for an app where the project has none of its own."""


def model_named(label: str) -> type[models.Model]:
    """The model that a person means by ``app_label.ModelName``; raises InvalidInput where it can't have stocks."""
    app_label, _, name = label.rpartition(".")
    try:
        model = apps.get_model(app_label, name) if app_label else None
    except (LookupError, ValueError):
        model = None
    if model is None:
        raise InvalidInput(_unknown(label))
    options = model._meta
    if options.proxy:
        raise InvalidInput(
            f"{options.label} is a proxy of {_concrete(model)._meta.label}, with the same rows; suggest for that."
        )
    if options.swapped:
        raise InvalidInput(f"{options.label} is swapped for {options.swapped}; suggest for that.")
    if not options.managed:
        raise InvalidInput(
            f"{options.label} isn't managed by migrations (managed = False), so {options.db_table!r} may be "
            "a view, which can't have triggers; suggest for a managed model, or declare its stocks by hand."
        )
    if isinstance(options.pk, getattr(models, "CompositePrimaryKey", ())):
        raise InvalidInput(
            f"{options.label} has a composite primary key, and Django can't point a foreign key of an event at one; "
            "suggest for a model with a single primary key."
        )
    if issubclass(model, FlowEvent):
        raise InvalidInput(
            f"{options.label} holds flow events, which don't move themselves; suggest for {_subject_label(model)}."
        )
    return model


def _concrete(model: type[models.Model]) -> type[models.Model]:
    concrete: Any = model._meta.concrete_model
    found: type[models.Model] = concrete
    return found


def _subject_label(events: Any) -> str:
    try:
        return str(events._meta.get_field("subject").remote_field.model._meta.label)
    except FieldDoesNotExist:
        return "the model whose objects move"


def _unknown(label: str) -> str:
    labels = [model._meta.label for model in apps.get_models()]
    if abstract := _abstract(label):
        below = [model._meta.label for model in apps.get_models() if issubclass(model, abstract)]
        return f"{label} is abstract and has no rows; suggest for " + (
            f"a model that inherits from it: {', '.join(below)}."
            if below
            else "a model that inherits from it."
        )
    by_lower = {known.lower(): known for known in labels}
    by_lower |= {known.rpartition(".")[2].lower(): known for known in labels} if "." not in label else {}
    close = get_close_matches(label.lower(), by_lower, n=1, cutoff=0.5)
    hint = f" Did you mean {by_lower[close[0]]!r}?" if close else ""
    if "." not in label:
        return f"{label!r} names no model; write app_label.ModelName.{hint}"
    app_label = label.rpartition(".")[0]
    mine = [known for known in labels if known.lower().startswith(f"{app_label.lower()}.")]
    have = (
        f"The app {app_label!r} has {', '.join(mine)}."
        if mine
        else f"No app {app_label!r} has models; those that do are "
        f"{', '.join(dict.fromkeys(known.rpartition('.')[0] for known in labels))}."
    )
    return f"There is no model {label!r}.{hint} {have}"


def _abstract(label: str) -> type[models.Model] | None:
    """The abstract model of that label, which Django's registry of models doesn't have."""
    app_label, _, name = label.rpartition(".")
    try:
        module = apps.get_app_config(app_label).models_module
    except LookupError:
        return None
    for word, found in vars(module).items() if module else ():
        if word.lower() == name.lower() and isinstance(found, type) and issubclass(found, models.Model):
            return found if found._meta.abstract else None
    return None


def projects_apps() -> list[AppConfig]:
    """The installed apps whose code isn't a library's, in the order in which they are installed."""
    return [config for config in apps.get_app_configs() if _is_projects(config)]


def _is_projects(config: AppConfig) -> bool:
    libraries = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}
    libraries.add(str(Path(django.__file__).parent))
    path = Path(config.path).resolve()
    return config.name != "stockandflow" and not any(
        path.is_relative_to(Path(folder).resolve()) for folder in libraries if folder
    )


def home_of(model: type[models.Model], chosen: str | None) -> tuple[AppConfig | None, str]:
    """The app whose files take the code, and why it is that one; (None, …) where the project has none.

    Raises InvalidInput for an app that isn't installed.
    """
    if chosen is not None:
        return app_named(chosen), ""
    mine = projects_apps()
    own = apps.get_app_config(model._meta.app_label)
    if own in mine:
        return own, ""
    if mine:
        return mine[0], (
            f"{own.name} isn't an app of the project's own, so this goes into its first one; --app chooses another."
        )
    return (
        None,
        f"{own.name} isn't an app of the project's own, and there is none: make one, and read its name here.",
    )


def app_named(label: str) -> AppConfig:
    """The installed app with that label or name; raises InvalidInput with near matches."""
    for config in apps.get_app_configs():
        if label in (config.label, config.name):
            return config
    mine = [config.label for config in projects_apps()]
    close = get_close_matches(label, mine, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    have = (
        f"The project's own are {', '.join(map(repr, mine))}." if mine else "The project has none of its own."
    )
    raise InvalidInput(f"There is no app {label!r}.{hint} {have}")


def module_of(model: type[models.Model]) -> str:
    """The module to import the model from: that of the app's models where they show it."""
    own = apps.get_app_config(model._meta.app_label)
    public = own.models_module
    if public is not None and getattr(public, model.__name__, None) is model:
        return public.__name__
    return model.__module__


def manager_of(model: type[models.Model]) -> str:
    """The name of the first manager that gives all rows as they are: one that hides some would hide their moves."""
    options: Any = model._meta
    for manager in (model._default_manager, *options.managers):
        rows = manager.all()
        if not rows.query.where and reason_not_local(rows) is None:
            return str(manager.name)
    return "_base_manager"


def event_model_of(model: type[models.Model]) -> type[FlowEvent] | None:
    """The project's event model for this model's objects, if it has one."""
    for events in _event_models():
        try:
            options: Any = events._meta
            subject: Any = options.get_field("subject")
        except FieldDoesNotExist:
            continue
        if (
            isinstance(subject, SubjectForeignKey)
            and subject.remote_field.model._meta.concrete_model is model
        ):
            return events
    return None


def _event_models() -> Iterator[type[FlowEvent]]:
    return (model for model in apps.get_models() if issubclass(model, FlowEvent))


def names_in(config: AppConfig | None) -> Iterable[str]:
    """The names of the models that an app has."""
    return [] if config is None else [model.__name__ for model in config.get_models()]


def has_declarations(config: AppConfig | None) -> bool:
    """Whether an app has a ``stocksandflows`` module already."""
    return config is not None and module_has_submodule(config.module, MODULE)
