"""The SQL of missing moves: what events say against what rows hold, for any shape of stock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, models
from django.db.models import Count, Exists, OuterRef, Q
from django.db.models.functions import Now, Upper
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from stockandflow.capture.moves import MissingMoves
from stockandflow.declarations import Facet, Flow, ModelTracker, Stock
from stockandflow.membership import literal
from stockandflow.models import Delivery, FlowEvent, Origin
from tests.capture.keyed.models import (
    BigItemFlowEvent,
    Parcel,
    ParcelFlowEvent,
    Region,
    RegionFlowEvent,
)
from tests.testapp.models import BigItem, Item, ItemFlowEvent, Owner, Part

pytestmark = pytest.mark.django_db

Querysets = dict[str, Callable[[], models.QuerySet[Any]]]


def never_called(*_: Any) -> None:
    raise AssertionError("only the row of its delivery is looked at")


def tracker_of(events: type[FlowEvent] = ItemFlowEvent, **querysets: models.QuerySet[Any]) -> ModelTracker:
    """A tracker with a stock for each name and flows that cover all moves; one into "done" has an event callable."""
    size, owner = Facet("size", "Size", "number"), Facet("owner", "Owner", "owner__name")
    facets = [size, owner] if events is ItemFlowEvent else []
    stocks = [Stock(slug, slug, queryset, facets=facets) for slug, queryset in querysets.items()]
    flows = [
        Flow(
            f"to-{stock.slug}",
            "in",
            events,
            [None, *(other for other in stocks if other is not stock)],
            [stock],
            event_callables=[never_called] if stock.slug == "done" else [],
        )
        for stock in stocks
    ]
    return ModelTracker(stocks=stocks, flows=flows, slug="kernel")


def by_text(events: type[FlowEvent] = ItemFlowEvent) -> ModelTracker:
    rows = Item.objects.all()
    return tracker_of(events, draft=rows.filter(text="draft"), done=rows.filter(text="done"))


def run(statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def rows_of(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def write(tracker: ModelTracker, condition: str = "1 = 1", **options: Any) -> None:
    moves = MissingMoves(tracker, connection, **options)
    run(moves.of_rows(condition))
    run(moves.of_gone("1 = 1"))


def moves_of(events: type[FlowEvent] = ItemFlowEvent) -> list[tuple[Any, str, str, str]]:
    found: models.QuerySet[Any] = events._default_manager.order_by("pk")
    return list(found.values_list("subject_id", "source", "sink", "origin"))


def test_a_subject_without_events_arrives_from_external() -> None:
    owner = Owner.objects.create(name="Ada")
    item = Item.objects.create(text="draft", number=3, owner=owner)
    before = timezone.now()
    write(by_text())

    event = ItemFlowEvent.objects.get()
    assert (event.tracker, event.flow) == ("kernel", "to-draft")
    assert (event.subject, event.source, event.sink) == (item, "", "draft")
    assert event.facets == {"size": "3", "owner": "Ada"}
    assert event.origin == Origin.LIVE
    assert abs(event.timestamp - before) < timedelta(minutes=1)
    assert event.recorded_at >= event.timestamp


def test_moves_start_where_the_last_event_ended_and_writing_twice_writes_nothing_more() -> None:
    tracker = by_text()
    item = Item.objects.create(text="draft")
    outside = Item.objects.create(text="neither")
    write(tracker)
    Item.objects.update(text="done")
    write(tracker)
    write(tracker)
    Item.objects.filter(pk=item.pk).update(text=None)
    write(tracker)

    assert [move[:3] for move in moves_of() if move[0] == item.pk] == [
        (item.pk, "", "draft"),
        (item.pk, "draft", "done"),
        (item.pk, "done", ""),
    ]
    assert [move[:3] for move in moves_of() if move[0] == outside.pk] == [(outside.pk, "", "done")]


def test_only_the_rows_of_the_condition_are_written() -> None:
    Item.objects.create(text="draft")
    wanted = Item.objects.create(text="draft")
    moves = MissingMoves(by_text(), connection)
    run(moves.of_rows(f"{moves.row_key} = {literal(connection, wanted.pk)}"))

    assert [move[0] for move in moves_of()] == [wanted.pk]


def test_a_subject_whose_row_is_gone_leaves_with_the_facets_it_had() -> None:
    tracker = by_text()
    item, stays, outside = (Item.objects.create(text=text, number=7) for text in ("done", "draft", "x"))
    write(tracker)
    keys = item.pk, outside.pk
    Item.objects.filter(pk__in=keys).delete()
    write(tracker)
    write(tracker)

    last = ItemFlowEvent.objects.order_by("pk").last()
    assert last is not None
    assert moves_of()[-1][:3] == (keys[0], "done", "")
    assert last.facets["size"] == "7"
    assert len(moves_of()) == 3
    assert moves_of()[1][0] == stays.pk or moves_of()[0][0] == stays.pk


def test_another_trackers_events_say_nothing() -> None:
    item = Item.objects.create(text="draft")
    now = timezone.now()
    for slug in ("KERNEL", "other"):
        ItemFlowEvent.objects.create(
            tracker=slug, subject=item, source="", sink="done", timestamp=now, recorded_at=now
        )
    write(by_text())

    assert moves_of()[-1][:3] == (item.pk, "", "draft")
    assert len(moves_of()) == 3


def test_a_last_state_that_is_no_stock_is_outside() -> None:
    item = Item.objects.create(text="draft")
    now = timezone.now()
    for sink in ("elsewhere", "Draft"):
        ItemFlowEvent.objects.all().delete()
        ItemFlowEvent.objects.create(
            tracker="kernel", subject=item, source="", sink=sink, timestamp=now, recorded_at=now
        )
        write(by_text())

        assert [move[:3] for move in moves_of()][1:] == [(item.pk, "", "draft")]


def test_the_last_event_is_the_last_by_instant_then_by_id() -> None:
    item = Item.objects.create(text="done")
    at = timezone.now() - timedelta(hours=1)
    for sink, timestamp in (("draft", at), ("done", at), ("draft", at - timedelta(hours=1))):
        ItemFlowEvent.objects.create(
            tracker="kernel", subject=item, sink=sink, timestamp=timestamp, recorded_at=at
        )
    write(by_text())

    assert len(moves_of()) == 3


def test_no_event_is_put_before_the_last_one_so_that_it_is_the_last() -> None:
    item = Item.objects.create(text="done")
    future = timezone.now() + timedelta(days=2)
    ItemFlowEvent.objects.create(
        tracker="kernel", subject=item, sink="draft", timestamp=future, recorded_at=timezone.now()
    )
    write(by_text())
    write(by_text())

    assert [move[1:3] for move in moves_of()] == [("", "draft"), ("draft", "done")]
    last = ItemFlowEvent.objects.order_by("pk").last()
    assert last is not None
    assert last.timestamp == future


def test_the_instant_may_be_read_from_the_row() -> None:
    moment = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.get_default_timezone())
    Item.objects.create(text="done", moment=moment)
    quoted = connection.ops.quote_name("moment")
    write(by_text(), timestamp=f"sf_row.{quoted}")

    assert ItemFlowEvent.objects.get().timestamp == moment


@pytest.mark.parametrize(
    ("origin", "delivered"),
    [(Origin.LIVE, 3), (Origin.SWEEP, 3), (Origin.INITIAL, 0), (Origin.IMPORT, 0)],
)
def test_events_of_flows_with_event_callables_have_deliveries(origin: Origin, delivered: int) -> None:
    for text in ("done", "draft", "done", "x", "draft", "done"):
        Item.objects.create(text=text)
    Delivery.objects.create(event_model="another", event_id=1, flow="to-done", due_at=timezone.now())
    write(by_text(), origin=origin)

    made = Delivery.objects.filter(event_model="testapp.itemflowevent")
    assert made.count() == delivered
    assert {move[3] for move in moves_of()} == {origin}
    if delivered:
        done = ItemFlowEvent.objects.filter(sink="done").values_list("pk", flat=True)
        assert set(made.values_list("event_id", flat=True)) == set(done)
        assert {(row.status, row.flow, row.attempts) for row in made} == {("pending", "to-done", 0)}
    write(by_text(), origin=origin)
    assert Delivery.objects.count() == 1 + delivered


def test_what_was_known_before_is_no_opening() -> None:
    known, new = Item.objects.create(text="draft"), Item.objects.create(text="done")
    tracker = by_text()
    moves = MissingMoves(tracker, connection)
    run(moves.of_rows(f"{moves.row_key} = {known.pk}"))
    Item.objects.filter(pk=known.pk).update(text="done")
    write(tracker, origin=Origin.INITIAL)

    assert moves_of()[1:] in (
        [(known.pk, "draft", "done", "sweep"), (new.pk, "", "done", "initial")],
        [(new.pk, "", "done", "initial"), (known.pk, "draft", "done", "sweep")],
    )
    assert Delivery.objects.get().event_id == ItemFlowEvent.objects.get(origin="sweep").pk


SHAPES: Querysets = {
    "everything": Item.objects.all,
    "nothing": Item.objects.none,
    "a pattern": lambda: Item.objects.filter(text__regex="^d%?o"),
    "an annotation": lambda: Item.objects.annotate(loud=Upper("text")).filter(loud="DONE"),
    "a related row": lambda: Item.objects.filter(owner__active=True),
    "no related row": lambda: Item.objects.exclude(owner__name="Ada"),
    "one of many": lambda: Item.objects.filter(parts__kind="wheel").distinct(),
    "one of many, each time": lambda: Item.objects.filter(parts__weight__gte=1),
    "none of many": lambda: Item.objects.exclude(parts__kind="wheel"),
    "a subquery": lambda: Item.objects.filter(Exists(Part.objects.filter(item=OuterRef("pk"), weight=2))),
    "keys": lambda: Item.objects.filter(pk__in=Part.objects.filter(kind="wheel").values("item")),
    "a count": lambda: Item.objects.annotate(n=Count("parts")).filter(n__gte=2),
    "a count or": lambda: Item.objects.annotate(n=Count("parts")).filter(Q(n__gte=2) | Q(text="done")),
    "the clock": lambda: Item.objects.filter(moment__lte=Now()),
    "the clock and a related row": lambda: Item.objects.filter(moment__lte=Now(), owner__active=True),
    "raw SQL": lambda: Item.objects.extra(where=["testapp_item.text = %s"], params=["100%"]),
    "ordered": lambda: Item.objects.filter(owner__active=True).order_by("owner__name"),
    "related rows along": lambda: Item.objects.filter(owner__active=True).select_related("owner"),
}


@pytest.fixture
def items() -> None:
    ada, bob = Owner.objects.create(name="Ada"), Owner.objects.create(name="Bob", active=False)
    now = timezone.now()
    for index, text in enumerate(("done", "draft", None, "100%", "DONE", "d%o")):
        for owner in (ada, bob, None):
            item = Item.objects.create(
                text=text, owner=owner, moment=now + timedelta(hours=1 if index % 2 else -1)
            )
            for number in range(index % 3):
                Part.objects.create(item=item, kind="wheel" if number else "bolt", weight=number + 1)


@pytest.mark.usefixtures("items")
@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_the_queryset_its_members_are_in(shape: str) -> None:
    queryset = SHAPES[shape]()
    tracker = tracker_of(inside=queryset, rest=Item.objects.all())
    members = set(queryset.order_by().values_list("pk", flat=True))
    found = [
        move
        for query in MissingMoves(tracker, connection).compared(lambda key: f"{key} > 0")
        for move in rows_of(query)
    ]
    assert {key for key, _, sink in found if sink == "inside"} == members
    assert len(found) == Item.objects.count()
    write(tracker)

    assert {subject for subject, _, sink, _ in moves_of() if sink == "inside"} == members
    assert len(moves_of()) == Item.objects.count()
    write(tracker)
    assert len(moves_of()) == Item.objects.count()


@pytest.mark.usefixtures("items")
def test_members_by_an_order_among_all_rows_are_found_too() -> None:
    if not connection.features.can_distinct_on_fields:
        pytest.skip("only PostgreSQL has distinct() on fields")
    queryset = Item.objects.order_by("owner", "-pk").distinct("owner")
    write(tracker_of(inside=queryset, rest=Item.objects.all()))

    found = {subject for subject, _, sink, _ in moves_of() if sink == "inside"}
    assert found == set(Stock("s", "S", queryset).all().values_list("pk", flat=True))


def test_keys_of_every_kind_are_found() -> None:
    Region.objects.create(code="N'ord %s", status="done")
    parcel = Parcel.objects.create(status="done")
    child = BigItem.objects.create(text="done", weight=2)
    regions, parcels = Region.objects.all(), Parcel.objects.all()
    trackers = (
        tracker_of(RegionFlowEvent, done=regions.filter(status="done")),
        tracker_of(ParcelFlowEvent, done=parcels.filter(parent=None, region__status=None)),
        tracker_of(BigItemFlowEvent, done=BigItem.objects.filter(text="done", weight=2)),
    )
    for tracker in trackers:
        write(tracker)
        write(tracker)

    assert moves_of(RegionFlowEvent) == [("N'ord %s", "", "done", "live")]
    assert moves_of(ParcelFlowEvent) == [(parcel.pk, "", "done", "live")]
    assert moves_of(BigItemFlowEvent) == [(child.pk, "", "done", "live")]
    Region.objects.all().delete()
    Parcel.objects.all().delete()
    child.delete()
    for tracker in trackers:
        write(tracker)
    for events in (RegionFlowEvent, ParcelFlowEvent, BigItemFlowEvent):
        assert [move[1:3] for move in moves_of(events)] == [("", "done"), ("done", "")]


def test_asking_again_queries_nothing_but_for_the_statements_themselves() -> None:
    moves = MissingMoves(by_text(), connection)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        moves.of_rows("1 = 1")
        moves.of_gone("1 = 1")

    assert len(queries) == 0
