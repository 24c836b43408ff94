"""Stored moves: what flow records hold of a process, added up by the database for the spans that are asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import (
    Case,
    CharField,
    Count,
    DateTimeField,
    F,
    IntegerField,
    Max,
    Min,
    Q,
    Sum,
    Value,
    When,
)

from stockandflow.conf import conf
from stockandflow.declarations import Process
from stockandflow.models import ALL, FlowFacetRecord, FlowRecord, Origin
from stockandflow.periods import Period, Status
from stockandflow.reports.computed import Computed
from stockandflow.reports.events import moves_of
from stockandflow.reports.planning import Plan, Span, runs

Move = tuple[str, str, str]
"""Flow slug, source key, sink key."""
SUMMED = ("count", "subjects")
FIRSTS = ("first_in_week", "first_in_month", "first_in_quarter", "first_in_year")
ORIGINS = {"imported": Origin.IMPORT, "swept": Origin.SWEEP, "initial": Origin.INITIAL}
"""Column → the origin that it counts."""


@dataclass
class StoredSum:
    """What the records of some periods hold of one move, added up."""

    count: int
    subjects: int
    firsts: dict[str, int]
    origins: dict[str, int]
    revision: int
    computed_at: datetime


@dataclass(frozen=True)
class Batch:
    """Periods that the same spans hold and that lack the same flows, so that the database adds up their records."""

    periods: list[Period]
    spans: frozenset[Span]
    sums: dict[Move, StoredSum] = field(default_factory=dict)
    values: defaultdict[Move, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def forget(self, flows: Collection[str]) -> None:
        """Leave out what is stored of these flows."""
        for move in [move for move in self.sums if move[0] in flows]:
            del self.sums[move]


@dataclass(frozen=True)
class Total:
    """Whether a period is computed: ``missing`` are flows of the process that have no total there."""

    status: Status
    missing: frozenset[str] = frozenset()


class Stored:
    """What is stored of the periods of some plans: ``batches`` that the spans hold, and each period's ``totals``.

    ``unread`` are the periods that are read from events all the same: days apart that aren't final, and those of which
    no flow is computed.

    Queries: one, three more where a flow is recorded for some of the periods alone, and one for the values of a
    ``facet``, which flows of ``split`` have.
    """

    def __init__(
        self,
        process: Process,
        plans: Mapping[Span, Plan],
        computed: Computed,
        now: datetime,
        facet: str,
        split: Collection[str],
    ) -> None:
        self.process, self.computed, self.now, self.facet, self.split = process, computed, now, facet, split
        self.flows = {flow.slug for flow in process.flows}
        self.batches = _batches(plans, computed.apart)
        self.totals = self._totals(self.batches)
        if short := {period: total.missing for period, total in self.totals.items() if total.missing}:
            # What is stored of these isn't all of it, so it is told apart from what is stored of the others.
            self.batches = _batches(plans, computed.apart, short)
            self.totals = self._totals(self.batches)
            for batch in self.batches:
                # A flow that wasn't registered may have moves there, which are read from events with the others.
                batch.forget(self.totals[batch.periods[0]].missing)
        self.unread = {
            period
            for period, total in self.totals.items()
            if (period in computed.apart and total.status is not Status.FINAL)
            or (self.flows and total.missing == self.flows)
        }

    def read_for(self, span: Span) -> list[Batch]:
        """The batches that the span holds, without those that are read from events."""
        return [one for one in self.batches if span in one.spans and self.unread.isdisjoint(one.periods)]

    def _totals(self, batches: list[Batch]) -> dict[Period, Total]:
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
            batches[place].sums[flow, source, sink] = StoredSum(
                count, subjects, firsts, origins, revision, computed_at
            )
        self._fill_values(batches, periods.values())
        short = [one for one in periods.values() if known.get(one, (None, 0))[1] < len(self.flows)]
        there = self._flows_in(short)
        lateness = conf().allowed_lateness
        return {
            one: Total(
                Status.of(one.end, known[one][0] if one in known else None, self.now, lateness),
                frozenset(self.flows - there[one] - self._not_begun(one)) if one in there else frozenset(),
            )
            for one in periods.values()
        }

    def _not_begun(self, period: Period) -> set[str]:
        """The process's flows that had no moves until the end of the period: their events begin later."""
        late = {model for model, at in self.computed.begun.items() if at >= period.end}
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

    def _fill_values(self, batches: list[Batch], periods: Collection[Period]) -> None:
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
        totals = Q(**{f"{prefix}source": ALL, f"{prefix}flow__in": sorted(self.flows)})
        calendar = Q(**{f"{prefix}calendar": self.process.calendar.key})
        return calendar & _within(periods, prefix) & (moves_of(self.process, prefix) | totals)


def _batches(
    plans: Mapping[Span, Plan],
    apart: Collection[Period],
    missing: Mapping[Period, frozenset[str]] | None = None,
) -> list[Batch]:
    """The periods of all plans, together where the same spans hold them and the same flows are ``missing``; days apart
    by themselves.
    """
    spans: dict[Period, set[Span]] = defaultdict(set)
    for span, one in plans.items():
        for period in one.periods:
            spans[period].add(span)
    found: dict[Any, Batch] = {}
    for period, holders in spans.items():
        key = frozenset(holders), period if period in apart else None, (missing or {}).get(period)
        found.setdefault(key, Batch([], key[0])).periods.append(period)
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


def _place(batches: list[Batch], prefix: str = "") -> Case:
    """In which of the batches a flow record is."""
    return Case(
        *(When(_within(batch.periods, prefix), then=Value(place)) for place, batch in enumerate(batches)),
        output_field=IntegerField(),
    )
