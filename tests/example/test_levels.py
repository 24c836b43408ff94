"""Levels derived from events: by hand where it is easy to follow, and against counting anew."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

from example.demo.levels import Event, levels, overlap

START = datetime(2026, 3, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def event(number: float, subject: int, source: str, sink: str, **facets: str | None) -> Event:
    return Event(day(number), subject, source, sink, facets)


def test_a_level_is_what_was_there_before_the_instant() -> None:
    events = [event(0, 1, "", "a"), event(1, 2, "", "a"), event(1.5, 1, "a", "b"), event(2, 1, "b", "")]
    found = [
        {state: level.total for state, level in held.items() if level.total}
        for _, held in levels(events, [day(0), day(1), day(1.2), day(2), day(3)])
    ]
    assert found == [{}, {"a": 1}, {"a": 2}, {"a": 1, "b": 1}, {"a": 1}]


def test_a_subject_leaves_with_the_facet_values_with_which_it_came() -> None:
    events = [
        event(0, 1, "", "a", plan="Basic"),
        event(1, 1, "a", "b", plan="Pro"),
        event(2, 2, "", "a", plan=None),
    ]
    *_, (_, held) = levels(events, [day(5)])
    assert +held["a"].facets["plan"] == Counter({None: 1})
    assert +held["b"].facets["plan"] == Counter({"Pro": 1})


def test_levels_equal_counting_anew() -> None:
    random = Random(7)
    standing: dict[int, str] = {}
    events, expected = [], []
    for step in range(400):
        subject = random.randrange(30)
        source, sink = standing.get(subject, ""), random.choice(["", "a", "b", "c"])
        if source != sink:
            events.append(event(step, subject, source, sink))
            standing[subject] = sink
        expected.append(Counter(state for state in standing.values() if state))
    found = levels(events, [day(step + 0.5) for step in range(400)])
    assert [Counter({s: level.total for s, level in held.items()}) for _, held in found] == expected


def test_an_overlap_is_entered_by_the_later_and_left_by_the_earlier_move() -> None:
    status = [event(0, 1, "", "open"), event(2, 1, "open", "closed"), event(4, 1, "closed", "open")]
    urgency = [event(1, 1, "", "urgent"), event(3, 1, "urgent", "")]
    found = list(overlap("both", status, urgency, within={"open", "urgent"}))
    assert found == [event(1, 1, "", "both"), event(2, 1, "both", "")]
