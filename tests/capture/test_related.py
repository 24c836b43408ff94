"""Triggers on related tables: what an event keeps, what is left alone, and how a tracker begins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection, models, transaction
from django.db.models import F, Q

from stockandflow import capture
from stockandflow.capture.install import installed
from stockandflow.capture.readiness import named_columns, related_apps
from stockandflow.capture.related import compile_related
from stockandflow.capture.triggers import prefix_of
from stockandflow.declarations import Facet, Flow, ModelTracker, Stock
from stockandflow.models import Delivery, FlowEvent, Origin
from stockandflow.registry import registry
from tests.capture.conftest import Declare
from tests.capture.keyed.models import (
    Badge,
    BigItemFlowEvent,
    Parcel,
    ParcelFlowEvent,
    Region,
)
from tests.capture.test_triggers import execute
from tests.testapp.models import BigItem, Item, ItemFlowEvent, Label, Owner, Part

pytestmark = pytest.mark.usefixtures("transactional_db")

rows = Item.objects.all()


def tracker(
    *querysets: models.QuerySet[Any],
    events: type[FlowEvent] = ItemFlowEvent,
    slug: str = "related",
    facets: tuple[Facet, ...] = (),
    callables: tuple[Callable[..., Any], ...] = (),
) -> ModelTracker:
    """Stocks called a, b, … of a tracker that related triggers serve, and the flow into the first."""
    stocks = [
        Stock(f"{slug}-{letter}", letter, qs, facets) for letter, qs in zip("abcd", querysets, strict=False)
    ]
    into = Flow(f"{slug}-in", "In", events, sources=[None], sinks=stocks[:1], event_callables=callables)
    made = ModelTracker(stocks=stocks, flows=[into], slug=slug)
    assert capture.method_for(made, connection).kind == "related triggers"
    return made


def moves(events: type[FlowEvent] = ItemFlowEvent, **filters: Any) -> list[tuple[Any, str, str]]:
    """Subject, and the last letters of source and sink, in the order of the moves."""
    found: models.QuerySet[Any] = events._default_manager.filter(**filters).order_by("timestamp", "id")
    return [
        (subject, source[-1:], sink[-1:])
        for subject, source, sink in found.values_list("subject_id", "source", "sink")
    ]


@pytest.fixture
def owner() -> Owner:
    return Owner.objects.create(name="Ada")


# What an event keeps.


def test_a_change_of_the_related_row_moves_all_whom_it_concerns_at_once(
    declare: Declare, owner: Owner
) -> None:
    declare(tracker(rows.filter(owner__active=True), rows.filter(owner__active=False)))
    mine = Item.objects.bulk_create([Item(owner=owner) for _ in range(3)])
    other = Item.objects.create(owner=Owner.objects.create(active=False))
    last = ItemFlowEvent.objects.latest("id").pk
    Owner.objects.filter(pk=owner.pk).update(active=False)

    assert sorted(moves(pk__gt=last)) == [(item.pk, "a", "b") for item in mine]
    assert moves(subject=other) == [(other.pk, "", "b")]
    event = ItemFlowEvent.objects.latest("id")
    assert (event.tracker, event.flow, event.origin) == ("related", "", Origin.LIVE)


def test_an_event_keeps_the_facets_as_they_are_after_the_move(declare: Declare, owner: Owner) -> None:
    facets = (Facet("owner", "Owner", "owner__name"), Facet("text", "Text", "text"))
    declare(tracker(rows.filter(owner__active=True), facets=facets))
    item = Item.objects.create(owner=owner, text="x")
    Owner.objects.update(name="Bob", active=False)
    Owner.objects.update(active=True)
    Item.objects.update(text="y", owner=None)

    kept = ItemFlowEvent.objects.order_by("id").values_list("facets", flat=True)
    assert list(kept) == [
        {"owner": "Ada", "text": "x"},
        {"owner": "Bob", "text": "x"},
        {"owner": "Bob", "text": "x"},
        {"owner": None, "text": "y"},
    ]
    assert item.pk


def test_a_departure_keeps_the_facets_as_they_were_before_the_deletion(
    declare: Declare, owner: Owner
) -> None:
    facets = (Facet("owner", "Owner", "owner__name"), Facet("text", "Text", "text"))
    declare(tracker(rows.filter(owner__active=True), facets=facets))
    item = Item.objects.create(owner=owner, text="x")
    Item.objects.update(text="y")  # reads nothing that membership depends on
    Owner.objects.update(name="Bob")
    pk = item.pk
    item.delete()

    assert moves() == [(pk, "", "a"), (pk, "a", "")]
    assert ItemFlowEvent.objects.latest("id").facets == {"owner": "Bob", "text": "y"}


def test_a_childs_event_keeps_facets_of_the_parents_columns(declare: Declare) -> None:
    children: Any = BigItem.objects.all()
    facet = Facet("text", "Text", "text")
    declare(tracker(children.filter(number=1), events=BigItemFlowEvent, facets=(facet,)))
    child = BigItem.objects.create(number=1, text="x")
    Item.objects.update(text="y", number=2)
    Item.objects.update(number=1)
    pk = child.pk
    child.delete()

    assert moves(BigItemFlowEvent) == [(pk, "", "a"), (pk, "a", ""), (pk, "", "a"), (pk, "a", "")]
    kept = BigItemFlowEvent.objects.order_by("id").values_list("facets", flat=True)
    assert [facets["text"] for facets in kept] == ["x", "y", "y", "y"]


def test_moves_by_a_related_row_are_delivered_once_each(declare: Declare, owner: Owner) -> None:
    declare(tracker(rows.filter(owner__active=True), callables=(print,)))
    Item.objects.bulk_create([Item(owner=owner) for _ in range(3)])
    with transaction.atomic():
        Owner.objects.update(active=False)
        Owner.objects.update(active=True)
        owed = Delivery.objects.filter(flow="related-in").values_list("event_id", flat=True)
        arrivals = ItemFlowEvent.objects.filter(flow="related-in").values_list("id", flat=True)
        assert len(arrivals) == 6
        assert sorted(owed) == sorted(arrivals)


def test_a_subject_with_a_new_key_is_another(declare: Declare) -> None:
    north = Region.objects.create(code="north", status="open")
    declare(tracker(Parcel.objects.filter(region__status="open"), events=ParcelFlowEvent))
    parcel = Parcel.objects.create(region=north)
    new = Parcel().pk
    Parcel.objects.update(id=new)
    Region.objects.update(status="planned")

    assert sorted(moves(ParcelFlowEvent), key=str) == sorted(
        [(parcel.pk, "", "a"), (parcel.pk, "a", ""), (new, "", "a"), (new, "a", "")], key=str
    )


def test_a_relation_by_a_text_key_is_followed_when_the_key_changes(declare: Declare) -> None:
    north = Region.objects.create(code="north", status="open")
    declare(tracker(Parcel.objects.filter(region__status="open"), events=ParcelFlowEvent))
    parcel = Parcel.objects.create(region=north)
    with transaction.atomic(), connection.constraint_checks_disabled():
        Region.objects.update(code="up")
        Parcel.objects.update(region="up")

    assert moves(ParcelFlowEvent) == [(parcel.pk, "", "a"), (parcel.pk, "a", ""), (parcel.pk, "", "a")]


def test_a_cascade_is_one_departure(declare: Declare, owner: Owner) -> None:
    declare(tracker(rows.filter(parts__kind="x"), rows.filter(owner__active=True)))
    item = Item.objects.create(owner=owner)
    Part.objects.create(item=item, kind="x")
    pk = item.pk
    owner.delete()

    assert moves() == [(pk, "", "b"), (pk, "b", "a"), (pk, "a", "b"), (pk, "b", "")]


def test_set_null_of_a_related_row_is_followed(declare: Declare, owner: Owner) -> None:
    declare(tracker(rows.filter(badges__maker__active=True)))
    item = Item.objects.create()
    badge = Badge.objects.create(name="x", maker=owner)
    item.badges.add(badge)
    owner.delete()

    assert moves() == [(item.pk, "", "a"), (item.pk, "a", "")]


def test_what_is_rolled_back_leaves_no_event(declare: Declare, owner: Owner) -> None:
    declare(tracker(rows.filter(owner__active=True)))
    item = Item.objects.create(owner=owner)
    with transaction.atomic():
        Owner.objects.update(active=False)
        transaction.set_rollback(True)

    assert moves() == [(item.pk, "", "a")]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the others look at each row by itself")
def test_what_one_statement_does_and_undoes_is_no_move(declare: Declare) -> None:
    declare(tracker(rows.filter(parts__kind="x")))
    item = Item.objects.create()
    Part.objects.bulk_create([Part(item=item, kind="x"), Part(item=item, kind="y")])
    Part.objects.update(
        kind=models.Case(models.When(kind="x", then=models.Value("y")), default=models.Value("x"))
    )

    assert moves() == [(item.pk, "", "a")]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="TRUNCATE is captured on PostgreSQL")
def test_truncate_is_seen_on_either_side(declare: Declare, owner: Owner) -> None:
    declare(tracker(rows.filter(badges__name="x"), facets=(Facet("text", "Text", "text"),)))
    badge = Badge.objects.create(name="x")
    one, two = Item.objects.bulk_create([Item(text="x"), Item(text="y")])
    badge.items.add(one, two)
    execute("TRUNCATE keyed_badge_items")
    assert sorted(moves(sink="")) == [(one.pk, "a", ""), (two.pk, "a", "")]
    badge.items.add(one, two)
    last = ItemFlowEvent.objects.latest("id").pk
    execute("TRUNCATE testapp_item CASCADE")

    assert sorted(moves(pk__gt=last)) == [(one.pk, "a", ""), (two.pk, "a", "")]
    kept = ItemFlowEvent.objects.filter(pk__gt=last).order_by("subject").values_list("facets", flat=True)
    assert list(kept) == [{"text": "x"}, {"text": "y"}]


# What is left alone.


def test_other_columns_and_other_rows_write_nothing(declare: Declare, owner: Owner) -> None:
    declare(tracker(rows.filter(owner__active=True)))
    Item.objects.create(owner=owner)
    last = ItemFlowEvent.objects.latest("id").pk
    Owner.objects.update(name="Bob")
    Owner.objects.update(active=F("active"))
    Owner.objects.create(name="Eve")
    Item.objects.update(text="x")
    Part.objects.create(item=Item.objects.get(), kind="x")

    assert not ItemFlowEvent.objects.filter(pk__gt=last).exists()


def test_two_trackers_of_one_model_each_write_their_own(declare: Declare, owner: Owner) -> None:
    declare(
        tracker(rows.filter(owner__active=True), slug="one"),
        tracker(rows.filter(owner__name="Ada"), slug="two"),
    )
    item = Item.objects.create(owner=owner)
    Owner.objects.update(active=False)
    Owner.objects.update(name="Bob")

    assert moves(tracker="one") == [(item.pk, "", "a"), (item.pk, "a", "")]
    assert moves(tracker="two") == [(item.pk, "", "a"), (item.pk, "a", "")]


NASTY = ["it's", "$sf$", '"', "`", "\\", "%s %%", "END;", "☃ 🦆", "--", "/*", "new.id", "sf_keys"]


def test_no_value_breaks_out_of_the_body(declare: Declare, owner: Owner) -> None:
    declare(tracker(rows.filter(owner__name__in=NASTY)))
    item = Item.objects.create(owner=owner)
    for name in NASTY:
        Owner.objects.update(name=name)
        Owner.objects.update(name="plain")

    assert moves() == [(item.pk, "", "a"), (item.pk, "a", "")] * len(NASTY)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has a search path")
def test_writers_with_another_search_path_are_captured(declare: Declare, owner: Owner) -> None:
    declare(tracker(rows.filter(owner__active=True)))
    item = Item.objects.create(owner=owner)
    with transaction.atomic():
        execute("SET LOCAL search_path = ''")
        execute("UPDATE public.testapp_owner SET active = FALSE")

    assert moves() == [(item.pk, "", "a"), (item.pk, "a", "")]


# How a tracker begins, and how its triggers come and go.


def test_who_stood_there_before_has_an_initial_event_and_no_arrival(declare: Declare, owner: Owner) -> None:
    before = Item.objects.create(owner=owner)
    outside = Item.objects.create()
    declare(tracker(rows.filter(owner__active=True), rows.filter(owner__active=False)))
    Owner.objects.update(active=False)
    Item.objects.filter(pk=outside.pk).update(owner=owner)

    assert moves(origin=Origin.INITIAL) == [(before.pk, "", "a")]
    assert moves(origin=Origin.LIVE) == [(before.pk, "a", "b"), (outside.pk, "", "b")]


def test_what_moved_while_the_triggers_were_down_is_no_move_of_now(declare: Declare, owner: Owner) -> None:
    declare(tracker(rows.filter(owner__active=True), rows.filter(owner__active=False)))
    item = Item.objects.create(owner=owner)
    capture.open_trackers(registry, "default")
    with capture.suspended(registry, "default"):
        Owner.objects.update(active=False)
        new = Item.objects.create(owner=owner)
    Item.objects.update(owner=None)

    assert moves(origin=Origin.INITIAL) == []
    assert sorted(moves(origin=Origin.SWEEP)) == [(item.pk, "a", "b"), (new.pk, "", "b")]
    assert sorted(moves(origin=Origin.LIVE)) == [(item.pk, "", "a"), (item.pk, "b", ""), (new.pk, "b", "")]


def test_the_triggers_are_told_apart_on_every_table(declare: Declare) -> None:
    made = tracker(rows.filter(badges__maker__active=True, text="x"))
    declare(made)
    tables = {table for name, table in installed(connection).items() if name.startswith(prefix_of(made))}
    state = next(state for state in capture.status(registry, "default") if state.tracker is made)

    assert tables == {"testapp_item", "keyed_badge_items", "keyed_badge", "testapp_owner"}
    assert (state.missing, state.stale, state.waiting) == ((), (), ())
    assert set(state.installed) == {trigger.name for trigger in compile_related(made, connection)}
    assert capture.install(registry, "default") == []
    gone = next(name for name, table in installed(connection).items() if table == "keyed_badge")
    quote = connection.ops.quote_name
    on = f" ON {quote('keyed_badge')}" if connection.vendor == "postgresql" else ""
    execute(f"DROP TRIGGER {quote(gone)}{on}")
    state = next(state for state in capture.status(registry, "default") if state.tracker is made)
    assert state.missing == (gone,)
    assert capture.install(registry, "default") == [gone]


def test_the_order_of_a_set_makes_no_trigger_stale() -> None:
    def names(values: list[str]) -> set[str]:
        made = tracker(rows.filter(owner__name__in=values).exclude(parts__kind__in=values))
        return {trigger.name for trigger in compile_related(made, connection)}

    assert names(["x", "y", "z"]) == names(["z", "x", "y"])


def test_migrations_of_every_app_that_owns_a_table_on_the_way_matter() -> None:
    made = tracker(Parcel.objects.filter(region__status="open"), events=ParcelFlowEvent)
    assert related_apps(made) == {"keyed"}
    named = set(named_columns(tracker(rows.filter(badges__maker__active=True))))

    assert {model._meta.app_label for model, _ in named} == {"testapp", "keyed"}
    on_the_way = {(model._meta.db_table, column) for model, column in named if model is not ItemFlowEvent}
    assert on_the_way == {
        ("testapp_item", "id"),
        ("keyed_badge_items", "item_id"),
        ("keyed_badge_items", "badge_id"),
        ("keyed_badge", "id"),
        ("keyed_badge", "maker_id"),
        ("testapp_owner", "id"),
        ("testapp_owner", "active"),
    }


def test_sync_says_which_tables_a_tracker_depends_on(
    declare: Declare, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(tracker(rows.filter(Q(owner__active=True) | Q(label__code="x"))))
    call_command("stockandflow", "sync")

    said = " ".join(capsys.readouterr().out.split())
    assert (
        "related: captured by related triggers, since the stock 'related-a' depends on rows of testapp_label, "
        "testapp_owner" in said
    )


@pytest.mark.parametrize("reset_sequences", [True, False])
def test_a_flush_leaves_no_event_behind(declare: Declare, owner: Owner, reset_sequences: bool) -> None:
    declare(tracker(rows.filter(owner__active=True), rows.filter(label__isnull=True)))
    for _ in range(2):
        item = Item.objects.create(owner=Owner.objects.create())
        Label.objects.create(item=item, code="x")
        Owner.objects.update(active=False)
        assert ItemFlowEvent.objects.exists()
        call_command("flush", interactive=False, verbosity=0, reset_sequences=reset_sequences)
        assert not ItemFlowEvent.objects.exists()


def test_post_migrate_sent_by_the_project_throws_no_history_away(declare: Declare, owner: Owner) -> None:
    declare(tracker(rows.filter(owner__active=True)))
    item = Item.objects.create(owner=owner)
    pk = item.pk
    item.delete()
    emit_post_migrate_signal(0, False, "default")
    assert moves() == [(pk, "", "a"), (pk, "a", "")]

    owner.delete()
    ItemFlowEvent.objects.update(recorded_at=F("recorded_at") - timedelta(hours=2))
    emit_post_migrate_signal(0, False, "default")
    assert moves() == [(pk, "", "a"), (pk, "a", "")]


def test_statements_that_read_the_subjects_table_are_let_through(declare: Declare, owner: Owner) -> None:
    """MariaDB refuses a trigger that would change, or lock for a change, a table that its statement reads."""
    declare(tracker(rows.filter(parts__kind="x", owner__active=True), rows.filter(parts__kind="y")))
    item = Item.objects.create(owner=owner, text="x")
    execute("INSERT INTO testapp_part (item_id, kind, weight) SELECT id, 'x', 1 FROM testapp_item")
    Part.objects.filter(item__text="x").update(kind="y")
    Owner.objects.filter(items__text="x").update(active=False)
    Part.objects.filter(item__text="x").delete()

    assert moves() == [(item.pk, "", "a"), (item.pk, "a", "b"), (item.pk, "b", "")]
