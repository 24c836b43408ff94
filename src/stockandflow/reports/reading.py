"""The moves of a process over spans: from flow records where whole days are stored, from events for the rest."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import router
from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import TruncHour

from stockandflow.conf import conf
from stockandflow.declarations import Process
from stockandflow.membership.facets import NONE, FacetColumn, FacetText
from stockandflow.models import ALL, FlowFacetRecord, FlowRecord, Origin, Watermark, settling
from stockandflow.periods import Grain, Period, Status
from stockandflow.reports.planning import Plan, Span, atoms, beginning_of, plan, runs

Move = tuple[str, str, str]
"""Flow slug, source key, sink key."""
FIRSTS = ("first_in_week", "first_in_month", "first_in_quarter", "first_in_year")


@dataclass
class Moves:
    """The moves of one span. ``values`` is value key → moves, where a facet was asked for.

    ``subjects`` is None where they aren't known, ``final`` whether they come from final records alone, and ``revised``
    whether one of these was restated.
    """

    counts: Counter[Move] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    values: defaultdict[str, Counter[Move]] = field(default_factory=lambda: defaultdict(Counter))
    subjects: Counter[Move] | None = None
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
    """Span → its moves; and for instants of counts, slug → in less out by the events that were settling then."""

    moves: Mapping[Span, Moves]
    settled: Mapping[datetime, Counter[str]]


def read(
    process: Process,
    spans: Iterable[Span],
    now: datetime,
    *,
    counted_at: Iterable[datetime] = (),
    facet: str = "",
    columns: Mapping[type[Any], FacetColumn] | None = None,
    split: Collection[str] = (),
) -> Read:
    """Read the moves that touch the process's stocks, with a facet by its value: only flows of ``split`` have one.

    Queries: one for the watermarks, one for the flow records, one for their facet values where a ``facet`` is given,
    and two for each event model: which days have events that no record holds yet, and the events themselves.
    """
    return _Reading(process, set(spans), now, facet, columns or {}, split).read(sorted(set(counted_at)))


@dataclass(frozen=True)
class _Stored:
    """The records of one period. ``missing`` are flows of the process that have no total there."""

    rows: list[tuple[Move, int, int, dict[str, int], dict[str, int]]]
    values: Mapping[Move, Counter[str]]
    status: Status
    missing: frozenset[str]
    revised: bool


class _Reading:
    def __init__(
        self,
        process: Process,
        spans: set[Span],
        now: datetime,
        facet: str,
        columns: Mapping[type[Any], FacetColumn],
        split: Collection[str],
    ) -> None:
        self.process, self.spans, self.now, self.facet, self.columns = process, spans, now, facet, columns
        self.split, self.calendar = split, process.calendar
        self.slugs = [stock.slug for stock in process.stocks]
        self.flows = {flow.slug for flow in process.flows}
        self.models = {flow.flow_event_model for flow in process.flows}
        self.models |= {model for stock in process.stocks for model in stock.registry.event_models_of(stock)}

    def read(self, counted_at: list[datetime]) -> Read:
        computed, apart = self._computed()
        plans = {span: plan(span, self.calendar, computed, apart) for span in self.spans}
        stored = self._stored({period for one in plans.values() for period in one.periods})
        unread = {day for day in apart if day in stored and stored[day].status is not Status.FINAL}
        unread |= {period for period, found in stored.items() if self.flows and found.missing == self.flows}
        by_events = {span for one in plans.values() for span in one.events}
        by_events |= {
            (period.start, period.end)
            for period, found in stored.items()
            if found.missing or period in unread
        }
        cells, settled = self._events(by_events, counted_at)
        found = {
            span: self._moves(span, one, {p: s for p, s in stored.items() if p not in unread}, cells)
            for span, one in plans.items()
        }
        return Read(found, settled)

    def _computed(self) -> tuple[Span | None, set[Period]]:
        """Which days are in the records, and those among them with events that these may not hold yet."""
        marks = {
            mark.event_model: mark
            for mark in Watermark.objects.filter(
                calendar=self.calendar.key, event_model__in=[model._meta.label_lower for model in self.models]
            )
        }
        known = [mark for mark in marks.values() if mark.since is not None and mark.until is not None]
        if not known or len(known) < len(self.models):
            return None, set()
        today = self.calendar.period(Grain.DAY, self.now).start
        since = max(mark.since for mark in known if mark.since)
        until = min(today, *(mark.until for mark in known if mark.until))
        apart: set[Period] = set()
        if since >= until:
            return None, apart
        for model in self.models:
            mark = marks[model._meta.label_lower]
            fresh = self._rows(model).filter(pk__gt=mark.event_id)
            hours = fresh.annotate(sf_hour=TruncHour("timestamp", tzinfo=UTC)).values_list(
                "sf_hour", flat=True
            )
            stretches = [(hour, hour + timedelta(hours=1)) for hour in hours.distinct()]
            if mark.anew_since is not None:
                stretches.append((mark.anew_since, until))
            for low, high in stretches:
                apart.update(self.calendar.periods(Grain.DAY, max(low, since), min(high, until)))
        return (since, until), apart

    def _stored(self, periods: set[Period]) -> dict[Period, _Stored]:
        """What is stored of these periods; those that have no record at all are left to the events, too."""
        if not periods:
            return {}
        by_key = {(period.grain.value, period.start): period for period in periods}
        rows: dict[Period, list[Any]] = {period: [] for period in periods}
        totals: dict[Period, dict[str, datetime]] = {period: {} for period in periods}
        revised: set[Period] = set()
        records = FlowRecord.objects.order_by().filter(self._wanted(periods))
        for flow, source, sink, grain, start, computed_at, revision, number, subjects, *more in records.values_list(
            "flow", "source", "sink", "grain", "start", "computed_at", "revision", "count", "subjects",
            *FIRSTS, "imported", "swept", "initial",
        ):  # fmt: skip
            period = by_key.get((grain, start))
            if period is None:
                continue
            if source == ALL:
                totals[period][flow] = computed_at
                continue
            firsts = dict(zip(FIRSTS, more, strict=False))
            origins = dict(
                zip((Origin.IMPORT, Origin.SWEEP, Origin.INITIAL), more[len(FIRSTS) :], strict=True)
            )
            rows[period].append(((flow, source, sink), number, subjects, firsts, origins))
            if revision > 1:
                revised.add(period)
        values = self._stored_values(periods, by_key)
        lateness = conf().allowed_lateness
        return {
            period: _Stored(
                rows[period],
                values[period],
                Status.of(period.end, min(totals[period].values(), default=None), self.now, lateness),
                frozenset(self.flows - totals[period].keys()),
                period in revised,
            )
            for period in periods
        }

    def _stored_values(
        self, periods: set[Period], by_key: Mapping[tuple[str, datetime], Period]
    ) -> dict[Period, dict[Move, Counter[str]]]:
        found: dict[Period, dict[Move, Counter[str]]] = {period: defaultdict(Counter) for period in periods}
        if not self.facet:
            return found
        records = FlowFacetRecord.objects.order_by().filter(
            self._wanted(periods, "flow_record__"), facet=self.facet
        )
        names = ("grain", "start", "flow", "source", "sink")
        for grain, start, flow, source, sink, value, number in records.values_list(
            *(f"flow_record__{name}" for name in names), "value", "count"
        ):
            if (period := by_key.get((grain, start))) is not None and source != ALL:
                found[period][flow, source, sink][value] += number
        return found

    def _wanted(self, periods: set[Period], prefix: str = "") -> Q:
        """The condition on flow records, or on what leads to them: of these periods, and of the process's stocks."""

        def q(**conditions: Any) -> Q:
            return Q(**{f"{prefix}{name}": value for name, value in conditions.items()})

        when = Q()
        for grain, low, high in runs(periods):
            when |= q(grain=grain.value, start__gte=low, start__lt=high)
        whose = q(source__in=self.slugs) | q(sink__in=self.slugs) | q(source=ALL, flow__in=sorted(self.flows))
        return q(calendar=self.calendar.key) & when & whose

    def _events(
        self, spans: set[Span], counted_at: list[datetime]
    ) -> tuple[dict[Span, list[tuple[Move, str, str | None, int]]], dict[datetime, Counter[str]]]:
        """Span → (move, origin, value key, how many); and what was settling at each instant of a count."""
        parts = atoms(spans)
        starts = [low for low, _ in parts]
        by_atom: list[list[tuple[Move, str, str | None, int]]] = [[] for _ in parts]
        settled: dict[datetime, Counter[str]] = {at: Counter() for at in counted_at}
        if parts or counted_at:
            for model in self.models:
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
        for low, high in _joined(parts):
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
        rows = self._rows(model).filter(Q(source__in=self.slugs) | Q(sink__in=self.slugs), when)
        rows = rows.annotate(sf_place=place)
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

    @staticmethod
    def _rows(model: type[Any]) -> QuerySet[Any]:
        rows: QuerySet[Any] = model._default_manager.using(router.db_for_read(model)).order_by()
        return rows

    def _moves(
        self,
        span: Span,
        how: Plan,
        stored: Mapping[Period, _Stored],
        cells: Mapping[Span, list[tuple[Move, str, str | None, int]]],
    ) -> Moves:
        kept = tuple(period for period in how.periods if period in stored)
        found = Moves(
            periods=kept,
            final=not how.events
            and len(kept) == len(how.periods)
            and all(stored[one].status is Status.FINAL and not stored[one].missing for one in kept),
            revised=any(stored[one].revised for one in kept),
        )
        for period in kept:
            for move, number, _, _, origins in stored[period].rows:
                if move[0] in stored[period].missing:
                    continue
                found.counts[move] += number
                found.origins.update(origins)
                found.origins[Origin.LIVE] += number - origins[Origin.IMPORT] - origins[Origin.SWEEP]
                if self.facet:
                    _add_values(found, move, number, stored[period].values.get(move, Counter()))
            for cell in cells.get((period.start, period.end), ()):
                if cell[0][0] in stored[period].missing:
                    _add_cell(found, cell)
        read_apart = [(period.start, period.end) for period in how.periods if period not in stored]
        for part in (*how.events, *read_apart):
            for cell in cells[part]:
                _add_cell(found, cell)
        if not how.events and not read_apart:
            found.subjects = self._subjects(span, kept, stored)
        found.counts += Counter()
        found.origins += Counter()
        return found

    def _subjects(
        self, span: Span, kept: tuple[Period, ...], stored: Mapping[Period, _Stored]
    ) -> Counter[Move] | None:
        """Distinct subjects by move: those of the one period, or of whom it is the first move of a longer one."""
        if any(stored[period].missing for period in kept):
            return None
        found: Counter[Move] = Counter()
        grain = None if len(kept) == 1 else beginning_of(span, kept, self.calendar)
        if len(kept) > 1 and grain is None:
            return None
        for period in kept:
            for move, _, subjects, firsts, _ in stored[period].rows:
                found[move] += subjects if grain is None else firsts[f"first_in_{grain.value}"]
        return found


def _add_values(found: Moves, move: Move, number: int, values: Mapping[str, int]) -> None:
    for value, part in values.items():
        found.values[value][move] += part
    # A flow that doesn't have the facet, or had it later, has moves without a value.
    if rest := number - sum(values.values()):
        found.values[NONE][move] += rest


def _add_cell(found: Moves, cell: tuple[Move, str, str | None, int]) -> None:
    move, origin, value, number = cell
    found.origins[origin] += number
    if origin == Origin.INITIAL:
        return
    found.counts[move] += number
    if value is not None:
        found.values[value][move] += number


def _joined(parts: Iterable[Span]) -> list[Span]:
    """Spans in order with those that meet made one."""
    found: list[Span] = []
    for low, high in parts:
        if found and found[-1][1] == low:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return found
