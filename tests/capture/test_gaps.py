"""Gaps: a move missed before a later one was captured is named, and written where it was."""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import capture, reports
from stockandflow.capture import Audit, Between, Skipped
from stockandflow.capture.sweep import sweep
from stockandflow.declarations import Flow, ModelTracker, Stock
from stockandflow.models import Delivery, Origin, Sweep
from stockandflow.recording import record
from stockandflow.registry import Registry, registry
from tests.testapp.models import Item, ItemFlowEvent

SLUG = "membership.member"
MINUTE = timedelta(minutes=1)


def audited() -> Audit:
    (found,) = capture.audit(registry, slugs=[SLUG])
    return found


def moves_of(member: Member) -> list[tuple[str, str, str]]:
    events = MemberFlowEvent.objects.filter(tracker=SLUG, subject_id=member.pk)
    return list(events.order_by("timestamp", "id").values_list("source", "sink", "origin"))


@pytest.mark.django_db(transaction=True)
def test_a_move_missed_before_a_captured_one_is_named_and_written_and_the_balance_adds_up() -> None:
    plan = Plan.objects.create(name="Solo", monthly_price=9)
    members = [Member.objects.create(name=f"m{n}", email="m@example.org", plan=plan) for n in range(3)]
    capture.repair(registry)
    since = record(registry).at
    assert since is not None
    with capture.suspended(registry, "default"):
        Member.objects.exclude(name="m2").update(status=Status.ACTIVE)
    time.sleep(0.01)  # room between, on SQLite too, and after the record
    Member.objects.exclude(name="m2").update(status=Status.CHURNED)
    until = timezone.now() + timedelta(hours=1)
    lines = {
        line.stock.slug: line for line in reports.balance(registry.process("membership"), since, until).stocks
    }
    assert (lines["trial"].unexplained, lines["active"].unexplained) == (-2, 2)

    found = audited()
    first, second = members[:2]
    assert found.missing == ()
    (skipped,) = found.skipped
    assert (skipped.flow, skipped.source, skipped.sink) == ("converting", "trial", "active")
    assert (skipped.count, skipped.without_room) == (2, 0)
    assert [(one.key, one.name) for one in skipped.objects] == [(str(m.pk), str(m)) for m in (first, second)]
    for member, between in zip((first, second), skipped.objects, strict=True):
        events = MemberFlowEvent.objects.filter(tracker=SLUG, subject_id=member.pk).order_by("timestamp")
        assert [between.since, between.until] == [event.timestamp for event in events]
    assert not found.in_order
    assert (found.moves, found.writable) == (2, 2)

    (swept,) = capture.repair(registry, slugs=[SLUG])
    assert swept.moves == {("trial", "active"): 2}
    churned = str(Status.CHURNED)
    assert [(source, sink) for source, sink, _ in moves_of(first)] == [
        ("", "trial"),
        ("trial", "active"),
        ("active", churned),
    ]
    assert moves_of(first)[1][2] == Origin.SWEEP
    for member in members:
        assert all(one[1] == other[0] for one, other in pairwise(moves_of(member)))
    (again,) = capture.repair(registry, slugs=[SLUG])
    assert again.moves == {}
    assert audited().in_order
    balance = reports.balance(registry.process("membership"), since, until)
    assert [line.unexplained for line in balance.stocks] == [0] * len(balance.stocks)


def tracker_of(**options: Any) -> ModelTracker:
    names = ("draft", "done", "sent")
    stocks = [Stock(name, name, Item.objects.filter(text=name)) for name in names]
    flow = Flow("finishing", "Finishing", ItemFlowEvent, stocks[:1], stocks[1:2], **options)
    return ModelTracker(stocks=stocks, flows=[flow], slug="gapped")


def chained(item: Item, *moves: tuple[str, str], apart: timedelta = MINUTE, slug: str = "gapped") -> None:
    started = timezone.now().replace(microsecond=0) - timedelta(hours=1)
    for number, (source, sink) in enumerate(moves):
        at = started + number * apart
        ItemFlowEvent.objects.create(
            tracker=slug,
            subject=item,
            source=source,
            sink=sink,
            timestamp=at,
            recorded_at=at,
            facets={"number": str(number)},
        )


