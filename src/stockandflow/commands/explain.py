"""``stockandflow explain [SLUG …]``: how stocks are defined and captured, what is not seen, and what to do."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from stockandflow.capture.explanation import Explanation, explain
from stockandflow.capture.install import databases
from stockandflow.declarations import ModelTracker, Stock
from stockandflow.exceptions import UnknownSlug
from stockandflow.registry import Registry, registry
from stockandflow.rendering.explanation import Subject, to_json, to_text

HELP = "Say how stocks are defined and how their moves are captured, what can't be seen, and what to do."


def add_arguments(parser: CommandParser) -> None:
    """The slugs, and ``--format``."""
    parser.add_argument(
        "slugs",
        metavar="SLUG",
        nargs="*",
        help="The slug of a registered stock or tracker. Default: all of them.",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="Text to read (default), or JSON for other programs.",
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Write the explanation; raises UnknownSlug. Three queries for a database, and a few for each of its trackers."""
    found = {using: explain(registry, using) for using in databases(registry)}
    told = {one.tracker: one for explanations, _ in found.values() for one in explanations}
    others = {} if options["slugs"] else {using: strangers for using, (_, strangers) in found.items()}
    subjects = _all(registry, told) if not options["slugs"] else _chosen(registry, told, options["slugs"])
    if options["format"] == "json":
        command.stdout.write(to_json(subjects, others))
    else:
        encoding = getattr(command.stdout, "encoding", None) or "utf-8"
        text = to_text(subjects, others)
        command.stdout.write(text.encode(encoding, "replace").decode(encoding), ending="")


def _all(registry: Registry, told: dict[ModelTracker, Explanation]) -> list[Subject]:
    subjects = [Subject(tuple(tracker.stocks), told[tracker]) for tracker in registry.trackers]
    untracked = tuple(stock for stock in registry.stocks if registry.tracker_of(stock) is None)
    return [*subjects, *([Subject(untracked, None)] if untracked else [])]


def _chosen(registry: Registry, told: dict[ModelTracker, Explanation], slugs: list[str]) -> list[Subject]:
    subjects = []
    for slug in slugs:
        stocks: list[Stock] = [stock for stock in registry.stocks if stock.slug == slug]
        trackers = [tracker for tracker in registry.trackers if tracker.slug == slug]
        if not stocks and not trackers:
            known = {stock.slug for stock in registry.stocks} | {found.slug for found in registry.trackers}
            raise UnknownSlug("stock or tracker", slug, known)
        subjects += [Subject(tuple(tracker.stocks), told[tracker]) for tracker in trackers]
        for stock in stocks:
            tracker = registry.tracker_of(stock)
            if tracker in trackers:
                continue  # it is among the tracker's, which has the same slug
            subjects.append(Subject((stock,), told[tracker] if tracker else None))
    return subjects
