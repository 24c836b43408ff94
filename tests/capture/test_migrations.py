"""Triggers over migrations: only those in the way are taken down, and whatever happens they come back."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from stockandflow import capture
from stockandflow.capture.install import installed
from stockandflow.capture.triggers import PREFIX
from stockandflow.registry import registry

pytestmark = pytest.mark.django_db(transaction=True)  # MariaDB commits when triggers come and go


def plan_of(*labels: str) -> list[Any]:
    return [(SimpleNamespace(app_label=label), False) for label in labels]


def captured() -> set[str]:
    states = capture.status(registry, "default")
    return {state.tracker.slug for state in states if state.installed and not state.missing}


def test_a_migration_of_another_app_leaves_triggers_alone() -> None:
    before = captured()
    capture.before_migrate(registry, "default", plan_of("sessions"))
    try:
        assert captured() == before
    finally:
        capture.after_migrate(registry, "default", flushed=False)


def test_a_migration_takes_down_what_names_its_tables_and_puts_it_back() -> None:
    before = captured()
    # Tickets' facets read the member's plan, so a migration of the members is in their way too.
    capture.before_migrate(registry, "default", plan_of("membership"))
    try:
        assert captured() == {"leads.lead"}
    finally:
        capture.after_migrate(registry, "default", flushed=False)
    assert captured() == before


def test_nothing_to_migrate_takes_nothing_down() -> None:
    before = captured()
    capture.before_migrate(registry, "default", [])
    assert captured() == before


def test_triggers_of_a_tracker_that_is_gone_are_taken_down_before_its_tables_go() -> None:
    name = f"{PREFIX}00000000_0123456789abcdef_delete"
    body = {
        "sqlite": f"CREATE TRIGGER {name} AFTER DELETE ON leads_lead FOR EACH ROW BEGIN SELECT 1; END",
        "mysql": f"CREATE TRIGGER {name} AFTER DELETE ON leads_lead FOR EACH ROW SET @sf = 1",
        "postgresql": (
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
            f"CREATE TRIGGER {name} AFTER DELETE ON leads_lead FOR EACH ROW EXECUTE FUNCTION {name}()"
        ),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(body)
    assert name in installed(connection)

    capture.before_migrate(registry, "default", plan_of("sessions"))
    capture.after_migrate(registry, "default", flushed=False)

    assert name not in installed(connection)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL can disable a trigger")
def test_a_disabled_trigger_is_a_missing_one() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE membership_member DISABLE TRIGGER ALL")
    assert "membership.member" not in captured()

    capture.install(registry, "default")

    assert "membership.member" in captured()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE membership_member ENABLE TRIGGER ALL")


FAILING = """
import django
django.setup()
from django.core.management import call_command
from django.db.migrations.executor import MigrationExecutor

call_command("migrate", verbosity=0)

def fail(*args, **kwargs):
    raise RuntimeError("this migration fails")

MigrationExecutor.unapply_migration = fail
call_command("migrate", "membership", "zero", verbosity=0)
"""


@pytest.mark.skipif(
    connection.vendor != "sqlite", reason="the end of a process is the same with every database"
)
def test_a_migration_that_fails_has_the_triggers_put_back_when_its_process_ends(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "example.settings",
        "EXAMPLE_DATABASE": str(tmp_path / "db.sqlite3"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", FAILING], env=environment, capture_output=True, text=True, check=False
    )

    assert "this migration fails" in done.stderr
    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as plain:
        sql = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'membership_member'"
        assert plain.execute(sql).fetchone()[0] >= 3
