"""What a user is told: the one way from reports to pages, files, the API and feeds, where small groups are hidden.

Whoever may list all objects of a process is told every number, since the objects are there to be counted. All others
are told of groups of ``min_cell`` objects or more, by the rules of ``reports.suppressing``. Nobody is told of stocks
that stand in other processes alone which he may not see: moves go there and come from there, "elsewhere".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from stockandflow import reports
from stockandflow.conf import conf
from stockandflow.declarations import Flow, Process, Stock
from stockandflow.periods import Grain
from stockandflow.registry import registry
from stockandflow.reports import Balance, Compare, Latest, Series
from stockandflow.site.access import User, hidden_from, may_list, subject_models


def least_told(user: User, process: Process) -> int:
    """The size from which on the user is told of groups of the process, 0 for all. The user's permissions' queries."""
    least = process.min_cell or conf().min_cell or 0
    if least and all(may_list(user, process, model) for model in subject_models(process)):
        return 0
    return least


def told(user: User, process: Process, found: Balance) -> Balance:
    """What the user is told of a balance of whole objects, which may have stocks of other processes too.

    The queries are those for the user's permissions.
    """
    hidden = hidden_from(user, registry)
    return reports.without_hidden(reports.suppressed(found, least_told(user, process)), hidden)


def balance(
    user: User,
    process: Process,
    since: datetime,
    until: datetime,
    *,
    facets: Mapping[str, Any] | None = None,
    compare: Compare | None = None,
    **asked: Any,
) -> Balance:
    """``reports.balance``, with what else it can be asked for, as far as the user is told it; raises as it does.

    Whether one value of a facet can be told depends on the others, so where groups are hidden it takes the queries
    twice, and has no comparison.
    """
    least = least_told(user, process)
    alone = bool(least and facets)
    found = reports.balance(process, since, until, facets=facets, compare=None if alone else compare, **asked)
    if alone:
        ((facet, value),) = found.slice.items()
        whole = reports.balance(process, since, until, **asked | {"split_by": facet})
        split = reports.suppressed(whole, least).slices
        found = split.get(value, found)
    return told(user, process, found)


def series(
    user: User,
    process: Process,
    of: Stock | Flow,
    since: datetime,
    until: datetime,
    grain: Grain | str,
    **measured: Any,
) -> Series:
    """``reports.series`` of a stock or flow of the process as far as the user is told it; raises as it does."""
    found = reports.series(of, since, until, grain, calendar=process.calendar, **measured)
    hidden = hidden_from(user, registry)
    if isinstance(of, Flow) and hidden.stocks:
        found = replace(
            found, breaks=tuple(replace(one, text=hidden.meaning(one.text)) for one in found.breaks)
        )
    return reports.suppressed_series(found, least_told(user, process))


def latest(user: User, processes: Iterable[Process]) -> dict[str, Latest | None]:
    """Slug → the last recorded count of the processes' stocks, None for one that is hidden. One query."""
    processes = list(processes)
    least: dict[str, int] = {}
    for process in processes:
        for stock in process.stocks:
            least[stock.slug] = max(least.get(stock.slug, 0), least_told(user, process))
    found = reports.latest(stock for process in processes for stock in process.stocks)
    return {
        slug: None if reports.is_small(one.count, least[slug]) else replace(one)
        for slug, one in found.items()
    }
