"""Holding a period of an entry: claimed by one runner at a time, and noted as done by the last claimant alone.

A claim is taken under the lock of its entry's row, by a conditional UPDATE with the database's clock. The
effect commits together with the note that the period is done, and that note fails for whoever lost the claim
meanwhile.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from django.db import Error, connections
from django.db.models import QuerySet

from stockandflow.exceptions import LeaseLost
from stockandflow.models import ScheduleEntry, ScheduleRun, turns
from stockandflow.models.clock import DatabaseNow, fresh
from stockandflow.periodic.entries import Entry, alike
from stockandflow.periodic.frequencies import Bounds
from stockandflow.periods import TICK

logger = logging.getLogger(__name__)

Status = ScheduleRun.Status


@dataclass(frozen=True)
class Claim:
    """A period that this runner holds. ``missed_since``: the start of the first period before it without a run."""

    pk: int
    entry_pk: int
    owner: str
    attempt: int
    lease: timedelta
    using: str
    period: Bounds
    missed_since: datetime | None

    @property
    def row(self) -> QuerySet[ScheduleRun]:
        """The row of the period, and no row once somebody else holds it."""
        return ScheduleRun.objects.using(self.using).filter(
            pk=self.pk, owner=self.owner, attempt=self.attempt, status=Status.RUNNING
        )


@dataclass(frozen=True)
class Refusal:
    """Why no period was claimed.

    ``skipped``: the period was passed over, for good. ``busy``: another runner is at the entry. Neither:
    nothing is due, and there is no period.
    """

    period: Bounds | None = None
    busy: bool = False
    skipped: bool = False
    missed_since: datetime | None = None


def owner_name() -> str:
    """A name that no other runner has, with the process and the machine for people."""
    return f"{uuid.uuid4().hex[:12]} {os.getpid()}@{socket.gethostname()}"[:100]


def drop_broken_connection(using: str) -> None:
    """Have the next query open a new connection when this one is gone; in a caller's transaction it stays.

    One that works stays too, however old it may become: where a project keeps none, each entry would open its own.
    """
    connection = connections[using]
    if connection.in_atomic_block:
        return
    age, connection.close_at = connection.close_at, None
    try:
        connection.close_if_unusable_or_obsolete()
    finally:
        connection.close_at = age


def states(names: Iterable[str], using: str) -> dict[str, ScheduleEntry]:
    """Name of an entry → what is known of it, for those that somebody has looked at. One query.

    MariaDB finds a row whose name is written in another way too, and keeps no second one.
    """
    wanted = list(names)
    found = {alike(state.name): state for state in ScheduleEntry.objects.using(using).filter(name__in=wanted)}
    return {name: found[alike(name)] for name in wanted if alike(name) in found}


def last_seen_to(entry: Entry, state: ScheduleEntry | None) -> Bounds | None:
    """The latest period that was run or passed over; None where there was none."""
    return None if state is None or state.high_water is None else entry.period(state.high_water)


def wanted(entry: Entry, state: ScheduleEntry | None, current: Bounds) -> Iterator[Bounds]:
    """The periods that may want a run while ``current`` is under way, oldest first; ``current`` is the last."""
    if entry.catch_up == "all":
        period = last_seen_to(entry, state)
        while period is not None and (period := entry.period(period.end)) and period.start < current.start:
            yield period
    yield current


def passed_over(entry: Entry, state: ScheduleEntry | None, current: Bounds) -> bool:
    """Whether an entry with ``catch_up="skip"`` comes to ``current`` after a gap of a whole period or more.

    Where somebody looked within the period before, ``current`` is wanted, and stays so until it is done.
    """
    if entry.catch_up != "skip":
        return False
    before = entry.period(current.start - TICK)
    seen = None if state is None else state.seen_at
    return before is None or seen is None or seen < before.start


def claim(entry: Entry, current: Bounds, at: datetime, owner: str, using: str) -> Claim | Refusal:
    """Take the oldest period that the entry wants at ``at``, within ``current``.

    One transaction of three queries for a new period, and one more where nobody has looked yet at ``at``. SQLite, which
    has no locking read, takes another one; so do PostgreSQL and MariaDB, to see all that was committed before they had
    the lock, whatever the project's isolation.
    """
    with fresh(using):
        state = turns.locked(entry.name, using)
        if state is None:
            return Refusal(current, busy=True)
        if state.forgot(current.end):
            return Refusal()
        skip = passed_over(entry, state, current)
        if state.seen_at is None or state.seen_at < at:
            turns.seen(state.pk, at, using)
        for period in wanted(entry, state, current):
            rows = turns.rows(state.pk, period.start, using)
            row = _of(period, rows)
            if row is None or not row.settled:
                if skip:
                    return _pass_over(entry, state, period, rows, using)
                return _take(entry, state, period, rows, owner, using)
    return Refusal()


def claim_missed(entry: Entry, period: Bounds, owner: str, using: str) -> Claim | Refusal:
    """Take a period that is over, unless it is done or its run would have been deleted. One transaction.

    One that was passed over can be taken too. It isn't noted that somebody looked: the schedule may be silent all the
    same.
    """
    with fresh(using):
        state = turns.locked(entry.name, using)
        if state is None:
            return Refusal(period, busy=True)
        rows = turns.rows(state.pk, period.start, using)
        row = _of(period, rows)
        if state.forgot(period.end) or (row is not None and row.status == Status.DONE):
            return Refusal()
        return _take(entry, state, period, rows, owner, using, also=(Status.SKIPPED,))


def _of(period: Bounds, rows: list[ScheduleRun]) -> ScheduleRun | None:
    return next((row for row in rows if row.period_start == period.start), None)


def _nobody_else_is_at_it(rows: list[ScheduleRun], row: ScheduleRun | None, using: str) -> bool:
    """Whether all that run another period of the entry are gone, or stalled; these are noted as failed."""
    others = [other.pk for other in rows if other != row and other.status == Status.RUNNING]
    return not others or turns.fail_gone(others, using) == len(others)


def _take(
    entry: Entry,
    state: ScheduleEntry,
    period: Bounds,
    rows: list[ScheduleRun],
    owner: str,
    using: str,
    *,
    also: tuple[Status, ...] = (),
) -> Claim | Refusal:
    """Take the period, under the lock of the entry's row; ``rows`` are its own, if there is one, and those that run.

    ``also`` are the states that are taken beside those of a period that nobody has seen to.
    """
    row = _of(period, rows)
    if not _nobody_else_is_at_it(rows, row, using):
        return Refusal(period, busy=True)
    missed_since = _missed_since(entry, state, period)
    if row is None:
        key = turns.start(state.pk, (period.start, period.end), missed_since, owner, entry.lease, using)
        return Claim(key, state.pk, owner, 1, entry.lease, using, period, missed_since)
    if not turns.restart(row, owner, entry.lease, using, also=also):
        return Refusal(period, busy=True)
    return Claim(row.pk, state.pk, owner, row.attempt + 1, entry.lease, using, period, missed_since)


def _pass_over(
    entry: Entry, state: ScheduleEntry, period: Bounds, rows: list[ScheduleRun], using: str
) -> Refusal:
    """Note the period as passed over, unless somebody is at the entry."""
    row = _of(period, rows)
    if (row is not None and row.status == Status.RUNNING) or not _nobody_else_is_at_it(rows, row, using):
        return Refusal(period, busy=True)
    missed_since = _missed_since(entry, state, period)
    ScheduleRun.objects.using(using).update_or_create(
        entry_id=state.pk,
        period_start=period.start,
        defaults={"status": Status.SKIPPED, "finished_at": DatabaseNow()},
        create_defaults={
            "period_end": period.end,
            "missed_since": missed_since,
            "status": Status.SKIPPED,
            "finished_at": DatabaseNow(),
        },
    )
    turns.raise_high_water(state.pk, period.start, using)
    return Refusal(period, skipped=True, missed_since=missed_since)


def _missed_since(entry: Entry, state: ScheduleEntry, period: Bounds) -> datetime | None:
    last = last_seen_to(entry, state)
    return last.end if last is not None and last.end < period.start else None


def hold_on_sqlite(claim: Claim) -> None:
    """Become SQLite's one writer before anything is read; raises LeaseLost.

    A transaction that has read can't write any more once somebody else has written, so the effect would be
    lost to any other writer. On the other databases this lock would keep everybody from taking over after a
    stalled runner.
    """
    if connections[claim.using].vendor == "sqlite" and not claim.row.update(heartbeat_at=DatabaseNow()):
        raise LeaseLost(_lost(claim))


def settle(claim: Claim, duration: timedelta, message: str) -> None:
    """Note the period as done, in the transaction of its effect; raises LeaseLost, which takes the effect back."""
    # The entry's row before the run's, as in claim(): two runners never wait for each other.
    turns.raise_high_water(claim.entry_pk, claim.period.start, claim.using)
    if not turns.finish(claim.pk, claim.owner, claim.attempt, duration, message, claim.using):
        raise LeaseLost(_lost(claim))


def give_up(claim: Claim, duration: timedelta, message: str, traceback: str) -> None:
    """Keep the traceback and free the period; when the database is gone, its lease's end frees it."""
    try:
        drop_broken_connection(claim.using)
        claim.row.update(
            status=Status.FAILED,
            leased_until=None,
            finished_at=DatabaseNow(),
            duration=duration,
            message=message,
            traceback=traceback,
        )
    except Error:
        logger.exception("The failure of the run %s could not be noted.", claim.pk)


