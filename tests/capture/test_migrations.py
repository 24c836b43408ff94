"""Triggers over migrations: only those in the way are taken down, and whatever happens they come back."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow import capture
from stockandflow.capture.install import installed
from stockandflow.capture.triggers import PREFIX
from stockandflow.declarations import Flow, ModelTracker, Stock
from stockandflow.models import Sweep
from stockandflow.registry import Registry, registry
from tests.testapp.models import Item, ItemFlowEvent

pytestmark = pytest.mark.django_db(transaction=True)  # MariaDB commits when triggers come and go


def captured() -> set[str]:
    states = capture.status(registry, "default")
    return {state.tracker.slug for state in states if state.installed and not state.missing}


def standing() -> set[str]:
    """The tables that have triggers, whatever the models say."""
    return set(installed(connection).values())


def a_migration(app_label: str, *operations: Operation, atomic: bool = True) -> Migration:
    made: Any = Migration("of_a_test", app_label)
    made.operations, made.atomic = list(operations), atomic
    found: Migration = made
    return found


def migrated(app_label: str, *operations: Operation, atomic: bool = True) -> None:
    """Run a migration as ``migrate`` does."""
    migration = a_migration(app_label, *operations, atomic=atomic)
    capture.before_migrate(registry, "default", [(migration, False)])
    try:
        with connection.schema_editor(atomic=atomic) as editor:
            migration.apply(MigrationLoader(connection).project_state(), editor)
    finally:
        capture.after_migrate(registry, "default", flushed=False)


@pytest.fixture
def seen() -> list[set[str]]:
    """What ``looking`` has seen."""
    return []


def looking(seen: list[set[str]]) -> Operation:
    """An operation that looks which tables have triggers while the migration runs."""
    return operations.RunPython(lambda *_: seen.append(standing()), operations.RunPython.noop)


def add(model: str, field: models.Field[Any, Any]) -> Operation:
    return operations.AddField(model, "extra", field)


def longer() -> models.Field[Any, Any]:
    return models.CharField(max_length=60, default="trial", db_index=True)


def test_a_migration_of_another_table_leaves_triggers_alone(seen: list[set[str]]) -> None:
    before, tables = installed(connection), standing()
    extra = models.IntegerField(default=1)
    migrated("sessions", add("session", extra), looking(seen), operations.RemoveField("session", "extra"))

    assert seen == [tables]
    assert installed(connection) == before


def test_a_column_that_triggers_read_can_be_renamed(seen: list[set[str]]) -> None:
    before = installed(connection)
    there, back = ("status", "state"), ("state", "status")
    migrated(
        "membership",
        operations.RenameField("member", *there),
        looking(seen),
        operations.RenameField("member", *back),
    )

    assert "membership_member" not in seen[0]
    assert "leads_lead" in seen[0]
    assert installed(connection) == before


def test_the_table_of_a_facet_is_in_the_way_too(seen: list[set[str]]) -> None:
    """Tickets' facets read the name of the member's plan."""
    before = installed(connection)
    migrated(
        "membership",
        operations.RenameField("plan", "name", "title"),
        looking(seen),
        operations.RenameField("plan", "title", "name"),
    )

    assert seen == [{"leads_lead"}]
    assert installed(connection) == before


def test_a_column_that_triggers_dont_read_comes_and_goes_beneath_them(seen: list[set[str]]) -> None:
    before, tables = installed(connection), standing()
    extra = models.IntegerField(default=1)
    migrated("membership", add("member", extra), looking(seen), operations.RemoveField("member", "extra"))

    # SQLite makes the table anew; its triggers are made anew as they were.
    assert seen == [tables if connection.vendor != "sqlite" else {"leads_lead"}]
    assert installed(connection) == before


def test_a_column_that_triggers_read_can_be_altered(seen: list[set[str]]) -> None:
    before, tables = installed(connection), standing()
    plan = operations.AlterField("member", "status", longer())
    migrated("membership", plan, looking(seen))

    # MariaDB alters the table and goes on calling its triggers.
    assert ("membership_member" in seen[0]) == (connection.vendor == "mysql")
    assert seen[0] <= tables
    assert installed(connection) == before


@pytest.mark.parametrize("statement", ["UPDATE membership_member SET name = name", "SELECT 1"])
def test_sql_is_in_the_way_where_it_names_a_table(seen: list[set[str]], statement: str) -> None:
    before = installed(connection)
    migrated("membership", operations.RunSQL(statement), looking(seen))

    assert ("membership_member" in seen[0]) == (statement == "SELECT 1")
    assert installed(connection) == before


def test_what_a_data_migration_moves_is_captured() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.create(name="Ada", email="ada@example.org", plan=plan)

    def convert(apps: Any, editor: Any) -> None:
        apps.get_model("membership", "Member").objects.update(status="active")

    migrated("membership", operations.RunPython(convert))

    moves = list(MemberFlowEvent.objects.order_by("pk").values_list("source", "sink", "origin"))
    assert moves == [("", "trial", "live"), ("trial", "active", "live")]


def test_what_a_migration_moves_without_triggers_is_swept() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    ada, bob = (Member.objects.create(name=name, email="a@example.org", plan=plan) for name in ("Ada", "Bob"))
    capture.open_trackers(registry, "default")

    def convert(apps: Any, editor: Any) -> None:
        assert "membership_member" not in standing()
        apps.get_model("membership", "Member").objects.filter(pk=ada.pk).update(status="active")
        apps.get_model("membership", "Member").objects.filter(pk=bob.pk).delete()

    migrated(
        "membership",
        operations.RunSQL("UPDATE membership_member SET name = name"),
        operations.RunPython(convert),
    )

    moves = MemberFlowEvent.objects.filter(origin="sweep").values_list("subject_id", "source", "sink")
    assert sorted(moves) == [(ada.pk, "trial", "active"), (bob.pk, "trial", "")]


def test_whoever_finds_the_triggers_gone_puts_them_back_and_sweeps() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.create(name="Ada", email="a@example.org", plan=plan)
    capture.open_trackers(registry, "default")
    before = installed(connection)
    capture.uninstall("default")
    Member.objects.update(status="paused")

    capture.after_migrate(registry, "default", flushed=False)

    assert installed(connection) == before
    assert MemberFlowEvent.objects.get(origin="sweep").sink == "paused"


@pytest.mark.parametrize("by", ["migrate", "sync"])
def test_whoever_stands_in_a_stock_that_is_new_to_the_tracker_comes_before_leaving_it(by: str) -> None:
    older, newer = Registry(), Registry()
    for declared, texts in ((older, "ab"), (newer, "abc")):
        stocks = [Stock(text, text, Item.objects.filter(text=text)) for text in texts]
        declared.register(
            ModelTracker(stocks=stocks, flows=Flow.for_stocks(ItemFlowEvent, stocks), slug="grown")
        )
    try:
        capture.install(older, "default")
        capture.open_trackers(older, "default")
        new, old = Item.objects.create(text="c"), Item.objects.create(text="a")
        if by == "migrate":
            capture.after_migrate(newer, "default", flushed=False)
        else:
            capture.bring_in_line(newer, "default")
        Item.objects.update(text="b")

        moves = ItemFlowEvent.objects.order_by("id").values_list("source", "sink", "origin")
        assert list(moves.filter(subject=new)) == [("", "c", "sweep"), ("c", "b", "live")]
        assert list(moves.filter(subject=old)) == [("", "a", "live"), ("a", "b", "live")]
    finally:
        capture.install(registry, "default")
        Sweep.objects.filter(tracker="grown").delete()


def test_backwards_triggers_go_and_come_as_well(seen: list[set[str]]) -> None:
    before = installed(connection)
    back, there = ("state", "status"), ("status", "state")
    migration = a_migration(
        "membership",
        operations.RenameField("member", *there),
        operations.RunPython(operations.RunPython.noop, lambda *_: seen.append(standing())),
        operations.RenameField("member", *back),
    )
    capture.before_migrate(registry, "default", [(migration, True)])
    with connection.schema_editor() as editor:
        migration.unapply(MigrationLoader(connection).project_state(), editor)
    capture.after_migrate(registry, "default", flushed=False)

    assert "membership_member" not in seen[0]
    assert installed(connection) == before


def test_a_migration_that_is_taken_back_brings_its_triggers_back() -> None:
    before = installed(connection)

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    operation = operations.RunSQL("UPDATE membership_member SET name = name")
    with pytest.raises(ZeroDivisionError):
        migrated("membership", operation, operations.RunPython(fail))

    assert installed(connection) == before


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

    capture.before_migrate(registry, "default", [(Migration("of_a_test", "sessions"), False)])
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
from django.db import connection
from django.db.migrations import Migration, RunPython, RunSQL
from stockandflow import capture
from stockandflow.capture.install import installed
from stockandflow.registry import registry

call_command("migrate", verbosity=0)

def fail(*args):
    assert "membership_member" not in installed(connection).values()
    raise RuntimeError("this migration fails")

migration = Migration("of_a_test", "membership")
migration.atomic = False
migration.operations = [RunSQL("UPDATE membership_member SET name = name"), RunPython(fail)]
capture.before_migrate(registry, "default", [(migration, False)])
with connection.schema_editor(atomic=False) as editor:
    migration.apply(django.db.migrations.loader.MigrationLoader(connection).project_state(), editor)
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
