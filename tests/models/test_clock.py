"""The database's clock, and what is read as of one moment."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow.models.clock import NOW_SQL, TICK, DatabaseNow, database_now, snapshot
from tests.capture.test_processes import own_client

TOLERATED = timedelta(seconds=5)  # of a server on another machine


@pytest.mark.django_db
class TestNow:
    """The database's instant, not the transaction's."""

    def test_it_is_now_in_utc(self) -> None:
        now = database_now("default")

        assert now.tzinfo is UTC
        assert abs(now - timezone.now()) < TOLERATED

    def test_it_goes_on_within_a_transaction(self) -> None:
        first = database_now("default")
        with closing(connection.cursor()) as cursor:
            cursor.execute("SELECT 1")
        while (later := database_now("default")) == first:
            continue

        assert later > first

    def test_as_an_expression_it_can_be_calculated_with(self) -> None:
        Plan.objects.create(name="Basic", monthly_price=9)
        now, later = Plan.objects.values_list(DatabaseNow(), DatabaseNow() + timedelta(days=1)).get()

        assert abs(now - timezone.now()) < TOLERATED
        assert timedelta(0) <= later - now - timedelta(days=1) < TOLERATED

    def test_sqlites_text_compares_as_time_does(self) -> None:
        """Django keeps no fraction of a whole second."""
        plain = sqlite3.connect(":memory:")
        texts = [
            plain.execute("SELECT " + NOW_SQL["sqlite"].replace("'now'", f"'{at}'")).fetchone()[0]
            for at in ("2026-01-01 00:00:00.000", "2026-01-01 00:00:00.120", "2026-01-01 00:00:01.000")
        ]
        plain.close()

        assert texts == ["2026-01-01 00:00:00", "2026-01-01 00:00:00.120000", "2026-01-01 00:00:01"]
        assert texts == sorted(texts)

    def test_what_a_trigger_stamps_is_found_by_what_django_reads(self) -> None:
        plan = Plan.objects.create(name="Basic", monthly_price=9)
        for _ in range(5):
            Member.objects.create(name="Ada", email="ada@example.org", plan=plan)

        for event in MemberFlowEvent.objects.all():
            assert MemberFlowEvent.objects.filter(timestamp=event.timestamp, pk=event.pk).exists()


@pytest.mark.django_db(transaction=True)
class TestSnapshot:
    """What is read inside is of one moment, and every move among it is stamped before the instant given."""

    @pytest.fixture(autouse=True)
    def plan(self) -> Plan:
        return Plan.objects.create(name="Basic", monthly_price=9)

    def join(self, plan: Plan) -> Member:
        return Member.objects.create(name="Ada", email="ada@example.org", plan=plan)

    def test_what_moved_before_is_before_and_what_moves_after_is_not(self, plan: Plan) -> None:
        self.join(plan)
        with snapshot("default") as at:
            pass
        self.join(plan)

        first, second = MemberFlowEvent.objects.order_by("pk").values_list("timestamp", flat=True)
        assert first < at <= second

    def test_two_in_a_row_have_different_instants(self) -> None:
        with snapshot("default") as first:
            pass
        with snapshot("default") as second:
            assert second > first
            assert second <= database_now("default") + TICK.get(connection.vendor, timedelta(microseconds=1))

    def test_what_others_commit_meanwhile_is_not_seen(self, plan: Plan) -> None:
        with closing(own_client()) as client, closing(client.cursor()) as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA busy_timeout = 0")
            with snapshot("default"):
                if (
                    connection.vendor == "sqlite"
                ):  # without a log beside the file, the writer waits for the reader
                    with pytest.raises(sqlite3.OperationalError, match="locked"):
                        self.rename(client, cursor)
                    client.rollback()
                else:
                    self.rename(client, cursor)
                assert Plan.objects.get().name == "Basic"
            self.rename(client, cursor)

        assert Plan.objects.get().name == "Starter"

    @staticmethod
    def rename(client: Any, cursor: Any) -> None:
        cursor.execute("UPDATE membership_plan SET name = 'Starter'")
        client.commit()

    def test_within_a_transaction_it_joins_it(self, plan: Plan) -> None:
        with transaction.atomic():
            self.join(plan)
            with snapshot("default") as at:
                assert MemberFlowEvent.objects.filter(timestamp__lt=at).count() == Member.objects.count() == 1
            transaction.set_rollback(True)

        assert not Member.objects.exists()

    def test_an_error_inside_leaves_the_connection_as_it_was(self, plan: Plan) -> None:
        with pytest.raises(ZeroDivisionError), snapshot("default"):
            _ = 1 / 0
        self.join(plan)

        assert not connection.in_atomic_block
        assert Member.objects.count() == 1

    def test_the_isolation_of_later_transactions_is_the_projects_own(self, plan: Plan) -> None:
        with snapshot("default"):
            pass
        if connection.vendor == "sqlite":
            assert getattr(connection, "transaction_mode", None) is None
            return
        with transaction.atomic(), closing(own_client()) as client, closing(client.cursor()) as cursor:
            assert Plan.objects.get().name == "Basic"
            self.rename(client, cursor)
            assert Plan.objects.get().name == "Starter"  # read committed, Django's default

    def test_no_move_that_is_seen_is_stamped_later_whoever_writes_meanwhile(self, plan: Plan) -> None:
        member, over = self.join(plan), threading.Event()

        def write() -> None:
            try:
                while not over.is_set():
                    for status in ("active", "paused"):
                        Member.objects.filter(pk=member.pk).update(status=status)
            finally:
                connections.close_all()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            seen = 0
            while seen < 200:
                with snapshot("default") as at:
                    seen = MemberFlowEvent.objects.count()
                    assert not MemberFlowEvent.objects.filter(timestamp__gte=at).exists()
                    assert MemberFlowEvent.objects.count() == seen
        finally:
            over.set()
            writer.join()
