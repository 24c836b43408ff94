"""The audit: what is amiss, down to the objects, and nothing written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Q
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import capture, reports
from stockandflow.capture import Audit, MissingMove, Named, Placed
from stockandflow.capture.sweep import sweep
from stockandflow.declarations import Flow, ModelTracker, Stock
from stockandflow.models import Origin, Sweep
from stockandflow.recording import record
from stockandflow.registry import Registry, registry
from tests.testapp.models import Item, ItemFlowEvent

pytestmark = pytest.mark.django_db


def tracker_of(exhaustive: bool = False, **conditions: Q) -> ModelTracker:
    stocks = [Stock(name, name, Item.objects.filter(condition)) for name, condition in conditions.items()]
    flows = Flow.for_stocks(ItemFlowEvent, stocks)
    return ModelTracker(stocks=stocks, flows=flows, slug="audited", exhaustive=exhaustive)


def audited(tracker: ModelTracker, **options: Any) -> Audit:
    mine = Registry()
    mine.register(tracker)
    before = ItemFlowEvent.objects.count(), Sweep.objects.count()
    (found,) = capture.audit(mine, **options)
    assert (ItemFlowEvent.objects.count(), Sweep.objects.count()) == before
    return found


def named(*items: Item) -> tuple[Named, ...]:
    return tuple(Named(str(item.pk), str(item)) for item in items)


def test_what_is_missing_is_told_by_flow_source_and_sink_with_the_first_objects() -> None:
    tracker = tracker_of(draft=Q(text="draft"), done=Q(text="done"))
    sweep(tracker, "default")
    moved, gone = Item.objects.create(text="draft"), Item.objects.create(text="done")
    assert sweep(tracker, "default").found == 2
    assert audited(tracker) == Audit("audited", "default")
    assert audited(tracker).in_order
    Item.objects.filter(pk=moved.pk).update(text="done")
    key = gone.pk
    gone.delete()
    new = [Item.objects.create(text="draft") for _ in range(4)]

    for chunk in (2, 100):
        found = audited(tracker, named=2, chunk=chunk)
        assert found.missing == (
            MissingMove("to-draft", "", "draft", 4, named(*new[:2])),
            MissingMove("to-done", "draft", "done", 1, named(moved)),
            MissingMove("leaving-item", "done", "", 1, (Named(str(key)),)),
        )
        assert found.moves == 6
        assert not found.in_order


def test_before_a_tracker_is_opened_its_objects_are_the_opening_balance() -> None:
    Item.objects.create(text="draft")
    found = audited(tracker_of(draft=Q(text="draft")))
    assert not found.opened
    assert found.moves == 1


def test_objects_in_two_stocks_are_told_and_in_none_where_none_may_be() -> None:
    both = Item.objects.create(text="x", number=1)
    Item.objects.create(text="x")
    none = [Item.objects.create(text="y") for _ in range(3)]
    conditions = {"text": Q(text="x"), "number": Q(number=1), "flag": Q(flag=True)}
    for exhaustive in (True, False):
        tracker = tracker_of(exhaustive, **conditions)
        sweep(tracker, "default")
        found = audited(tracker, named=2)
        assert found.overlapping == (Placed(("text", "number"), 1, named(both)),)
        assert found.nowhere == (Placed((), 3, named(*none[:2])) if exhaustive else None)
        assert not found.in_order


def test_more_stocks_than_a_number_has_bits_are_looked_at_all() -> None:
    Item.objects.create(number=3)
    conditions = {f"s{index}": Q(number=index) for index in range(70)} | {"last": Q(number__gte=3)}
    tracker = tracker_of(True, **conditions)
    sweep(tracker, "default")
    assert [placed.stocks for placed in audited(tracker).overlapping] == [("s3", "last")]


def test_choices_that_no_stock_holds_are_told() -> None:
    small, large = Q(size=1), Q(size=2)
    assert audited(tracker_of(small=small)).unheld == ("2",)
    assert audited(tracker_of(small=small, large=large)).unheld == ()
    assert audited(tracker_of(small=small, other=~Q(size=1))).unheld == ()
    assert audited(tracker_of(small=small, other=Q(text="x"))).unheld == ()
    assert audited(tracker_of(x=Q(text="x"))).unheld == ()


def test_a_tracker_that_a_sweep_leaves_out_is_left_out_with_the_reason() -> None:
    (found,) = capture.audit(registry, slugs=["support.escalation"])
    assert found.left_out.startswith("it has no stocks")
    assert found.in_order


def test_after_the_repair_nothing_is_unexplained() -> None:
    """A write that went round the capture, from the report that shows it to the one that doesn't."""
    capture.repair(registry)
    plan = Plan.objects.create(name="Solo", monthly_price=9)
    for index in range(5):
        Member.objects.create(name=f"m{index}", email="m@example.org", plan=plan)
    since = record(registry).at
    assert since is not None
    Member.objects.filter(name__in=["m1", "m2", "m3"]).update(status=Status.ACTIVE)
    MemberFlowEvent.objects.filter(sink="active").delete()  # as if no trigger had seen it
    until = timezone.now() + timedelta(hours=1)
    unexplained = [
        line.unexplained for line in reports.balance(registry.process("membership"), since, until).stocks
    ]
    assert unexplained == [-3, 3, 0, 0, 0]
    audit = next(one for one in capture.audit(registry) if one.tracker == "membership.member")
    (move,) = audit.missing
    assert (move.flow, move.count) == ("converting", 3)
    assert [one.name for one in move.objects] == [str(m) for m in Member.objects.filter(status=Status.ACTIVE)]

    capture.repair(registry)
    balance = reports.balance(registry.process("membership"), since, until)
    assert not balance.unexplained
    active = next(line for line in balance.stocks if line.stock.slug == "active")
    assert [(line.name, line.count) for line in active.inflows] == [("Converting", 3)]
    assert set(MemberFlowEvent.objects.filter(sink="active").values_list("origin", flat=True)) == {
        Origin.SWEEP
    }
