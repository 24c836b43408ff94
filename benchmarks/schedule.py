"""What the schedule and the outbox do a second, beside the limit: the conditional UPDATEs alone that such work needs.

One, two and four processes share the work. A claim takes two conditional UPDATEs, one that takes the period and one
that notes it as done, each committed; a delivery takes one. The limit has each in a transaction, as the effect that
commits with it needs it; beside it stands what they do without one, each as a single statement.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.db import connection, connections, transaction
from django.db.models import F

from benchmarks.measuring import Bound, Line, NumbersDiffer, Way, compared, say
from benchmarks.models import ActedOnFlowEvent, ActedOnSubscription, Plan
from stockandflow import automation, periodic
from stockandflow.models import Delivery, ScheduleEntry, ScheduleRun
from stockandflow.models.clock import DatabaseNow
from stockandflow.periodic.claims import owner_name
from stockandflow.periods import Calendar
from stockandflow.registry import registry

RUNNERS = (1, 2, 4)
ENTRIES = 8
PERIODS, QUICK_PERIODS = 25, 2
DELIVERIES, QUICK_DELIVERIES = 500, 20
ROUNDS, QUICK_ROUNDS = 3, 1
TO_THE_LIMIT = Bound(0.5, at_most=False)
AT = datetime(2025, 6, 18, 14, 38, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PAUSE_S = 0.005

Within = Callable[[], AbstractContextManager[Any]]


def run(database: str, *, quick: bool = False) -> list[Line]:
    """All measurements on the connection's database; none on SQLite, which has one writer. Raises NumbersDiffer."""
    if connection.vendor == "sqlite":
        return []
    periods, deliveries = (QUICK_PERIODS, QUICK_DELIVERIES) if quick else (PERIODS, DELIVERIES)
    lines = []
    for runners in RUNNERS:
        told = f"by {runners} {'process' if runners == 1 else 'processes'}"
        for work, ways in (
            (
                f"{ENTRIES * periods:,} claims {told}",
                [
                    Way(
                        "bare UPDATEs, each in a transaction",
                        partial(among, runners, partial(bare_claims, transaction.atomic)),
                        partial(make_runs, periods),
                    ),
                    Way("schedule", partial(among, runners, partial(claims, periods)), forget_runs),
                    Way(
                        "bare UPDATEs, in none",
                        partial(among, runners, partial(bare_claims, nullcontext)),
                        partial(make_runs, periods),
                    ),
                ],
            ),
            (
                f"{deliveries:,} deliveries {told}",
                [
                    Way(
                        "bare UPDATE, in a transaction",
                        partial(among, runners, partial(bare_notes, transaction.atomic)),
                        partial(queue, deliveries),
                    ),
                    Way("deliver", partial(among, runners, deliver), partial(queue, deliveries)),
                    Way(
                        "bare UPDATE, in none",
                        partial(among, runners, partial(bare_notes, nullcontext)),
                        partial(queue, deliveries),
                    ),
                ],
            ),
        ):
            lines += compared(
                "schedule",
                database,
                work,
                ways,
                QUICK_ROUNDS if quick else ROUNDS,
                [TO_THE_LIMIT],
                judged=not quick,
            )
            check(periods, deliveries)
    for line in lines:
        if line.bound is None:
            continue
        number = int(line.work.split()[0].replace(",", ""))
        say(f"{line.work}: {number / line.way_s:,.0f} a second, {number / line.baseline_s:,.0f} at the limit")
    return lines


def among(runners: int, work: Callable[[int, int], object]) -> None:
    """Have processes do it at once, each told which of how many it is."""
    connections.close_all()
    children = []
    for index in range(runners):
        child = os.fork()
        if not child:
            code = 1
            try:
                work(index, runners)
                code = 0
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    if any(codes):
        raise NumbersDiffer("A process failed; what it said is above.")


def forget_runs() -> None:
    ScheduleEntry.objects.all().delete()


def make_runs(periods: int) -> None:
    """As many runs as the schedule makes, all to be claimed."""
    forget_runs()
    for number in range(ENTRIES):
        entry = ScheduleEntry.objects.create(name=f"bare {number}")
        ScheduleRun.objects.bulk_create(
            ScheduleRun(entry=entry, period_start=AT + n * MINUTE, period_end=AT + (n + 1) * MINUTE)
            for n in range(periods)
        )


def bare_claims(within: Within, index: int, runners: int) -> None:
    """Take each run and note it as done, without a schedule."""
    owner, status = owner_name(), ScheduleRun.Status
    for key in list(ScheduleRun.objects.order_by("pk").values_list("pk", flat=True))[index::runners]:
        with within():
            ScheduleRun.objects.filter(pk=key, status=status.WAITING).update(
                status=status.RUNNING,
                owner=owner,
                attempt=F("attempt") + 1,
                leased_until=DatabaseNow() + periodic.LEASE,
                started_at=DatabaseNow(),
            )
        with within():
            ScheduleRun.objects.filter(pk=key, status=status.RUNNING, owner=owner, attempt=1).update(
                status=status.DONE, leased_until=None, finished_at=DatabaseNow()
            )


def claims(periods: int, index: int, runners: int) -> None:
    """Run the schedule until nothing is due, from another entry on in each process; who is at one isn't disturbed."""
    schedule = periodic.Schedule()
    first = index * ENTRIES // runners
    for number in (*range(first, ENTRIES), *range(first)):
        schedule.register(periodic.MINUTELY, int, name=f"entry {number}", catch_up="all", calendar=Calendar())
    periodic.run(schedule, now=AT)
    over = {periodic.State.NOT_DUE, periodic.State.DONE}
    while {result.state for result in periodic.run(schedule, now=AT + (periods - 1) * MINUTE).results} - over:
        time.sleep(PAUSE_S)  # what is left is held by others, which go on with it


def queue(number: int) -> None:
    """So many deliveries that wait, and no others."""
    for model in (ActedOnSubscription, ActedOnFlowEvent, Delivery):  # a deletion is an event, too
        model._base_manager.all()._raw_delete("default")
    plan = Plan._default_manager.get_or_create(name="free")[0]
    ActedOnSubscription._base_manager.bulk_create(
        ActedOnSubscription(plan=plan, customer=str(n), email="a@example.org", status="trial", price=9)
        for n in range(number)
    )


def bare_notes(within: Within, index: int, runners: int) -> None:
    """Note each delivery as done, without calling anything."""
    status = Delivery.Status
    for key in list(Delivery.objects.order_by("pk").values_list("pk", flat=True))[index::runners]:
        with within():
            Delivery.objects.filter(pk=key, status=status.PENDING).update(
                status=status.DONE, finished_at=DatabaseNow()
            )


def deliver(*_: int) -> None:
    while automation.deliver(registry).done:
        pass


def check(periods: int, deliveries: int) -> None:
    """Both ways have done the same number."""
    done = ScheduleRun.objects.filter(status=ScheduleRun.Status.DONE).count()
    if done != ENTRIES * periods:
        raise NumbersDiffer(f"{done} runs are done, of {ENTRIES * periods}.")
    done = Delivery.objects.filter(status=Delivery.Status.DONE).count()
    if done not in {0, deliveries} or Delivery.objects.exclude(status=Delivery.Status.DONE).exists():
        raise NumbersDiffer(f"{done} deliveries are done, of {deliveries}.")
