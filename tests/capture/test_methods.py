"""Each tracker gets the method that is right for it, and says why where that is not the best one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, models
from django.db.models.functions import Now
from django.utils import timezone

from example.membership.models import Member
from stockandflow import capture
from stockandflow.capture.methods import database_of
from stockandflow.declarations import ModelTracker, Stock
from stockandflow.registry import registry
from tests.testapp.models import Item, ItemFlowEvent, Owner

pytestmark = pytest.mark.django_db

rows = Item.objects.all()
ROOT = Path(__file__).resolve().parents[2]


def tracker_of(queryset: models.QuerySet[Any], **arguments: Any) -> ModelTracker:
    stock = Stock(slug="it", name="It", queryset=queryset)
    return ModelTracker(stocks=[stock], event_model=ItemFlowEvent, **arguments)


LOCAL = {
    "equal": rows.filter(text="x"),
    "among": rows.filter(text__in=["x", "y"]),
    "range": rows.filter(number__range=(1, 5)),
    "null": rows.filter(day=None),
    "not": rows.exclude(text="x"),
    "or": rows.filter(models.Q(text="x") | models.Q(number__gt=3)),
    "columns": rows.filter(text=models.F("number")),
    "a foreign key's own column": rows.filter(owner=1),
    "an instant that stands still": rows.filter(moment__lt=timezone.now()),
    "a year": rows.filter(moment__year=2026),
    "contains": rows.filter(text__icontains="x"),
    "ordered": rows.order_by("owner__name"),
    "joined for display": rows.select_related("owner").prefetch_related("parts"),
    "everything": rows,
    "nothing": rows.none(),
}
RELATED = {
    "another table": (rows.filter(owner__active=True), "testapp_owner"),
    "many": (rows.filter(parts__kind="x"), "testapp_part"),
    "none of many": (rows.exclude(parts__kind="x"), "testapp_part"),
    "two tables": (rows.filter(owner__active=True, parts__kind="x"), "testapp_owner, testapp_part"),
    "a subquery": (rows.filter(owner__in=Owner.objects.filter(active=True)), "testapp_owner"),
}
ELSEWHERE = {
    "now": (rows.filter(moment__lt=Now()), "time"),
    "a count": (
        rows.annotate(n=models.Count("parts")).filter(n__gt=2),
        "another table|groups rows|aggregates",
    ),
}


@pytest.mark.parametrize("name", LOCAL)
def test_what_one_row_can_tell_is_captured_by_triggers(name: str) -> None:
    assert capture.method_for(tracker_of(LOCAL[name]), connection) == capture.Method("triggers")


@pytest.mark.parametrize("name", RELATED)
def test_what_related_rows_tell_is_captured_by_triggers_on_them_too(name: str) -> None:
    queryset, tables = RELATED[name]

    assert capture.method_for(tracker_of(queryset), connection) == capture.Method(
        "related triggers", f"the stock 'it' depends on rows of {tables}"
    )


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_no_row_tells_is_captured_by_signals_and_says_why(name: str) -> None:
    queryset, why = ELSEWHERE[name]
    method = capture.method_for(tracker_of(queryset), connection)

    assert method.kind == "signals"
    assert method.reason.startswith("no row tells when membership of the stock 'it' changes: ")
    assert any(word in method.reason for word in why.split("|"))


def test_a_function_is_served_by_signals() -> None:
    tracker = tracker_of(rows, fields_to_track=["text"], states_to_stocks_func=lambda before, now: ((), ()))

    assert capture.method_for(tracker, connection).reason == (
        "its states come from a Python function, which the database can't call"
    )


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the other databases have regular expressions")
def test_what_only_django_can_compute_on_sqlite_is_left_to_signals() -> None:
    for queryset in (rows.filter(text__regex="^x"), rows.filter(moment__month=3)):
        method = capture.method_for(tracker_of(queryset), connection)
        assert method.kind == "signals"
        assert "other clients' writes would fail" in method.reason


def test_the_database_is_the_querysets_own_else_where_the_router_writes() -> None:
    assert database_of(tracker_of(rows)) == "default"
    assert database_of(tracker_of(rows.using("warehouse"))) == "warehouse"
    assert capture.databases(registry) == ["default"]
    assert database_of(next(t for t in registry.trackers if t.model is Member)) == "default"


AWAY = """
import warnings
warnings.simplefilter("error")
import uuid
import django
django.setup()
from django.core import checks
from django.db import connection
from stockandflow import capture
from stockandflow.checks import check_declarations
from stockandflow.declarations import ModelTracker, Stock
from stockandflow.registry import registry
from tests.capture.keyed.models import Parcel, ParcelFlowEvent

stock = Stock(slug="mine", name="Mine", queryset=Parcel.objects.filter(batch=uuid.uuid4()))
tracker = ModelTracker(stocks=[stock], event_model=ParcelFlowEvent)
registry.register(tracker)
print(capture.method_for(tracker, connection).kind, *(message.id for message in check_declarations()))
"""


def test_a_project_starts_and_is_checked_while_its_database_is_away() -> None:
    """MariaDB writes a UUID in one way or another, by its version."""
    done = subprocess.run(
        [sys.executable, "-c", AWAY],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PGPORT": "1",
            "MARIADB_PORT": "1",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.startswith("triggers ")
