"""What is asked of every one of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from django.db import models

from tests.write_paths.scene import STATUSES, Cast, Move, Role


@dataclass(frozen=True)
class Peer:
    """One of them: the model that the speed is measured with, the cast of the write paths, and how its log is read.

    ``logs`` are the models that it writes to. ``moves`` reads what happened to the subjects of a role, in order, on one
    database; ``bulk_create`` is its own way to do that, where its documentation has one.
    """

    name: str
    distribution: str
    subscription: type[models.Model]
    cast: Cast
    logs: tuple[type[models.Model], ...]
    refusable: dict[Role, type[models.Model]]
    moves: Callable[[Role, str], list[Move]]
    bulk_create: Callable[[list[Any]], object] | None = None

    @property
    def version(self) -> str:
        return version(self.distribution)


def stock(status: Any, *, gone: bool = False) -> str:
    """The stock that a row stands in, "" for outside."""
    return status if not gone and status in STATUSES else ""


def from_snapshots(rows: Iterable[tuple[Hashable, Any, bool]]) -> list[Move]:
    """The moves that snapshots of rows tell, in order: (key, status, whether the row is gone)."""
    last: dict[Hashable, str] = {}
    found = []
    for key, status, gone in rows:
        source, sink = last.get(key, ""), stock(status, gone=gone)
        last[key] = sink
        if source != sink:
            found.append((source, sink))
    return found
