"""``stockandflow prune``: delete what is older than the setting RETENTION says, after asking."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from stockandflow import recording
from stockandflow.recording import Pruned
from stockandflow.recording.old_events import Progress
from stockandflow.registry import registry

HELP = "Delete the events and records that are older than the setting RETENTION says, after asking."


def add_arguments(parser: CommandParser) -> None:
    """``--dry-run`` and ``--noinput``."""
    parser.add_argument("--dry-run", action="store_true", help="Delete nothing; say what would be deleted.")
    parser.add_argument(
        "--noinput", "--no-input", action="store_false", dest="interactive", help="Delete without asking."
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Say what is to be deleted, ask, and delete it; ends with 1 where events are kept that should go.

    Raises InvalidInput for a setting that can't be.
    """
    tell = command.stdout.write if options["verbosity"] > 0 else lambda _: None
    if not recording.Retention.of_settings():
        tell("Nothing to do: the setting STOCKANDFLOW['RETENTION'] names no ages.")
        return
    asks = options["interactive"] and not options["dry_run"]
    if options["dry_run"] or asks:
        planned = recording.prune(registry, dry_run=True)
        tell(f"Would delete {planned}.")
        _tell_what_is_kept(command, planned)
        if asks and not (planned and _agreed()):
            tell("Nothing was deleted.")
            done = planned
        elif asks:
            done = _prune(command, options)
        else:
            done = planned
    else:
        done = _prune(command, options)
        _tell_what_is_kept(command, done)
    if done.refused:
        raise SystemExit(1)


def _prune(command: BaseCommand, options: dict[str, Any]) -> Pruned:
    done = recording.prune(registry, progress=_progress(command) if options["verbosity"] > 0 else None)
    if options["verbosity"] > 0:
        command.stdout.write(f"Deleted {done}.")
    return done


def _tell_what_is_kept(command: BaseCommand, pruned: Pruned) -> None:
    for label, reasons in pruned.refused.items():
        command.stderr.write(f"The events of {label} are kept:")
        for reason in reasons:
            command.stderr.write(f"  {reason}")


def _agreed() -> bool:
    try:
        return input("What is deleted can't be brought back. Type 'yes' to delete it: ").strip() == "yes"
    except EOFError:
        return False


def _progress(command: BaseCommand) -> Progress | None:
    """Tell how far it has come, on one line of the terminal; None where there is none."""
    if not command.stderr.isatty():
        return None

    def tell(what: str, number: int) -> None:
        # To the stream itself: the wrapper paints every line red.
        stream: Any = command.stderr._out  # noqa: SLF001
        stream.write(f"\r{number:,} {what} deleted\x1b[K\r")
        stream.flush()

    return tell
