"""The addresses of the feeds: the metrics, and the lines for wallboards."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from stockandflow.api.answers import Document, answering, private
from stockandflow.api.asking import declared, grain_of, read, uncounted
from stockandflow.api.callers import whole
from stockandflow.api.refusals import Refused, invalid
from stockandflow.declarations import Flow, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.feeds.lines import SHAPES
from stockandflow.feeds.metrics import exposition
from stockandflow.registry import registry
from stockandflow.site.access import is_scoped, visible
from stockandflow.site.reporting import counted_series
from stockandflow.site.telling import least_told

READING = "stockandflow.view_metrics"
"""Needed to read the metrics, with the permissions of the processes that they are of."""


@answering(basic=True)
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics of all processes that the caller may see, and sees as a whole. Three queries beside the caller's."""
    if not request.user.has_perm(READING):
        raise PermissionDenied(_("You may not read the metrics; ask for %s.") % READING)
    shown = [one for one in visible(request.user, registry) if not is_scoped(request, one)]
    least = {one: least_told(request.user, one) for one in shown}
    try:
        text, kind = exposition(least, timezone.now(), request.headers.get("Accept", ""))
    except InvalidInput as error:
        raise Refused(501, "not-installed", str(error)) from error
    return private(HttpResponse(text, content_type=kind))


@answering(basic=True)
def stock(request: HttpRequest, slug: str, stock: str) -> Document:
    """The levels of a stock as a line. The queries are those of ``reports.series``."""
    shown = whole(request, slug)
    return _line(request, shown, declared(shown, "stock", shown.stocks, stock))


@answering(basic=True)
def flow(request: HttpRequest, slug: str, flow: str) -> Document:
    """The moves of a flow as a line. The queries are those of ``reports.series``."""
    shown = whole(request, slug)
    return _line(request, shown, declared(shown, "flow", shown.flows, flow))


def _line(request: HttpRequest, process: Process, of: Stock | Flow) -> Document:
    asked = read(request, process, timezone.now(), ("per", "measure", "shape"), hours=True)
    shape = request.GET.get("shape", "").strip() or "plain"
    if shape not in SHAPES:
        told = _("%(name)s is %(given)r; choose one of %(known)s.")
        raise invalid({"shape": told % {"name": "shape", "given": shape, "known": ", ".join(SHAPES)}})
    measure: Any = request.GET.get("measure", "").strip() or None
    kind = "aggregate" if isinstance(of, Stock) else "measure"
    grain = grain_of(request, asked)
    found, broken = counted_series(request.user, process, of, asked, grain, **{kind: measure})
    line = SHAPES[shape](found)
    return {**line, "uncounted": uncounted(broken)} if shape == "plain" else line
