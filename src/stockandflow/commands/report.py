"""``stockandflow report SLUG``: what a process held, what came, what went, and what nobody can explain."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any, get_args

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from stockandflow.commands.output import add_output, deliver, surface_of
from stockandflow.exceptions import InvalidInput
from stockandflow.periods import Calendar, Grain
from stockandflow.ranges import DEFAULT_DAYS, asked_range, instant
from stockandflow.registry import registry
from stockandflow.rendering import (
    PLAIN,
    Paint,
    as_document,
    balance_rows,
    to_csv,
    to_json,
    to_table,
    to_xlsx,
)
from stockandflow.rendering.causes import causes_text
from stockandflow.rendering.known import known_document, known_text
from stockandflow.reports import Balance, Compare, as_reported, balance, causes

HELP = "Show how a process moved: opening + in - out + unexplained = closing, for each of its stocks."

MOST_WIDE = 100
"""A wider terminal has a table of so many columns."""
NAMED = 3
"""How many windows and objects of a kind are shown where something is unexplained."""


class _Once(argparse.Action):
    """An option that would mean something else if it were given again, not the last one."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice; give one: records keep each facet by itself.")
        setattr(namespace, self.dest, values)


def add_arguments(parser: CommandParser) -> None:
    """The slug, ``--since``, ``--until``, what to split by and compare with, and ``--format``."""
    parser.add_argument("slug", metavar="SLUG", help="The slug of a registered process.")
    parser.add_argument(
        "--since",
        metavar="DATE",
        help="Where the range begins: YYYY-MM-DD for the first instant of that day in the process's calendar, or "
        f"an instant such as 2026-03-29T14:00+00:00. Default: {DEFAULT_DAYS} days before its end, today among them.",
    )
    parser.add_argument(
        "--until",
        metavar="DATE",
        help="Where it ends, itself not included: all of October is --since 2026-10-01 --until 2026-11-01. Default: "
        "the end of today, and closing counts are those of now.",
    )
    parser.add_argument(
        "--grain",
        choices=[grain.value for grain in Grain if grain is not Grain.HOUR],
        help="Show each stock for every day, week, month … of the range, too.",
    )
    parser.add_argument(
        "--facet",
        action=_Once,
        metavar="FACET=VALUE",
        help="Report on the objects with this value of a facet alone, e.g. plan=Pro; (none) is the value of NULL.",
    )
    parser.add_argument(
        "--split-by", metavar="FACET", help="Show each stock for every value of this facet, too."
    )
    parser.add_argument(
        "--compare",
        choices=get_args(Compare),
        help="Compare with the range before, or with the same one a year before; to the same point while it is open.",
    )
    parser.add_argument(
        "--as-reported",
        metavar="DATE",
        help="Show each number of the range as it was known at the first instant of that day, or at an instant, "
        "beside what it is now. As a table or as JSON.",
    )
    parser.add_argument(
        "--no-causes",
        action="store_false",
        dest="causes",
        help="Don't look for where something unexplained comes from: that compares whole tables with their events.",
    )
    add_output(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Write the report; raises InvalidInput, UnknownSlug among them. The queries are those of ``reports.balance``.

    Those of ``reports.causes`` are added where the table shows something unexplained, unless they aren't wanted.
    """
    process = registry.process(options["slug"])
    calendar = process.calendar
    since, until, reported = (
        None if options[name] is None else instant(options[name], calendar, name.replace("_", "-"))
        for name in ("since", "until", "as_reported")
    )
    if reported is not None:
        _refuse_with_reported(options)
    found = balance(
        process,
        *asked_range(since, until, calendar=calendar, now=timezone.now()),
        grain=options["grain"],
        facets=_facet(options["facet"]),
        split_by=options["split_by"],
        compare=options["compare"],
    )
    if reported is not None:
        content: str | bytes = _reported(command, found, reported, options)
    else:
        content = _content(command, found, calendar, options)
    deliver(command, content, options["output"])


def _refuse_with_reported(options: dict[str, Any]) -> None:
    if options["format"] not in ("table", "json"):
        raise InvalidInput(
            f"--as-reported is told as a table or as JSON, and --format is {options['format']!r}; leave one out."
        )
    for name in ("split_by", "compare"):
        if options[name]:
            option = name.replace("_", "-")
            raise InvalidInput(
                f"--as-reported tells the numbers of one range and its parts, and --{option} asks for others; leave "
                f"one out. For a slice, write --facet."
            )


def _reported(command: BaseCommand, found: Balance, at: datetime, options: dict[str, Any]) -> str:
    """What was known of the numbers of a balance at that instant, with the queries of ``as_reported``."""
    known = as_reported(found, at)
    if options["format"] == "json":
        document = as_document(found, found.process.calendar) | {"as_reported": known_document(known, at)}
        return f"{json.dumps(document, indent=2)}\n"
    surface = surface_of(command, options["output"])
    text = known_text(found, known, at, width=surface.width(MOST_WIDE), signs=surface.signs)
    return surface.shown(text)


def _content(
    command: BaseCommand, found: Balance, calendar: Calendar, options: dict[str, Any]
) -> str | bytes:
    if options["format"] == "json":
        return f"{to_json(found, calendar)}\n"
    if options["format"] == "csv":
        return to_csv(balance_rows(found, calendar))
    if options["format"] == "xlsx":
        return to_xlsx(balance_rows(found, calendar), calendar, found)
    return _table(command, found, calendar, options)


def _facet(given: str | None) -> dict[str, str] | None:
    if given is None:
        return None
    slug, equals, value = given.partition("=")
    if not equals:
        raise InvalidInput(f"--facet is {given!r}; write a facet's slug, '=' and its value, e.g. plan=Pro.")
    return {slug: value}


def _table(command: BaseCommand, found: Balance, calendar: Calendar, options: dict[str, Any]) -> str:
    surface = surface_of(command, options["output"])
    width, signs = surface.width(MOST_WIDE), surface.signs
    text = to_table(
        found,
        calendar,
        width=width,
        signs=signs,
        # Django's styles know --no-color and DJANGO_COLORS, but they look at sys.stdout, not at where we write.
        paint=_paint(command) if surface.columns or options["force_color"] else PLAIN,
    )
    if found.unexplained and options["causes"]:
        why = causes(found.process, found.since, found.until, limit=NAMED)
        text += f"\n{causes_text(why, calendar, width=width, signs=signs)}"
    return surface.shown(text)


def _paint(command: BaseCommand) -> Paint:
    style = command.style
    return Paint(
        heading=style.MIGRATE_LABEL,
        inflow=style.HTTP_NOT_MODIFIED,
        outflow=style.HTTP_NOT_FOUND,
        warning=style.WARNING,
    )
