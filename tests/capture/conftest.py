"""Declarations of a test's own, captured as the project's are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from stockandflow import capture
from stockandflow.declarations import Flow, ModelTracker, Process, Stock
from stockandflow.registry import registry

Declare = Callable[..., None]


@contextmanager
def declared(*declarations: Stock | Flow | ModelTracker | Process) -> Iterator[None]:
    """Have the project's registry hold these too, with their capture in place; all is as before afterwards.

    In a transactional test only: MariaDB commits when triggers come and go.
    """
    kept = {name: list(getattr(registry, name)) for name in ("stocks", "flows", "trackers", "processes")}
    try:
        registry.register(*declarations)
        capture.install(registry, "default")
        yield
    finally:
        for tracker in registry.trackers:
            if tracker not in kept["trackers"]:
                capture.disconnect(tracker)
        for name, before in kept.items():
            setattr(registry, name, before)
        capture.install(registry, "default")


@pytest.fixture
def declare(transactional_db: None) -> Iterator[Declare]:
    """Declare something until the end of the test."""
    with ExitStack() as stack:

        def now(*declarations: Stock | Flow | ModelTracker | Process) -> None:
            stack.enter_context(declared(*declarations))

        yield now
