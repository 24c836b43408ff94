"""The subcommands of ``manage.py stockandflow``: one module for each, listed here in the order of the help."""

from __future__ import annotations

from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandParser

from stockandflow.commands import explain, import_events, prune, record, report, series, suggest, sweep, sync
from stockandflow.commands.migrated import told_to_migrate

__all__ = ["SUBCOMMANDS", "Subcommand", "told_to_migrate"]


class Subcommand(Protocol):
    """What a module of this package holds."""

    HELP: str
    """What it does, in one sentence."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare its arguments."""

    def run(self, command: BaseCommand, options: dict[str, Any]) -> None:
        """Do it, and write to ``command.stdout``; a StockAndFlowError is told to the user as it is."""


SUBCOMMANDS: dict[str, Subcommand] = {
    "report": report,
    "series": series,
    "record": record,
    "suggest": suggest,
    "sync": sync,
    "sweep": sweep,
    "explain": explain,
    "import-events": import_events,
    "prune": prune,
}