@pytest.mark.django_db
class TestOneTracker:
    """What is a gap, and what is written for it."""

    def audited(self, tracker: ModelTracker) -> Audit:
        mine = Registry()
        mine.register(tracker)
        (found,) = capture.audit(mine)
        return found

    def opened(self, **options: Any) -> ModelTracker:
        tracker = tracker_of(**options)
        assert sweep(tracker, "default").opened
        return tracker

    def test_it_lies_just_before_the_later_event_and_is_delivered(self) -> None:
        tracker = self.opened(event_callables=[print])
        item = Item.objects.create(text="sent")
        chained(item, ("", "draft"), ("done", "sent"))
        before = Delivery.objects.count()
        assert sweep(tracker, "default").moves == {("draft", "done"): 1}
        first, written, last = ItemFlowEvent.objects.order_by("timestamp")
        assert (written.flow, written.origin, written.facets) == ("finishing", Origin.SWEEP, last.facets)
        assert first.timestamp < written.timestamp < last.timestamp
        assert last.timestamp - written.timestamp <= timedelta(milliseconds=1)
        assert abs(written.recorded_at - timezone.now()) < MINUTE
        assert Delivery.objects.count() == before + 1
        assert Delivery.objects.latest("pk").event_id == written.pk

    def test_several_of_one_object_are_written_beside_the_move_missed_last(self) -> None:
        tracker = self.opened()
        item = Item.objects.create(text="draft")
        chained(item, ("", "draft"), ("done", "sent"), ("draft", "done"))
        assert sweep(tracker, "default").moves == {
            ("draft", "done"): 1,
            ("sent", "draft"): 1,
            ("done", "draft"): 1,
        }
        chain = list(ItemFlowEvent.objects.order_by("timestamp", "id").values_list("source", "sink"))
        assert all(one[1] == other[0] for one, other in pairwise(chain))
        assert len(chain) == 6
        assert sweep(tracker, "default").moves == {}

    def test_without_room_between_it_is_named_and_left(self) -> None:
        tracker = self.opened()
        item = Item.objects.create(text="sent")
        chained(item, ("", "draft"), ("done", "sent"), apart=timedelta())
        for _ in range(2):
            assert sweep(tracker, "default").moves == {}
            found = self.audited(tracker)
            (skipped,) = found.skipped
            at = ItemFlowEvent.objects.latest("pk").timestamp
            assert skipped == Skipped(
                "finishing", "draft", "done", 1, 1, (Between(str(item.pk), str(item), at, at),)
            )
            assert (found.moves, found.writable) == (1, 0)

    def test_that_of_an_object_that_is_gone_is_written_too(self) -> None:
        tracker = self.opened()
        item = Item.objects.create(text="x")
        chained(item, ("", "draft"), ("done", ""))
        item.delete()
        assert sweep(tracker, "default").moves == {("draft", "done"): 1}

    def test_stand_ins_other_trackers_and_what_was_before_the_first_event_are_no_gaps(self) -> None:
        tracker = self.opened()
        chained(Item.objects.create(text="x"), ("seed", "plant"), ("tree", "wood"))
        chained(Item.objects.create(text="draft"), ("seed", "plant"), ("seed", "draft"))
        chained(Item.objects.create(text="sent"), ("done", "sent"))
        chained(Item.objects.create(text="x"), ("", "draft"), ("done", ""), slug="another")
        assert sweep(tracker, "default").moves == {}
        assert self.audited(tracker) == Audit("gapped", "default")

    def test_it_is_written_by_the_sweep_that_opens_the_tracker_and_not_as_its_opening_balance(self) -> None:
        tracker = tracker_of()
        chained(Item.objects.create(text="sent"), ("", "draft"), ("done", "sent"))
        assert sweep(tracker, "default").moves == {("draft", "done"): 1}
        assert ItemFlowEvent.objects.get(source="draft").origin == Origin.SWEEP


