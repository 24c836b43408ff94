"""TrackedQuerySet: what bulk writes move where the database can't look for itself.

A tracker by function has two dimensions here, a ticket's rank and its flag.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F, Subquery
from django.db.models.functions import Coalesce
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext

from stockandflow import capture
from stockandflow.capture import values
from stockandflow.capture.methods import unhooked
from stockandflow.capture.querysets import TrackedQuerySet
from stockandflow.declarations import Facet, Flow, ModelTracker, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Delivery
from stockandflow.registry import Registry
from tests.capture.conftest import Declare
from tests.testapp.models import BigTicket, Desk, Item, ItemFlowEvent, LateTicket, Ticket, TicketFlowEvent

pytestmark = pytest.mark.usefixtures("transactional_db")

rows = Ticket.objects.all()
desk_name = Facet(slug="desk", name="Desk", field_lookup="desk__name")
low = Stock(slug="low", name="Low", queryset=rows.filter(rank__lt=10))
high = Stock(slug="high", name="High", queryset=rows.filter(rank__gte=10))
flagged = Stock(slug="flagged", name="Flagged", queryset=rows.filter(flag=True))
rising = Flow(
    slug="rising",
    name="Rising",
    flow_event_model=TicketFlowEvent,
    sources=[low],
    sinks=[high],
    facets=[desk_name],
    event_callables=[print],
)
arriving = Flow(
    slug="arriving", name="Arriving", flow_event_model=TicketFlowEvent, sources=[None], sinks=[low, high]
)
Values = tuple[int | None, bool | None]


def states(before: Values | None, now: Values) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Where a ticket is, by rank and by flag."""

    def of(values: Values | None) -> tuple[Any, ...]:
        rank, flag = values or (None, None)
        return (None if rank is None else low if rank < 10 else high), (flagged if flag else None)

    return of(before), of(now)


def by_function(function: Callable[..., Any] = states) -> ModelTracker:
    return ModelTracker(["rank", "flag"], function, [low, high, flagged], [rising, arriving], slug="tickets")


@pytest.fixture
def tickets(declare: Declare) -> list[Ticket]:
    """Three tickets outside every stock, watched."""
    declare(by_function())
    return [Ticket.objects.create(code=code) for code in "abc"]


def moves(**filters: Any) -> list[tuple[str, str]]:
    found = TicketFlowEvent.objects.filter(**filters).order_by("pk")
    return list(found.values_list("source", "sink"))


def assert_events_agree_with_the_table() -> None:
    """Replayed, each ticket's events lead from one state to the next in each dimension, and to where its row is."""
    for dimension in ({"low", "high"}, {"flagged"}):
        at: dict[int, str] = {}
        for event in TicketFlowEvent.objects.order_by("timestamp", "id"):
            if {event.source, event.sink} & dimension:
                subject: Any = event.subject_id
                assert event.source == at.get(subject, "")
                at[subject] = event.sink
        for stock in (low, high, flagged):
            if stock.slug in dimension:
                members = set(stock.queryset.values_list("pk", flat=True))
                assert members == {pk for pk, state in at.items() if state == stock.slug}


# Writes, and the moves that they make.

PATHS: dict[str, tuple[Callable[[list[Ticket]], object], list[tuple[str, str]]]] = {}
Write = Callable[[list[Ticket]], object]


def makes(*expected: tuple[str, str]) -> Callable[[Write], Write]:
    def note(write: Write) -> Write:
        PATHS[write.__name__] = write, list(expected)
        return write

    return note


@makes(*[("", "low")] * 3)
def update_all(tickets: list[Ticket]) -> None:
    assert Ticket.objects.update(rank=1) == 3


@makes(("", "low"))
def update_one(tickets: list[Ticket]) -> None:
    assert Ticket.objects.filter(code="a").update(rank=1) == 1


@makes(*[("", "low")] * 3, ("low", "high"), ("low", "high"))
def update_by_an_expression(tickets: list[Ticket]) -> None:
    for rank, ticket in enumerate(tickets):
        Ticket.objects.filter(pk=ticket.pk).update(rank=rank)
    Ticket.objects.update(rank=F("rank") + 9)


@makes(*[("", "low")] * 3, *[("low", "high")] * 3, *[("high", "low")] * 3)
def update_the_columns_of_its_own_filter(tickets: list[Ticket]) -> None:
    Ticket.objects.filter(rank=None).update(rank=1)
    assert Ticket.objects.filter(rank__lt=10).update(rank=10) == 3
    assert Ticket.objects.filter(rank__gte=10).update(rank=F("rank") - 5) == 3


