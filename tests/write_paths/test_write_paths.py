"""Every path makes exactly the events of its moves, or is a gap that is named, with its reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import Any

import django
import pytest
from django.db import connection, connections

from stockandflow import capture
from stockandflow.declarations import ModelTracker
from stockandflow.models import Origin
from stockandflow.registry import registry
from tests.capture.conftest import refusing
from tests.write_paths.paths import PATHS
from tests.write_paths.scene import Database, Move, Scene, WritePath, make
from tests.write_paths.stocksandflows import CAST, trackers

VENDORS: dict[str, Database] = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mariadb"}
DATABASE = VENDORS[connection.vendor]
HERE = [path for path in PATHS if DATABASE not in path.absent]
SINCE_6_1 = "Django has the database's own cascade from 6.1 on"


def staged(path: WritePath, other: str) -> Scene:
    if path.role == "kept" and django.VERSION < (6, 1):
        pytest.skip(SINCE_6_1)
    table = tracker_of(path, "default").events._meta.db_table
    return make(CAST, path.role, other=other, refusing=partial(refusing, table))


def tracker_of(path: WritePath, using: str) -> ModelTracker:
    return registry.tracker(f"write-paths.{path.role}") if using == "default" else trackers(using)[path.role]


def last_event(tracker: ModelTracker, using: str) -> int:
    found = tracker.events._default_manager.using(using).order_by("-pk").values_list("pk", flat=True)
    return found.first() or 0


def moves_since(path: WritePath, last: int, tracker: ModelTracker, using: str) -> list[Move]:
    """What moved since that event. Each event is whole, and each subject's follow from one another."""
    made: dict[Any, list[Any]] = defaultdict(list)
    by_slug = {stock.slug: stock for stock in tracker.stocks}
    for event in tracker.events._default_manager.using(using).order_by("timestamp", "pk"):
        made[event.subject_id].append(event)  # type: ignore[attr-defined]
        flow = tracker.flow_for(by_slug.get(event.source), by_slug.get(event.sink))
        assert (event.tracker, event.origin) == (tracker.slug, Origin.LIVE)
        assert event.flow == (flow.slug if flow else "")
        assert set(event.facets) == set(tracker.applied_facets)
        assert event.recorded_at >= event.timestamp
    moves = []
    for events in made.values():
        if DATABASE not in path.gaps:
            assert [event.source for event in events] == ["", *(event.sink for event in events[:-1])]
        moves += [
            (event.source.partition("-")[2], event.sink.partition("-")[2])
            for event in events
            if event.pk > last
        ]
    return moves


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.parametrize("path", HERE, ids=lambda path: path.name)
def test_a_path_makes_exactly_its_moves(path: WritePath, captured: str) -> None:
    scene = staged(path, captured)
    using = captured if path.elsewhere else "default"
    tracker = tracker_of(path, using)
    if path.gaps:
        capture.repair(registry, slugs=[tracker.slug])  # the tracker is open, and nothing is missing yet
    last = last_event(tracker, using)
    path.write(scene)

    assert sorted(moves_since(path, last, tracker, using)) == sorted(path.sees(DATABASE))
    if DATABASE in path.gaps:
        (swept,) = capture.repair(registry, slugs=[tracker.slug])
        assert Counter(swept.moves) == Counter(slugs(path)) - Counter(slugs(path, seen=True))
    assert levels(tracker, using) == counts(tracker)


def slugs(path: WritePath, *, seen: bool = False) -> list[Move]:
    """The moves as slugs of stocks."""
    moves = path.sees(DATABASE) if seen else path.moves
    return [(source and f"{path.role}-{source}", sink and f"{path.role}-{sink}") for source, sink in moves]


def levels(tracker: ModelTracker, using: str) -> dict[str, int]:
    """What the events say that each stock holds."""
    events = tracker.events._default_manager.using(using)
    return {
        stock.slug: events.filter(sink=stock.slug).count() - events.filter(source=stock.slug).count()
        for stock in tracker.stocks
    }


def counts(tracker: ModelTracker) -> dict[str, int]:
    return {stock.slug: stock.count() for stock in tracker.stocks}


def test_names_are_unique_and_what_paths_do_is_said() -> None:
    assert len({path.name for path in PATHS}) == len(PATHS)
    assert all(path.does for path in PATHS)
    assert not [path.name for path in PATHS if path.absent.keys() & path.gaps.keys()]
    assert connections["default"].vendor in VENDORS
