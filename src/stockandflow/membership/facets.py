"""A facet's lookup on one model: what column it reads, whether an object has one value, and its SQL in a trigger.

A facet value is known by its *key*, a text that is the same wherever the value comes from: declared by the project,
read by the ORM, or written as text by a trigger. Two texts are one value only if they are equal to the letter, whatever
the collation of their column.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import FieldError, ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q, Value
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import F, Func, RawSQL
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Left, Length
from django.db.models.lookups import GreaterThan, IsNull
from django.db.models.sql import Query
from django.utils import timezone

from stockandflow.exceptions import NotLocal
from stockandflow.membership.literals import inlined
from stockandflow.membership.predicate import refuse_restless

NONE = "(none)"
"""The facet value of NULL."""
OTHER = "(other)"
"""The facet value of everything that the facet's declared values leave out."""
KEY_LENGTH = 200
CUT = "…"
"""The end of the key of a text that is longer than a key; texts that begin alike share it."""


def facet_key(value: Any) -> str:
    """The text under which records and events keep a facet value; at most 200 characters, NULL is ``(none)``.

    A column knows better what its values are: prefer ``FacetColumn.key`` where there is one.
    """
    if value is None:
        return NONE
    if isinstance(value, models.Model):
        value = value.pk
    text = str(value)
    if text in (NONE, OTHER):
        return f"'{text}'"  # the text itself, not what we mean by it
    return text if len(text) <= KEY_LENGTH else text[: KEY_LENGTH - 1] + CUT


class ExactText(Func):
    """A text as a value that equals another only to the letter, for GROUP BY and comparison.

    MariaDB's collations take ``a``, ``A`` and ``á`` for one, and ignore spaces at the end; so do collations that a
    project gives a column.
    """

    arity = 1
    output_field = models.TextField()

    def __init__(self, expression: Any, *, collated: bool = False) -> None:
        super().__init__(expression)
        self.collated = collated

    def _with(self, compiler: Any, template: str) -> Any:
        sql, params = compiler.compile(self.get_source_expressions()[0])
        return template.format(sql), params

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **context: Any) -> Any:
        return self._with(compiler, "{}")

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self._with(compiler, "({} COLLATE BINARY)" if self.collated else "{}")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self._with(compiler, '({} COLLATE "C")' if self.collated else "{}")

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self._with(compiler, "CAST(CONVERT({} USING utf8mb4) AS BINARY)")

    def convert_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value


class Among(Func):
    """True where the first expression is one of the others."""

    output_field = models.BooleanField()

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **context: Any) -> Any:
        (value, value_params), *others = map(compiler.compile, self.get_source_expressions())
        params = [*value_params, *(param for _, found in others for param in found)]
        return f"{value} IN ({', '.join(sql for sql, _ in others)})", params

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        value, *others = self.get_source_expressions()
        exactly, params = self.as_sql(compiler, connection)
        if not isinstance(value, ExactText):
            return exactly, params
        # By the column's collation first: an index knows that.
        alike, more = Among(value.get_source_expressions()[0], *others).as_sql(compiler, connection)
        return f"({alike} AND {exactly})", [*more, *params]


