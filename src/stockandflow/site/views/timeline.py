"""Everything that happened to one object, also after it is gone."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from stockandflow.declarations import Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Origin
from stockandflow.registry import registry
from stockandflow.reports.listing import everybody
from stockandflow.site.access import (
    LISTING,
    NotAllowed,
    hidden_from,
    is_scoped,
    may_list,
    process_or_404,
    scoped,
    subject_models,
    viewing,
)
from stockandflow.site.admin_lists import admin_object_url
from stockandflow.site.exports import export, export_links, list_file
from stockandflow.site.frames import Crumb, page_url, render_page
from stockandflow.site.lifelines import (
    MOST_EVENTS,
    SHADES,
    Lifeline,
    Move,
    lasting,
    lifelines,
    standing_in,
    strip,
)
from stockandflow.site.links import read_key, subject_key
from stockandflow.site.naming import state_name


@require_safe
@login_required
def timeline(request: HttpRequest, slug: str, model: str, pk: str) -> HttpResponseBase:
    """What happened to one object: where it is and since when, a strip of its stays, and its moves, newest first.

    As a file it is its moves in order.

    It answers 404 for an object that nothing is known of, and where the request sees but a part of the objects for one
    outside of it and for one that is gone. Four queries beside those for the user: the object, its events for each
    event model, and the stocks that hold it.
    """
    process = process_or_404(request.user, registry, slug)
    kind = next((one for one in subject_models(process) if one._meta.label_lower == model), None)
    if kind is None:
        raise Http404(f"The process {slug!r} has no objects of the kind {model!r}.")
    if not may_list(request.user, process, kind):
        raise NotAllowed(
            _("You may see this process's numbers, but not the objects behind them."),
            [LISTING, *viewing([kind])],
        )
    field = subject_key(kind, process)
    try:
        key = read_key(field, pk)
    except InvalidInput as error:
        raise Http404(str(error)) from error
    subject = _subject(request, process, kind, {field.name: key})
    whole = subject is not None or not is_scoped(request, process)
    lines = lifelines(process, kind, key, hidden_from(request.user, registry)) if whole else []
    if subject is None and not lines:
        raise Http404(f"Nothing is known of {pk!r}.")
    if made := export(request, process, lambda kind: _file(process, str(key), lines, kind), of_part=True):
        return made
    now = timezone.now()
    title = str(subject) if subject is not None else f"{capfirst(kind._meta.verbose_name)} #{key}"
    held = standing_in(process, subject) if subject is not None else []
    context = {
        "process": process,
        "kind": capfirst(kind._meta.verbose_name),
        "subject": subject,
        "places": [_place(stock, lines, now) for stock in held],
        "lost": [] if subject is None else _lost(lines, held, process),
        "left_open": [] if subject is not None else [line for line in lines if line.state],
        "lines": [_shown(line, process, now) for line in lines],
        "most": MOST_EVENTS,
        "object_url": "" if subject is None else admin_object_url(request, subject),
        "exports": export_links(request.user, process, lambda **changes: f"?{urlencode(changes)}"),
    }
    crumbs = [Crumb(str(process.name), page_url(request, "process", process.slug))]
    return render_page(request, "stockandflow/timeline.html", context, title=title, crumbs=crumbs)


def _file(process: Process, key: str, lines: list[Lifeline], kind: str) -> HttpResponseBase:
    columns = ("tracker", "event", "timestamp", "until", "flow", "source", "sink", "origin")
    rows = [
        (
            line.name,
            str(move.event.pk),
            move.event.timestamp,
            move.stay.until,
            move.event.flow,
            move.event.source,
            move.event.sink,
            move.event.origin,
        )
        for line in lines
        for move in line.moves
    ]
    facts = {"Process": process.slug, "Object": key}
    if any(line.is_cut for line in lines):
        facts["Left out"] = f"Moves before the latest {MOST_EVENTS:,}."
    return list_file(f"{process.slug}_moves", columns, rows, facts, kind, title="Moves")


def _subject(
    request: HttpRequest, process: Process, kind: type[Model], where: dict[str, Any]
) -> Model | None:
    using = next((stock.queryset.db for stock in process.stocks if stock.model is kind), None)
    there = everybody(kind, using) if using else everybody(kind, kind._default_manager.db)
    return scoped(request, there).filter(**where).first()


def _place(stock: Stock, lines: list[Lifeline], now: datetime) -> dict[str, str]:
    """Where the object is, and for how long, as far as events tell."""
    last = next((line for line in lines if line.state == stock.slug), None)
    if last is None:
        tracker = stock.registry.tracker_of(stock)
        how_long = _("since when isn't known") if tracker else _("in no tracker, so since when isn't known")
    elif last.moves[-1].stay.is_open:
        how_long = _("longer than %s") % lasting(now - last.since)
    else:
        how_long = _("for %s") % lasting(now - last.since)
    return {"slug": stock.slug, "name": str(stock.name), "how_long": how_long}


def _lost(lines: list[Lifeline], held: list[Stock], process: Process) -> list[str]:
    """The places where events say that the object is, and it isn't."""
    ours = {stock.slug for stock in process.stocks}
    here = {stock.slug for stock in held}
    return [
        state_name(process, line.state)
        for line in lines
        if line.tracker is not None and line.state in ours and line.state not in here
    ]


def _shown(line: Lifeline, process: Process, now: datetime) -> dict[str, Any]:
    calendar = process.calendar
    names = {move.stay.state: state_name(process, move.stay.state) for move in line.moves}

    def day(at: datetime) -> str:
        return date_format(calendar.local_date(at), "DATE_FORMAT")

    totals: Counter[str] = Counter()
    for move in line.moves:
        if move.stay.state:
            totals[move.stay.state] += int(((move.stay.until or now) - move.stay.since).total_seconds())
    return {
        "name": line.name,
        "segments": strip(line, now, names, day),
        "begin": day(line.moves[0].stay.since),
        "legend": [
            {"shade": place % SHADES + 1, "name": names[state], "total": lasting(timedelta(seconds=seconds))}
            for place, (state, seconds) in enumerate(totals.items())
        ],
        "moves": [_row(move, process, now) for move in reversed(line.moves)],
        "has_origins": any(move.event.origin != Origin.LIVE for move in line.moves),
        "is_cut": line.is_cut,
        "broken": sum(move.expected is not None for move in line.moves),
    }


def _row(move: Move, process: Process, now: datetime) -> dict[str, Any]:
    event, stay = move.event, move.stay
    flows = {flow.slug: str(flow.name) for flow in process.flows}
    return {
        "at": event.timestamp,
        "flow": flows.get(event.flow, _("Other")) if event.flow in flows or not event.flow else event.flow,
        "source": state_name(process, event.source),
        "sink": state_name(process, event.sink),
        "stay": lasting((stay.until or now) - stay.since) if stay.state else "",
        "lasts": stay.until is None and bool(stay.state),
        "origin": "" if event.origin == Origin.LIVE else Origin(event.origin).label,
        "expected": None if move.expected is None else state_name(process, move.expected),
    }
