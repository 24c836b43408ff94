"""Whatever is written through the ORM, and by however many at once: the events lead to where the rows are."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker

from stockandflow import capture
from stockandflow.declarations import ModelTracker, Stock
from tests.capture.conftest import Declare, declared
from tests.shared import empty
from tests.testapp.models import BigTicket, Desk, LateTicket, Ticket, TicketFlowEvent
from tests.threads import side_by_side

rows = Ticket.objects.all()
low = Stock(slug="low", name="Low", queryset=rows.filter(rank__lt=10))
high = Stock(slug="high", name="High", queryset=rows.filter(rank__gte=10))
begun = rows.exclude(due__gt=Now())
quiet = Stock(slug="quiet", name="Quiet", queryset=begun.filter(desk__name="front", flag=False))
loud = Stock(slug="loud", name="Loud", queryset=begun.filter(desk__name="front", flag=True))


def states(before: Any, now: Any) -> Any:
    def of(values: Any) -> Any:
        if values is None or values[0] is None:
            return None
        return low if values[0] < 10 else high

    return (of(before),), (of(now),)


by_rank = ModelTracker(["rank"], states, [low, high], event_model=TicketFlowEvent, slug="by-rank")
by_desk = ModelTracker(stocks=[quiet, loud], event_model=TicketFlowEvent, slug="by-desk")


def assert_events_lead_to_the_rows() -> None:
    """Each event of a subject begins where its last one ended, and the last one ended where the row is."""
    for tracker in (by_rank, by_desk):
        at: dict[Any, str] = {}
        events = TicketFlowEvent.objects.filter(tracker=tracker.slug).order_by("timestamp", "id")
        for subject, source, sink, origin in events.values_list("subject_id", "source", "sink", "origin"):
            assert source == at.get(subject, "")
            assert origin == "live"
            at[subject] = sink
        for stock in tracker.stocks:
            members = set(stock.queryset.values_list("pk", flat=True))
            assert members == {pk for pk, state in at.items() if state == stock.slug}


# In whatever order one writes.

RANK = st.sampled_from([None, 1, 9, 10, 20])
FLAG = st.sampled_from([None, True, False])
PLACE = st.integers(0, 3)
VALUES = st.fixed_dictionaries({}, optional={"rank": RANK, "flag": FLAG, "note": st.just("x")})
CLASS = st.sampled_from([Ticket, LateTicket, BigTicket])
Step = tuple[Any, ...]
STEP = st.one_of(
    st.tuples(st.just("create"), CLASS, VALUES),
    st.tuples(st.just("read"), PLACE),
    st.tuples(st.just("save"), PLACE, VALUES),
    st.tuples(st.just("save_some"), PLACE, VALUES, st.sets(st.sampled_from(["rank", "flag", "note"]))),
    st.tuples(st.just("save_expression"), PLACE),
    st.tuples(st.just("save_deferred"), PLACE, VALUES),
    st.tuples(st.just("move"), PLACE, st.booleans()),
    st.tuples(st.just("delete"), PLACE),
    st.tuples(st.just("update"), RANK, VALUES),
    st.tuples(
        st.just("raise_all"),
    ),
    st.tuples(st.just("bulk_create"), st.lists(VALUES, max_size=3)),
    st.tuples(st.just("insert_or_ignore"), st.sampled_from("ab"), VALUES),
    st.tuples(st.just("upsert"), st.sampled_from("ab"), VALUES),
    st.tuples(st.just("bulk_update"), VALUES),
    st.tuples(st.just("delete_all"), RANK),
    st.tuples(st.just("raw_delete"), RANK),
    st.tuples(st.just("fail"), PLACE),
)
NESTED = st.recursive(
    STEP,
    lambda steps: st.tuples(st.just("block"), st.booleans(), st.lists(steps, max_size=4)),
    max_leaves=10,
)


class Writer:
    """Writes by steps; ``copies`` are instances that may be stale."""

    def __init__(self) -> None:
        self.desk = Desk.objects.create(name="front")
        self.copies: list[Ticket] = []

    def do(self, step: Step) -> None:
        getattr(self, step[0])(*step[1:])

    @contextmanager
    def copy(self, place: int) -> Iterator[Ticket]:
        if self.copies:
            yield self.copies[place % len(self.copies)]
        else:
            yield Ticket(desk=self.desk)

    def create(self, model: type[Ticket], values: dict[str, Any]) -> None:
        self.copies.append(model.objects.create(desk=self.desk, **values))

    def read(self, place: int) -> None:
        found = Ticket.objects.order_by("pk")[place : place + 1]
        self.copies.extend(found)

    def save(self, place: int, values: dict[str, Any]) -> None:
        with self.copy(place) as ticket:
            for name, value in values.items():
                setattr(ticket, name, value)
            self.save_if_free(ticket)

    def save_if_free(self, ticket: Ticket) -> None:
        """But for a copy of a ticket that is gone by now, whose code another one has since."""
        if ticket.code is None or not Ticket.objects.exclude(pk=ticket.pk).filter(code=ticket.code):
            ticket.save()

    def save_some(self, place: int, values: dict[str, Any], names: set[str]) -> None:
        with self.copy(place) as ticket:
            for name, value in values.items():
                setattr(ticket, name, value)
            if ticket.pk is not None and Ticket.objects.filter(pk=ticket.pk).exists():
                ticket.save(update_fields=names)

    def save_expression(self, place: int) -> None:
        for ticket in Ticket.objects.order_by("pk")[place : place + 1]:
            ticket.rank = F("rank") + 9
            ticket.save()

    def save_deferred(self, place: int, values: dict[str, Any]) -> None:
        for ticket in Ticket.objects.only("note").order_by("pk")[place : place + 1]:
            for name, value in values.items():
                setattr(ticket, name, value)
            ticket.save()

    def move(self, place: int, there: bool) -> None:
        with self.copy(place) as ticket:
            ticket.desk = self.desk if there else None
            self.save_if_free(ticket)

    def delete(self, place: int) -> None:
        with self.copy(place) as ticket:
            if ticket.pk is not None:
                ticket.delete()

    def update(self, rank: int | None, values: dict[str, Any]) -> None:
        if values:
            Ticket.objects.filter(rank=rank).update(**values)

    def raise_all(self) -> None:
        Ticket.objects.filter(desk__name="front").update(rank=F("rank") + 5)

    def bulk_create(self, several: list[dict[str, Any]]) -> None:
        Ticket.objects.bulk_create(Ticket(desk=self.desk, **values) for values in several)

    def insert_or_ignore(self, code: str, values: dict[str, Any]) -> None:
        made = Ticket(code=code, desk=self.desk, **values)
        Ticket.objects.bulk_create([made, Ticket(code="c")], ignore_conflicts=True)

    def upsert(self, code: str, values: dict[str, Any]) -> None:
        target = ["code"] if connection.features.supports_update_conflicts_with_target else None
        Ticket.objects.bulk_create(
            [Ticket(code=code, desk=self.desk, **values)],
            update_conflicts=True,
            update_fields=["rank", "flag", "desk"],
            unique_fields=target,
        )

    def bulk_update(self, values: dict[str, Any]) -> None:
        there = list(Ticket.objects.order_by("-pk")[:3])
        for ticket in there:
            for name, value in values.items():
                setattr(ticket, name, value)
        if values:
            Ticket.objects.bulk_update(there, list(values))

    def delete_all(self, rank: int | None) -> None:
        Ticket.objects.filter(rank=rank).delete()

    def raw_delete(self, rank: int | None) -> None:
        Ticket.objects.filter(rank=rank, bigticket=None)._raw_delete("default")

    def fail(self, place: int) -> None:
        """A key that is taken, or a code."""
        with self.copy(place) as ticket:
            before = Ticket.objects.count()
            try:
                with transaction.atomic():
                    Ticket(pk=ticket.pk or 1, rank=1).save(force_insert=True)
                    transaction.set_rollback(True)
            except Exception:  # noqa: BLE001  (whichever the database raises)
                assert Ticket.objects.count() == before

    def block(self, undo: bool, steps: list[Step]) -> None:
        with transaction.atomic():
            for step in steps:
                self.do(step)
            transaction.set_rollback(undo)


@pytest.fixture(scope="module")
def watched(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), declared(by_rank, by_desk):
        assert capture.method_for(by_desk, connection).kind == "signals"
        yield
        empty()


@given(st.lists(NESTED, max_size=10))
def test_after_any_sequence_of_writes_the_events_lead_to_the_rows(watched: None, steps: list[Step]) -> None:
    empty()
    writer = Writer()
    for step in steps:
        writer.do(step)
        assert_events_lead_to_the_rows()


# However many write at once.


def until_it_is_done(write: Callable[..., None], pk: int, ranks: list[int]) -> None:
    """Write each rank, as a project does: again when the database has ended a deadlock, or was locked for a reader."""
    for rank in ranks:
        for attempt in count():
            try:
                write(pk, rank)
                break
            except OperationalError:
                assert attempt < 100
                time.sleep(random.random() / 20)


def by_saves(pk: int, rank: int) -> None:
    Ticket.objects.filter(pk=pk).get()
    ticket = Ticket(pk=pk, rank=rank, flag=rank > 5, desk=Desk.objects.get())
    ticket.save(force_update=True)


def by_updates(pk: int, rank: int) -> None:
    Ticket.objects.update(rank=rank, flag=rank > 5)


def by_saves_in_transactions(pk: int, rank: int) -> None:
    with transaction.atomic():
        ticket = Ticket.objects.select_for_update(
            of=("self",) if connection.vendor == "postgresql" else ()
        ).get(pk=pk)
        ticket.rank, ticket.flag = rank, not ticket.flag
        ticket.save()


def by_upserts(pk: int, rank: int) -> None:
    target = ["id"] if connection.features.supports_update_conflicts_with_target else None
    Ticket.objects.bulk_create(
        [Ticket(pk=pk, rank=rank, flag=rank > 5, desk=Desk.objects.get())],
        update_conflicts=True,
        update_fields=["rank", "flag", "desk"],
        unique_fields=target,
    )


WAYS = [by_saves, by_updates, by_saves_in_transactions, by_upserts]


@pytest.mark.parametrize("one", WAYS)
@pytest.mark.parametrize("other", WAYS)
def test_who_writes_one_row_at_once_makes_one_path_of_events(
    declare: Declare, one: Callable[..., None], other: Callable[..., None]
) -> None:
    declare(by_rank, by_desk)
    desk = Desk.objects.create(name="front")
    ticket = Ticket.objects.create(rank=1, flag=False, desk=desk)
    Ticket.objects.create(rank=1, flag=False, desk=desk)

    draw = random.Random(1)
    works = [
        partial(until_it_is_done, write, ticket.pk, draw.choices([1, 9, 10, 20], k=8))
        for write in (one, other)
    ]

    side_by_side(*works)

    assert_events_lead_to_the_rows()
