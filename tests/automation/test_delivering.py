"""Event callables: each event's are called after its commit, the failing ones again, and never another's instead."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction

from example.membership.models import Member, MemberFlowEvent, Plan, Status, WelcomeNote
from stockandflow import capture
from stockandflow.automation import FIRST_RETRY, MAX_ATTEMPTS, Delivered, connect, deliver, disconnect, wake
from stockandflow.automation import delivering as automation
from stockandflow.declarations import Flow, ModelTracker, Stock
from stockandflow.models import Delivery
from stockandflow.models.clock import DatabaseNow, database_now
from stockandflow.registry import Registry
from stockandflow.registry import registry as project
from tests.capture.keyed.models import (
    BigItemFlowEvent,
    Parcel,
    ParcelFlowEvent,
    Region,
    RegionFlowEvent,
)
from tests.testapp.models import BigItem, Item, ItemFlowEvent, Owner, SpecialItem
from tests.threads import side_by_side

ROOT = Path(__file__).resolve().parents[2]
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
LATER = 2 * DAY
Call = tuple[Item | None, Any, Any]


class Post:
    """An event callable that keeps what it was called with, leaves a row, and fails while told to."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.fails: Callable[[Item | None], bool] = lambda _: False

    def __call__(self, flowed_obj: Item | None, source: Any, sink: Any) -> None:
        self.calls.append((flowed_obj, source, sink))
        Owner._default_manager.create(name=f"letter about {flowed_obj}")
        if self.fails(flowed_obj):
            raise ConnectionError("no postman")


def letters() -> int:
    return Owner._default_manager.count()


small = Stock(slug="small", name="Small", queryset=Item.objects.filter(number__lt=10))
large = Stock(slug="large", name="Large", queryset=Item.objects.filter(number__gte=10))


def growing(*event_callables: Any, **options: Any) -> tuple[Registry, Flow]:
    """A registry with one flow, from small, from outside or from a word, to large."""
    registry = Registry()
    flow = Flow(
        slug="growing",
        name="Growing",
        flow_event_model=ItemFlowEvent,
        sources=[small, None, "seed"],
        sinks=[large, None],
        event_callables=event_callables,
        **options,
    )
    registry.register(flow)
    return registry, flow


def statuses() -> list[str]:
    return list(Delivery.objects.order_by("id").values_list("status", flat=True))


@pytest.fixture
def item() -> Item:
    made: Item = Item.objects.create(text="tree", number=3)
    return made


@pytest.mark.django_db
def test_an_events_callables_get_the_object_as_it_is_and_the_states_as_declared(item: Item) -> None:
    post = Post()
    registry, flow = growing(post)
    flow.add_event(item, small, large)
    flow.add_event(item, None, large)
    flow.add_event(item, "seed", large)
    Item.objects.update(text="oak")
    assert deliver(registry) == Delivered(done=3)
    assert post.calls == [(item, small, large), (item, None, large), (item, "seed", large)]
    assert post.calls[0][0] is not None
    assert post.calls[0][0].text == "oak"
    assert statuses() == ["done"] * 3
    row = Delivery.objects.earliest("id")
    assert (row.attempts, row.done_calls, row.error, row.leased_until) == (1, 1, "", None)
    assert row.finished_at is not None
    assert deliver(registry) == Delivered()
    assert len(post.calls) == 3


@pytest.mark.django_db
def test_a_callable_that_asks_for_the_event_gets_it(item: Item) -> None:
    seen: list[tuple[Any, ...]] = []

    def plain(subject: Any, source: Any, sink: Any) -> None:
        seen.append((subject, source, sink))

    def asking(subject: Any, source: Any, sink: Any, event: Any) -> None:
        seen.append((subject, event))

    def by_name(*states: Any, event: Any) -> None:
        seen.append((len(states), event))

    def anything(*states: Any, **more: Any) -> None:
        seen.append((len(states), more))

    registry, flow = growing(plain, asking, by_name, anything, Post().__call__)
    event = flow.add_event(item, small, large)
    assert deliver(registry) == Delivered(done=1)
    assert seen == [(item, small, large), (item, event), (3, event), (3, {})]


