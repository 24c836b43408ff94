"""The schedule without cron: run what is due, sleep until the next is, until a signal says to end."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

from django.db import Error, close_old_connections, reset_queries

from stockandflow.periodic.entries import Schedule
from stockandflow.periodic.running import Outcome, State, run

logger = logging.getLogger(__name__)

LONGEST_SLEEP = timedelta(minutes=1)
"""What fails, or is held by another runner, is looked at again after it."""
SHORTEST_SLEEP = timedelta(seconds=1)
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ended_by_signals() -> Iterator[threading.Event]:
    """Gives an event that SIGTERM and SIGINT set; a second signal ends the process where it is, freeing what it holds.

    Signals reach a process's main thread alone; in another thread the event is never set.
    """
    ended = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        if ended.is_set():
            raise SystemExit(128 + number)
        ended.set()

    if threading.current_thread() is not threading.main_thread():
        yield ended
        return
    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def loop(
    schedule: Schedule,
    ended: threading.Event,
    *,
    using: str | None = None,
    only: Sequence[str] | None = None,
    send: Callable[[str], object] | None = None,
) -> Iterator[Outcome | Error]:
    """Run what is due again and again until ``ended`` is set; gives each outcome, or why the database wasn't there.

    Between runs it sleeps until the next entry is due, a minute at most. While the database is away, it is asked again
    after a second, two, four … up to a minute. ``send`` is that of ``run``.
    """
    away = SHORTEST_SLEEP
    while not ended.is_set():
        reset_queries()
        close_old_connections()
        started = time.monotonic()
        try:
            outcome = run(schedule, using=using, only=only, stop=ended.is_set, send=send)
        except Error as error:
            logger.exception("The schedule could not be run.")
            yield error
            ended.wait(away.total_seconds())
            away = min(2 * away, LONGEST_SLEEP)
            continue
        away = SHORTEST_SLEEP
        yield outcome
        taken = timedelta(seconds=time.monotonic() - started)
        ended.wait(max(_sleep(outcome) - taken, SHORTEST_SLEEP).total_seconds())


def _sleep(outcome: Outcome) -> timedelta:
    """How long after the outcome's instant something is due next."""
    settled = {State.DONE, State.SKIPPED, State.NOT_DUE}
    waits = [
        result.next_due - outcome.at
        for result in outcome.results
        if result.next_due is not None and result.state in settled
    ]
    return min([*waits, LONGEST_SLEEP])
