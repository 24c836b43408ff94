"""What capture by triggers adds to Django's own reads and writes.

One model stands in the database three times: plain, with a tracker of five stocks, and with a tracker whose flows all
have an event callable. Each way starts every round with the same rows and the same events.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

from django.db import connection, transaction
from django.db.models import Count

from benchmarks.measuring import Bound, Line, NumbersDiffer, Way, compared
from benchmarks.models import (
    COUNTRIES,
    PLANS,
    STATUSES,
    ActedOnFlowEvent,
    ActedOnSubscription,
    PlainSubscription,
    Plan,
    Subscription,
    TrackedFlowEvent,
    TrackedSubscription,
)
from stockandflow.models import Delivery, FlowEvent
from stockandflow.registry import registry


@dataclass(frozen=True)
class Sizes:
    """How much is done: rows in a table, saves in a round, and rounds of what is short and of what is long."""

    rows: int
    saves: int
    many: int
    few: int


FULL = Sizes(rows=50_000, saves=100, many=31, few=9)
QUICK = Sizes(rows=500, saves=20, many=2, few=2)


@dataclass(frozen=True)
class Side:
    """One of the three: its model, and where its moves are written."""

    name: str
    model: type[Subscription]
    events: type[FlowEvent] | None = None
    delivers: bool = False

    @property
    def objects(self) -> Any:
        return self.model._default_manager

    def made(self, rows: int) -> list[Subscription]:
        """New objects, not saved: the same ones for every side and round."""
        chance = random.Random(1)
        plans = list(Plan._default_manager.order_by("pk").values_list("pk", flat=True))
        return [
            self.model(
                plan_id=chance.choice(plans),
                customer=f"Customer number {number}",
                email=f"customer-{number}@example.com",
                country=chance.choice((*COUNTRIES, None)),
                status=chance.choice(STATUSES),
                seats=chance.randrange(1, 50),
                price=chance.randrange(500, 50_000) / 100,
                note=f"was imported as number {number}",
            )
            for number in range(rows)
        ]

    def emptied(self) -> None:
        """Without rows, events and deliveries."""
        models: list[Any] = [
            self.model,
            *([self.events] if self.events else []),
            *([Delivery] if self.delivers else []),
        ]
        with connection.cursor() as cursor:
            for model in models:
                table = connection.ops.quote_name(model._meta.db_table)
                if connection.vendor == "postgresql":
                    cursor.execute(f"TRUNCATE {table}")
                else:
                    cursor.execute(f"DELETE FROM {table}")

    def filled(self, rows: int) -> None:
        """With the rows that every side has, and the events of their making."""
        self.emptied()
        self.objects.bulk_create(self.made(rows))
        self.settled()

    def settled(self) -> None:
        """Without what earlier rounds left behind in the database's files, and without deliveries to make."""
        if self.delivers:
            Delivery._default_manager.update(status=Delivery.Status.DONE)
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            elif connection.vendor == "postgresql":
                for model in (self.model, Delivery) if self.delivers else (self.model,):
                    cursor.execute(f"VACUUM ANALYZE {connection.ops.quote_name(model._meta.db_table)}")

    def by_status(self) -> dict[str, int]:
        return dict(self.objects.order_by("status").values_list("status").annotate(count=Count("pk")))


PLAIN = Side("plain Django", PlainSubscription)
TRACKED = Side("tracked", TrackedSubscription, TrackedFlowEvent)
ACTED_ON = Side("with callables", ActedOnSubscription, ActedOnFlowEvent, delivers=True)
SIDES = (PLAIN, TRACKED, ACTED_ON)


def run(database: str, *, quick: bool = False) -> list[Line]:
    """All measurements of capture on the connection's database. Raises NumbersDiffer."""
    sizes = QUICK if quick else FULL
    Plan._default_manager.bulk_create([Plan(name=name) for name in PLANS])
    if connection.vendor == "postgresql":
        without_autovacuum()
    lines: list[Line] = []
    for measure in (load, save, bulk_create, update, delete):
        lines += measure(partial(compared, "capture", database, judged=not quick), sizes)
    return lines


def without_autovacuum() -> None:
    """Each round tidies up for itself; the database's own tidying would meet one way and not another."""
    models = [PlainSubscription, TrackedSubscription, TrackedFlowEvent, ActedOnSubscription, ActedOnFlowEvent]
    with connection.cursor() as cursor:
        for model in (*models, Delivery):
            cursor.execute(f'ALTER TABLE "{model._meta.db_table}" SET (autovacuum_enabled = off)')


Compare = Callable[..., list[Line]]


def ways(
    sides: Iterable[Side], work: Callable[[Side], object], prepare: Callable[[Side], object]
) -> list[Way]:
    return [Way(side.name, partial(work, side), partial(prepare, side)) for side in sides]