@pytest.mark.django_db
def test_events_of_one_subject_are_told_in_order_where_the_flow_says_so(item: Item) -> None:
    other: Item = Item.objects.create(text="bush", number=3)
    told: list[tuple[Item, Any]] = []
    fails = True

    def tell(subject: Item, source: Any, sink: Any) -> None:
        if fails and subject == item and source is small:
            raise RuntimeError("not yet")
        told.append((subject, source))

    registry, flow = growing(tell, ordered=True)
    flow.add_event(item, small, large)
    flow.add_event(item, None, large)
    flow.add_event(other, None, large)
    assert deliver(registry) == Delivered(done=1, failed=1)
    assert told == [(other, None)], "the second event of the item waits for its first"
    fails = False
    assert deliver(registry, now=database_now("default") + LATER) == Delivered(done=2)
    assert told == [(other, None), (item, small), (item, None)]


@pytest.mark.django_db
def test_without_order_an_event_overtakes_one_that_waits_and_a_dead_one_holds_up_nobody(item: Item) -> None:
    told: list[Any] = []

    def tell(subject: Item, source: Any, sink: Any) -> None:
        if source is small:
            raise RuntimeError("never")
        told.append(source)

    registry, flow = growing(tell)
    flow.add_event(item, small, large)
    flow.add_event(item, None, large)
    assert deliver(registry) == Delivered(done=1, failed=1)
    Delivery.objects.filter(status="pending").update(status="dead")
    Delivery.objects.filter(status="done").update(status="pending", attempts=0, done_calls=0)
    registry, _ = growing(tell, ordered=True)
    assert deliver(registry) == Delivered(done=1)
    assert told == [None, None]


@pytest.mark.django_db
def test_callables_are_called_in_order_and_a_retry_starts_at_the_one_that_failed(item: Item) -> None:
    first, second, third = Post(), Post(), Post()
    second.fails = lambda _: True
    registry, flow = growing(first, second, third)
    flow.add_event(item, small, large)
    assert deliver(registry) == Delivered(failed=1)
    assert [len(post.calls) for post in (first, second, third)] == [1, 1, 0]
    assert letters() == 1, "what the failing one did in the database is taken back"
    second.fails = lambda _: False
    assert deliver(registry, now=database_now("default") + LATER) == Delivered(done=1)
    assert [len(post.calls) for post in (first, second, third)] == [1, 2, 1]
    assert letters() == 3


@pytest.mark.django_db
def test_a_failing_delivery_waits_longer_each_time_and_is_dead_after_the_last_attempt(item: Item) -> None:
    post = Post()
    post.fails = lambda _: True
    registry, flow = growing(post)
    flow.add_event(item, small, large)
    at = database_now("default")
    waits = []
    for attempt in range(1, MAX_ATTEMPTS):
        assert deliver(registry, now=at) == Delivered(failed=1)
        assert deliver(registry, now=at) == Delivered(), "not before it is due"
        row = Delivery.objects.get()
        assert (row.status, row.attempts, row.owner, row.leased_until) == ("pending", attempt, "", None)
        assert "ConnectionError: no postman" in row.error
        assert "in __call__" in row.error
        waits.append(row.due_at - at)
        at = row.due_at
    assert waits == [FIRST_RETRY * 2**n for n in range(MAX_ATTEMPTS - 1)]
    assert sum(waits, timedelta()) == timedelta(hours=8, minutes=31)
    assert deliver(registry, now=at) == Delivered(dead=1)
    row = Delivery.objects.get()
    assert (row.status, row.attempts) == ("dead", MAX_ATTEMPTS)
    assert row.finished_at is not None
    assert deliver(registry, now=at + LATER) == Delivered()
    assert len(post.calls) == MAX_ATTEMPTS


@pytest.mark.django_db
def test_a_retry_is_counted_from_the_databases_clock(item: Item) -> None:
    post = Post()
    post.fails = lambda _: True
    registry, flow = growing(post)
    flow.add_event(item, small, large)
    deliver(registry)
    wait = Delivery.objects.get().due_at - database_now("default")
    assert timedelta(seconds=50) < wait <= MINUTE


