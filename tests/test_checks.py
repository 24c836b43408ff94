"""Every check is broken once by a wrong declaration, and says what was given and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.db import connection, connections, models
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLiteWrapper
from django.db.models.functions import Now
from django.test.utils import isolate_apps, override_settings

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow import capture, checks, recording
from stockandflow.capture.install import installed
from stockandflow.capture.triggers import prefix_of
from stockandflow.checks import check_databases, check_declarations
from stockandflow.declarations import Facet, Flow, ModelTracker, Process, Stock
from stockandflow.models import FlowEvent, SubjectForeignKey
from stockandflow.periods import Calendar
from stockandflow.registry import Registry
from stockandflow.registry import registry as project_registry
from tests.testapp.models import (
    DemandingEvent,
    ForeignKeyEvent,
    Item,
    ItemFlowEvent,
    Owner,
    Seat,
    SpecialItem,
    SubjectlessEvent,
    Ticket,
    TicketFlowEvent,
)

pytestmark = pytest.mark.every_database  # some ask the connection what it can

Broken = tuple[list[Any], list[str]]
"""Declarations of which one is wrong, and what the message has to name."""


def stock(slug: str, **kwargs: Any) -> Stock:
    return Stock(**{"slug": slug, "name": slug, "queryset": Item.objects.filter(text=slug), **kwargs})


def flow(slug: str, sources: list[Any], sinks: list[Any], events: Any = ItemFlowEvent, **kwargs: Any) -> Flow:
    return Flow(slug=slug, name=slug.title(), flow_event_model=events, sources=sources, sinks=sinks, **kwargs)


def tracker(*stocks: Stock, **kwargs: Any) -> ModelTracker:
    """A tracker with nothing wrong."""
    return ModelTracker(**{"stocks": stocks, "flows": Flow.for_stocks(ItemFlowEvent, stocks), **kwargs})


def unmoved(before: Any, now: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The states of an object that never moves."""
    return (None,), (None,)


def stocks_share_a_slug() -> Broken:
    # Some databases' collations take small and large letters for the same.
    return [stock("draft"), stock("Draft")], ["2 stocks", "'draft'", "'Draft' of testapp.Item"]


def flows_share_a_slug() -> Broken:
    twice = [flow("moving", [None], [stock("a")]), flow("moving", [None], [stock("b")])]
    return twice, ["2 flows", "'moving'", "testapp.Item"]


def processes_share_a_slug() -> Broken:
    one = stock("a")
    return [Process("work", "Work", [one]), Process("work", "Toil", [one])], [
        "2 processes",
        "'work'",
        "'Toil'",
    ]


def trackers_share_a_slug() -> Broken:
    twice = [tracker(stock("a")), tracker(stock("b"))]
    # The flows that leave a stock of its own would share a slug too.
    for one, name in zip(twice, "ab", strict=True):
        object.__setattr__(one, "flows", (flow(f"to-{name}", [None], list(one.stocks)),))
    return twice, ["2 trackers", "'testapp.item'"]


def a_facet_of_a_stock_does_not_resolve() -> Broken:
    shade = Facet("shade", "Shade", "owner__shade")
    return [stock("a", facets=[shade])], ["'shade'", "'a'", "'owner__shade'", "testapp.Item"]


def a_prefix_of_a_facet_does_not_resolve() -> Broken:
    name = Facet("name", "Name", "name")
    return [stock("a", facets=[(name, "landlord")])], ["'name'", "'landlord__name'", "testapp.Item"]


def a_facet_of_a_flow_does_not_resolve() -> Broken:
    shade = Facet("shade", "Shade", "shade")
    return [flow("moving", [None], [stock("a")], facets=[shade])], ["'shade'", "'moving'", "testapp.Item"]


def a_facet_of_a_flow_has_many_values() -> Broken:
    kind = Facet("kind", "Kind", "parts__kind")
    return [flow("moving", [None], [stock("a")], facets=[kind])], ["'kind'", "'moving'", "several values"]


