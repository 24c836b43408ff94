"""Subjects of every shape: inheritance, proxies, keys that are no numbers, several trackers on one model."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection, models
from django.db.models import F

from stockandflow import capture
from stockandflow.declarations import Flow, ModelTracker, Stock
from stockandflow.models import Delivery, FlowEvent
from stockandflow.registry import registry
from tests.capture.conftest import Declare
from tests.capture.keyed.models import BigItemFlowEvent, Parcel, ParcelFlowEvent, Region, RegionFlowEvent
from tests.testapp.models import BigItem, Item, ItemFlowEvent, SpecialItem

pytestmark = pytest.mark.usefixtures("transactional_db")


def tracker(events: type[FlowEvent], slug: str = "shapes", **members: models.QuerySet[Any]) -> ModelTracker:
    """A tracker by triggers, of a stock for each name and the flows that cover all moves."""
    stocks = [Stock(slug=name, name=name, queryset=queryset) for name, queryset in members.items()]
    made = ModelTracker(stocks=stocks, flows=Flow.for_stocks(events, stocks), slug=slug)
    assert capture.method_for(made, connection).kind == "triggers"
    return made


def moves(events: type[FlowEvent], **filters: Any) -> list[tuple[Any, str, str]]:
    found: models.QuerySet[Any] = events._default_manager.filter(**filters)
    return list(found.order_by("pk").values_list("subject_id", "source", "sink"))


@pytest.fixture
def items(declare: Declare) -> None:
    rows = Item.objects.all()
    declare(tracker(ItemFlowEvent, draft=rows.filter(text="draft"), done=rows.filter(text="done")))


@pytest.mark.usefixtures("items")
class TestInheritance:
    """Children and proxies write the parent's table, which is where the stocks are."""

    def test_a_child_moves_as_its_parent(self) -> None:
        child = BigItem.objects.create(text="draft", weight=3)
        child.text = "done"
        child.save()
        child.weight = 4
        child.save()
        BigItem.objects.update(text="draft", weight=F("weight") + 1)
        BigItem.objects.filter(weight__gt=1).delete()

        pk = child.pk
        assert moves(ItemFlowEvent) == [
            (pk, "", "draft"),
            (pk, "draft", "done"),
            (pk, "done", "draft"),
            (pk, "draft", ""),
        ]

    def test_a_child_deleted_without_its_parent_moves_nothing(self) -> None:
        child = BigItem.objects.create(text="draft")
        pk = child.pk
        child.delete(keep_parents=True)

        assert moves(ItemFlowEvent) == [(pk, "", "draft")]

    def test_a_parent_takes_its_child_along(self) -> None:
        child = BigItem.objects.create(text="draft")
        Item.objects.all().delete()

        assert moves(ItemFlowEvent) == [(child.pk, "", "draft"), (child.pk, "draft", "")]

    def test_a_proxy_moves_as_its_model(self) -> None:
        proxy = SpecialItem.objects.create(text="draft")
        SpecialItem.objects.update(text="done")
        pk = proxy.pk
        proxy.delete()

        assert moves(ItemFlowEvent) == [(pk, "", "draft"), (pk, "draft", "done"), (pk, "done", "")]


def test_stocks_of_a_childs_own_columns_watch_the_childs_table(declare: Declare) -> None:
    declare(tracker(BigItemFlowEvent, heavy=BigItem.objects.filter(weight__gte=10)))
    child = BigItem.objects.create(weight=1)
    Item.objects.update(text="x")
    BigItem.objects.update(weight=10)
    event = BigItemFlowEvent.objects.select_related("subject").get()
    assert event.subject == child
    pk = child.pk
    child.delete()

    assert moves(BigItemFlowEvent) == [(pk, "", "heavy"), (pk, "heavy", "")]


def test_stocks_of_a_proxy_hold_the_models_rows(declare: Declare) -> None:
    declare(tracker(ItemFlowEvent, special=SpecialItem.objects.filter(flag=True)))
    item = Item.objects.create(flag=True)
    Item.objects.update(flag=None)

    assert moves(ItemFlowEvent) == [(item.pk, "", "special"), (item.pk, "special", "")]


CODES = ["GB", "ß", "Ünï ☃ 🦆", "it's", 'say "hi"', "back\\slash", "100%s", " padded ", "{}"]


def test_subjects_with_text_keys(declare: Declare) -> None:
    rows = Region.objects.all()
    declare(tracker(RegionFlowEvent, planned=rows.filter(status="planned"), open=rows.filter(status="open")))
    Region.objects.bulk_create([Region(code=code) for code in CODES])
    Region.objects.update(status="open")
    for region in Region.objects.all():
        region.delete()

    for code in CODES:
        assert moves(RegionFlowEvent, subject=code) == [
            (code, "", "planned"),
            (code, "planned", "open"),
            (code, "open", ""),
        ]
    assert RegionFlowEvent.objects.count() == 3 * len(CODES)


def test_subjects_with_uuid_keys(declare: Declare) -> None:
    rows = Parcel.objects.all()
    declare(tracker(ParcelFlowEvent, packed=rows.filter(status="packed"), sent=rows.filter(status="sent")))
    parcel = Parcel.objects.create()
    Parcel.objects.update(status="sent")
    event = ParcelFlowEvent.objects.select_related("subject").order_by("-pk")[0]

    assert event.subject == parcel
    assert moves(ParcelFlowEvent, subject=parcel) == [
        (parcel.pk, "", "packed"),
        (parcel.pk, "packed", "sent"),
    ]
    parcel.delete()
    gone = event.subject_id
    assert isinstance(gone, uuid.UUID)
    assert moves(ParcelFlowEvent, subject_id=gone)[-1] == (gone, "sent", "")