@pytest.mark.django_db
def test_a_dead_delivery_is_replayed_when_it_is_made_pending(item: Item) -> None:
    post = Post()
    registry, flow = growing(post)
    flow.add_event(item, small, large)
    Delivery.objects.update(status=Delivery.Status.DEAD, attempts=MAX_ATTEMPTS)
    assert deliver(registry) == Delivered()
    Delivery.objects.filter(status=Delivery.Status.DEAD).update(status=Delivery.Status.PENDING, attempts=0)
    assert deliver(registry) == Delivered(done=1)


@pytest.mark.django_db
def test_one_poison_event_in_150_ends_alone_as_a_dead_letter() -> None:
    post = Post()
    registry, flow = growing(post)
    items = [Item.objects.create(text=f"item {n}", number=3) for n in range(150)]
    for one in items:
        flow.add_event(one, small, large)
    post.fails = lambda one: one == items[70]
    at = database_now("default")
    total = Delivered()
    for n in range(MAX_ATTEMPTS):
        total += deliver(registry, now=at + n * DAY)
    assert total == Delivered(done=149, failed=MAX_ATTEMPTS - 1, dead=1)
    told = Counter(one for one, _, _ in post.calls)
    assert told == Counter(items) + Counter({items[70]: MAX_ATTEMPTS - 1})
    assert letters() == 149


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text", ["caf\udce9.csv", "a\x00b", "100 % of 🍎 %s"], ids=["undecodable", "NUL", "percent"]
)
def test_whatever_text_an_error_has_it_is_kept_and_stops_no_other_event(
    text: str, item: Item, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1)  # no worker of pytest can send such text to its master
    post = Post()

    def fail(flowed_obj: Item, *_: Any) -> None:
        if flowed_obj == item:
            raise OSError(text)

    registry, flow = growing(fail, post)
    for one in (item, Item.objects.create(text="oak", number=3)):
        flow.add_event(one, small, large)
    assert deliver(registry) == Delivered(done=1, failed=1)
    assert letters() == 1
    row = Delivery.objects.earliest("id")
    assert (row.status, row.owner, row.leased_until) == ("pending", "", None)
    assert "OSError" in row.error


@pytest.mark.django_db
def test_a_deleted_object_is_none_and_its_event_is_told_all_the_same(item: Item) -> None:
    post = Post()
    registry, flow = growing(post)
    flow.add_event(item, small, None)
    item.delete()
    assert deliver(registry) == Delivered(done=1)
    assert post.calls == [(None, small, None)]


@pytest.mark.django_db
def test_an_object_that_a_callable_deletes_is_none_for_the_next(item: Item) -> None:
    post = Post()
    registry, flow = growing(lambda flowed_obj, *_: flowed_obj.delete(), post)
    flow.add_event(item, small, large)
    assert deliver(registry) == Delivered(done=1)
    assert post.calls == [(None, small, large)]


@pytest.mark.django_db
def test_what_cant_be_told_waits_and_says_why(item: Item) -> None:
    registry, flow = growing(Post())
    for _ in range(3):
        flow.add_event(item, small, large)
    unknown_flow, unknown_model, no_event = Delivery.objects.order_by("id")
    Delivery.objects.filter(pk=unknown_flow.pk).update(flow="shrinking")
    Delivery.objects.filter(pk=unknown_model.pk).update(event_model="testapp.gone")
    ItemFlowEvent._default_manager.filter(pk=no_event.event_id).delete()
    assert deliver(registry) == Delivered(failed=3)
    errors = list(Delivery.objects.order_by("id").values_list("error", flat=True))
    assert "No flow has the slug 'shrinking'" in errors[0]
    assert "testapp" in errors[1]
    assert f"The event testapp.itemflowevent {no_event.event_id} is gone" in errors[2]


@pytest.mark.django_db
def test_callables_that_were_taken_away_since_are_done(item: Item) -> None:
    _, flow = growing(Post())
    flow.add_event(item, small, large)
    registry, _ = growing()
    assert deliver(registry) == Delivered(done=1)


@pytest.mark.django_db
def test_no_more_than_the_limit_is_attempted_and_the_oldest_first() -> None:
    post = Post()
    registry, flow = growing(post)
    items = [Item.objects.create(text=str(n), number=3) for n in range(5)]
    for one in items:
        flow.add_event(one, small, large)
    assert deliver(registry, limit=3) == Delivered(done=3)
    assert [call[0] for call in post.calls] == items[:3]
    assert statuses() == ["done"] * 3 + ["pending"] * 2


