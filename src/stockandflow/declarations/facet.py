"""Facets: the dimensions that split a stock or a flow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Model, Q, QuerySet
from django.db.models.constants import LOOKUP_SEP

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
        if isinstance(values, str) or not (values is None or isinstance(values, Iterable)):
            raise DeclarationError(
                f"The facet {self.slug!r} has the values {values!r}; write a list, a dict of label → value, a flat "
                "values_list queryset, or leave them out."
            )
        if isinstance(values, QuerySet):
            if not getattr(values, "_fields", None) or len(getattr(values, "_fields", ())) != 1:
                raise DeclarationError(
                    f"The facet {self.slug!r} has a queryset of {values.model.__name__} objects as values; write "
                    f"{values.model.__name__}.objects.values_list('<field>', flat=True)."
                )
        elif values is not None and not isinstance(values, Mapping):
            object.__setattr__(self, "values", tuple(values))

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
        found = dict.fromkeys(self.values.all() if isinstance(self.values, QuerySet) else self.values)
        return [(facet_key(value), value) for value in found]

    def get_Q(self, value: Any, field_prefix: str = "") -> Q:  # noqa: N802 - the 2011 name
        """The condition that an object has this value; None asks for NULL. The prefix leads to the faceted object."""
        lookup = self.lookup(field_prefix)
        return (
            Q(**{f"{lookup.removesuffix('__exact')}__isnull": True})
            if value is None
            else Q(**{lookup: value})
        )

    def lookup(self, field_prefix: str = "") -> str:
        """The field lookup as seen from an object that reaches the faceted one by ``field_prefix``."""
        return f"{field_prefix}{LOOKUP_SEP}{self.field_lookup}" if field_prefix else self.field_lookup

    def to_count(self, field_prefix: str = "") -> list[tuple[Any, Q]]:
        """The declared values with their conditions; empty where the column decides."""
        return [(value, self.get_Q(value, field_prefix)) for _, value in self.choices() or []]


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

    def condition(self, model: type[Model], key: str) -> Q:
        """The condition that an object of ``model`` has the value kept under ``key``.

        ``key`` is what records keep: the value as text, ``(none)`` or ``(other)``. Raises UnknownFacetValue when the
        facet declares its values and this is none of them, or when the column can't hold it.
        """
        choices = self.facet.choices()
        if key == NONE:
            return self.facet.get_Q(None, self.field_prefix)
        for label, value in choices or []:
            if key in (facet_key(value), label):
                return self.facet.get_Q(value, self.field_prefix)
        if choices is not None and key == OTHER:
            declared = [
                self.facet.get_Q(value, self.field_prefix) for _, value in choices if value is not None
            ]
            rest = ~self.facet.get_Q(None, self.field_prefix)
            for condition in declared:
                rest &= ~condition
            return rest
        if choices is not None:
            raise UnknownFacetValue(self.slug, key, [facet_key(value) for _, value in choices])
        column = self.column(model)
        try:
            value = column.field.to_python(key) if not column.transforms else key
        except Exception as error:
            raise UnknownFacetValue(self.slug, key, []) from error
        return self.facet.get_Q(value, self.field_prefix)


def applied(owner: str, facets: Iterable[Facet | tuple[Facet, str]]) -> tuple[AppliedFacet, ...]:
    """The facets of a declaration, each with its prefix, in order; raises DeclarationError for anything else."""
    found: list[AppliedFacet] = []
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
