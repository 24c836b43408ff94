"""``stockandflow sync``: bring the triggers in the databases in line with the declarations."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connections

from stockandflow.capture import bring_in_line, databases, open_trackers, status
from stockandflow.commands.migrated import check_migrated
from stockandflow.exceptions import InvalidInput
from stockandflow.registry import registry

HELP = "Install the triggers that capture the trackers, and drop stale ones; 'migrate' does it too."


def add_arguments(parser: CommandParser) -> None:
    """``--database``."""
    parser.add_argument(
        "--database",
        metavar="ALIAS",
        help="The database to bring in line. Default: every one that holds a tracked model.",
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Sync, and say for each tracker how it is captured unless the verbosity is 0.

    Raises InvalidInput where a database isn't migrated, since nothing is captured without its tables.
    """
    wanted = options["database"]
    if wanted is not None and wanted not in connections:
        raise InvalidInput(
            f"There is no database {wanted!r}; DATABASES has {', '.join(map(repr, connections))}."
        )
    for using in databases(registry) if wanted is None else [wanted]:
        check_migrated(registry, using)
        made, states = bring_in_line(registry, using), status(registry, using)
        for state in states:
            if state.waiting:
                raise InvalidInput(
                    f"The database {using!r} lacks {', '.join(state.waiting)}, which the triggers of "
                    f"{state.tracker.slug} name; run 'manage.py makemigrations' and 'manage.py migrate' first."
                )
        opened = open_trackers(registry, using)
        if options["verbosity"] == 0:
            continue
        command.stdout.write(
            f"{using}: {len(made)} triggers made." if made else f"{using}: all triggers in place."
        )
        for state in states:
            why = f", since {state.method.reason}" if state.method.reason else ""
            command.stdout.write(f"  {state.tracker.slug}: captured by {state.method.kind}{why}.")
        for swept in opened:
            if swept.opened:
                command.stdout.write(f"  {swept.tracker.slug}: opened, with {swept.found} in its stocks.")
