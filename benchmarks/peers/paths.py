"""How many of the tests' write paths each tells right: exactly the moves that must be there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import connection, connections, transaction

from benchmarks.peers.peer import Peer
from stockandflow import capture
from stockandflow.declarations import ModelTracker
from stockandflow.registry import Registry, registry
from tests.write_paths.paths import PATHS
from tests.write_paths.scene import Cast, Database, Move, Role, WritePath, make
from tests.write_paths.stocksandflows import CAST, trackers

SECOND = "second"
OF_OTHER_ROWS = ("customer", "article")
"""Roles that another table moves: a log of rows has no such moves."""


@dataclass
class Tally:
    """How one did: ``right`` of ``tried``, and the names of those that weren't right."""

    name: str
    right: int = 0
    tried: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, path: WritePath, *, right: bool) -> None:
        self.tried += 1
        self.right += right
        if not right:
            self.wrong.append(path.name)


def run(database: Database, peers: list[Peer], *, quick: bool = False) -> list[Tally]:
    """The tallies of this package and of the peers, over the paths of rows; over those of other tables ours alone."""
    here = [path for path in PATHS if database not in path.absent][:: 10 if quick else 1]
    own = [path for path in here if path.role not in OF_OTHER_ROWS]
    others = [path for path in here if path.role in OF_OTHER_ROWS]
    logging.disable(logging.CRITICAL)
    with captured() as logs:
        ours = Tally("django-stockandflow")
        beyond = Tally("django-stockandflow, stocks that another table decides")
        events = {role: tracker.events for role, tracker in logs.items()}
        for tally, paths in ((ours, own), (beyond, others)):
            for path in paths:
                tally.note(path, right=is_right(path, CAST, logs, partial(moves_of, logs), events))
    found = [ours]
    for peer in {id(peer.cast): peer for peer in reversed(peers)}.values():
        tally = Tally(peer.name)
        for path in own:
            tally.note(path, right=is_right(path, peer.cast, peer.logs, peer.moves, peer.refusable))
        found.append(tally)
    logging.disable(logging.NOTSET)
    return [*found, beyond]


@contextmanager
def captured() -> Iterator[dict[Role, ModelTracker]]:
    """The paths' own subjects, captured in both databases."""
    found = trackers()
    registry.register(*found.values())
    capture.install(registry, "default")
    second = Registry()
    second.register(*trackers(SECOND).values())
    capture.install(second, SECOND)
    yield found


def moves_of(logs: dict[Role, ModelTracker], role: Role, using: str) -> list[Move]:
    rows = logs[role].events._default_manager.using(using).order_by("timestamp", "pk")
    return [
        (source.partition("-")[2], sink.partition("-")[2])
        for source, sink in rows.values_list("source", "sink")
    ]


def is_right(path: WritePath, cast: Cast, logs: Any, moves: Any, refusable: Any) -> bool:
    """Whether exactly its moves are told; a path that raises isn't. A second database's may be told in the first."""
    log = refusable.get(path.role)
    try:
        scene = make(
            cast, path.role, other=SECOND, refusing=partial(refusing, log._meta.db_table) if log else refusing
        )
        aliases = (SECOND, "default") if path.elsewhere else ("default",)
        before = {using: Counter(moves(path.role, using)) for using in aliases}
        path.write(scene)
        made = [Counter(moves(path.role, using)) - before[using] for using in aliases]
    except Exception:  # noqa: BLE001  (whatever it is, the path isn't told right)
        return False
    finally:
        empty(cast, logs)
    return Counter(path.moves) in made


def empty(cast: Cast, logs: Any) -> None:
    """Leave nothing for the next path, in both databases."""
    written = [tracker.events for tracker in logs.values()] if isinstance(logs, dict) else list(logs)
    roles = (getattr(cast, name) for name in cast.__dataclass_fields__)
    rows = [model for model in roles if model is not None and not model._meta.proxy]
    rows.sort(key=lambda model: not model._meta.parents)
    for using in ("default", SECOND):
        if connections[using].needs_rollback or connections[using].in_atomic_block:
            connections[using].close()
        many = [field.remote_field.through for model in rows for field in model._meta.local_many_to_many]
        with connections[using].constraint_checks_disabled(), transaction.atomic(using=using):
            for model in [*many, *rows, *written]:
                model._base_manager.all()._raw_delete(using)


@contextmanager
def refusing(table: str = "") -> Iterator[None]:
    """Every row for that table is refused."""
    there, back = (f"ALTER TABLE {a} RENAME TO {b}" for a, b in ((table, "elsewhere"), ("elsewhere", table)))
    if connection.vendor == "sqlite":
        raising = "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        there, back = f"CREATE TRIGGER refusal BEFORE INSERT ON {table} {raising}", "DROP TRIGGER refusal"
    with connection.cursor() as cursor:
        cursor.execute(there)
        try:
            yield
        finally:
            cursor.execute(back)