@pytest.mark.django_db
def test_what_a_callable_causes_is_delivered_in_the_same_call(item: Item) -> None:
    post = Post()

    def again(flowed_obj: Item, source: Any, sink: Any) -> None:
        if flowed_obj.text == "tree":
            Item.objects.update(text="second")
            flow.add_event(flowed_obj, small, large)

    registry, flow = growing(post, again)
    flow.add_event(item, small, large)
    assert deliver(registry) == Delivered(done=2)


@pytest.mark.django_db
def test_two_queries_when_nothing_is_due(django_assert_num_queries: Any, item: Item) -> None:
    registry, flow = growing(Post())
    flow.add_event(item, small, large)
    deliver(registry)
    with django_assert_num_queries(2):
        deliver(registry)
    with django_assert_num_queries(1):
        wake(registry, "default")


@pytest.mark.parametrize("model", [Region, Parcel, BigItem])
@pytest.mark.django_db
def test_an_object_is_found_by_whatever_key_it_has(model: Any) -> None:
    post = Post()
    registry = Registry()
    events: Any = {Region: RegionFlowEvent, Parcel: ParcelFlowEvent, BigItem: BigItemFlowEvent}[model]
    flow = Flow("coming", "Coming", events, sources=[None], sinks=["somewhere"], event_callables=[post])
    registry.register(flow)
    one = model.objects.create(**({"code": "N 1"} if model is Region else {}))
    flow.add_event(one, None, "somewhere")
    assert deliver(registry) == Delivered(done=1)
    assert post.calls == [(one, None, "somewhere")]


@pytest.mark.django_db
def test_an_object_moved_twice_is_told_as_the_first_callable_left_it(item: Item) -> None:
    seen = []

    def cut(flowed_obj: Item, source: Any, sink: Any) -> None:
        text = flowed_obj.text or ""
        seen.append(text)
        Item.objects.filter(pk=flowed_obj.pk).update(text=text[:-1])

    registry, flow = growing(cut)
    for _ in range(3):
        flow.add_event(item, small, large)
    deliver(registry)
    assert seen == ["tree", "tre", "tr"]


@pytest.mark.django_db
def test_a_batch_takes_as_few_queries_as_can_be(django_assert_num_queries: Any) -> None:
    registry, flow = growing(lambda *_: None)
    for number in range(20):
        flow.add_event(Item.objects.create(text=str(number), number=3), small, large)
    claiming = {"sqlite": 2, "postgresql": 1, "mysql": 6}[connection.vendor]
    # For each: the object, the savepoint and its release, the note. SQLite's lock is taken by one more.
    each = 5 if connection.vendor == "sqlite" else 4
    with django_assert_num_queries(claiming + 1 + 20 * each + 3):
        assert deliver(registry) == Delivered(done=20)


# Leases


@pytest.mark.django_db
def test_a_claimed_delivery_is_left_alone_until_its_lease_is_over(item: Item) -> None:
    registry, flow = growing(Post())
    flow.add_event(item, small, large)
    Delivery.objects.update(owner="another", leased_until=DatabaseNow() + MINUTE, attempts=1)
    assert deliver(registry) == Delivered()
    Delivery.objects.update(leased_until=DatabaseNow() - MINUTE)
    assert deliver(registry) == Delivered(done=1)
    assert Delivery.objects.get().attempts == 2


