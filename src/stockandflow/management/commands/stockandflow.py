"""``manage.py stockandflow``: the one command that reports and records, by subcommands."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from stockandflow.commands import SUBCOMMANDS, told_to_migrate
from stockandflow.exceptions import StockAndFlowError
from stockandflow.registry import registry


class Command(BaseCommand):
    """Hands over to the module of the subcommand."""

    help = "Report on stocks and flows, and record them."

    def add_arguments(self, parser: CommandParser) -> None:
        subparsers = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND")
        for name, subcommand in SUBCOMMANDS.items():
            subparser = subparsers.add_parser(name, help=subcommand.HELP, description=subcommand.HELP)
            subcommand.add_arguments(subparser)
            self._accept_common_options(subparser)

    def handle(self, *args: Any, subcommand: str | None, **options: Any) -> None:
        if subcommand is None:  # argparse would ask for one, and not say which there are
            raise CommandError(
                f"No SUBCOMMAND was given; write one of {', '.join(SUBCOMMANDS)}, e.g. 'manage.py stockandflow "
                "report', or --help for what they do.",
                returncode=2,
            )
        try:
            with told_to_migrate(registry):
                SUBCOMMANDS[subcommand].run(self, options)
        except StockAndFlowError as error:
            raise CommandError(str(error)) from error

    @staticmethod
    def _accept_common_options(parser: CommandParser) -> None:
        """Take Django's own options after the subcommand too; argparse alone wants them before it."""
        hidden: dict[str, Any] = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
        for flag in ("--no-color", "--force-color", "--traceback", "--skip-checks"):
            parser.add_argument(flag, action="store_true", **hidden)
        for flag in ("--settings", "--pythonpath"):
            parser.add_argument(flag, **hidden)
        parser.add_argument("-v", "--verbosity", type=int, choices=range(4), **hidden)
