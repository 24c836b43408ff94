"""What a balance of two years takes where few events are behind it, and where a thousand times as many are.

Twenty stocks and forty flows, recorded every day. The past is in records, so the two differ in nothing that is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from benchmarks.measuring import (
    Bound,
    Line,
    NumbersDiffer,
    Way,
    analyse,
    compared,
    flat,
    peak_of,
    processor_clock,
    say,
)
from benchmarks.models import Case, FewFlowEvent, ManyFlowEvent
from stockandflow import Facet, Flow, FlowEvent, ModelTracker, Process, Registry, Stock
from stockandflow.recording import record
from stockandflow.reports import Balance, balance

FEW, MANY = 10_000, 10_000_000
QUICK_FEW, QUICK_MANY = 2_000, 20_000
ROUNDS, QUICK_ROUNDS = 9, 2
STEPS = 20
DAYS = 730
TODAY = 100
"""Moves of today, which are read from events: as many in both."""
MOST_QUERIES = 8


def run(database: str, *, quick: bool = False) -> list[Line]:
    """All measurements of balances on the connection's database. Raises NumbersDiffer."""
    few, many = (QUICK_FEW, QUICK_MANY) if quick else (FEW, MANY)
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    Case._default_manager.bulk_create([Case(step=number % STEPS) for number in range(1000)])
    processes = {}
    for size, model in ((few, FewFlowEvent), (many, ManyFlowEvent)):
        say(f"{database}: balance, {size:,} events are made and recorded")
        processes[size] = recorded(model, size, today)
    until = today + timedelta(days=1)
    lines: list[Line] = []
    for name, since, more in (
        ("24 months", today - timedelta(days=DAYS), {}),
        ("12 months by month beside the year before", today - timedelta(days=DAYS // 2), PARTS),
    ):
        ways = {size: partial(balance, process, since, until, **more) for size, process in processes.items()}
        queries = {size: asked(way) for size, way in ways.items()}
        for size, way in ways.items():
            same(way(), size * (until - since).days // (DAYS + 1), queries)
        lines += compared(
            "balance",
            database,
            f"balance of {name}, 20 stocks, 40 flows, {queries[few]} queries",
            [Way(f"{few:,} events", ways[few]), Way(f"{many:,} events", ways[many])],
            QUICK_ROUNDS if quick else ROUNDS,
            [Bound(1.2)],
            judged=not quick,
            clock=processor_clock,
        )
        low, high = (peak_of(ways[size]) for size in (few, many))
        flat(f"{database}: balance of {name}", low, high, judged=not quick)
    return lines


PARTS: dict[str, Any] = {"grain": "month", "compare": "year"}


def recorded(model: type[FlowEvent], size: int, today: datetime) -> Process:
    """A process with that many moves in the past and a few today, recorded."""
    prefix = model._meta.model_name or ""
    tracker, process = declared(model, prefix)
    registry = Registry()
    registry.register(tracker, process)
    fill(model, prefix, size, today - timedelta(days=DAYS), today, recorded_at=today - timedelta(days=1))
    fill(model, prefix, TODAY, today, timezone.now(), recorded_at=timezone.now())
    record(registry)
    return process


def declared(
    model: type[FlowEvent], prefix: str, facets: Sequence[Facet] = ()
) -> tuple[ModelTracker, Process]:
    """Twenty stocks in a ring, a flow from each to the next, and one into or out of each."""
    cases = Case._default_manager.all()
    stocks = [Stock(f"{prefix}-{n}", f"Step {n}", cases.filter(step=n), facets) for n in range(STEPS)]
    flows = [
        Flow(f"{prefix}-on-{n}", f"On from {n}", model, [stock], [stocks[(n + 1) % STEPS]], facets=facets)
        for n, stock in enumerate(stocks)
    ]
    flows += [
        Flow(f"{prefix}-in-{n}", f"In at {n}", model, [None], [stock], facets=facets)
        if n % 2
        else Flow(f"{prefix}-out-{n}", f"Out at {n}", model, [stock], [None], facets=facets)
        for n, stock in enumerate(stocks)
    ]
    return ModelTracker(stocks=stocks, flows=flows, slug=prefix), Process(prefix, prefix, stocks)


def fill(
    model: type[FlowEvent],
    prefix: str,
    size: int,
    since: datetime,
    until: datetime,
    *,
    recorded_at: datetime,
    facets: str = "'{}'",
) -> None:
    """That many moves, evenly over the time, in its order, by turns of every flow. One statement.

    ``facets`` is SQL for those of the move ``n``.
    """
    step_s = (until - since).total_seconds() / size
    turn = f"n %% {2 * STEPS}"
    at = {
        "sqlite": f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', {since.timestamp()} + n * {step_s}, 'unixepoch') || '000'",
        "postgresql": f"to_timestamp({since.timestamp()} + n * {step_s})",
        "mysql": f"TIMESTAMPADD(MICROSECOND, n * {step_s * 1e6}, '{since:%Y-%m-%d %H:%M:%S}')",
    }[connection.vendor]
    numbers = (
        f"SELECT n FROM generate_series(0, {size - 1}) AS n"
        if connection.vendor == "postgresql"
        else "SELECT n FROM numbers"
    )
    series = f"numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {size - 1})"
    text = "CHAR" if connection.vendor == "mysql" else "TEXT"

    def slug(kind: str, number: str) -> str:
        joined = f"'{prefix}-{kind}', CAST({number} AS {text})"
        return f"CONCAT({joined})" if connection.vendor == "mysql" else joined.replace(", ", " || ", 1)

    on, which = f"{turn} < {STEPS}", f"n %% {STEPS}"
    odd = f"{which} %% 2 = 1"
    across = f"WHEN {odd} THEN {slug('in-', which)} ELSE {slug('out-', which)}"
    flow = f"CASE WHEN {on} THEN {slug('on-', which)} {across} END"
    source = f"CASE WHEN NOT ({on}) AND {odd} THEN '' ELSE {slug('', which)} END"
    sink = (
        f"CASE WHEN {on} THEN {slug('', f'(n + 1) %% {STEPS}')} WHEN {odd} THEN {slug('', which)} ELSE '' END"
    )
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(f"SET max_recursive_iterations = {size + 1}")
        cursor.execute(
            f"INSERT INTO {table} (tracker, flow, source, sink, subject_id, timestamp, recorded_at, facets, origin) "
            f"{'' if connection.vendor == 'postgresql' else f'WITH RECURSIVE {series} '}"
            f"SELECT '{prefix}', {flow}, {source}, {sink}, n / 10 + 1, {at}, %s, {facets}, 'live' FROM ({numbers}) s",
            [connection.ops.adapt_datetimefield_value(recorded_at)],
        )
    analyse(table)


def asked(way: Any) -> int:
    """How many queries it takes besides those of the snapshot."""
    with CaptureQueriesContext(connection) as captured:
        way()
    words = (
        "strftime('%Y-%m-%d %H",
        "clock_timestamp",
        "UTC_TIMESTAMP",
        "BEGIN",
        "COMMIT",
        "SET ",
        "START ",
        "sqlite_master",
    )
    return len([query for query in captured if not any(word in query["sql"] for word in words)])


def same(found: Balance, size: int, queries: dict[int, int]) -> None:
    """Raises NumbersDiffer unless the moves are in the balance, by as many queries whatever the size."""
    moves = sum(one.count for line in found.stocks for one in (*line.inflows, *line.outflows))
    if abs(moves - (size + TODAY) * 3 / 2) > size / 100 + STEPS:
        raise NumbersDiffer(f"The balance has {moves} moves in and out, where {size} were made.")
    if len(set(queries.values())) > 1 or max(queries.values()) > MOST_QUERIES:
        raise NumbersDiffer(f"A balance takes {queries} queries.")
