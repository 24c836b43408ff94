"""A project grows: its models change from version to version, and after each ``migrate`` every move is captured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.databases import ROOT, settings_for
from tests.write_paths.conftest import drop_database, make_database

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@dataclass(frozen=True)
class Version:
    """The models of a version: names, and the fields besides the column that decides."""

    subject: str = "Order"
    events: str = "OrderFlowEvent"
    column: str = "status"
    kind: str = "models.CharField(max_length=20, default='a')"
    key: str = "models.AutoField(primary_key=True)"
    table: str = ""
    fields: tuple[str, ...] = ()
    event_fields: tuple[str, ...] = ()

    @property
    def models(self) -> str:
        """The project's ``models.py``."""
        table = f"    class Meta:\n        db_table = {self.table!r}\n" if self.table else ""
        return "\n".join(
            [
                "from django.db import models",
                "from stockandflow.models import FlowEvent, SubjectForeignKey",
                f"class {self.subject}(models.Model):",
                f"    id = {self.key}",
                f"    {self.column} = {self.kind}",
                *(f"    {line}" for line in self.fields),
                table,
                f"class {self.events}(FlowEvent):",
                f"    subject = SubjectForeignKey({self.subject})",
                *(f"    {line}" for line in self.event_fields),
            ]
        )

    @property
    def declarations(self) -> str:
        """The project's ``stocksandflows.py``."""
        return "\n".join(
            [
                f"from shop.models import {self.subject}, {self.events}",
                "from stockandflow import Flow, ModelTracker, Stock, register",
                f"stocks = [Stock(s, s, {self.subject}.objects.filter({self.column}=s)) for s in ('a', 'b')]",
                f"flows = Flow.for_stocks({self.events}, stocks)",
                "register(ModelTracker(stocks=stocks, flows=flows, slug='orders'))",
            ]
        )


MOVE_ROWS = """
from django.db import migrations

def to_b(apps, editor):
    apps.get_model("shop", "Purchase").objects.filter(state="a").update(state="b")

class Migration(migrations.Migration):
    dependencies = [("shop", {before!r})]
    operations = [migrations.RunPython(to_b, migrations.RunPython.noop)]
"""
VERSIONS: list[tuple[str, Version]] = [("initial", Version())]
"""What happens from one to the next, and the models after it."""


def then(name: str, **changes: Any) -> None:
    VERSIONS.append((name, replace(VERSIONS[-1][1], **changes)))


then("rename_the_column", column="state", fields=("weight = models.IntegerField(default=1)",))
then("alter_the_column", kind="models.CharField(max_length=60, default='a', db_index=True)")
then("alter_the_events", fields=(), event_fields=("note = models.CharField(max_length=10, null=True)",))
then("rename_the_events", events="OrderMove")
then("rename_the_subject", subject="Purchase")
then("lessen_the_events", event_fields=())
then("alter_the_key", key="models.BigAutoField(primary_key=True)")
then("name_the_table", table="purchases")

PROBE = """
import json, sys
import django
django.setup()
from django.core.management import call_command
from stockandflow.checks import check_databases
from stockandflow.registry import registry

made, *target = sys.argv[1:] or [""]
if made:
    call_command("makemigrations", "shop", name=made, verbosity=0)
call_command("migrate", *target, verbosity=0)
tracker = registry.tracker("orders")
print()  # behind the questions that have been asked
print(json.dumps([message.id for message in check_databases(databases=["default"])]))
"""
MOVING = """
events, subjects = tracker.events.objects, tracker.model.objects
last = events.order_by("pk").values_list("pk", flat=True).last() or 0
column = registry.stock("a").queryset.query.where.children[0].lhs.target.name
kept = subjects.create(**{column: "a"})
passing = subjects.create(**{column: "a"})
subjects.filter(pk=passing.pk).update(**{column: "b"})
passing.refresh_from_db()
passing.delete()
found = events.filter(pk__gt=last).order_by("pk")
print(json.dumps(list(found.values_list("source", "sink"))))
print(json.dumps([subjects.count(), *(events.filter(sink=s).count() - events.filter(source=s).count() for s in "ab")]))
"""


