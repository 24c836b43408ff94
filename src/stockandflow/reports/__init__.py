"""Reports: what a process held, what came, what went, and what nobody can explain."""

from stockandflow.reports.balances import balance, events_of
from stockandflow.reports.comparing import Compare
from stockandflow.reports.hiding import Hidden, without_hidden
from stockandflow.reports.latest import Latest, latest
from stockandflow.reports.lines import Extremes, Held, extremes, lines_of
from stockandflow.reports.listing import Listed, listed, members, subjects
from stockandflow.reports.netting import Net, NetLine, net
from stockandflow.reports.numbers import Kind, Number
from stockandflow.reports.rates import rate, rates
from stockandflow.reports.reported import Known, as_reported
from stockandflow.reports.results import (
    ELSEWHERE_NAME,
    OTHER,
    OUTSIDE,
    Balance,
    FlowLine,
    Method,
    StockBalance,
)
from stockandflow.reports.rhythm import Rhythm, latest_moves, rhythm
from stockandflow.reports.series import Break, Point, Series, series
from stockandflow.reports.suppressing import is_small, suppressed, suppressed_series
from stockandflow.reports.unexplained import Causes, Watched, Window, causes

__all__ = [
    "ELSEWHERE_NAME",
    "OTHER",
    "OUTSIDE",
    "Balance",
    "Break",
    "Causes",
    "Compare",
    "Extremes",
    "FlowLine",
    "Held",
    "Hidden",
    "Kind",
    "Known",
    "Latest",
    "Listed",
    "Method",
    "Net",
    "NetLine",
    "Number",
    "Point",
    "Rhythm",
    "Series",
    "StockBalance",
    "Watched",
    "Window",
    "as_reported",
    "balance",
    "causes",
    "events_of",
    "extremes",
    "is_small",
    "latest",
    "latest_moves",
    "lines_of",
    "listed",
    "members",
    "net",
    "rate",
    "rates",
    "rhythm",
    "series",
    "subjects",
    "suppressed",
    "suppressed_series",
    "without_hidden",
]
