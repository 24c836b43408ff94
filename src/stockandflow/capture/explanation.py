"""How trackers are captured, told: by which method and why, what it can't see, and what is to be done."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DatabaseError, connections

from stockandflow.capture.install import Strangers, TrackerStatus, status, strangers
from stockandflow.capture.methods import Method, blind_spots, database_of, method_for
from stockandflow.declarations import ModelTracker
from stockandflow.registry import Registry

MIGRATE = "Run 'manage.py migrate'."
SYNC = "Run 'manage.py stockandflow sync', or 'manage.py migrate'."
LOCAL = (
    "Where you can, write the stocks' filters on columns of the subject and of related rows, so that triggers can read "
    "them."
)
REACH = "See whether the database is reachable."


@dataclass(frozen=True)
class Explanation:
    """How one tracker is captured in its database.

    ``status`` is None where the database has no table for it yet, or can't be asked: then ``error`` says why.
    ``to_do`` are sentences, () where all is well.
    """

    tracker: ModelTracker
    using: str
    method: Method
    blind_spots: tuple[str, ...]
    status: TrackerStatus | None
    error: str
    to_do: tuple[str, ...]


def explain(registry: Registry, using: str) -> tuple[list[Explanation], Strangers]:
    """Each tracker of that database explained, in registered order, and the triggers of no tracker there.

    The queries are those of ``status`` and ``strangers``. Raises nothing where the database can't be asked.
    """
    connection, error = connections[using], ""
    states: dict[ModelTracker, TrackerStatus] = {}
    others = Strangers({}, {})
    try:
        states = {state.tracker: state for state in status(registry, using)}
        others = strangers(registry, using)
    except DatabaseError as raised:
        error = " ".join(str(raised).split())
    told = []
    for tracker in registry.trackers:
        if database_of(tracker) == using:
            state = states.get(tracker)
            method = method_for(tracker, connection) if state is None else state.method
            told.append(
                Explanation(
                    tracker=tracker,
                    using=using,
                    method=method,
                    blind_spots=blind_spots(tracker, method, connection.vendor),
                    status=state,
                    error=error,
                    to_do=tuple(_to_do(tracker, method, state, error)),
                )
            )
    return told, others


def _to_do(tracker: ModelTracker, method: Method, state: TrackerStatus | None, error: str) -> list[str]:
    found = []
    if error:
        found.append(REACH)
    elif state is None or state.waiting:
        found.append(MIGRATE)
    elif state.missing or state.stale:
        found.append(SYNC)
    if method.kind == "signals" and tracker.derived:
        found.append(LOCAL)
    return found
