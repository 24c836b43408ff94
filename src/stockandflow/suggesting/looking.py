"""What a model's own fields suggest: dimensions, and the facets that split them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import models

from stockandflow.suggesting.dimensions import Dimension, dimension_of, is_state, rank_of
from stockandflow.suggesting.facets import SuggestedFacet, facet_of

MOST_FACETS = 5


@dataclass
class Look:
    """What was found in a model; ``left_out`` says of a field in words why nothing was made of it."""

    model: type[models.Model]
    dimensions: list[Dimension] = field(default_factory=list)
    facets: list[SuggestedFacet] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def look(model: type[models.Model], *, query: bool = True) -> Look:
    """What the model's own fields suggest. One bounded query for each foreign key, or none without ``query``."""
    found = Look(model)
    dimensions: list[Dimension] = []
    maybe: list[Dimension] = []
    facets: list[SuggestedFacet] = []
    for column in model._meta.local_concrete_fields:
        dimension = dimension_of(column)
        if dimension is None:
            pass
        elif is_state(column, dimension.kind):
            dimensions.append(dimension)
            continue
        else:
            maybe.append(dimension)
        facets += facet_of(column, dimension, found.left_out, query)
    if not dimensions and (first := _preferred(maybe)):
        dimensions = [first]
        facets = [one for one in facets if one.lookup != first.field_name]
    _settle(found, dimensions)
    found.facets = facets[:MOST_FACETS]
    found.left_out += [
        f"{one.lookup}: a facet more than {MOST_FACETS}; add it to the facets if you want it"
        for one in facets[MOST_FACETS:]
    ]
    return found


def _settle(found: Look, dimensions: list[Dimension]) -> None:
    """Keep the dimensions in the order of how plain they are; an instant beside a state of its own is its history."""
    ranks = {"choices": 0, "boolean": 1, "instant": 2}
    dimensions.sort(key=lambda one: (ranks[one.kind], rank_of(one.field_name)))
    parts: set[str] = set()
    has_choices = any(one.kind == "choices" for one in dimensions)
    for one in dimensions:
        if one.part in parts or (one.kind == "instant" and has_choices):
            found.left_out.append(
                f"{one.field_name}: no stocks of its own, since it tells when and another field tells what"
            )
            continue
        parts.add(one.part)
        found.dimensions.append(one)


def _preferred(maybe: Sequence[Dimension]) -> Dimension | None:
    """What is most likely a state where no name says so."""
    by_kind: dict[str, Dimension] = {}
    for one in maybe:
        by_kind.setdefault(one.kind, one)
    return next((by_kind[kind] for kind in ("choices", "boolean", "instant") if kind in by_kind), None)
