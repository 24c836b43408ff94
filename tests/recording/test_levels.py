"""Derived levels: every tracked stock at every local midnight, as its counts and its events tell it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow import recording, reports
from stockandflow.declarations import Facet, ModelTracker, Process, Stock
from stockandflow.membership import StockCount
from stockandflow.models import (
    LevelWatermark,
    Origin,
    Restatement,
    StockFacetRecord,
    StockRecord,
    Watermark,
)
from stockandflow.models.clock import SETTLING
from stockandflow.periods import Calendar, Grain
from stockandflow.recording.touches import LEVELS
from stockandflow.registry import Registry, registry
from tests.recording.test_laws import changed_in_place

pytestmark = pytest.mark.django_db

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
LONDON, KATHMANDU = Calendar("Europe/London"), Calendar("Asia/Kathmandu")


def declared(*facets: Facet) -> tuple[Registry, Stock, Stock]:
    """A registry with two stocks that exclude each other; the second has midnights of Kathmandu as well."""
    cold = Stock("cold", "Cold", Member.objects.filter(status="trial"), facets=facets)
    warm = Stock("warm", "Warm", Member.objects.filter(status="active"), facets=facets)
    own = Registry()
    own.register(
        ModelTracker(stocks=[cold, warm], event_model=MemberFlowEvent, slug="heat"),
        Process("heating", "Heating", [warm], flows=[], calendar=KATHMANDU),
    )
    return own, cold, warm


def moved(source: str, sink: str, *instants: datetime, **fields: Any) -> None:
    """Events that were written down so long ago that they are read once."""
    values: dict[str, Any] = {"origin": Origin.LIVE, "facets": {}, "recorded_at": timezone.now() - 2 * HOUR}
    MemberFlowEvent.objects.bulk_create(
        MemberFlowEvent(
            tracker="heat", subject_id=1, source=source, sink=sink, timestamp=at, **values | fields
        )
        for at in instants
    )


def counted(
    slug: str, at: datetime, number: int, recent: int | None = None, **facets: dict[str, int]
) -> None:
    StockRecord.objects.store(
        [StockCount(slug, number, facets)], at, recent=None if recent is None else {slug: recent}
    )


def kept(slug: str, calendar: Calendar = LONDON) -> dict[datetime, int]:
    """Midnight → level of the derived records."""
    rows = StockRecord.objects.filter(stock=slug, method="derived").values_list("timestamp", "count")
    return {at: count for at, count in rows if calendar.midnight(calendar.local_date(at)) == at}


def midnight(days_ago: int, calendar: Calendar = LONDON) -> datetime:
    day = calendar.local_date(timezone.now()) - timedelta(days=days_ago)
    return calendar.midnight(day)


def test_the_level_at_each_midnight_is_the_last_count_carried_there() -> None:
    own, _, _ = declared()
    counted("cold", midnight(4) + 3 * HOUR, 10)
    counted("cold", midnight(2) + 3 * HOUR, 20)
    moved("", "cold", midnight(4) + 2 * HOUR, midnight(4) + 4 * HOUR, midnight(3) + HOUR)
    moved("cold", "warm", midnight(2) + 4 * HOUR)
    recording.record_levels(own)

    assert kept("cold") == {
        midnight(4): 9,  # carried back over the first move
        midnight(3): 11,
        midnight(2): 12,
        midnight(1): 19,
        midnight(0): 19,
    }
    assert kept("warm") == {}  # it was never counted
    record = StockRecord.objects.get(stock="cold", timestamp=midnight(3))
    assert (record.method, record.carried_from, record.revision) == ("derived", midnight(4) + 3 * HOUR, 1)
    assert record.computed_at is not None


def test_each_calendar_of_a_stock_has_its_midnights() -> None:
    own, _, _ = declared()
    counted("cold", midnight(2) + HOUR, 1)
    counted("warm", midnight(2) + HOUR, 1)
    recording.record_levels(own)

    assert not kept("cold", KATHMANDU)
    assert set(kept("warm")) >= {midnight(1), midnight(0)}
    assert set(kept("warm", KATHMANDU)) >= {midnight(1, KATHMANDU), midnight(0, KATHMANDU)}


def test_what_would_lead_below_nothing_is_nothing() -> None:
    own, _, _ = declared()
    moved("", "cold", midnight(3) + HOUR, midnight(3) + 2 * HOUR)
    counted("cold", midnight(1) + HOUR, 1)
    recording.record_levels(own)

    assert kept("cold")[midnight(3)] == 0


def test_opening_balances_are_levels_and_no_moves() -> None:
    own, _, _ = declared()
    moved("", "cold", midnight(3) + HOUR, origin=Origin.INITIAL)
    moved("", "cold", midnight(3) + 2 * HOUR)
    counted("cold", midnight(1) + HOUR, 5)
    recording.record_levels(own)

    assert kept("cold")[midnight(3)] == 4


def test_moves_that_were_under_way_when_it_was_counted_are_in_the_level() -> None:
    own, _, _ = declared()
    at = midnight(2) + 5 * HOUR
    counted("cold", at, 10, recent=1)
    for n in range(3):
        moved("", "cold", at - n * timedelta(minutes=9), recorded_at=at - timedelta(minutes=1))
    moved("", "cold", at - timedelta(minutes=9), recorded_at=at - timedelta(minutes=9))
    recording.record_levels(own)

    # Three were stamped before it, of which it held one; the fourth came at that very instant.
    assert kept("cold")[midnight(1)] == 10 + 2 + 1


@pytest.mark.parametrize("method", ["counted", "imported"])
def test_a_count_of_the_very_instant_stays(method: str) -> None:
    own, _, _ = declared()
    counted("cold", midnight(3) + HOUR, 1)
    StockRecord.objects.store([StockCount("cold", 99, {})], midnight(1), method=method)
    recording.record_levels(own)
    recording.record_levels(own, since=midnight(4), restate=True)

    record = StockRecord.objects.get(stock="cold", timestamp=midnight(1))
    assert (record.count, record.method, record.computed_at) == (99, method, None)
    assert kept("cold")[midnight(0)] == 99


def test_a_level_that_a_project_brought_itself_stays() -> None:
    own, _, _ = declared()
    counted("cold", midnight(3) + HOUR, 1)
    StockRecord.objects.store([StockCount("cold", 77, {})], midnight(1), method="derived")
    recording.record_levels(own)

    assert kept("cold")[midnight(1)] == 77


def test_stocks_without_a_tracker_have_counts_alone() -> None:
    own = Registry()
    own.register(Stock("alone", "Alone", Member.objects.all()))
    counted("alone", midnight(3) + HOUR, 1)

    assert recording.record_levels(own).written == 0
    assert kept("alone") == {}


def test_running_twice_changes_nothing_but_when_it_was_derived() -> None:
    own, _, _ = declared()
    counted("cold", midnight(9) + HOUR, 5)
    moved("", "cold", *(midnight(n) + HOUR for n in range(1, 9)))
    first = recording.record_levels(own).written
    rows = list(
        StockRecord.objects.order_by("pk").values_list("pk", "stock", "timestamp", "count", "revision")
    )

    assert first == len(kept("cold")) == 10
    assert recording.record_levels(own).written == 0
    assert recording.record_levels(own, since=midnight(9)).written == 0
    assert recording.record_levels(own, restate=True).written == 0
    assert (
        list(StockRecord.objects.order_by("pk").values_list("pk", "stock", "timestamp", "count", "revision"))
        == rows
    )
    assert not Restatement.objects.exists()


def test_a_late_event_changes_the_midnights_up_to_the_next_count_and_final_ones_leave_a_restatement() -> None:
    own, _, _ = declared()
    counted("cold", midnight(8) + HOUR, 10)
    counted("cold", midnight(4) + HOUR, 20)
    recording.record_levels(own)
    computed = dict(StockRecord.objects.filter(method="derived").values_list("timestamp", "computed_at"))
    moved("", "cold", midnight(6) + HOUR)
    recording.record_levels(own)

    assert kept("cold") == {
        midnight(8): 10,
        midnight(7): 10,
        midnight(6): 10,
        midnight(5): 11,
        midnight(4): 11,
    } | {midnight(n): 20 for n in range(4)}
    changed = Restatement.objects.order_by("start").values_list(
        "kind", "slug", "calendar", "start", "end", "old_count", "new_count", "revision", "cause"
    )
    assert list(changed) == [
        ("stock", "cold", "", midnight(n), midnight(n), 10, 11, 2, "late events") for n in (5, 4)
    ]
    assert set(StockRecord.objects.filter(revision=2).values_list("timestamp", flat=True)) == {
        midnight(5),
        midnight(4),
    }
    after = dict(StockRecord.objects.filter(method="derived").values_list("timestamp", "computed_at"))
    untouched = {midnight(n) for n in (8, 7, 6, 3, 2, 1)}
    assert {at for at in computed if computed[at] == after[at]} == untouched


@pytest.mark.parametrize(
    ("origin", "cause"), [(Origin.IMPORT, "imported events"), (Origin.SWEEP, "found by a sweep")]
)
def test_a_restatement_tells_what_caused_it(origin: Origin, cause: str) -> None:
    own, _, _ = declared()
    counted("cold", midnight(4) + HOUR, 10)
    recording.record_levels(own)
    moved("", "cold", midnight(3) + HOUR, origin=origin)
    recording.record_levels(own)

    assert set(Restatement.objects.values_list("cause", flat=True)) == {cause}


def test_final_levels_are_derived_anew_on_request() -> None:
    own, _, _ = declared()
    counted("cold", midnight(5) + HOUR, 10)
    moved("", "cold", midnight(4) + HOUR)
    recording.record_levels(own)
    MemberFlowEvent.objects.all().delete()  # behind everybody's back
    recording.record_levels(own, since=midnight(5))
    assert kept("cold")[midnight(2)] == 11
    recording.record_levels(own, since=midnight(2), until=midnight(1), restate=True)

    assert [kept("cold")[midnight(n)] for n in (3, 2, 1)] == [11, 10, 11]
    assert Restatement.objects.get().cause == "recomputed"


def test_events_that_were_changed_in_place_are_read_again() -> None:
    own, _, _ = declared()
    counted("cold", midnight(5) + HOUR, 10)
    moved("", "cold", midnight(4) + HOUR)
    recording.record_levels(own)
    MemberFlowEvent.objects.update(sink="warm")
    Watermark.objects.filter(event_model="membership.memberflowevent").update(anew_since=midnight(4))
    recording.record_levels(own)

    assert set(kept("cold").values()) == {10}
    assert set(Restatement.objects.values_list("cause", flat=True)) == {"events changed in place"}
    assert not Watermark.objects.filter(anew_since__isnull=False).exists()


def test_events_that_were_changed_in_place_long_ago_are_read_again_by_all_levels_since() -> None:
    own, _, _ = declared()
    for days in (40, 25, 5):
        counted("cold", midnight(days) + HOUR, 10)
    moved("", "cold", midnight(20) + HOUR)
    recording.record_levels(own)
    assert kept("cold")[midnight(10)] == 11
    MemberFlowEvent.objects.update(sink="warm")
    Watermark.objects.filter(event_model="membership.memberflowevent").update(anew_since=midnight(39))
    recording.record_levels(own)

    assert set(kept("cold").values()) == {10}


def test_events_that_are_changed_in_place_while_others_are_read_are_read_by_the_next_run() -> None:
    own, _, _ = declared()
    counted("cold", midnight(5) + HOUR, 10)
    moved("", "cold", midnight(3) + HOUR, midnight(4) + HOUR)
    recording.record_levels(own)
    changed_in_place(midnight(4))
    reading = recording.derive(own)
    MemberFlowEvent.objects.update(sink="warm")
    changed_in_place(midnight(3))
    assert reading is not None
    recording.keep(reading)
    recording.record_levels(own)

    assert set(kept("cold").values()) == {10}


def test_a_count_that_comes_late_is_taken_in() -> None:
    own, _, _ = declared()
    counted("cold", midnight(5) + HOUR, 10)
    recording.record_levels(own)
    StockRecord.objects.store([StockCount("cold", 30, {})], midnight(3) + HOUR, method="imported")
    StockRecord.objects.store([StockCount("cold", 40, {})], midnight(8) + HOUR, method="imported")
    recording.record_levels(own)

    assert kept("cold") == {midnight(n): 40 for n in range(5, 9)} | {midnight(n): 10 for n in (4, 3)} | {
        midnight(n): 30 for n in range(3)
    }
    assert set(Restatement.objects.values_list("cause", flat=True)) == {"another count"}


def test_a_level_that_is_not_final_changes_without_a_restatement() -> None:
    own, _, _ = declared()
    counted("cold", midnight(1) + HOUR, 10)
    recording.record_levels(own)
    moved("", "cold", midnight(0) - HOUR)
    recording.record_levels(own)

    assert kept("cold")[midnight(0)] == 11
    assert not Restatement.objects.exists()
    assert StockRecord.objects.get(stock="cold", timestamp=midnight(0)).revision == 1


def test_a_new_calendar_gets_all_its_midnights() -> None:
    own, cold, _ = declared()
    counted("cold", midnight(5) + HOUR, 10)
    recording.record_levels(own)
    own.register(Process("other", "Other", [cold], flows=[], calendar=KATHMANDU))
    recording.record_levels(own)

    assert midnight(4, KATHMANDU) in kept("cold", KATHMANDU)


def test_facets_are_carried_within_a_day_by_what_the_events_kept() -> None:
    own, _, _ = declared(Facet("plan", "Plan", "plan__name", ["Basic", "Pro"]))
    counted("cold", midnight(3) + HOUR, 3, plan={"Basic": 2, "Pro": 1})
    counted("warm", midnight(3) + HOUR, 1, plan={"Basic": 1, "Pro": 0})
    at = midnight(3) + 2 * HOUR
    moved("cold", "warm", at, facets={"plan": "Basic"})
    moved("", "warm", at, facets={"plan": None})
    moved("", "warm", at, facets={"plan": "Gold"})
    recording.record_levels(own)

    def values(slug: str, at: datetime) -> dict[str, int]:
        found = StockFacetRecord.objects.filter(stock_record__stock=slug, stock_record__timestamp=at)
        assert set(found.values_list("facet", "multi_valued")) <= {("plan", False)}
        return dict(found.values_list("value", "count"))

    assert values("cold", midnight(2)) == {"Basic": 1, "Pro": 1}
    assert values("warm", midnight(2)) == {"Basic": 2, "Pro": 0, "(none)": 1, "(other)": 1}
    assert values("cold", midnight(3)) == {"Basic": 2, "Pro": 1}
    assert values("cold", midnight(1)) == {}  # two days are too far


@pytest.mark.parametrize(
    "facets",
    [pytest.param({}, id="an event kept none"), pytest.param({"plan": "Pro"}, id="one becomes negative")],
)
def test_facets_are_unknown_where(facets: dict[str, str]) -> None:
    own, _, _ = declared(Facet("plan", "Plan", "plan__name", ["Basic", "Pro"]))
    counted("cold", midnight(3) + HOUR, 3, plan={"Basic": 3, "Pro": 0})
    moved("cold", "warm", midnight(3) + 2 * HOUR, facets=facets)
    recording.record_levels(own)

    record = StockRecord.objects.get(stock="cold", timestamp=midnight(2))
    assert record.count == 2
    assert not record.facet_records.exists()


def test_facet_values_that_change_leave_restatements_too() -> None:
    own, _, _ = declared(Facet("plan", "Plan", "plan__name", ["Basic", "Pro"]))
    counted("cold", midnight(3) + HOUR, 3, plan={"Basic": 2, "Pro": 1})
    recording.record_levels(own)
    at = midnight(3) + 2 * HOUR
    moved("", "cold", at, facets={"plan": "Pro"})
    moved("cold", "", at, facets={"plan": "Basic"})
    recording.record_levels(own)

    record = StockRecord.objects.get(stock="cold", timestamp=midnight(2))
    assert dict(record.facet_records.values_list("value", "count")) == {"Basic": 1, "Pro": 2}
    assert (record.count, record.revision) == (3, 2)
    changed = Restatement.objects.values_list("facet", "value", "start", "old_count", "new_count")
    assert set(changed) == {("plan", "Basic", midnight(2), 2, 1), ("plan", "Pro", midnight(2), 1, 2)}


def test_final_facet_values_that_become_unknown_are_restated_as_such() -> None:
    own, _, _ = declared(Facet("plan", "Plan", "plan__name", ["Basic", "Pro"]))
    counted("cold", midnight(3) + HOUR, 3, plan={"Basic": 3, "Pro": 0})
    recording.record_levels(own)
    moved("cold", "warm", midnight(3) + 2 * HOUR, facets={})
    for _ in range(2):
        recording.record_levels(own)
        changed = Restatement.objects.filter(slug="cold", start=midnight(2)).order_by("facet", "value")
        numbers = changed.values_list("facet", "value", "old_count", "new_count")
        assert list(numbers) == [("", "", 3, 2), ("plan", "Basic", 3, None), ("plan", "Pro", 0, None)]


def test_an_event_of_an_open_transaction_does_not_slip_behind_the_watermark() -> None:
    own, _, _ = declared()
    counted("cold", midnight(5) + HOUR, 10)
    moved("", "cold", midnight(4) + HOUR)
    moved("", "cold", midnight(4) + HOUR, recorded_at=timezone.now())
    held, seen = MemberFlowEvent.objects.order_by("pk")
    MemberFlowEvent.objects.filter(pk=held.pk).delete()  # it isn't committed yet
    recording.record_levels(own)

    mark = Watermark.objects.get(event_model="membership.memberflowevent", calendar=LEVELS)
    assert mark.event_id < held.pk < seen.pk
    held.save(force_insert=True)
    recording.record_levels(own)
    assert kept("cold")[midnight(3)] == 12


def test_what_another_run_was_quicker_to_write_stays() -> None:
    own, _, _ = declared()
    counted("cold", midnight(5) + HOUR, 10)
    slow = recording.derive(own)
    moved("", "cold", midnight(4) + HOUR)
    recording.record_levels(own)

    assert slow is not None
    assert recording.keep(slow) is None
    assert kept("cold")[midnight(3)] == 11


def test_queries_do_not_grow_with_days_events_or_stocks() -> None:
    def queries(days: int, stocks: int) -> int:
        StockRecord.objects.all().delete()
        LevelWatermark.objects.all().delete()
        MemberFlowEvent.objects.all().delete()
        own = Registry()
        own.register(
            ModelTracker(
                stocks=[Stock(f"s{n}", "", Member.objects.filter(pk=n)) for n in range(stocks)],
                event_model=MemberFlowEvent,
            )
        )
        for n in range(stocks):
            counted(f"s{n}", midnight(0) + timedelta(seconds=1), 10)
            moved("", f"s{n}", *(midnight(day) - HOUR for day in range(days)))
        with CaptureQueriesContext(connection) as captured:
            recording.record_levels(own)
        assert StockRecord.objects.filter(method="derived").count() == (days + 1) * stocks
        read = [query["sql"] for query in captured if query["sql"].startswith("SELECT")]
        return len([sql for sql in read if "strftime" not in sql])

    assert queries(300, 3) == queries(20, 2) <= 26


def test_ten_years_of_imported_moves_are_summed_day_by_day() -> None:
    own, _, _ = declared()
    moved("", "cold", *(midnight(n) - HOUR for n in range(0, 3650, 2)), origin=Origin.IMPORT)
    counted("cold", timezone.now(), 2000)
    with CaptureQueriesContext(connection) as captured:
        assert recording.record_levels(own).written > 3640
    levels = kept("cold")

    assert [levels[midnight(n)] for n in (3648, 3646, 2, 1, 0)] == [176, 177, 1999, 1999, 2000]
    assert len([query for query in captured if "memberflowevent" in query["sql"]]) <= 8


def test_the_schedule_keeps_levels_with_the_counts_they_come_of() -> None:
    from stockandflow.periodic.builtin import record

    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.create(name="m", email="m@example.org", plan=plan)
    store = record(registry)
    assert not StockRecord.objects.exists()
    store()

    today = StockRecord.objects.get(stock="trial", method="derived")
    assert (today.count, today.timestamp) == (0, midnight(0))
    assert today.carried_from == StockRecord.objects.get(stock="trial", method="counted").timestamp


def test_one_count_still_tells_that_nothing_can_be_unexplained() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.create(name="m", email="m@example.org", plan=plan)
    made = recording.record(registry)
    assert made.at is not None
    MemberFlowEvent.objects.filter(origin=Origin.LIVE).update(timestamp=midnight(2) - HOUR)
    recording.record_levels(registry, since=midnight(3))
    found = reports.balance(registry.process("membership"), midnight(2), midnight(1))

    assert {line.opening_method for line in found.stocks} == {"derived"}
    assert all(line.counted_once for line in found.stocks)


# Against an independent replay.


@dataclass
class Replay:
    """What was written, as plain Python: levels are worked out from nothing but the definition."""

    events: list[tuple[datetime, str, str, datetime]] = field(default_factory=list)
    counts: dict[tuple[str, datetime], tuple[int, int | None]] = field(default_factory=dict)

    def net(self, slug: str, low: datetime, high: datetime) -> int:
        return sum(
            (sink == slug) - (source == slug) for at, source, sink, _ in self.events if low <= at < high
        )

    def late(self, slug: str, at: datetime, recent: int | None) -> int:
        settling = [
            (sink == slug) - (source == slug)
            for when, source, sink, recorded in self.events
            if at - SETTLING <= when < at and at - SETTLING <= recorded < at
        ]
        return 0 if recent is None else sum(settling) - recent

    def level(self, slug: str, at: datetime) -> int | None:
        known = sorted(when for stock, when in self.counts if stock == slug)
        if not known:
            return None
        before = [when for when in known if when <= at]
        count_at = before[-1] if before else known[0]
        count, recent = self.counts[slug, count_at]
        count += self.late(slug, count_at, recent)
        net = self.net(slug, count_at, at) if before else -self.net(slug, at, count_at)
        return max(0, count + net)

    def first(self, slug: str) -> datetime:
        """Levels begin with the first event of the model, or the first count."""
        return min([at for at, *_ in self.events] + [at for stock, at in self.counts if stock == slug])


# Within an hour of each other more often than by chance, and near midnight.
minutes = st.builds(
    lambda day, minute: 1 + day * 24 * 60 + minute,
    st.integers(0, 8),
    st.integers(0, 90) | st.integers(0, 1438),
)
moves = st.tuples(st.just("move"), minutes, st.sampled_from([("", "cold"), ("cold", "warm"), ("warm", "")]))
counts = st.tuples(
    st.just("count"),
    minutes | st.integers(0, 9).map(lambda day: day * 24 * 60),
    st.sampled_from(["cold", "warm"]),
    st.integers(0, 6),
    st.none() | st.integers(-1, 2),
)
runs = st.tuples(st.just("run"))


@given(st.lists(moves | moves | counts | runs, max_size=14))
def test_levels_are_those_of_a_replay_whenever_what_became_known(steps: Sequence[Any]) -> None:
    for model in (MemberFlowEvent, StockRecord, Restatement, Watermark, LevelWatermark):
        model._default_manager.all().delete()
    own, _, _ = declared()
    replay, end, shown = Replay(), midnight(0), dict[tuple[str, datetime], list[int]]()
    for kind, *given_ in [*steps, ("run",)]:
        if kind == "move":
            at = end - timedelta(minutes=given_[0])
            recorded = at + timedelta(minutes=given_[0] % 7)
            moved(*given_[1], at, recorded_at=recorded)
            replay.events.append((at, *given_[1], recorded))
        elif kind == "count":
            at, slug = end - timedelta(minutes=given_[0]), given_[1]
            if (slug, at) not in replay.counts:
                counted(slug, at, given_[2], given_[3])
                replay.counts[slug, at] = given_[2], given_[3]
        else:
            recording.record_levels(own)
            for key, level in derived_levels():
                shown.setdefault(key, [level])
                if shown[key][-1] != level:
                    shown[key].append(level)
    for slug, zones in (("cold", [LONDON]), ("warm", [LONDON, KATHMANDU])):
        for calendar in zones:
            expected = dict(expected_levels(replay, slug, calendar))
            found = kept(slug, calendar)
            assert {at: found.get(at) for at in expected} == expected
    assert_restated(shown)


def derived_levels() -> Iterator[tuple[tuple[str, datetime], int]]:
    for slug, at, count in StockRecord.objects.filter(method="derived").values_list(
        "stock", "timestamp", "count"
    ):
        yield (slug, at), count


def expected_levels(replay: Replay, slug: str, calendar: Calendar) -> Iterator[tuple[datetime, int]]:
    if not any(stock == slug for stock, _ in replay.counts):
        return
    for day in calendar.periods(Grain.DAY, replay.first(slug), datetime.now(UTC)):
        level = replay.level(slug, day.start)
        if (slug, day.start) not in replay.counts and level is not None:
            yield day.start, level


def assert_restated(shown: dict[tuple[str, datetime], list[int]]) -> None:
    """Each final level that was shown and changed has told so."""
    revisions = {
        (record.stock, record.timestamp): record for record in StockRecord.objects.filter(method="derived")
    }
    for (slug, at), levels in shown.items():
        record = revisions.get((slug, at))
        if record is None or at >= midnight(1, KATHMANDU):
            continue
        told = Restatement.objects.filter(slug=slug, start=at, facet="").order_by("revision")
        assert [(one.old_count, one.new_count) for one in told] == list(pairwise(levels))
        assert record.revision == len(levels)


def test_recomputing_leaves_the_values_of_a_facet_that_the_stock_has_no_more() -> None:
    own, _, _ = declared(Facet("plan", "Plan", "plan__name", ["Basic", "Pro"]))
    counted("cold", midnight(3) + HOUR, 3, plan={"Basic": 2, "Pro": 1})
    recording.record_levels(own)
    before = facet_rows("cold")
    assert before

    without, _, _ = declared()
    recording.record_levels(without, restate=True)
    assert facet_rows("cold") == before

    moved("", "cold", midnight(3) + 2 * HOUR, facets={"plan": "Pro"})
    recording.record_levels(without)
    assert facet_rows("cold") == before
    assert [one.facet for one in Restatement.objects.filter(start=midnight(2))] == [""]


@pytest.mark.parametrize(
    "values", [["Basic", "Pro"], ["Basic"], ["Basic", "Pro", "Gold"]], ids=["as before", "fewer", "more"]
)
def test_recomputing_tells_the_values_that_were_declared_when_it_was_counted(values: list[str]) -> None:
    own, _, _ = declared(Facet("plan", "Plan", "plan__name", ["Basic", "Pro"]))
    counted("cold", midnight(3) + HOUR, 4, plan={"Basic": 2, "Pro": 1, "(other)": 1})
    for plan in ("Pro", "Gold"):
        moved("", "cold", midnight(3) + 2 * HOUR, facets={"plan": plan})
    recording.record_levels(own)
    before = facet_rows("cold")
    assert {("Pro", 2), ("(other)", 2)} <= {row[1:] for row in before}

    changed, _, _ = declared(Facet("plan", "Plan", "plan__name", values))
    recording.record_levels(changed, restate=True)
    assert facet_rows("cold") == before
    assert not Restatement.objects.exists()


def facet_rows(slug: str) -> set[tuple[datetime, str, int]]:
    """Instant, value and number of the derived levels."""
    found = StockFacetRecord.objects.filter(stock_record__stock=slug, stock_record__method="derived")
    return set(found.values_list("stock_record__timestamp", "value", "count"))
