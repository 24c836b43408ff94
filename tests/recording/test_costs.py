"""What a recording takes doesn't grow with what was recorded before: its queries, and the work behind them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow import recording
from stockandflow.models import FlowRecord, Origin, Restatement, StockRecord
from stockandflow.models.clock import now_sql
from stockandflow.periods import Calendar, Grain
from tests.capture.test_work import work_of
from tests.recording.test_trust import empty
from tests.recording.world import SLUGS, declared

pytestmark = pytest.mark.usefixtures("transactional_db")

SHORT, LONG = 40, 400
A_DAY = 20
"""Moves a day."""
GENEROUS = {"sqlite": 2, "mysql": 2, "postgresql": 4}
"""How much more work ten times the history may make: trees grow deeper, and a few queries read each stock's days.

PostgreSQL counts the rows that it reads, and how many depends on the plan that its statistics of the moment suggest.
"""


def moved(at: datetime, subject: int, source: str, sink: str, flow: str) -> MemberFlowEvent:
    return MemberFlowEvent(
        tracker="membership.member",
        flow=flow,
        source=source,
        sink=sink,
        subject_id=subject,
        timestamp=at,
        recorded_at=timezone.now() - timedelta(hours=2),
        origin=Origin.LIVE,
        facets={"plan": "Basic", "country": None},
    )


def analyze() -> None:
    """Have the servers know what their tables hold, as they do by themselves within a minute."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor) if connection.vendor != "sqlite" else ():
            if connection.vendor == "postgresql":
                cursor.execute(f"VACUUM ANALYZE {table}")
            else:
                cursor.execute(f"ANALYZE TABLE {table}")
                cursor.fetchall()


def a_run_after(days: int) -> tuple[int, int, int]:
    """What a recording takes by which two moves of now, and two of ten days ago, come to so many recorded days.

    Queries besides those for the time, work, and the records that it writes.
    """
    registry, _ = declared(Calendar("Pacific/Apia"))
    now = timezone.now()
    Member.objects.create(
        name="m", email="m@example.org", plan=Plan.objects.create(name="B", monthly_price=9)
    )
    MemberFlowEvent.objects.all().delete()
    MemberFlowEvent.objects.bulk_create(
        moved(now - timedelta(days=day, hours=1), day * A_DAY + number + 1, "", "trial", "signing-up")
        for day in range(days, 0, -1)
        for number in range(A_DAY)
    )
    StockRecord.objects.bulk_create(
        StockRecord(stock=slug, timestamp=now - timedelta(days=day, hours=2), count=1000)
        for day in range(days, 0, -1)
        for slug in SLUGS
    )
    recording.record(registry)
    recording.record(registry)
    analyze()
    late = now - timedelta(days=10)
    MemberFlowEvent.objects.bulk_create(
        [moved(at, key, "trial", "active", "converting") for at in (late, now) for key in (201, 202)]
    )
    changed: list[recording.Recording] = []
    with CaptureQueriesContext(connection) as queries, transaction.atomic():  # PostgreSQL counts within one
        work = work_of(lambda: changed.append(recording.record(registry)))
    assert FlowRecord.objects.filter(flow="converting", grain=Grain.DAY, count=2).exists()
    assert Restatement.objects.filter(kind="stock", cause="late events").exists()
    # How often SQLite's clock of milliseconds has to be asked until it has moved on is a matter of luck.
    asked = [query for query in queries if now_sql(connection.vendor) not in query["sql"]]
    return len(asked), work, changed[0].flow_records


def test_a_run_after_ten_times_the_history_takes_no_more() -> None:
    short = a_run_after(SHORT)
    empty()
    for model in (StockRecord, Restatement, MemberFlowEvent, Member, Plan):
        model._default_manager.all().delete()
    long = a_run_after(LONG)
    assert long[0] <= short[0]
    assert long[2] == pytest.approx(short[2], rel=0.5)
    assert long[1] <= short[1] * GENEROUS[connection.vendor], (short, long)
