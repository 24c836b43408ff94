"""Net moves: where subjects stood before a range against where they stood after it, whatever happened between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import F, QuerySet, RowRange, Window
from django.db.models.functions import FirstValue, LastValue, RowNumber

from stockandflow.declarations import Process
from stockandflow.periods import checked_range
from stockandflow.reports.events import checked_process, models_of, moves_within, refuse_pruned, touching
from stockandflow.reports.numbers import Kind, Number


@dataclass(frozen=True)
class NetLine:
    """How many subjects stood in ``source`` before their first move of a range and in ``sink`` after their last.

    Source and sink are keys, "" for external, and never the same: who came back hasn't moved on net.
    """

    source: str
    sink: str
    count: int


@dataclass(frozen=True)
class Net:
    """The net moves of a process over ``since <= t < until``, the most first.

    ``lines`` into a stock less those out of it are its inflow less its outflow, as long as each event of a subject
    begins where the one before ended.
    """

    process: Process
    since: datetime
    until: datetime
    lines: tuple[NetLine, ...]

    def number(self, line: NetLine) -> Number:
        """The number of one line, whose ``members`` are the objects."""
        return Number(
            Kind.NETTED,
            process=self.process,
            source=line.source,
            sink=line.sink,
            since=self.since,
            until=self.until,
            value=line.count,
        )


def net(process: Process, since: datetime, until: datetime) -> Net:
    """Each subject that moved over ``since <= t < until``: where it stood before its first move and after its last.

    Only moves that touch the process's stocks are looked at, and those of each tracker by themselves. One query, and
    one for each event model, one sort of the range's events. Raises InvalidInput for a range that is none, or whose
    events were pruned.
    """
    since, until = checked_range(since, until)
    refuse_pruned(models_of(checked_process(process)), since)
    found: Counter[tuple[str, str]] = Counter()
    for model in models_of(process):
        moved = netted(model, process, since, until).values_list("sf_first_source", "sf_last_sink")
        for source, sink, count in _grouped(moved):
            found[source, sink] += count
    order = {slug: place for place, slug in enumerate(["", *(stock.slug for stock in process.stocks)])}

    def rank(line: NetLine) -> tuple[int, int, int, str, str]:
        last = len(order)
        return -line.count, order.get(line.source, last), order.get(line.sink, last), line.source, line.sink

    lines = (NetLine(source, sink, count) for (source, sink), count in found.items())
    return Net(process, since, until, tuple(sorted(lines, key=rank)))


def netted(
    model: type[Any], process: Process, since: datetime | None, until: datetime | None
) -> QuerySet[Any]:
    """The first event of each subject that has moved on net, with its ``sf_first_source`` and ``sf_last_sink``.

    Narrow it by these alone: a condition on a column would be one on the events that the two are found among.
    """
    window: dict[str, Any] = {
        "partition_by": [F("tracker"), F("subject")],
        "order_by": [F("timestamp"), F("id")],
    }
    events = moves_within(model, since, until).filter(touching([stock.slug for stock in process.stocks]))
    events = events.annotate(
        sf_nth=Window(RowNumber(), **window),
        sf_first_source=Window(FirstValue("source"), **window),
        sf_last_sink=Window(LastValue("sink"), frame=RowRange(start=0, end=None), **window),
    )
    found: QuerySet[Any] = events.filter(sf_nth=1).exclude(sf_first_source=F("sf_last_sink"))
    return found


def _grouped(pairs: QuerySet[Any]) -> Iterator[tuple[str, str, int]]:
    # Django can't group by a window; around the query it is plain SQL.
    sql, params = pairs.query.get_compiler(pairs.db).as_sql()
    with connections[pairs.db].cursor() as cursor:
        cursor.execute(f"SELECT sf.*, COUNT(*) FROM ({sql}) AS sf GROUP BY 1, 2", params)  # noqa: S608
        yield from cursor.fetchall()
