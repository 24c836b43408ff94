"""Other processes: clients that know nothing of Django, and Pythons that hash in another order."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow.models import Delivery
from stockandflow.models.clock import database_now
from tests.capture.test_triggers import moves_of, new_member

pytestmark = pytest.mark.usefixtures("transactional_db")

ROOT = Path(__file__).resolve().parents[2]
# Whatever the server, the client or the session has as its own: the triggers must not depend on it.
SESSIONS = {
    "sqlite": [""],
    "postgresql": [
        "",
        "SET search_path = ''",
        "SET TimeZone = 'America/New_York'",
        "SET DateStyle = 'SQL, DMY'",
        "SET standard_conforming_strings = off",
        "SET default_transaction_isolation = 'serializable'",
    ],
    "mysql": [
        "",
        "SET NAMES latin1",
        "SET time_zone = '-05:00'",
        "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'",
        "SET sql_mode = ''",
    ],
}
TABLE = {"postgresql": "public.membership_member"}.get(connection.vendor, "membership_member")


@pytest.fixture
def member() -> Member:
    return new_member(Plan.objects.create(name="Café ☃", monthly_price=9))


def python(code: str, *arguments: str, **environment: str) -> str:
    """What another Python prints; it fails the test when that fails."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def own_client() -> Any:
    """A connection by the database's own library, not by Django."""
    given = connection.get_connection_params()
    if connection.vendor == "sqlite":
        import sqlite3

        return sqlite3.connect(given["database"])
    if connection.vendor == "postgresql":
        import psycopg

        return psycopg.connect(
            **{key: given[key] for key in ("dbname", "user", "password", "host", "port") if given.get(key)}
        )
    import MySQLdb

    return MySQLdb.connect(
        **{key: given[key] for key in ("user", "password", "host", "port", "database") if given.get(key)}
    )


@pytest.mark.parametrize("session", SESSIONS[connection.vendor])
def test_a_client_without_django_writes_the_same_events(member: Member, session: str) -> None:
    last = MemberFlowEvent.objects.latest("pk").pk
    with closing(own_client()) as client, closing(client.cursor()) as cursor:
        if session:
            cursor.execute(session)
            client.commit()
        cursor.execute(f"UPDATE {TABLE} SET status = 'active'")
        client.commit()
        cursor.execute(f"UPDATE {TABLE} SET status = 'churned'")
        client.rollback()
        cursor.execute(f"DELETE FROM {TABLE}")
        client.commit()

    assert moves_of(last) == [("trial", "active"), ("active", "")]
    arrival, *others = MemberFlowEvent.objects.order_by("pk")
    for event in others:
        assert event.facets == {"plan": "Café ☃", "country": "GB"}
        assert arrival.timestamp <= event.timestamp <= event.recorded_at <= database_now("default")
    assert Delivery.objects.get().flow == "converting"


def test_a_client_without_django_can_insert(member: Member) -> None:
    last = MemberFlowEvent.objects.latest("pk").pk
    columns = "name, email, plan_id, status, status_since, joined_at"
    with closing(own_client()) as client, closing(client.cursor()) as cursor:
        cursor.execute(f"INSERT INTO {TABLE} ({columns}) SELECT {columns} FROM {TABLE}")
        client.commit()

    assert moves_of(last) == [("", "trial")]


@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite's writers wait for each other before they begin"
)
def test_a_statement_that_waits_for_a_row_moves_it_after_those_it_has_waited_for(member: Member) -> None:
    """It began before they did; what counts is when the row was its own."""

    def convert() -> None:
        try:
            Member.objects.filter(pk=member.pk).update(status="active")
        finally:
            connection.close()

    last = MemberFlowEvent.objects.latest("pk").pk
    waiting = threading.Thread(target=convert)
    with closing(own_client()) as client, closing(client.cursor()) as cursor:
        cursor.execute(f"UPDATE {TABLE} SET name = 'locked'")
        waiting.start()
        time.sleep(0.3)
        cursor.execute(f"UPDATE {TABLE} SET status = 'paused'")
        client.commit()
    waiting.join()

    events = MemberFlowEvent.objects.filter(pk__gt=last).order_by("timestamp", "pk")
    assert list(events.values_list("source", "sink")) == [("trial", "paused"), ("paused", "active")]


NAMES = """
import sys
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from django.db import connection
from stockandflow.capture.triggers import compile_triggers
from stockandflow.declarations import ModelTracker, Stock
from example.membership.models import Member, MemberFlowEvent
from tests.capture.keyed.models import Region

words = {"trial", "active", "paused", "past_due", "churned"}
stocks = [
    Stock(slug="some", name="Some", queryset=Member.objects.filter(status__in=words)),
    Stock(slug="more", name="More", queryset=Member.objects.exclude(country__in=frozenset(words) | {None})),
    Stock(slug="most", name="Most", queryset=Member.objects.filter(plan__in={3, 1, 2}, name__in=iter(words))),
]
tracker = ModelTracker(stocks=stocks, event_model=MemberFlowEvent)
for trigger in compile_triggers(tracker, connection):
    print(trigger.name)
"""


