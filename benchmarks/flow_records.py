"""What keeping flow records costs: a run after ten thousand new events, and one that computes all anew.

Two years of events of one model, five flows, one between several pairs of stocks. More events are more subjects,
each with as many events as before, as in a business that grows. A run that takes in new events is compared with the
same run where there is little history; one that computes everything anew with the statement by which a person would
count the events of each day.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from benchmarks.measuring import (
    Bound,
    Line,
    NumbersDiffer,
    Way,
    analyse,
    compared,
    flat,
    line,
    peak_of,
    say,
    timed,
)
from benchmarks.models import TrackedFlowEvent, TrackedSubscription
from stockandflow import capture, recording
from stockandflow.declarations import Flow
from stockandflow.models import ALL, FlowFacetRecord, FlowRecord, Watermark
from stockandflow.models.clock import database_now
from stockandflow.periods import Calendar, Grain
from stockandflow.recording.buckets import instant_literal, local_date_sql
from stockandflow.registry import Registry, registry

EVENTS, QUICK_EVENTS = 10_000_000, 20_000
LITTLE, QUICK_LITTLE = 100_000, 2_000
NEW, QUICK_NEW = 10_000, 200
EVENTS_OF_ONE = 20
ROUNDS, QUICK_ROUNDS = 5, 2
HISTORY_DAYS = 730
NEW_TO_LITTLE = Bound(1.5)
ANEW_TO_HAND = Bound(2)
CALENDAR = Calendar("Europe/London")
TABLE = "benchmarks_trackedflowevent"
RECORDS = "stockandflow_flowrecord"
PAIRS = (
    ("starting", "", "a"),
    ("moving", "a", "b"),
    ("moving", "b", "c"),
    ("returning", "c", "a"),
    ("leaving", "b", ""),
    ("ending", "c", ""),
)


def run(database: str, *, quick: bool = False) -> list[Line]:
    """All measurements of flow records on the connection's database. Raises NumbersDiffer."""
    events, little, new = (QUICK_EVENTS, QUICK_LITTLE, QUICK_NEW) if quick else (EVENTS, LITTLE, NEW)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    own = flows()
    with capture.suspended(registry, "default"):
        history(database, little)
        little_s, little_peak = taking_in(own, new, rounds)
        history(database, events)
        much_s, much_peak = taking_in(own, new, rounds)
    flat(f"{database}: taking in {new:,} events", little_peak, much_peak, judged=not quick)
    work = f"take in {new:,} events"
    taken = line(
        "recording",
        database,
        work,
        (f"after {little:,}", little_s),
        (f"after {events:,}", much_s),
        NEW_TO_LITTLE,
        judged=not quick,
    )
    hand = by_hand()
    same(hand)
    anew = compared(
        "recording",
        database,
        f"compute the days of {events:,} events anew",
        [Way("GROUP BY by hand", by_hand), Way("record", lambda: recorded(own, restate=True))],
        1 if quick else 2,
        [ANEW_TO_HAND],
        judged=not quick,
    )
    return [taken, *anew]


def flows() -> Registry:
    """The flows of PAIRS, in a registry of their own."""
    own = Registry()
    for slug in dict.fromkeys(slug for slug, *_ in PAIRS):
        sources = {source or None: None for flow, source, _ in PAIRS if flow == slug}
        sinks = {sink or None: None for flow, _, sink in PAIRS if flow == slug}
        own.register(Flow(slug, slug, TrackedFlowEvent, list(sources), list(sinks)))
    return own


def recorded(own: Registry, **options: Any) -> None:
    recording.record_flows(own, calendar=CALENDAR, **options)


def taking_in(own: Registry, new: int, rounds: int) -> tuple[list[float], int]:
    """Seconds of each run that takes in the new events, and the most memory of one in Python, after a first recording.

    Events of the last hour are read again by each run, so that all of them do the same.
    """
    recorded(own)
    today = CALENDAR.period(Grain.DAY, database_now("default"))
    insert(new, today.start, database_now("default"), fresh=True)
    analyse(TABLE, RECORDS)
    way = Way("take in", lambda: recorded(own))
    timed(way)
    seconds = [timed(way) for _ in range(rounds)]
    return seconds, peak_of(way.work)


