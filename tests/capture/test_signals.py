"""Signals: what save() and delete() move where the database can't look for itself.

A tracker by function has two dimensions here, an item's text and its flag; the other one reads the owner's row.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import serializers
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F, Model
from django.db.models.functions import Now
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.leads.models import Lead
from stockandflow import capture
from stockandflow.declarations import Flow, ModelTracker, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Delivery, Sweep
from stockandflow.registry import registry
from tests.capture.conftest import Declare
from tests.capture.keyed.models import BigItemFlowEvent
from tests.capture.test_triggers import execute
from tests.testapp.models import BigItem, Item, ItemFlowEvent, Owner, SpecialItem

pytestmark = pytest.mark.usefixtures("transactional_db")

rows = Item.objects.all()
low = Stock(slug="low", name="Low", queryset=rows.filter(number__lt=10))
high = Stock(slug="high", name="High", queryset=rows.filter(number__gte=10))
flagged = Stock(slug="flagged", name="Flagged", queryset=rows.filter(flag=True))
rising = Flow(
    slug="rising",
    name="Rising",
    flow_event_model=ItemFlowEvent,
    sources=[low],
    sinks=[high],
    event_callables=[print],
)
arriving = Flow(
    slug="arriving", name="Arriving", flow_event_model=ItemFlowEvent, sources=[None], sinks=[low, high]
)
Values = tuple[int | None, bool | None]


def states(before: Values | None, now: Values) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Where an item is, by number and by flag."""

    def of(values: Values | None) -> tuple[Any, ...]:
        number, flag = values or (None, None)
        return (None if number is None else low if number < 10 else high), (flagged if flag else None)

    return of(before), of(now)


def by_function(function: Callable[..., Any] = states) -> ModelTracker:
    stocks = [low, high, flagged]
    return ModelTracker(["number", "flag"], function, stocks, [rising, arriving], slug="by-function")


def moves(**filters: Any) -> list[tuple[str, str]]:
    found = ItemFlowEvent.objects.filter(**filters).order_by("pk")
    return list(found.values_list("source", "sink"))


@pytest.fixture
def item(declare: Declare) -> Item:
    """An item outside every stock, watched."""
    declare(by_function())
    return Item.objects.create(text="x")


@contextmanager
def receiving(signal: Any, receiver: Callable[..., None]) -> Iterator[None]:
    signal.connect(receiver, sender=Item)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=Item)


# Writes, and the moves that they make.

PATHS: dict[str, tuple[Callable[[Item], object], list[tuple[str, str]]]] = {}
UP, DOWN = ("", "low"), ("low", "high")


def makes(*expected: tuple[str, str]) -> Callable[[Callable[[Item], object]], Callable[[Item], object]]:
    def note(write: Callable[[Item], object]) -> Callable[[Item], object]:
        PATHS[write.__name__] = write, list(expected)
        return write

    return note


@makes(("", "low"))
def create(item: Item) -> None:
    Item.objects.create(number=1)


@makes(("", "low"), ("", "flagged"))
def create_in_two_dimensions(item: Item) -> None:
    Item.objects.create(number=1, flag=True)


@makes()
def create_outside(item: Item) -> None:
    Item.objects.create(text="y")


@makes(("", "low"), ("low", "high"), ("high", ""))
def save_again_and_again(item: Item) -> None:
    for number in (1, 2, 20, 30, None):
        item.number = number
        item.save()


@makes(("", "low"))
def save_with_update_fields(item: Item) -> None:
    item.number, item.flag = 1, True
    item.save(update_fields=["number"])


@makes()
def save_with_other_update_fields(item: Item) -> None:
    item.number = 1
    item.save(update_fields=["text"])


@makes(("", "flagged"))
def save_with_other_update_fields_then_whole(item: Item) -> None:
    item.flag = True
    item.save(update_fields=["text"])
    item.save()


@makes(("", "low"), ("low", "high"))
def save_an_expression(item: Item) -> None:
    item.number = 9
    item.save()
    item.number = F("number") + 1
    item.save()


@makes(("", "low"))
def save_with_the_field_deferred(item: Item) -> None:
    deferred = Item.objects.only("text").get(pk=item.pk)
    deferred.text = "y"
    deferred.save()
    deferred.number = 1
    deferred.save()


