"""What the pages of one stock and of one flow share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _

from stockandflow.declarations import Flow, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.site.exports import (
    Link,
    asked_of_file,
    export,
    export_links,
    no_file_without,
    series_file,
)
from stockandflow.site.filters import Asked
from stockandflow.site.reporting import counted_series
from stockandflow.site.words import grouped


@dataclass(frozen=True)
class Tab:
    """A facet by which the page can be split; ``name`` "" is for the whole."""

    name: str
    query: str
    current: bool


def percent_of(share: float | None) -> str:
    """A share by the reader's locale: ``12.3 %``, ``>9,999 %``, "" where there is none."""
    if share is None:
        return ""
    if share >= 99.995:
        return f">{grouped(9_999, 0)} %"
    return f"{grouped(share * 100, 1 if share < 9.995 else 0)} %"


def series_export(
    request: HttpRequest, process: Process, of: Stock | Flow, now: datetime
) -> HttpResponseBase | None:
    """The series of the page as a file, None where the address asks for the page; raises as ``export`` does."""

    def make(kind: str) -> HttpResponseBase:
        asked = asked_of_file(request, process, now)
        if asked.slice:
            raise InvalidInput(
                _("A series is of all objects; take the file of the process for those of one value.")
            )
        found, broken = counted_series(request.user, process, of, asked, asked.grain)
        if broken:
            raise InvalidInput(no_file_without(broken))
        return series_file([found], process, kind)

    return export(request, process, make)


def series_links(request: HttpRequest, process: Process, asked: Asked) -> list[Link]:
    """The files that the page can be had as, none with a facet in force."""
    return [] if asked.slice else export_links(request.user, process, asked.query)
