"""One page of the list behind a number: its columns, its order, its rows, and what is to be said about its length."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.db.models import Model
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from stockandflow.declarations import Process
from stockandflow.declarations.facet import AppliedFacet
from stockandflow.membership.facets import NONE
from stockandflow.models import Origin
from stockandflow.reports import Hidden, Kind, Listed, Number
from stockandflow.reports.listing import everybody
from stockandflow.site.access import is_scoped, scoped
from stockandflow.site.columns import Column, columns_of, ordered, related_of
from stockandflow.site.filters import Field, Option
from stockandflow.site.links import FACET, NAMES, subject_key, timeline_url
from stockandflow.site.naming import state_name

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

PAGE = 50
LAST_PAGE = 200
"""A database counts off all rows before a page, so a list ends here; a file has them all."""
SHOWN_GONE = 20
"""So many keys of objects that are gone are told."""


@dataclass(frozen=True)
class Head:
    """The head of a column: where a click leads, "" where nothing is sorted by it."""

    label: str
    query: str
    sorted: str
    """``ascending``, ``descending`` or "", as ARIA has it."""
    is_number: bool


@dataclass(frozen=True)
class Row:
    """One object or event: its first cell leads to ``url``; ``key`` is the object's primary key."""

    key: str
    url: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Gone:
    """An object that is no more, by the key that its events know it by."""

    key: str
    url: str


@dataclass(frozen=True)
class ListPage:
    """One page of a list, and what there is to say of the whole."""

    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    length: int
    """How many the number counts, those that are gone among them."""
    size: int
    """How many there are on all pages."""
    first: int
    """Which of them the page begins with, from 1."""
    previous: str
    """The query of the page before, "" on the first."""
    next: str
    notes: tuple[str, ...]
    gone: tuple[Gone, ...]
    error: str
    """What is wrong with ``sort``, "" if nothing is."""
    is_events: bool
    more_gone: bool

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1


def keeping(parameters: Mapping[str, str], **changes: str | None) -> str:
    """The query of a list with these parameters changed, None to leave one out: ``"?kind=level&stock=trial"``."""
    names = {*NAMES, "sort", "page"}
    kept: dict[str, str | None] = {
        name: text for name, text in parameters.items() if name in names or name.startswith(FACET)
    }
    return f"?{urlencode({name: text for name, text in (kept | changes).items() if text is not None})}"


def in_scope(request: HttpRequest, process: Process, found: Listed) -> Listed:
    """The list as far as the request may see it: of events those whose objects it may see, and nothing that is gone."""
    if not is_scoped(request, process):
        return found
    if found.objects is not None:
        return Listed(found.model, scoped(request, found.objects))
    events: Any = found.events
    target = events.model._meta.get_field("subject").target_field
    seen = scoped(request, everybody(found.model, events.db)).order_by().values(target.name)
    return Listed(found.model, None, events=events.filter(subject_id__in=seen))