@pytest.mark.django_db
def test_databases_that_give_nothing_back_from_an_update_claim_too(
    item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("it is SQLite before 3.35 that can't")
    monkeypatch.setattr(connection.features, "can_return_columns_from_insert", False)
    post = Post()
    registry, flow = growing(post)
    for _ in range(3):
        flow.add_event(item, small, large)
    assert deliver(registry) == Delivered(done=3)
    assert len(post.calls) == 3


@pytest.mark.django_db
def test_a_call_whose_delivery_was_taken_over_leaves_no_effect(item: Item) -> None:
    def stall(*_: Any) -> None:
        Owner._default_manager.create(name="late")
        Delivery.objects.update(owner="another")

    registry, flow = growing(stall)
    flow.add_event(item, small, large)
    assert deliver(registry) == Delivered()
    assert (letters(), statuses()) == (0, ["pending"])


@pytest.mark.django_db
def test_what_a_slow_batch_does_not_reach_is_freed_unharmed(monkeypatch: pytest.MonkeyPatch) -> None:
    post, clock = Post(), [0.0]
    registry, flow = growing(post)
    for n in range(4):
        flow.add_event(Item.objects.create(text=str(n), number=3), small, large)

    def slowly() -> float:
        clock[0] += automation.LEASE.total_seconds() / 4
        return clock[0]

    monkeypatch.setattr(time, "monotonic", slowly)
    assert deliver(registry) == Delivered(done=4)
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {1}


@pytest.mark.django_db
def test_a_process_that_is_told_to_end_frees_what_it_holds() -> None:
    def stop(*_: Any) -> None:
        raise SystemExit(143)

    registry, flow = growing(stop)
    for n in range(3):
        flow.add_event(Item.objects.create(text=str(n), number=3), small, large)
    with pytest.raises(SystemExit):
        deliver(registry)
    assert set(Delivery.objects.values_list("status", "attempts", "owner", "leased_until")) == {
        ("pending", 0, "", None)
    }


@pytest.mark.django_db
def test_an_event_that_kills_every_process_is_dead_in_the_end(item: Item) -> None:
    post = Post()
    registry, flow = growing(post)
    flow.add_event(item, small, large)
    Delivery.objects.update(attempts=MAX_ATTEMPTS, owner="gone", leased_until=DatabaseNow() - MINUTE)
    assert deliver(registry) == Delivered(dead=1)
    assert "The process ended in the middle of attempt 10" in Delivery.objects.get().error
    assert post.calls == []


KILLED = """
    import os, signal, sys

    import django

    django.setup()
    from django.db import connection

    connection.settings_dict["NAME"] = sys.argv[1]
    from stockandflow.automation import deliver
    from tests.automation.test_delivering import Owner, growing

    def die(flowed_obj, source, sink):
        Owner._default_manager.create(name="undone")
        if flowed_obj.text == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)

    deliver(growing(die)[0])
"""


@pytest.mark.django_db(transaction=True)
def test_a_killed_process_loses_nothing_and_its_batch_is_delivered_after_the_lease() -> None:
    post = Post()
    registry, flow = growing(post)
    for text in ("a", "deadly", "b"):
        flow.add_event(Item.objects.create(text=text, number=3), small, large)
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(connection.settings_dict["NAME"])],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert (statuses(), letters()) == (["done", "pending", "pending"], 1)
    assert deliver(registry) == Delivered()
    Delivery.objects.update(leased_until=DatabaseNow() - MINUTE)
    assert deliver(registry) == Delivered(done=2)
    assert letters() == 3


# Several processes


@pytest.mark.django_db(transaction=True)
def test_one_commit_of_two_ordered_events_is_told_at_once(item: Item) -> None:
    told: list[Any] = []
    registry, flow = growing(lambda subject, source, sink: told.append(source), ordered=True)
    flow.add_event(item, small, large)
    flow.add_event(item, None, large)
    assert wake(registry, "default") == Delivered(done=2)
    assert told == [small, None]


@pytest.mark.django_db(transaction=True)
def test_processes_side_by_side_deliver_each_event_once() -> None:
    post = Post()
    registry, flow = growing(post)
    items = [Item.objects.create(text=str(n), number=3) for n in range(120)]
    for one in items:
        flow.add_event(one, small, large)
    side_by_side(*[lambda: deliver(registry)] * 4)
    deliver(registry)
    assert Counter(one for one, _, _ in post.calls) == Counter(items)
    assert (letters(), set(statuses())) == (120, {"done"})


@pytest.mark.django_db(transaction=True)
def test_an_event_that_commits_after_a_later_one_is_not_passed_over() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time, so ids are given in the order of the commits")
    post = Post()
    registry, flow = growing(post)
    early, late = (Item.objects.create(text=text, number=3) for text in ("early", "late"))
    written, go_on = threading.Event(), threading.Event()

    def slow_transaction() -> None:
        try:
            with transaction.atomic():
                flow.add_event(early, small, large)
                written.set()
                go_on.wait(10)
        finally:
            connections.close_all()

    thread = threading.Thread(target=slow_transaction)
    thread.start()
    written.wait(10)
    flow.add_event(late, small, large)
    assert deliver(registry) == Delivered(done=1)
    go_on.set()
    thread.join()
    assert deliver(registry) == Delivered(done=1)
    assert [one for one, _, _ in post.calls] == [late, early]


