"""Running what is due: each entry once for each period, by however many runners, and one failing alone."""

from __future__ import annotations

import logging
import signal
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import islice
from types import CodeType
from typing import Any

from django.db import Error, router

from stockandflow.exceptions import InvalidInput
from stockandflow.models import ScheduleEntry, ScheduleRun, turns
from stockandflow.models.clock import DatabaseNow, database_now, fresh
from stockandflow.models.texts import storable
from stockandflow.periodic.claims import (
    Claim,
    Heartbeat,
    Refusal,
    claim,
    claim_missed,
    drop_broken_connection,
    give_up,
    hold_on_sqlite,
    last_seen_to,
    owner_name,
    passed_over,
    settle,
    states,
    wanted,
)
from stockandflow.periodic.entries import Entry, Schedule
from stockandflow.periodic.frequencies import Bounds
from stockandflow.periods import aware

logger = logging.getLogger(__name__)

MESSAGE_LENGTH = 2000
"""What an entry returns, or its error, is kept up to this many characters."""
ENDING_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM")
    if hasattr(signal, name)
]
LISTED = 1000
"""``look`` names this many due periods of an entry at most."""


class State(StrEnum):
    """What became of an entry in one run of the schedule."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    SENT = "sent"
    BUSY = "busy"
    NOT_DUE = "not due"
    NEVER = "never"


@dataclass(frozen=True)
class Result:
    """What became of an entry, for one period; ``period`` is None when nothing of it was due.

    ``missed_since`` is the start of the first period before this one that was never run for, None without a
    gap; ``next_due`` is when its next period begins.
    """

    entry: Entry
    state: State
    period: Bounds | None = None
    message: str = ""
    duration: timedelta | None = None
    traceback: str = ""
    missed_since: datetime | None = None
    next_due: datetime | None = None


@dataclass(frozen=True)
class Outcome:
    """What one run of the schedule did: results in the order of the entries, and of their periods."""

    at: datetime
    results: tuple[Result, ...]

    @property
    def failed(self) -> list[Result]:
        """The results that somebody must look at."""
        return [result for result in self.results if result.state is State.FAILED]


@dataclass(frozen=True)
class Look:
    """What is known of an entry at an instant.

    ``due`` are the periods that a run would run now, oldest first, a thousand at most. ``next_due`` is the
    instant from which something is due, in the past when something is; None for an entry that never runs.
    ``last_run`` is its run for the latest period. ``late`` is how long ago the last period ended that was run or
    passed over, or the due one began where none was; None where nothing is due, or a runner is at it.
    """

    entry: Entry
    due: tuple[Bounds, ...]
    next_due: datetime | None
    last_run: ScheduleRun | None
    late: timedelta | None = None


class _Known:
    """What two queries say of entries: their states, and whether their ``periods`` at an instant are settled."""

    def __init__(self, entries: Sequence[Entry], at: datetime, using: str) -> None:
        self.periods = {entry.name: entry.period(at) for entry in entries}
        self.states = states(self.periods, using)
        settled = ScheduleRun.objects.using(using).filter(
            entry__in=[state.pk for state in self.states.values()],
            period_start__in={period.start for period in self.periods.values() if period},
            status__in=ScheduleRun.SETTLED,
        )
        self._settled = set(settled.values_list("entry_id", "period_start"))

    def held(self, using: str) -> set[str]:
        """The names of the entries that a runner is at, which gives signs of life. One query."""
        names = {state.pk: name for name, state in self.states.items()}
        runs = ScheduleRun.objects.using(using).filter(
            entry__in=names, status=ScheduleRun.Status.RUNNING, leased_until__gt=DatabaseNow()
        )
        return {names[pk] for pk in runs.values_list("entry_id", flat=True)}

    def settled(self, entry: Entry, period: Bounds) -> bool:
        state = self.states.get(entry.name)
        return state is not None and ((state.pk, period.start) in self._settled or state.forgot(period.end))


def run(
    schedule: Schedule,
    *,
    now: datetime | None = None,
    using: str | None = None,
    only: Sequence[str] | None = None,
    stop: Callable[[], bool] = lambda: False,
    send: Callable[[str], object] | None = None,
) -> Outcome:
    """Run what is due, entry after entry; safe with any number of runners at once.

    ``now`` decides what is due, the database's clock unless given. ``only`` names the entries to look at. An
    entry that raises is noted as failed, with its traceback, and tried again by the next run; it stops no
    other. ``stop`` is asked before each period; once it says so, nothing more is begun. Raises InvalidInput for an
    unknown name. Four queries when nothing is due.

    With ``send`` nothing is run here: it is called with the name of each entry that is due and that no runner is
    at, for another process to run. Five queries.
    """
    using = using or router.db_for_write(ScheduleRun)
    entries = schedule.chosen(only)
    at = database_now(using) if now is None else aware(now, "now")
    owner = owner_name()
    known = _Known(entries, at, using)
    new = [name for name, period in known.periods.items() if period and name not in known.states]
    if new:
        _make(new, using)
    for name, state in known.states.items():
        if state.name != name:
            ScheduleEntry.objects.using(using).filter(pk=state.pk).update(name=name)
    idle, results = [], []
    held = known.held(using) if send else set()
    with Heartbeat() as heartbeat:
        for entry in entries:
            if stop():
                break
            current = known.periods[entry.name]
            if current is None:
                results.append(Result(entry, State.NEVER))
            elif known.settled(entry, current):
                idle.append(known.states[entry.name].pk)
                results.append(Result(entry, State.NOT_DUE, next_due=current.end))
            elif send:
                results.append(_send(entry, current, send, busy=entry.name in held))
            else:
                drop_broken_connection(using)
                results += _run_entry(entry, current, at, owner, using, stop, heartbeat)
    _note_seen(idle, at, using)
    return Outcome(at, tuple(results))


def run_period(
    schedule: Schedule, name: str, start: datetime, *, now: datetime | None = None, using: str | None = None
) -> Result:
    """Run an entry for the one period that begins at ``start``, which was missed, passed over or failed.

    It is run once, whoever else asks for it or runs the schedule: the result is BUSY while a runner is at the entry,
    and NOT_DUE where the period is done, or so old that its run would have been deleted. ``now`` is the database's
    instant unless given.

    Raises InvalidInput for an unknown name, for an entry that is told no period or catches up by itself, for a start
    at which no period begins, and for a period that isn't over.
    """
    using = using or router.db_for_write(ScheduleRun)
    entry = schedule.entry(name)
    at = database_now(using) if now is None else aware(now, "now")
    period = _missed_period(entry, aware(start, "start"), at)
    _make([entry.name], using)
    claimed = claim_missed(entry, period, owner_name(), using)
    if isinstance(claimed, Claim):
        with Heartbeat() as heartbeat:
            return _perform(entry, claimed, heartbeat)
    if claimed.busy:
        return _refused(entry, claimed, period)
    return Result(entry, State.NOT_DUE, period, "it was run for that period already")


def _missed_period(entry: Entry, start: datetime, at: datetime) -> Bounds:
    if not entry.takes_periods:
        why = (
            "it catches up with what was missed by itself, oldest first: run what is due of it"
            if entry.catch_up == "all"
            else "its callable isn't told the period: give it a parameter of that name"
        )
        raise InvalidInput(f"The entry {entry.name!r} can't be run for one period, since {why}.")
    period = entry.period(start)
    if period is None or period.start != start:
        near = "it never runs" if period is None else f"the nearest begins at {period.start.isoformat()}"
        raise InvalidInput(
            f"No period of the entry {entry.name!r} begins at {start.isoformat()}; {near}. Write the start of a period."
        )
    if period.end > at:
        raise InvalidInput(
            f"The period of the entry {entry.name!r} from {start.isoformat()} isn't over; run what is due of it "
            "instead."
        )
    return period


def _make(names: Sequence[str], using: str) -> None:
    """Rows for entries that have none, in one order: in two, two runners would wait for each other."""
    with fresh(using):
        ScheduleEntry.objects.using(using).bulk_create(
            [ScheduleEntry(name=name) for name in sorted(names)], ignore_conflicts=True
        )


def _note_seen(entry_pks: list[int], at: datetime, using: str) -> None:
    """Note that somebody looked; when it fails, what has run is told all the same."""
    try:
        if entry_pks:
            turns.seen_idle(entry_pks, at, using)
    except Error:
        logger.exception("It could not be noted that the schedule was run at %s.", at)


def look(
    schedule: Schedule,
    *,
    now: datetime | None = None,
    using: str | None = None,
    only: Sequence[str] | None = None,
) -> list[Look]:
    """What is due, when the rest will be, and how it went last; writes nothing.

    Three queries, and one for each entry that has been seen.
    """
    using = using or router.db_for_read(ScheduleRun)
    at = database_now(using) if now is None else aware(now, "now")
    return looked(schedule.chosen(only), at, using)


def looked(
    entries: Sequence[Entry],
    at: datetime,
    using: str,
    runs: Mapping[str, Sequence[ScheduleRun]] | None = None,
) -> list[Look]:
    """Each entry as it stands at ``at``; two queries, and one for each that has been seen.

    ``runs``, by the entry's name, are those known already, newest first, and spare the query for each.
    """
    known = _Known(entries, at, using)
    found = []
    for entry in entries:
        current, state = known.periods[entry.name], known.states.get(entry.name)
        if runs is not None:
            last = next(iter(runs.get(entry.name, ())), None)
        else:
            last = None if state is None else state.runs.using(using).order_by("-period_start").first()
        due: tuple[Bounds, ...] = ()
        if current is None:
            found.append(Look(entry, (), None, last))
            continue
        if not known.settled(entry, current) and not passed_over(entry, state, current):
            due = tuple(islice(wanted(entry, state, current), LISTED))
        held = last is not None and last.held(at)
        late = _late(entry, state, due[0], at) if due and not held else None
        found.append(Look(entry, due, due[0].start if due else current.end, last, late))
    return found


def _late(entry: Entry, state: ScheduleEntry | None, due: Bounds, at: datetime) -> timedelta:
    last = last_seen_to(entry, state)
    return at - (due.start if last is None else last.end)


def _run_entry(
    entry: Entry,
    current: Bounds,
    at: datetime,
    owner: str,
    using: str,
    stop: Callable[[], bool],
    heartbeat: Heartbeat,
) -> list[Result]:
    """Run one period, or with ``catch_up="all"`` one after the other until one fails."""
    results: list[Result] = []
    while True:
        try:
            claimed = claim(entry, current, at, owner, using)
        except Error as error:
            logger.exception("The schedule's entry %r could not be claimed.", entry.name)
            trace = storable(traceback.format_exc())
            return [*results, Result(entry, State.FAILED, None, _describe(error), traceback=trace)]
        if isinstance(claimed, Refusal):
            refused = _refused(entry, claimed, current)
            return results if results and refused.state is State.NOT_DUE else [*results, refused]
        results.append(_perform(entry, claimed, heartbeat))
        if entry.catch_up != "all" or results[-1].state is not State.DONE or stop():
            return results


def _send(entry: Entry, current: Bounds, send: Callable[[str], object], *, busy: bool) -> Result:
    if busy:
        return _refused(entry, Refusal(current, busy=True), current)
    try:
        send(entry.name)
    except Exception as error:
        logger.exception("The schedule's entry %r could not be sent.", entry.name)
        trace = storable(traceback.format_exc())
        return Result(entry, State.FAILED, None, _describe(error), traceback=trace)
    return Result(entry, State.SENT, current, next_due=current.end)


def _refused(entry: Entry, refusal: Refusal, current: Bounds) -> Result:
    if refusal.busy:
        message = "another runner is at it"
        return Result(entry, State.BUSY, refusal.period, message, next_due=current.end)
    state = State.SKIPPED if refusal.skipped else State.NOT_DUE
    return Result(entry, state, refusal.period, missed_since=refusal.missed_since, next_due=current.end)


def _perform(entry: Entry, claim: Claim, heartbeat: Heartbeat) -> Result:
    """Call the entry for the period that is held, and note how it went."""
    started = time.monotonic()
    handlers = _signal_handlers()

    def result(state: State, message: str, trace: str = "") -> Result:
        return Result(
            entry=entry,
            state=state,
            period=claim.period,
            message=message,
            duration=timedelta(seconds=time.monotonic() - started),
            traceback=trace,
            missed_since=claim.missed_since,
            next_due=claim.period.end,
        )

    try:
        with heartbeat.of(claim):
            last_step = (
                partial(entry.call, claim.period) if entry.atomic else _last_step(entry.call(claim.period))
            )
            # In a snapshot, the note at the end would meet the heartbeats since its begin, and be refused.
            with fresh(claim.using):
                hold_on_sqlite(claim)
                returned = last_step()
                done = result(State.DONE, "" if returned is None else _kept(str(returned)))
                settle(claim, done.duration or timedelta(), done.message)
    except BaseException as error:
        failed = result(State.FAILED, _describe(error), storable(traceback.format_exc()))
        give_up(claim, failed.duration or timedelta(), failed.message, failed.traceback)
        if _ends_the_process(error, handlers):
            raise  # what it held is free again
        logger.exception("The schedule's entry %r failed, period from %s.", entry.name, claim.period.start)
        return failed
    return done


def _signal_handlers() -> set[CodeType]:
    """The code of what this process does at signals that may end it."""
    found = set()
    for number in ENDING_SIGNALS:
        handler = signal.getsignal(number)
        if not callable(handler):
            continue
        code = getattr(handler if hasattr(handler, "__code__") else type(handler).__call__, "__code__", None)
        if isinstance(code, CodeType):
            found.add(code)
    return found


def _ends_the_process(error: BaseException, handlers: set[CodeType]) -> bool:
    """Whether it came from outside, such as a signal; a ``sys.exit()`` of the entry's own is its failure."""
    if isinstance(error, SystemExit):
        return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__))
    return not isinstance(error, Exception)


def _last_step(returned: Any) -> Any:
    """What is left for the transaction that notes the period as done: to call, or to give, what was returned."""
    return returned if callable(returned) else lambda: returned


def _describe(error: BaseException) -> str:
    name = type(error).__name__
    with suppress(Exception):  # one that can't say what it is was raised all the same
        return _kept(f"{name}: {error}")
    return name


def _kept(message: str) -> str:
    return storable(message)[:MESSAGE_LENGTH]
