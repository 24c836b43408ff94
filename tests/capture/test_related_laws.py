"""Whatever is written to subjects and to what is related to them, the events replayed are the querysets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, models, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, Value, When
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from stockandflow import capture
from stockandflow.declarations import Flow, ModelTracker, Stock
from stockandflow.models import FlowEvent, Origin
from stockandflow.registry import registry
from tests.capture.conftest import declared
from tests.capture.keyed.models import Badge, BigItemFlowEvent, Parcel, ParcelFlowEvent, PartFlowEvent
from tests.shared import empty
from tests.testapp.models import BigItem, Item, ItemFlowEvent, Label, Owner, Part
from tests.writes import chosen, some

pytestmark = pytest.mark.usefixtures("transactional_db")

items, parts, parcels = Item.objects.all(), Part.objects.all(), Parcel.objects.all()
big: Any = BigItem.objects.all()

# The tracker's slug: its events, and its stocks in the order in which the first holds a subject.
SHAPES: dict[str, tuple[type[FlowEvent], list[models.QuerySet[Any]]]] = {
    "foreign-key": (ItemFlowEvent, [items.filter(owner__active=True), items.filter(owner__active=False)]),
    "missing-foreign-key": (ItemFlowEvent, [items.filter(owner__name__isnull=True)]),
    "reverse": (ItemFlowEvent, [items.filter(parts__kind="x")]),
    "reverse-missing": (ItemFlowEvent, [items.filter(parts__isnull=True)]),
    "one-to-one": (ItemFlowEvent, [items.filter(label__code="x"), items.filter(label__isnull=True)]),
    "many-to-many": (ItemFlowEvent, [items.filter(badges__name="x")]),
    "hops": (ItemFlowEvent, [items.filter(badges__maker__active=True)]),
    "with-columns": (
        ItemFlowEvent,
        [
            items.filter(owner__active=True, text="x"),
            items.filter(text="x"),
            items.filter(owner__active=True),
        ],
    ),
    "either": (ItemFlowEvent, [items.filter(Q(parts__kind="x") | Q(owner__name="x") & ~Q(text="y"))]),
    "two-filters": (ItemFlowEvent, [items.filter(parts__kind="x").filter(parts__weight__gt=1).distinct()]),
    "none-of-many": (ItemFlowEvent, [items.exclude(parts__kind="x"), items.exclude(badges__name="x")]),
    "exists": (
        ItemFlowEvent,
        [items.filter(~Exists(Part.objects.filter(item=OuterRef("pk"), weight__gt=OuterRef("number"))))],
    ),
    "in-subquery": (
        ItemFlowEvent,
        [items.filter(owner__in=Owner.objects.filter(Q(name="x") | Q(active=True)))],
    ),
    "columns-compared": (ItemFlowEvent, [items.filter(owner__name=F("text"))]),
    "parents-columns": (
        BigItemFlowEvent,
        [big.filter(text="x", weight__gt=1), big.filter(owner__active=True)],
    ),
    "siblings": (
        PartFlowEvent,
        [parts.filter(item__parts__kind="x"), parts.filter(item__owner__active=True)],
    ),
    "own-table": (
        ParcelFlowEvent,
        [
            parcels.filter(parent__parent__status="x"),
            parcels.filter(parent__status="x"),
            parcels.filter(status="x"),
        ],
    ),
}


def called(*_: Any) -> None:
    """What a flow's events are delivered to."""


def trackers() -> Iterator[ModelTracker]:
    for slug, (events, querysets) in SHAPES.items():
        stocks = [Stock(f"{slug}-{n}", slug, queryset) for n, queryset in enumerate(querysets)]
        flow = Flow(f"{slug}-in", "In", events, sources=[None], sinks=stocks[:1], event_callables=[called])
        made = ModelTracker(stocks=stocks, flows=[flow], slug=slug)
        assert capture.method_for(made, connection).kind == "related triggers", slug
        yield made


