"""What people call a number: a heading, and over which range it counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from stockandflow.declarations import ANY, ELSEWHERE, Process
from stockandflow.exceptions import closest
from stockandflow.membership import facets
from stockandflow.periods import Calendar
from stockandflow.ranges import is_midnight, last_date
from stockandflow.reports import ELSEWHERE_NAME, OTHER, OUTSIDE, Kind, Number
from stockandflow.reports.results import stock_names


def state_name(process: Process, key: str) -> str:
    """What people call a source or a sink of the process: a stock's name, "outside", "elsewhere", or its stand-in."""
    if key in ("", ELSEWHERE):
        return _(ELSEWHERE_NAME if key else OUTSIDE)
    return str(stock_names(process).get(key, key))


def place_name(name: str) -> str:
    """The name of a stock as it is, and "outside" and "elsewhere" in the reader's language."""
    return _(name) if name in (OUTSIDE, ELSEWHERE_NAME) else name


def flow_name(name: str) -> str:
    """The name of a flow as it is, and "Other" in the reader's language."""
    return _(OTHER) if name == OTHER else name


def value_name(key: str, labels: Mapping[str, str]) -> str:
    """What people call a value of a facet: its label where it is declared, "(none)", "Other values", else its key."""
    others = {facets.NONE: _("(none)"), facets.OTHER: _("Other values")}
    return labels.get(key) or others.get(key, key)


def meant(given: str, known: Iterable[str]) -> str:
    """``Did you mean 'active'?`` where one of those known is like what was given, else ""."""
    close = closest(given, known)
    return _("Did you mean %r?") % close if close else ""


def heading(number: Number, process: Process) -> str:
    """What a number is of: ``Converting``, ``Into Active``, ``Trial``."""
    stock = str(number.stock.name) if number.stock else ""
    sides = {"source": state_name(process, number.source), "sink": state_name(process, number.sink)}
    patterns = {
        Kind.LEVEL: stock,
        Kind.FLOW: str(number.flow.name) if number.flow else _(OTHER),
        Kind.INFLOW: _("Into %(stock)s"),
        Kind.OUTFLOW: _("Out of %(stock)s"),
        Kind.NET: _("Into and out of %(stock)s"),
        Kind.UNEXPLAINED: _("Unexplained in %(stock)s"),
        Kind.RECLASSIFIED: _("Reclassified in %(stock)s"),
        Kind.NETTED: _("From %(source)s to %(sink)s, net"),
    }
    pattern = patterns[number.kind]
    return pattern if number.kind in (Kind.LEVEL, Kind.FLOW) else pattern % {"stock": stock, **sides}


def sides(number: Number, process: Process) -> str:
    """From where to where a flow's number counts, "" where it counts all its moves."""
    if number.kind is not Kind.FLOW or number.source == number.sink == ANY:
        return ""
    known = {"source": state_name(process, number.source), "sink": state_name(process, number.sink)}
    if number.sink == ANY:
        return _("from %(source)s") % known
    if number.source == ANY:
        return _("to %(sink)s") % known
    return _("from %(source)s to %(sink)s") % known


def when(number: Number, calendar: Calendar) -> str:
    """Over which range a number counts, or at which instant; ``now`` for a level without one."""
    if number.kind is Kind.LEVEL:
        return _("now") if number.until is None else _beginning(number.until, calendar)
    if number.since is None or number.until is None:
        return _("since ever") if number.since is None else _("since %s") % _moment(number.since, calendar)
    if not (is_midnight(number.since, calendar) and is_midnight(number.until, calendar)):
        return f"{_moment(number.since, calendar)} – {_moment(number.until, calendar)}"
    first, last = calendar.local_date(number.since), last_date(number.until, calendar)
    return " – ".join(date_format(day, "DATE_FORMAT") for day in dict.fromkeys((first, last)))


def _beginning(at: datetime, calendar: Calendar) -> str:
    if not is_midnight(at, calendar):
        return _("just before %s") % _moment(at, calendar)
    return _("as %s began") % date_format(calendar.local_date(at), "DATE_FORMAT")


def _moment(at: datetime, calendar: Calendar) -> str:
    return date_format(at.astimezone(calendar.zone), "DATETIME_FORMAT")