@makes(("", "low"))
def save_the_same_from_a_stale_copy(item: Item) -> None:
    stale = Item.objects.get(pk=item.pk)
    for copied in (item, stale):
        copied.number = 1
        copied.save()


@makes(("", "low"), ("low", ""))
def silently_revert_from_a_stale_copy(item: Item) -> None:
    stale = Item.objects.get(pk=item.pk)
    item.number = 1
    item.save()
    stale.save()


@makes(("", "low"), ("low", ""))
def save_and_delete(item: Item) -> None:
    item.number = 1
    item.save()
    item.delete()


@makes(("", "low"), ("", "flagged"), ("low", ""), ("flagged", ""))
def delete_by_queryset(item: Item) -> None:
    Item.objects.create(number=1, flag=True)
    Item.objects.all().delete()


@makes()
def delete_an_outsider(item: Item) -> None:
    item.delete()


@makes(("", "low"), ("low", ""))
def delete_by_cascade(item: Item) -> None:
    owner = Owner.objects.create(name="Ada")
    Item.objects.create(number=1, owner=owner)
    owner.delete()


@makes(("", "low"))
def get_or_create(item: Item) -> None:
    for _ in range(2):
        Item.objects.get_or_create(text="new", defaults={"number": 1})


@makes(("", "low"))
def update_or_create(item: Item) -> None:
    Item.objects.update_or_create(text=item.text, defaults={"number": 1})


@makes(("", "low"), ("low", "high"))
def save_through_a_proxy(item: Item) -> None:
    proxy = SpecialItem.objects.create(number=1)
    proxy.number = 10
    proxy.save()


@makes(("", "low"), ("low", "high"), ("high", ""))
def save_through_a_child(item: Item) -> None:
    child = BigItem.objects.create(number=1)
    child.number = 10
    child.save()
    child.weight = 2
    child.save()
    child.delete()


@makes(("", "low"))
def change_after_a_bulk_write_that_signals_cannot_see(item: Item) -> None:
    """The state before is the row's, so the next save tells the truth again: from low to low is no move."""
    Item.objects.create(number=1)
    Item.objects.filter(number=1).update(number=2)
    other = Item.objects.get(number=2)
    other.number = 3
    other.save()


@makes()
def roll_back(item: Item) -> None:
    with transaction.atomic():
        item.number = 1
        item.save()
        transaction.set_rollback(True)


@makes(("", "low"))
def roll_back_and_try_again(item: Item) -> None:
    roll_back(item)
    item.save()


@makes(("", "low"))
def roll_back_a_creation_and_try_again(item: Item) -> None:
    made = Item(number=1)
    with transaction.atomic():
        made.save()
        transaction.set_rollback(True)
    made.save()


@makes(("", "low"), ("low", "high"))
def roll_back_to_a_savepoint(item: Item) -> None:
    with transaction.atomic():
        item.number = 1
        item.save()
        with transaction.atomic():
            item.number = None
            item.save()
            transaction.set_rollback(True)
        item.number = 20
        item.save()


@makes(("", "low"))
def fail_and_try_again(item: Item) -> None:
    """A save that the database refuses sends no post_save; the next one must not take its place."""
    item.number = 1
    taken = Item(pk=item.pk, number=20)
    with pytest.raises(IntegrityError):
        taken.save(force_insert=True)
    with pytest.raises(DatabaseError):
        Item(pk=item.pk + 1000, number=20).save(force_update=True)
    item.save()


@makes(("", "low"))
def fail_within_a_transaction_and_go_on(item: Item) -> None:
    with transaction.atomic():
        with pytest.raises(IntegrityError), transaction.atomic():
            Item(pk=item.pk, number=20).save(force_insert=True)
        item.number = 1
        item.save()


@makes(("", "low"), ("low", "high"))
def save_asynchronously(item: Item) -> None:
    async def write() -> None:
        for number in (1, 10):
            item.number = number
            await item.asave()

    async_to_sync(write)()


