"""Whether a database has what a tracker's triggers name; while the models are ahead of it, every write would fail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.constants import LOOKUP_SEP

from stockandflow.declarations import ModelTracker
from stockandflow.exceptions import NotLocal
from stockandflow.membership import reaches
from stockandflow.models import Delivery

COLUMNS = {
    "sqlite": (
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_xinfo(m.name) c "
        "WHERE m.type IN ('table', 'view') AND m.name"
    ),
    "postgresql": (
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('f', 'm', 'p', 'r', 'v') "
        "AND pg_table_is_visible(c.oid) AND c.relname"
    ),
    "mysql": (
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND table_name"
    ),
}
"""What columns a database has, of the tables whose names follow."""


def related_apps(tracker: ModelTracker) -> set[str]:
    """The labels of the apps whose migrations can touch what the tracker's triggers name."""
    models_named = {model for model, _ in named_columns(tracker)}
    return {model._meta.app_label for model in models_named}


def missing(tracker: ModelTracker, there: Mapping[str, Collection[str]]) -> list[str]:
    """The tables and columns that the tracker's triggers name and ``there`` lacks, e.g. ``shop_sale.paid``, sorted.

    ``there`` are the columns by table as ``columns_of`` gives them. No query.
    """
    lacking = []
    for table, columns in _wanted(tracker).items():
        if table in there:
            lacking += [f"{table}.{column}" for column in columns.difference(there[table])]
        else:
            lacking.append(table)
    return sorted(lacking)


def columns_of(trackers: Iterable[ModelTracker], connection: BaseDatabaseWrapper) -> dict[str, set[str]]:
    """The columns of the tables and views that the trackers' triggers name, by table, where that database has it.

    One query, on the databases that can have triggers.
    """
    tables = sorted({table for tracker in trackers for table in _wanted(tracker)})
    found: dict[str, set[str]] = defaultdict(set)
    if tables:
        with connection.cursor() as cursor:
            places = ", ".join(["%s"] * len(tables))
            cursor.execute(f"{COLUMNS[connection.vendor]} IN ({places})", tables)
            for table, column in cursor.fetchall():
                found[table].add(column)
    return dict(found)


def _wanted(tracker: ModelTracker) -> dict[str, set[str]]:
    """Table → the columns that the triggers name."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for model, column in named_columns(tracker):
        wanted[model._meta.db_table].add(column)
    return wanted


def named_columns(tracker: ModelTracker) -> Iterator[tuple[type[models.Model], str]]:
    """(model, column) for all that the triggers name."""
    for stock in tracker.stocks:
        with suppress(NotLocal):  # then no trigger names them
            for reach in reaches(stock.queryset):
                yield from ((reach.model, column) for column in reach.columns)
    written: list[type[models.Model]] = [tracker.events]
    if any(flow.event_callables for flow in tracker.flows):
        written.append(Delivery)
    for model in written:
        yield from ((model, str(field.column)) for field in model._meta.concrete_fields if field.column)
    key: Any = tracker.model._meta.pk
    yield tracker.model, key.column
    for facet in tracker.applied_facets.values():
        yield from _along(tracker.model, facet.lookup)


def _along(model: type[models.Model], lookup: str) -> Iterator[tuple[type[models.Model], str]]:
    """The columns along a path of fields, up to where it ends in transforms or in a field that isn't there."""
    for name in lookup.split(LOOKUP_SEP):
        try:
            field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
        except FieldDoesNotExist:
            return
        here = field if field.concrete else getattr(field, "field", None)
        if here is not None and getattr(here, "column", None):
            yield here.model, here.column
        if not field.is_relation or field.related_model is None:
            return
        model = field.related_model
