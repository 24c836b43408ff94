"""Shares: numbers beside each other as horizontal bars, on one scale from zero."""

from __future__ import annotations

from collections.abc import Sequence

from stockandflow.drawing.scales import percent


def shares(values: Sequence[int | None], *, of: int | None = None) -> tuple[str, ...]:
    """The width of each value's bar, where ``of`` fills all of it: by default the largest one; 0 below zero."""
    full = max((value or 0 for value in values), default=0) if of is None else of
    return tuple(percent(min(1, max(0, value or 0) / full) if full > 0 else 0) for value in values)