def a_facet_of_a_flow_asks_a_question() -> Broken:
    big = Facet("big", "Big", "number__gte", values=[1, 10])
    return [flow("moving", [None], [stock("a")], facets=[big])], ["'big'", "'moving'", "question"]


def facets_of_a_tracker_disagree() -> Broken:
    one = stock("a", facets=[Facet("name", "Name", "text")])
    moving = flow("moving", [None], [one], facets=[(Facet("name", "Name", "name"), "owner")])
    return [ModelTracker(stocks=[one], flows=[moving])], [
        "'name'",
        "'text'",
        "'owner__name'",
        "'testapp.item'",
    ]


def two_facets_share_a_slug() -> Broken:
    first, second = Facet("size", "Size", "number", [1]), Facet("size", "Size", "number", [2])
    return [stock("draft", facets=[first]), stock("sold", facets=[second])], [
        "'size'",
        "<Stock sold>",
        "testapp.Item",
    ]


def a_declared_value_can_not_be_held() -> Broken:
    facet = Facet("heavy", "Heavy", "number__gte", ["a lot"])
    return [stock("draft", facets=[facet])], ["'heavy'", "'a lot'", "testapp.Item"]


def an_event_model_is_no_flow_event() -> Broken:
    return [flow("moving", [None], [stock("a")], Item)], ["testapp", "Item", "FlowEvent"]


def an_event_model_is_abstract() -> Broken:
    return [flow("moving", [None], [stock("a")], FlowEvent)], ["FlowEvent", "concrete"]


def an_event_model_has_no_subject() -> Broken:
    return [flow("moving", [None], [stock("a")], SubjectlessEvent)], ["testapp.SubjectlessEvent", "'subject'"]


def a_subject_is_a_foreign_key() -> Broken:
    return [flow("moving", [None], [stock("a")], ForeignKeyEvent)], ["testapp.ForeignKeyEvent"]


def an_event_model_demands_a_field() -> Broken:
    return [flow("moving", [None], [stock("a")], DemandingEvent)], ["testapp.DemandingEvent.note"]


def a_stock_is_of_another_model() -> Broken:
    owners = stock("owners", queryset=Owner.objects.all())
    return [flow("buying", [None], [owners])], [
        "'buying'",
        "testapp.Item ",
        "testapp.ItemFlowEvent",
        "'owners'",
        "testapp.Owner",
    ]


def a_stock_stands_in_two_trackers() -> Broken:
    one = stock("a")
    flows = [flow("moving", [None], [one])]
    twice = [ModelTracker(stocks=[one], flows=flows, slug=slug) for slug in ("first", "second")]
    return twice, ["'a'", "'first' and 'second'"]


def a_tracked_field_is_missing() -> Broken:
    tickets = stock("a", queryset=Ticket.objects.all())
    made = ModelTracker(["shade"], unmoved, [tickets], [], "by-hand", TicketFlowEvent)
    return [made], ["'by-hand'", "'shade'"]


def a_tracked_field_is_a_filter() -> Broken:
    tickets = stock("a", queryset=Ticket.objects.all())
    made = ModelTracker(["rank__gte"], unmoved, [tickets], [], "by-hand", TicketFlowEvent)
    return [made], ["'by-hand'", "'rank__gte'", "testapp.Ticket"]


def bulk_writes_send_no_signals() -> Broken:
    made = ModelTracker(["number"], unmoved, [stock("a")], [], "by-hand", ItemFlowEvent)
    return [made], ["'by-hand'", "testapp.Item.objects", "testapp.Item._base_manager"]


def two_flows_cover_one_move() -> Broken:
    a, b = stock("a"), stock("b")
    flows = [flow("starting", [None], [a]), flow("moving", [a], [b]), flow("going", [None, a], [b])]
    return [ModelTracker(stocks=[a, b], flows=flows)], ["'moving'", "'going'", "'testapp.item'", "'a' to 'b'"]


