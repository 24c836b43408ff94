"""The moves of a process over spans: from flow records where whole days are stored, from events for the rest."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections, router
from django.db.models import (
    Case,
    CharField,
    Count,
    DateTimeField,
    F,
    Func,
    IntegerField,
    Max,
    Min,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import TruncHour

from stockandflow.conf import conf
from stockandflow.declarations import Flow, Process, state_key
from stockandflow.exceptions import InvalidInput
from stockandflow.membership.facets import NONE, FacetColumn, FacetText
from stockandflow.models import ALL, FlowFacetRecord, FlowRecord, Origin, Watermark, settling
from stockandflow.periods import Grain, Period, Status
from stockandflow.reports.planning import Plan, Span, atoms, beginning_of, plan, runs
from stockandflow.spans import merged

Move = tuple[str, str, str]
"""Flow slug, source key, sink key."""
SUMMED = ("count", "subjects")
FIRSTS = ("first_in_week", "first_in_month", "first_in_quarter", "first_in_year")
ORIGINS = {"imported": Origin.IMPORT, "swept": Origin.SWEEP, "initial": Origin.INITIAL}
"""Column → the origin that it counts."""

HOUR = timedelta(hours=1)


class _TextHour(Func):
    """The hour of an instant on SQLite, where Django would call Python for each row; there instants are texts."""

    output_field = DateTimeField()
    template = "substr(%(expressions)s, 1, 13) || ':00:00'"


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
    """Read the moves of the process's stocks and flows, with a facet by its value: only flows of ``split`` have one.

    Raises InvalidInput where that takes events that were pruned.

    Queries: one for the watermarks, one for the flow records, three more where a flow is recorded for some of the
    periods alone, one for the facet values where a ``facet`` is given, and two for each event model: which days have
    events that no record holds yet, and the events themselves.
    """
    return _Reading(process, set(spans), now, facet, columns or {}, split).read(sorted(set(counted_at)))


@dataclass
class _Sum:
    """What the records of some periods hold of one move, added up."""

    count: int
    subjects: int
    firsts: dict[str, int]
    origins: dict[str, int]
    revision: int
    computed_at: datetime


@dataclass(frozen=True)
class _Batch:
    """Periods that the same spans hold and that lack the same flows, so that the database adds up their records."""

    periods: list[Period]
    spans: frozenset[Span]
    sums: dict[Move, _Sum] = field(default_factory=dict)
    values: defaultdict[Move, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def forget(self, flows: Collection[str]) -> None:
        """Leave out what is stored of these flows."""
        for move in [move for move in self.sums if move[0] in flows]:
            del self.sums[move]


@dataclass(frozen=True)
class _Total:
    """Whether a period is computed: ``missing`` are flows of the process that have no total there."""

    status: Status
    missing: frozenset[str] = frozenset()


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
        self.horizon: datetime | None = None
        self.begun: dict[type[Any], datetime] = {}
        """Before which an event model had no moves, where that is known."""
        self.slugs = [stock.slug for stock in process.stocks]
        self.flows = {flow.slug for flow in process.flows}
        self.beside = sorted(flow.slug for flow in process.flows if _leads_past(flow, self.slugs))
        self.models = {flow.flow_event_model for flow in process.flows}
        self.models |= {model for stock in process.stocks for model in stock.registry.event_models_of(stock)}

    def read(self, counted_at: list[datetime]) -> Read:
        computed, apart = self._computed()
        plans = {span: plan(span, self.calendar, computed, apart) for span in self.spans}
        batches = _batches(plans, apart)
        totals = self._totals(batches)
        if short := {period: total.missing for period, total in totals.items() if total.missing}:
            # What is stored of these isn't all of it, so it is told apart from what is stored of the others.
            batches = _batches(plans, apart, short)
            totals = self._totals(batches)
            for batch in batches:
                # A flow that wasn't registered may have moves there, which are read from events with the others.
                batch.forget(totals[batch.periods[0]].missing)
        unread = {day for day in apart if day in totals and totals[day].status is not Status.FINAL}
        unread |= {period for period, total in totals.items() if self.flows and total.missing == self.flows}
        by_events = {span for one in plans.values() for span in one.events}
        by_events |= {
            (period.start, period.end)
            for period, total in totals.items()
            if period in unread or (total.missing and not self._was_pruned(period.start))
        }
        self._refuse_pruned(by_events, computed)
        cells, settled = self._events(by_events, counted_at)
        found = {span: self._moves(span, one, batches, totals, unread, cells) for span, one in plans.items()}
        return Read(found, settled)

    def _computed(self) -> tuple[Span | None, set[Period]]:
        """Which days are in the records, and those asked for with events that these may not hold yet."""
        found = list(
            Watermark.objects.filter(event_model__in=[model._meta.label_lower for model in self.models])
        )
        self.horizon = max((mark.horizon for mark in found if mark.horizon is not None), default=None)
        marks = {mark.event_model: mark for mark in found if mark.calendar == self.calendar.key}
        known = [mark for mark in marks.values() if mark.since is not None and mark.until is not None]
        if not known or len(known) < len(self.models):
            return None, set()
        today = self.calendar.period(Grain.DAY, self.now).start
        for model in self.models:
            mark = marks[model._meta.label_lower]
            # Days that are computed from the horizon on say nothing of those before it.
            if mark.since and (mark.horizon is None or mark.since < mark.horizon):
                self.begun[model] = mark.since
        unknown = {model._meta.label_lower for model in self.models - self.begun.keys()}
        since = min(mark.since for mark in known if mark.since)
        since = max([since, *(mark.since for mark in known if mark.since and mark.event_model in unknown)])
        until = min(today, *(mark.until for mark in known if mark.until))
        apart: set[Period] = set()
        if since >= until:
            return None, apart
        beginning = self.calendar.period(Grain.YEAR, since).start
        low = max(beginning, min((low for low, _ in self.spans), default=beginning))
        high = min(until, max((high for _, high in self.spans), default=until))
        for model in self.models:
            mark = marks[model._meta.label_lower]
            apart.update(self._fresh_days(self._rows(model).filter(pk__gt=mark.event_id), low, high))
            if mark.anew_since is not None:
                apart.update(self.calendar.periods(Grain.DAY, max(low, mark.anew_since), high))
        return (since, until), apart

    def _fresh_days(self, fresh: QuerySet[Any], low: datetime, high: datetime) -> Iterator[Period]:
        """The days of these events, as far as they are in that stretch. One query."""
        native = connections[fresh.db].vendor == "sqlite"
        hour = _TextHour(F("timestamp")) if native else TruncHour("timestamp", tzinfo=UTC)
        # By the hour and not by the instant, so that the index on the time doesn't take the place of the few new keys.
        rows = fresh.annotate(sf_hour=hour).filter(sf_hour__gt=low - HOUR, sf_hour__lt=high)
        reach = low
        for begun in sorted(rows.values_list("sf_hour", flat=True).distinct()):
            for day in self.calendar.periods(Grain.DAY, max(begun, reach), min(begun + HOUR, high)):
                yield day
                reach = day.end

    def _was_pruned(self, at: datetime) -> bool:
        """Whether events at that instant were pruned, so that records alone tell of it."""
        return self.horizon is not None and at < self.horizon

    def _refuse_pruned(self, spans: set[Span], computed: Span | None) -> None:
        """Raise InvalidInput for spans of pruned events; before the first day of any model there were none."""
        all_known = computed is not None and self.models == self.begun.keys()
        first = min(self.begun.values()) if all_known and self.begun else None
        pruned = [low for low, high in spans if self._was_pruned(low) and (first is None or high > first)]
        if pruned and self.horizon:
            raise InvalidInput(
                f"Events from {min(pruned).isoformat()} on are needed, and those before {self.horizon.isoformat()} "
                f"were pruned; ask for whole days in the calendar {self.calendar.key!r} that records still tell, or "
                "for whole months or years."
            )

    def _totals(self, batches: list[_Batch]) -> dict[Period, _Total]:
        """How far each period is computed; fills the batches with what is stored. One query, two where flows miss."""
        periods = {(one.grain.value, one.start): one for batch in batches for one in batch.periods}
        if not periods:
            return {}
        is_total = Q(source=ALL)
        rows = FlowRecord.objects.order_by().filter(self._wanted(periods.values()))
        rows = rows.annotate(
            sf_place=_place(batches),
            sf_flow=Case(When(is_total, then=Value("")), default=F("flow"), output_field=CharField()),
            sf_grain=Case(When(is_total, then=F("grain")), default=Value(""), output_field=CharField()),
            sf_start=Case(When(is_total, then=F("start")), default=None, output_field=DateTimeField()),
        )
        named = {f"sf_{name}": Sum(name) for name in (*SUMMED, *FIRSTS, *ORIGINS)}
        known: dict[Period, tuple[datetime, int]] = {}
        for place, flow, source, sink, grain, start, revision, computed_at, number, *sums in rows.values_list(
            "sf_place", "sf_flow", "source", "sink", "sf_grain", "sf_start"
        ).annotate(sf_revision=Max("revision"), sf_at=Min("computed_at"), sf_rows=Count("pk"), **named):
            if source == ALL:
                known[periods[grain, start]] = computed_at, number
                continue
            count, subjects, *rest = sums
            firsts = dict(zip(FIRSTS, rest, strict=False))
            origins = dict(zip(ORIGINS.values(), rest[len(FIRSTS) :], strict=True))
            batches[place].sums[flow, source, sink] = _Sum(
                count, subjects, firsts, origins, revision, computed_at
            )
        self._fill_values(batches, periods.values())
        short = [one for one in periods.values() if known.get(one, (None, 0))[1] < len(self.flows)]
        there = self._flows_in(short)
        lateness = conf().allowed_lateness
        return {
            one: _Total(
                Status.of(one.end, known[one][0] if one in known else None, self.now, lateness),
                frozenset(self.flows - there[one] - self._not_begun(one)) if one in there else frozenset(),
            )
            for one in periods.values()
        }

    def _not_begun(self, period: Period) -> set[str]:
        """The process's flows that had no moves until the end of the period: their events begin later."""
        late = {model for model, at in self.begun.items() if at >= period.end}
        return {flow.slug for flow in self.process.flows if flow.flow_event_model in late}

    def _flows_in(self, periods: list[Period]) -> dict[Period, set[str]]:
        """Period → the process's flows that have a total there."""
        found: dict[Period, set[str]] = {period: set() for period in periods}
        by_key = {(period.grain.value, period.start): period for period in periods}
        if periods:
            totals = FlowRecord.objects.order_by().filter(self._wanted(periods), source=ALL)
            for grain, start, flow in totals.values_list("grain", "start", "flow"):
                found[by_key[grain, start]].add(flow)
        return found

    def _fill_values(self, batches: list[_Batch], periods: Collection[Period]) -> None:
        if not self.facet:
            return
        records = FlowFacetRecord.objects.order_by().filter(
            self._wanted(periods, "flow_record__"), ~Q(flow_record__source=ALL), facet=self.facet
        )
        names = [f"flow_record__{name}" for name in ("flow", "source", "sink")]
        rows = records.annotate(sf_place=_place(batches, "flow_record__"))
        for place, flow, source, sink, value, number in rows.values_list(
            "sf_place", *names, "value"
        ).annotate(sf_count=Sum("count")):
            if flow in self.split:
                batches[place].values[flow, source, sink][value] += number

    def _wanted(self, periods: Iterable[Period], prefix: str = "") -> Q:
        """The condition on flow records, or on what leads to them: of these periods, and of the process's stocks."""

        def q(**conditions: Any) -> Q:
            return Q(**{f"{prefix}{name}": value for name, value in conditions.items()})

        whose = q(source__in=self.slugs) | q(sink__in=self.slugs) | q(source=ALL, flow__in=sorted(self.flows))
        if self.beside:
            whose |= q(flow__in=self.beside)
        return q(calendar=self.calendar.key) & _within(periods, prefix) & whose

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
        whose = Q(source__in=self.slugs) | Q(sink__in=self.slugs)
        if self.beside:
            whose |= Q(flow__in=self.beside)
        rows = self._rows(model).filter(whose, when)
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
        batches: list[_Batch],
        totals: Mapping[Period, _Total],
        unread: set[Period],
        cells: Mapping[Span, list[tuple[Move, str, str | None, int]]],
    ) -> Moves:
        kept = tuple(period for period in how.periods if period not in unread)
        missing = {(period.start, period.end): totals[period].missing for period in kept}
        stored = [one for one in batches if span in one.spans and unread.isdisjoint(one.periods)]
        found = Moves(
            periods=kept,
            final=not how.events
            and len(kept) == len(how.periods)
            and all(totals[one].status is Status.FINAL and not totals[one].missing for one in kept),
            revised=any(known.revision > 1 for batch in stored for known in batch.sums.values()),
        )
        for batch in stored:
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
        for part in (*how.events, *((one.start, one.end) for one in how.periods if one in unread)):
            for cell in cells[part]:
                _add_cell(found, cell)
        if len(kept) == len(how.periods) and not how.events and not any(missing.values()):
            found.subjects = self._subjects(span, kept, stored)
            found.computed_at = _computed_at(stored)
        found.counts += Counter()
        found.origins += Counter()
        return found

    def _subjects(
        self, span: Span, kept: tuple[Period, ...], stored: Iterable[_Batch]
    ) -> Counter[Move] | None:
        """Distinct subjects by move: those of the one period, or of whom it is the first move of a longer one."""
        grain = None if len(kept) == 1 else beginning_of(span, kept, self.calendar)
        if len(kept) > 1 and grain is None:
            return None
        found: Counter[Move] = Counter()
        for batch in stored:
            for move, known in batch.sums.items():
                found[move] += known.subjects if grain is None else known.firsts[f"first_in_{grain.value}"]
        return found


