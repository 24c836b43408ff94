"""The law of flow records: whenever they are brought up to date, they are what one clean computation gives.

And that is what a person would count with pencil and paper: sets of subjects, period by period.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import F, Min, Q
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from example.membership.models import Member, MemberFlowEvent
from stockandflow import recording
from stockandflow.declarations import Facet, Flow, Process, Stock
from stockandflow.models import ALL, FlowFacetRecord, FlowRecord, Origin, Watermark
from stockandflow.periods import Calendar, Grain
from stockandflow.recording.ledgers import Ledger, ledgers
from stockandflow.registry import Registry

pytestmark = pytest.mark.django_db

GRAINS = (Grain.DAY, Grain.WEEK, Grain.MONTH, Grain.QUARTER, Grain.YEAR)
DAYS_AGO = [0, 0, 0, 1, 2, 3, 6, 7, 8, 27, 30, 31, 32, 59, 90, 180, 330, 364, 365, 366, 500, 728]
FIRST_DAYS_AGO = 730


def declared(own: Calendar) -> Registry:
    """Two stocks of flows with one pair and with several, and moves that no flow covers, in two calendars."""
    registry = Registry()
    plan = Facet("plan", "Plan", "plan__name")
    country = Facet("country", "Country", "country")
    near = Stock("near", "Near", Member.objects.filter(status="trial"))
    far = Stock("far", "Far", Member.objects.filter(status="active"))
    registry.register(
        Flow("arriving", "Arriving", MemberFlowEvent, [None], [near], facets=[plan]),
        Flow("wandering", "Wandering", MemberFlowEvent, [near, far], [far, near], facets=[plan, country]),
        Process("abroad", "Abroad", [far], calendar=own),
    )
    return registry


MOVES = [
    ("arriving", "", "near"),
    ("wandering", "near", "far"),
    ("wandering", "far", "near"),
    ("", "far", ""),
    ("", "", "far"),
]

Step = tuple[Any, ...]
Key = tuple[Any, ...]
Rows = dict[Key, tuple[int, ...]]
moves = st.tuples(
    st.just("move"),
    st.integers(1, 3),
    st.sampled_from(MOVES),
    st.sampled_from(DAYS_AGO),
    st.integers(0, 23),
    st.sampled_from([{}, {"plan": "Pro"}, {"plan": "Pro", "country": "GB"}, {"plan": None, "country": "gb"}]),
    st.sampled_from([Origin.LIVE, Origin.LIVE, Origin.IMPORT, Origin.SWEEP, Origin.INITIAL]),
    st.booleans(),
)
changes = st.tuples(st.sampled_from(["change", "delete"]), st.integers(0, 1000), st.sampled_from(MOVES))
steps = st.lists(st.one_of(moves, moves, moves, changes, st.just(("record",))), max_size=25)
calendars = st.builds(
    Calendar,
    st.sampled_from(["Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns", "UTC"]),
    st.integers(0, 6),
    st.sampled_from([1, 4, 11]),
)


def do(step: Step, now: datetime, registry: Registry) -> None:
    match step:
        case ("record",):
            recording.record_flows(registry)
        case ("move", subject, (flow, source, sink), days, hours, facets, origin, settled):
            MemberFlowEvent.objects.create(
                flow=flow,
                source=source,
                sink=sink,
                subject_id=subject,
                timestamp=now - timedelta(days=days, hours=hours),
                recorded_at=now - timedelta(days=2) if settled else now,
                facets=facets,
                origin=origin,
            )
        case (how, place, (flow, source, sink)):
            events = list(MemberFlowEvent.objects.exclude(subject_id=9).order_by("id"))
            if not events:
                return
            event = events[place % len(events)]
            changed_in_place(event.timestamp)
            if how == "delete":
                event.delete()
            else:
                MemberFlowEvent.objects.filter(pk=event.pk).update(flow=flow, source=source, sink=sink)


def changed_in_place(since: datetime) -> None:
    """As an import does."""
    Watermark.objects.update(version=F("version") + 1)
    Watermark.objects.filter(Q(anew_since=None) | Q(anew_since__gt=since)).update(anew_since=since)


def stored() -> Rows:
    """All that the records say, by what names it, but for when it was computed and which revision it is."""
    names = ("calendar", "grain", "start", "end", "flow", "source", "sink")
    numbers = ("count", "subjects", "first_in_week", "first_in_month", "first_in_quarter", "first_in_year")
    origins = ("imported", "swept", "initial")
    found: Rows = {}
    for row in FlowRecord.objects.values_list(*names, *numbers, *origins):
        found[row[:7]] = row[7:]
    through = [f"flow_record__{name}" for name in names]
    for row in FlowFacetRecord.objects.values_list(*through, "facet", "value", *numbers):
        found[row[:9]] = row[9:]
    return found


class ByHand:
    """What the records of a ledger should say of ``since <= t < until``, by sets of subjects."""

    def __init__(self, ledger: Ledger, since: datetime, until: datetime) -> None:
        self.ledger = ledger
        self.facets = {flow.slug: [facet.slug for facet in flow.applied_facets] for flow in ledger.flows}
        self.counts: dict[Key, int] = defaultdict(int)
        self.subjects: dict[Key, set[int]] = defaultdict(set)
        self.firsts: dict[Key, int] = defaultdict(int)
        self.origins: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.lines: set[Key] = {
            (grain, period.start, period.end, flow, ALL, ALL)
            for grain in GRAINS
            for period in ledger.calendar.periods(grain, since, until)
            for flow in self.facets
        }
        for event in MemberFlowEvent.objects.filter(timestamp__lt=until).order_by("timestamp", "id"):
            uncovered = not event.flow and {event.source, event.sink} & ledger.stocks
            if uncovered or event.flow in self.facets:
                self.take(event)

    def take(self, event: MemberFlowEvent) -> None:
        kept = {Origin.IMPORT: 0, Origin.SWEEP: 1, Origin.INITIAL: 2}.get(Origin(event.origin))
        for grain in GRAINS:
            period = self.ledger.calendar.period(grain, event.timestamp)
            pairs = [(event.source, event.sink)] + [(ALL, ALL)] * bool(event.flow)
            for source, sink in pairs:
                line = (grain, period.start, period.end, event.flow, source, sink)
                self.lines.add(line)
                if kept is not None:
                    self.origins[line][kept] += 1
                if event.origin != Origin.INITIAL:
                    self.count(event, line)

    def count(self, event: MemberFlowEvent, line: Key) -> None:
        subject: Any = event.subject_id
        slugs = self.facets.get(event.flow, ())
        values = [(slug, event.facets.get(slug) or "(none)") for slug in slugs]
        day = self.ledger.calendar.period(Grain.DAY, event.timestamp)
        for key in [line, *((*line, *value) for value in values)]:
            self.lines.add(key)
            self.counts[key] += 1
            if subject not in self.subjects[key]:
                self.subjects[key].add(subject)
                self.firsts[(Grain.DAY, day.start, day.end, *key[3:], key[0])] += 1

    def rows(self) -> Rows:
        found: Rows = {}
        for line in self.lines:
            firsts = [self.firsts[*line, grain] if line[0] is Grain.DAY else 0 for grain in GRAINS[1:]]
            numbers = (self.counts[line], len(self.subjects[line]), *firsts)
            found[self.ledger.calendar.key, *line] = (
                numbers if len(line) > 6 else (*numbers, *self.origins[line])
            )
        return found


def without_parts(rows: Rows) -> Rows:
    """With the first moves of quarters and years as 0 but in days: in months they only serve to be summed."""
    return {
        key: numbers if key[1] == Grain.DAY else (*numbers[:2], 0, 0, 0, 0, *numbers[6:])
        for key, numbers in rows.items()
    }


def ends(registry: Registry) -> Iterable[tuple[Ledger, datetime, datetime]]:
    for ledger in ledgers(registry):
        mark = Watermark.objects.get(event_model=ledger.label, calendar=ledger.calendar.key)
        assert mark.since is not None
        assert mark.until is not None
        yield ledger, mark.since, mark.until


@settings(max_examples=max(1, settings().max_examples // 12))
@given(steps, calendars)
def test_records_are_what_a_clean_computation_gives_and_what_is_counted_by_hand(
    steps: list[Step], own: Calendar
) -> None:
    for model in (FlowFacetRecord, FlowRecord, Watermark, MemberFlowEvent):
        model.objects.all().delete()
    registry, now = declared(own), timezone.now()
    do(("move", 9, MOVES[1], FIRST_DAYS_AGO, 0, {}, Origin.LIVE, True), now, registry)
    for step in [*steps, ("record",)]:
        do(step, now, registry)

    found = stored()
    expected: Rows = {}
    for ledger, since, until in ends(registry):
        expected |= ByHand(ledger, since, until).rows()
    assert without_parts(found) == expected

    FlowFacetRecord.objects.all().delete()
    FlowRecord.objects.all().delete()
    Watermark.objects.all().delete()
    recording.record_flows(registry)
    assert stored() == found
    assert FlowRecord.objects.aggregate(Min("start"))["start__min"] <= now - timedelta(FIRST_DAYS_AGO)
