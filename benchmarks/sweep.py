"""What an audit of a table in order costs beside one pass that counts its stocks, and what memory it takes.

A table of subscriptions, five stocks by one column, one event each. The audit looks at every event and at every row,
on PostgreSQL by sums, and counts the stocks as well, for those in two of them.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection

from benchmarks.measuring import (
    Bound,
    Line,
    NumbersDiffer,
    Way,
    analyse,
    compared,
    flat,
    line,
    peak_of,
    say,
    timed,
)
from benchmarks.models import PLANS, STATUSES, Plan, TrackedFlowEvent, TrackedSubscription
from stockandflow import capture
from stockandflow.capture.auditing import audit_tracker
from stockandflow.capture.sweep import sweep
from stockandflow.membership import CountRequest, count_stocks
from stockandflow.models import Sweep
from stockandflow.registry import registry

ROWS, QUICK_ROWS = 1_000_000, 4_000
ROUNDS, QUICK_ROUNDS = 3, 2
SWEEP_TO_SCAN = Bound(3)
TABLE, EVENTS = "benchmarks_trackedsubscription", "benchmarks_trackedflowevent"


def run(database: str, *, quick: bool = False) -> list[Line]:
    """All measurements of sweeping on the connection's database. Raises NumbersDiffer."""
    rows = QUICK_ROWS if quick else ROWS
    tracker = registry.trackers_of(TrackedSubscription)[0]
    with capture.suspended(registry, "default"):  # other benchmarks leave theirs
        for model in (TrackedSubscription, TrackedFlowEvent):
            model._base_manager.all()._raw_delete("default")
    say(f"{database}: sweep, a tenth of {rows:,} subscriptions is opened")
    fill(rows // 10)
    sweep(tracker, "default")
    tenth = peak_of(audit)
    say(f"{database}: sweep, the rest of them is opened")
    fill(rows - rows // 10)
    opening = Way("open", lambda: sweep(tracker, "default"))
    opened_s = timed(opening)
    if TrackedFlowEvent._default_manager.count() != rows:
        raise NumbersDiffer("Each subscription has one event.")
    tidied()
    audit()
    whole = peak_of(audit)
    requests = [CountRequest(stock.slug, stock.queryset) for stock in tracker.stocks]
    lines = compared(
        "sweep",
        database,
        f"audit of {rows:,} subscriptions in order, 5 stocks",
        [
            Way("count_stocks", lambda: count_stocks(requests)),
            Way("audit", audit),
            Way("sweep that finds nothing", lambda: sweep(tracker, "default")),
        ],
        QUICK_ROUNDS if quick else ROUNDS,
        judged=not quick,
    )
    if connection.vendor == "postgresql":  # which counts by an index on the column alone, where it can
        lines += compared(
            "sweep",
            database,
            f"audit of {rows:,} subscriptions in order, beside a full scan",
            [
                Way("count_stocks, scanning the table", lambda: scanning(lambda: count_stocks(requests))),
                Way("sweep that finds nothing", lambda: sweep(tracker, "default")),
                Way("audit", audit),
            ],
            QUICK_ROUNDS if quick else ROUNDS,
            [SWEEP_TO_SCAN],
            judged=not quick,
        )
    count_s = [one.baseline_s for one in lines[:1]]
    work = f"opening with {rows - rows // 10:,} subscriptions"
    lines.append(line("sweep", database, work, ("count_stocks", count_s), ("open", [opened_s])))
    flat(f"{database}: an audit of a tenth, and of all", tenth, whole, judged=not quick)
    return lines


def audit() -> None:
    """An audit that must find nothing."""
    found = audit_tracker(registry.trackers_of(TrackedSubscription)[0], "default")
    if not found.in_order or found.left_out:
        raise NumbersDiffer(f"The table is in order, and the audit found {found}.")


def scanning(work: Callable[[], object]) -> None:
    """The work with whole tables read, on PostgreSQL: what it takes where no index holds all that is asked."""
    switches = ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan")
    with connection.cursor() as cursor:
        for switch in switches:
            cursor.execute(f"SET {switch} = off")
        try:
            work()
        finally:
            for switch in switches:
                cursor.execute(f"RESET {switch}")


def fill(rows: int) -> None:
    """Subscriptions that no trigger has seen come; the database makes them from one another."""
    if not Plan._default_manager.exists():
        Plan._default_manager.bulk_create([Plan(name=name) for name in PLANS])
    plans = list(Plan._default_manager.all())
    made = [
        TrackedSubscription(
            plan=plans[number % len(plans)],
            customer=f"Customer number {number}",
            email=f"customer{number}@example.org",
            country="GB",
            status=STATUSES[number % len(STATUSES)],
            price=9,
            note=f"was imported as number {number}",
        )
        for number in range(min(rows, 1000))
    ]
    fields = [field for field in TrackedSubscription._meta.local_concrete_fields if not field.primary_key]
    columns = ", ".join(str(field.column) for field in fields)
    with capture.suspended(registry, "default"), connection.cursor() as cursor:
        before = TrackedSubscription._default_manager.count()
        TrackedSubscription._default_manager.bulk_create(made)
        while (missing := rows + before - TrackedSubscription._default_manager.count()) > 0:
            cursor.execute(
                f"INSERT INTO {TABLE} ({columns}) SELECT {columns} FROM {TABLE} ORDER BY id LIMIT {missing}"
            )
    Sweep.objects.filter(tracker=registry.trackers_of(TrackedSubscription)[0].slug).update(opened_at=None)
    tidied()


def tidied() -> None:
    """With statistics of what is there now."""
    analyse(TABLE, EVENTS)
