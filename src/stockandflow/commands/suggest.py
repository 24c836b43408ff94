"""``stockandflow suggest app.Model``: a declaration to begin with, for models that are there already."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from stockandflow.registry import registry
from stockandflow.suggesting import suggest

HELP = "Print stocks, flows, facets and event models that suit the fields of models; nothing is written."


def add_arguments(parser: CommandParser) -> None:
    """The models, ``--app`` and ``--no-query``."""
    parser.add_argument("models", metavar="MODEL", nargs="+", help="A model, as app_label.ModelName.")
    parser.add_argument(
        "--app",
        metavar="APP",
        help="The app that takes the code. Default: the model's own, or the project's first app where that is a "
        "library's.",
    )
    parser.add_argument(
        "--no-query",
        action="store_true",
        help="Ask no database. Without it, each table that a foreign key points at is asked for a few rows, to see "
        "whether it is small enough for a facet.",
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Print the suggestion; characters that the output can't hold are escaped, which Python reads alike."""
    text = suggest(options["models"], registry, app=options["app"], query=not options["no_query"])
    encoding = getattr(command.stdout, "encoding", None) or "utf-8"
    command.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding), ending="")
