"""``stockandflow import-events``: bring in the moves from before the capture, from a CSV file."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from stockandflow.exceptions import InvalidInput
from stockandflow.history import from_csv
from stockandflow.models.staging import known_states, unknown_state
from stockandflow.registry import registry

HELP = "Import moves from before the capture from a CSV file: all of them or none."


def add_arguments(parser: CommandParser) -> None:
    """The file, the tracker, and how the file is to be read."""
    parser.add_argument(
        "csv", metavar="CSV", help="A file in UTF-8 with the columns subject, timestamp, from and to."
    )
    parser.add_argument(
        "--tracker",
        metavar="SLUG",
        required=True,
        help="The tracker whose history it is, e.g. shop.subscription.",
    )
    parser.add_argument("--dry-run", action="store_true", help="Check everything and write nothing.")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=HEADER",
        help="What is called otherwise in the file: subject, timestamp, from or to, or a facet to read. Repeatable.",
    )
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="TEXT=SLUG",
        help="The stock that a text of the file means. Repeatable.",
    )
    parser.add_argument(
        "--timezone",
        metavar="ZONE",
        help="The time zone of timestamps without an offset, and of dates, e.g. Europe/London.",
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="Take moves of subjects that are gone by now."
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Import, and say what was written unless the verbosity is 0."""
    # A header may hold "=", and so may a text of the file; what stands on the other side can't.
    columns = _pairs([text.partition("=") for text in options["column"]], "--column")
    states = _pairs([text.rpartition("=") for text in options["state"]], "--state")
    tracker = registry.tracker(options["tracker"])
    for text, slug in states.items():
        if slug not in known_states(tracker):
            raise InvalidInput(f"--state {text!r} means {unknown_state(tracker, slug)}.")
    done = tracker.import_events(
        from_csv(options["csv"], columns=columns, states=states),
        timezone=options["timezone"],
        allow_missing_subjects=options["allow_missing"],
        dry_run=options["dry_run"],
    )
    if options["verbosity"] > 0:
        command.stdout.write(f"{'Would import' if done.dry_run else 'Imported'} {done}.")


def _pairs(given: list[tuple[str, str, str]], option: str) -> dict[str, str]:
    for name, equals, value in given:
        if not name or not value:
            raise InvalidInput(
                f"{option} is {name + equals + value!r}; write two names, e.g. {option} first=second."
            )
    return {name: value for name, _, value in given}
