"""Batches: how a long list comes into statements of a bounded length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


def batched(given: list[T], size: int) -> Iterator[list[T]]:
    """The same in lists of that size, the last one shorter; none for nothing."""
    for start in range(0, len(given), size):
        yield given[start : start + size]
