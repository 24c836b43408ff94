"""Two transactions at once, one moving a subject, the other changing what it depends on: nothing is missing after."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, models, transaction

from stockandflow import capture
from stockandflow.declarations import ModelTracker, Stock
from stockandflow.registry import registry
from tests.capture.conftest import Declare
from tests.testapp.models import Item, ItemFlowEvent, Owner, Part

pytestmark = [
    pytest.mark.usefixtures("transactional_db"),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="on SQLite a writer is alone"),
]

rows = Item.objects.all()
Write = Callable[[], object]
WAIT_S = 0.5
"""Long enough for the second to reach what it waits for."""


def at_once(first: Write, second: Write) -> None:
    """Both write before either commits; the first commits when the second waits for it, or is done."""
    first_wrote, go_on = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def run(write: Write, wrote: Callable[[], object]) -> None:
        try:
            with transaction.atomic():
                write()
                wrote()
        except BaseException as error:  # noqa: BLE001  (shown by the test itself)
            failed.append(error)
        finally:
            connections.close_all()

    def holding() -> None:
        first_wrote.set()
        go_on.wait(20)

    def waiting() -> None:
        go_on.wait(20)

    threads = [threading.Thread(target=run, args=(first, holding))]
    threads[0].start()
    assert first_wrote.wait(20), failed
    threads.append(threading.Thread(target=run, args=(second, waiting)))
    threads[1].start()
    threads[1].join(WAIT_S)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert failed == []


def missing(tracker: ModelTracker) -> int:
    """The missing moves that a sweep finds; and each event must begin where the one before has ended."""
    where: dict[Any, str] = {}
    for event in ItemFlowEvent.objects.filter(tracker=tracker.slug).order_by("timestamp", "id"):
        assert where.get(event.subject_id, "") == event.source
        where[event.subject_id] = event.sink
    return sum(swept.found for swept in capture.repair(registry, slugs=[tracker.slug]))


@pytest.fixture
def declared(declare: Declare) -> Callable[..., ModelTracker]:
    def now(*querysets: models.QuerySet[Any]) -> ModelTracker:
        stocks = [Stock(f"at-once-{number}", "It", queryset) for number, queryset in enumerate(querysets)]
        tracker = ModelTracker(stocks=stocks, event_model=ItemFlowEvent, slug="at-once")
        declare(tracker)
        capture.open_trackers(registry, "default")
        return tracker

    return now


Declared = Callable[..., ModelTracker]


@pytest.mark.parametrize("subject_first", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_its_own_column_and_the_related_row(declared: Declared, subject_first: bool, known: bool) -> None:
    stocks = [rows.filter(owner__active=True, text="x")]
    tracker = declared(*stocks, *([rows.all()] if known else []))
    owner = Owner.objects.create(active=False)
    item = Item.objects.create(owner=owner, text="y")
    writes: list[Write] = [
        lambda: Item.objects.filter(pk=item.pk).update(text="x"),
        lambda: Owner.objects.filter(pk=owner.pk).update(active=True),
    ]
    at_once(*(writes if subject_first else reversed(writes)))

    assert missing(tracker) == 0
    assert ItemFlowEvent.objects.latest("id").sink == "at-once-0"


def test_two_related_rows_come_at_once(declared: Declared) -> None:
    tracker = declared(rows.filter(parts__kind="x"), rows.all())
    item = Item.objects.create()

    def add() -> None:
        Part.objects.create(item=item, kind="x")

    at_once(add, add)

    assert missing(tracker) == 0
    assert ItemFlowEvent.objects.count() == 2


def test_two_related_rows_go_at_once(declared: Declared) -> None:
    tracker = declared(rows.filter(parts__kind="x"), rows.all())
    item = Item.objects.create()
    one, two = Part.objects.bulk_create([Part(item=item, kind="x"), Part(item=item, kind="x")])
    at_once(Part.objects.filter(pk=one.pk).delete, Part.objects.filter(pk=two.pk).delete)

    assert missing(tracker) == 0
    assert ItemFlowEvent.objects.latest("id").sink == "at-once-1"


@pytest.mark.parametrize("deleted_first", [True, False])
def test_a_deletion_and_the_related_row(declared: Declared, deleted_first: bool) -> None:
    tracker = declared(rows.filter(owner__active=True), rows.filter(owner__active=False))
    owner = Owner.objects.create()
    item = Item.objects.create(owner=owner)
    writes: list[Write] = [
        lambda: Item.objects.filter(pk=item.pk).delete(),
        lambda: Owner.objects.filter(pk=owner.pk).update(active=False),
    ]
    at_once(*(writes if deleted_first else reversed(writes)))

    assert missing(tracker) == 0
    assert ItemFlowEvent.objects.latest("id").sink == ""


@pytest.mark.parametrize("subject_first", [True, False])
def test_a_subject_pointed_to_a_row_that_changes_is_at_worst_the_sweeps_to_find(
    declared: Declared, subject_first: bool
) -> None:
    """PostgreSQL's foreign keys let the row change that a subject is about to point to; MariaDB's don't."""
    tracker = declared(rows.filter(owner__active=True), rows.filter(owner__active=False))
    here, there = Owner.objects.create(), Owner.objects.create()
    item = Item.objects.create(owner=here)
    writes: list[Write] = [
        lambda: Item.objects.filter(pk=item.pk).update(owner=there),
        lambda: Owner.objects.filter(pk=there.pk).update(active=False),
    ]
    at_once(*(writes if subject_first else reversed(writes)))

    assert missing(tracker) == (1 if connection.vendor == "postgresql" else 0)
    assert missing(tracker) == 0
    assert ItemFlowEvent.objects.latest("id").sink == "at-once-1"