def test_the_names_of_triggers_are_the_same_in_every_process() -> None:
    """Python gives the members of a set in another order in each process; the triggers must not seem stale for it."""
    name = str(connection.settings_dict["NAME"])
    assert len({python(NAMES, name, PYTHONHASHSEED=str(seed)) for seed in range(4)}) == 1


FLUSHED = """
import sys
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from django.core.management import call_command
from example.membership.models import Member, MemberFlowEvent, Plan
from example.support.models import Ticket, TicketFlowEvent
from stockandflow.models import Delivery
from stockandflow.models.clock import database_now

plan = Plan.objects.create(name="Basic", monthly_price=9)
member = Member.objects.create(name="Ada", email="ada@example.org", plan=plan)
Member.objects.update(status="active")
Ticket.objects.create(title="?", member=member, priority="urgent")
assert MemberFlowEvent.objects.count() == 2
call_command("flush", interactive=False, verbosity=0, reset_sequences=sys.argv[2] == "reset")
print(*(model.objects.count() for model in (Member, MemberFlowEvent, TicketFlowEvent, Delivery)))
"""


@pytest.mark.parametrize("reset", ["reset", "keep"])
def test_a_flush_leaves_nothing_whatever_the_order_of_the_tables(reset: str) -> None:
    for seed in range(4):
        name = str(connection.settings_dict["NAME"])
        assert python(FLUSHED, name, reset, PYTHONHASHSEED=str(seed)) == "0 0 0 0\n"


TWO_DATABASES = """
import sys
import django
from django.conf import settings

class Router:
    def home(self, model, **hints):
        return "warehouse" if model._meta.app_label == "testapp" else None
    db_for_read = db_for_write = home
    def allow_migrate(self, db, app_label, **hints):
        return {"testapp": db == "warehouse", "stockandflow": True}.get(app_label, db == "default")

first = {**settings.DATABASES["default"], "NAME": sys.argv[1]}
settings.DATABASES = {"default": first, "warehouse": {**first, "NAME": sys.argv[2]}}
settings.DATABASE_ROUTERS = [Router()]
django.setup()
from django.core.management import call_command
from django.db import connections, transaction
from stockandflow import capture
from stockandflow.capture.install import installed
from stockandflow.checks import check_databases
from stockandflow.declarations import Flow, ModelTracker, Stock
from stockandflow.models import Delivery
from stockandflow.registry import registry
from tests.testapp.models import Item, ItemFlowEvent

drafts = Stock(slug="drafts", name="Drafts", queryset=Item.objects.filter(text="draft"))
drafting = Flow(
    slug="drafting", name="Drafting", flow_event_model=ItemFlowEvent, sources=[None], sinks=[drafts],
    event_callables=[lambda *given: None],
)
flagged = Stock(slug="flagged", name="Flagged", queryset=Item.objects.filter(flag=True))
registry.register(
    ModelTracker(stocks=[drafts], flows=[drafting]),
    ModelTracker(["flag"], lambda before, now: ((None,), (flagged if now[0] else None,)), [flagged],
                 event_model=ItemFlowEvent, slug="by-function"),
)
print(capture.databases(registry))
for alias in ("default", "warehouse"):
    call_command("migrate", database=alias, verbosity=0, run_syncdb=True)
    print(alias, sorted(set(installed(connections[alias]).values())))
Item.objects.create(text="draft", flag=True)
print(list(ItemFlowEvent.objects.order_by("sink").values_list("tracker", "sink")))
print(Delivery.objects.using("warehouse").count(), Delivery.objects.using("default").count())
with transaction.atomic(using="warehouse"):
    Item.objects.update(text="done")
    transaction.set_rollback(True, using="warehouse")
print(ItemFlowEvent.objects.count())
print([message.id for message in check_databases(databases=["default", "warehouse"])])
with capture.suspended(registry, "default"):
    Item.objects.update(text="done")
print(ItemFlowEvent.objects.count())
"""


@pytest.mark.skipif(connection.vendor != "sqlite", reason="which kind of database it is makes no difference")
def test_each_tracker_is_captured_in_the_database_of_its_model(tmp_path: Path) -> None:
    printed = python(TWO_DATABASES, str(tmp_path / "default.sqlite3"), str(tmp_path / "warehouse.sqlite3"))

    assert printed.splitlines() == [
        "['default', 'warehouse']",
        "default ['leads_lead', 'membership_member', 'support_ticket']",
        "warehouse ['testapp_item']",
        "[('testapp.item', 'drafts'), ('by-function', 'flagged')]",
        "1 0",
        "2",
        "[]",
        "3",
    ]
