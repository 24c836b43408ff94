"""The addresses of the API: what there is, a process's balance, series, and events. Every view gives a document."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from stockandflow.api.answers import Document, answers
from stockandflow.api.asking import checked_rows, declared, grain_of, read, strays, uncounted, whole_number
from stockandflow.api.callers import whole
from stockandflow.api.events import page, read_cursor, row
from stockandflow.api.refusals import invalid
from stockandflow.declarations import Flow, Process, Stock
from stockandflow.registry import registry
from stockandflow.rendering import balance_rows, series_rows
from stockandflow.rendering.document import iso
from stockandflow.rendering.rows import Row
from stockandflow.reports import Balance
from stockandflow.reports.events import models_of, moves_within, refuse_pruned, touching
from stockandflow.site.access import LISTING, hidden_from, may_list, process_or_404, scoped_events, visible
from stockandflow.site.frames import page_url
from stockandflow.site.reporting import NothingCounted, counted, counted_series
from stockandflow.site.telling import balance, least_told

DEFAULT_EVENTS, MOST_EVENTS = 100, 1000


@answers
def processes(request: HttpRequest) -> Document:
    """All that the caller may see: a row for each process, and for each of its stocks and flows."""
    if wrong := strays(request.GET, ()):
        raise invalid(wrong)
    shown = visible(request.user, registry)
    return {
        "kind": "processes",
        "meta": {},
        "rows": [each for one in shown for each in _declarations(request, one)],
    }


def _declarations(request: HttpRequest, process: Process) -> Iterable[dict[str, Any]]:
    def described(kind: str, one: Process | Stock | Flow, *args: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "process": process.slug,
            "slug": one.slug,
            "name": str(one.name),
            "description": str(one.description),
            "time_zone": process.calendar.timezone,
            "url": page_url(request, f"api-{kind}", process.slug, *args),
        }

    yield described("process", process)
    for stock in process.stocks:
        yield described("stock", stock, stock.slug) | {"better": stock.better}
    yield from (described("flow", flow, flow.slug) for flow in process.flows)


@answers
def process(request: HttpRequest, slug: str) -> Document:
    """One process over a range: its numbers in long form, with those of parts and slices where these are asked for.

    Those queries of ``reports.balance``, and one for each facet whose values are a queryset. A stock that can't be
    counted is left out, and told.
    """
    shown = whole(request, slug)
    asked = read(request, shown, timezone.now(), ("per", "facet-", "split", "compare"))
    grain = grain_of(request, asked) if request.GET.get("per") else None

    def answer(sound: Process) -> Balance:
        return balance(
            request.user,
            sound,
            asked.since,
            asked.until,
            grain=grain,
            facets=asked.slice,
            split_by=asked.split_by,
            compare=asked.compare,
            known=asked.known,
        )

    found, broken = counted(shown, answer)
    if found is None:
        raise NothingCounted(shown, asked)
    rows = [_flat(one) for one in balance_rows(found, shown.calendar)]
    checked_rows(len(rows))
    meta = {
        "process": shown.slug,
        "name": str(shown.name),
        "since": iso(found.since),
        "until": iso(found.until),
        "at": iso(found.at),
        "time_zone": shown.calendar.timezone,
        "in_progress": found.in_progress,
        "status": found.status.value,
        "min_cell": found.least or None,
        "suppressed": found.suppressed,
        "uncounted": uncounted(broken),
        "restated": len(found.restated),
        "slice": dict(found.slice),
        "split": asked.split_by,
        "compared": found.compared
        and {"since": iso(found.compared.since), "until": iso(found.compared.until)},
    }
    return {"kind": "balance", "meta": meta, "rows": rows}


@answers
def stock(request: HttpRequest, slug: str, stock: str) -> Document:
    """The levels of a stock period by period. The queries are those of ``reports.series``."""
    shown = whole(request, slug)
    return _series(request, shown, declared(shown, "stock", shown.stocks, stock))


@answers
def flow(request: HttpRequest, slug: str, flow: str) -> Document:
    """The moves of a flow period by period. The queries are those of ``reports.series``."""
    shown = whole(request, slug)
    return _series(request, shown, declared(shown, "flow", shown.flows, flow))


def _series(request: HttpRequest, process: Process, of: Stock | Flow) -> Document:
    asked = read(request, process, timezone.now(), ("per", "measure"), hours=True)
    measure: Any = request.GET.get("measure", "").strip() or None
    kind = "aggregate" if isinstance(of, Stock) else "measure"
    found, broken = counted_series(
        request.user, process, of, asked, grain_of(request, asked), **{kind: measure}
    )
    meta = {
        "process": process.slug,
        "of": "stock" if isinstance(of, Stock) else "flow",
        "slug": of.slug,
        "name": str(of.name),
        "measure": found.measure,
        "grain": found.grain.value,
        "time_zone": process.calendar.timezone,
        "since": iso(found.since),
        "until": iso(found.until),
        "min_cell": least_told(request.user, process) or None,
        "suppressed": found.suppressed,
        "uncounted": uncounted(broken),
        "breaks": [{"since": iso(one.at), "text": one.text} for one in found.breaks],
    }
    return {
        "kind": "series",
        "meta": meta,
        "rows": [_flat(one) for one in series_rows([found], process.slug)],
    }


@answers
def events(request: HttpRequest, slug: str) -> Document:
    """The moves of a process in the order in which they happened, a page at a time.

    One query for each event model, one for whether events were pruned, and those of the project's scope.
    """
    shown = process_or_404(request.user, registry, slug)
    asked = read(request, shown, timezone.now(), ("flow", "cursor", "limit"))
    limit = whole_number(request.GET, "limit", DEFAULT_EVENTS, MOST_EVENTS)
    after = read_cursor(request.GET.get("cursor", ""))
    slug_of_flow = request.GET.get("flow", "").strip()
    flow = declared(shown, "flow", shown.flows, slug_of_flow) if slug_of_flow else None
    models = models_of(shown) if flow is None else [flow.flow_event_model]
    for model in models:
        subject = _subject_of(model)
        if not may_list(request.user, shown, subject):
            raise PermissionDenied(
                _(
                    "You may see the numbers of the process %(process)r, but not the %(model)s objects that moved; ask "
                    "for %(permission)s and the permission to view them."
                )
                % {"process": shown.slug, "model": subject._meta.label, "permission": LISTING}
            )
    refuse_pruned(models, asked.since)
    querysets = [_moves(request, shown, model, flow, asked.since, asked.until) for model in models]
    found, after = page(querysets, after, limit)
    hidden = hidden_from(request.user, registry)
    meta = {
        "process": shown.slug,
        "since": iso(asked.since),
        "until": iso(asked.until),
        "flow": flow and flow.slug,
        "limit": limit,
        "next": after and after.cursor,
    }
    return {"kind": "events", "meta": meta, "rows": [row(hidden.told(event)) for event in found]}


def _moves(
    request: HttpRequest,
    process: Process,
    model: type[Any],
    flow: Flow | None,
    since: datetime,
    until: datetime,
) -> QuerySet[Any]:
    events = moves_within(model, since, until)
    if flow is None:
        events = events.filter(touching([stock.slug for stock in process.stocks]))
    else:
        events = events.filter(flow=flow.slug)
    return scoped_events(request, events)


def _subject_of(model: type[Any]) -> type[Any]:
    subject: type[Any] = model._meta.get_field("subject").related_model
    return subject


@answers
def schema(request: HttpRequest) -> Document:  # noqa: ARG001
    """The JSON schema of all answers."""
    return {"kind": "schema", "meta": {}, "schema": json_schema()}


@answers
def nowhere(request: HttpRequest, rest: str) -> Document:
    """What is asked below the API and isn't there."""
    raise Http404(
        _("There is no %(path)r in the API; begin with %(first)r.")
        % {"path": rest, "first": page_url(request, "api-processes")}
    )


@cache
def json_schema() -> dict[str, Any]:
    """What every answer is like, refusals too."""
    text = files("stockandflow.api").joinpath("schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _flat(one: Row) -> dict[str, Any]:
    return {name: _plain(value) for name, value in one._asdict().items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return _instant(value) if value.tzinfo else value.isoformat(timespec="seconds")
    return None if value == "" else value


@lru_cache(maxsize=4096)
def _instant(at: datetime) -> str:
    """The rows of one answer share their instants."""
    return iso(at)