def history(database: str, events: int) -> None:
    """So many events over two years that end the day before yesterday, and no records."""
    say(f"{database}: flow records, {events:,} events are made")
    for model in (FlowFacetRecord, FlowRecord, Watermark, TrackedFlowEvent, TrackedSubscription):
        model._base_manager.all()._raw_delete("default")
    until = CALENDAR.period(Grain.DAY, database_now("default")).start - timedelta(days=2)
    insert(events, until - timedelta(days=HISTORY_DAYS), until, fresh=False)
    analyse(TABLE, RECORDS)


def insert(events: int, since: datetime, until: datetime, *, fresh: bool) -> None:
    """Events one after the other, each as far from the next; ``fresh`` ones are recorded now, else when they happen.

    Of the fresh ones two are of one subject, whatever the history, of which each subject has EVENTS_OF_ONE.
    """
    subjects = max(1, events // (2 if fresh else EVENTS_OF_ONE))
    step_us = max(1, (until - since) // timedelta(microseconds=1) // events)
    at, us = instant_literal(connection, since), f"i * {step_us}"
    happened = {
        "sqlite": f"strftime('%Y-%m-%d %H:%M:%f', {at}, ({us} / 1000000.0) || ' seconds')",
        "postgresql": f"{at} + ({us}) * INTERVAL '1 microsecond'",
        "mysql": f"{at} + INTERVAL ({us}) MICROSECOND",
    }[connection.vendor]
    numbers = {
        "sqlite": "(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n "
        f"WHERE i < {events - 1}) SELECT i FROM n)",
        "postgresql": f"(SELECT generate_series(0, {events - 1})::bigint AS i)",
        "mysql": f"(SELECT seq AS i FROM seq_0_to_{events - 1})",
    }[connection.vendor]
    columns = [
        f"CASE i % {len(PAIRS)} {' '.join(f'WHEN {n} THEN {pair[place]!r}' for n, pair in enumerate(PAIRS))} END"
        for place in range(3)
    ]
    recorded_at = instant_literal(connection, database_now("default")) if fresh else happened
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} (tracker, flow, source, sink, subject_id, timestamp, recorded_at, facets, origin) "
            f"SELECT '', {', '.join(columns)}, (i * 7919) % {subjects} + 1, {happened}, {recorded_at}, '{{}}', 'live' "
            f"FROM {numbers} numbers"
        )


Cell = tuple[Any, ...]


def by_hand() -> list[Cell]:
    """The moves and subjects of each flow, pair and day, by one statement."""
    since = database_now("default") - timedelta(days=HISTORY_DAYS + 10)
    day = local_date_sql(connection, "timestamp", CALENDAR.offsets(since, database_now("default")))
    if connection.vendor == "postgresql":
        day = f"(timestamp AT TIME ZONE '{CALENDAR.timezone}')::date"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT flow, source, sink, {day} AS on_day, COUNT(*), COUNT(DISTINCT subject_id) FROM {TABLE} "
            "GROUP BY flow, source, sink, on_day"
        )
        return list(cursor.fetchall())


def same(hand: list[Cell]) -> None:
    """Raises NumbersDiffer where the records say something else."""
    kept = FlowRecord.objects.filter(grain=Grain.DAY, calendar=CALENDAR.key).exclude(source=ALL)
    ours = {
        (flow, source, sink, str(CALENDAR.local_date(start)), count, subjects)
        for flow, source, sink, start, count, subjects in kept.values_list(
            "flow", "source", "sink", "start", "count", "subjects"
        )
    }
    theirs = {(*cell[:3], str(cell[3]), *cell[4:]) for cell in hand}
    if ours != theirs:
        raise NumbersDiffer(
            f"{len(ours ^ theirs)} of the numbers by day differ, e.g. {sorted(ours ^ theirs)[:3]}."
        )