@makes()
def update_another_field(tickets: list[Ticket]) -> None:
    Ticket.objects.update(note="x")


@makes()
def update_nothing(tickets: list[Ticket]) -> None:
    assert Ticket.objects.none().update(rank=1) == 0
    assert Ticket.objects.filter(code="z").update(rank=1) == 0


@makes(("", "low"), ("", "flagged"))
def update_two_dimensions(tickets: list[Ticket]) -> None:
    Ticket.objects.filter(code="a").update(rank=1, flag=True)


@makes(("", "high"))
def update_over_a_join(tickets: list[Ticket]) -> None:
    desk = Desk.objects.create(name="back")
    Ticket.objects.filter(code="b").update(desk=desk)
    assert Ticket.objects.filter(desk__name="back").update(rank=20) == 1


@makes(("", "low"), ("", "high"))
def update_by_other_rows(tickets: list[Ticket]) -> None:
    """The greatest rank plus one, as the table was before: all at once."""
    Ticket.objects.filter(code="a").update(rank=9)
    others = Ticket.objects.filter(code="a").values("rank")[:1]
    with_rank = Ticket.objects.filter(code="b", pk__in=Ticket.objects.values("pk"))
    if connection.vendor == "mysql":  # it doesn't read in a subquery the table that it writes
        with_rank.update(rank=10)
    else:
        with_rank.update(rank=Coalesce(Subquery(others), 0) + 1)


@makes(("", "high"), ("high", ""))
def update_in_reverse_order_and_to_null(tickets: list[Ticket]) -> None:
    Ticket.objects.filter(code="c").order_by("-code").reverse().update(rank=11)
    Ticket.objects.order_by("-code").reverse().distinct().update(rank=None)


@makes(("", "low"))
def update_through_the_related_manager(tickets: list[Ticket]) -> None:
    desk = Desk.objects.create()
    desk.tickets.add(tickets[0])
    desk.tickets.update(rank=3)


@makes(*[("", "low")] * 3)
def update_asynchronously(tickets: list[Ticket]) -> None:
    async def write() -> None:
        await Ticket.objects.aupdate(rank=2)

    async_to_sync(write)()


@makes(("", "low"))
def update_through_a_proxy(tickets: list[Ticket]) -> None:
    LateTicket.objects.filter(code="b").update(rank=2)


@makes(("", "low"), ("low", "high"), ("high", "low"))
def update_through_a_child_and_its_parent(tickets: list[Ticket]) -> None:
    child = BigTicket.objects.create(rank=1)
    BigTicket.objects.update(rank=10, weight=3)
    BigTicket.objects.update(weight=4)
    Ticket.objects.filter(pk=child.pk).update(rank=4)


@makes(("", "low"), ("", "high"))
def bulk_update(tickets: list[Ticket]) -> None:
    tickets[0].rank, tickets[1].rank = 1, 10
    assert Ticket.objects.bulk_update(tickets, ["rank"]) == 3


@makes(("", "low"), ("", "high"), ("", "low"))
def bulk_update_in_batches_and_asynchronously(tickets: list[Ticket]) -> None:
    for ticket, rank in zip(tickets, (1, 10, 2), strict=True):
        ticket.rank = rank

    async def write() -> None:
        await Ticket.objects.abulk_update(tickets, ["rank", "note"], batch_size=2)

    async_to_sync(write)()


@makes(("", "low"), ("", "high"))
def bulk_create(tickets: list[Ticket]) -> None:
    made = Ticket.objects.bulk_create([Ticket(rank=1), Ticket(), Ticket(rank=20)])
    assert all(ticket.pk for ticket in made)


@makes(("", "low"), ("", "high"))
def bulk_create_with_keys_from_a_generator(tickets: list[Ticket]) -> None:
    Ticket.objects.bulk_create(Ticket(pk=pk, rank=pk - 1000) for pk in (1001, 1010))


@makes(("", "low"), ("", "low"))
def bulk_create_asynchronously_through_a_proxy(tickets: list[Ticket]) -> None:
    async def write() -> None:
        await LateTicket.objects.abulk_create([LateTicket(rank=1), LateTicket(rank=2)], batch_size=1)

    async_to_sync(write)()


