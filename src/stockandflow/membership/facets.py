"""A facet's lookup on one model: what column it reads, whether an object has one value, and its SQL in a trigger."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist, FieldError, ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import F, Func, RawSQL
from django.db.models.sql import Query

from stockandflow.exceptions import NotLocal
from stockandflow.membership.literals import inlined

NONE = "(none)"
"""The facet value of NULL."""
OTHER = "(other)"
"""The facet value of everything that the facet's declared values leave out."""
KEY_LENGTH = 200


def facet_key(value: Any) -> str:
    """The text under which records and events keep a facet value; at most 200 characters, NULL is ``(none)``."""
    if value is None:
        return NONE
    if isinstance(value, models.Model):
        value = value.pk
    text = str(value)
    if len(text) <= KEY_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{text[: KEY_LENGTH - 14]}…{digest}"


@dataclass(frozen=True)
class FacetColumn:
    """A facet's lookup as it applies to one model. Built without a query.

    ``field`` is the column read, ``transforms`` what is applied to it, ``condition`` the lookup at the end where the
    facet asks a question (``age__gte``) rather than reads a value. ``multi_valued`` means that one object can have
    several values, so counts per value don't sum to the total.
    """

    model: type[models.Model]
    lookup: str
    field: models.Field[Any, Any]
    transforms: tuple[str, ...]
    condition: str
    multi_valued: bool
    joins: bool

    @classmethod
    def resolve(cls, model: type[models.Model], lookup: str) -> FacetColumn:
        """Raises FieldError, naming the choices, when the lookup doesn't resolve on the model."""
        query = Query(model)
        rest, path, annotation = query.solve_lookup_type(lookup)
        if annotation or not path:
            raise FieldError(f"{lookup!r} doesn't name a field of {model._meta.label}")
        infos, field, targets, left_over = query.names_to_path(list(path), model._meta, fail_on_missing=True)
        if left_over or not isinstance(targets[-1], models.Field):
            raise FieldError(f"{lookup!r} doesn't name a field of {model._meta.label}")
        target = targets[-1]
        transforms, condition, seen = [], "", target
        for position, name in enumerate(rest):
            transform = seen.get_transform(name)
            if transform is not None:
                transforms.append(name)
                seen = getattr(transform, "output_field", None) or seen
            elif position == len(rest) - 1 and seen.get_lookup(name) is not None:
                condition = name if name != "exact" else ""
            else:
                raise FieldError(f"{name!r} in {lookup!r} is neither a transform nor a lookup of {seen!r}")
        # A foreign key at the end is read from the row itself; Django trims that join.
        joins = len(infos) > (1 if infos and field.is_relation and not _reverse(field) else 0)
        return cls(
            model=model,
            lookup=lookup,
            field=target,
            transforms=tuple(transforms),
            condition=condition,
            multi_valued=any(info.m2m for info in infos),
            joins=joins or any(info.m2m for info in infos),
        )

    @property
    def value_lookup(self) -> str:
        """The lookup without a trailing ``__exact``: what F() and values() take."""
        return self.lookup.removesuffix(f"{LOOKUP_SEP}exact")

    @property
    def capturable(self) -> bool:
        """Whether an event can keep this facet's value: one value a subject, read from a column."""
        return not self.multi_valued and not self.condition

    def key(self, raw: Any) -> str:
        """The key of a value as a database gave it, e.g. SQLite's hexadecimal text for a UUID."""
        if raw is None or self.transforms:
            return facet_key(raw)
        try:
            return facet_key(self.field.to_python(raw))
        except (ValidationError, ValueError, TypeError):
            return facet_key(raw)


def _reverse(field: Any) -> bool:
    return bool(getattr(field, "auto_created", False) and not getattr(field, "concrete", False))


class FacetText(Func):
    """The text that an event keeps for one facet, NULL for NULL or where it keeps none.

    The slug stands in the SQL itself, so that GROUP BY sees one expression; a slug can't hold a quote.
    """

    output_field = models.TextField()

    def __init__(self, slug: str, column: str = "facets") -> None:
        super().__init__(F(column))
        self.slug = slug

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        sql, params = compiler.compile(self.get_source_expressions()[0])
        return f"json_extract({sql}, '$.\"{self.slug}\"')", params

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        sql, params = compiler.compile(self.get_source_expressions()[0])
        return f"({sql} ->> '{self.slug}')", params

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        sql, params = compiler.compile(self.get_source_expressions()[0])
        return f"JSON_VALUE({sql}, '$.\"{self.slug}\"')", params


def facet_text_sql(column: FacetColumn, row: str, connection: BaseDatabaseWrapper) -> str:
    """The facet's value of the row called ``row`` as SQL text (NULL for NULL), for a trigger body.

    A value of a related row is read by a scalar subquery along the foreign keys, so the row itself may be gone.
    """
    if not column.capturable:
        raise NotLocal(f"the facet lookup {column.lookup!r} doesn't give one value for one object")
    head, _, tail = column.value_lookup.partition(LOOKUP_SEP)
    try:
        first: Any = column.model._meta.get_field(column.model._meta.pk.name if head == "pk" else head)
    except FieldDoesNotExist as error:  # pragma: no cover - resolve() has looked the path up before
        raise NotLocal(str(error)) from error
    queryset: models.QuerySet[Any, Any]
    if column.joins and first.is_relation:
        if not first.concrete or first.remote_field is None:
            # A reverse one-to-one: the related row points here.
            here = f"{row}.{connection.ops.quote_name(column.model._meta.pk.column)}"
            related, key = first.related_model, first.field.attname
        else:
            here = f"{row}.{connection.ops.quote_name(first.column)}"
            related, key = first.related_model, first.target_field.attname
        queryset = related._base_manager.using(connection.alias)
        queryset = queryset.filter(**{key: RawSQL(here, ())}).order_by().values(tail)
        sql, params = queryset.query.get_compiler(connection=connection).as_sql()
        value = f"({inlined(connection, sql, params)})"
        bare = queryset.query
    else:
        queryset = column.model._base_manager.using(connection.alias).order_by().values(column.value_lookup)
        bare = queryset.query.clone()
        base = bare.get_initial_alias()
        bare.change_aliases({base: row})
        compiler = bare.get_compiler(connection=connection)
        compiler.setup_query()
        sql, params = compiler.compile(compiler.select[0][0])
        value = inlined(connection, sql, params)
    return _as_text(value, column, connection)


def _as_text(value: str, column: FacetColumn, connection: BaseDatabaseWrapper) -> str:
    if isinstance(column.field, models.BooleanField) and not column.transforms:
        return f"CASE WHEN {value} IS NULL THEN NULL WHEN {value} THEN 'True' ELSE 'False' END"
    kind = {"sqlite": "TEXT", "postgresql": "text"}.get(connection.vendor, "CHAR")
    return f"CAST({value} AS {kind})"


def facets_json_sql(columns: dict[str, FacetColumn], row: str, connection: BaseDatabaseWrapper) -> str:
    """A JSON object of facet slug → value as text, or null, for a trigger body; ``{}`` without facets."""
    function = {"sqlite": "json_object", "postgresql": "jsonb_build_object"}.get(
        connection.vendor, "JSON_OBJECT"
    )
    pairs = [
        f"'{slug}', {facet_text_sql(column, row, connection)}" for slug, column in sorted(columns.items())
    ]
    if not pairs:
        return "'{}'"
    return f"{function}({', '.join(pairs)})"
