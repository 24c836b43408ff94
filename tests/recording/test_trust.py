"""Whatever happens, and wherever recordings break off: records are what one clean computation gives, balances add up.

And they are what a person would tell from the events by hand; a final number that changed has said so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Min
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from example.membership.models import MemberFlowEvent
from stockandflow import recording, reports
from stockandflow.conf import conf
from stockandflow.models import (
    ALL,
    FlowFacetRecord,
    FlowRecord,
    LevelWatermark,
    Origin,
    Restatement,
    StockFacetRecord,
    StockRecord,
    Watermark,
)
from stockandflow.periods import Calendar, Grain
from stockandflow.periods import Status as Standing
from stockandflow.registry import Registry
from tests.long import long
from tests.recording.retold import Retold
from tests.recording.world import World

pytestmark = pytest.mark.usefixtures("transactional_db")

NAMES = ("calendar", "grain", "start", "end", "flow", "source", "sink")
NUMBERS = ("count", "subjects", "first_in_week", "first_in_month", "first_in_quarter", "first_in_year")

Key = tuple[Any, ...]
Rows = dict[Key, tuple[Any, ...]]

some = st.integers(0, 1000)
statuses = st.sampled_from(["trial", "active", "churned"])
lapses = st.tuples(st.just("lapse"), st.sampled_from([0.01, 0.5, 5, 13, 24, 31, 100, 24 * 32]))
steps = st.one_of(
    st.tuples(st.just("join"), st.integers(1, 3), st.integers(0, 1), statuses),
    st.tuples(st.just("move"), some, statuses, st.sampled_from(["save", "update", "sql"])),
    st.tuples(st.just("move"), some, statuses, st.sampled_from(["unseen", "unseen", "delete"])),
    st.just(("tell",)),
    st.just(("sweep",)),
    st.tuples(st.just("bring_in"), st.integers(9000, 9003), st.sampled_from([0, 1, 40]), statuses),
    st.tuples(st.just("change"), some, st.integers(-100, 100)),
    st.tuples(st.just("record"), st.integers(1, 150)),
    st.tuples(st.just("record"), st.integers(1, 150)),
    st.just(("record",)),
)
histories = st.lists(st.tuples(lapses, steps), min_size=3, max_size=9)
calendars = st.sampled_from(
    [Calendar("Australia/Lord_Howe", 6, 4), Calendar("Pacific/Apia"), Calendar("America/St_Johns", 3)]
)
ranges = st.tuples(st.sampled_from([0, 1, 3, 10, 45, 400]), st.sampled_from([1, 2, 31, 366]), st.booleans())


def flow_records() -> Rows:
    found: Rows = {}
    for row in FlowRecord.objects.values_list(*NAMES, *NUMBERS, "imported", "swept", "initial"):
        found[row[:7]] = row[7:]
    through = [f"flow_record__{name}" for name in NAMES]
    for row in FlowFacetRecord.objects.values_list(*through, "facet", "value", *NUMBERS):
        found[row[:9]] = row[9:]
    return found


def levels() -> Rows:
    derived = StockRecord.objects.filter(method="derived")
    found: Rows = {
        row[:2]: row[2:] for row in derived.values_list("stock", "timestamp", "count", "carried_from")
    }
    facets = StockFacetRecord.objects.filter(stock_record__in=derived)
    for row in facets.values_list(
        "stock_record__stock", "stock_record__timestamp", "facet", "value", "count"
    ):
        found[row[:4]] = row[4:]
    return found


def final() -> tuple[set[Key], Rows]:
    """The periods and levels that are final, and all numbers by what names them: count and subjects."""
    lateness = conf().allowed_lateness
    periods: set[Key] = set()
    numbers: Rows = {}
    for row in FlowRecord.objects.values_list(*NAMES, "computed_at", "count", "subjects"):
        *key, computed_at, count, subjects = row
        numbers["flow", *key, "", ""] = count, subjects
        if row[5] == ALL and computed_at >= row[3] + lateness:
            periods.add(("flow", *row[:5]))
            periods.add(("flow", *row[:4], ""))
    through = [f"flow_record__{name}" for name in NAMES]
    for row in FlowFacetRecord.objects.values_list(*through, "facet", "value", "count", "subjects"):
        numbers["flow", *row[:9]] = row[9:]
    derived = StockRecord.objects.filter(method="derived")
    for stock, at, computed_at, count in derived.values_list("stock", "timestamp", "computed_at", "count"):
        numbers["stock", stock, at, "", ""] = count, None
        assert computed_at is not None
        if computed_at >= at + lateness:
            periods.add(("stock", stock, at))
    facets = StockFacetRecord.objects.filter(stock_record__in=derived)
    for stock, at, *key, count in facets.values_list(
        "stock_record__stock", "stock_record__timestamp", "facet", "value", "count"
    ):
        numbers["stock", stock, at, *key] = count, None
    return periods, numbers


def key_of(one: Restatement) -> Key:
    if one.kind == "stock":
        return ("stock", one.slug, one.start, one.facet, one.value)
    pair = one.slug, one.source, one.sink
    return ("flow", one.calendar, one.grain, one.start, one.end, *pair, one.facet, one.value)


def assert_changes_are_told(before: tuple[set[Key], Rows], known: set[int]) -> None:
    """The restatements since are exactly the final numbers that changed, each as it was and as it is."""
    periods, old = before
    _, new = final()
    nothing: Mapping[str, tuple[Any, ...]] = {"flow": (0, 0), "stock": (0, None)}
    was_known, is_known = ({key[:4] for key in rows if key[0] == "stock"} for rows in (old, new))
    expected = {}
    for key in old.keys() | new.keys():
        if (key[:6] if key[0] == "flow" else key[:3]) not in periods:
            continue
        if key[0] == "stock" and key[:4] not in was_known:
            continue
        lost = key[0] == "stock" and key[:4] not in is_known
        numbers = old.get(key, nothing[key[0]]), (None, None) if lost else new.get(key, nothing[key[0]])
        if numbers[0] != numbers[1]:
            expected[key] = numbers
    told = {
        key_of(one): ((one.old_count, one.old_subjects), (one.new_count, one.new_subjects))
        for one in Restatement.objects.exclude(pk__in=known)
    }
    assert told == expected


def assert_told_by_hand(world: World, since: datetime, until: datetime) -> None:
    retold = Retold()
    balance = reports.balance(world.process, since, until)
    flows = retold.flows(since, balance.at)
    for line in balance.stocks:
        slug = line.stock.slug
        opening = retold.level(slug, since, of=retold.records, by=balance.at)
        assert line.opening == opening, (slug, "opening")
        if not balance.in_progress:
            assert line.closing == retold.level(slug, until, of=retold.records), (slug, "closing")
        known = line.flows_known
        assert [number is not None for number in (line.inflow, line.outflow, line.net)] == [known] * 3
        if retold.begun is None or retold.begun < balance.at or any(slug in move[1:] for move in flows):
            assert known
        elif not retold.flows(datetime.min.replace(tzinfo=UTC), balance.at):
            assert not known, "no history tells of that time"
        if line.opening is None or line.closing is None or not known:
            assert line.unexplained is None
        else:
            moved = sum(one.count for one in line.inflows) - sum(one.count for one in line.outflows)
            assert line.unexplained is not None
            assert line.opening + moved + line.unexplained == line.closing
        for side, index in ((line.inflows, 2), (line.outflows, 1)):
            found = {
                (one.flow.slug if one.flow else "", one.source, one.sink): one for one in side if one.count
            }
            expected = {move: number for move, number in flows.items() if move[index] == slug}
            assert {move: one.count for move, one in found.items()} == expected
            for move, one in found.items():
                if one.subjects is not None:
                    assert one.subjects == retold.subjects(move, since, until)


def empty() -> None:
    """Leave only the counts."""
    for model in (FlowFacetRecord, FlowRecord, Watermark, LevelWatermark):
        model.objects.all()._raw_delete("default")
    derived = StockRecord.objects.filter(method="derived")
    StockFacetRecord.objects.filter(stock_record__in=derived).delete()
    derived._raw_delete("default")


def assert_as_a_clean_computation(registry: Registry) -> None:
    flows, kept = flow_records(), levels()
    marks = Watermark.objects.filter(since__isnull=False)
    begun: dict[str, Any] = dict(marks.values_list("calendar", "since"))
    reached = list(LevelWatermark.objects.values_list("stock", "timezone", "since"))
    empty()
    recording.record_flows(registry, since=min(begun.values()))
    recording.record_levels(registry, since=min(since for *_, since in reached))
    # All begin at one instant now, and they didn't; and what was before the first event is computed no more.
    first = MemberFlowEvent.objects.aggregate(first=Min("timestamp"))["first"]
    begun = {calendar: max(since, first or since) for calendar, since in begun.items()}
    reached = [
        (stock, timezone, max(since, Calendar(timezone).period(Grain.DAY, first_told(stock)).start))
        for stock, timezone, since in reached
    ]
    after, before = (
        {k: v for k, v in rows.items() if k[3] > begun[k[0]]} for rows in (flow_records(), flows)
    )
    assert after == before
    after, before = (
        {k: v for k, v in rows.items() if is_reached(k[0], k[1], reached)} for rows in (levels(), kept)
    )
    assert after == before


def first_told(stock: str) -> datetime:
    """The first move, or count of the stock."""
    counts = StockRecord.objects.filter(stock=stock).exclude(method="derived")
    moves = MemberFlowEvent.objects.exclude(origin=Origin.INITIAL)
    low = Min("timestamp")
    firsts: list[datetime | None] = [counts.aggregate(low=low)["low"], moves.aggregate(low=low)["low"]]
    return min(at for at in firsts if at is not None)


def is_reached(slug: str, at: datetime, reached: Iterable[tuple[str, str, datetime]]) -> bool:
    zones = [timezone for stock, timezone, since in reached if stock == slug and since <= at]
    return any(Calendar(zone).period(Grain.DAY, at).start == at for zone in zones)


def live_through(world: World, history: list[tuple[Any, Any]], spans: list[tuple[int, int, bool]]) -> None:
    with world.clock():
        month = Calendar.default().period(Grain.MONTH, world.now() - timedelta(days=35))
    reported: list[tuple[datetime, reports.Balance]] = []
    for lapse, step in [*history, (("lapse", 30), ("record",))]:
        world.do(lapse)
        before, known = final(), set(Restatement.objects.values_list("pk", flat=True))
        ended = world.do(step)
        if step[0] != "record":
            continue
        assert_changes_are_told(before, known)
        if ended:
            with world.clock():
                reported.append((world.now(), reports.balance(world.process, month.start, month.end)))
    with world.clock():
        now = world.now()
        for days, length, odd in spans:
            since = now - timedelta(days=days, hours=5)
            if not odd:
                since = Calendar.default().period(Grain.DAY, since).start
            assert_told_by_hand(world, since, since + timedelta(days=length, hours=7 * odd))
        assert_told_by_hand(world, month.start, month.end)
        for at, then in reported:
            assert_as_reported(reported[-1][1], then, at)
        retold = Retold()
        for (slug, at, *facet), (count, *_) in levels().items():
            if not facet:
                # At the beginning of the day in which the capture began is what stood there then.
                assert count == retold.level(slug, at, by=at + timedelta(hours=26)), (slug, at)
        assert_as_a_clean_computation(world.registry)


def assert_as_reported(now: reports.Balance, then: reports.Balance, at: datetime) -> None:
    """What was final then is told as it was."""
    if then.status is not Standing.FINAL:
        return
    told = {
        (known.number.kind, known.number.stock): known
        for known in reports.as_reported(now, at)
        if known.number.stock is not None
    }
    for line in then.stocks:
        for name in ("inflow", "outflow"):
            known = told[reports.Kind(name), line.stock]
            assert known.value == getattr(line, name), (name, line.stock, known.reason)


few = settings(
    max_examples=max(1, settings().max_examples // 8),
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
many = settings(few, max_examples=settings().max_examples)


@few
@given(calendars, st.sampled_from([3, 20, 70]), histories, st.lists(ranges, min_size=2, max_size=2))
def test_records_and_balances_can_be_trusted(
    own: Calendar, days_ago: int, history: list[Any], spans: list[Any]
) -> None:
    live_through(World(own, days_ago), history, spans)


@long
@many
@given(calendars, st.sampled_from([3, 20, 70]), histories, st.lists(ranges, min_size=3, max_size=3))
def test_records_and_balances_can_be_trusted_after_many_more_histories(
    own: Calendar, days_ago: int, history: list[Any], spans: list[Any]
) -> None:
    live_through(World(own, days_ago), history, spans)
