"""How trackers are captured, told: by which method and why, what it can't see, and what is to be done."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DatabaseError, connections

from stockandflow.capture.install import Strangers, TrackerStatus, status, strangers
from stockandflow.capture.methods import Method, blind_spots, cures, database_of, method_for
from stockandflow.capture.sweep import opened
from stockandflow.declarations import ModelTracker
from stockandflow.models import Sweep, sweeps
from stockandflow.registry import Registry

MIGRATE = "Run 'manage.py migrate'."
SYNC = "Run 'manage.py stockandflow sync', or 'manage.py migrate'."
SWEEP = "Run 'manage.py stockandflow sweep'."
REACH = "See whether the database is reachable."


@dataclass(frozen=True)
class Explanation:
    """How one tracker is captured in its database.

    ``status`` is None where the database has no table for it yet, or can't be asked: then ``error`` says why.
    ``sweep`` is None before the first one. ``to_do`` are sentences, () where all is well.
    """

    tracker: ModelTracker
    using: str
    method: Method
    blind_spots: tuple[str, ...]
    status: TrackerStatus | None
    sweep: Sweep | None
    error: str
    to_do: tuple[str, ...]


def explain(registry: Registry, using: str) -> tuple[list[Explanation], Strangers]:
    """Each tracker of that database explained, in registered order, and the triggers of no tracker there.

    The queries are those of ``status`` and ``strangers``, and a few for the sweeps. Raises nothing where the database
    can't be asked.
    """
    connection, error = connections[using], ""
    states: dict[ModelTracker, TrackerStatus] = {}
    swept: dict[str, Sweep] = {}
    others = Strangers({}, {})
    try:
        states = {state.tracker: state for state in status(registry, using)}
        others = strangers(registry, using)
        if opened(using) is not None:
            swept = {sweep.tracker: sweep for sweep in sweeps(using)}
    except DatabaseError as raised:
        error = " ".join(str(raised).split())
    told = []
    for tracker in registry.trackers:
        if database_of(tracker) == using:
            state = states.get(tracker)
            method = method_for(tracker, connection) if state is None else state.method
            spots, sweep = blind_spots(tracker, method, connection.vendor), swept.get(tracker.slug)
            told.append(
                Explanation(
                    tracker=tracker,
                    using=using,
                    method=method,
                    blind_spots=spots,
                    status=state,
                    sweep=sweep,
                    error=error,
                    to_do=tuple(_to_do(tracker, method, state, sweep, error)),
                )
            )
    return told, others


def _to_do(
    tracker: ModelTracker, method: Method, state: TrackerStatus | None, sweep: Sweep | None, error: str
) -> list[str]:
    found = []
    if error:
        found.append(REACH)
    elif state is None or state.waiting:
        found.append(MIGRATE)
    else:
        if state.missing or state.stale:
            found.append(SYNC)
        if tracker.stocks and (sweep is None or sweep.opened_at is None or sweep.started_at is not None):
            found.append(SWEEP)
    if method.kind == "signals":
        found += cures(tracker)
    return found
