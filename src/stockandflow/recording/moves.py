"""Moves: the lines of whole days, for every flow, each of its pairs of stocks, and each value of its facets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

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


def moves_of(ledger: Ledger, days: Sequence[Period], known: Iterable[Pair]) -> dict[Period, dict[Pair, Line]]:
    """The lines of each of these days of one year, in order: those of pairs that moved, and every flow's total.

    ``known`` are pairs with moves on other days of the year. Queries: one, one for the totals where a flow has several
    pairs, and one or two for each facet.
    """
    moves = _Moves(ledger, days)
    moves.read_pairs()
    moves.read_totals(known)
    for facet, column, flows in _facets(ledger):
        moves.read_facet(facet, column, flows)
    return moves.lines


class _Moves:
    """The lines of days, as they are read.

    Where a flow has one pair, its total is that pair's; where it has several, a subject may have moved between more
    than one of them, and what is distinct or first is found anew.
    """

    def __init__(self, ledger: Ledger, days: Sequence[Period]) -> None:
        self.ledger, self.window = ledger, Window(ledger, days)
        self.lines: dict[Period, dict[Pair, Line]] = {
            day: {(slug, ALL, ALL): Line() for slug in ledger.slugs} for day in days
        }
        self.several: list[str] = []

    def read_pairs(self) -> None:
        keys = "flow", "source", "sink", "origin"
        for (flow, source, sink, origin), day, measures in self.window.read(keys):
            pair = flow, source, sink
            if self.ledger.holds(pair):
                line = self.lines[day].setdefault(pair, Line())
                line.add_origins(tuple(measures[0] * (origin == one.value) for one in ORIGINS))
                if origin != Origin.INITIAL.value:
                    line.add(measures)

    def read_totals(self, known: Iterable[Pair]) -> None:
        pairs = {pair for lines in self.lines.values() for pair in lines if pair[1] != ALL} | set(known)
        numbers = Counter(flow for flow, _, _ in pairs)
        self.several = sorted(flow for flow, number in numbers.items() if flow and number > 1)
        if self.several:
            for (flow,), day, measures in self.window.read(("flow",), flows=self.several):
                self.lines[day][flow, ALL, ALL].add(measures)
        for lines in self.lines.values():
            for (flow, source, _), line in lines.items():
                if flow and source != ALL:
                    total = lines[flow, ALL, ALL]
                    total.add_origins(line.origins)
                    if flow not in self.several:
                        total.add(line.measures)

    def read_facet(self, facet: str, column: FacetColumn, flows: Sequence[str]) -> None:
        keys = "flow", "source", "sink"
        for (*pair, value), day, measures in self.window.read(keys, flows=flows, facet=(facet, column)):
            flow, source, sink = pair
            lines = self.lines[day]
            lines[flow, source, sink].add_facet(facet, value, measures)
            if flow not in self.several:
                lines[flow, ALL, ALL].add_facet(facet, value, measures)
        if wide := [flow for flow in flows if flow in self.several]:
            for (flow, value), day, measures in self.window.read(
                ("flow",), flows=wide, facet=(facet, column)
            ):
                self.lines[day][flow, ALL, ALL].add_facet(facet, value, measures)


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
