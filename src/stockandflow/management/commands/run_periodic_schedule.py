"""``manage.py run_periodic_schedule``: run what is due, and say what ran, what failed and what comes next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from stockandflow.commands import told_to_migrate
from stockandflow.exceptions import StockAndFlowError
from stockandflow.models import ScheduleRun
from stockandflow.periodic import Bounds, Entry, Look, Result, State, look, run, schedule
from stockandflow.registry import registry


class Command(BaseCommand):
    """Called by cron every minute, or as often as the most frequent entry wants."""

    help = "Run the entries of the schedule that are due. Exits with 1 when one of them failed."

    def add_arguments(self, parser: CommandParser) -> None:
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument(
            "--list", action="store_true", help="Run nothing; list the entries with last run and next due."
        )
        instead.add_argument("--dry-run", action="store_true", help="Run nothing; say what would be run now.")
        parser.add_argument(
            "--only",
            action="append",
            metavar="NAME",
            help="Look at the entry of that name only; may be given several times.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with told_to_migrate(registry):
                if options["list"]:
                    self._write(_listed(found) for found in look(schedule, only=options["only"]))
                elif options["dry_run"]:
                    self._write(_planned(found) for found in look(schedule, only=options["only"]))
                else:
                    self._run(options["only"], options["verbosity"])
        except StockAndFlowError as error:
            raise CommandError(str(error)) from error

    def _run(self, only: Sequence[str] | None, verbosity: int) -> None:
        outcome = run(schedule, only=only)
        if verbosity > 0:
            self._write(_told(result) for result in outcome.results)
        if outcome.failed:
            # The tracebacks are logged, and kept with the runs.
            told = "; ".join(f"{result.entry.name} ({_line(result.message)})" for result in outcome.failed)
            entries = len({result.entry.name for result in outcome.results})
            raise CommandError(
                f"{len(outcome.failed)} of {entries} entries failed: {told}. The next run tries again."
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
        calendar.local_date(period.end - timedelta(microseconds=1)),
    )
    if calendar.midnight(first) == period.start and calendar.midnight(last) < period.end and first != last:
        return f"{first} to {last}"
    if (
        calendar.midnight(first) == period.start
        and calendar.midnight(first + timedelta(days=1)) == period.end
    ):
        return str(first)
    start, end = (at.astimezone(calendar.zone) for at in period)
    return f"{start:%Y-%m-%d %H:%M} to {end:%H:%M %Z}"