@makes(("", "low"), ("", "high"))
def bulk_create_where_conflicts_are_ignored(tickets: list[Ticket]) -> None:
    new = [
        Ticket(code="a", rank=1),
        Ticket(code="n", rank=2),
        Ticket(code="n", rank=30),
        Ticket(pk=tickets[1].pk),
    ]
    Ticket.objects.bulk_create([*new, Ticket(pk=4000, rank=40)], ignore_conflicts=True)


@makes(("", "low"))
def bulk_create_one_where_conflicts_are_ignored(tickets: list[Ticket]) -> None:
    for _ in range(2):
        Ticket.objects.bulk_create([Ticket(code="n", rank=2)], ignore_conflicts=True)


def upsert(*made: Ticket, by: str = "code", fields: tuple[str, ...] = ("rank",)) -> None:
    by_target = connection.features.supports_update_conflicts_with_target
    Ticket.objects.bulk_create(
        made, update_conflicts=True, update_fields=fields, unique_fields=[by] if by_target else None
    )


@makes(("", "low"), ("", "high"), ("low", "high"))
def bulk_create_where_conflicts_update(tickets: list[Ticket]) -> None:
    upsert(Ticket(code="a", rank=1), Ticket(code="n", rank=30))
    upsert(Ticket(code="a", rank=20), Ticket(code="b", rank=None), Ticket(code="n", rank=31))


@makes(("", "low"), ("low", "high"))
def bulk_create_where_conflicts_of_the_key_update(tickets: list[Ticket]) -> None:
    for rank in (1, 10):
        upsert(Ticket(pk=tickets[0].pk, rank=rank), by="pk")


@makes()
def bulk_create_where_conflicts_update_another_field(tickets: list[Ticket]) -> None:
    upsert(Ticket(code="a", rank=1, note="x"), fields=("note",))


@makes(("", "low"), ("low", ""))
def raw_delete(tickets: list[Ticket]) -> None:
    Ticket.objects.filter(code="a").update(rank=1)
    Ticket.objects.all()._raw_delete(using="default")


@makes(("", "low"), ("low", ""))
def delete_by_queryset(tickets: list[Ticket]) -> None:
    Ticket.objects.filter(code="a").update(rank=1)
    Ticket.objects.all().delete()


@makes(("", "low"), ("low", "high"), ("high", ""))
def bulk_writes_between_saves(tickets: list[Ticket]) -> None:
    ticket = tickets[0]
    ticket.rank = 1
    ticket.save()
    Ticket.objects.update(rank=F("rank") + 9)
    ticket.rank = None
    ticket.save()


@makes(("", "low"))
def roll_back_and_try_again(tickets: list[Ticket]) -> None:
    for undo in (True, False):
        with transaction.atomic():
            Ticket.objects.filter(code="a").update(rank=1)
            transaction.set_rollback(undo)


@makes(("", "low"), ("low", "high"))
def roll_back_to_a_savepoint(tickets: list[Ticket]) -> None:
    with transaction.atomic():
        Ticket.objects.filter(code="a").update(rank=1)
        with transaction.atomic():
            Ticket.objects.update(rank=None)
            Ticket.objects.bulk_create([Ticket(rank=1)])
            transaction.set_rollback(True)
        Ticket.objects.filter(code="a").update(rank=20)


@makes(("", "low"))
def fail_and_go_on(tickets: list[Ticket]) -> None:
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            Ticket.objects.filter(code__in="bc").update(rank=1, code="a")
        with pytest.raises(IntegrityError):
            Ticket.objects.bulk_create([Ticket(rank=1), Ticket(code="a", rank=1)])
        Ticket.objects.filter(code="a").update(rank=1)


@makes()
def set_null_on_delete_and_move_to_another_desk(tickets: list[Ticket]) -> None:
    """None of the tracked fields is written."""
    desk, other = Desk.objects.create(), Desk.objects.create()
    desk.tickets.set(tickets)
    other.tickets.set(tickets)
    desk.delete()
    other.delete()


@pytest.mark.parametrize("name", PATHS)
def test_a_bulk_write_makes_exactly_the_events_of_its_moves(name: str, tickets: list[Ticket]) -> None:
    write, expected = PATHS[name]
    write(tickets)

    assert sorted(moves()) == sorted(expected)
    assert_events_agree_with_the_table()


