"""What a dashboard shows of a process: a card for each stock, and a chart of their levels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from stockandflow.declarations import Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.periods import Grain
from stockandflow.ranges import end_of_day, last_days
from stockandflow.registry import Registry
from stockandflow.registry import registry as project_registry
from stockandflow.rendering.words import arrow, percent
from stockandflow.reports import Balance, StockBalance
from stockandflow.site.access import is_scoped, process_or_404
from stockandflow.site.dates import short_day
from stockandflow.site.reporting import counted
from stockandflow.site.telling import balance
from stockandflow.site.words import count, grouped, hidden

COLOURS = ("#27496d", "#0b6e7a", "#a8481b", "#6399ae", "#7a4b00", "#566473")
MOST_DAYS = 366


@dataclass(frozen=True)
class Card:
    """One stock: its number as text, and below it how it changed over the range; ``url`` is its process's page."""

    title: str
    metric: str
    footer: str
    url: str


@dataclass(frozen=True)
class Dashboard:
    """A process as cards, one for each stock, and as a chart of their levels at the end of each day."""

    title: str
    url: str
    cards: tuple[Card, ...]
    labels: tuple[str, ...]
    datasets: tuple[dict[str, Any], ...]
    """For each stock ``label``, ``data``, a number or None for each of ``labels``, and ``borderColor``."""

    @property
    def chart(self) -> str:
        """``labels`` and ``datasets`` as JSON, the form of Chart.js and of the charts of django-unfold."""
        return json.dumps({"labels": self.labels, "datasets": self.datasets})


def dashboard(
    request: HttpRequest, slug: str, *, days: int = 30, registry: Registry = project_registry
) -> Dashboard | None:
    """The process over its last days, today among them, for the request's user.

    None for a process that there isn't or that the user may not see, and where the request sees but a part of its
    objects, so that a dashboard of several leaves it out. What people read is in their language; the card of a stock
    that can't be counted says so, and the chart leaves it out. The queries are those of ``reports.balance``. Raises
    InvalidInput for other than 1 to 366 days.
    """
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInput(f"days is {days!r}; give 1 to {MOST_DAYS}.")
    try:
        process = process_or_404(request.user, registry, slug)
    except Http404:
        return None
    if is_scoped(request, process):
        return None
    calendar = process.calendar
    until = end_of_day(calendar, timezone.now())
    since = last_days(days, calendar, until)
    found, _broken = counted(
        process, lambda sound: balance(request.user, sound, since, until, grain=Grain.DAY)
    )
    return _shown(process, found)


def _shown(process: Process, found: Balance | None) -> Dashboard:
    """``found`` lacks the stocks that can't be counted, and is None where none can."""
    url = reverse("stockandflow:process", args=[process.slug])
    lines = found.stocks if found else ()
    parts = found.parts if found else ()
    ours = {line.stock: line for line in lines}
    years = {process.calendar.local_date(part.since).year for part in parts}
    return Dashboard(
        title=str(process.name),
        url=url,
        cards=tuple(_card(stock, ours.get(stock), url) for stock in process.stocks),
        labels=tuple(
            short_day(process.calendar.local_date(part.since), year=len(years) > 1) for part in parts
        ),
        datasets=tuple(
            {
                "label": str(line.stock.name),
                "data": [part.stocks[place].closing for part in parts],
                "borderColor": COLOURS[place % len(COLOURS)],
            }
            for place, line in enumerate(lines)
        ),
    )


def _card(stock: Stock, line: StockBalance | None, url: str) -> Card:
    if line is None:
        return Card(str(stock.name), count(None), _("Can't be counted"), url)
    change = percent(line.opening, line.closing, grouped, from_zero=_("from 0"))
    return Card(
        title=str(stock.name),
        metric=hidden(line, "closing") or count(line.closing),
        footer=f"{arrow(line.change)} {change}".strip(),
        url=url,
    )
