"""``stockandflow record``: count every stock now, and bring the flow records up to date."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from stockandflow import recording
from stockandflow.periods import Calendar
from stockandflow.ranges import instant
from stockandflow.recording.flows import Progress
from stockandflow.registry import registry

HELP = "Count every registered stock now, and bring the records of flows and levels up to date."


def add_arguments(parser: CommandParser) -> None:
    """``--since``, ``--until`` and ``--restate``."""
    parser.add_argument(
        "--since",
        metavar="DATE",
        help="Compute these days anew too, from this one on: YYYY-MM-DD, or an instant such as "
        "2026-03-29T14:00+00:00. Without it, only days that aren't computed yet, are open or got events since.",
    )
    parser.add_argument(
        "--until", metavar="DATE", help="With --since: up to this day, which is not included. Default: now."
    )
    parser.add_argument(
        "--restate",
        action="store_true",
        help="Compute final days anew too, all or those of --since; a number that changes leaves a restatement.",
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Record, and say what was recorded unless the verbosity is 0; progress goes to a terminal."""
    calendar = Calendar.default()
    since, until = (
        None if options[name] is None else instant(options[name], calendar, name)
        for name in ("since", "until")
    )
    progress = _progress(command) if options["verbosity"] > 0 else None
    done = recording.record(registry, since=since, until=until, restate=options["restate"], progress=progress)
    if options["verbosity"] > 0:
        command.stdout.write(f"Recorded {done}.")


def _progress(command: BaseCommand) -> Progress | None:
    """Tell how far it has come, on one line of the terminal; None where there is none."""
    if not command.stderr.isatty():
        return None

    def tell(name: str, done: int, days: int) -> None:
        # To the stream itself: the wrapper paints every line red.
        stream: Any = command.stderr._out  # noqa: SLF001
        stream.write(f"\r{name}: {done:,} of {days:,} days\x1b[K\r")
        stream.flush()

    return tell