# Writes, each to whatever rows there are, by how much of the database one statement of it changes.
ONE_ROW, ONE_STATEMENT, SEVERAL = "one row", "one statement", "several"
WRITES: list[st.SearchStrategy[tuple[Any, ...]]] = []
EXTENT: dict[Callable[..., None], str] = {}
INDEX = st.integers(min_value=0, max_value=5)
TEXT = st.sampled_from(["x", "y", None])
NAME = st.sampled_from(["x", "y"])
FLAG = st.booleans()
WEIGHT = st.integers(min_value=0, max_value=2)


def writes(
    extent: str, *arguments: st.SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def note(write: Callable[..., None]) -> Callable[..., None]:
        WRITES.append(st.tuples(st.just(write), *arguments))
        EXTENT[write] = extent
        return write

    return note


def maybe(model: Any, index: int) -> Any:
    """One of the rows, or sometimes none."""
    return chosen(model.objects.all(), index) if index else None


@writes(ONE_ROW, TEXT, FLAG)
def create_owner(name: str | None, active: bool) -> None:
    Owner.objects.create(name=name, active=active)


@writes(ONE_ROW, INDEX, TEXT, FLAG)
def save_owner(index: int, name: str | None, active: bool) -> None:
    if owner := chosen(Owner.objects.all(), index):
        owner.name, owner.active = name, active
        owner.save()


@writes(ONE_STATEMENT, INDEX, FLAG)
def update_owners(index: int, active: bool) -> None:
    some(Owner.objects.all(), index, 2).update(active=active)


@writes(ONE_STATEMENT)
def swap_owners(*_: Any) -> None:
    Owner.objects.update(
        active=Case(When(active=True, then=Value(False)), default=Value(True)),
        name=Case(When(name="x", then=Value("y")), default=Value("x")),
    )


@writes(SEVERAL, INDEX)
def delete_owner(index: int) -> None:
    if owner := chosen(Owner.objects.all(), index):
        owner.delete()


@writes(ONE_ROW, INDEX, TEXT)
def create_item(index: int, text: str | None) -> None:
    Item.objects.create(owner=maybe(Owner, index), text=text, number=index)


@writes(ONE_STATEMENT, st.lists(TEXT, min_size=1, max_size=3), INDEX)
def bulk_create_items(texts: list[str | None], index: int) -> None:
    Item.objects.bulk_create([Item(text=text, owner=maybe(Owner, index)) for text in texts])


@writes(SEVERAL, INDEX, TEXT, WEIGHT)
def create_big(index: int, text: str | None, weight: int) -> None:
    BigItem.objects.create(text=text, weight=weight, owner=maybe(Owner, index))


@writes(SEVERAL, INDEX, TEXT, WEIGHT)
def save_big(index: int, text: str | None, weight: int) -> None:
    if item := chosen(BigItem.objects.all(), index):
        item.text, item.weight = text, weight
        item.save()


@writes(SEVERAL, INDEX, FLAG)
def delete_big(index: int, keep: bool) -> None:
    if item := chosen(BigItem.objects.all(), index):
        item.delete(keep_parents=keep)


@writes(ONE_ROW, INDEX, INDEX, TEXT)
def save_item(index: int, owner: int, text: str | None) -> None:
    if item := chosen(Item.objects.all(), index):
        item.owner, item.text = maybe(Owner, owner), text
        item.save()


@writes(ONE_STATEMENT, INDEX, INDEX)
def move_items(index: int, owner: int) -> None:
    some(Item.objects.all(), index, 2).update(owner=maybe(Owner, owner))


@writes(ONE_STATEMENT, INDEX, TEXT)
def update_items(index: int, text: str | None) -> None:
    some(Item.objects.all(), index, 2).update(text=text, number=F("number") + 1)


@writes(SEVERAL, INDEX)
def delete_items(index: int) -> None:
    some(Item.objects.all(), index, 3).delete()


@writes(ONE_ROW, INDEX, TEXT, WEIGHT)
def create_part(index: int, kind: str | None, weight: int) -> None:
    if item := chosen(Item.objects.all(), index):
        Part.objects.create(item=item, kind=kind, weight=weight)


@writes(ONE_STATEMENT, st.lists(st.tuples(INDEX, TEXT, WEIGHT), min_size=1, max_size=4))
def bulk_create_parts(given: list[tuple[int, str | None, int]]) -> None:
    if Item.objects.exists():
        Part.objects.bulk_create(
            [
                Part(item=chosen(Item.objects.all(), index), kind=kind, weight=weight)
                for index, kind, weight in given
            ]
        )


@writes(ONE_STATEMENT, INDEX, TEXT)
def update_parts(index: int, kind: str | None) -> None:
    some(Part.objects.all(), index, 2).update(kind=kind)


@writes(ONE_STATEMENT)
def swap_parts(*_: Any) -> None:
    Part.objects.update(
        kind=Case(When(kind="x", then=Value("y")), default=Value("x")), weight=2 - F("weight")
    )


@writes(ONE_ROW, INDEX, INDEX)
def move_part(index: int, item: int) -> None:
    if part := chosen(Part.objects.all(), index):
        part.item = chosen(Item.objects.all(), item)
        part.save()


@writes(ONE_STATEMENT, INDEX)
def delete_parts(index: int) -> None:
    some(Part.objects.all(), index, 2).delete()


@writes(ONE_STATEMENT, NAME)
def delete_parts_in_sql(kind: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM testapp_part WHERE kind = %s", [kind])


@writes(SEVERAL, INDEX, NAME)
def label_item(index: int, code: str) -> None:
    if item := chosen(Item.objects.all(), index):
        Label.objects.update_or_create(item=item, defaults={"code": code})


@writes(ONE_ROW, INDEX, INDEX)
def move_label(index: int, item: int) -> None:
    other = chosen(Item.objects.filter(label=None), item)
    if other and (label := chosen(Label.objects.all(), index)):
        Label.objects.filter(pk=label.pk).update(item=other)


@writes(ONE_ROW, INDEX)
def delete_label(index: int) -> None:
    if label := chosen(Label.objects.all(), index):
        label.delete()


@writes(SEVERAL, INDEX, NAME, INDEX)
def create_badge(index: int, name: str, item: int) -> None:
    badge = Badge.objects.create(name=name, maker=maybe(Owner, index))
    badge.items.add(*some(Item.objects.all(), item, 2))


@writes(ONE_STATEMENT, NAME, INDEX)
def update_badges(name: str, index: int) -> None:
    some(Badge.objects.all(), index, 2).update(name=name, maker=maybe(Owner, index))


@writes(SEVERAL, INDEX, INDEX)
def set_badges(index: int, badges: int) -> None:
    if item := chosen(Item.objects.all(), index):
        item.badges.set(some(Badge.objects.all(), badges, 2))


@writes(SEVERAL, INDEX, INDEX)
def add_badge(index: int, item: int) -> None:
    if badge := chosen(Badge.objects.all(), index):
        badge.items.add(*some(Item.objects.all(), item, 2))


@writes(ONE_STATEMENT, INDEX, INDEX)
def remove_badge(index: int, item: int) -> None:
    if badge := chosen(Badge.objects.all(), index):
        badge.items.remove(*some(Item.objects.all(), item, 2))


@writes(ONE_STATEMENT, INDEX)
def clear_badges(index: int) -> None:
    if item := chosen(Item.objects.all(), index):
        item.badges.clear()


@writes(SEVERAL, INDEX)
def delete_badge(index: int) -> None:
    if badge := chosen(Badge.objects.all(), index):
        badge.delete()


@writes(ONE_ROW, INDEX, NAME)
def create_parcel(index: int, status: str) -> None:
    Parcel.objects.create(parent=maybe(Parcel, index), status=status)


@writes(ONE_ROW, INDEX, NAME, INDEX)
def save_parcel(index: int, status: str, parent: int) -> None:
    if parcel := chosen(Parcel.objects.all(), index):
        parcel.status, parcel.parent = status, maybe(Parcel, parent)
        parcel.save()


@writes(ONE_STATEMENT, INDEX, NAME, INDEX)
def update_parcels(index: int, status: str, parent: int) -> None:
    some(Parcel.objects.all(), index, 2).update(status=status, parent=maybe(Parcel, parent))


@writes(SEVERAL, INDEX)
def delete_parcel(index: int) -> None:
    if parcel := chosen(Parcel.objects.all(), index):
        parcel.delete()


Where = dict[str, dict[Any, str]]
"""The tracker's slug → subject → state key."""


def of_tables(declarations: list[ModelTracker]) -> Where:
    found: Where = {}
    for tracker in declarations:
        where = found[tracker.slug] = {}
        for stock in reversed(tracker.stocks):
            where |= dict.fromkeys(stock.all().values_list("pk", flat=True), stock.slug)
    return found


def of_events(declarations: list[ModelTracker]) -> Where:
    found: Where = {}
    for tracker in declarations:
        where = found[tracker.slug] = {}
        events: Any = tracker.events._default_manager
        for event in events.filter(tracker=tracker.slug).order_by("timestamp", "id"):
            assert event.source != event.sink
            assert event.origin == Origin.LIVE
            assert where.pop(event.subject_id, "") == event.source, f"{tracker.slug}: {event}"
            if event.sink:
                where[event.subject_id] = event.sink
    return found


def numbers(declarations: list[ModelTracker]) -> Counter[tuple[str, Any]]:
    found: Counter[tuple[str, Any]] = Counter()
    for model in {tracker.events for tracker in declarations}:
        events: Any = model._default_manager
        found.update(events.order_by().values_list("tracker", "subject_id"))
    return found


def do(written: tuple[Any, ...]) -> None:
    function, *arguments = written
    function(*arguments)


class Business(RuleBasedStateMachine):
    """Random writes, committed and taken back."""

    declarations: list[ModelTracker]

    @initialize()
    def open(self) -> None:
        empty()

    @rule(written=st.one_of(WRITES))
    def commit_one(self, written: tuple[Any, ...]) -> None:
        states, before = of_tables(self.declarations), numbers(self.declarations)
        do(written)
        extent = EXTENT[written[0]]
        if extent == ONE_ROW or (extent == ONE_STATEMENT and connection.vendor == "postgresql"):
            after = of_tables(self.declarations)
            moved = {
                (slug, pk)
                for slug in after
                for pk in {*states[slug], *after[slug]}
                if states[slug].get(pk) != after[slug].get(pk)
            }
            assert numbers(self.declarations) - before == Counter(moved), "each move is one event"

    @rule(writes=st.lists(st.one_of(WRITES), min_size=1, max_size=4))
    def commit_together(self, writes: list[tuple[Any, ...]]) -> None:
        with transaction.atomic():
            for written in writes:
                do(written)

    @rule(before=st.one_of(WRITES), inside=st.one_of(WRITES), after=st.one_of(WRITES))
    def roll_back_to_savepoint(
        self, before: tuple[Any, ...], inside: tuple[Any, ...], after: tuple[Any, ...]
    ) -> None:
        with transaction.atomic():
            do(before)
            with transaction.atomic():
                do(inside)
                transaction.set_rollback(True)
            do(after)

    @rule(writes=st.lists(st.one_of(WRITES), min_size=1, max_size=3))
    def roll_back(self, writes: list[tuple[Any, ...]]) -> None:
        with transaction.atomic():
            for written in writes:
                do(written)
            transaction.set_rollback(True)

    @invariant()
    def events_are_the_querysets(self) -> None:
        assert of_events(self.declarations) == of_tables(self.declarations)


EXAMPLES = settings().max_examples // 4


def test_the_events_replayed_are_the_querysets_whatever_is_written() -> None:
    class Declared(Business):
        declarations = list(trackers())

    with declared(*Declared.declarations):
        run_state_machine_as_test(Declared, settings=settings(max_examples=EXAMPLES, stateful_step_count=15))


@pytest.mark.once
def test_both_laws_see_a_hole_in_the_capture() -> None:
    declarations = list(trackers())
    with declared(*declarations):
        create_owner("x", active=True)
        create_item(1, "x")
        assert of_events(declarations) == of_tables(declarations)
        with capture.suspended(registry, "default"):
            swap_owners()
            assert of_events(declarations) != of_tables(declarations)
