"""The metrics: what stands in records, for who may read them, by as many queries however much there is."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext

from stockandflow.declarations import Process
from stockandflow.feeds.metrics import exposition
from stockandflow.models import FlowRecord, ScheduleEntry, StockRecord
from stockandflow.periods import Calendar
from stockandflow.registry import registry
from tests.api.conftest import bearer
from tests.users import user_with

pytest.importorskip("prometheus_client")

pytestmark = pytest.mark.django_db

METRICS = "/stockandflow/metrics"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def records() -> None:
    for hours, number in ((5, 7), (2, 9)):
        StockRecord.objects.create(stock="trial", timestamp=NOW - timedelta(hours=hours), count=number)
    StockRecord.objects.create(stock="lead-hot", timestamp=NOW - timedelta(days=1), count=3)
    key = Calendar.default().key
    for year, number in ((2025, 40), (2026, 2)):
        for side, moves in (("*", number), ("trial", 1)):
            FlowRecord.objects.create(
                flow="converting",
                source=side,
                sink="*",
                calendar=key,
                grain="year",
                start=datetime(year, 1, 1, tzinfo=UTC),
                end=datetime(year + 1, 1, 1, tzinfo=UTC),
                count=moves,
                subjects=moves,
                computed_at=NOW - timedelta(hours=1),
            )
    ScheduleEntry.objects.create(name="record", seen_at=NOW - timedelta(minutes=1))


def lines(text: bytes) -> list[str]:
    return [line for line in text.decode().splitlines() if line and not line.startswith("#")]


def test_the_last_count_its_age_and_the_moves_are_told(records: None) -> None:
    text, kind = exposition(dict.fromkeys([registry.process("membership")], 0), NOW)
    assert kind.startswith("text/plain")
    seconds = (NOW - timedelta(hours=2)).timestamp()
    found = lines(text)
    assert 'stockandflow_stock_members{stock="trial"} 9.0' in found
    assert 'stockandflow_stock_age_seconds{stock="trial"} 7200.0' in found
    assert 'stockandflow_flow_moves_total{flow="converting"} 42.0' in found
    assert [float(line.split()[-1]) for line in found if "stock_counted_timestamp" in line] == [seconds]
    assert [line.split("{")[0].split()[0] for line in found if "recorded" in line or "schedule" in line] == [
        "stockandflow_flow_recorded_timestamp_seconds",
        "stockandflow_schedule_seen_timestamp_seconds",
    ]


def test_openmetrics_is_given_to_who_asks_for_it(records: None) -> None:
    text, kind = exposition(
        dict.fromkeys(registry.processes, 0), NOW, "application/openmetrics-text;version=abc,*/*;q=0.1"
    )
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    assert 'stockandflow_stock_members{stock="lead-hot"} 3.0' in lines(text)


def test_nothing_is_counted_and_the_queries_are_three(records: None) -> None:
    for processes in ([registry.process("membership")], registry.processes, []):
        with CaptureQueriesContext(connection) as queries:
            exposition(dict.fromkeys(processes, 0), NOW)
        assert len(queries) == 3 - (not processes) * 2
        assert not any("membership_member" in query["sql"] for query in queries)


def test_the_calendar_of_the_first_process_with_a_flow_tells_its_moves(records: None) -> None:
    tokyo = Process(
        "tokyo",
        "Tokyo",
        [registry.stock("trial")],
        [registry.flow("converting")],
        calendar=Calendar("Asia/Tokyo"),
    )
    assert b"flow_moves_total{" not in exposition(dict.fromkeys([tokyo], 0), NOW)[0]
    assert (
        b"flow_moves_total{" in exposition(dict.fromkeys([registry.process("membership"), tokyo], 0), NOW)[0]
    )


def test_the_metrics_have_a_permission_of_their_own(client: Client, records: None) -> None:
    assert client.get(METRICS).status_code == 401
    assert client.get(METRICS, headers=bearer(user_with("view_process"), "metrics")).status_code == 403
    reader = user_with("view_process", "view_metrics")
    assert client.get(METRICS, headers=bearer(reader)).status_code == 403
    response = client.get(METRICS, headers=bearer(reader, "metrics"))
    assert (response.status_code, response["Cache-Control"]) == (200, "private, no-cache")
    assert 'stockandflow_stock_members{stock="trial"} 9.0' in lines(response.content)


def test_only_the_processes_that_the_caller_may_see_are_told(
    client: Client, records: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.process("leads"), "permission", "auth.change_user")
    headers = bearer(user_with("view_process", "view_metrics"), "metrics")
    found = client.get(METRICS, headers=headers).content
    assert b'stock="trial"' in found
    assert b'stock="lead-hot"' not in found


def nobody(request: HttpRequest, queryset: Any) -> Any:
    return queryset.none()


def test_what_is_seen_in_part_is_not_told(client: Client, records: None, settings: Any) -> None:
    settings.STOCKANDFLOW = {"SCOPE": "tests.feeds.test_metrics.nobody"}
    headers = bearer(user_with("view_process", "view_metrics"), "metrics")
    assert b"stock=" not in client.get(METRICS, headers=headers).content


def test_without_the_library_it_says_what_to_install(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    response = client.get(METRICS, headers=bearer(user_with("view_metrics"), "metrics"))
    assert response.status_code == 501
    assert "pip install 'django-stockandflow[prometheus]'" in response.json()["error"]["message"]
