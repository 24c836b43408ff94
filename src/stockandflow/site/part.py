"""What a request gets that sees but a part of the objects: counts of now, and never a number of all."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse

from stockandflow.declarations import Process, Stock
from stockandflow.reports import Balance, is_small
from stockandflow.site.access import scoped
from stockandflow.site.filters import Asked
from stockandflow.site.frames import Crumb, render_page
from stockandflow.site.reporting import last_recorded
from stockandflow.site.telling import least_told
from stockandflow.site.words import count, grouped


def suppressed_page(
    request: HttpRequest,
    process: Process,
    asked: Asked,
    balance: Balance,
    *,
    title: str,
    crumbs: Sequence[Crumb] = (),
    description: str = "",
    text: str = "",
) -> HttpResponse:
    """The page of a stock or a flow of which no number is told, since one that would tell the others is too small.

    ``text`` says so where the page isn't of a range. One query.
    """
    context = {
        "process": process,
        "asked": asked,
        "balance": balance,
        "calendar": process.calendar,
        "description": description,
        "least": balance.least,
        "text": text,
        "recorded_at": last_recorded(list(process.stocks)),
        "wider": asked.query(range="12mo", per="month", since=None, until=None),
    }
    return render_page(request, "stockandflow/suppressed.html", context, title=title, crumbs=crumbs)


def part_page(
    request: HttpRequest,
    process: Process,
    *,
    title: str,
    crumbs: Sequence[Crumb] = (),
    stocks: Sequence[Stock] = (),
    description: str = "",
) -> HttpResponse:
    """The page of a process, a stock or a flow for a part of the objects: how many of it the stocks hold now.

    One query for each of the stocks.
    """
    counts = [(stock, scoped(request, stock.members()).count()) for stock in stocks]
    least = least_told(request.user, process)
    few = f"< {grouped(least, 0)}"
    told = [(stock, few if is_small(number, least) else count(number)) for stock, number in counts]
    context = {"process": process, "counts": told, "description": description}
    return render_page(request, "stockandflow/part.html", context, title=title, crumbs=crumbs)
