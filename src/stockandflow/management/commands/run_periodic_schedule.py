"""``manage.py run_periodic_schedule``: run what is due, once or in a loop, and say what ran, failed and comes next."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from stockandflow.commands import told_to_migrate
from stockandflow.distributed import queue
from stockandflow.exceptions import StockAndFlowError
from stockandflow.models import ScheduleRun
from stockandflow.periodic import (
    GRACE,
    Bounds,
    Entry,
    Look,
    Result,
    State,
    ended_by_signals,
    look,
    loop,
    run,
    schedule,
)
from stockandflow.periods import TICK
from stockandflow.registry import registry

MOST_SECONDS = 1e9
Send = Callable[[str], object] | None
DID_SOMETHING = {State.DONE, State.FAILED, State.SKIPPED, State.SENT}


class Command(BaseCommand):
    """Called by cron every minute, or as often as the most frequent entry wants; or left running with ``--loop``."""

    help = "Run the entries of the schedule that are due. Exits with 1 when one of them failed."

    def add_arguments(self, parser: CommandParser) -> None:
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument(
            "--list", action="store_true", help="Run nothing; list the entries with last run and next due."
        )
        instead.add_argument("--dry-run", action="store_true", help="Run nothing; say what would be run now.")
        instead.add_argument(
            "--check",
            action="store_true",
            help="Run nothing; name the entries that are overdue, and exit with 1 when there are any.",
        )
        instead.add_argument(
            "--loop",
            action="store_true",
            help="Run what is due whenever it is, until SIGTERM or Ctrl-C: for those without cron.",
        )
        parser.add_argument(
            "--grace",
            type=_grace,
            default=GRACE,
            metavar="SECONDS",
            help=f"With --check: how late an entry may be; {GRACE.total_seconds():.0f} unless given.",
        )
        parser.add_argument(
            "--enqueue",
            action="store_true",
            help="Run nothing here; send the names of the entries that are due to the workers of the setting QUEUE.",
        )
        parser.add_argument(
            "--only",
            action="append",
            metavar="NAME",
            help="Look at the entry of that name only; may be given several times.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            send = queue().send_entry if options["enqueue"] else None
            with told_to_migrate(registry):
                if options["list"]:
                    self._write(_listed(found) for found in look(schedule, only=options["only"]))
                elif options["dry_run"]:
                    self._write(_planned(found) for found in look(schedule, only=options["only"]))
                elif options["check"]:
                    self._check(look(schedule, only=options["only"]), options["grace"])
                elif options["loop"]:
                    self._loop(options["only"], options["verbosity"], send)
                else:
                    self._run(options["only"], options["verbosity"], send)
        except StockAndFlowError as error:
            raise CommandError(str(error)) from error

    def _check(self, looks: Sequence[Look], grace: timedelta) -> None:
        overdue = [found for found in looks if found.late is not None and found.late > grace]
        if not overdue:
            self.stdout.write("Nothing is overdue.")
            return
        self._write(_overdue(found) for found in overdue)
        one = len(looks) == 1
        raise CommandError(
            f"{len(overdue)} of {len(looks)} {'entry is' if one else 'entries are'} overdue. Look whether the schedule "
            "is still called, and into the messages of what failed."
        )

    def _loop(self, only: Sequence[str] | None, verbosity: int, send: Send) -> None:
        entries = schedule.chosen(only)
        with ended_by_signals() as ended:
            if verbosity > 0:
                doing = "Sending" if send else "Running"
                self.stdout.write(f"{doing} {len(entries)} entries as they come due; Ctrl-C ends it.")
            for outcome in loop(schedule, ended, only=only, send=send):
                if isinstance(outcome, Error):
                    self.stderr.write(f"The database could not be asked: {_line(str(outcome))}")
                    continue
                shown = DID_SOMETHING if verbosity > 0 else {State.FAILED}
                if lines := [_told(result) for result in outcome.results if result.state in shown]:
                    self._write(lines)
                self.stdout.flush()
            if verbosity > 0:
                self.stdout.write("Ended; nothing is held.")

    def _run(self, only: Sequence[str] | None, verbosity: int, send: Send) -> None:
        with ended_by_signals() as ended:
            outcome = run(schedule, only=only, stop=ended.is_set, send=send)
        if verbosity > 0:
            self._write(_told(result) for result in outcome.results)
        if outcome.failed:
            # The tracebacks are logged, and kept with the runs.
            told = "; ".join(f"{result.entry.name} ({_line(result.message)})" for result in outcome.failed)
            entries = len({result.entry.name for result in outcome.results})
            raise CommandError(
                f"{len(outcome.failed)} of {entries} entries {'could not be sent' if send else 'failed'}: {told}. "
                "The next run tries again."
            )

    def _write(self, lines: Iterable[tuple[str, ...]]) -> None:
        """Write lines of cells, in columns; the first cell is a state, and has its colour."""
        rows = list(lines)
        if not rows:
            self.stdout.write("The schedule is empty.")
        widths = [
            max(len(row[column]) for row in rows if column < len(row)) for column in range(_longest(rows))
        ]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            colour = {"done": self.style.SUCCESS, "due": self.style.SUCCESS, "failed": self.style.ERROR}
            colour["overdue"] = self.style.ERROR
            first = colour[row[0]](cells[0]) if row[0] in colour else cells[0]
            self.stdout.write("  ".join([first, *cells[1:]]).rstrip())


def _longest(rows: Sequence[Sequence[str]]) -> int:
    return max((len(row) for row in rows), default=0)


def _told(result: Result) -> tuple[str, ...]:
    """State, name, period or next due, duration, message."""
    state, entry = result.state.value, result.entry
    if result.state is State.NEVER:
        return state, entry.name
    if result.period is None:
        if result.state is State.FAILED:
            return state, entry.name, "", "", result.message
        return state, entry.name, f"next {_instant(entry, result.next_due)}"
    message = _line(result.message)
    if result.state is State.SKIPPED:
        message = f"begun before this run; next {_instant(entry, result.next_due)}"
    if result.missed_since:
        message = f"{message} (none since {_instant(entry, result.missed_since)})".strip()
    return state, entry.name, _period(entry, result.period), _duration(result.duration), message


def _listed(found: Look) -> tuple[str, ...]:
    """Due or not, name, frequency, next due, last run."""
    entry, last = found.entry, found.last_run
    state = "due" if found.due else "never" if found.next_due is None else "not due"
    word = "since" if found.due else "next"
    following = "" if found.next_due is None else f"{word} {_instant(entry, found.next_due)}"
    past = "never run" if last is None else _last(entry, last)
    return state, entry.name, entry.frequency.value, following, past


def _last(entry: Entry, run: ScheduleRun) -> str:
    at = run.finished_at or run.started_at
    parts = [f"last {run.status}"]
    if at:
        parts.append(_instant(entry, at))
    if run.duration is not None:
        parts.append(f"in {_duration(run.duration)}")
    text = " ".join(parts)
    message = _line(run.message)
    return f"{text}: {message}" if message else text


def _overdue(found: Look) -> tuple[str, ...]:
    """Overdue, name, by how much, last run."""
    past = "never run" if found.last_run is None else _last(found.entry, found.last_run)
    return "overdue", found.entry.name, f"by {_rounded(found.late or timedelta())}", past


def _rounded(duration: timedelta) -> str:
    """In its two largest units, e.g. ``3 h 12 min``."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2])