def load(compare: Compare, sizes: Sizes) -> list[Line]:
    for side in SIDES:
        side.filled(sizes.rows)
    found = compare(
        f"load {sizes.rows:,}",
        ways((PLAIN, TRACKED), lambda side: list(side.objects.all()), Side.settled),
        sizes.many,
        [Bound(1.02)],
    )
    equal_numbers([sizes.rows] * 2)
    return found


def save(compare: Compare, sizes: Sizes) -> list[Line]:
    found: list[Line] = []
    kept: dict[str, list[Any]] = {
        side.name: list(side.objects.order_by("pk")[: sizes.saves]) for side in SIDES
    }

    def next_status(side: Side) -> None:
        for subscription in kept[side.name]:
            position = STATUSES.index(subscription.status)
            subscription.status = STATUSES[(position + 1) % len(STATUSES)]

    def next_seats(side: Side) -> None:
        for subscription in kept[side.name]:
            subscription.seats += 1

    def save_each(side: Side) -> None:
        for subscription in kept[side.name]:
            subscription.save()

    def save_all(side: Side) -> None:
        save_each(side)
        written_back()

    def save_together(side: Side) -> None:
        with transaction.atomic():
            save_each(side)
        written_back()

    for name, work, change, bounds in (
        ("move", save_all, next_status, [Bound(1.25)]),
        ("don't move", save_all, next_seats, [Bound(1.10)]),
        ("move, in one transaction", save_together, next_status, []),
        ("don't move, in one transaction", save_together, next_seats, []),
    ):
        before = counted_events()
        ACTED_ON.settled()
        found += compare(f"{sizes.saves} × save(): {name}", ways(SIDES, work, change), sizes.many, bounds)
        moved = sizes.saves * (sizes.many + 1) if change is next_status else 0
        equal_numbers([number + moved for number in before])
    return found


def written_back() -> None:
    """Copy SQLite's log into the database's file: each way pays for the pages that it wrote, and for no other's."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(RESTART)")


def bulk_create(compare: Compare, sizes: Sizes) -> list[Line]:
    new: dict[str, list[Any]] = {}

    def prepare(side: Side) -> None:
        side.emptied()
        side.settled()
        new[side.name] = side.made(sizes.rows)

    def work(side: Side) -> None:
        side.objects.bulk_create(new.pop(side.name))

    found = compare(f"bulk_create {sizes.rows:,}", ways(SIDES, work, prepare), sizes.few, [Bound(1.5)])
    equal_numbers([sizes.rows] * 2)
    return found


def update(compare: Compare, sizes: Sizes) -> list[Line]:
    untracked = compare(
        f"update() {sizes.rows:,}, an untracked column",
        ways((PLAIN, TRACKED), lambda side: side.objects.update(note="was written anew"), Side.settled),
        sizes.many,
        [Bound(1.05)],
    )
    equal_numbers([sizes.rows] * 2)

    # To and fro, so that every row moves in every round; the events of all rounds stay.
    for side in SIDES:
        side.objects.update(status="active")
    before = counted_events()
    statuses = {side.name: cycle(("paused", "active")) for side in SIDES}

    def move(side: Side) -> None:
        side.objects.update(status=next(statuses[side.name]))

    moving = compare(f"update() that moves {sizes.rows:,}", ways(SIDES, move, Side.settled), sizes.few)
    equal_numbers([number + sizes.rows * (sizes.few + 1) for number in before])
    return untracked + moving


def delete(compare: Compare, sizes: Sizes) -> list[Line]:
    found = compare(
        f"delete {sizes.rows:,}",
        ways(SIDES, lambda side: side.objects.all().delete(), lambda side: side.filled(sizes.rows)),
        sizes.few,
    )
    equal_numbers([2 * sizes.rows] * 2)
    return found


def counted_events() -> list[int]:
    return [side.events._default_manager.count() for side in SIDES if side.events]


def equal_numbers(events: list[int] | None = None) -> None:
    """Every side holds the same stocks, each tracker's events lead to them, and as many as expected were written.

    Raises NumbersDiffer.
    """
    held = {side.name: side.by_status() for side in SIDES}
    for name, counts in held.items():
        if counts != held[SIDES[0].name]:
            raise NumbersDiffer(f"{name} holds {counts}, {SIDES[0].name} {held[SIDES[0].name]}.")
    if events is not None and counted_events() != events:
        raise NumbersDiffer(f"{counted_events()} events were written; {events} moves were made.")
    for tracker in registry.trackers:
        moves = tracker.events._default_manager.order_by()
        came = dict(moves.values_list("sink").annotate(count=Count("pk")))
        went = dict(moves.values_list("source").annotate(count=Count("pk")))
        for stock in tracker.stocks:
            balance = came.get(stock.slug, 0) - went.get(stock.slug, 0)
            if balance != stock.count():
                raise NumbersDiffer(
                    f"The stock {stock.slug!r} holds {stock.count()}, its events say {balance}."
                )
    if Delivery._default_manager.count() != ActedOnFlowEvent._default_manager.count():
        raise NumbersDiffer("Not every event of a flow with event callables has its delivery.")
