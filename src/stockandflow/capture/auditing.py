"""The audit: what a sweep would write, and which objects don't stand where a tracker says; it writes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from stockandflow.capture.sweep import (
    CHUNK,
    Comparison,
    Move,
    Progress,
    checked,
    chosen,
    rows_of,
    why_left_out,
)
from stockandflow.declarations import ModelTracker
from stockandflow.exceptions import InvalidInput
from stockandflow.membership import count_memberships, members_of_exactly
from stockandflow.membership.overlap import unheld_choices
from stockandflow.models import sweeps
from stockandflow.registry import Registry

NAMED = 5
"""How many objects of a kind are named unless told otherwise."""


@dataclass(frozen=True)
class Named:
    """An object by its key as text, and its name; "" for one that is gone."""

    key: str
    name: str = ""


@dataclass(frozen=True)
class MissingMove:
    """Moves that the events lack, of one flow from one source to one sink; slugs, "" for external and for no flow.

    ``count`` objects made it, and ``objects`` are the first of them by key.
    """

    flow: str
    source: str
    sink: str
    count: int
    objects: tuple[Named, ...]


@dataclass(frozen=True)
class Between(Named):
    """An object that made a move unseen after the one instant and before the other.

    They are those of two of its events, or of the tracker's opening and its first event.
    """

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Skipped:
    """Moves that events skip: a later event of the object doesn't begin where the one before ended.

    As in MissingMove, but the objects come with the instants of the two events. ``without_room`` of the moves lie
    between two events with no instant between them: no sweep writes those.
    """

    flow: str
    source: str
    sink: str
    count: int
    without_room: int
    objects: tuple[Between, ...]


@dataclass(frozen=True)
class Placed:
    """How many objects stand in exactly these stocks, and the first of them by key."""

    stocks: tuple[str, ...]
    count: int
    objects: tuple[Named, ...]


@dataclass(frozen=True)
class Audit:
    """What is amiss with one tracker on one database.

    ``missing`` and ``skipped`` are what a sweep would write; where the tracker isn't ``opened``, objects without any
    event are its opening balance. ``overlapping`` are objects in several of its stocks, of which the first counts;
    ``nowhere`` are those in none, looked for where the tracker is exhaustive. ``unheld`` are the choices that no stock
    holds, where the stocks filter one field with choices. ``left_out`` says why nothing was looked at, "" where it was.
    """

    tracker: str
    database: str
    opened: bool = True
    missing: tuple[MissingMove, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    overlapping: tuple[Placed, ...] = ()
    nowhere: Placed | None = None
    unheld: tuple[str, ...] = ()
    left_out: str = ""

    @property
    def moves(self) -> int:
        """How many moves are missing, skipped ones too."""
        return sum(move.count for move in self.missing) + sum(move.count for move in self.skipped)

    @property
    def writable(self) -> int:
        """How many of them a sweep writes."""
        return self.moves - sum(move.without_room for move in self.skipped)

    @property
    def in_order(self) -> bool:
        """Whether everything is where it should be; also of a tracker that was left out, of which nothing is known."""
        return not (self.missing or self.skipped or self.overlapping or self.nowhere or self.unheld)


def audit(
    registry: Registry,
    *,
    using: str | None = None,
    slugs: Iterable[str] | None = None,
    chunk: int = CHUNK,
    named: int = NAMED,
    progress: Progress | None = None,
) -> list[Audit]:
    """Compare events and tables as ``repair`` does, and write nothing; trackers in registered order.

    Up to ``named`` objects of each kind are named. Set-based: five or six queries for each ``chunk`` subjects that
    sums don't tell to be in order, and two for each kind of thing that is amiss. Raises UnknownSlug or InvalidInput for
    what isn't there.
    """
    if named < 0:
        raise InvalidInput(f"names is {named!r}; give how many objects of a kind to name at most, 0 or more.")
    return [
        audit_tracker(tracker, alias, chunk=chunk, named=named, progress=progress)
        for tracker, alias in chosen(registry, using, slugs)
    ]


def audit_tracker(
    tracker: ModelTracker,
    using: str,
    *,
    chunk: int | None = CHUNK,
    named: int = NAMED,
    progress: Progress | None = None,
) -> Audit:
    """The audit of one tracker; see ``audit``. With None for ``chunk`` all subjects are compared at once.

    Then the queries don't grow with the subjects: eight, four more on PostgreSQL, and one for each way in which objects
    stand in several stocks, or in none of an exhaustive tracker.
    """
    if reason := why_left_out(tracker, using):
        return Audit(tracker.slug, using, left_out=reason)
    known = sweeps(using).filter(tracker=tracker.slug)
    opened_at = known.values_list("opened_at", flat=True).first()
    comparison = Comparison(tracker, using, opened_at=opened_at)
    found = _compared(comparison, chunk, named, progress)
    names = _names(
        tracker,
        using,
        {key for keys in found.keys.values() for key in keys}
        | {one.key for some in found.between.values() for one in some},
    )
    placed = list(_placed(tracker, using, named))
    return Audit(
        tracker=tracker.slug,
        database=using,
        opened=opened_at is not None,
        missing=tuple(
            MissingMove(
                flow=_flow(tracker, source, sink),
                source=source,
                sink=sink,
                count=count,
                objects=tuple(Named(key, names.get(key, "")) for key in found.keys[source, sink]),
            )
            for (source, sink), count in _in_order(tracker, found.counts)
        ),
        skipped=tuple(
            Skipped(
                flow=_flow(tracker, source, sink),
                source=source,
                sink=sink,
                count=count,
                without_room=found.without_room[source, sink],
                objects=tuple(
                    replace(one, name=names.get(one.key, "")) for one in found.between[source, sink]
                ),
            )
            for (source, sink), count in _in_order(tracker, found.skipped)
        ),
        overlapping=tuple(one for one in placed if len(one.stocks) > 1),
        nowhere=next((one for one in placed if not one.stocks), None),
        unheld=tuple(map(str, unheld_choices([stock.queryset for stock in tracker.stocks]))),
    )


@dataclass
class _Found:
    """What was found of each move: how often it is missing, and the keys of its first objects; the same of gaps."""

    counts: Counter[Move] = field(default_factory=Counter)
    keys: dict[Move, list[str]] = field(default_factory=lambda: defaultdict(list))
    skipped: Counter[Move] = field(default_factory=Counter)
    without_room: Counter[Move] = field(default_factory=Counter)
    between: dict[Move, list[Between]] = field(default_factory=lambda: defaultdict(list))


def _compared(comparison: Comparison, chunk: int | None, named: int, progress: Progress | None) -> _Found:
    found = _Found()

    def text(key: Any) -> str:
        return str(comparison.key.to_python(key))

    spans = comparison.doubtful()
    ranges = comparison.at_once(spans) if chunk is None else comparison.ranges(None, checked(chunk), spans)
    for number, reached in enumerate(ranges, 1):
        for (key, source, sink), moves in comparison.first_found(reached, named):
            found.counts[source, sink] += moves
            if len(found.keys[source, sink]) < named:
                found.keys[source, sink].append(text(key))
        for gap, moves, without_room in comparison.first_gaps(reached, named):
            skipped = gap.source, gap.sink
            found.skipped[skipped] += moves
            found.without_room[skipped] += without_room
            if len(found.between[skipped]) < named:
                found.between[skipped].append(Between(text(gap.subject), since=gap.since, until=gap.until))
        if progress and chunk:
            progress(comparison.tracker.slug, number * chunk, found.counts.total() + found.skipped.total())
    return found


def _placed(tracker: ModelTracker, using: str, named: int) -> Iterator[Placed]:
    """The objects in several stocks, and in none where none may be."""
    querysets = {stock.slug: stock.queryset.using(using) for stock in tracker.stocks}
    for slugs, count in sorted(count_memberships(querysets).items()):
        if len(slugs) > 1 or (not slugs and tracker.exhaustive):
            some = members_of_exactly(querysets, slugs).order_by("pk")[:named]
            yield Placed(slugs, count, tuple(Named(str(one.pk), str(one)) for one in some))


def _names(tracker: ModelTracker, using: str, keys: set[str]) -> dict[str, str]:
    """Key as text → the object's own name, of those that are there. One query where there are keys."""
    events: Any = tracker.events._meta
    key = events.get_field("subject").target_field.attname
    found = rows_of(tracker.model, using).filter(**{f"{key}__in": keys}) if keys else []
    return {str(getattr(one, key)): str(one) for one in found}


def _flow(tracker: ModelTracker, source: str, sink: str) -> str:
    by_slug: dict[str, Any] = {stock.slug: stock for stock in tracker.stocks}
    flow = tracker.flow_for(by_slug.get(source), by_slug.get(sink))
    return flow.slug if flow else ""


def _in_order(tracker: ModelTracker, counts: Counter[Move]) -> list[tuple[Move, int]]:
    return sorted(counts.items(), key=lambda item: _place(tracker, item[0]))


def _place(tracker: ModelTracker, move: Move) -> tuple[int, int]:
    """The place of a move among others: by source, then by sink, in declared order, external first."""
    order = ["", *(stock.slug for stock in tracker.stocks)]
    return order.index(move[0]), order.index(move[1])
