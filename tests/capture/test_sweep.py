"""The sweep: whatever went round the capture is found and written, once, and from where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, models
from django.db.models import ExpressionWrapper, F, Q
from django.db.models.functions import Greatest, Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import capture, reports
from stockandflow.capture.sweep import Comparison, Swept, sweep, why_left_out
from stockandflow.declarations import Flow, ModelTracker, Stock
from stockandflow.exceptions import InvalidInput, UnknownSlug
from stockandflow.models import Delivery, FlowEvent, Origin, StockRecord, Sweep
from stockandflow.models.clock import database_now
from stockandflow.registry import Registry, registry
from tests.capture.keyed.models import Parcel, ParcelFlowEvent, Region, RegionFlowEvent
from tests.shared import empty
from tests.testapp.models import Item, ItemFlowEvent
from tests.writes import PLANS, WRITES, Write, do

HOUR = timedelta(hours=1)


def tracker_of(
    events: type[FlowEvent] = ItemFlowEvent, slug: str = "swept", **querysets: models.QuerySet[Any]
) -> ModelTracker:
    stocks = [Stock(name, name, queryset) for name, queryset in querysets.items()]
    return ModelTracker(stocks=stocks, flows=Flow.for_stocks(events, stocks), slug=slug)


def by_text() -> ModelTracker:
    rows = Item.objects.all()
    return tracker_of(draft=rows.filter(text="draft"), done=rows.filter(text="done"))


def moves_of(events: type[FlowEvent] = ItemFlowEvent) -> list[tuple[Any, str, str, str]]:
    found: models.QuerySet[Any] = events._default_manager.order_by("pk")
    return list(found.values_list("subject_id", "source", "sink", "origin"))


def opened(tracker: ModelTracker) -> ModelTracker:
    """The tracker, opened while there is nothing."""
    assert sweep(tracker, "default").opened
    return tracker


@pytest.mark.django_db
class TestOneSweep:
    """What one sweep of one tracker does."""

    def test_the_first_opens_the_tracker_with_its_opening_balance(self) -> None:
        for text in ("draft", "done", "x"):
            Item.objects.create(text=text)
        tracker = by_text()
        assert sweep(tracker, "default").moves == {("", "draft"): 1, ("", "done"): 1}
        assert {origin for *_, origin in moves_of()} == {Origin.INITIAL}
        row = Sweep.objects.get(tracker="swept", database="default")
        assert row.opened_at is not None
        assert row.opened_at == row.completed_at
        assert (row.started_at, row.cursor, row.found) == (None, None, 2)
        assert str(row) == "swept on default"

    def test_a_later_one_finds_what_was_missed(self) -> None:
        tracker = opened(by_text())
        kept, gone = Item.objects.create(text="draft"), Item.objects.create(text="done")
        assert sweep(tracker, "default").moves == {("", "draft"): 1, ("", "done"): 1}
        key = gone.pk
        gone.delete()
        Item.objects.update(text="done")
        found = sweep(tracker, "default")

        assert found == Swept(tracker, "default", {("draft", "done"): 1, ("done", ""): 1})
        assert found.found == 2
        assert moves_of()[2:] == [
            (kept.pk, "draft", "done", Origin.SWEEP),
            (key, "done", "", Origin.SWEEP),
        ]
        assert sweep(tracker, "default").moves == {}
        assert len(moves_of()) == 4

    def test_what_it_writes_is_delivered_like_what_is_written_live(self) -> None:
        called = Stock("trial", "T", Member.objects.filter(status=Status.TRIAL))
        flow = Flow("in", "In", MemberFlowEvent, [None], [called], event_callables=[print])
        tracker = ModelTracker(stocks=[called], flows=[flow], slug="swept")
        plan = Plan.objects.create(name="Solo", monthly_price=9)
        Member.objects.create(name="Ada", email="a@example.org", plan=plan)
        before = Delivery.objects.count()
        sweep(tracker, "default")
        assert Delivery.objects.count() == before
        Member.objects.create(name="Bob", email="b@example.org", plan=plan)
        sweep(tracker, "default")

        assert Delivery.objects.count() == before + 1
        event = MemberFlowEvent.objects.get(tracker="swept", origin=Origin.SWEEP)
        assert Delivery.objects.get(event_id=event.pk).flow == "in"

    @pytest.mark.parametrize("chunk", [1, 2, 3, 100])
    def test_ranges_hold_every_key_once_those_of_vanished_subjects_too(self, chunk: int) -> None:
        tracker = opened(by_text())
        items = [Item.objects.create(text="draft") for _ in range(7)]
        sweep(tracker, "default", chunk=chunk)
        assert len(moves_of()) == 7
        keys = [item.pk for item in items]
        Item.objects.filter(pk__in=[keys[0], keys[3], keys[5], keys[6]]).delete()
        ranges = list(Comparison(tracker, "default").ranges(None, chunk))
        assert (ranges[0].after, ranges[-1].until) == (None, None)
        assert [one.until for one in ranges[:-1]] == [one.after for one in ranges[1:]]
        assert sweep(tracker, "default", chunk=chunk).moves == {("draft", ""): 4}
        assert sweep(tracker, "default", chunk=chunk).moves == {}

    def test_a_range_has_no_more_events_than_a_chunk_may(self) -> None:
        tracker, now = opened(by_text()), timezone.now()
        for key in range(1, 20):
            for sink in ("draft", ""):
                ItemFlowEvent.objects.create(
                    tracker="swept", subject_id=key, sink=sink, timestamp=now, recorded_at=now
                )
        assert len(list(Comparison(tracker, "default").ranges(None, 2))) > 3
        assert sweep(tracker, "default", chunk=2).moves == {}

    @pytest.mark.parametrize("chunk", [1, 3])
    def test_keys_of_every_kind_are_walked_and_resumed(self, chunk: int) -> None:
        codes = ["b", "A", "a'%s", "é", "Z", "10", "9", " "]
        for code in codes:
            Region.objects.create(code=code, status="done")
        for _ in range(8):
            Parcel.objects.create(status="done")
        for events, rows in (
            (RegionFlowEvent, Region.objects.all()),
            (ParcelFlowEvent, Parcel.objects.all()),
        ):
            tracker = opened_after(tracker_of(events, slug=events.__name__, done=rows.filter(status="done")))
            assert sweep(tracker, "default", chunk=chunk).moves == {("", "done"): 8}
            rows.model._base_manager.all()._raw_delete("default")
            assert sweep(tracker, "default", chunk=chunk).moves == {("done", ""): 8}
            assert sweep(tracker, "default", chunk=chunk).moves == {}

    def test_one_that_is_interrupted_goes_on_from_where_it_stopped(self) -> None:
        tracker = by_text()
        items = [Item.objects.create(text="draft") for _ in range(6)]

        class Killed(BaseException):
            pass

        def kill(*_: Any) -> None:
            raise Killed

        with pytest.raises(Killed):
            sweep(tracker, "default", chunk=2, progress=kill)
        assert [key for key, *_ in moves_of()] == [item.pk for item in items[:2]]
        row = Sweep.objects.get(tracker="swept")
        assert row.cursor == str(items[1].pk)
        assert row.started_at is not None
        assert (row.opened_at, row.completed_at) == (None, None)
        # What was seen to isn't looked at again, until the next one.
        Item.objects.filter(pk=items[0].pk).update(text="done")
        assert sweep(tracker, "default", chunk=2).moves == {("", "draft"): 4}
        assert {origin for *_, origin in moves_of()} == {Origin.INITIAL}
        assert Sweep.objects.get(tracker="swept").found == 6
        assert sweep(tracker, "default", chunk=2).moves == {("draft", "done"): 1}

    def test_one_that_another_overtakes_leaves_the_progress_of_the_next_alone(self) -> None:
        tracker = by_text()
        items = [Item.objects.create(text="draft") for _ in range(6)]
        left: list[Any] = []

        class Killed(BaseException):
            pass

        def kill(*_: Any) -> None:
            raise Killed

        def overtaken(*_: Any) -> None:
            if left:
                return
            assert sweep(tracker, "default").found == 4
            Item.objects.filter(pk=items[-1].pk).update(text="done")
            with pytest.raises(Killed):
                sweep(tracker, "default", chunk=2, progress=kill)
            left.append(Sweep.objects.values().get(tracker="swept"))

        sweep(tracker, "default", chunk=2, progress=overtaken)
        assert [Sweep.objects.values().get(tracker="swept")] == left
        assert left[0]["cursor"] == str(items[1].pk)

    def test_it_loads_nothing_and_asks_no_more_of_more_subjects(self) -> None:
        tracker = opened(by_text())
        Item.objects.bulk_create(Item(text="draft") for _ in range(30))
        counts = []
        for _ in range(2):
            with CaptureQueriesContext(connection) as queries:
                sweep(tracker, "default")
            counts.append(len([q for q in queries if "quote(" not in q["sql"]]))
            Item.objects.bulk_create(Item(text="draft") for _ in range(60))
        assert counts[0] == counts[1]

    def test_progress_is_told_after_each_range(self) -> None:
        Item.objects.bulk_create(Item(text="draft") for _ in range(5))
        told: list[tuple[str, int, int]] = []
        sweep(by_text(), "default", chunk=2, progress=lambda *args: told.append(args))
        assert told == [("swept", 2, 2), ("swept", 4, 4), ("swept", 6, 5)]

    def test_a_chunk_of_nothing_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match=r"chunk is 0; give the number"):
            sweep(by_text(), "default", chunk=0)


def opened_after(tracker: ModelTracker) -> ModelTracker:
    known = {"opened_at": timezone.now(), "started_at": None}
    Sweep.objects.update_or_create(tracker=tracker.slug, database="default", defaults=known)
    return tracker


@pytest.mark.django_db
class TestWhichTrackers:
    """Which trackers a sweep looks at, and why it leaves others out."""

    def test_all_or_those_asked_for(self) -> None:
        mine = Registry()
        one, other = by_text(), tracker_of(slug="other", all=Item.objects.all())
        mine.register(one, other)
        assert [swept.tracker for swept in capture.repair(mine)] == [one, other]
        assert [swept.tracker for swept in capture.repair(mine, slugs=["other"])] == [other]
        assert [swept.tracker for swept in capture.repair(mine, using="default", slugs=["swept"])] == [one]
        with pytest.raises(UnknownSlug):
            capture.repair(mine, slugs=["othre"])
        with pytest.raises(InvalidInput, match=r"There is no database 'elsewhere'; DATABASES has 'default'"):
            capture.repair(mine, using="elsewhere")

    def function(self, states: Callable[..., Any], **querysets: models.QuerySet[Any]) -> ModelTracker:
        stocks = [Stock(name, name, queryset) for name, queryset in querysets.items()]
        return ModelTracker(["text"], states, stocks, Flow.for_stocks(ItemFlowEvent, stocks), slug="swept")

    def test_a_function_is_swept_by_its_stocks_where_they_say_what_it_says(self) -> None:
        draft = Item.objects.filter(text="draft")

        def states(before: Any, now: Any) -> Any:
            def state(values: Any) -> Any:
                return tracker.stocks[0] if values and values[0] == "draft" else None

            return (state(before),), (state(now),)

        tracker = self.function(states, draft=draft)
        for text in ("draft", "done"):
            Item.objects.create(text=text)
        assert why_left_out(tracker, "default") == ""
        assert sweep(tracker, "default").moves == {("", "draft"): 1}

    def test_a_function_that_says_something_else_is_left_out(self) -> None:
        draft, everything = Item.objects.filter(text="draft"), Item.objects.all()
        item = Item.objects.create(text="draft")
        two = self.function(lambda *_: ((None, None), (None, None)), draft=draft)
        other = self.function(lambda *_: ((None,), (None,)), draft=draft)
        broken = self.function(lambda *_: 1 / 0, draft=draft)
        overlapping = self.function(lambda *_: ((None,), ("draft",)), draft=draft, all=everything)
        for tracker, reason in (
            (two, "its function gives 2 states for one object, and a sweep knows one dimension"),
            (
                other,
                f"its function says that the object {item.pk} is in '', and the stocks' querysets say 'draft'",
            ),
            (broken, f"its function failed for the object {item.pk}: ZeroDivisionError"),
            (overlapping, "objects are in 'draft' and 'all' at once"),
            (registry.tracker("support.escalation"), "it has no stocks"),
        ):
            swept = sweep(tracker, "default")
            assert reason in swept.left_out
            assert swept.moves == {}
        assert moves_of() == []

    def test_what_is_left_out_notes_when_its_events_begin_to_tell(self) -> None:
        """So that no level is carried back to before it, though no sweep opens it."""
        tracker = self.function(lambda *_: ((None,), (None,)), draft=Item.objects.filter(text="draft"))
        items = [Item.objects.create(text="draft") for _ in range(2)]
        before = database_now("default")
        sweep(tracker, "default")
        row = Sweep.objects.get(tracker="swept")
        assert row.told_since is not None
        assert before <= row.told_since <= database_now("default")
        assert (row.opened_at, row.completed_at, row.started_at) == (None, None, None)
        sweep(tracker, "default")
        assert Sweep.objects.get(tracker="swept").told_since == row.told_since

        tracker.import_events([(items[0].pk, before - 2 * HOUR, "", "draft")])
        assert Sweep.objects.get(tracker="swept").told_since == row.told_since, (
            "of the other nothing is known yet"
        )
        tracker.import_events([(items[1].pk, before - 2 * HOUR, "", "draft")])
        assert Sweep.objects.get(tracker="swept").told_since is None

    def test_an_import_never_makes_its_events_begin_later(self) -> None:
        """That of the last without events: another was first seen since, as it left."""
        tracker = self.function(lambda *_: ((None,), (None,)), draft=Item.objects.filter(text="draft"))
        first, last = (Item.objects.create(text="draft") for _ in range(2))
        sweep(tracker, "default")
        now = database_now("default")
        Sweep.objects.filter(tracker="swept").update(told_since=now - 10 * HOUR)
        left = now - 5 * HOUR
        ItemFlowEvent.objects.create(
            tracker="swept", source="draft", subject=first, timestamp=left, recorded_at=left
        )
        tracker.import_events([(last.pk, now - 20 * HOUR, "", "draft")])
        assert Sweep.objects.get(tracker="swept").told_since == now - 10 * HOUR

    def test_an_import_before_the_first_sweep_notes_it_as_well(self) -> None:
        tracker = self.function(lambda *_: ((None,), (None,)), draft=Item.objects.filter(text="draft"))
        first, _ = (Item.objects.create(text="draft") for _ in range(2))
        before = database_now("default")
        tracker.import_events([(first.pk, before - HOUR, "", "draft")])
        sweep(tracker, "default")
        told_since = Sweep.objects.get(tracker="swept").told_since
        assert told_since is not None
        assert told_since >= before

    def test_what_is_left_out_with_a_history_tells_all_of_it(self) -> None:
        tracker = self.function(lambda *_: ((None,), (None,)), draft=Item.objects.filter(text="draft"))
        item = Item.objects.create(text="draft")
        tracker.import_events([(item.pk, database_now("default") - HOUR, "", "draft")])
        Item.objects.create(text="done").delete()
        sweep(tracker, "default")
        assert Sweep.objects.get(tracker="swept").told_since is None


AGE = timedelta(days=30)


@pytest.mark.django_db
class TestTime:
    """Where only the time moved an object, its event says when."""

    def moved(self, item: Item, tracker: ModelTracker) -> datetime:
        """When the sweep says that the item moved into "late", where it was ten days ago in the other stock."""
        opened_after(tracker)
        at = timezone.now() - timedelta(days=10)
        ItemFlowEvent.objects.create(
            tracker="swept", subject=item, sink="early", timestamp=at, recorded_at=at
        )
        assert sweep(tracker, "default").moves == {("early", "late"): 1}
        event = ItemFlowEvent.objects.get(sink="late")
        assert (event.source, event.origin) == ("early", Origin.SWEEP)
        assert abs(event.recorded_at - timezone.now()) < HOUR / 60
        return event.timestamp

    def split(self, late: Q, early: Q | None = None) -> ModelTracker:
        rows = Item.objects.all()
        return tracker_of(early=rows.filter(early) if early else rows.exclude(late), late=rows.filter(late))

    @pytest.mark.parametrize(
        ("late", "offset"),
        [
            (lambda: Q(moment__lte=Now()), timedelta()),
            (lambda: Q(moment__lt=Now() - AGE), AGE),
            (lambda: Q(moment__lte=Now() + AGE), -AGE),
            (lambda: Q(moment__lt=Now() - AGE + HOUR), AGE - HOUR),
            (lambda: Q(moment__lt=Now() - AGE) & Q(text="x"), AGE),
            (lambda: Q(moment__lt=Now() - AGE) | Q(flag=True), AGE),
        ],
    )
    def test_an_object_moved_when_it_crossed_the_line(self, late: Callable[[], Q], offset: timedelta) -> None:
        crossed = timezone.now() - 5 * HOUR
        item = Item.objects.create(text="x", moment=crossed - offset)
        assert self.moved(item, self.split(late())) == crossed

    def test_a_sum_of_the_column_and_a_duration_is_a_line_too(self) -> None:
        crossed = timezone.now() - 5 * HOUR
        ends = ExpressionWrapper(F("moment") + AGE, output_field=models.DateTimeField())
        rows = Item.objects.annotate(ends=ends)
        item = Item.objects.create(moment=crossed - AGE)
        tracker = tracker_of(early=rows.filter(ends__gt=Now()), late=rows.filter(ends__lte=Now()))
        assert self.moved(item, tracker) == crossed

    def test_of_several_lines_the_last_one_crossed_counts(self) -> None:
        crossed = timezone.now() - 2 * HOUR
        item = Item.objects.create(moment=crossed - AGE)
        late = Q(moment__lte=Now()) & Q(moment__lte=Now() - AGE) & Q(moment__gte=Now() - 2 * AGE)
        assert self.moved(item, self.split(late)) == crossed

    @pytest.mark.parametrize("before", [timedelta(days=20), -timedelta(days=3)])
    def test_a_line_crossed_before_the_last_event_or_not_yet_tells_nothing(self, before: timedelta) -> None:
        item = Item.objects.create(text="x", moment=timezone.now() - before)
        late = Q(text="x") & (Q(moment__lte=Now()) | Q(moment__gt=Now()))
        early = Q(text="y")
        assert abs(self.moved(item, self.split(late, early)) - timezone.now()) < HOUR / 60

    def test_a_line_of_another_form_tells_nothing(self) -> None:
        item = Item.objects.create(moment=timezone.now() - AGE - HOUR)
        late = Q(moment__lt=Greatest(Now() - AGE, Now() - 2 * AGE))
        assert abs(self.moved(item, self.split(late)) - timezone.now()) < HOUR / 60

    def test_what_was_never_seen_before_is_there_from_now_on(self) -> None:
        Item.objects.create(moment=timezone.now() - 5 * HOUR)
        tracker = opened_after(self.split(Q(moment__lte=Now())))
        assert sweep(tracker, "default").moves == {("", "late"): 1}
        assert abs(ItemFlowEvent.objects.get().timestamp - timezone.now()) < HOUR / 60


@pytest.mark.django_db(transaction=True)
class TestMigrate:
    """``migrate`` opens trackers once the triggers are in place."""

    def test_all_are_opened_where_there_is_nothing_yet(self) -> None:
        call_command("migrate", verbosity=0)
        assert set(Sweep.objects.exclude(opened_at=None).values_list("tracker", flat=True)) == {
            tracker.slug for tracker in registry.trackers
        }
        assert not Sweep.objects.exclude(completed_at=models.F("opened_at")).exists()

    def test_what_is_there_already_is_the_opening_balance(self) -> None:
        plan = Plan.objects.create(name="Solo", monthly_price=9)
        with capture.suspended(registry, "default"):
            Member.objects.create(name="Ada", email="a@example.org", plan=plan)
        Sweep.objects.all().delete()
        call_command("migrate", verbosity=0)
        assert moves_of(MemberFlowEvent)[0][1:] == ("", "trial", Origin.INITIAL)
        Member.objects.create(name="Bob", email="b@example.org", plan=plan)
        call_command("migrate", verbosity=0)
        assert [move[3] for move in moves_of(MemberFlowEvent)] == [Origin.INITIAL, Origin.LIVE]

    def test_the_stocks_are_counted_once_so_that_what_is_missed_from_then_on_is_unexplained(self) -> None:
        plan = Plan.objects.create(name="Solo", monthly_price=9)
        for name in ("Ada", "Bob", "Cy"):
            Member.objects.create(name=name, email="a@example.org", plan=plan)
        Sweep.objects.all().delete()
        for _ in range(2):
            call_command("migrate", verbosity=0)
        tracker = registry.tracker("membership.member")
        records = {record.stock: record for record in StockRecord.objects.all()}
        assert StockRecord.objects.count() == len(tracker.stocks)  # the other trackers have nothing to count
        assert {slug: record.count for slug, record in records.items()} == {
            stock.slug: 3 if stock.slug == "trial" else 0 for stock in tracker.stocks
        }
        assert records["trial"].facet_records.get(facet="plan", value="Solo").count == 3

        with capture.suspended(registry, "default"):
            Member.objects.filter(name="Ada").update(status=Status.ACTIVE)
        since, until = records["trial"].timestamp, timezone.now() + HOUR
        balance = reports.balance(registry.process("membership"), since, until)
        lines = {line.stock.slug: line for line in balance.stocks}
        assert (lines["trial"].opening, lines["trial"].unexplained) == (3, -1)
        assert (lines["active"].opening, lines["active"].unexplained) == (0, 1)

    def test_another_migrate_asks_little(self) -> None:
        call_command("migrate", verbosity=0)
        with CaptureQueriesContext(connection) as queries:
            assert capture.open_trackers(registry, "default") == []
        assert len(queries) <= 3


class TestWhateverWentRound:
    """Random writes, some of them while the triggers are down."""

    @pytest.mark.django_db(transaction=True)
    @given(st.lists(st.tuples(WRITES, st.booleans()), min_size=1, max_size=12))
    @settings(max_examples=settings().max_examples // 2)
    def test_after_a_sweep_the_events_replayed_are_the_stocks(self, writes: list[tuple[Write, bool]]) -> None:
        empty()
        Plan.objects.bulk_create([Plan(name=name, monthly_price=9) for name in PLANS])
        for written, captured in writes:
            if captured:
                do(written)
            else:
                with capture.suspended(registry, "default"):
                    do(written)
        capture.repair(registry)

        for tracker in registry.trackers:
            events: Any = tracker.events._default_manager.filter(tracker=tracker.slug)
            where = dict(events.order_by("timestamp", "id").values_list("subject_id", "sink"))
            for stock in tracker.stocks:
                assert {key for key, sink in where.items() if sink == stock.slug} == set(
                    stock.all().values_list("pk", flat=True)
                )
        assert [swept.found for swept in capture.repair(registry)] == [0] * len(registry.trackers)
