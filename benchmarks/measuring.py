"""Measuring two or more ways of one work beside each other, as ratios to the first.

The ways take turns (A B C, C B A, A B C …), so that what else the machine does meets all of them. A ratio is one of
the best times: anything else that runs can only add to a time, so the best is the nearest to what the work takes.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from django.db import connection

JUDGED = {"sqlite": True, "postgresql": True, "mysql": False}
"""The databases that the bounds are for; what the others take is stated."""


class NumbersDiffer(AssertionError):
    """Two ways that must come to the same numbers don't; no ratio of theirs means anything."""


@dataclass(frozen=True)
class Bound:
    """What a ratio must be: ``at_most`` is a cost, its opposite a gain."""

    ratio: float
    at_most: bool = True

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.ratio:g}"

    def holds(self, ratio: float) -> bool:
        return ratio <= self.ratio if self.at_most else ratio >= self.ratio


@dataclass(frozen=True)
class Way:
    """One way to do a work. ``prepare`` isn't timed; ``work`` is."""

    name: str
    work: Callable[[], object]
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Line:
    """One ratio: what ``way`` took, ``ratio`` times what ``baseline`` took (or, for a gain, the other way round).

    Times are the best of all rounds, in seconds for the whole work, and ``ratio`` is theirs. ``low`` and ``high`` are
    the quartiles of the ratios round by round: wide ones tell of a machine that does other things too.
    """

    benchmark: str
    database: str
    work: str
    baseline: str
    way: str
    baseline_s: float
    way_s: float
    ratio: float
    low: float
    high: float
    rounds: int
    bound: Bound | None = None
    judged: bool = True

    @property
    def verdict(self) -> str:
        if self.bound is None or not self.judged:
            return "stated"
        return "met" if self.bound.holds(self.ratio) else "missed"


def clock() -> float:
    """Seconds. SQLite works within this process, so its time is the process's own, whoever else uses the processor."""
    return time.process_time() if connection.vendor == "sqlite" else time.perf_counter()


def processor_clock() -> float:
    """Seconds of processor time, this process's and its PostgreSQL server process's where that one is at hand.

    For a machine that others use as well; the time that the two wait for each other is left out.
    """
    if connection.vendor != "postgresql":
        return clock()
    pid: Any = connection.connection.info.backend_pid
    try:
        served = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return clock()
    return time.process_time() + served


def timed(way: Way, clock: Callable[[], float] = clock) -> float:
    """The seconds that the work takes once; Python collects its garbage before, and not meanwhile."""
    way.prepare()
    gc.collect()
    gc.disable()
    try:
        started = clock()
        way.work()
        return clock() - started
    finally:
        gc.enable()


def alternated(ways: Sequence[Way], rounds: int, clock: Callable[[], float] = clock) -> list[list[float]]:
    """Seconds by way and round, in the order given; each round turns the order round. One round more warms up."""
    taken: list[list[float]] = [[] for _ in ways]
    for number in range(-1, rounds):
        order = list(enumerate(ways))
        for index, way in order if number % 2 else order[::-1]:
            seconds = timed(way, clock)
            if number >= 0:
                taken[index].append(seconds)
    return taken


def compared(
    benchmark: str,
    database: str,
    work: str,
    ways: Sequence[Way],
    rounds: int,
    bounds: Sequence[Bound | None] = (),
    *,
    judged: bool = True,
    clock: Callable[[], float] = clock,
) -> list[Line]:
    """Lines for every way but the first, which is the baseline; ``bounds`` in the order of those ways."""
    say(f"{database}: {benchmark}, {work}")
    baseline, *others = taken = alternated(ways, rounds, clock)
    given = [*bounds, *[None] * len(taken)]
    return [
        line(benchmark, database, work, (ways[0].name, baseline), (way.name, seconds), bound, judged=judged)
        for way, seconds, bound in zip(ways[1:], others, given, strict=False)
    ]


def line(
    benchmark: str,
    database: str,
    work: str,
    baseline: tuple[str, Sequence[float]],
    way: tuple[str, Sequence[float]],
    bound: Bound | None = None,
    *,
    judged: bool = True,
) -> Line:
    """One line from the seconds of two ways, round by round."""
    pairs = [(mine, theirs) for theirs, mine in zip(baseline[1], way[1], strict=True)]
    gain = bound is not None and not bound.at_most
    ratios = [theirs / mine if gain else mine / theirs for mine, theirs in pairs]
    low, _, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else (ratios[0],) * 3
    return Line(
        benchmark=benchmark,
        database=database,
        work=work,
        baseline=baseline[0],
        way=way[0],
        baseline_s=min(baseline[1]),
        way_s=min(way[1]),
        ratio=min(baseline[1]) / min(way[1]) if gain else min(way[1]) / min(baseline[1]),
        low=low,
        high=high,
        rounds=len(ratios),
        bound=bound,
        judged=judged and JUDGED[connection.vendor],
    )


def peak_of(work: Callable[[], object]) -> int:
    """The most memory that Python held while it worked, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def flat(of: str, low: int, high: int, *, judged: bool) -> None:
    """Tell two peaks of memory, in bytes; raises NumbersDiffer where the second is a fifth above the first or more."""
    say(f"{of}: Python's memory {low:,} B at most, and {high:,} B")
    if judged and high > 1.2 * low:
        raise NumbersDiffer(f"The memory of {of} grows: {low:,} B, then {high:,} B.")


def analyse(*tables: str) -> None:
    """Have the database know what is in these tables by now, as it does by itself in time."""
    how = {"postgresql": "VACUUM ANALYZE {}", "mysql": "ANALYZE TABLE {}"}.get(
        connection.vendor, "ANALYZE {}"
    )
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(how.format(table))
            if cursor.description:
                cursor.fetchall()


def say(text: str) -> None:
    """Tell how far it is, apart from the results."""
    print(f"  … {text}", file=sys.stderr, flush=True)
