"""Net moves: where each subject stood before a range against where it stood after it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from example.membership.models import MemberFlowEvent
from stockandflow import reports
from stockandflow.declarations import Process
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Origin
from stockandflow.registry import registry
from tests.reports.history import SLUGS, Step, written

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)
LIVES = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([*SLUGS, ""])), min_size=1, max_size=6), max_size=6
)


def membership() -> Process:
    return registry.process("membership")


def netted(since: datetime, until: datetime) -> dict[tuple[str, str], int]:
    return {(line.source, line.sink): line.count for line in reports.net(membership(), since, until).lines}


def test_who_came_back_has_not_moved_and_who_went_on_moved_once() -> None:
    here, back, through = [
        [(START, "trial"), (START + DAY, "active")],
        [(START, "active"), (START + 2 * DAY, "paused"), (START + 3 * DAY, "active")],
        [(START, "trial"), (START + DAY, "active"), (START + 2 * DAY, "churned"), (START + 3 * DAY, "")],
    ]
    written([here, back, through])

    assert netted(START + DAY, START + 4 * DAY) == {("trial", "active"): 1, ("trial", ""): 1}
    assert netted(START, START + DAY) == {("", "trial"): 2, ("", "active"): 1}
    assert netted(START + 2 * DAY, START + 3 * DAY) == {("active", "churned"): 1, ("active", "paused"): 1}
    assert netted(START + 5 * DAY, START + 6 * DAY) == {}


@settings(max_examples=settings().max_examples // 4)
@given(lives=LIVES, first=st.integers(0, 30), length=st.integers(1, 30))
def test_it_is_what_replaying_each_subject_tells(
    lives: list[list[tuple[int, str]]], first: int, length: int
) -> None:
    histories: list[list[Step]] = []
    for life in lives:
        at, before, steps = START, "", []
        for days, sink in life:
            at += days * DAY
            if sink != before:
                steps.append((at, sink))
                before = sink
        histories += [steps] if steps else []
    since, until = START + first * DAY, START + (first + length) * DAY
    expected: Counter[tuple[str, str]] = Counter()
    for steps in histories:
        ends = [[sink for at, sink in steps if at < instant] for instant in (since, until)]
        opening, closing = (sinks[-1] if sinks else "" for sinks in ends)
        expected[opening, closing] += opening != closing
    with transaction.atomic():
        written(histories)
        assert netted(since, until) == dict(+expected)
        for line in reports.balance(membership(), since, until).stocks:
            slug = line.stock.slug
            lines = netted(since, until).items()
            assert line.net == sum(n * ((sink == slug) - (source == slug)) for (source, sink), n in lines)
        transaction.set_rollback(True)


def test_behind_each_line_are_its_objects() -> None:
    keys = written(
        [
            [(START, "trial"), (START + DAY, "active")],
            [(START, "trial"), (START + DAY, "churned"), (START + 2 * DAY, "active")],
            [(START, "trial"), (START + DAY, "churned")],
            [(START, "trial"), (START + DAY, "churned"), (START + 2 * DAY, "")],
        ]
    )
    found = reports.net(membership(), START + DAY, START + 3 * DAY)
    numbers = {(line.source, line.sink): found.number(line) for line in found.lines}

    assert numbers["trial", "active"].value == 2
    assert set(reports.members(numbers["trial", "active"]).values_list("pk", flat=True)) == set(keys[:2])
    assert list(reports.subjects(numbers["trial", ""])) == keys[3:]
    assert not reports.members(numbers["trial", ""]).exists(), "that member is gone"


def test_the_most_come_first_and_equals_in_declared_order() -> None:
    written([[(START, "trial")], [(START, "active")], [(START, "paused")], [(START, "paused")]])
    lines = reports.net(membership(), START, START + DAY).lines

    assert [(line.sink, line.count) for line in lines] == [("paused", 2), ("trial", 1), ("active", 1)]


def test_an_opening_balance_is_no_net_move() -> None:
    written([[(START, "trial")]])
    MemberFlowEvent.objects.update(origin=Origin.INITIAL)
    assert netted(START, START + DAY) == {}


def test_one_query_an_event_model_whatever_the_range() -> None:
    written([[(START + n * DAY, "trial")] for n in range(20)])
    for days in (1, 900):
        with CaptureQueriesContext(connection) as captured:
            netted(START, START + days * DAY)
        assert ["watermark" in query["sql"] for query in captured] == [True, False]


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="doesn't come after since"):
        reports.net(membership(), START, START)
