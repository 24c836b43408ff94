"""Whether a database has what a tracker's triggers name; while the models are ahead of it, every write would fail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
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


def related_apps(tracker: ModelTracker) -> set[str]:
    """The labels of the apps whose migrations can touch what the tracker's triggers name."""
    models_named = {model for model, _ in named_columns(tracker)}
    return {model._meta.app_label for model in models_named}


def missing(tracker: ModelTracker, connection: BaseDatabaseWrapper) -> list[str]:
    """The tables and columns that the tracker's triggers name and that database lacks, e.g. ``shop_sale.paid``, sorted.

    One query for the tables, and one or two for each table.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for model, column in named_columns(tracker):
        wanted[model._meta.db_table].add(column)
    lacking = []
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor, include_views=True))
        for table, columns in wanted.items():
            if table not in tables:
                lacking.append(table)
                continue
            there = {column.name for column in connection.introspection.get_table_description(cursor, table)}
            lacking += [f"{table}.{column}" for column in columns - there]
    return sorted(lacking)


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
