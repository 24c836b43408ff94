"""What a request gets that sees but a part of the objects: counts of now, and never a number of all."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse

from stockandflow.declarations import Process, Stock
from stockandflow.site.access import scoped
from stockandflow.site.frames import Crumb, render_page


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
    context = {"process": process, "counts": counts, "description": description}
    return render_page(request, "stockandflow/part.html", context, title=title, crumbs=crumbs)