@pytest.mark.parametrize("chunk", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "name",
    [
        "update_all",
        "update_by_an_expression",
        "update_the_columns_of_its_own_filter",
        "bulk_create",
        "bulk_create_where_conflicts_are_ignored",
        "bulk_create_where_conflicts_update",
        "update_by_other_rows",
        "raw_delete",
    ],
)
def test_it_makes_no_difference_in_how_many_parts_a_write_is_done(
    name: str, chunk: int, tickets: list[Ticket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "CHUNK", chunk)
    write, expected = PATHS[name]
    write(tickets)

    assert sorted(moves()) == sorted(expected)
    assert_events_agree_with_the_table()


# What Django writes in bulk by itself.


def test_what_django_writes_through_the_base_manager_is_captured(declare: Declare) -> None:
    lying = Stock(slug="lying", name="Lying", queryset=rows.filter(desk__isnull=False))

    def on_a_desk(before: Any, now: Any) -> Any:
        return ((lying if before and before[0] else None,), (lying if now[0] else None,))

    declare(ModelTracker(["desk"], on_a_desk, [lying], event_model=TicketFlowEvent))
    ticket = Ticket.objects.create()
    desk, other = Desk.objects.create(), Desk.objects.create()
    desk.tickets.add(ticket)
    assert moves() == [("", "lying")]
    other.tickets.set([ticket])
    desk.delete()
    assert moves() == [("", "lying")]
    other.delete()
    assert moves() == [("", "lying"), ("lying", "")]
    third = Desk.objects.create()
    third.tickets.add(ticket)
    third.tickets.clear()
    assert moves()[2:] == [("", "lying"), ("lying", "")]


# Receivers, and writes within writes.


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("rank", [None, 2, 30])
def test_a_receiver_may_write_the_object_in_bulk_while_it_is_saved(
    declare: Declare, first: bool, rank: int | None
) -> None:
    def write(instance: Ticket, **_: Any) -> None:
        Ticket.objects.filter(pk=instance.pk).update(rank=rank)

    if first:
        post_save.connect(write, sender=Ticket)
    declare(by_function())
    if not first:
        post_save.connect(write, sender=Ticket)
    try:
        ticket = Ticket.objects.create(rank=20)
        ticket.rank = 1
        ticket.save()
    finally:
        post_save.disconnect(write, sender=Ticket)

    assert_events_agree_with_the_table()


# What it costs, and what it refuses.


def written(queries: CaptureQueriesContext) -> int:
    """How many queries, without those that open and close transactions."""
    marks = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    return sum(not query["sql"].startswith(marks) for query in queries)


def test_a_write_that_moves_nothing_costs_no_query_more(tickets: list[Ticket]) -> None:
    with CaptureQueriesContext(connection) as queries:
        Ticket.objects.update(note="x")
    assert len(queries) == 1
    with CaptureQueriesContext(connection) as queries:
        Ticket.objects.update(desk=None, code=None)
    assert len(queries) == 1


def test_a_model_that_no_tracker_watches_by_signals_is_left_alone(transactional_db: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        Ticket.objects.bulk_create([Ticket(rank=1)])
        Ticket.objects.update(rank=2)
        Ticket.objects.all()._raw_delete("default")
    assert written(queries) == 3


@pytest.mark.parametrize("number", [10, 400])
def test_the_queries_of_a_chunk_are_as_many_however_many_objects(tickets: list[Ticket], number: int) -> None:
    Ticket.objects.bulk_create(Ticket(rank=1) for _ in range(number))
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        Ticket.objects.update(rank=10)
    # Keys and values, locked; the update; values, facets, the clock; events, deliveries, and the last of them.
    first = {"sqlite": 2, "postgresql": 1}.get(connection.vendor, 0)
    inserts = sum("INSERT" in query["sql"] for query in queries)
    assert written(queries) - inserts == 6 + first
    assert inserts <= 3 + number // 50
    assert TicketFlowEvent.objects.filter(flow="rising").count() == number
    assert Delivery.objects.count() == number


def test_the_function_is_asked_once_for_equal_values(declare: Declare) -> None:
    asked: list[Any] = []

    def count(before: Any, now: Any) -> Any:
        asked.append((before, now))
        return states(before, now)

    declare(by_function(count))
    Ticket.objects.bulk_create(Ticket(rank=index % 2) for index in range(1200))
    assert sorted(asked) == [(None, (0, None)), (None, (1, None))]
    asked.clear()
    Ticket.objects.update(rank=F("rank") + 9)
    assert sorted(asked) == [((0, None), (9, None)), ((1, None), (10, None))]


def test_values_that_cannot_be_hashed_are_compared_all_the_same(declare: Declare) -> None:
    def kind(before: Any, now: Any) -> Any:
        def of(values: Any) -> Any:
            return low if values and (values[0] or {}).get("low") else None

        return (of(before),), (of(now),)

    declare(ModelTracker(["data"], kind, [low], [arriving], slug="tickets"))
    Ticket.objects.bulk_create([Ticket(data={"low": 1}), Ticket(data={}), Ticket()])
    Ticket.objects.filter(data__low=1).update(data={})

    assert moves() == [("", "low"), ("low", "")]


@pytest.mark.parametrize("name", ["pk", "id"])
def test_update_of_the_key_is_refused(tickets: list[Ticket], name: str) -> None:
    with pytest.raises(
        InvalidInput, match=rf"update\({name}=…\) would give testapp\.Ticket objects other keys"
    ):
        Ticket.objects.filter(code="a").update(**{name: 5000})

    assert not Ticket.objects.filter(pk=5000).exists()


def test_what_django_refuses_is_refused_in_its_words(tickets: list[Ticket]) -> None:
    with pytest.raises(TypeError, match="slice"):
        Ticket.objects.all()[:1].update(rank=1)
    wrong: dict[str, Any] = {"rank": 1, "nonsense": 1}
    with pytest.raises(FieldDoesNotExist, match="nonsense"):
        Ticket.objects.filter(code="z").update(**wrong)
    with pytest.raises(ValueError, match="positive"):
        Ticket.objects.bulk_create([Ticket()], batch_size=0)

    assert Ticket.objects.bulk_create([]) == []
    assert moves() == []


def test_what_is_written_while_suspended_leaves_no_event(tickets: list[Ticket]) -> None:
    with capture.suspended(Registry(), "default"):
        Ticket.objects.bulk_create([Ticket(rank=1)])
        Ticket.objects.update(rank=2)
        for write in (tickets[0].save, tickets[0].delete):
            write()
    assert moves() == []
    Ticket.objects.update(rank=20)

    assert set(moves()) == {("low", "high")}


# Object and event are one.


@pytest.mark.parametrize("inside", [True, False])
def test_when_the_function_fails_nothing_is_written(declare: Declare, inside: bool) -> None:
    declare(by_function(lambda before, now: None))
    with transaction.atomic() if inside else transaction.atomic(savepoint=False):
        for ignored in (True, False):
            with pytest.raises(InvalidInput, match=r"returned None"):
                Ticket.objects.bulk_create([Ticket(rank=1)], ignore_conflicts=ignored)
        assert not Ticket.objects.exists()

    assert not TicketFlowEvent.objects.exists()


def test_an_event_keeps_the_facets_that_the_subject_had(tickets: list[Ticket]) -> None:
    desk = Desk.objects.create(name="back")
    Ticket.objects.filter(code="a").update(rank=1)
    Ticket.objects.filter(code="a").update(desk=desk, rank=10)
    Ticket.objects.all()._raw_delete("default")

    found = list(TicketFlowEvent.objects.order_by("pk").values_list("sink", "facets"))
    assert found == [("low", {"desk": None}), ("high", {"desk": "back"}), ("", {"desk": "back"})]


def test_a_flow_with_callables_gets_its_deliveries_and_a_rollback_takes_them_back(
    tickets: list[Ticket],
) -> None:
    Ticket.objects.update(rank=1)
    with transaction.atomic():
        Ticket.objects.update(rank=10)
        assert Delivery.objects.count() == 3
        transaction.set_rollback(True)
    assert not Delivery.objects.exists()
    with transaction.atomic():
        Ticket.objects.update(rank=10)

    events = TicketFlowEvent.objects.filter(flow="rising")
    assert set(Delivery.objects.values_list("event_id", flat=True)) == set(
        events.values_list("pk", flat=True)
    )


# The managers of a project.


def test_the_managers_that_see_no_bulk_writes_are_named() -> None:
    items = Stock(slug="items", name="Items", queryset=Item.objects.all())

    def stay(before: Any, now: Any) -> Any:
        return (), ()

    by_text = ModelTracker(["text"], stay, [items], event_model=ItemFlowEvent)

    assert unhooked(by_function()) == []
    assert "testapp.Item.objects" in unhooked(by_text)
    assert "testapp.Item._base_manager" in unhooked(by_text)


def test_a_queryset_of_the_projects_own_builds_on_it() -> None:
    class Painted(TrackedQuerySet[Ticket]):
        def paint(self) -> int:
            return self.update(note="red")

    assert Painted(Ticket).filter(code="a").paint() == 0
    manager: Any = models.Manager.from_queryset(Painted)()
    manager.model = Ticket
    assert manager.paint() == 0