def test_stocks_chosen_by_uuid_and_by_foreign_key(declare: Declare) -> None:
    batch = uuid.uuid4()
    north = Region.objects.create(code="north")
    rows = Parcel.objects.all()
    northern = rows.filter(region=north).exclude(batch=batch)
    declare(tracker(ParcelFlowEvent, mine=rows.filter(batch=batch), northern=northern))
    parcel = Parcel.objects.create(batch=batch, region=north)
    Parcel.objects.update(batch=uuid.uuid4())
    Parcel.objects.update(region=None)

    assert moves(ParcelFlowEvent) == [
        (parcel.pk, "", "mine"),
        (parcel.pk, "mine", "northern"),
        (parcel.pk, "northern", ""),
    ]


def test_rows_that_cascade_to_their_own_table_each_leave_once(declare: Declare) -> None:
    declare(tracker(ParcelFlowEvent, packed=Parcel.objects.filter(status="packed")))
    outer = Parcel.objects.create()
    inner = Parcel.objects.create(parent=outer)
    outer_pk = outer.pk
    outer.delete()

    assert sorted(map(str, moves(ParcelFlowEvent, sink=""))) == sorted(
        str((pk, "packed", "")) for pk in (outer_pk, inner.pk)
    )


def test_two_trackers_of_one_model_each_write_their_own_events(declare: Declare) -> None:
    rows = Item.objects.all()
    declare(
        tracker(ItemFlowEvent, "by-text", draft=rows.filter(text="draft"), done=rows.filter(text="done")),
        tracker(ItemFlowEvent, "by-flag", flagged=rows.filter(flag=True)),
    )
    item = Item.objects.create(text="draft", flag=True)
    Item.objects.update(text="done")
    Item.objects.update(flag=False, text="draft")

    pk = item.pk
    assert moves(ItemFlowEvent, tracker="by-text") == [
        (pk, "", "draft"),
        (pk, "draft", "done"),
        (pk, "done", "draft"),
    ]
    assert moves(ItemFlowEvent, tracker="by-flag") == [(pk, "", "flagged"), (pk, "flagged", "")]


def test_a_stock_of_all_rows_sees_arrivals_and_departures_alone(declare: Declare) -> None:
    declare(tracker(ItemFlowEvent, everything=Item.objects.all()))
    item = Item.objects.create(text="x")
    Item.objects.update(text="y")
    pk = item.pk
    item.delete()

    assert moves(ItemFlowEvent) == [(pk, "", "everything"), (pk, "everything", "")]


def test_a_stock_that_can_hold_nothing_is_no_error(declare: Declare) -> None:
    declare(tracker(ItemFlowEvent, nothing=Item.objects.none(), draft=Item.objects.filter(text="draft")))
    item = Item.objects.create(text="draft")

    assert moves(ItemFlowEvent) == [(item.pk, "", "draft")]


def test_null_is_in_the_stock_that_asks_for_it(declare: Declare) -> None:
    rows = Item.objects.all()
    declare(
        tracker(
            ItemFlowEvent,
            unset=rows.filter(flag__isnull=True),
            on=rows.filter(flag=True),
            off=rows.exclude(flag=True).exclude(flag=None),
        )
    )
    item = Item.objects.create()
    for flag in (True, False, None, False):
        Item.objects.update(flag=flag)

    assert [(source, sink) for _, source, sink in moves(ItemFlowEvent)] == [
        ("", "unset"),
        ("unset", "on"),
        ("on", "off"),
        ("off", "unset"),
        ("unset", "off"),
    ]
    assert registry.stock("off").count() == 1
    assert item.pk


def test_where_stocks_overlap_the_first_one_holds_the_row(declare: Declare) -> None:
    rows = Item.objects.all()
    declare(tracker(ItemFlowEvent, small=rows.filter(number__lt=10), any=rows.filter(number__lt=100)))
    Item.objects.create(number=5)
    Item.objects.update(number=50)

    assert [(source, sink) for _, source, sink in moves(ItemFlowEvent)] == [("", "small"), ("small", "any")]


@pytest.mark.parametrize("callables", [[], [print]])
def test_a_row_with_a_new_key_is_another_subject(declare: Declare, callables: list[Any]) -> None:
    planned = Stock(slug="planned", name="Planned", queryset=Region.objects.filter(status="planned"))
    open_ = Stock(slug="open", name="Open", queryset=Region.objects.filter(status="open"))
    arriving = Flow(
        slug="arriving",
        name="Arriving",
        flow_event_model=RegionFlowEvent,
        sources=[None],
        sinks=[planned, open_],
        event_callables=callables,
    )
    declare(ModelTracker(stocks=[planned, open_], flows=[arriving]))
    Region.objects.create(code="old")
    Region.objects.update(code="new")
    Region.objects.update(code="newer", status="open")
    Region.objects.update(code="newest", status="lost")

    assert sorted(moves(RegionFlowEvent)) == [
        ("new", "", "planned"),
        ("new", "planned", ""),
        ("newer", "", "open"),
        ("newer", "open", ""),
        ("old", "", "planned"),
        ("old", "planned", ""),
    ]
    arrivals = RegionFlowEvent.objects.filter(flow="arriving").values_list("pk", flat=True)
    delivered = Delivery.objects.values_list("event_id", flat=True)
    assert sorted(delivered) == (sorted(arrivals) if callables else [])


def test_a_new_key_is_seen_where_the_stock_asks_for_nothing_else(declare: Declare) -> None:
    declare(tracker(RegionFlowEvent, everything=Region.objects.all()))
    Region.objects.create(code="old")
    Region.objects.update(code="new")

    assert sorted(moves(RegionFlowEvent)) == [
        ("new", "", "everything"),
        ("old", "", "everything"),
        ("old", "everything", ""),
    ]
