"""Moves: the lines of whole days, for every flow, each of its pairs of stocks, and each value of its facets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from stockandflow.membership.facets import FacetColumn
from stockandflow.models import ALL, Origin
from stockandflow.periods import Period
from stockandflow.recording.ledgers import Ledger, Pair
from stockandflow.recording.windows import Measures, Window

NOTHING: Measures = (0, 0, 0, 0, 0, 0)
ORIGINS = (Origin.IMPORT, Origin.SWEEP, Origin.INITIAL)


@dataclass
class Line:
    """What a flow record holds: its measures, those of each (facet slug, value key), and how its events came to be.

    ``origins`` are how many were imported, found by a sweep, and are openings, which the measures leave out.
    """

    measures: Measures = NOTHING
    facets: dict[tuple[str, str], Measures] = field(default_factory=dict)
    origins: Measures = (0, 0, 0)

    def add(self, measures: Measures) -> None:
        """Add to the measures."""
        self.measures = _sums(self.measures, measures)

    def add_origins(self, origins: Measures) -> None:
        """Add to the origins."""
        self.origins = _sums(self.origins, origins)

    def add_facet(self, facet: str, value: str, measures: Measures) -> None:
        """Add to the measures of a facet value."""
        self.facets[facet, value] = _sums(self.facets.get((facet, value), NOTHING), measures)


def _sums(one: Measures, other: Measures) -> Measures:
    return tuple(map(sum, zip(one, other, strict=True)))


def moves_of(
    ledger: Ledger, days: Sequence[Period], begun: datetime | None = None
) -> dict[Period, dict[Pair, Line]]:
    """The lines of each of these days of one year, in order: those of pairs that moved, and every flow's total.

    No events are looked for before ``begun``, the first day that has any.

    Queries: one, and one for each facet; where the year is read whole, one more, and one for each of the others where a
    flow has several pairs.
    """
    window = Window(ledger, days, begun)
    found: dict[Period, dict[Pair, Line]] = {
        day: {(slug, ALL, ALL): Line() for slug in ledger.slugs} for day in days
    }
    for row in window.read():
        line = found[row.day].setdefault(row.pair, Line())
        line.add_origins(tuple(row.measures[0] * (row.kept == one.value) for one in ORIGINS))
        if row.kept != Origin.INITIAL.value:
            line.add(row.measures)
    for facet, column, flows in _facets(ledger):
        for row in window.read(flows=flows, facet=(facet, column)):
            found[row.day].setdefault(row.pair, Line()).add_facet(facet, row.kept, row.measures)
    return found


def _facets(ledger: Ledger) -> Iterator[tuple[str, FacetColumn, list[str]]]:
    """Facet slug, its column, and the slugs of the flows that have it."""
    columns: dict[str, FacetColumn] = {}
    flows: dict[str, list[str]] = {}
    for flow in ledger.flows:
        for facet in flow.applied_facets:
            columns.setdefault(facet.slug, facet.column(flow.subject_model))
            flows.setdefault(facet.slug, []).append(flow.slug)
    for slug, column in columns.items():
        yield slug, column, flows[slug]
