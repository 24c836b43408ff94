"""Where capture by signals is silent for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_silent: ContextVar[frozenset[str]] = ContextVar("stockandflow_silent", default=frozenset())


def is_silent(using: str) -> bool:
    """Whether signals capture nothing on that database now, in this thread."""
    return using in _silent.get()


@contextmanager
def silent(using: str) -> Iterator[None]:
    """Capture nothing by signals on that database inside, in this thread."""
    token = _silent.set(_silent.get() | {using})
    try:
        yield
    finally:
        _silent.reset(token)
