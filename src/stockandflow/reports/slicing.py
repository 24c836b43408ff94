"""Slices: the part of a process whose objects have one value of a facet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stockandflow.declarations import AppliedFacet, Facet, Process, Stock
from stockandflow.exceptions import InvalidInput, UnknownFacetValue, UnknownSlug
from stockandflow.membership.counting import Values
from stockandflow.membership.facets import NONE, OTHER, FacetColumn


@dataclass(frozen=True)
class Slicing:
    """One facet of a process: the stocks that have it, and how its values are known.

    ``declared`` is label → value key in declared order, None where the column decides; ``known`` gives what was asked
    for that.
    """

    slug: str
    stocks: tuple[Stock, ...]
    facets: Mapping[Stock, AppliedFacet]
    declared: Mapping[str, str] | None
    known: Mapping[Facet, Values]

    @classmethod
    def of(cls, process: Process, slug: str, known: Mapping[Facet, Values] | None = None) -> Slicing:
        """The facet with that slug; raises InvalidInput where no stock has it, or an object may have several values.

        One query where its values are a queryset and aren't ``known``.
        """
        facets = {stock: one for stock in process.stocks for one in stock.applied_facets if one.slug == slug}
        if not facets:
            there = {one.slug for stock in process.stocks for one in stock.applied_facets}
            raise UnknownSlug(f"facet of the process {process.slug!r}", slug, there)
        for stock, facet in facets.items():
            if not facet.column(stock.model).capturable:
                raise InvalidInput(
                    f"The facet {slug!r} of the stock {stock.slug!r} gives an object several values or answers, so its "
                    "parts don't sum to the whole, and events don't keep it; ask for a facet that gives each object "
                    "one value."
                )
        stock, facet = next(iter(facets.items()))
        choices = (known or {}).get(facet.facet, facet.facet.choices)()
        column = facet.column(stock.model)
        declared = None if choices is None else {label: column.key(value) for label, value in choices}
        return cls(slug, tuple(facets), facets, declared, {facet.facet: lambda: choices})

    def columns(self) -> dict[type[Any], FacetColumn]:
        """Event model → the column whose values its events keep."""
        return {
            model: facet.column(stock.model)
            for stock, facet in self.facets.items()
            for model in stock.registry.event_models_of(stock)
        }

    def flows(self) -> set[str]:
        """The slugs of the flows whose moves are known by their value: those that have the facet."""
        return {
            flow.slug
            for stock in self.stocks
            for flow in (*stock.inflows, *stock.outflows)
            if any(facet.slug == self.slug for facet in flow.applied_facets)
        }

    def key(self, value: Any) -> str:
        """What records call a value, given as it is, by its label or by its key; it need not be known."""
        if isinstance(value, str) and value in (NONE, OTHER):
            return value
        declared = self.declared or {}
        if isinstance(value, str) and value in declared and value not in declared.values():
            return declared[value]
        stock, facet = next(iter(self.facets.items()))
        return facet.column(stock.model).key(value)

    def values(self, levels: Iterable[str], moves: Iterable[str]) -> list[str]:
        """The value keys that there are: the declared ones in order, then those found, ``(other)`` and ``(none)`` last.

        Moves of a value that is neither declared nor that of a level count under ``(other)``, as levels do.
        """
        found = set(levels)
        found |= set(moves) if self.declared is None else {self.folded(value, found) for value in moves}
        declared = list((self.declared or {}).values())
        last = [value for value in (OTHER, NONE) if value in found]
        return [*declared, *sorted(found - {*declared, OTHER, NONE}), *last]

    def apart(self, levels: Iterable[str]) -> frozenset[str]:
        """The values that levels have and nobody declares any more, so that they don't count under ``(other)``."""
        if self.declared is None:
            return frozenset()
        return frozenset(levels) - {NONE, OTHER, *self.declared.values()}

    def folded(self, value: str, levels: Iterable[str]) -> str:
        """The key under which a move's value counts."""
        if self.declared is None or value == NONE or value in self.declared.values() or value in levels:
            return value
        return OTHER

    def check(self, key: str, found: Iterable[str]) -> None:
        """Raise UnknownFacetValue, naming those there are, for a key that is neither declared nor found."""
        if self.declared is None:
            stock, facet = next(iter(self.facets.items()))
            facet.condition(stock.model, key)
        elif key not in {NONE, OTHER, *self.declared.values(), *found}:
            raise UnknownFacetValue(self.slug, key, self.declared.values())


def asked(
    process: Process,
    facets: Mapping[str, Any] | None,
    split_by: str | None,
    known: Mapping[Facet, Values] | None = None,
) -> tuple[Slicing | None, str | None]:
    """The facet that a report asks for, and the key of its value where it is about one; (None, None) for the whole.

    Raises InvalidInput for more than one facet: records keep each by itself.
    """
    if split_by is not None and facets:
        raise InvalidInput(
            f"facets is {facets!r} and split_by {split_by!r}; give one of them: records keep each facet by itself."
        )
    if split_by is not None:
        return Slicing.of(process, split_by, known), None
    if not facets:
        return None, None
    if not isinstance(facets, Mapping) or len(facets) > 1:
        raise InvalidInput(
            f"facets is {facets!r}; write one facet and its value, e.g. {{'plan': 'Pro'}}: records keep each facet by "
            "itself."
        )
    ((slug, value),) = facets.items()
    slicing = Slicing.of(process, slug, known)
    return slicing, slicing.key(value)
