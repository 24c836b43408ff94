"""Tabs: the pages of a process, one link away from each other."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.translation import gettext as _

from stockandflow.declarations import Process, Stock
from stockandflow.site.filters import Asked
from stockandflow.site.frames import page_url


@dataclass(frozen=True)
class Tab:
    """A page of a process, over the same range."""

    name: str
    url: str
    current: bool


def tabs(
    request: HttpRequest, process: Process, asked: Asked, current: Stock | None = None
) -> tuple[Tab, ...]:
    """The overview, and each stock's page; ``current`` is the stock whose page this is, None on the overview."""
    query = asked.query() if asked.parameters else ""
    overview = Tab(_("Overview"), page_url(request, "process", process.slug) + query, current is None)
    return (
        overview,
        *(
            Tab(
                str(stock.name),
                page_url(request, "stock", process.slug, stock.slug) + query,
                stock is current,
            )
            for stock in process.stocks
        ),
    )