def a_stand_in_has_the_slug_of_a_stock() -> Broken:
    return [stock("a"), flow("moving", [None], ["a"])], ["'moving'", "'a'"]


def a_key_has_two_columns() -> Broken:
    return [stock("seats", queryset=Seat.objects.all())], ["'seats'", "testapp.Seat"]


def a_flow_touches_a_stock_of_no_tracker() -> Broken:
    a, b = stock("a"), stock("b")
    return [ModelTracker(stocks=[a], flows=[flow("moving", [a], [b])])], ["'moving'", "'testapp.item'", "'b'"]


def a_stock_has_no_flow() -> Broken:
    a, b = stock("a"), stock("lonely")
    return [ModelTracker(stocks=[a, b], flows=[flow("moving", [None], [a])])], ["'lonely'"]


def a_stock_is_read_by_the_clock() -> Broken:
    return [tracker(stock("a", queryset=Item.objects.filter(moment__lt=Now())))], [
        "'testapp.item'",
        "'a'",
        "time",
    ]


def a_process_has_the_address_of_another_page() -> Broken:
    one = stock("one")
    return [tracker(one), Process(slug="status", name="Status", stocks=[one])], ["'status'", "'status/'"]


def a_permission_is_unknown() -> Broken:
    process = Process("work", "Work", [stock("a")], permission="testapp.juggle_item")
    return [process], ["'work'", "'testapp.juggle_item'"]


def choices_are_declared_as_values() -> Broken:
    size = Facet("size", "Size", "size", Item.Size.choices)
    return [stock("a", facets=[size])], ["'size'", "'a'", "(1, 'Small')", "several values"]


def stocks_of_a_tracker_overlap() -> Broken:
    early = stock("early", queryset=Item.objects.filter(text__in=["new", "open"]))
    opened = stock("opened", queryset=Item.objects.filter(text="open"))
    return [tracker(early, opened)], [
        "'early'",
        "'opened'",
        "'testapp.item'",
        "text is “new” or “open”; items whose text is “open”",
    ]


def a_stock_of_a_tracker_holds_everything() -> Broken:
    return [tracker(stock("every", queryset=Item.objects.all()), stock("a"))], ["'every'", "'a'", "all items"]


def a_question_has_no_values() -> Broken:
    return [stock("a", facets=[Facet("big", "Big", "number__gte")])], ["'big'", "'a'", "'number__gte'"]


def a_stand_in_is_a_slug_in_other_letters() -> Broken:
    return [flow("moving", ["A"], [stock("a")])], ["'moving'", "'A'", "'a'"]


def stand_ins_are_the_same_in_other_letters() -> Broken:
    return [flow("one", [None], ["urgent"]), flow("two", ["Urgent"], [None])], [
        "'two'",
        "'Urgent'",
        "'urgent'",
    ]


def a_filter_holds_the_time_of_its_import() -> Broken:
    late = Item.objects.filter(moment__lt=datetime(2026, 5, 1, 9, 30, 0, 123456, tzinfo=UTC))
    return [stock("late", queryset=late)], ["'late'", "2026-05-01T09:30:00.123456+00:00"]


