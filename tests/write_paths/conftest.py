"""A database in which the paths' subjects are captured, and a second one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, connections, models, transaction
from pytest_django import DjangoDbBlocker

from stockandflow import capture
from stockandflow.models import FlowEvent, Sweep
from stockandflow.registry import Registry
from tests.capture.conftest import declared
from tests.write_paths.stocksandflows import trackers

OTHER = "second"


def tables() -> list[type[models.Model]]:
    """The models with a table of their own, children before parents and events last."""
    found = [
        m
        for m in apps.get_app_config("write_paths").get_models(include_auto_created=True)
        if not m._meta.proxy
    ]
    return sorted(found, key=lambda model: (issubclass(model, FlowEvent), not model._meta.parents))


def empty(using: str) -> None:
    """Delete all rows of the paths' tables."""
    with connections[using].constraint_checks_disabled(), transaction.atomic(using=using):
        for model in tables():
            model._base_manager.all()._raw_delete(using)


@contextmanager
def second_database() -> Iterator[str]:
    """A second database of the same kind, with the paths' tables and their triggers."""
    name = f"{connection.settings_dict['NAME']}_second"
    make_database(name)
    connections.settings[OTHER] = {**connections.settings["default"], "NAME": name}
    try:
        with connections[OTHER].schema_editor() as editor:
            for model in reversed(tables()):
                if not model._meta.auto_created:
                    editor.create_model(model)
        registry = Registry()
        registry.register(*trackers(OTHER).values())
        capture.install(registry, OTHER)
        yield OTHER
    finally:
        connections[OTHER].close()
        del connections[OTHER], connections.settings[OTHER]
        drop_database(name)


def make_database(name: str) -> None:
    """Make an empty database beside the tests' own, on SQLite a file."""
    drop_database(name)
    if connection.vendor != "sqlite":
        _on_the_server(f"CREATE DATABASE {name}")


def drop_database(name: str) -> None:
    """Remove it, if it is there."""
    if connection.vendor == "sqlite":
        Path(name).unlink(missing_ok=True)
    else:
        _on_the_server(f"DROP DATABASE IF EXISTS {name}")


def _on_the_server(statement: str) -> None:
    server: Any = connection
    with server._nodb_cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture(scope="module")
def captured(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The paths' subjects are captured, in the default database and in the second one, whose alias it gives."""
    with django_db_blocker.unblock(), declared(*trackers().values()), second_database() as other:
        yield other


@pytest.fixture
def transactional_db(captured: str, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Databases in which the test really commits; both are emptied afterwards."""
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            for using in ("default", captured):
                empty(using)
            Sweep.objects.filter(tracker__startswith="write-paths.").delete()
