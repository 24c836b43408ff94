"""What an event keeps of its subject: the facet values as they were, one text for a value on all three databases."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, models

from example.membership.models import Member, MemberFlowEvent, Plan
from example.support.models import Ticket, TicketFlowEvent
from stockandflow import recording
from stockandflow.capture import method_for
from stockandflow.capture.event_sql import kept_facets
from stockandflow.checks import check_databases
from stockandflow.declarations import Facet, Flow, ModelTracker, Stock
from stockandflow.models import FlowEvent, FlowFacetRecord, StockFacetRecord
from stockandflow.models.events import facet_values
from stockandflow.registry import registry
from tests.capture.conftest import Declare
from tests.capture.keyed.models import Parcel, ParcelFlowEvent, Region
from tests.capture.test_triggers import execute, new_member
from tests.testapp.models import Item, ItemFlowEvent, Label, Owner

pytestmark = pytest.mark.usefixtures("transactional_db")

BATCH = uuid.UUID("0b3c8a5e-7f1d-4c5b-9a77-00aa11bb22cc")
AT = datetime(2026, 3, 29, 0, 30, 15, 250000, tzinfo=UTC)
NIGHT = datetime(2026, 6, 30, 23, 30, tzinfo=UTC)  # in London it is July already


def tracker_of(events: type[FlowEvent], *lookups: str) -> ModelTracker:
    """All objects of one model, with a facet "it" (or one for each lookup, by position)."""
    model: Any = events._meta.get_field("subject").remote_field.model  # type: ignore[misc]
    facets = [
        Facet(slug=f"it{number or ''}", name=lookup, field_lookup=lookup)
        for number, lookup in enumerate(lookups)
    ]
    stock = Stock(slug="everything", name="All", queryset=model._base_manager.all(), facets=facets)
    flow = Flow(
        slug="arriving",
        name="Arriving",
        flow_event_model=events,
        sources=[None],
        sinks=[stock],
        facets=facets,
    )
    return ModelTracker(stocks=[stock], flows=[flow])


VALUES: list[tuple[type[models.Model], str, Any, str]] = [
    (Item, "text", "plain", "plain"),
    (Item, "text", "", ""),
    (Item, "text", 'it\'s "quoted" \\ ☃ 🦆\n{}%s', 'it\'s "quoted" \\ ☃ 🦆\n{}%s'),
    (Item, "text", "(none)", "'(none)'"),
    (Item, "text", "long " * 50, ("long " * 50)[:199] + "…"),
    (Item, "number", -7, "-7"),
    (Item, "flag", True, "True"),
    (Item, "flag", False, "False"),
    (Item, "day", date(2026, 2, 28), "2026-02-28"),
    (Item, "day__year", date(2026, 2, 28), "2026"),
    (Item, "moment", AT, "2026-03-29 00:30:15.250000+00:00"),
    (Item, "moment", AT.replace(microsecond=0), "2026-03-29 00:30:15+00:00"),
    (Item, "price", Decimal("1.5"), "1.50"),
    (Item, "price", Decimal(-12), "-12.00"),
    (Item, "price", Decimal("0.07"), "0.07"),
    (Parcel, "batch", BATCH, str(BATCH)),
    (Parcel, "weight", 3.0, "3.0"),
    (Parcel, "weight", 0.1, "0.1"),
    (Parcel, "at_noon", time(12, 0, 30), "12:00:30"),
    (Parcel, "notes__colour", {"colour": "red"}, "red"),
]


@pytest.mark.parametrize(("model", "lookup", "value", "key"), VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_has_one_key_in_events_in_records_and_on_every_database(
    declare: Declare, model: type[models.Model], lookup: str, value: Any, key: str
) -> None:
    events = ItemFlowEvent if model is Item else ParcelFlowEvent
    tracker = tracker_of(events, lookup)
    declare(tracker)
    subject = model._default_manager.create(**{lookup.partition("__")[0]: value})
    recording.record(registry)
    kept = events._default_manager.get().facets
    column = tracker.applied_facets["it"].column(model)

    assert facet_values(subject, tracker.applied_facets, "default") == {"it": key}
    assert StockFacetRecord.objects.get(stock_record__stock="everything").value == key
    if "it" in kept_facets(tracker, connection)[0]:
        assert column.key(kept["it"]) == key
        assert set(
            FlowFacetRecord.objects.filter(flow_record__flow="arriving").values_list("value", flat=True)
        ) == {key}
    else:  # Django's own function, which other clients of SQLite don't have
        assert (connection.vendor, lookup) == ("sqlite", "day__year")
        assert kept == {}


def test_null_is_kept_as_null(declare: Declare) -> None:
    lookups = ["text", "number", "flag", "day", "moment", "price", "owner", "owner__name"]
    declare(tracker_of(ItemFlowEvent, *lookups))
    Item.objects.create()

    assert set(ItemFlowEvent.objects.get().facets.values()) == {None}
    assert len(ItemFlowEvent.objects.get().facets) == len(lookups)


def test_a_foreign_key_is_kept_as_the_key_it_holds(declare: Declare) -> None:
    declare(tracker_of(ParcelFlowEvent, "region", "parent", "region__status", "parent__parent__region"))
    north = Region.objects.create(code="north", status="open")
    parent = Parcel.objects.create(parent=Parcel.objects.create(region=north))
    child = Parcel.objects.create(region=north, parent=parent)
    kept = ParcelFlowEvent.objects.get(subject=child).facets

    column = registry.tracker("keyed.parcel").applied_facets["it1"].column(Parcel)
    assert column.key(kept.pop("it1")) == str(parent.pk)
    assert kept == {"it": "north", "it2": "open", "it3": "north"}


def test_a_reverse_one_to_one_is_read_too(declare: Declare) -> None:
    everything = tracker_of(ItemFlowEvent, "label__code")
    text = Stock(slug="named", name="Named", queryset=Item.objects.exclude(text=None))
    declare(ModelTracker(stocks=[text], flows=[], event_model=ItemFlowEvent, slug="named"), everything)
    item = Item.objects.create()
    Label.objects.create(item=item, code="L1")
    Item.objects.all().delete()

    departure = ItemFlowEvent.objects.latest("pk")
    assert (departure.sink, departure.facets) == ("", {"it": None})  # the ORM deletes the label first


def test_history_keeps_the_name_that_the_plan_had() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    member = new_member(plan)
    Plan.objects.update(name="Starter")
    Member.objects.update(status="active")
    Member.objects.update(plan=Plan.objects.create(name="Pro", monthly_price=29), country=None)
    member.delete()

    assert [event.facets for event in MemberFlowEvent.objects.order_by("pk")] == [
        {"plan": "Basic", "country": "GB"},
        {"plan": "Starter", "country": "GB"},
        {"plan": "Pro", "country": None},
    ]


def test_an_update_that_moves_and_changes_a_facet_keeps_the_new_value() -> None:
    plan, pro = (Plan.objects.create(name=name, monthly_price=9) for name in ("Basic", "Pro"))
    new_member(plan)
    Member.objects.update(plan=pro, status="active")

    assert MemberFlowEvent.objects.latest("pk").facets == {"plan": "Pro", "country": "GB"}


def test_a_member_that_goes_with_its_tickets_takes_its_plan_along() -> None:
    """The ORM deletes the tickets first, while the member is still there to be asked."""
    member = new_member(Plan.objects.create(name="Basic", monthly_price=9))
    Ticket.objects.create(title="?", member=member)
    member.delete()

    departure = TicketFlowEvent.objects.filter(tracker="support.ticket").latest("pk")
    assert departure.facets == {"plan": "Basic", "channel": "email"}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only there can both go in one statement")
def test_a_related_row_that_went_in_the_same_statement_leaves_null() -> None:
    member = new_member(Plan.objects.create(name="Basic", monthly_price=9))
    Ticket.objects.create(title="?", member=member)
    execute("TRUNCATE membership_member CASCADE")

    departure = TicketFlowEvent.objects.filter(tracker="support.ticket").latest("pk")
    assert departure.sink == ""
    assert departure.facets["channel"] == "email"


def test_a_facet_that_triggers_cannot_read_costs_no_move(declare: Declare) -> None:
    """An object may have several parts, and whether it is large is a question; neither is one value."""
    tracker = tracker_of(ItemFlowEvent, "text", "parts__kind", "number__gte")
    kept, lost = kept_facets(tracker, connection)
    assert method_for(tracker, connection).kind == "triggers"
    assert (set(kept), set(lost)) == ({"it"}, {"it1", "it2"})
    declare(tracker)
    Item.objects.create(text="x", owner=Owner.objects.create(name="Ada"))

    assert ItemFlowEvent.objects.get().facets == {"it": "x"}


def test_a_flows_facet_that_a_database_cannot_read_is_told(declare: Declare) -> None:
    declare(tracker_of(ItemFlowEvent, "moment__year", "number__gte", "text", "colour"))
    found = [
        message for message in check_databases(databases=["default"]) if message.id == "stockandflow.W008"
    ]

    if connection.vendor == "sqlite":
        (message,) = found
        for word in ("'testapp.item'", "'it'", "'default'", "no function django_datetime_extract"):
            assert word in message.msg
    else:
        assert found == []


def test_a_facet_of_a_field_that_is_not_there_costs_no_move(declare: Declare) -> None:
    declare(tracker_of(ItemFlowEvent, "colour"))
    Item.objects.create(text="x")

    assert ItemFlowEvent.objects.get().facets == {}
