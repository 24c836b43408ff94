"""What a process's page takes where five years are behind it, and where thirty days are.

Twenty stocks and forty flows with three facets, recorded every day, as many moves a day in both. The page shows the
range that it has unless asked for another. It is the whole response, from the session to the last byte.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from benchmarks.balance import STEPS, TODAY, asked, declared, fill
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
from benchmarks.models import Case, MonthFlowEvent, YearsFlowEvent
from benchmarks.stocksandflows import ACCOUNT_VALUES
from stockandflow import Facet, FlowEvent, Process
from stockandflow.models import FlowFacetRecord, FlowRecord, StockFacetRecord, StockRecord
from stockandflow.recording import record
from stockandflow.registry import registry
from stockandflow.reports import balance

EVENTS = {"sqlite": 1_000_000, "postgresql": 10_000_000, "mysql": 1_000_000}
QUICK_EVENTS = 400
DAYS, QUICK_DAYS = 5 * 365, 30
FEW_DAYS, QUICK_FEW_DAYS = 30, 29
ROUNDS, QUICK_ROUNDS = 9, 1


def run(database: str, *, quick: bool = False) -> list[Line]:
    """All measurements of pages on the connection's database. Raises NumbersDiffer."""
    size = QUICK_EVENTS if quick else EVENTS[connection.vendor]
    many_days, few_days = (QUICK_DAYS, QUICK_FEW_DAYS) if quick else (DAYS, FEW_DAYS)
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    Case._default_manager.bulk_create([Case(step=number % STEPS) for number in range(1000)])
    client = Client()
    client.force_login(get_user_model()._default_manager.create(username="reader", is_superuser=True))
    with registry.set_aside():
        processes = {}
        for days, model in ((few_days, MonthFlowEvent), (many_days, YearsFlowEvent)):
            events = size * days // many_days
            say(f"{database}: pages, {events:,} events of {days} days are made and recorded")
            processes[days] = made(model, events, days, today)
        record(registry)
        analyse(*[one._meta.db_table for one in (FlowRecord, FlowFacetRecord, StockRecord, StockFacetRecord)])
        few, many = (
            partial(page, client, process, "range=7d" if quick else "") for process in processes.values()
        )
        same(list(processes.values()), today, size / many_days)
        queries = [asked(few), asked(many)]
        if queries[0] != queries[1]:
            raise NumbersDiffer(f"A page takes {queries} queries.")
        lines = compared(
            "pages",
            database,
            f"process page, 20 stocks, 40 flows, 3 facets, {queries[0]} queries",
            [Way(f"{few_days} days", few), Way(f"{many_days} days, {size:,} events", many)],
            QUICK_ROUNDS if quick else ROUNDS,
            [Bound(1.3)],
            judged=not quick,
            clock=processor_clock,
        )
        if not quick:  # Python is several times slower while its memory is traced
            flat(f"{database}: process page", peak_of(few), peak_of(many), judged=True)
    return lines


def made(model: type[FlowEvent], size: int, days: int, today: datetime) -> Process:
    """A registered process with that many moves in the past days and a few today, none of them recorded yet."""
    prefix = model._meta.model_name or ""
    facets = [Facet(name, name, name, values) for name, values in ACCOUNT_VALUES.items()]
    tracker, process = declared(model, prefix, facets)
    registry.register(tracker, process)
    given, now = facets_sql(), timezone.now()
    since, yesterday = today - timedelta(days=days), today - timedelta(days=1)
    fill(model, prefix, size, since, today, recorded_at=yesterday, facets=given)
    fill(model, prefix, TODAY, today, now, recorded_at=now, facets=given)
    return process


def facets_sql() -> str:
    """The three facets of the move ``n``, each value a tenth of every flow's moves, and with each of the others."""
    parts = []
    for place, (name, values) in enumerate(ACCOUNT_VALUES.items()):
        turn = 2 * STEPS * 10**place
        which = " ".join(f"WHEN {number} THEN '{value}'" for number, value in enumerate(values))
        before = '", ' if place else "{"
        parts += [f"""'{before}"{name}": "'""", f"CASE (n - n %% {turn}) / {turn} %% 10 {which} END"]
    parts.append("""'"}'""")
    if connection.vendor == "mysql":
        return f"CONCAT({', '.join(parts)})"
    joined = " || ".join(parts)
    return f"CAST({joined} AS jsonb)" if connection.vendor == "postgresql" else joined


def page(client: Client, process: Process, query: str = "") -> bytes:
    """The page as it is sent; raises NumbersDiffer for anything but a page."""
    response = client.get(reverse("stockandflow:process", args=[process.slug]), QUERY_STRING=query)
    if response.status_code != 200:
        raise NumbersDiffer(f"The page of {process.slug} answers {response.status_code}.")
    return response.content


def same(processes: list[Process], today: datetime, a_day: float) -> None:
    """Raises NumbersDiffer unless the last weeks are the same in both processes, and hold what was made."""
    since, days = today - timedelta(days=28), 28
    for process in processes:
        found = balance(process, since, today)
        moves = sum(one.count for line in found.stocks for one in (*line.inflows, *line.outflows))
        if abs(moves - a_day * days * 3 / 2) > a_day / 10 + 2 * STEPS:
            raise NumbersDiffer(
                f"{process.slug} has {moves} moves in and out, where {a_day * days:.0f} were made."
            )
