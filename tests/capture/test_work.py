"""The work of a bulk write grows with its rows, never with their square: counted by the database, not timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from stockandflow.declarations import Flow, ModelTracker, Stock
from tests.capture.conftest import Declare
from tests.testapp.models import Item, ItemFlowEvent

pytestmark = pytest.mark.usefixtures("transactional_db")

FEW, MANY = 250, 1_000
GENEROUS = 1.5
"""How much more than four times the work four times the rows may make: trees grow deeper, pages fill."""


def bulk_create(rows: int) -> None:
    Item.objects.bulk_create(Item(text="a", number=number) for number in range(rows))


def update(_: int) -> None:
    Item.objects.update(text="b")


def update_of_what_decides_nothing(_: int) -> None:
    Item.objects.update(ratio=2.0)


def bulk_update(_: int) -> None:
    items = list(Item.objects.all())
    for item in items:
        item.text = "a"
    Item.objects.bulk_update(items, ["text"], batch_size=125)


def delete(_: int) -> None:
    Item.objects.all().delete()


WRITES: list[Callable[[int], None]] = [
    bulk_create,
    update,
    update_of_what_decides_nothing,
    bulk_update,
    delete,
]


def work_of(write: Callable[[], None]) -> int:
    """Steps of SQLite's machine, rows that PostgreSQL reads and writes, requests to MariaDB's storage."""
    if connection.vendor == "sqlite":
        return _steps(write)
    before = _counted()
    write()
    return _counted() - before


def _steps(write: Callable[[], None]) -> int:
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    raw: Any = connection.connection
    raw.set_progress_handler(count, 100)
    try:
        write()
    finally:
        raw.set_progress_handler(None, 0)
    return counted


def _counted() -> int:
    sql = {
        "postgresql": (
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0) + n_tup_ins + n_tup_upd + n_tup_del) "
            "FROM pg_stat_xact_all_tables WHERE schemaname = 'public'"
        ),
        "mysql": (
            "SELECT sum(variable_value) FROM information_schema.session_status "
            "WHERE variable_name LIKE 'HANDLER%%' AND variable_name NOT LIKE 'HANDLER_TMP%%'"
        ),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(sql, [])
        return int(cursor.fetchone()[0] or 0)


def work_by_rows() -> dict[str, list[int]]:
    """The name of each write → its work for few rows and for many."""
    bulk_create(100)  # so that the first to be counted doesn't also warm up
    delete(0)
    work: dict[str, list[int]] = {}
    for rows in (FEW, MANY):
        with transaction.atomic():  # PostgreSQL counts within one
            for write in WRITES:
                work.setdefault(write.__name__, []).append(work_of(lambda: write(rows)))  # noqa: B023
    return work


def test_four_times_the_rows_are_four_times_the_work_that_capture_adds(declare: Declare) -> None:
    plain = work_by_rows()
    stocks = [Stock(slug=f"work-{text}", name=text, queryset=Item.objects.filter(text=text)) for text in "ab"]
    declare(ModelTracker(stocks=stocks, flows=Flow.for_stocks(ItemFlowEvent, stocks)))
    captured = work_by_rows()

    assert ItemFlowEvent.objects.count() == 2 * 100 + 4 * (FEW + MANY)
    for name, (few, many) in captured.items():
        added = few - plain[name][0], many - plain[name][1]
        assert added[1] <= max(added[0], FEW / 10) * MANY / FEW * GENEROUS, (name, added)


@pytest.mark.parametrize("stocks", [4, 60])
def test_a_move_on_sqlite_fills_no_table_to_find_its_flow(stocks: int, declare: Declare) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite fills a table for IN")
    places = [Stock(f"at-{n}", f"At {n}", Item.objects.filter(number=n)) for n in range(stocks)]
    going = Flow("going", "Going", ItemFlowEvent, sources=places[:-1], sinks=places[-1:])
    declare(ModelTracker(stocks=places, flows=[going]))
    item = Item.objects.create(number=0)

    quote, field = connection.ops.quote_name, Item._meta.get_field("number")
    update = f"UPDATE {quote(Item._meta.db_table)} SET {quote(str(field.column))} = 1 WHERE id = {item.pk}"
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {update}")
        steps = [step[1] for step in cursor.fetchall()]
    Item.objects.update(number=stocks - 1)

    assert "Program" in steps
    assert ("OpenEphemeral" in steps) == (stocks > 50), "in many values a table is the quicker way"
    event = ItemFlowEvent.objects.latest("pk")
    assert (event.subject_id, event.flow, event.timestamp) == (item.pk, "going", event.recorded_at)
