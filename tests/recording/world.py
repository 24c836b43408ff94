"""A small world whose clock the test moves: members who come, move and go, seen by the capture or not, and recordings.

All is done as projects do it, through triggers, imports, sweeps and recordings; only the database's clock is another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, Q

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow import recording
from stockandflow.capture.sweep import sweep
from stockandflow.declarations import Flow, ModelTracker, Process, Stock
from stockandflow.exceptions import HistoryRefused
from stockandflow.models import (
    Delivery,
    FlowFacetRecord,
    FlowRecord,
    LevelWatermark,
    Origin,
    Restatement,
    StockFacetRecord,
    StockRecord,
    Sweep,
    Watermark,
)
from stockandflow.models.clock import database_now
from stockandflow.periods import Calendar
from stockandflow.registry import Registry, registry
from tests.clock import clock_behind

TRACKER = registry.tracker("membership.member")
SLUGS = ("trial", "active", "churned")
"""Of the stocks, which are also the values of the status."""
WORLD = (
    *(FlowFacetRecord, FlowRecord, StockFacetRecord, StockRecord, Restatement, Watermark, LevelWatermark),
    *(MemberFlowEvent, Delivery, Sweep),
)


class Crash(Exception):
    """The process is gone."""


def declared(own: Calendar) -> tuple[Registry, Process]:
    """The example's membership, of which one stock is also in a process with a calendar of its own."""
    given = registry.process("membership")
    stocks = {
        stock.slug: Stock(
            stock.slug, stock.name, stock.queryset, facets=[facet.facet for facet in stock.applied_facets]
        )
        for stock in given.stocks
        if stock.slug in SLUGS
    }

    def here(states: Any) -> list[Stock | None]:
        return [
            stocks.get(getattr(state, "slug", "")) for state in states if state is None or state.slug in SLUGS
        ]

    flows = [
        Flow(
            flow.slug,
            flow.name,
            MemberFlowEvent,
            here(flow.sources),
            here(flow.sinks),
            facets=[facet.facet for facet in flow.applied_facets],
        )
        for flow in given.flows
        if all(state is None or state.slug in SLUGS for state in (*flow.sources, *flow.sinks))
        or flow.slug == "erasing"
    ]
    found = Registry()
    process = Process("membership", "Membership", list(stocks.values()))
    found.register(
        ModelTracker(stocks=list(stocks.values()), flows=flows),
        process,
        Process("abroad", "Abroad", [stocks["active"]], calendar=own),
    )
    return found, process


