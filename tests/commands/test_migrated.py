"""On a database that isn't migrated, every command says to migrate, whatever the database itself says."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from django.db import DatabaseError

from stockandflow import Stock
from stockandflow.commands import told_to_migrate
from stockandflow.registry import registry
from tests.testapp.models import Item

ROOT = Path(__file__).resolve().parents[2]

COMMANDS = (
    "stockandflow report membership",
    "stockandflow record",
    "stockandflow sync",
    "run_periodic_schedule",
    "run_periodic_schedule --list",
    "run_periodic_schedule --dry-run",
)
EACH = """
    import sys

    import django

    django.setup()
    from django.core.management import CommandError, call_command

    for command in sys.argv[1:]:
        try:
            call_command(*command.split(), stdout=sys.stderr)
        except CommandError as error:
            print(f"{command}: {error}")
        else:
            print(f"{command}: no error")
"""


def environment(database: Path) -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "example.settings", "EXAMPLE_DATABASE": str(database)}


def manage(database: Path, command: str) -> None:
    arguments = [sys.executable, "example/manage.py", *command.split()]
    subprocess.run(arguments, cwd=ROOT, env=environment(database), check=True)


def said(database: Path, *commands: str) -> list[str]:
    """What each command says, all in one process, where ``database`` is the example's."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EACH), *commands],
        cwd=ROOT,
        env=environment(database),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


def test_every_command_says_to_migrate_an_empty_database(tmp_path: Path) -> None:
    lines = said(tmp_path / "empty.sqlite3", *COMMANDS)
    assert len(lines) == len(COMMANDS)
    for line in lines:
        assert "The database 'default' lacks the tables " in line, line
        assert line.endswith("; run 'manage.py migrate' first."), line


def test_sync_says_to_migrate_where_only_the_projects_tables_are_lacking(tmp_path: Path) -> None:
    database = tmp_path / "half.sqlite3"
    manage(database, "migrate stockandflow --verbosity 0")
    (sync,) = said(database, "stockandflow sync")
    assert "leads_lead" in sync
    assert sync.endswith("run 'manage.py migrate' first.")


@pytest.mark.django_db
def test_a_database_that_is_whole_keeps_its_own_error() -> None:
    with pytest.raises(DatabaseError, match="no_such_table"), told_to_migrate(registry):
        Stock("lost", "Lost", Item.objects.extra(tables=["no_such_table"])).count()


def test_a_model_without_a_migration_wants_one_first(tmp_path: Path) -> None:
    (tmp_path / "unborn").mkdir()
    environment_ = {
        **environment(tmp_path / "new.sqlite3"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "DJANGO_SETTINGS_MODULE": "unborn_settings",
    }
    (tmp_path / "unborn_settings.py").write_text(
        "from example.settings import *\nINSTALLED_APPS = [*INSTALLED_APPS, 'unborn']\n"
    )
    (tmp_path / "unborn" / "__init__.py").touch()
    (tmp_path / "unborn" / "models.py").write_text(
        "from django.db import models\n\n\nclass Thing(models.Model):\n    pass\n"
    )
    (tmp_path / "unborn" / "stocksandflows.py").write_text(
        "from stockandflow import Stock, register\nfrom unborn.models import Thing\n\n"
        "register(Stock('things', 'Things', Thing.objects.all()))\n"
    )
    for command, wanted in (
        ("migrate --verbosity 0", ""),
        (
            "stockandflow record",
            "lacks the table unborn_thing; run 'manage.py makemigrations' and 'manage.py migrate'",
        ),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "django", *command.split()],
            cwd=tmp_path,
            env=environment_,
            check=False,
            capture_output=True,
            text=True,
        )
        assert wanted in done.stderr


def test_sync_names_the_columns_that_the_database_lacks(tmp_path: Path) -> None:
    database = tmp_path / "behind.sqlite3"
    manage(database, "migrate --verbosity 0")
    connection = sqlite3.connect(database)
    connection.execute("ALTER TABLE membership_member RENAME COLUMN status TO state")
    connection.close()
    (line,) = said(database, "stockandflow sync")
    assert "lacks membership_member.status, which the triggers of membership.member name; run" in line
    assert line.endswith("'manage.py makemigrations' and 'manage.py migrate' first.")
