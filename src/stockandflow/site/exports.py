"""What a page shows as a file: ``?format=csv``, ``xlsx`` or ``json``, with the filters of the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.translation import gettext as _

from stockandflow.declarations import Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import FlowEvent
from stockandflow.periods import Calendar
from stockandflow.ranges import last_date
from stockandflow.rendering import (
    balance_rows,
    csv_lines,
    list_to_xlsx,
    series_rows,
    series_to_json,
    to_json,
    to_xlsx,
)
from stockandflow.rendering.document import iso
from stockandflow.rendering.rows import COLUMNS
from stockandflow.reports import Balance, Hidden, Latest, Series
from stockandflow.site.access import EXPORTING, NotAllowed, is_scoped, may_export, viewing
from stockandflow.site.filters import Asked, read_filters
from stockandflow.site.refusing import refused_page
from stockandflow.site.telling import latest

PARAMETER = "format"
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}
"""Value of the parameter → media type of the file."""
MOST_OBJECTS = 100_000
"""So many objects or events are in one file; more are for the API, page by page, or for the database."""

READ_AT_ONCE = 2000
LINES_AT_ONCE = 500
"""So many lines of CSV are sent at a time."""

Cell = str | float | datetime | None


@dataclass(frozen=True)
class Link:
    """One way to take a page away, for its menu."""

    label: str
    query: str


def export_links(user: Any, process: Process, query: Callable[..., str]) -> list[Link]:
    """The files that the page can be had as, none for who may not export; without XlsxWriter there is no workbook.

    ``query`` is ``asked.query``, which keeps the other parameters.
    """
    return links(query) if may_export(user, process) else []


def links(query: Callable[..., str]) -> list[Link]:
    """A link for each format in which a file can be made here."""
    labels = {"csv": _("CSV"), "xlsx": _("Excel"), "json": _("JSON")}
    there = [name for name in TYPES if name != "xlsx" or find_spec("xlsxwriter")]
    return [Link(labels[name], query(**{PARAMETER: name})) for name in there]


def export(
    request: HttpRequest,
    process: Process,
    make: Callable[[str], HttpResponseBase],
    *,
    of_part: bool = False,
) -> HttpResponseBase | None:
    """The file that the address asks for, None where it asks for the page.

    ``make`` gives the file of a format, e.g. ``partial(balance_file, balance, calendar)``; where it raises
    InvalidInput the file is refused, as is a format there isn't. With ``of_part`` the file holds the objects that the
    request sees, and no number of all. Raises PermissionDenied for who may not export the process, and for a file of
    all where the request sees but a part of its objects.
    """
    if not request.GET.get(PARAMETER, ""):
        return None
    if not may_export(request.user, process):
        raise NotAllowed(
            _("You may see this process, but not export it."),
            [EXPORTING, *viewing(stock.model for stock in process.stocks)],
        )
    if not of_part and is_scoped(request, process):
        raise PermissionDenied(
            _("You see a part of this process's objects, and its records aren't kept for a part.")
        )
    return made(request, make)


def asked_of_file(request: HttpRequest, process: Process, now: datetime) -> Asked:
    """What a file is asked for, with the queries of ``read_filters``; raises InvalidInput with all that is wrong.

    A page shows another report beside what is wrong, and a file would pass that on as what was asked for.
    """
    asked = read_filters(request.GET, process, now)
    if asked.errors:
        raise InvalidInput("\n".join(asked.errors.values()))
    return asked


def made(request: HttpRequest, make: Callable[[str], HttpResponseBase]) -> HttpResponseBase:
    """The file in the format that the address asks for; where there can be none, 400 with what is wrong."""
    kind = request.GET.get(PARAMETER, "")
    wrong = f"format is {kind!r}; write one of {', '.join(TYPES)}, or leave it out for the page."
    if kind in TYPES:
        try:
            return make(kind)
        except InvalidInput as error:
            wrong = str(error)
    if "text/html" in request.headers.get("Accept", ""):
        return refused_page(request, 400, wrong)
    return HttpResponse(f"{wrong}\n", status=400, content_type="text/plain; charset=utf-8")


def no_file_without(broken: Iterable[Stock]) -> str:
    """Why there is no file: it would lack stocks without a word."""
    return _(
        "There is no file, since these stocks can't be counted: %(stocks)s. The server's log says why."
    ) % {"stocks": ", ".join(str(stock.name) for stock in broken)}


def exportable(request: HttpRequest, processes: Iterable[Process]) -> list[Process]:
    """Those of the processes that the request may take away as a whole."""
    return [one for one in processes if may_export(request.user, one) and not is_scoped(request, one)]


def index_links(request: HttpRequest, processes: Iterable[Process]) -> list[Link]:
    """The files that the index can be had as, none for who may export no process."""
    if not exportable(request, processes):
        return []
    return links(lambda **changes: f"?{urlencode(changes)}")


def index_export(request: HttpRequest, processes: Iterable[Process]) -> HttpResponseBase | None:
    """The last recorded count of each stock of these processes as a file, None where the address asks for the page.

    One query. Raises PermissionDenied for who may export none of them.
    """
    if not request.GET.get(PARAMETER, ""):
        return None
    ours = exportable(request, processes)
    if not ours:
        raise NotAllowed(_("You may see these processes, but not export them."), [EXPORTING])
    return made(request, partial(_index_file, ours, latest(request.user, ours)))


def _index_file(processes: list[Process], counts: Mapping[str, Latest | None], kind: str) -> HttpResponseBase:
    columns = ("process", "process_name", "stock", "stock_name", "count", "counted_at", "status")
    rows = [
        (
            process.slug,
            str(process.name),
            stock.slug,
            str(stock.name),
            *(
                (one.count, one.at, "")
                if one
                else (None, None, "suppressed" if stock.slug in counts else "gap")
            ),
        )
        for process in processes
        for stock in process.stocks
        for one in [counts.get(stock.slug)]
    ]
    facts = {"Holds": "The last recorded count of each stock."}
    return list_file("processes", columns, rows, facts, kind, title="Stocks")


def file_name(slug: str, since: datetime, until: datetime, calendar: Calendar, kind: str) -> str:
    """The name of a file with its first and its last local day: ``membership_2026-10-25_2026-11-23.csv``."""
    return f"{slug}_{calendar.local_date(since).isoformat()}_{last_date(until, calendar).isoformat()}.{kind}"


def balance_file(found: Balance, calendar: Calendar, kind: str) -> HttpResponseBase:
    """The balance in long form; a workbook with its ledger first. Raises InvalidInput where none can be made."""
    name = file_name(found.process.slug, found.since, found.until, calendar, kind)
    if kind == "json":
        return _attached(HttpResponse(f"{to_json(found, calendar)}\n", content_type=TYPES[kind]), name)
    if kind == "xlsx":
        book = to_xlsx(balance_rows(found, calendar), calendar, found)
        return _attached(HttpResponse(book, content_type=TYPES[kind]), name)
    return _streamed(csv_lines(COLUMNS, balance_rows(found, calendar)), name)


def series_file(found: Sequence[Series], process: Process, kind: str) -> HttpResponseBase:
    """Series of one range in long form, named after the one that it is, else after the process."""
    calendar = found[0].calendar
    since, until = min(one.since for one in found), max(one.until for one in found)
    slug = "_".join([process.slug, *([found[0].of.slug] if len(found) == 1 else [])])
    name = file_name(slug, since, until, calendar, kind)
    if kind == "json":
        return _attached(
            HttpResponse(f"{series_to_json(found, process.slug)}\n", content_type=TYPES[kind]), name
        )
    rows = series_rows(found, process.slug)
    if kind == "xlsx":
        return _attached(HttpResponse(to_xlsx(rows, calendar), content_type=TYPES[kind]), name)
    return _streamed(csv_lines(COLUMNS, rows), name)


def list_file(
    name: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    facts: Mapping[str, str],
    kind: str,
    *,
    title: str = "Objects",
) -> HttpResponseBase:
    """A list as a file with that name, without its ending; JSON has it as ``rows``, each an object by column.

    ``facts`` are told beside it in JSON and in a workbook.
    """
    if kind == "csv":
        return _streamed(csv_lines(columns, rows), f"{name}.csv")
    if kind == "xlsx":
        text: str | bytes = list_to_xlsx(title, columns, rows, facts)
    else:
        named = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
        text = json.dumps({"version": 1, "about": dict(facts), "rows": named}, indent=2) + "\n"
    return _attached(HttpResponse(text, content_type=TYPES[kind]), f"{name}.{kind}")


def _plain(value: Cell) -> Cell:
    return iso(value) if isinstance(value, datetime) else value


def list_of(found: QuerySet[Any], hidden: Hidden) -> tuple[tuple[str, ...], Iterator[tuple[Cell, ...]]]:
    """The columns and rows of objects, or of events, in their order; read as they are written.

    No field of an object is among them but its key and what it is called: a file goes further than a page, and which
    fields may is for the project to say. Events don't name what is hidden. One query. Raises
    InvalidInput where there are more than MOST_OBJECTS.
    """
    if (number := found.order_by().count()) > MOST_OBJECTS:
        raise InvalidInput(
            f"The list has {number:,} rows, and a file holds {MOST_OBJECTS:,}; take a shorter range, or page through "
            "the events by the API."
        )
    if not issubclass(found.model, FlowEvent):
        return ("key", "object"), ((str(one.pk), str(one)) for one in found.iterator(READ_AT_ONCE))
    columns = ("event", "timestamp", "flow", "source", "sink", "subject", "object", "origin")
    events = found.select_related("subject").iterator(READ_AT_ONCE)
    return columns, (
        (
            str(event.pk),
            event.timestamp,
            event.flow,
            event.source,
            event.sink,
            str(event.subject_id),
            "" if event.subject is None else str(event.subject),
            event.origin,
        )
        for event in map(hidden.told, events)
    )


def _streamed(lines: Iterator[str], name: str) -> HttpResponseBase:
    chunks = ("".join(some) for some in iter(lambda: list(islice(lines, LINES_AT_ONCE)), []))
    return _attached(StreamingHttpResponse(chunks, content_type=TYPES["csv"]), name)


def _attached(response: HttpResponseBase, name: str) -> HttpResponseBase:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "private, no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response