@dataclass(frozen=True)
class FacetColumn:
    """A facet's lookup as it applies to one model. Built without a query.

    ``field`` is the column read, ``transforms`` what is applied to it and ``output`` the kind of field that this gives;
    ``condition`` is the lookup at the end where the facet asks a question (``age__gte``) rather than reads a value.
    ``multi_valued`` means that one object can have several values, so counts per value don't sum to the total.
    ``value_lookup`` is the lookup without the question: what F() and values() take.
    """

    model: type[models.Model]
    lookup: str
    value_lookup: str
    field: models.Field[Any, Any]
    output: models.Field[Any, Any]
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
        transforms, question, output = _transforms(target, rest, lookup)
        # A foreign key at the end is read from the row itself; Django trims that join.
        joins = len(infos) > (1 if infos and field.is_relation and not _reverse(field) else 0)
        multi_valued = any(info.m2m for info in infos)
        return cls(
            model=model,
            lookup=lookup,
            value_lookup=LOOKUP_SEP.join([*path, *transforms]),
            field=target,
            output=output,
            transforms=transforms,
            condition=question,
            multi_valued=multi_valued,
            joins=joins or multi_valued,
        )

    @property
    def capturable(self) -> bool:
        """Whether an event can keep this facet's value: one value a subject, read from a column."""
        return not self.multi_valued and not self.condition

    @property
    def reads_json(self) -> bool:
        """Whether the value is found inside a JSON document; it is then read as text."""
        return bool(self.transforms) and isinstance(self.field, models.JSONField)

    def plain(self) -> Any:
        """The value as the database compares it."""
        if not self.reads_json:
            return F(self.value_lookup)
        names = self.value_lookup.split(LOOKUP_SEP)
        *inner, last = self.transforms
        value: Any = F(LOOKUP_SEP.join(names[: -len(self.transforms)]))
        for name in inner:
            value = KeyTransform(name, value)
        return Cast(KeyTextTransform(last, value), models.TextField())  # SQLite gives a number as a number

    def expression(self) -> Any:
        """The value to be grouped by and compared: to the letter where it is text."""
        return self.to_the_letter(self.plain())

    def to_the_letter(self, value: Any) -> Any:
        """An expression for values of this column, made exact where they are text."""
        if self.reads_json or isinstance(self.output, models.CharField | models.TextField):
            return ExactText(value, collated=bool(getattr(self.output, "db_collation", None)))
        return value

    def key(self, value: Any) -> str:
        """The key of a value: one that a project declares, that a database gave, or the text that a trigger wrote."""
        if value is None or self.condition:
            return facet_key(value)
        return facet_key(_canonical(self._python(value), self.output))

    def find(self, key: str) -> Q:
        """The condition that an object has a value with this key; raises ValueError where the column can't hold it."""
        value: Any = key
        if not self.reads_json:
            try:
                value = self.output.to_python(key)
                if isinstance(self.output, models.IntegerField | models.DecimalField):
                    self.output.run_validators(value)
            except (ValidationError, TypeError) as error:
                raise ValueError(f"{self.field.verbose_name} can't be {key!r}") from error
        if "\x00" in key:
            raise ValueError(f"{self.field.verbose_name} can't be {key!r}, which holds a NUL character")
        return self.has(value)

    def has(self, value: Any) -> Q:
        """The condition that an object has this value; None asks for NULL."""
        if value is None:
            return self.is_null()
        if self.condition:
            return Q(**{self.lookup: value})
        key = self.key(value)
        if len(key) == KEY_LENGTH and key.endswith(CUT):
            return self._begins_as(key)
        # A text that looks like one of our own words shares its key with that word in quotes.
        return self._among([value, key[1:-1]] if key[1:-1] in (NONE, OTHER) else [value])

    def is_null(self) -> Q:
        """The condition that an object has no value."""
        return Q(IsNull(self.plain(), True))

    def is_other(self, values: Iterable[Any]) -> Q:
        """The condition that an object has a value, and none of these."""
        rest, short = ~self.is_null(), []
        for value in values:
            if self.key(value).endswith(CUT):
                rest &= ~self.has(value)
            elif value is not None:
                short.append(value)
        return rest & ~self._among(short) if short else rest

    def _among(self, values: Iterable[Any]) -> Q:
        output = models.TextField() if self.reads_json else self.output
        return Q(
            Among(self.expression(), *(Value(self._python(value), output_field=output) for value in values))
        )

    def _begins_as(self, key: str) -> Q:
        start = Value(key[: -len(CUT)], output_field=models.TextField())
        begins = Among(ExactText(Left(self.plain(), KEY_LENGTH - len(CUT))), start)
        return Q(begins) & Q(GreaterThan(Length(self.plain()), KEY_LENGTH))

    def _python(self, value: Any) -> Any:
        if isinstance(value, models.Model):
            value = getattr(value, self.field.attname, value.pk)
        if self.reads_json:
            return value if isinstance(value, str) else json.dumps(value, cls=DjangoJSONEncoder)
        try:
            return self.output.to_python(value)
        except (ValidationError, ValueError, TypeError):
            return value