BROKEN: list[tuple[str, Callable[[], Broken]]] = [
    ("E001", stocks_share_a_slug),
    ("E002", flows_share_a_slug),
    ("E003", processes_share_a_slug),
    ("E004", trackers_share_a_slug),
    ("E005", a_facet_of_a_stock_does_not_resolve),
    ("E005", a_prefix_of_a_facet_does_not_resolve),
    ("E006", a_facet_of_a_flow_does_not_resolve),
    ("E007", a_facet_of_a_flow_has_many_values),
    ("E007", a_facet_of_a_flow_asks_a_question),
    ("E008", facets_of_a_tracker_disagree),
    ("E009", an_event_model_is_no_flow_event),
    ("E009", an_event_model_is_abstract),
    ("E010", an_event_model_has_no_subject),
    ("E010", a_subject_is_a_foreign_key),
    ("E011", an_event_model_demands_a_field),
    ("E012", a_stock_is_of_another_model),
    ("E013", a_stock_stands_in_two_trackers),
    ("E014", a_tracked_field_is_missing),
    ("E014", a_tracked_field_is_a_filter),
    ("E015", two_flows_cover_one_move),
    ("E016", a_stand_in_has_the_slug_of_a_stock),
    ("E017", a_key_has_two_columns),
    ("E018", a_flow_touches_a_stock_of_no_tracker),
    ("E022", two_facets_share_a_slug),
    ("E023", a_declared_value_can_not_be_held),
    ("E023", choices_are_declared_as_values),
    ("E024", stocks_of_a_tracker_overlap),
    ("E024", a_stock_of_a_tracker_holds_everything),
    ("E025", a_question_has_no_values),
    ("E026", a_stand_in_is_a_slug_in_other_letters),
    ("E026", stand_ins_are_the_same_in_other_letters),
    ("E028", a_process_has_the_address_of_another_page),
    ("W001", a_stock_has_no_flow),
    ("W002", a_stock_is_read_by_the_clock),
    ("W004", a_permission_is_unknown),
    ("W010", bulk_writes_send_no_signals),
    ("W012", a_filter_holds_the_time_of_its_import),
]
ELSEWHERE = {
    "E019",
    "E020",
    "E021",
    "E027",
    "E029",
    "E030",
    "E031",
    "W003",
    "W005",
    "W007",
    "W008",
    "W009",
    "W011",
    "W013",
}
"""Broken by settings or by a database: below, in ``test_conf``, ``capture.test_kept_facets`` and ``test_install``."""


def own(*declarations: Any) -> Registry:
    made = Registry()
    made.register(*declarations)
    return made


def ids(messages: list[CheckMessage]) -> set[str | None]:
    return {message.id for message in messages}


def test_every_check_is_broken_here() -> None:
    source = Path(checks.__file__).read_text()
    assert set(re.findall(r'"([EW]\d{3})"', source)) == {number for number, _ in BROKEN} | ELSEWHERE


