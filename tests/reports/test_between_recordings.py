"""What becomes known between two recordings is told at once of days that aren't final, in flows and levels alike."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from example.membership.models import Member
from stockandflow import recording, reports
from stockandflow.periods import Calendar, Grain, Status
from stockandflow.rendering import balance_rows
from tests.recording.world import TRACKER, World

pytestmark = pytest.mark.usefixtures("transactional_db")

HOUR = timedelta(hours=1)
DAY = 24 * HOUR
RECORD = ("record",)
UNSEEN = ("move", 0, "active", "unseen")


def at_midnight(days: int) -> tuple[World, datetime]:
    """A world of so many days ago, and a midnight in it."""
    world = World(Calendar("Pacific/Apia"), days)
    with world.clock():
        return world, Calendar.default().midnight(Calendar.default().local_date(world.now())) + DAY


def live(world: World, begun: datetime, *steps: tuple[timedelta, Any]) -> None:
    """Do each step when it is so long after ``begun``; None lets the time pass alone."""
    for after, step in steps:
        with world.clock():
            hours = (begun + after - world.now()) / HOUR
        world.do(("lapse", hours))
        if step is not None:
            world.do(step)


def told(world: World, since: datetime, until: datetime, stock: int = 0) -> list[tuple[int | None, ...]]:
    with world.clock():
        found = reports.balance(world.process, since, until, grain="day")
    lines = [part.stocks[stock] for part in (found, *found.parts)]
    return [(line.opening, line.inflow, line.outflow, line.unexplained, line.closing) for line in lines]


def test_an_import_into_a_provisional_day_leaves_nothing_unexplained() -> None:
    world = World(Calendar("Pacific/Apia"), 20)
    world.do(("lapse", 24 * 17))
    world.do(RECORD)
    world.do(("lapse", 24 * 3))
    recording.record(world.registry)
    today = Calendar.default().midnight(Calendar.default().local_date(world.now()))
    yesterday = Calendar.default().period(Grain.DAY, today - HOUR)
    key = 9001
    rows = [(key, yesterday.start + HOUR, "", "trial")]
    rows.append((key, yesterday.end + timedelta(seconds=1), "trial", ""))

    TRACKER.import_events(rows, allow_missing_subjects=True)

    before = [(2, 1, 0, 0, 3), (2, 1, 0, 0, 3)]
    assert told(world, yesterday.start, yesterday.end) == before
    assert told(world, yesterday.start - DAY, yesterday.end) == [
        (2, 1, 0, 0, 3),
        (2, 0, 0, 0, 2),
        (2, 1, 0, 0, 3),
    ]
    assert told(world, yesterday.start, yesterday.end + DAY) == [
        (2, 1, 1, 0, 2),
        (2, 1, 0, 0, 3),
        (3, 0, 1, 0, 2),
    ]

    recording.record(world.registry)

    assert told(world, yesterday.start, yesterday.end) == before
    assert told(world, yesterday.start, yesterday.end + DAY) == [
        (2, 1, 1, 0, 2),
        (2, 1, 0, 0, 3),
        (3, 0, 1, 0, 2),
    ]
    assert reports.balance(world.process, yesterday.start, yesterday.end).status is Status.PROVISIONAL


def test_a_midnight_that_waits_to_be_final_is_told_as_when_it_is() -> None:
    world, begun = at_midnight(10)
    live(
        world,
        begun,
        (10 * HOUR, RECORD),
        (10 * HOUR, UNSEEN),
        (12 * HOUR, RECORD),
        (DAY + 23 * HOUR, RECORD),
        (2 * DAY + HOUR, None),
    )

    before = told(world, begun, begun + 2 * DAY)
    assert before == [(2, 0, 0, -1, 1), (2, 0, 0, -1, 1), (1, 0, 0, 0, 1)]
    world.do(RECORD)
    assert told(world, begun, begun + 2 * DAY) == before


def test_a_level_is_the_same_before_and_after_it_is_recorded_and_is_that_of_its_series() -> None:
    world, begun = at_midnight(10)
    live(
        world,
        begun,
        (10 * HOUR, RECORD),
        (10 * HOUR, UNSEEN),
        (12 * HOUR, ("move", 0, "churned", "save")),  # below nothing, by what is known
        (DAY + 5 * HOUR, ("join", 1, 0, "active")),
        (2 * DAY + HOUR, None),
    )

    before = told(world, begun + DAY, begun + 2 * DAY, stock=1)
    assert before[0] == (0, 1, 0, -1, 0)
    for days in (0, 1):
        live(world, begun, ((2 + days) * DAY + 2 * HOUR, RECORD))
        assert told(world, begun + DAY, begun + 2 * DAY, stock=1) == before
        with world.clock():
            found = reports.series(world.process.stocks[1], begun, begun + 2 * DAY, "day")
        assert [point.value for point in found] == [0, 0]


def test_values_are_carried_no_further_by_way_of_a_level_that_is_recorded() -> None:
    world, begun = at_midnight(10)
    live(world, begun, (16 * HOUR, RECORD))
    Member.objects.update(plan=world.plans[1])  # which is no move
    for days in (2, 3):
        live(world, begun, (days * DAY + 15 * HOUR, RECORD))
        with world.clock():
            found = reports.balance(world.process, begun + 2 * DAY, begun + 2 * DAY + HOUR, split_by="plan")
        assert {part.stocks[0].opening for part in found.slices.values()} == {None}


def test_moves_that_are_known_have_their_status_where_the_levels_beside_them_are_not() -> None:
    world = World(Calendar("Pacific/Apia"), 20)
    joined = ("join", 3, 0, "trial")
    for step in (("lapse", 72), joined, RECORD, ("lapse", 36), joined, ("lapse", 60), RECORD):
        world.do(step)
    with world.clock():
        # The levels of a slice are those of counts alone, and no count is near.
        since, until = world.now() - 2.9 * DAY, world.now() - 1.5 * DAY
        found = reports.balance(world.process, since, until, facets={"plan": "Basic"})
        rows = [row for row in balance_rows(found, world.process.calendar) if row.stock == "trial"]

    line = found.stocks[0]
    assert (line.opening, line.closing, line.flows_known, line.status) == (
        None,
        None,
        True,
        Status.PROVISIONAL,
    )
    assert [(row.kind, row.value, row.status) for row in rows] == [
        ("opening", None, "gap"),
        ("inflow", 3, "provisional"),
        ("reclassified", None, "gap"),
        ("closing", None, "gap"),
    ]