def _lost(claim: Claim) -> str:
    return (
        f"The run for the period from {claim.period.start.isoformat()} was taken over by another runner once its "
        f"lease of {claim.lease} was over; what this one did in the database is taken back. If nothing stalled it, "
        "give the entry a longer lease."
    )


class Heartbeat:
    """Renews the lease of the claim that is held, three times in its length, from one thread with its own connection.

    The thread begins with the first claim and ends with the block: a thread for each would take longer than the claim.
    """

    def __init__(self) -> None:
        self._claim: Claim | None = None
        self._due = self._wakes = math.inf
        self._over = False
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()

    @contextmanager
    def of(self, claim: Claim) -> Iterator[None]:
        """Keep this claim while the block runs.

        Not in a transaction of the caller's, where no other connection can see it.
        """
        if connections[claim.using].in_atomic_block:
            yield
            return
        with self._changed:
            self._claim, self._due = claim, time.monotonic() + _pause(claim)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
                self._thread.start()
            elif self._due < self._wakes:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:  # a beat that is under way comes to its end
                self._claim, self._due = None, math.inf

    def _beat(self) -> None:
        try:
            with self._changed:
                while not self._over:
                    wait = self._due - time.monotonic()
                    if wait > 0:
                        self._wakes = self._due
                        self._changed.wait(None if wait == math.inf else min(wait, threading.TIMEOUT_MAX))
                    elif self._claim is not None:
                        held = _renew(self._claim)
                        self._due = time.monotonic() + _pause(self._claim) if held else math.inf
        finally:
            connections.close_all()


def _pause(claim: Claim) -> float:
    return claim.lease.total_seconds() / 3


def _renew(claim: Claim) -> bool:
    """Renew the lease; False once somebody else holds the period."""
    try:
        return bool(claim.row.update(heartbeat_at=DatabaseNow(), leased_until=DatabaseNow() + claim.lease))
    except Error:
        # SQLite's one writer is the entry itself, or the database is away for a moment: the next beat.
        logger.debug("No heartbeat for the run %s.", claim.pk, exc_info=True)
        connections[claim.using].close()
        return True