def list_page(
    request: HttpRequest,
    process: Process,
    number: Number,
    found: Listed,
    admin: ModelAdmin[Any] | None,
    hidden: Hidden,
) -> ListPage:
    """The page of the list that ``page`` and ``sort`` ask for, without the names of what is hidden.

    Three queries: how many there are, one page of them, and how many are gone; two more where some are.
    """
    if found.objects is not None:
        columns, rows = columns_of(found.model, admin, request), found.objects
        default: Any = admin.get_ordering(request) if admin else found.model._meta.ordering
        rows = rows.order_by(*(default or ()), "pk")
    else:
        rows = found.events if found.events is not None else everybody(found.model, "default").none()
        columns = _event_columns(number, process, hidden)
        rows = rows.order_by("-timestamp", "-id").select_related("subject")
    size = rows.order_by().count()
    by_key = {column.key: column for column in columns if column.ordering is not None}
    asked = request.GET.get("sort", "")
    chosen = by_key.get(asked.removeprefix("-"))
    if chosen is not None:
        rows = ordered(rows, chosen, descending=asked.startswith("-"))
    if found.objects is not None:
        rows = rows.select_related(*related_of(columns, admin)) if related_of(columns, admin) else rows
    page = _page(request.GET.get("page", ""), size)
    calendar, start = process.calendar, (page - 1) * PAGE
    subject = subject_key(found.model, process)
    last = min(-(-size // PAGE), LAST_PAGE)
    missing = found.gone.order_by().count() if found.gone is not None else 0
    return ListPage(
        heads=tuple(_head(column, asked, request.GET) for column in columns),
        rows=tuple(
            Row(
                key=str(row.pk),
                url=timeline_url(found.model, _subject(row, subject.attname), process, request),
                cells=tuple(column.cell(row, calendar) for column in columns),
            )
            for row in rows[start : start + PAGE]
        ),
        length=size + missing,
        size=size,
        first=start + 1,
        previous=keeping(request.GET, page=str(page - 1)) if page > 1 else "",
        next=keeping(request.GET, page=str(page + 1)) if page < last else "",
        notes=tuple(_notes(number, size, missing, whole=not is_scoped(request, process))),
        gone=tuple(
            Gone(str(key), timeline_url(found.model, key, process, request))
            for key in (found.gone.order_by()[:SHOWN_GONE] if missing and found.gone is not None else ())
        ),
        error=""
        if not asked or chosen is not None
        else _("sort is %(given)r; choose one of %(known)s.")
        % {"given": asked, "known": ", ".join(by_key) or _("none")},
        is_events=found.objects is None,
        more_gone=missing > SHOWN_GONE,
    )


def _subject(row: Model, attname: str) -> Any:
    """The key that events know the row by: of an event its subject's, of an object its own."""
    return row.subject_id if hasattr(row, "subject_id") and hasattr(row, "sink") else getattr(row, attname)


def _page(text: str, size: int) -> int:
    """The page that a text asks for, the nearest one there is."""
    last = max(min(-(-size // PAGE), LAST_PAGE), 1)
    return min(max(int(text), 1), last) if re.fullmatch(r"[0-9]{1,9}", text) else 1


def _head(column: Column, asked: str, parameters: Mapping[str, str]) -> Head:
    if column.ordering is None:
        return Head(column.label, "", "", column.is_number)
    up, down = asked == column.key, asked == f"-{column.key}"
    turned = f"-{column.key}" if up else column.key
    return Head(
        column.label,
        keeping(parameters, sort=turned, page=None),
        "ascending" if up else "descending" if down else "",
        column.is_number,
    )


def _event_columns(number: Number, process: Process, hidden: Hidden) -> list[Column]:
    flows = {flow.slug: str(flow.name) for flow in process.flows}
    names = cache(lambda key: state_name(process, hidden.state(key)))
    facets = {facet.slug: facet.name for owner in process.flows for facet in owner.applied_facets}
    origins = dict(Origin.choices)

    def values(event: Any) -> str:
        slugs = [slug for slug in facets if slug in event.facets]
        kept = ((facets[slug], event.facets[slug]) for slug in slugs)
        return ", ".join(f"{name}: {NONE if value is None else value}" for name, value in kept)

    columns = [
        Column(
            "subject",
            _("Object"),
            lambda event: (
                _("#%(key)s (gone)") % {"key": event.subject_id}
                if event.subject is None
                else str(event.subject)
            ),
        ),
        Column("timestamp", _("Time"), lambda event: event.timestamp, ordering="timestamp"),
        Column("flow", _("Flow"), lambda event: flows.get(event.flow, _("Other")), ordering="flow"),
        Column("source", _("From"), lambda event: names(event.source), ordering="source"),
        Column("sink", _("To"), lambda event: names(event.sink), ordering="sink"),
        Column("facets", _("As they were"), values),
        Column(
            "origin", _("Known by"), lambda event: origins.get(event.origin, event.origin), ordering="origin"
        ),
    ]
    return columns if number.flow is None else [column for column in columns if column.key != "flow"]


def _notes(number: Number, size: int, missing: int, *, whole: bool) -> list[str]:
    """What a reader has to know about the length of the list."""
    notes = []
    if not whole:
        notes.append(_("You see your part of these objects."))
    if missing:
        notes.append(
            ngettext(
                "%(missing)s of these is gone; what happened to it is known all the same.",
                "%(missing)s of these are gone; what happened to them is known all the same.",
                missing,
            )
            % {"missing": _grouped(missing)}
        )
    if number.kind is Kind.UNEXPLAINED:
        notes.append(
            _("These are the objects whose row and last event disagree by now, whatever the range was.")
        )
    elif number.kind is not Kind.NET and whole and number.value not in (None, size + missing):
        notes.append(
            _("The report showed %(then)s; by now it is %(now)s.")
            % {"then": _grouped(number.value or 0), "now": _grouped(size + missing)}
        )
    if size > PAGE * LAST_PAGE:
        notes.append(
            _("The list ends after %(shown)s; sort it another way, or narrow it.")
            % {"shown": _grouped(PAGE * LAST_PAGE)}
        )
    return notes


def _grouped(number: int) -> str:
    return number_format(number, use_l10n=True, force_grouping=True)


def facet_fields(number: Number, process: Process) -> list[Field]:
    """A field for each facet that the list can be narrowed by. One query for each whose values are a queryset."""
    if number.kind in (Kind.UNEXPLAINED, Kind.NETTED, Kind.RECLASSIFIED):
        return []
    if number.kind is Kind.LEVEL and number.until is not None:
        return []
    in_force = dict(number.slice)
    fields = []
    for slug, (facet, model) in _facets(number, process).items():
        column, key = facet.column(model), in_force.get(slug, "")
        if number.kind is not Kind.LEVEL and not column.capturable:
            continue
        declared = facet.facet.choices()
        options: list[tuple[str, str]] = []
        if declared is not None:
            options = [
                ("", _("All")),
                *((column.key(value), str(label)) for label, value in declared),
                (NONE, _("none")),
            ]
            options += [(key, key)] if key not in dict(options) else []
        fields.append(
            Field(
                f"{FACET}{slug}",
                str(facet.name),
                key,
                options=tuple(Option(value, label, value == key) for value, label in options),
            )
        )
    return fields


def _facets(number: Number, process: Process) -> dict[str, tuple[AppliedFacet, type[Model]]]:
    if number.kind is Kind.LEVEL:
        owners: list[Any] = [number.stock]
    elif number.flow is not None:
        owners = [number.flow]
    else:
        sides = [number.stock] if number.stock else process.stocks
        owners = [flow for flow in process.flows if any(stock in flow.stocks for stock in sides)]
    return {
        facet.slug: (facet, owner.subject_model)
        for owner in owners
        if owner
        for facet in owner.applied_facets
    }
