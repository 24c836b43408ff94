"""The report that a page asks for: whatever is asked, and whichever stock can't be counted, there is one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connections, transaction
from django.utils import timezone

from stockandflow.declarations import Flow, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import StockRecord
from stockandflow.periods import Grain
from stockandflow.reports import Balance, Compare, Series
from stockandflow.site.access import User
from stockandflow.site.filters import Asked, read_filters
from stockandflow.site.telling import balance, series

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What was asked, and the balance that answers it, without the stocks that are ``broken``."""

    asked: Asked
    balance: Balance
    broken: tuple[Stock, ...]
    """The stocks that raise when they are counted; the log says what."""


class Uncounted(Exception):
    """Nothing can be told, since a stock can't be counted."""


class NothingCounted(Uncounted):
    """None of a process's stocks can be counted. ``asked`` is what was asked for."""

    def __init__(self, process: Process, asked: Asked) -> None:
        super().__init__(
            f"No stock of the process {process.slug!r} can be counted; the server's log says why."
        )
        self.process, self.asked = process, asked


def report(
    user: User,
    parameters: Mapping[str, str],
    process: Process,
    now: datetime,
    *,
    split_by: str | None = None,
    compare: Compare | None = None,
    bars: Iterable[Stock] = (),
    most_bars: int = 1,
    range_alone: bool = False,
) -> Report:
    """The report that a page's parameters ask for, in the periods of its grain, as far as the user is told it.

    The stocks of ``bars`` are counted by the first ``most_bars`` of their facets with declared values as well, where
    the whole is asked for. ``split_by`` and ``compare`` are what the balance has where the parameters ask for no split
    or comparison. With ``range_alone`` they ask for a range and for nothing else.
    What is wrong is told by ``asked.errors``. The queries are those of ``read_filters`` and of ``telling.balance``.
    A stock that can't be counted is left out, and logged; where none can, NothingCounted is raised.
    """

    def answer(process: Process, asked: Asked) -> Balance:
        split = asked.split_by or (None if asked.slice else split_by)
        now_by = {
            slug
            for stock in bars
            for slug in [one.slug for one in stock.applied_facets if asked.values.get(one.slug)][:most_bars]
        }
        return asked_balance(
            user,
            process,
            replace(asked, split_by=split, compare=asked.compare or compare),
            () if split or asked.slice else now_by,
        )

    def read(errors: Mapping[str, str] | None = None) -> Asked:
        found = read_filters(parameters, process, now, errors=errors)
        return found.range_alone if range_alone else found

    asked = read()
    try:
        found, broken = counted(process, lambda sound: answer(sound, asked))
    except InvalidInput as error:  # the database's clock may be behind ours, or events were pruned
        asked = read({"since": str(error)})
        found, broken = counted(process, lambda sound: answer(sound, asked))
    if found is None:
        raise NothingCounted(process, asked)
    return Report(asked, found, broken)


def counted(process: Process, make: Callable[[Process], Balance]) -> tuple[Balance | None, tuple[Stock, ...]]:
    """What ``make`` gives for the process, and the stocks that were left out since counting them raises.

    Which these are is only asked, one by one, once ``make`` has raised; each is logged. Where none can be counted there
    is no balance; where all can, the error of ``make`` is raised, as InvalidInput always is.
    """
    try:
        with _left_as_it_was(process.stocks[0].queryset.db):
            return make(process), ()
    except InvalidInput:
        raise
    except Exception:
        broken = [stock for stock in process.stocks if _is_broken(stock)]
        if not broken:
            raise
    if len(broken) == len(process.stocks):
        return None, tuple(broken)
    return make(without(process, broken)), tuple(broken)


def counted_series(
    user: User, process: Process, of: Stock | Flow, asked: Asked, grain: Grain, **measured: Any
) -> tuple[Series, tuple[Stock, ...]]:
    """The series that was asked for, as far as the user is told it, and the stock of it if that can't be counted.

    Counting tells of the period under way, so that one is left out then, and the error logged. Raises Uncounted where
    nothing else is asked for, and as ``reports.series`` does, whose queries it makes.
    """

    def make(until: datetime) -> Series:
        return series(user, process, of, asked.since, until, grain, **measured)

    if isinstance(of, Flow):
        return make(asked.until), ()
    try:
        with _left_as_it_was(of.queryset.db):
            return make(asked.until), ()
    except InvalidInput:
        raise
    except Exception:
        if not _is_broken(of):
            raise
    begun = process.calendar.period(grain, timezone.now()).start
    if asked.since >= begun:
        raise Uncounted(
            f"The stock {of.slug!r} can't be counted, and no period of this range is over; the server's log says why."
        )
    return make(begun), (of,)


def without(process: Process, broken: list[Stock]) -> Process:
    """The same process with the other stocks alone; it is never registered."""
    whole = [stock for stock in process.stocks if stock not in broken]
    return Process(
        process.slug,
        process.name,
        whole,
        flows=process.flows,
        description=process.description,
        permission=process.permission,
        calendar=process.calendar,
        layout={stock.slug: process.layout[stock.slug] for stock in whole if stock.slug in process.layout},
        min_cell=process.min_cell,
    )


def last_recorded(stocks: list[Stock]) -> datetime | None:
    """When one of the stocks was last recorded, None where none ever was. One query."""
    records = StockRecord.objects.filter(stock__in=[stock.slug for stock in stocks])
    return records.order_by("-timestamp").values_list("timestamp", flat=True).first()


def asked_balance(user: User, process: Process, asked: Asked, now_by: Collection[str] = ()) -> Balance:
    """The balance that was asked for; the queries, and what is raised, are those of ``telling.balance``."""
    return balance(
        user,
        process,
        asked.since,
        asked.until,
        grain=asked.grain,
        facets=asked.slice,
        split_by=asked.split_by,
        compare=asked.compare,
        now_by=now_by,
        known=asked.known,
    )


def _is_broken(stock: Stock) -> bool:
    try:
        with _left_as_it_was(stock.queryset.db):
            stock.count()
    except Exception:  # whatever a project's queryset raises
        logger.exception("The stock %r can't be counted.", stock.slug)
        return True
    return False


@contextmanager
def _left_as_it_was(using: str) -> Iterator[None]:
    """Keep what fails inside from spoiling a transaction that was open before."""
    if connections[using].in_atomic_block:
        with transaction.atomic(using=using):
            yield
    else:
        yield
