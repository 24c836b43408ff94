"""Past levels of stocks, derived from the events that led to them. No ORM here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

Facets = Mapping[str, str | None]


class Event(NamedTuple):
    """What deriving needs of a flow event; ``source`` and ``sink`` are keys of states, "" is outside."""

    timestamp: datetime
    subject_id: int
    source: str
    sink: str
    facets: Facets


@dataclass
class Level:
    """What a stock held: the total, and by facet slug a count of values (None for NULL)."""

    total: int = 0
    facets: defaultdict[str, Counter[str | None]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, facets: Facets, number: int) -> None:
        self.total += number
        for slug, value in facets.items():
            self.facets[slug][value] += number


def levels(
    events: Iterable[Event], instants: Sequence[datetime]
) -> Iterator[tuple[datetime, Mapping[str, Level]]]:
    """Each instant with the levels before it: a dict of state key → Level, which the next step changes.

    ``events`` are those of one tracker, in the order in which they happened; ``instants`` ascend. A subject counts
    with the facet values of its last event: they are all that events can tell.
    """
    held: defaultdict[str, Level] = defaultdict(Level)
    standing: dict[int, Event] = {}
    coming = iter(events)
    event = next(coming, None)
    for instant in instants:
        while event is not None and event.timestamp < instant:
            last = standing.pop(event.subject_id, None)
            if last is not None:
                held[last.sink].add(last.facets, -1)
            if event.sink:
                standing[event.subject_id] = event
                held[event.sink].add(event.facets, 1)
            event = next(coming, None)
        yield instant, held


def overlap(state: str, first: Iterable[Event], second: Iterable[Event], within: set[str]) -> Iterator[Event]:
    """The moves into and out of ``state``: where both trackers of a subject have it in one of the states ``within``.

    ``first`` and ``second`` are the events of two trackers of one model, each in the order in which they happened.
    """
    inside: Counter[int] = Counter()
    for event in sorted([*first, *second], key=lambda event: event.timestamp):
        before = inside[event.subject_id]
        after = before + (event.sink in within) - (event.source in within)
        inside[event.subject_id] = after
        if before != 2 and after == 2:
            yield event._replace(source="", sink=state)
        elif before == 2 and after != 2:
            yield event._replace(source=state, sink="")