@pytest.mark.parametrize(("number", "broken"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_declaration_is_told_with_what_was_given_and_what_to_do(
    number: str, broken: Callable[[], Broken]
) -> None:
    declarations, names = broken()
    messages = check_declarations(registry=own(*declarations))
    assert ids(messages) == {f"stockandflow.{number}"}
    for message in messages:
        assert message.hint
        assert message.is_serious() == number.startswith("E")
    for name in names:
        assert name in messages[0].msg


def test_two_dimensions_of_one_model_are_told_how_to_name_the_flow_that_leaves_each() -> None:
    flows = [made for name in "ab" for made in Flow.for_stocks(ItemFlowEvent, [stock(name)])]
    (message,) = check_declarations(registry=own(*flows))
    assert message.id == "stockandflow.E002"
    assert "Flow.for_stocks(…, leaving='…')" in str(message.hint)


def test_flows_that_share_a_slug_are_told_when_their_event_model_is_wrong_too() -> None:
    twice = [flow("moving", [None], [stock(name)], SubjectlessEvent) for name in "ab"]
    messages = check_declarations(registry=own(*twice))
    assert ids(messages) == {"stockandflow.E002", "stockandflow.E010"}


class ReadsEventsElsewhere:
    """A router that forgot where the events are written."""

    def db_for_read(self, model: type[models.Model], **_: Any) -> str | None:
        return "elsewhere" if model is ItemFlowEvent else None


@override_settings(DATABASE_ROUTERS=[ReadsEventsElsewhere()])
def test_events_that_are_read_elsewhere_than_they_are_written_are_told() -> None:
    (message,) = check_declarations(registry=own(tracker(stock("draft"))))

    assert message.id == "stockandflow.E019"
    assert "'testapp.item'" in message.msg
    assert "'elsewhere'" in message.msg
    assert "'default'" in str(message.hint)


@isolate_apps("tests.testapp")
def test_an_event_model_may_have_fields_that_the_database_fills() -> None:
    class FilledEvent(FlowEvent):
        subject = SubjectForeignKey(Item)
        empty = models.IntegerField(null=True)
        preset = models.IntegerField(db_default=1)
        computed: Any = models.GeneratedField(
            expression=models.F("preset") + 1, output_field=models.IntegerField(), db_persist=False
        )

        class Meta:
            app_label = "testapp"

    assert check_declarations(registry=own(flow("moving", [None], [stock("a")], FilledEvent))) == []


def test_the_declarations_of_the_example_are_right() -> None:
    assert len(project_registry.trackers) >= 3
    assert check_declarations() == []


def test_a_stock_may_hold_the_subjects_under_another_class() -> None:
    one = stock("a", queryset=SpecialItem.objects.all())
    assert check_declarations(registry=own(flow("moving", [None], [one]))) == []


# Databases


pytest_database = pytest.mark.django_db(transaction=True)  # MariaDB commits when triggers come and go


def database_messages(registry: Registry) -> list[CheckMessage]:
    return check_databases(databases=["default"], registry=registry)


@pytest_database
def test_no_database_is_looked_at_unless_asked_about(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert check_databases(registry=project_registry) == []


@pytest_database
def test_a_migrated_database_has_all_triggers() -> None:
    assert database_messages(project_registry) == []


@pytest_database
def test_missing_triggers_are_told_until_they_are_installed() -> None:
    capture.uninstall("default")
    try:
        messages = database_messages(project_registry)
        assert ids(messages) == {"stockandflow.W005"}
        assert {message.obj for message in messages} == {
            tracker for tracker in project_registry.trackers if tracker.derived
        }
        first = messages[0]
        assert "'default'" in first.msg
        assert first.obj.slug in first.msg
        assert "stockandflow sync" in str(first.hint)
        assert not first.is_serious()
    finally:
        capture.install(project_registry, "default")
    assert database_messages(project_registry) == []


@pytest.fixture
def unreachable() -> Iterator[str]:
    """The alias of a database that can't be opened."""
    alias = "unreachable"
    template = {**connection.settings_dict, "OPTIONS": {}, "NAME": "/nowhere/at/all.sqlite3"}
    connections[alias] = SQLiteWrapper(template, alias)
    yield alias
    del connections[alias]


@pytest_database
def test_a_database_that_cannot_be_reached_is_told(unreachable: str) -> None:
    messages = check_databases(databases=[unreachable], registry=project_registry)
    assert ids(messages) == {"stockandflow.W003"}
    assert "'unreachable'" in messages[0].msg
    assert messages[0].hint


@pytest.fixture
def ahead() -> Iterator[ModelTracker]:
    """A tracker whose models have a column more than the database."""
    with isolate_apps("example.membership"):

        class FutureMember(models.Model):
            name = models.CharField(max_length=100)
            vip = models.BooleanField(default=False)

            class Meta:
                app_label = "membership"
                db_table = "membership_member"

            def __str__(self) -> str:
                return self.name

        class FutureEvent(FlowEvent):
            subject = SubjectForeignKey(FutureMember)

            class Meta:
                app_label = "membership"
                db_table = "membership_memberflowevent"

        stocks = [
            Stock("vip", "VIP", FutureMember._default_manager.filter(vip=True)),
            Stock("not-vip", "Others", FutureMember._default_manager.filter(vip=False)),
        ]
        yield ModelTracker(stocks=stocks, flows=Flow.for_stocks(FutureEvent, stocks), slug="ahead")


@pytest_database
def test_triggers_that_wait_for_a_migration_are_told_and_hinder_no_write(ahead: ModelTracker) -> None:
    registry = own(*project_registry.trackers, ahead)
    try:
        capture.install(registry, "default")

        (state,) = [state for state in capture.status(registry, "default") if state.tracker is ahead]
        assert state.waiting == ("membership_member.vip",)
        assert not [name for name in installed(connection) if name.startswith(prefix_of(ahead))]

        (message,) = database_messages(registry)
        assert message.id == "stockandflow.W007"
        for name in ("'ahead'", "membership_member.vip", "'default'"):
            assert name in message.msg
        assert "migrate" in str(message.hint)

        plan = Plan.objects.create(name="Solo", monthly_price=5)
        member = Member.objects.create(name="Ada", email="ada@example.com", plan=plan)
        Member.objects.filter(pk=member.pk).convert()
        events = MemberFlowEvent.objects.filter(subject=member).order_by("pk")
        assert list(events.values_list("tracker", "sink")) == [
            ("membership.member", "trial"),
            ("membership.member", "active"),
        ]
    finally:
        capture.install(project_registry, "default")


@pytest.mark.django_db
def test_a_database_without_time_zones_is_told_where_a_stock_asks_for_local_days(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_day = Facet("day", "Day", "moment__date")
    registry = own(
        stock("plain", facets=[Facet("moment", "Moment", "moment")]),
        stock("split", facets=[by_day]),
        stock("filtered", queryset=Item.objects.filter(moment__hour=9)),
        stock("never", queryset=Item.objects.none()),
        stock("astray", facets=[Facet("nowhere", "Nowhere", "nowhere")]),
    )

    def told() -> list[CheckMessage]:
        messages = check_databases(databases=["default"], registry=registry)
        return [message for message in messages if message.id == "stockandflow.W011"]

    if connection.vendor != "mysql":
        assert told() == []
        return
    monkeypatch.setattr(connection.features, "has_zoneinfo_database", True)
    assert told() == []
    monkeypatch.setattr(connection.features, "has_zoneinfo_database", False)
    split, filtered = told()
    assert "'split'" in split.msg
    assert "the facet 'day'" in split.msg
    assert "its filter" in filtered.msg


def changes_told(registry: Registry) -> list[CheckMessage]:
    return [message for message in database_messages(registry) if message.id == "stockandflow.W013"]


@pytest.mark.django_db
def test_a_definition_that_is_not_that_of_the_records_is_told_until_the_next_recording() -> None:
    def declared(text: str, sources: list[Any]) -> Registry:
        one = stock("draft", queryset=Item.objects.filter(text=text))
        calendar = Calendar("UTC" if text == "a" else "Asia/Tokyo")
        return own(flow("moving", sources, [one]), Process("work", "Work", [one], calendar=calendar))

    assert changes_told(declared("a", [None])) == []
    recording.note_definitions(declared("a", [None]), datetime(2026, 5, 1, tzinfo=UTC))
    assert changes_told(declared("a", [None])) == []

    changed = declared("b", [None, "sketch"])
    calendar, moves, held = changes_told(changed)
    for message, names in (
        (held, ["stock 'draft'", "since 2026-05-01", "text = 'a'", "text = 'b'"]),
        (moves, ["flow 'moving'", "from outside;", "from outside, sketch;"]),
        (calendar, ["calendar of the process 'work'", "UTC 0 1", "Asia/Tokyo 0 1"]),
    ):
        assert all(name in message.msg for name in names)
        assert "breaks there" in str(message.hint)
        assert not message.is_serious()
    assert "--restate" in str(moves.hint)

    recording.note_definitions(changed)
    assert changes_told(changed) == []


@pytest.mark.django_db
def test_a_filter_that_differs_by_the_day_is_told_to_ask_the_database() -> None:
    def declared(day: int) -> Registry:
        return own(stock("late", queryset=Item.objects.filter(moment__lt=datetime(2026, 5, day, tzinfo=UTC))))

    recording.note_definitions(declared(1))
    (message,) = changes_told(declared(2))
    assert "Now()" in str(message.hint)
