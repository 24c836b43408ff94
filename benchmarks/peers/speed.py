"""What each adds to Django's own reads and writes, beside plain Django and in the same rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import connection

from benchmarks.capture import PLAIN, TRACKED, Side, ways
from benchmarks.measuring import Line, NumbersDiffer, Way, compared, processor_clock, say
from benchmarks.models import PLANS, STATUSES, Plan
from benchmarks.peers.peer import Peer


@dataclass(frozen=True)
class Sizes:
    """Rows in a table, rows created in bulk with the rounds of each, saves in a round, and rounds of what is short."""

    rows: int
    bulk: tuple[tuple[int, int], ...]
    saves: int
    many: int


FULL = Sizes(rows=50_000, bulk=((50_000, 3), (100_000, 2)), saves=300, many=11)
QUICK = Sizes(rows=100, bulk=((100, 1),), saves=5, many=1)


@dataclass(frozen=True)
class Beside(Side):
    """A side whose moves are written to somebody else's log."""

    logs: tuple[type[Any], ...] = ()

    def emptied(self) -> None:
        super().emptied()
        for log in self.logs:
            with connection.cursor() as cursor:
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(log._meta.db_table)}")
                if connection.vendor == "postgresql":
                    cursor.execute(f"VACUUM {connection.ops.quote_name(log._meta.db_table)}")

    def logged(self) -> int:
        """How much stands in the logs."""
        logs = self.logs or ((self.events,) if self.events else ())
        return sum(log._default_manager.count() for log in logs)


PLAINLY = Beside(PLAIN.name, PLAIN.model)
OURS = Beside("django-stockandflow", TRACKED.model, TRACKED.events)


def run(database: str, peers: list[Peer], *, quick: bool = False) -> list[Line]:
    """All lines on the connection's database. Raises NumbersDiffer where a move isn't written that a peer must see."""
    sizes = QUICK if quick else FULL
    Plan._default_manager.bulk_create([Plan(name=name) for name in PLANS])
    sides = [PLAINLY, OURS, *(Beside(peer.name, peer.subscription, logs=peer.logs) for peer in peers)]  # type: ignore[arg-type]

    def compare(*given: Any) -> list[Line]:
        lines = compared("peers", database, *given, judged=False, clock=processor_clock)
        for line in lines:
            say(f"    {line.way}: {line.ratio:.2f}")
        return lines

    return [
        *load(compare, sizes, sides),
        *save(compare, sizes, sides),
        *bulk_create(
            compare, sizes, sides, {peer.name: peer.bulk_create for peer in peers if peer.bulk_create}
        ),
    ]


Compare = Callable[..., list[Line]]


def load(compare: Compare, sizes: Sizes, sides: list[Beside]) -> list[Line]:
    for side in sides:
        side.filled(sizes.rows)
    read = ways(sides, lambda side: list(side.objects.all()), Side.settled)
    return compare(f"load {sizes.rows:,}", read, sizes.many)


def save(compare: Compare, sizes: Sizes, sides: list[Beside]) -> list[Line]:
    kept: dict[str, list[Any]] = {
        side.name: list(side.objects.order_by("pk")[: sizes.saves]) for side in sides
    }

    def next_status(side: Side) -> None:
        for subscription in kept[side.name]:
            subscription.status = STATUSES[(STATUSES.index(subscription.status) + 1) % len(STATUSES)]

    def next_seats(side: Side) -> None:
        for subscription in kept[side.name]:
            subscription.seats += 1

    def save_all(side: Side) -> None:
        for subscription in kept[side.name]:
            subscription.save()

    found: list[Line] = []
    for name, change in (("moves", next_status), ("doesn't move", next_seats)):
        before = {side.name: side.logged() for side in sides}
        found += compare(
            f"save() that {name}, {sizes.saves} times", ways(sides, save_all, change), sizes.many
        )
        for side in sides[1:] if change is next_status else []:
            written = side.logged() - before[side.name]
            if written < sizes.saves * (sizes.many + 1):
                raise NumbersDiffer(
                    f"{side.name} wrote {written} times, and {sizes.saves * (sizes.many + 1)} moved."
                )
    return found


def bulk_create(
    compare: Compare,
    sizes: Sizes,
    sides: list[Beside],
    by_themselves: dict[str, Callable[[list[Any]], object]],
) -> list[Line]:
    """Those that see nothing of it are left out: they cost nothing, and tell nothing."""
    seeing = {side.name for side in sides if sees_bulk_create(side)}
    found: list[Line] = []
    for rows, rounds in sizes.bulk:
        new: dict[str, list[Any]] = {}

        def prepare(side: Side, rows: int = rows, new: dict[str, list[Any]] = new) -> None:
            side.emptied()
            side.settled()
            new[side.name] = side.made(rows)

        def create(side: Side, new: dict[str, list[Any]] = new) -> None:
            side.objects.bulk_create(new.pop(side.name))

        measured = ways([side for side in sides if side is sides[0] or side.name in seeing], create, prepare)
        measured += [
            Way(
                f"{side.name}, its own function",
                lambda side=side, new=new: by_themselves[side.name](new.pop(side.name)),  # type: ignore[misc]
                partial(prepare, side),
            )
            for side in sides
            if side.name in by_themselves
        ]
        found += compare(f"bulk_create() of {rows:,}", measured, rounds)
        for side in sides:
            side.emptied()
    return found


def sees_bulk_create(side: Beside, rows: int = 10) -> bool:
    """Whether it writes anything about objects that are created in bulk."""
    side.emptied()
    side.objects.bulk_create(side.made(rows))
    return side.logged() >= rows
