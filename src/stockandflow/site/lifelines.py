"""What happened to one object: its stays in the stocks, dimension by dimension, and where its events don't fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model, Q, Value
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from stockandflow.declarations import ELSEWHERE, ModelTracker, Process, Stock
from stockandflow.models import Origin
from stockandflow.reports import Hidden
from stockandflow.reports.events import models_of
from stockandflow.reports.listing import everybody

MOST_EVENTS = 500
"""So many of an object's latest moves are read."""


@dataclass(frozen=True)
class Stay:
    """A stretch of time in one state: from the event that led there to the one that led away, None where it lasts."""

    state: str
    """The key of a stock or of what stands in for one, "" for outside."""
    since: datetime
    until: datetime | None
    is_open: bool
    """Whether it may have begun earlier: the event tells what was there when the capture began."""


@dataclass(frozen=True)
class Move:
    """One event, with the stay that it began and what is wrong with it."""

    event: Any
    stay: Stay
    expected: str | None
    """Where the event before it led to, where that isn't where this one came from; else None."""


@dataclass(frozen=True)
class Lifeline:
    """The moves of one object in one dimension, oldest first, and where they lead."""

    name: str
    tracker: ModelTracker | None
    moves: tuple[Move, ...]
    is_cut: bool
    """Whether it has older moves than those."""

    @property
    def state(self) -> str:
        """Where the last event led."""
        return self.moves[-1].event.sink if self.moves else ""

    @property
    def since(self) -> datetime:
        return self.moves[-1].stay.since


def lifelines(process: Process, model: type[Model], key: Any, hidden: Hidden) -> list[Lifeline]:
    """The lifelines of the object that events know by that key: one for each tracker of the process, in its order.

    Events that were written by hand stand in one of their own. Of what is hidden is told that the object was elsewhere,
    and not how it moved there. One query for each event model.
    """
    trackers = {
        tracker.slug: tracker
        for stock in process.stocks
        for tracker in [stock.registry.tracker_of(stock)]
        if tracker is not None
    }
    flows = {flow.slug for flow in process.flows}
    found: dict[str, list[Any]] = {slug: [] for slug in trackers}
    cut = False
    for events in models_of(process):
        subject: Any = events._meta.get_field("subject")
        if subject.related_model._meta.concrete_model is not model._meta.concrete_model:
            continue
        ours = events._base_manager.filter(Q(tracker__in=trackers) | Q(flow__in=flows), subject_id=key)
        latest = list(ours.order_by("-timestamp", "-id")[: MOST_EVENTS + 1])
        cut |= len(latest) > MOST_EVENTS
        for event in map(hidden.told, reversed(latest[:MOST_EVENTS])):
            if event.source != event.sink or event.source != ELSEWHERE or event.flow in flows:
                found.setdefault(event.tracker, []).append(event)
    return [
        Lifeline(slug, trackers.get(slug), tuple(_moves(events)), cut)
        for slug, events in found.items()
        if events
    ]


def _moves(events: list[Any]) -> Iterable[Move]:
    before: str | None = None
    for event, following in zip(events, [*events[1:], None], strict=True):
        until = None if following is None else following.timestamp
        stay = Stay(event.sink, event.timestamp, until, event.origin == Origin.INITIAL)
        yield Move(event, stay, None if before in (None, event.source) else before)
        before = event.sink


def standing_in(process: Process, subject: Model) -> list[Stock]:
    """The stocks of the process that hold the object now. One query for each database of the stocks."""
    concrete = subject._meta.concrete_model
    stocks = [stock for stock in process.stocks if stock.model._meta.concrete_model is concrete]
    held: set[str] = set()
    by_database: dict[str, list[Any]] = {}
    for stock in stocks:
        its = stock.all().order_by().filter(pk=subject.pk)
        asked = (
            everybody(stock.model, its.db)
            .filter(pk__in=its.values("pk"))
            .annotate(sf_stock=Value(stock.slug))
        )
        by_database.setdefault(its.db, []).append(asked.values_list("sf_stock", flat=True))
    for first, *others in by_database.values():
        held.update(first.union(*others, all=True) if others else first)
    return [stock for stock in stocks if stock.slug in held]


def lasting(length: timedelta) -> str:
    """How long something lasted, in its largest unit and the next: ``3 d``, ``5 h 10 min``."""
    minutes = int(length.total_seconds()) // 60
    days, hours = divmod(minutes // 60, 24)
    if days >= 10:
        return _("%s d") % number_format(days, use_l10n=True, force_grouping=True)
    if days:
        return _("%(days)d d %(hours)d h") % {"days": days, "hours": hours} if hours else _("%s d") % days
    if hours:
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes % 60}
    return _("%d min") % minutes if minutes else ngettext("%d s", "%d s", 2) % int(length.total_seconds())


@dataclass(frozen=True)
class Segment:
    """One stay on the strip: its left edge and its width in percent, and which of the colours it has, from 1."""

    state: str
    x: str
    width: str
    shade: int
    title: str
    has_room: bool


NARROWEST, LETTER = 320, 7
"""Pixels of the strip on a telephone, and of a letter on it."""
SHADES = 6
"""So many colours are told apart; the next state begins again with the first."""


def strip(line: Lifeline, now: datetime, names: dict[str, str], dates: Any) -> list[Segment]:
    """The stays of a lifeline side by side, from its first move until now; time outside is left empty."""
    begin = line.moves[0].stay.since
    whole = max((now - begin).total_seconds(), 1.0)
    order = {
        state: place
        for place, state in enumerate(
            dict.fromkeys(move.stay.state for move in line.moves if move.stay.state)
        )
    }
    segments = []
    for move in line.moves:
        stay = move.stay
        if not stay.state:
            continue
        start = (stay.since - begin).total_seconds() / whole
        end = ((stay.until or now) - begin).total_seconds() / whole
        length = lasting((stay.until or now) - stay.since)
        name = names.get(stay.state, stay.state)
        segments.append(
            Segment(
                state=name,
                x=f"{start * 100:.3f}%",
                width=f"{max(end - start, 0.002) * 100:.3f}%",
                shade=order[stay.state] % SHADES + 1,
                title=f"{name}: {length}, {dates(stay.since)}",
                has_room=(end - start) * NARROWEST > len(name) * LETTER + 10,
            )
        )
    return segments