def _grace(text: str) -> timedelta:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= MOST_SECONDS:
        raise ArgumentTypeError(f"{text!r} is no number of seconds; write e.g. 300")
    return timedelta(seconds=seconds)


def _planned(found: Look) -> tuple[str, ...]:
    """Due or not, name, the periods that would be run or when the next one begins."""
    if not found.due:
        state, name, _, following, _ = _listed(found)
        return state, name, following
    first = _period(found.entry, found.due[0])
    more = f" and {len(found.due) - 1} more" if len(found.due) > 1 else ""
    return "due", found.entry.name, f"{first}{more}"


def _line(message: str) -> str:
    return " ".join(message.split())


def _duration(duration: timedelta | None) -> str:
    return "" if duration is None else f"{duration.total_seconds():.2f} s"


def _instant(entry: Entry, at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(entry.calendar.zone):%Y-%m-%d %H:%M %Z}"


def _period(entry: Entry, period: Bounds) -> str:
    """Days where it is made of whole days, the last one included; else clock times."""
    calendar = entry.calendar
    first, last = (
        calendar.local_date(period.start),
        calendar.local_date(period.end - TICK),
    )
    if calendar.midnight(first) == period.start and calendar.midnight(last) < period.end and first != last:
        return f"{first} to {last}"
    if (
        calendar.midnight(first) == period.start
        and calendar.midnight(first + timedelta(days=1)) == period.end
    ):
        return str(first)
    start, end = (at.astimezone(calendar.zone) for at in period)
    ended = f"{end:%H:%M %Z}" if first == last else f"{end:%Y-%m-%d %H:%M %Z}"
    return f"{start:%Y-%m-%d %H:%M} to {ended}"