# Right after the commit, in the process that caused the event


@pytest.fixture
def woken() -> Iterator[tuple[Post, Flow]]:
    """A flow whose events are delivered at once, without a tracker: its events come from add_event."""
    post = Post()
    registry, flow = growing(post)
    connect(registry)
    connect(registry)
    yield post, flow
    disconnect(registry)


@pytest.mark.django_db(transaction=True)
def test_an_event_is_delivered_right_after_its_commit(woken: tuple[Post, Flow], item: Item) -> None:
    post, flow = woken
    flow.add_event(item, small, large)
    assert len(post.calls) == 1
    with transaction.atomic():
        flow.add_event(item, small, large)
        assert len(post.calls) == 1
    assert len(post.calls) == 2
    assert statuses() == ["done", "done"]


@pytest.mark.django_db(transaction=True)
def test_nothing_is_delivered_for_a_rollback(woken: tuple[Post, Flow], item: Item) -> None:
    post, flow = woken
    with transaction.atomic():
        flow.add_event(item, small, large)
        transaction.set_rollback(True)
    with transaction.atomic():
        with transaction.atomic():
            flow.add_event(item, small, large)
            transaction.set_rollback(True)
        flow.add_event(item, "seed", large)
    assert post.calls == [(item, "seed", large)]
    assert deliver(project) == Delivered()
    assert Delivery.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_failing_callable_does_not_disturb_the_process_that_caused_the_event(
    woken: tuple[Post, Flow], item: Item
) -> None:
    post, flow = woken
    post.fails = lambda _: True
    flow.add_event(item, small, large)
    assert (len(post.calls), statuses()) == (1, ["pending"])


