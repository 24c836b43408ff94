"""Facets: the dimensions that split a stock or a flow."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Model, Q, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.db.models.query import FlatValuesListIterable

from stockandflow.declarations.slugs import checked_slug
from stockandflow.exceptions import DeclarationError, UnknownFacetValue
from stockandflow.membership.facets import NONE, OTHER, FacetColumn, facet_key


@dataclass(frozen=True, eq=False)
class Facet:
    """A dimension that splits stocks and flows into parts, e.g. by plan.

    ``field_lookup`` is the left side of a filter's keyword: ``"plan__name"``, ``"created__year"``, ``"age__gte"``.
    ``values`` are a sequence, a dict of label → value, a flat ``values_list`` queryset (evaluated afresh at every use),
    or None for whatever the column holds. NULL is always the extra value ``(none)``, and what the values leave out is
    ``(other)``.
    """

    slug: str
    name: str
    field_lookup: str
    values: Sequence[Any] | Mapping[str, Any] | QuerySet[Any, Any] | None = None

    def __post_init__(self) -> None:
        checked_slug("facet", self.slug)
        if not isinstance(self.field_lookup, str) or not self.field_lookup:
            raise DeclarationError(
                f"The facet {self.slug!r} has the field_lookup {self.field_lookup!r}; write the left side of a "
                "filter's keyword, e.g. 'plan__name'."
            )
        values = self.values
        if isinstance(values, str | bytes) or not (values is None or isinstance(values, Iterable)):
            raise DeclarationError(
                f"The facet {self.slug!r} has the values {values!r}; write a list, a dict of label → value, a flat "
                "values_list queryset, or leave them out."
            )
        if isinstance(values, QuerySet):
            if not issubclass(getattr(values, "_iterable_class", object), FlatValuesListIterable):
                raise DeclarationError(
                    f"The facet {self.slug!r} has a queryset of {values.model.__name__} as values that gives more than "
                    f"one value a row; write {values.model.__name__}.objects.values_list('<field>', flat=True)."
                )
        elif isinstance(values, Mapping):
            object.__setattr__(self, "values", dict(values))
            self._check_labels(values)
        elif values is not None:
            object.__setattr__(self, "values", tuple(values))
        if not isinstance(self.values, QuerySet | None):
            listed = self.values.values() if isinstance(self.values, Mapping) else self.values
            if strange := [value for value in listed if not isinstance(value, Hashable)]:
                raise DeclarationError(
                    f"The facet {self.slug!r} has {strange[0]!r} among its values; each must be one value to compare "
                    "the column with, or a tuple where the lookup asks of several, as 'plan__in' does."
                )

    def _check_labels(self, values: Mapping[str, Any]) -> None:
        first: dict[str, str] = {}
        for label, value in values.items():
            other = first.setdefault(facet_key(value), label)
            if other is not label:
                raise DeclarationError(
                    f"The facet {self.slug!r} gives the value {value!r} two labels, {str(other)!r} and "
                    f"{str(label)!r}; keep one of them."
                )

    def __str__(self) -> str:
        return str(self.name)

    def __repr__(self) -> str:
        return f"<Facet {self.slug}>"

    def choices(self) -> list[tuple[str, Any]] | None:
        """The declared values as (label, value), in order, each once; None where the column decides.

        One query where the values are a queryset, else none.
        """
        if self.values is None:
            return None
        if isinstance(self.values, Mapping):
            return [(str(label), value) for label, value in self.values.items()]
        found: dict[str, Any] = {}
        for value in self.values.all() if isinstance(self.values, QuerySet) else self.values:
            found.setdefault(facet_key(value), value)
        return list(found.items())

    def lookup(self, field_prefix: str = "") -> str:
        """The field lookup as seen from an object that reaches the faceted one by ``field_prefix``."""
        return f"{field_prefix}{LOOKUP_SEP}{self.field_lookup}" if field_prefix else self.field_lookup


class AppliedFacet(NamedTuple):
    """A facet on one model: ``field_prefix`` leads from that model to the object that the facet describes."""

    facet: Facet
    field_prefix: str = ""

    @property
    def slug(self) -> str:
        return self.facet.slug

    @property
    def name(self) -> str:
        return self.facet.name

    @property
    def lookup(self) -> str:
        return self.facet.lookup(self.field_prefix)

    def column(self, model: type[Model]) -> FacetColumn:
        """The column that the facet reads on ``model``; raises FieldError when the lookup doesn't resolve."""
        return FacetColumn.resolve(model, self.lookup)

    def declared_keys(self, model: type[Model]) -> set[str] | None:
        """The keys of the values that it declares; None where the column decides. One query for those of a queryset."""
        column, choices = self.column(model), self.facet.choices()
        return None if choices is None else {column.key(value) for _, value in choices}

    def condition(self, model: type[Model], key: str) -> Q:
        """The condition that an object of ``model`` has the value kept under ``key``.

        ``key`` is what records keep: the value as text, ``(none)`` or ``(other)``; the label of a declared value does
        too. Raises UnknownFacetValue when the facet declares its values and this is none of them, or when the column
        can't hold it. One query where the values are a queryset, else none.
        """
        column, choices = self.column(model), self.facet.choices()
        if key == NONE:
            return column.is_null()
        if choices is None:
            try:
                if key != OTHER:
                    return column.find(key)
            except ValueError as error:
                raise UnknownFacetValue(self.slug, key, [], reason=str(error)) from error
            raise UnknownFacetValue(self.slug, key, [], reason="it declares no values, so none is left out")
        by_key = {column.key(value): value for _, value in choices}
        by_label = dict(choices)
        if key in by_key:
            return column.has(by_key[key])
        if key in by_label:
            return column.has(by_label[key])
        if key == OTHER and not column.condition:
            return column.is_other(by_key.values())
        if column.key(key) in by_key:
            return column.has(by_key[column.key(key)])
        raise UnknownFacetValue(self.slug, key, by_key)


def applied(owner: str, facets: Iterable[Facet | tuple[Facet, str]]) -> tuple[AppliedFacet, ...]:
    """The facets of a declaration, each with its prefix, in order; raises DeclarationError for anything else."""
    found: list[AppliedFacet] = []
    if isinstance(facets, str) or not isinstance(facets, Iterable):
        raise DeclarationError(
            f"{owner} has the facets {facets!r}; write a list of them, e.g. facets=[plan]."
        )
    for given in facets:
        facet, prefix = given if isinstance(given, tuple) and len(given) == 2 else (given, "")
        if not isinstance(facet, Facet) or not isinstance(prefix, str):
            raise DeclarationError(
                f"{owner} has {given!r} among its facets; write a Facet, or (Facet, 'field_prefix') where the facet "
                "describes a related object."
            )
        found.append(AppliedFacet(facet, prefix))
    slugs = [facet.slug for facet in found]
    if twice := sorted({slug for slug in slugs if slugs.count(slug) > 1}):
        raise DeclarationError(f"{owner} has the facet {twice[0]!r} twice; keep one of them.")
    return tuple(found)
