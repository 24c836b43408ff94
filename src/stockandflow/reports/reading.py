"""The moves of a process over spans: from flow records where whole days are stored, from events for the rest."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, IntegerField, Q, Value, When

from stockandflow.declarations import Process
from stockandflow.membership.facets import NONE, FacetColumn, FacetText
from stockandflow.models import Origin, settling, stored_events
from stockandflow.periods import Period, Status
from stockandflow.reports.computed import computed_for
from stockandflow.reports.events import models_of, moves_of
from stockandflow.reports.planning import Plan, Span, atoms, beginning_of, plan
from stockandflow.reports.stored import Batch, Move, Stored
from stockandflow.spans import merged

Cell = tuple[Move, str, str | None, int]
"""What events tell: a move, its origin, the key of its value, and how many."""


@dataclass
class Moves:
    """The moves of one span. ``values`` is value key → moves, where a facet was asked for.

    ``subjects`` is None where they aren't known, ``final`` whether they come from final records alone, and ``revised``
    whether one of these was restated. ``computed_at`` is when the earliest record of each move was computed, and empty
    where events were read too.
    """

    counts: Counter[Move] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    values: defaultdict[str, Counter[Move]] = field(default_factory=lambda: defaultdict(Counter))
    subjects: Counter[Move] | None = None
    computed_at: dict[Move, datetime] = field(default_factory=dict)
    periods: tuple[Period, ...] = ()
    final: bool = False
    revised: bool = False

    def net(self, slug: str, value: str | None = None) -> int:
        """In less out of a stock, or of its slice with one value."""
        counts = self.counts if value is None else self.values.get(value, Counter())
        return sum(
            number * ((sink == slug) - (source == slug)) for (_, source, sink), number in counts.items()
        )


@dataclass(frozen=True)
class Read:
    """Span → its moves; and for instants of counts, slug → in less out by the events that were settling then.

    ``begun`` is event model → the first day that its records tell of, where that is known.
    """

    moves: Mapping[Span, Moves]
    settled: Mapping[datetime, Counter[str]]
    begun: Mapping[type[Any], datetime]


def read(
    process: Process,
    spans: Iterable[Span],
    now: datetime,
    *,
    counted_at: Iterable[datetime] = (),
    if_kept: Iterable[Span] = (),
    facet: str = "",
    columns: Mapping[type[Any], FacetColumn] | None = None,
    split: Collection[str] = (),
) -> Read:
    """Read the moves of the process's stocks and flows, with a facet by its value: only flows of ``split`` have one.

    Raises InvalidInput where that takes events that were pruned; spans of ``if_kept`` are left out then.

    Queries: one for the watermarks, one for the flow records, three more where a flow is recorded for some of the
    periods alone, one for the facet values where a ``facet`` is given, and two for each event model: which days have
    events that no record holds yet, and the events themselves.
    """
    reading = _Reading(process, facet, columns or {}, split)
    return reading.read(set(spans), now, sorted(set(counted_at)), set(if_kept))


class _Reading:
    def __init__(
        self,
        process: Process,
        facet: str,
        columns: Mapping[type[Any], FacetColumn],
        split: Collection[str],
    ) -> None:
        self.process, self.facet, self.columns, self.split = process, facet, columns, split

    def read(
        self, spans: set[Span], now: datetime, counted_at: list[datetime], if_kept: Collection[Span] = ()
    ) -> Read:
        computed = computed_for(self.process, spans, now)
        calendar = self.process.calendar
        plans = {span: plan(span, calendar, computed.days, computed.apart) for span in spans.union(if_kept)}
        for span in plans.keys() - spans:
            if any(computed.was_pruned(low) for low, _ in plans[span].events):
                del plans[span]
        stored = Stored(self.process, plans, computed, now, self.facet, self.split)
        by_events = {span for one in plans.values() for span in one.events}
        by_events |= {
            (period.start, period.end)
            for period, total in stored.totals.items()
            if period in stored.unread or (total.missing and not computed.was_pruned(period.start))
        }
        computed.refuse_pruned(by_events)
        cells, settled = self._events(by_events, counted_at)
        found = {span: self._moves(span, one, stored, cells) for span, one in plans.items()}
        return Read(found, settled, computed.begun)

    def _events(
        self, spans: set[Span], counted_at: list[datetime]
    ) -> tuple[dict[Span, list[Cell]], dict[datetime, Counter[str]]]:
        """The cells of each span; and what was settling at each instant of a count."""
        parts = atoms(spans)
        starts = [low for low, _ in parts]
        by_atom: list[list[Cell]] = [[] for _ in parts]
        settled: dict[datetime, Counter[str]] = {at: Counter() for at in counted_at}
        if parts or counted_at:
            for model in models_of(self.process):
                for flow, source, sink, origin, atom, value, number, *late in self._cells(
                    model, parts, counted_at
                ):
                    if atom >= 0:
                        by_atom[atom].append(((flow, source, sink), origin, value, number))
                    for at, moved in zip(counted_at, late, strict=True):
                        settled[at][source] -= moved
                        settled[at][sink] += moved
        cells = {
            span: [
                cell
                for index in range(bisect_left(starts, span[0]), bisect_left(starts, span[1]))
                for cell in by_atom[index]
            ]
            for span in spans
        }
        return cells, settled

    def _cells(self, model: type[Any], parts: list[Span], counted_at: list[datetime]) -> Iterable[Any]:
        """Rows of (flow, source, sink, origin, place of the part or -1, value key, how many, settling …)."""
        when = Q()
        for low, high in merged(parts):
            when |= Q(timestamp__gte=low, timestamp__lt=high)
        for at in counted_at:
            when |= settling(at)
        place = Case(
            *(
                When(timestamp__gte=low, timestamp__lt=high, then=Value(index))
                for index, (low, high) in enumerate(parts)
            ),
            default=Value(-1),
            output_field=IntegerField(),
        )
        column = self.columns.get(model)
        rows = stored_events(model).filter(moves_of(self.process), when).annotate(sf_place=place)
        names = ["flow", "source", "sink", "origin", "sf_place"]
        if column is not None:
            rows = rows.annotate(sf_value=FacetText(self.facet))
            names.append("sf_value")
        late = {f"sf_late_{index}": Count("pk", filter=settling(at)) for index, at in enumerate(counted_at)}
        for row in rows.values_list(*names).annotate(sf_count=Count("pk"), **late):
            move, rest = row[:5], row[5:]
            if column is None:
                yield (*move, None, *rest)
            else:
                value, *numbers = rest
                known = value is not None and move[0] in self.split
                yield (*move, column.key(value) if known else NONE, *numbers)

    def _moves(self, span: Span, how: Plan, stored: Stored, cells: Mapping[Span, list[Cell]]) -> Moves:
        kept = tuple(period for period in how.periods if period not in stored.unread)
        missing = {(period.start, period.end): stored.totals[period].missing for period in kept}
        batches = stored.read_for(span)
        whole = not how.events and len(kept) == len(how.periods) and not any(missing.values())
        found = Moves(
            periods=kept,
            final=whole and all(stored.totals[one].status is Status.FINAL for one in kept),
            revised=any(known.revision > 1 for batch in batches for known in batch.sums.values()),
        )
        for batch in batches:
            for move, known in batch.sums.items():
                found.counts[move] += known.count
                found.origins.update(known.origins)
                found.origins[Origin.LIVE] += (
                    known.count - known.origins[Origin.IMPORT] - known.origins[Origin.SWEEP]
                )
                if self.facet:
                    _add_values(found, move, known.count, batch.values.get(move, Counter()))
        for part, flows in missing.items():
            for cell in cells.get(part, ()):
                if cell[0][0] in flows:
                    _add_cell(found, cell)
        unread = ((one.start, one.end) for one in how.periods if one in stored.unread)
        for part in (*how.events, *unread):
            for cell in cells[part]:
                _add_cell(found, cell)
        if whole:
            found.subjects = self._subjects(span, kept, batches)
            found.computed_at = _computed_at(batches)
        found.counts += Counter()
        found.origins += Counter()
        return found

    def _subjects(
        self, span: Span, kept: tuple[Period, ...], stored: Iterable[Batch]
    ) -> Counter[Move] | None:
        """Distinct subjects by move: those of the one period, or of whom it is the first move of a longer one."""
        grain = None if len(kept) == 1 else beginning_of(span, kept, self.process.calendar)
        if len(kept) > 1 and grain is None:
            return None
        found: Counter[Move] = Counter()
        for batch in stored:
            for move, known in batch.sums.items():
                found[move] += known.subjects if grain is None else known.firsts[f"first_in_{grain.value}"]
        return found


def _computed_at(stored: Iterable[Batch]) -> dict[Move, datetime]:
    """Move → when the earliest of its records was computed."""
    found: dict[Move, datetime] = {}
    for batch in stored:
        for move, known in batch.sums.items():
            found[move] = min(found.get(move, known.computed_at), known.computed_at)
    return found


def _add_values(found: Moves, move: Move, number: int, values: Mapping[str, int]) -> None:
    for value, part in values.items():
        found.values[value][move] += part
    # A flow that doesn't have the facet, or had it later, has moves without a value.
    if rest := number - sum(values.values()):
        found.values[NONE][move] += rest


def _add_cell(found: Moves, cell: Cell) -> None:
    move, origin, value, number = cell
    found.origins[origin] += number
    if origin == Origin.INITIAL:
        return
    found.counts[move] += number
    if value is not None:
        found.values[value][move] += number
