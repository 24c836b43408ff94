"""``stockandflow record``: count every stock now, and bring the flow records up to date."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from stockandflow import recording
from stockandflow.periods import Calendar
from stockandflow.ranges import instant
from stockandflow.registry import registry

HELP = "Count every registered stock now, and bring the daily flow records up to date."


def add_arguments(parser: CommandParser) -> None:
    """``--since`` and ``--until``."""
    parser.add_argument(
        "--since",
        metavar="DATE",
        help="Compute the flow records anew from this day on: YYYY-MM-DD, or an instant such as "
        "2026-03-29T14:00+00:00. Without it, only days that aren't computed yet or got events since.",
    )
    parser.add_argument(
        "--until", metavar="DATE", help="With --since: up to this day, which is not included. Default: now."
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Record, and say what was recorded unless the verbosity is 0."""
    calendar = Calendar.default()
    since, until = (
        None if options[name] is None else instant(options[name], calendar, name)
        for name in ("since", "until")
    )
    done = recording.record(registry, since=since, until=until, calendar=calendar)
    if options["verbosity"] > 0:
        command.stdout.write(f"Recorded {done}.")