@dataclass
class Project:
    """A project in a folder with a database of its own."""

    folder: Path
    database: dict[str, Any]

    def write(self, version: Version) -> None:
        """Make this version the code's."""
        shop = self.folder / "shop"
        (shop / "models.py").write_text(version.models)
        (shop / "stocksandflows.py").write_text(version.declarations)

    def manage(self, *arguments: str) -> None:
        """Run a command."""
        self.run(f"import django; django.setup()\nfrom django.core.management import call_command\n"
                 f"call_command(*{arguments!r}, verbosity=0)")  # fmt: skip

    def migrations(self) -> list[str]:
        """The names of the migrations, in order."""
        return sorted(path.stem for path in (self.folder / "shop" / "migrations").glob("0*.py"))

    def run(self, code: str, *arguments: str) -> list[Any]:
        """The lists that the code prints; yes is the answer to all questions, such as whether a column was renamed."""
        settings = "\n".join(
            [
                "SECRET_KEY = 'x'",
                "USE_TZ = True",
                "DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'",
                "INSTALLED_APPS = ['django.contrib.contenttypes', 'django.contrib.auth', 'stockandflow', 'shop']",
                f"DATABASES = {{'default': {self.database!r}}}",
            ]
        )
        (self.folder / "grown_settings.py").write_text(settings)
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.folder,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "grown_settings", "PYTHONDONTWRITEBYTECODE": "1",
                 "PYTHONPATH": f"{self.folder}:{ROOT / 'src'}"},
            input="y\n" * 9,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    settings = settings_for(os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite"))
    name = (
        f"{connection.settings_dict['NAME']}_grown" if connection.vendor != "sqlite" else str(tmp_path / "db")
    )
    (tmp_path / "shop" / "migrations").mkdir(parents=True)
    for package in ("shop", "shop/migrations"):
        (tmp_path / package / "__init__.py").touch()
    make_database(name)
    try:
        yield Project(tmp_path, {**settings, "NAME": name})
    finally:
        drop_database(name)


ALL = [["", "a"], ["", "a"], ["a", "b"], ["b", ""]]


def test_every_move_is_captured_after_every_migration(project: Project) -> None:
    for number, (name, version) in enumerate(VERSIONS, 1):
        project.write(version)
        messages, moves, (subjects, in_a, in_b) = project.run(PROBE + MOVING, name)

        assert len(project.migrations()) == number
        assert (messages, moves) == ([], ALL), name
        assert subjects == in_a + in_b == number, name

    # Rows that a data migration moves are captured like any others.
    (project.folder / "shop" / "migrations" / "0010_move_rows.py").write_text(
        MOVE_ROWS.format(before=project.migrations()[-1])
    )
    messages, _, (subjects, in_a, in_b) = project.run(PROBE + MOVING)
    assert (messages, subjects, in_a, in_b) == ([], len(VERSIONS) + 1, 1, len(VERSIONS))


def test_code_ahead_of_its_database_breaks_no_write_and_is_told(project: Project) -> None:
    for name, version in VERSIONS[:2]:
        project.write(version)
        project.run(PROBE, name)
    (messages,) = project.run(PROBE, "", "shop", project.migrations()[0])  # backwards
    assert messages == ["stockandflow.W007"]
    project.run(
        "import django; django.setup()\nfrom django.db import connection\n"
        "connection.cursor().execute(\"UPDATE shop_order SET status = 'b'\")"
    )
    messages, moves, _ = project.run(PROBE + MOVING)
    assert (messages, moves) == ([], ALL)


def test_a_squashed_migration_leads_to_the_same(project: Project) -> None:
    for name, version in VERSIONS[:4]:
        project.write(version)
        project.manage("makemigrations", "shop", "-n", name)
    first, *_, last = project.migrations()
    project.manage("squashmigrations", "shop", first, last, "--noinput", "--squashed-name", "squashed")
    messages, moves, counts = project.run(PROBE + MOVING)

    assert "0001_squashed" in project.migrations()
    assert (messages, moves, counts) == ([], ALL, [1, 1, 0])