def _transforms(
    field: models.Field[Any, Any], names: Iterable[str], lookup: str
) -> tuple[tuple[str, ...], str, models.Field[Any, Any]]:
    """The transforms among ``names``, the question at their end ("" for none or ``exact``), and what they give."""
    names, transforms, output = list(names), [], field
    for position, name in enumerate(names):
        transform = output.get_transform(name)
        if transform is not None:
            transforms.append(name)
            gives = getattr(transform, "output_field", None)
            output = gives if isinstance(gives, models.Field) else output
        elif position == len(names) - 1 and output.get_lookup(name) is not None:
            return tuple(transforms), name if name != "exact" else "", output
        else:
            raise FieldError(f"{name!r} in {lookup!r} is neither a transform nor a lookup of {output!r}")
    return tuple(transforms), "", output


def _canonical(value: Any, field: models.Field[Any, Any]) -> Any:
    """One spelling for each value: 1.5 and 1.50 of a decimal column, and an instant in whatever zone."""
    if isinstance(value, Decimal) and isinstance(field, models.DecimalField) and value.is_finite():
        return f"{value + 0:.{field.decimal_places}f}"
    if isinstance(value, float):
        return value + 0.0  # no negative zero
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            return value.astimezone(UTC)
        return value.replace(tzinfo=UTC) if settings.USE_TZ else value
    return value


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
        return (
            f"CAST(JSON_VALUE({sql}, '$.\"{self.slug}\"') AS BINARY)",
            params,
        )  # else it ignores spaces at the end

    def convert_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value


def facet_text_sql(column: FacetColumn, row: str, connection: BaseDatabaseWrapper) -> str:
    """The facet's value of the row called ``row`` as SQL text (NULL for NULL), for a trigger body.

    A value of a related row is read by a scalar subquery along the foreign keys, so the row itself may be gone. Raises
    NotLocal where the facet has no single value, or where other clients of the database couldn't read it.
    """
    if not column.capturable:
        raise NotLocal(f"the facet lookup {column.lookup!r} doesn't give one value for one object")
    with timezone.override(timezone.get_default_timezone()):
        read = _of_related if column.joins else _of_row
        sql, params = read(column, row, connection)
    refuse_restless(connection, sql)
    return _as_text(inlined(connection, sql, params), column.output, connection)


def _of_row(column: FacetColumn, row: str, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
    query = Query(column.model)
    base = query.get_initial_alias()
    value = column.plain().resolve_expression(query).relabeled_clone({base: row})
    compiled: tuple[str, Any] = query.get_compiler(connection=connection).compile(value)
    return compiled


def _of_related(column: FacetColumn, row: str, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
    head, _, tail = column.value_lookup.partition(LOOKUP_SEP)
    first: Any = column.model._meta.get_field(column.model._meta.pk.name if head == "pk" else head)
    owner, child = first.model._meta.concrete_model, column.model._meta.concrete_model
    if owner is not child:
        # A parent's column, or a relation of the parent's; the parent's row goes after the child's.
        link: Any = column.model._meta.get_ancestor_link(owner)
        here, related, key, tail = link.column, owner, owner._meta.pk.attname, column.value_lookup
    elif not first.concrete or first.remote_field is None:
        # A reverse one-to-one: the related row points here.
        here, related, key = first.field.target_field.column, first.related_model, first.field.attname
    else:
        here, related, key = first.column, first.related_model, first.target_field.attname
    here = RawSQL(f"{row}.{connection.ops.quote_name(here)}", ())
    rows = related._base_manager.using(connection.alias).filter(**{key: here}).order_by()
    values = rows.annotate(sf_value=FacetColumn.resolve(related, tail).plain()).values("sf_value")
    sql, params = values.query.get_compiler(connection=connection).as_sql()
    return f"({sql})", params


def _as_text(value: str, output: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> str:
    if isinstance(output, models.BooleanField):
        return f"CASE WHEN {value} IS NULL THEN NULL WHEN {value} THEN 'True' ELSE 'False' END"
    if connection.vendor == "postgresql" and isinstance(output, models.DateField | models.TimeField):
        return f"(to_jsonb({value}) #>> '{{}}')"  # as ISO 8601, whatever the writer's DateStyle
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