class World:
    """Two members who came before the capture, and what is done to them and to others who come."""

    def __init__(self, own: Calendar, days_ago: int) -> None:
        Member.objects.all().delete()
        for model in WORLD:
            model.objects.all()._raw_delete("default")
        Plan.objects.all().delete()
        self.plans = [Plan.objects.create(name=name, monthly_price=9) for name in ("Basic", "Pro")]
        self.behind = timedelta(days=days_ago)
        self.registry, self.process = declared(own)
        self.unseen: list[MemberFlowEvent] = []

        self.join(2, 0, "trial")
        MemberFlowEvent.objects.all().delete()  # they came before the capture
        self.do(("sweep",))

    def clock(self) -> AbstractContextManager[None]:
        """Inside, the database's clock is behind by what is left of the world's past."""
        return clock_behind(self.behind)

    def now(self) -> datetime:
        return database_now("default")

    def written(self, write: Callable[[], object]) -> list[MemberFlowEvent]:
        """Write to the table, and have the triggers' events stamped by the world's clock; these events."""
        last = MemberFlowEvent.objects.order_by("pk").values_list("pk", flat=True).last() or 0
        write()
        fresh = MemberFlowEvent.objects.filter(pk__gt=last)
        fresh.update(timestamp=F("timestamp") - self.behind, recorded_at=F("recorded_at") - self.behind)
        return list(fresh.order_by("pk"))

    def lapse(self, hours: float) -> None:
        """Let time pass, as far as there is some left."""
        self.behind = max(timedelta(0), self.behind - timedelta(hours=hours))

    def one(self, which: int) -> Member | None:
        members = list(Member.objects.order_by("pk"))
        return members[which % len(members)] if members else None

    # What is done.

    def join(self, number: int, plan: int, status: str) -> None:
        people = [
            Member(name="m", email="m@example.org", plan=self.plans[plan], status=status, country="GB")
            for _ in range(number)
        ]
        self.written(lambda: Member.objects.bulk_create(people))

    def move(self, which: int, status: str, how: str) -> None:
        member = self.one(which)
        if member is None:
            return
        member.status = status
        one = Member.objects.filter(pk=member.pk)
        table = Member._meta.db_table

        def by_sql() -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"UPDATE {table} SET status = %s WHERE id = %s", [status, one.get().pk])

        ways: dict[str, Callable[[], object]] = {
            "save": member.save,
            "update": lambda: one.update(status=status),
            "sql": by_sql,
            "delete": one.delete,
            "unseen": lambda: one.update(status=status),
        }
        events = self.written(ways[how])
        if how == "unseen":
            MemberFlowEvent.objects.filter(pk__in=[event.pk for event in events]).delete()
            self.unseen += events

    def tell(self) -> None:
        """Write down late what nobody saw."""
        if self.unseen:
            event = self.unseen.pop(0)
            event.pk, event.recorded_at = None, self.now()
            event.save(force_insert=True)

    def sweep(self) -> None:
        self.unseen.clear()
        sweep(TRACKER, "default")

    def bring_in(self, key: int, days_before: int, status: str) -> None:
        """The history of one who is gone, or of one whom only an opening balance or a sweep knows."""
        at = self.now() - timedelta(days=days_before)
        rows = [(key, at - timedelta(days=9), "", "trial"), (key, at, "trial", status)]
        opened = MemberFlowEvent.objects.filter(origin=Origin.INITIAL).order_by("pk").first()
        if opened is not None and key % 2:
            rows = [(opened.subject_id or key, at, "", status)]
        elif status == "trial":
            rows.pop()
        else:
            rows.append((key, at + timedelta(hours=5), status, ""))
        with suppress(HistoryRefused):  # it meets what is there
            TRACKER.import_events(rows, allow_missing_subjects=True)

    def change(self, which: int, hours: int) -> None:
        """A move is set to another time where it stands, and the watermarks are told, as by an import."""
        events = MemberFlowEvent.objects.exclude(origin=Origin.INITIAL).order_by("pk")
        if event := events[which % max(1, events.count()) :].first():
            at = min(event.timestamp + timedelta(hours=hours), self.now())
            changed_in_place(min(at, event.timestamp))
            events.filter(pk=event.pk).update(timestamp=at)

    def record(self, crash_at: int | None = None, **options: Any) -> bool:
        """Record; whether it came to its end. Else the process has crashed before that statement."""
        number = 0

        def count(execute: Any, *call: Any) -> Any:
            nonlocal number
            number += 1
            if number == crash_at:
                raise Crash
            return execute(*call)

        try:
            with connection.execute_wrapper(count):
                recording.record(self.registry, **options)
        except Crash:
            connection.close()
            return False
        return True

    def do(self, step: tuple[Any, ...]) -> bool:
        """Do one step, and say whether it was a recording that came to its end."""
        name, *arguments = step
        with self.clock():
            return bool(getattr(self, name)(*arguments))


def changed_in_place(since: datetime) -> None:
    """Have all be computed anew from there on, as an import does that changes events."""
    marks = Watermark.objects.filter(event_model=MemberFlowEvent._meta.label_lower)
    marks.update(version=F("version") + 1)
    marks.filter(Q(anew_since=None) | Q(anew_since__gt=since)).update(anew_since=since)