@pytest.mark.django_db(transaction=True)
def test_one_transaction_wakes_once_and_the_newest_events_only(
    woken: tuple[Post, Flow], item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    post, flow = woken
    monkeypatch.setattr(automation, "WAKE_LIMIT", 3)
    Item.objects.bulk_create(Item(text=f"backlog {n}", number=3) for n in range(2))
    with transaction.atomic():
        with transaction.atomic():
            flow.add_event(item, None, large)
            transaction.set_rollback(True)
        for one in Item.objects.order_by("pk"):
            with transaction.atomic():
                flow.add_event(one, small, large)
            flow.add_event(one, "seed", large)
        assert len(connection.run_on_commit) == 1
    newest = list(Item.objects.order_by("pk"))[1:]
    assert [(one, source) for one, source, _ in post.calls] == [
        (newest[0], "seed"),
        (newest[1], small),
        (newest[1], "seed"),
    ]


@pytest.mark.django_db(transaction=True)
def test_what_a_woken_callable_causes_is_delivered_too_and_not_within_itself(item: Item) -> None:
    depths, depth = [], 0

    def chain(flowed_obj: Item, source: Any, sink: Any) -> None:
        nonlocal depth
        depth += 1
        depths.append(depth)
        if len(depths) < 5:
            flow.add_event(flowed_obj, small, large)
        depth -= 1

    registry, flow = growing(chain)
    connect(registry)
    try:
        flow.add_event(item, small, large)
    finally:
        disconnect(registry)
    assert depths == [1] * 5


@pytest.mark.django_db(transaction=True)
def test_once_disconnected_delivery_is_left_to_the_schedule(item: Item) -> None:
    post = Post()
    registry, flow = growing(post)
    connect(registry)
    disconnect(registry)
    flow.add_event(item, small, large)
    assert post.calls == []
    assert deliver(registry) == Delivered(done=1)


# Events that the database writes


@pytest.fixture
def tracked() -> Iterator[tuple[Post, Registry]]:
    """Items under triggers, in a registry of their own, delivered at once."""
    post = Post()
    registry = Registry()
    flows = [
        Flow("growing", "Growing", ItemFlowEvent, [small, None], [large], [post]),
        Flow("felling", "Felling", ItemFlowEvent, [large], [None], [post]),
    ]
    registry.register(ModelTracker(stocks=[small, large], flows=flows))
    capture.install(registry, "default")
    connect(registry)
    try:
        yield post, registry
    finally:
        disconnect(registry)
        capture.install(project, "default")


@pytest.mark.django_db(transaction=True)
def test_saves_and_deletions_are_delivered_at_once_through_every_class(
    tracked: tuple[Post, Registry],
) -> None:
    post, _ = tracked
    item = Item.objects.create(text="tree", number=3)
    assert post.calls == []
    item.number = 12
    item.save()
    big = BigItem.objects.create(text="oak", number=20)
    proxy = SpecialItem.objects.get(pk=item.pk)
    proxy.delete()
    assert [(one and one.text, source, sink) for one, source, sink in post.calls] == [
        ("tree", small, large),
        ("oak", None, large),
        (None, large, None),
    ]
    big.delete()
    assert len(post.calls) == 4


@pytest.mark.django_db(transaction=True)
def test_a_save_of_other_fields_asks_nothing(
    tracked: tuple[Post, Registry], django_assert_num_queries: Any
) -> None:
    post, _ = tracked
    item = Item.objects.create(text="tree", number=3)
    with django_assert_num_queries(1):
        item.save(update_fields=["text"])
    item.number = 12
    item.save(update_fields=["number"])
    assert post.calls == [(item, small, large)]


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_told_apart_is_asked_for_at_every_save() -> None:
    def other_tables(previous: Any, current: Any) -> Any:
        return ((None,), (current[0],))

    joined = Stock("owned", "Owned", Item.objects.filter(owner__name="Ann"))
    flow = Flow("owning", "Owning", ItemFlowEvent, [None], [joined], [Post()])
    by_function = Flow("any", "Any", ItemFlowEvent, [None], ["seed"], [Post()])
    assert automation._moved_by(ModelTracker(stocks=[joined], flows=[flow])) is None
    assert automation._moved_by(ModelTracker(["text"], other_tables, flows=[by_function])) is None
    plain = ModelTracker(stocks=[small, large], flows=[growing(Post())[1]])
    assert automation._moved_by(plain) == frozenset(["number"])


@pytest.mark.django_db(transaction=True)
def test_bulk_writes_are_delivered_by_the_next_tick(tracked: tuple[Post, Registry]) -> None:
    post, registry = tracked
    Item.objects.bulk_create(Item(text=str(n), number=3) for n in range(3))
    Item.objects.update(number=12)
    assert post.calls == []
    assert deliver(registry) == Delivered(done=3)


@pytest.mark.parametrize("block", [nullcontext, transaction.atomic])
@pytest.mark.django_db(transaction=True)
def test_without_autocommit_saves_work_as_ever_and_the_schedule_delivers(
    tracked: tuple[Post, Registry], block: Callable[[], AbstractContextManager[None]]
) -> None:
    post, registry = tracked
    transaction.set_autocommit(False)
    try:
        with block():
            Item.objects.create(text="tree", number=12)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert post.calls == []
    assert deliver(registry) == Delivered(done=1)


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_save_is_told_to_nobody(tracked: tuple[Post, Registry]) -> None:
    post, registry = tracked
    item = Item.objects.create(text="tree", number=3)
    with transaction.atomic():
        Item.objects.filter(pk=item.pk).update(number=12)
        Item.objects.get(pk=item.pk).save()
        transaction.set_rollback(True)
    assert post.calls == []
    assert deliver(registry) == Delivered()


# The example


@pytest.mark.django_db
def test_a_member_who_converts_gets_a_welcome_note() -> None:
    plan = Plan.objects.create(name="Solo", monthly_price=9)
    Member.objects.create(name="Ada", email="ada@example.org", plan=plan)
    Member.objects.create(name="Bob", email="bob@example.org", plan=plan, status=Status.ACTIVE)
    Member.objects.all().convert()
    assert MemberFlowEvent.objects.filter(flow="converting").count() == 1
    assert deliver(project) == Delivered(done=1)
    assert WelcomeNote.objects.get().member.name == "Ada"


def test_numbers_of_deliveries_add_up_and_read_well() -> None:
    total = Delivered(done=2, failed=1) + Delivered(done=1, dead=1)
    assert str(total) == "3 delivered, 1 to be tried again, 1 dead"
    assert str(Delivered(done=3)) == "3 delivered"
    assert str(Delivered()) == "nothing to deliver"
