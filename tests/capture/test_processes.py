"""Other processes: clients that know nothing of Django, and Pythons that hash in another order."""

from __future__ import annotations

import os
import subprocess
import sys
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