@pytest.mark.django_db(transaction=True)
class TestAnArrivalMissed:
    """Who had no event when the tracker was opened was outside, wherever a first event begins."""

    def test_it_is_named_and_written_before_the_first_event(self) -> None:
        capture.repair(registry)
        since = record(registry).at
        assert since is not None
        plan = Plan.objects.create(name="Solo", monthly_price=9)
        with capture.suspended(registry, "default"):
            member = Member.objects.create(name="Ada", email="a@example.org", plan=plan)
        time.sleep(0.01)
        Member.objects.update(status=Status.ACTIVE)

        (skipped,) = audited().skipped
        assert (skipped.flow, skipped.source, skipped.sink) == ("signing-up", "", "trial")
        opened_at = Sweep.objects.get(tracker=SLUG).opened_at
        first = MemberFlowEvent.objects.get(tracker=SLUG)
        assert skipped.objects == (Between(str(member.pk), "Ada", opened_at, first.timestamp),)

        (swept,) = capture.repair(registry, slugs=[SLUG])
        assert swept.moves == {("", "trial"): 1}
        assert moves_of(member) == [("", "trial", Origin.SWEEP), ("trial", "active", Origin.LIVE)]
        assert audited().in_order
        until = timezone.now() + timedelta(hours=1)
        balance = reports.balance(registry.process("membership"), since, until)
        assert [line.unexplained for line in balance.stocks] == [0] * len(balance.stocks)

    def test_before_the_opening_and_in_imported_history_nobody_knows(self) -> None:
        tracker = tracker_of()
        item, late = (Item.objects.create(text="sent") for _ in range(2))
        chained(item, ("done", "sent"))
        sweep(tracker, "default")
        at = timezone.now()
        ItemFlowEvent.objects.filter(subject=late).delete()
        ItemFlowEvent.objects.create(
            tracker="gapped", subject=late, source="done", sink="sent",
            timestamp=at, recorded_at=at, origin=Origin.IMPORT,
        )  # fmt: skip
        assert sweep(tracker, "default").moves == {}


@pytest.mark.django_db(transaction=True)
def test_who_moves_between_the_triggers_of_new_stocks_and_their_sweep_is_a_chain_after_it() -> None:
    def declared(*querysets: Any) -> Registry:
        made = Registry()
        stocks = [Stock(slug, slug, queryset) for slug, queryset in zip("abc", querysets, strict=False)]
        made.register(ModelTracker(stocks=stocks, flows=Flow.for_stocks(ItemFlowEvent, stocks), slug="new"))
        return made

    items = Item.objects
    older = declared(items.filter(text="a"), items.filter(text__in=["b", "x"]))
    # Now the a's with a number are in c, the x's have moved from b to a, and the y's are in b.
    newer = declared(
        items.filter(text="x") | items.filter(text="a", number=None),
        items.filter(text__in=["b", "y"]),
        items.filter(text="a", number__isnull=False),
    )
    try:
        capture.install(older, "default")
        capture.open_trackers(older, "default")
        kept, turned, crossed, new = (
            items.create(text=text, number=number)
            for text, number in [("b", None), ("a", 1), ("x", None), ("y", None)]
        )
        capture.install(newer, "default")
        time.sleep(0.01)
        items.filter(pk__in=[turned.pk, crossed.pk]).update(text="b")
        items.filter(pk__in=[new.pk, kept.pk]).update(text="a")
        found = sweep(newer.tracker("new"), "default")

        assert found.moves == {("a", "c"): 1, ("b", "a"): 1, ("", "b"): 1}
        chains = {
            item.pk: list(
                ItemFlowEvent.objects.filter(subject=item)
                .order_by("timestamp", "id")
                .values_list("source", "sink", "origin")
            )
            for item in (kept, turned, crossed, new)
        }
        assert chains == {
            kept.pk: [("", "b", "live"), ("b", "a", "live")],
            turned.pk: [("", "a", "live"), ("a", "c", "sweep"), ("c", "b", "live")],
            crossed.pk: [("", "b", "live"), ("b", "a", "sweep"), ("a", "b", "live")],
            new.pk: [("", "b", "sweep"), ("b", "a", "live")],
        }
        assert sweep(newer.tracker("new"), "default").moves == {}
    finally:
        capture.install(registry, "default")
        Sweep.objects.filter(tracker="new").delete()
