"""Cards: each process at a glance, all of them from one balance, so that many processes take no more queries."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from django.db.models import Max
from django.http import HttpRequest

from stockandflow.declarations import Process, Stock
from stockandflow.drawing.diagram import Diagram
from stockandflow.drawing.sparkline import Sparkline, sparkline
from stockandflow.models import StockRecord
from stockandflow.periods import Calendar, Grain
from stockandflow.ranges import end_of_day, last_days
from stockandflow.reports import Balance, Number, StockBalance, balance
from stockandflow.site.access import is_scoped
from stockandflow.site.diagrams import miniature_of
from stockandflow.site.frames import page_url
from stockandflow.site.links import linker
from stockandflow.site.reporting import counted
from stockandflow.site.telling import told

logger = logging.getLogger(__name__)

DAYS = 30
"""What a card tells of."""
RECENTLY = timedelta(days=7)
"""When nothing was recorded for so long, the card says that, and no more how long ago it was."""


@dataclass(frozen=True)
class StockAtAGlance:
    """A stock now, and its levels at the borders of the days; ``line`` is None where it can't be counted."""

    stock: Stock
    line: StockBalance | None
    levels: tuple[int | None, ...]

    @cached_property
    def sparkline(self) -> Sparkline:
        return sparkline(self.levels, height=24)


@dataclass(frozen=True)
class Card:
    """A process over the last DAYS days."""

    process: Process
    url: str
    unexplained_url: str
    balance: Balance | None
    """The balance that its lines are of, with those of other processes; None for a part of the objects, or failed."""
    stocks: tuple[StockAtAGlance, ...]
    recorded_at: datetime | None
    """When one of its stocks was last recorded; None where none was for RECENTLY."""
    link: Callable[[Number], str | None]
    failed: bool
    """Whether its balance raises; the log says what."""

    @cached_property
    def miniature(self) -> Diagram:
        """The process with the pipes that moved something, as it is declared where none did."""
        if self.balance is None or not any(line.inflows or line.outflows for line in self.lines):
            return miniature_of(self.process)
        return miniature_of(
            self.process, replace(self.balance, process=self.process, stocks=tuple(self.lines))
        )

    @property
    def lines(self) -> list[StockBalance]:
        return [one.line for one in self.stocks if one.line is not None]

    @property
    def change(self) -> int | None:
        """How many objects more there are in its stocks than at the beginning; None where that isn't known."""
        changes = [line.change for line in self.lines if line.tracked or line.suppressed]
        known = [change for change in changes if change is not None]
        return sum(known) if known and len(known) == len(changes) else None

    @property
    def unexplained(self) -> int:
        """How many changes no event accounts for, up and down alike."""
        return sum(abs(line.unexplained or 0) for line in self.lines)


def cards(request: HttpRequest, processes: Iterable[Process], now: datetime) -> list[Card]:
    """The cards of the processes, in order.

    The queries of one ``reports.balance`` over all stocks in each calendar, however many processes there are: these
    grow with the number of models alone. One more for when they were recorded.
    """
    processes = list(processes)
    scoped = {process for process in processes if is_scoped(request, process)}
    together: dict[Calendar, list[Process]] = defaultdict(list)
    for process in processes:
        if process not in scoped:
            together[process.calendar].append(process)
    balances: dict[Process, Balance | None] = {}
    for calendar, some in together.items():
        balances |= _balances(calendar, some, now)
    recorded = _recorded([stock for process in processes for stock in process.stocks], now)
    return [
        _card(
            request,
            process,
            balances.get(process),
            recorded,
            failed=process not in scoped and not balances[process],
        )
        for process in processes
    ]


def _balances(
    calendar: Calendar, processes: Sequence[Process], now: datetime
) -> dict[Process, Balance | None]:
    """Process → the balance of the stocks of all of them.

    Where that raises, each has one of its own, and None where its own raises too, or no stock can be counted, which is
    logged.
    """
    try:
        found = _joint(calendar, processes, now)
        for process in () if found else processes:
            logger.error("The card of the process %r has no numbers.", process.slug)
        return dict.fromkeys(processes, found)
    except Exception:  # whatever a project's querysets raise
        if len(processes) == 1:
            logger.exception("The card of the process %r has no numbers.", processes[0].slug)
            return {processes[0]: None}
    return {process: _balances(calendar, [process], now)[process] for process in processes}


def _joint(calendar: Calendar, processes: Sequence[Process], now: datetime) -> Balance | None:
    """The balance of all their stocks that can be counted, None where none can."""
    until = end_of_day(calendar, now)
    since = last_days(DAYS, calendar, until)
    all_of = Process(
        "all",
        "All",
        list(dict.fromkeys(stock for process in processes for stock in process.stocks)),
        flows=list(dict.fromkeys(flow for process in processes for flow in process.flows)),
        calendar=calendar,
    )
    return counted(all_of, lambda sound: balance(sound, since, until, grain=Grain.DAY))[0]


def _card(
    request: HttpRequest,
    process: Process,
    joint: Balance | None,
    recorded: Mapping[str, datetime],
    *,
    failed: bool,
) -> Card:
    joint = joint and told(request.user, process, joint)
    lines = {line.stock: line for line in joint.stocks} if joint else {}
    levels: dict[Stock, list[int | None]] = defaultdict(list)
    for part in joint.parts if joint else ():
        for line in part.stocks:
            levels[line.stock] += [*([] if levels[line.stock] else [line.opening]), line.closing]
    return Card(
        process=process,
        url=page_url(request, "process", process.slug),
        unexplained_url=page_url(request, "unexplained", process.slug),
        balance=joint,
        stocks=tuple(
            StockAtAGlance(stock, lines.get(stock), tuple(levels[stock])) for stock in process.stocks
        ),
        recorded_at=max((recorded[one.slug] for one in process.stocks if one.slug in recorded), default=None),
        link=linker(request, process),
        failed=failed,
    )


def _recorded(stocks: Iterable[Stock], now: datetime) -> dict[str, datetime]:
    """Slug → when it was last recorded, of those that were recently. One query."""
    records = StockRecord.objects.filter(
        stock__in={stock.slug for stock in stocks}, timestamp__gt=now - RECENTLY
    )
    return dict(records.order_by().values_list("stock").annotate(Max("timestamp")))
