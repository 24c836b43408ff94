"""``stockandflow series SLUG``: the numbers of stocks and flows, period by period."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from stockandflow.commands.output import add_output, deliver, surface_of
from stockandflow.declarations import Flow, Stock
from stockandflow.exceptions import UnknownSlug
from stockandflow.periods import TICK, Calendar, Grain
from stockandflow.ranges import instant
from stockandflow.registry import Registry, registry
from stockandflow.rendering import series_rows, series_to_json, series_to_table, to_csv, to_xlsx
from stockandflow.reports import Series, series
from stockandflow.reports.series import Aggregate, Measure

HELP = "Show the numbers of stocks and flows period by period, those that can still change with their status."

PERIODS = 12
"""How many there are without ``--since``, the one under way among them."""


def add_arguments(parser: CommandParser) -> None:
    """The slug, the grain, the range, what is measured, and ``--format``."""
    parser.add_argument(
        "slug", metavar="SLUG", help="The slug of a stock, a flow, or a process: all its stocks and flows."
    )
    parser.add_argument(
        "--grain",
        choices=[grain.value for grain in Grain],
        default=Grain.MONTH.value,
        help="How long the periods are (default: month).",
    )
    parser.add_argument(
        "--since",
        metavar="DATE",
        help="In which period the first number is, as for a report. "
        f"Default: so that there are {PERIODS} periods.",
    )
    parser.add_argument(
        "--until",
        metavar="DATE",
        help="Where the range ends, itself not included. Default: the end of the period under way.",
    )
    parser.add_argument(
        "--measure",
        choices=get_args(Measure),
        help="Of flows: the moves (default), the distinct objects, or the moves as a share of what their sources held.",
    )
    parser.add_argument(
        "--aggregate",
        choices=get_args(Aggregate),
        help="Of stocks: the level at the end (default) or beginning of each period, or what those of its days give.",
    )
    add_output(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Write the series; raises InvalidInput, UnknownSlug among them. Those queries of ``reports.series`` for each."""
    process, subjects, calendar = _subjects(registry, options)
    since, until = _range(options, calendar, timezone.now())
    found = [
        series(
            one,
            since,
            until,
            options["grain"],
            calendar=calendar,
            **_asked(one, options, alone=len(subjects) == 1),
        )
        for one in subjects
    ]
    deliver(command, _content(command, found, process, calendar, options), options["output"])


def _subjects(registry: Registry, options: dict[str, Any]) -> tuple[str, list[Stock | Flow], Calendar]:
    """The process's slug or "", what there are series of, and the calendar of these."""
    slug = options["slug"]
    for process in registry.processes:
        if process.slug == slug:
            flows = [flow for flow in process.flows if _has(flow, options["measure"])]
            return slug, [*process.stocks, *flows], process.calendar
    declared: list[Stock | Flow] = [*registry.stocks, *registry.flows]
    subjects = [one for one in declared if one.slug == slug]
    if not subjects:
        known = {one.slug for one in declared} | {process.slug for process in registry.processes}
        raise UnknownSlug("process, stock or flow", slug, known)
    return "", subjects, Calendar.default()


def _has(flow: Flow, measure: str | None) -> bool:
    return measure != "rate" or any(isinstance(one, Stock) for one in flow.sources)


def _range(options: dict[str, Any], calendar: Calendar, now: datetime) -> tuple[datetime, datetime]:
    since, until = (
        None if options[name] is None else instant(options[name], calendar, name)
        for name in ("since", "until")
    )
    end = calendar.period(options["grain"], now).end if until is None else until
    if since is not None:
        return since, end
    first = calendar.period(options["grain"], end - TICK)
    for _ in range(PERIODS - 1):
        first = calendar.preceding(first)
    return first.start, end


def _asked(of: Stock | Flow, options: dict[str, Any], *, alone: bool) -> dict[str, Any]:
    """What is measured: of one among several what its kind has, of one alone all that was asked for."""
    names = ("measure", "aggregate") if alone else ("aggregate",) if isinstance(of, Stock) else ("measure",)
    return {name: options[name] for name in names}


def _content(
    command: BaseCommand, found: list[Series], process: str, calendar: Calendar, options: dict[str, Any]
) -> str | bytes:
    if options["format"] == "json":
        return f"{series_to_json(found, process)}\n"
    if options["format"] == "csv":
        return to_csv(series_rows(found, process))
    if options["format"] == "xlsx":
        return to_xlsx(series_rows(found, process), calendar)
    surface = surface_of(command, options["output"])
    return surface.shown(series_to_table(found, width=surface.width(), signs=surface.signs))