@pytest.mark.parametrize("name", PATHS)
def test_a_write_makes_exactly_the_events_of_its_moves(name: str, item: Item) -> None:
    write, expected = PATHS[name]
    write(item)

    assert sorted(moves()) == sorted(expected)
    assert {event.flow for event in ItemFlowEvent.objects.filter(source="", sink="low")} <= {"arriving"}
    for stock in (low, high, flagged):
        assert stock.count() == (
            ItemFlowEvent.objects.filter(sink=stock.slug).count()
            - ItemFlowEvent.objects.filter(source=stock.slug).count()
        )


# Receivers of the project, before and after ours.


def saves_again(instance: Item, **_: Any) -> None:
    if instance.number == 1:
        instance.number = 10
        instance.save()


def saves_a_copy(instance: Item, **_: Any) -> None:
    copied = Item.objects.filter(pk=instance.pk, number=1).first()
    if copied is not None:
        copied.number = 10
        copied.save()


@pytest.mark.parametrize("receiver", [saves_again, saves_a_copy])
@pytest.mark.parametrize("signal", [pre_save, post_save], ids=["pre_save", "post_save"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("new", [True, False], ids=["new", "old"])
def test_a_receiver_may_write_the_object_again(
    declare: Declare, receiver: Callable[..., None], signal: Any, first: bool, new: bool
) -> None:
    item = Item(number=1)
    if not new:
        item = Item.objects.create()
        item.number = 1
    with receiving(signal, receiver) if first else nullcontext():
        declare(by_function())
        with nullcontext() if first else receiving(signal, receiver):
            item.save()

    item.refresh_from_db()
    assert moves() in ([("", low.slug if item.number == 1 else "high")], [("", "low"), ("low", "high")])
    assert chained() == ("low" if item.number == 1 else "high")


def chained() -> str:
    """Where the events leave the one item that there is; each must begin where the last one ended."""
    at = ""
    for source, sink in moves():
        assert source == at
        at = sink
    return at


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_a_receiver_may_save_what_is_about_to_be_deleted(declare: Declare, first: bool) -> None:
    def mark(instance: Item, **_: Any) -> None:
        instance.number = 10
        instance.save()

    with receiving(pre_delete, mark) if first else nullcontext():
        declare(by_function())
        item = Item.objects.create(number=1)
        with nullcontext() if first else receiving(pre_delete, mark):
            item.delete()

    assert moves() == [("", "low"), ("low", "high"), ("high", "")]


def test_a_receiver_may_delete_what_was_just_saved(item: Item) -> None:
    def delete(instance: Item, **_: Any) -> None:
        instance.delete()

    with receiving(post_save, delete):
        item.number = 1
        item.save()

    assert moves() == [("", "low"), ("low", "")]


class VetoError(Exception):
    """What a project's receiver raises."""


def veto(**_: Any) -> None:
    raise VetoError


@pytest.mark.parametrize("signal", [pre_save, post_save], ids=["pre_save", "post_save"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_a_receiver_that_raises_leaves_the_transaction_whole(
    declare: Declare, signal: Any, first: bool
) -> None:
    """As without us, whoever catches the error can go on; and the row and its events agree."""
    item = Item.objects.create()
    item.number = 1
    with receiving(signal, veto) if first else nullcontext():
        declare(by_function())
        with nullcontext() if first else receiving(signal, veto), transaction.atomic():
            with pytest.raises(VetoError):
                item.save()
            Owner.objects.create(name="Ada")

    assert Owner.objects.exists()
    assert moves() == ([("", "low")] if signal is post_save else [])
    assert low.count() == len(moves())
    item.number = 20
    item.save()
    assert chained() == "high"


def test_a_receiver_that_raises_in_autocommit_takes_the_save_back(item: Item) -> None:
    item.number = 1
    with receiving(post_save, veto), pytest.raises(VetoError):
        item.save()

    assert (low.count(), moves()) == (0, [])
    item.save()
    assert moves() == [("", "low")]


def test_post_save_sent_by_the_project_itself_moves_nothing(item: Item) -> None:
    item.number = 1
    post_save.send(Item, instance=item, created=False, update_fields=None, raw=False, using="default")
    post_delete.send(Item, instance=item, using="default", origin=item)

    assert moves() == []


# Object and event are one.


@contextmanager
def broken_events() -> Iterator[None]:
    """Every event is refused by the database."""
    table = connection.ops.quote_name(ItemFlowEvent._meta.db_table)
    other = connection.ops.quote_name("elsewhere")
    execute(f"ALTER TABLE {table} RENAME TO {other}")
    try:
        yield
    finally:
        execute(f"ALTER TABLE {other} RENAME TO {table}")


def test_without_its_event_no_object_is_created(item: Item) -> None:
    with broken_events(), pytest.raises(DatabaseError):
        Item.objects.create(number=1)

    assert low.count() == 0


def test_without_its_event_nothing_is_changed_or_deleted(item: Item) -> None:
    item.number = 1
    item.save()
    with broken_events():
        item.number = 10
        with pytest.raises(DatabaseError):
            item.save()
        with pytest.raises(DatabaseError):
            item.delete()

    assert (low.count(), high.count()) == (1, 0)
    item.save()
    assert moves() == [("", "low"), ("low", "high")]


def test_whoever_catches_the_error_of_an_event_cannot_commit_the_object(item: Item) -> None:
    item.number = 1
    with broken_events(), transaction.atomic():
        with pytest.raises(DatabaseError):
            item.save()
        with pytest.raises(transaction.TransactionManagementError):
            Item.objects.exists()

    assert low.count() == 0


def test_a_flow_with_callables_gets_a_delivery(item: Item) -> None:
    item.number = 1
    item.save()
    assert not Delivery.objects.exists()
    item.number = 10
    item.save()

    event = ItemFlowEvent.objects.get(flow="rising")
    assert Delivery.objects.get().event_id == event.pk
    assert event.subject == item


def test_a_rollback_takes_the_delivery_back(item: Item) -> None:
    with transaction.atomic():
        item.number = 1
        item.save()
        item.number = 10
        item.save()
        assert Delivery.objects.exists()
        transaction.set_rollback(True)

    assert not Delivery.objects.exists()


# What the project's function gives back.

WRONG: list[Any] = [
    None,
    low,
    (low, high),
    ("low", "high"),
    ("small", "large"),
    ((None,), (low, high)),
    ((None,), (low,), (high,)),
    [],
]


@pytest.mark.parametrize("given", WRONG, ids=repr)
def test_a_wrong_return_value_is_told_and_nothing_is_written(declare: Declare, given: Any) -> None:
    declare(by_function(lambda before, now: given))
    with pytest.raises(InvalidInput, match=r"returned .*a pair of tuples of stocks of equal length"):
        Item.objects.create(number=1)

    assert not Item.objects.exists()
    assert not ItemFlowEvent.objects.exists()


def test_the_function_gets_the_values_before_and_now_in_the_order_of_the_fields(declare: Declare) -> None:
    seen: list[Any] = []

    def note(before: Any, now: Any) -> Any:
        seen.append((before, now))
        return (), ()

    declare(by_function(note))
    item = Item.objects.create(number=1)
    item.flag = True
    item.save()
    item.text = "y"
    item.save()
    item.delete()

    assert seen == [(None, (1, None)), ((1, None), (1, True)), ((1, True), (1, True))]


def test_a_stand_in_state_and_a_move_without_a_flow(declare: Declare) -> None:
    declare(by_function(lambda before, now: (("somewhere",), ("elsewhere",))))
    Item.objects.create()

    event = ItemFlowEvent.objects.get()
    assert (event.flow, event.source, event.sink) == ("", "somewhere", "elsewhere")


def test_fields_across_a_foreign_key_are_read_when_the_object_is_saved(declare: Declare) -> None:
    def owned(before: Any, now: Any) -> Any:
        return ((low if before and before[0] else None,), (low if now[0] else None,))

    declare(ModelTracker(["owner__name"], owned, [low, high], [arriving]))
    item = Item.objects.create(owner=Owner.objects.create(name="Ada"))
    item.owner = None
    item.save()

    assert moves() == [("", "low"), ("low", "")]


# Derived trackers that the database can't serve.


@pytest.fixture
def owned(declare: Declare) -> ModelTracker:
    """Stocks that depend on the owner's row, and on the clock."""
    begun = rows.exclude(moment__gt=Now())
    active = Stock(slug="active", name="Active", queryset=begun.filter(owner__active=True))
    idle = Stock(slug="idle", name="Idle", queryset=begun.filter(owner__active=False))
    tracker = ModelTracker(stocks=[active, idle], event_model=ItemFlowEvent, slug="owned")
    assert capture.method_for(tracker, connection).kind == "signals"
    declare(tracker)
    return tracker


def test_a_derived_tracker_over_a_join_moves_by_saves(owned: ModelTracker) -> None:
    busy, lazy = Owner.objects.create(), Owner.objects.create(active=False)
    item = Item.objects.create(owner=busy)
    item.owner = lazy
    item.save()
    item.save(update_fields=["text"])
    item.owner = None
    item.save(update_fields=["owner"])
    item.owner = busy
    item.save()
    item.delete()

    assert moves() == [("", "active"), ("active", "idle"), ("idle", ""), ("", "active"), ("active", "")]


def origins() -> list[tuple[str, str, str]]:
    return list(ItemFlowEvent.objects.order_by("timestamp", "pk").values_list("source", "sink", "origin"))


def test_a_change_of_the_related_row_is_recorded_with_the_next_save(owned: ModelTracker) -> None:
    """As a sweep would, and before the save's own move, so that each event begins where the last one ended."""
    Sweep.objects.create(tracker="owned", database="default", opened_at=timezone.now())
    owner = Owner.objects.create()
    item = Item.objects.create(owner=owner)
    Owner.objects.update(active=False)
    item.owner = None
    item.save()

    assert origins() == [("", "active", "live"), ("active", "idle", "sweep"), ("idle", "", "live")]


def test_before_a_tracker_is_opened_what_a_save_finds_is_the_opening_balance(owned: ModelTracker) -> None:
    with capture.suspended(registry, "default"):
        item = Item.objects.create(owner=Owner.objects.create())
    item.delete()

    assert origins() == [("", "active", "initial"), ("active", "", "live")]


def test_a_deletion_that_nobody_saw_is_recorded_before_the_key_is_given_again(owned: ModelTracker) -> None:
    owner = Owner.objects.create()
    pk = Item.objects.create(owner=owner).pk
    execute(f"DELETE FROM testapp_item WHERE id = {pk}")
    Item.objects.create(pk=pk, owner=owner)

    assert origins() == [("", "active", "live"), ("active", "", "sweep"), ("", "active", "live")]


def test_a_move_that_time_made_is_not_passed_over(declare: Declare) -> None:
    coming = Stock(slug="coming", name="Coming", queryset=rows.filter(moment__gt=Now()))
    due = Stock(slug="due", name="Due", queryset=rows.filter(moment__lte=Now()))
    declare(ModelTracker(stocks=[coming, due], event_model=ItemFlowEvent, slug="due"))
    at = timezone.now() + timedelta(seconds=1)
    item = Item.objects.create(moment=at)
    time.sleep(1.2)
    item.moment = None
    item.save()

    assert origins() == [("", "coming", "live"), ("coming", "due", "sweep"), ("due", "", "live")]
    crossed = ItemFlowEvent.objects.get(origin="sweep").timestamp
    assert abs(crossed - at) < timedelta(milliseconds=2)


def test_a_stock_of_a_child_moves_by_saves_of_its_parent(declare: Declare) -> None:
    begun: Any = BigItem.objects.exclude(moment__gt=Now())
    heavy = Stock(slug="heavy", name="Heavy", queryset=begun.filter(text="x", weight=10))
    tracker = ModelTracker(stocks=[heavy], event_model=BigItemFlowEvent)
    assert capture.method_for(tracker, connection).kind == "signals"
    declare(tracker)
    child = BigItem.objects.create(text="x", weight=10)
    parent = Item.objects.get(pk=child.pk)
    parent.text = "y"
    parent.save()
    child.refresh_from_db()
    child.text = "x"
    child.save()
    Item.objects.create(text="x")
    parent.delete()

    found = BigItemFlowEvent.objects.order_by("pk").values_list("subject_id", "source", "sink")
    pk = child.pk
    assert list(found) == [(pk, "", "heavy"), (pk, "heavy", ""), (pk, "", "heavy"), (pk, "heavy", "")]


# What stays of it.


def test_when_no_tracker_needs_it_the_model_saves_as_before(transactional_db: None) -> None:
    classes = (Item, BigItem, SpecialItem)
    before = [model.__dict__.get("save_base") for model in classes]
    one, two = by_function(), by_function()
    for tracker in (one, two):
        capture.connect(tracker)
    assert all("save_base" in model.__dict__ for model in classes)
    capture.disconnect(one)
    capture.disconnect(one)
    assert all("save_base" in model.__dict__ for model in classes)
    capture.disconnect(two)

    assert [model.__dict__.get("save_base") for model in classes] == before
    with CaptureQueriesContext(connection) as queries:
        Item().save()
    assert sum("testapp_item" in query["sql"] for query in queries) == 1


def test_a_save_base_of_the_projects_own_is_kept_and_called(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Item] = []
    inherited: Any = Model.save_base

    def save_base(self: Item, *args: Any, **kwargs: Any) -> None:
        called.append(self)
        inherited(self, *args, **kwargs)

    monkeypatch.setattr(Item, "save_base", save_base)
    tracker = by_function()
    capture.connect(tracker)
    try:
        item = Item.objects.create(number=1)
    finally:
        capture.disconnect(tracker)

    assert called == [item]
    assert moves() == [("", "low")]
    assert Item.__dict__["save_base"] is save_base


# Fixtures, copies, and what is left behind.


def test_loaddata_is_captured(item: Item, tmp_path: Path) -> None:
    path = tmp_path / "fixture.json"
    path.write_text(
        serializers.serialize("json", [Item(pk=item.pk, number=1), Item(pk=item.pk + 1, number=20)])
    )
    call_command("loaddata", str(path), verbosity=0)

    assert sorted(moves()) == [("", "high"), ("", "low")]


def test_a_deserialized_object_saves_itself_in_autocommit(item: Item) -> None:
    for number in (1, 10):
        data = serializers.serialize("json", [Item(pk=item.pk, number=number)])
        for loaded in serializers.deserialize("json", data):
            loaded.save()

    assert moves() == [("", "low"), ("low", "high")]


def test_instances_carry_nothing_of_ours(item: Item) -> None:
    names = set(Item().__dict__)
    item.number = 1
    item.save()
    with pytest.raises(IntegrityError):
        Item(pk=item.pk).save(force_insert=True)

    assert set(item.__dict__) == names
    copied = pickle.loads(pickle.dumps(item))  # noqa: S301
    copied.number = 10
    copied.save()
    assert moves() == [("", "low"), ("low", "high")]


def test_nothing_stays_under_way(item: Item) -> None:
    """Neither after a failed save nor after a failed deletion, so that no later one is misled."""

    def refuse(instance: Item, **_: Any) -> None:
        raise VetoError

    item.number = 1
    item.save()
    for signal in (pre_save, post_save, pre_delete, post_delete):
        with receiving(signal, refuse), pytest.raises(VetoError):
            item.delete() if signal in (pre_delete, post_delete) else item.save()
    Item.objects.update(number=20)  # unseen
    with transaction.atomic():
        item.refresh_from_db()
        item.number = None
        item.save()

    assert moves() == [("", "low"), ("high", "")]


def test_the_state_before_is_locked(item: Item) -> None:
    with CaptureQueriesContext(connection) as queries:
        item.save()

    its = [query["sql"] for query in queries if "testapp_item" in query["sql"]]
    locked = [sql for sql in its if "FOR UPDATE" in sql]
    assert len(locked) == connection.features.has_select_for_update


def test_a_save_that_moves_nothing_makes_two_reads_more(item: Item) -> None:
    with CaptureQueriesContext(connection) as queries:
        item.save()

    reads = [
        query for query in queries if query["sql"].startswith("SELECT") and "testapp_item" in query["sql"]
    ]
    assert len(reads) == 2 + (connection.vendor == "postgresql")  # where the lock is a query of its own


def test_a_model_that_triggers_serve_has_no_receivers() -> None:
    for signal in (pre_save, post_save, pre_delete, post_delete):
        assert not signal.has_listeners(Lead)
    assert not hasattr(Lead.save_base, "is_stockandflows")


def test_connecting_twice_records_once(item: Item) -> None:
    tracker = next(t for t in registry.trackers if t.slug == "by-function")
    capture.connect(tracker)
    item.number = 1
    item.save()
    capture.disconnect(tracker)
    item.number = 10
    item.save()

    assert moves() == [("", "low")]