def _leads_past(flow: Flow, slugs: Collection[str]) -> bool:
    """Whether some moves of the flow neither begin nor end in one of these stocks."""
    sources, sinks = ({state_key(one) for one in side} - set(slugs) for side in (flow.sources, flow.sinks))
    return any(source != sink for source in sources for sink in sinks)


def _computed_at(stored: Iterable[_Batch]) -> dict[Move, datetime]:
    """Move → when the earliest of its records was computed."""
    found: dict[Move, datetime] = {}
    for batch in stored:
        for move, known in batch.sums.items():
            found[move] = min(found.get(move, known.computed_at), known.computed_at)
    return found


def _batches(
    plans: Mapping[Span, Plan],
    apart: Collection[Period],
    missing: Mapping[Period, frozenset[str]] | None = None,
) -> list[_Batch]:
    """The periods of all plans, together where the same spans hold them and the same flows are ``missing``; days apart
    by themselves.
    """
    spans: dict[Period, set[Span]] = defaultdict(set)
    for span, one in plans.items():
        for period in one.periods:
            spans[period].add(span)
    found: dict[Any, _Batch] = {}
    for period, holders in spans.items():
        key = frozenset(holders), period if period in apart else None, (missing or {}).get(period)
        found.setdefault(key, _Batch([], key[0])).periods.append(period)
    return list(found.values())


def _within(periods: Iterable[Period], prefix: str = "") -> Q:
    """The condition that a flow record is of one of these periods."""
    found = Q()
    for grain, low, high in runs(periods):
        found |= Q(
            **{
                f"{prefix}grain": grain.value,
                f"{prefix}start__gte": low,
                f"{prefix}start__lt": high,
            }
        )
    return found


def _place(batches: list[_Batch], prefix: str = "") -> Case:
    """In which of the batches a flow record is."""
    return Case(
        *(When(_within(batch.periods, prefix), then=Value(place)) for place, batch in enumerate(batches)),
        output_field=IntegerField(),
    )


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
