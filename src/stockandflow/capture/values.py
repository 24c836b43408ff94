"""What decides the states of many subjects, before a change and after it, and the events of those that moved.

For a tracker by function these are the values of its fields; for a derived one, the key of the one state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import Case, CharField, QuerySet, Value, When

from stockandflow.declarations import ModelTracker, State, state_key
from stockandflow.exceptions import InvalidInput
from stockandflow.membership import member_of_each
from stockandflow.models import Delivery
from stockandflow.models.clock import database_now
from stockandflow.models.events import subjects_facets

Snapshot = tuple[Any, ...] | None
"""What decides the states of one subject; None where there is no row."""
Kept = tuple[Any, dict[str, str | None]]
"""What an event keeps of its subject: the value of its foreign key, and the facet values."""

CHUNK = 500
"""How many subjects are read and written at a time; SQLite takes few parameters in a statement."""


def write_first(tracker: ModelTracker, using: str) -> None:
    """Take SQLite's one lock for writing; elsewhere nothing, since rows have locks of their own.

    Whoever has read in a transaction can't write in it any more once another has written; who writes first waits.
    """
    connection = connections[using]
    if connection.vendor == "sqlite" and connection.in_atomic_block:
        name, meta = connection.ops.quote_name, tracker.model._meta
        key = name(str(meta.pk.column))
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {name(meta.db_table)} SET {key} = {key} WHERE 0")


def read(
    tracker: ModelTracker, keys: Collection[Any], using: str, *, lock: bool = False
) -> dict[Any, Snapshot]:
    """Primary key → what decides the subject's states, for those rows that are there. One query, two with a lock."""
    connection = connections[using]
    rows: Any = QuerySet(tracker.model, using=using).filter(pk__in=keys)
    lock = lock and connection.in_atomic_block
    if lock:
        write_first(tracker, using)
    if lock and connection.features.has_select_for_update:
        if connection.vendor == "mysql":
            rows = (
                rows.select_for_update()
            )  # with REPEATABLE READ, only a locking read sees what is there now
        else:
            # On its own: the values may come over outer joins, which PostgreSQL can't lock.
            list(rows.order_by("pk").select_for_update().values_list("pk"))
    if tracker.derived:
        cases = [When(member_of_each(stock.queryset), then=Value(stock.slug)) for stock in tracker.stocks]
        values = rows.values_list("pk", Case(*cases, default=Value(""), output_field=CharField()))
    else:
        values = rows.values_list("pk", *tracker.fields_to_track)
    return {key: tuple(found) for key, *found in values.order_by("pk")}


def states(
    tracker: ModelTracker, before: Snapshot, after: Snapshot
) -> tuple[tuple[State, ...], tuple[State, ...]]:
    """The states before and after, element by element; raises InvalidInput where the function gives no such pair."""
    if tracker.derived:
        by_slug: dict[str, State] = {stock.slug: stock for stock in tracker.stocks}
        return (
            (by_slug.get(before[0]) if before else None,),
            (by_slug.get(after[0]) if after else None,),
        )
    function: Any = tracker.states_to_stocks_func  # a tracker has it where it isn't derived
    given = function(before, after if after is not None else before or ())
    try:
        sources, sinks = given
        pairs = tuple(sources), tuple(sinks)
        right = len(pairs[0]) == len(pairs[1]) and not isinstance(sources, str) and not isinstance(sinks, str)
    except (TypeError, ValueError):
        right = False
    if not right:
        raise InvalidInput(
            f"The states_to_stocks_func of the tracker {tracker.slug!r} returned {given!r}; it must return a pair of "
            "tuples of stocks of equal length, e.g. ((trial,), (active,)), with None for external."
        )
    if after is None:  # a deletion: from where the object was to outside
        return pairs[1], tuple(None for _ in pairs[1])
    return pairs


@dataclass(frozen=True)
class Move:
    """One subject's move, by its primary key."""

    key: Any
    source: State
    sink: State


Moves = list[tuple[State, State]]


class Judge:
    """Tells the moves between two snapshots, asking the project's function once for equal ones."""

    LIMIT = 10_000

    def __init__(self, tracker: ModelTracker) -> None:
        self.tracker = tracker
        self.known: dict[tuple[Snapshot, Snapshot], Moves] = {}

    def moves(self, before: Snapshot, after: Snapshot) -> Moves:
        """The pairs of states that differ, in the function's order."""
        if before == after:
            return []
        try:
            if (before, after) in self.known:
                return self.known[before, after]
        except TypeError:  # a value that can't be hashed, e.g. of a JSONField
            return self._asked(before, after)
        if len(self.known) >= self.LIMIT:
            self.known.clear()
        self.known[before, after] = found = self._asked(before, after)
        return found

    def _asked(self, before: Snapshot, after: Snapshot) -> Moves:
        pairs = zip(*states(self.tracker, before, after), strict=True)
        return [(source, sink) for source, sink in pairs if state_key(source) != state_key(sink)]


def kept(tracker: ModelTracker, keys: Collection[Any], using: str) -> dict[Any, Kept]:
    """Primary key → what events keep of the subject, as it is now. One query at most."""
    events: Any = tracker.events
    target = events._meta.get_field("subject")
    return subjects_facets(
        tracker.model, keys, tracker.applied_facets, using, subject_field=target.target_field.name
    )


def write(
    tracker: ModelTracker,
    moves: Iterable[Move],
    using: str,
    kept_before: Callable[[Any], Kept | None] = lambda _: None,
) -> None:
    """Write the events of moves that just happened, with their deliveries, within the open transaction.

    Five queries at most: the facets of subjects that ``kept_before`` doesn't know, the clock, the events, deliveries.
    """
    moves = list(moves)
    if not moves:
        return
    known: Mapping[Any, Kept | None] = {move.key: kept_before(move.key) for move in moves}
    unknown = [key for key, found in known.items() if found is None]
    known = {**known, **(kept(tracker, unknown, using) if unknown else {})}
    now = database_now(using)
    make: Any = tracker.events  # each subclass has the subject
    events, delivered = [], []
    for move in moves:
        flow = tracker.flow_for(move.source, move.sink)
        subject, facets = known[move.key] or (move.key, {})
        event = make(
            tracker=tracker.slug,
            flow=flow.slug if flow else "",
            source=state_key(move.source),
            sink=state_key(move.sink),
            subject_id=subject,
            timestamp=now,
            recorded_at=now,
            facets=facets,
        )
        events.append(event)
        if flow is not None and flow.event_callables:
            delivered.append(event)
    if connections[using].features.can_return_rows_from_bulk_insert or not delivered:
        QuerySet(make, using=using).bulk_create(events)
    else:
        for event in events:
            event.save(using=using, force_insert=True)
    if delivered:
        *others, last = [
            Delivery(event_model=make._meta.label_lower, event_id=event.pk, flow=event.flow, due_at=now)
            for event in delivered
        ]
        Delivery._base_manager.using(using).bulk_create(others)
        last.save(using=using, force_insert=True)  # its signal has them delivered right after the commit
