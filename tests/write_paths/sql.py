"""Writes in SQL, on Django's connection and on others'."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from django.core import serializers
from django.core.management import call_command

from tests.write_paths.listing import Listing, only_on
from tests.write_paths.scene import ARRIVES, LEAVES, TRIAL_ACTIVE, Database, Gap, Scene, quoted

SQL = Listing("SQL")
makes = SQL.makes
COLUMNS = "name, status, plan_id, owner_id"


@makes(TRIAL_ACTIVE)
def sql_update(scene: Scene) -> None:
    """`UPDATE`."""
    scene.execute(f"UPDATE {scene.table} SET status = 'active' WHERE id = %s", scene.subject.pk)


@makes(TRIAL_ACTIVE)
def sql_update_by_select(scene: Scene) -> None:
    """`UPDATE … WHERE … IN (SELECT …)`."""
    plan = quoted(scene.cast.plan)
    scene.execute(f"UPDATE {scene.table} SET status = 'active' WHERE plan_id IN (SELECT id FROM {plan})")


@makes(TRIAL_ACTIVE)
def sql_update_joined(scene: Scene) -> None:
    """`UPDATE` joined with another table."""
    table, plan = scene.table, quoted(scene.cast.plan)
    if scene.connection.vendor == "mysql":
        sql = f"UPDATE {table} s JOIN {plan} p ON s.plan_id = p.id SET s.status = 'active' WHERE p.name = 'Free'"
    else:
        sql = f"UPDATE {table} SET status = 'active' FROM {plan} p WHERE plan_id = p.id AND p.name = 'Free'"
    scene.execute(sql)


@makes(ARRIVES)
def sql_insert(scene: Scene) -> None:
    """`INSERT … VALUES`."""
    scene.execute(f"INSERT INTO {scene.table} (name, status) VALUES ('Bob', 'trial'), ('Eve', 'lost')")


@makes(ARRIVES)
def sql_insert_select(scene: Scene) -> None:
    """`INSERT … SELECT`."""
    scene.execute(f"INSERT INTO {scene.table} ({COLUMNS}) SELECT {COLUMNS} FROM {scene.table}")


@makes(LEAVES)
def sql_delete(scene: Scene) -> None:
    """`DELETE` of all rows."""
    scene.execute(f"DELETE FROM {scene.table}")


@makes(TRIAL_ACTIVE)
def executemany(scene: Scene) -> None:
    """`cursor.executemany()`."""
    with scene.connection.cursor() as cursor:
        sql = f"UPDATE {scene.table} SET status = %s WHERE id = %s"
        cursor.executemany(sql, [("active", scene.subject.pk), ("paused", 0)])


@makes(TRIAL_ACTIVE, ARRIVES)
def sql_upsert(scene: Scene) -> None:
    """`ON CONFLICT … DO UPDATE`, `ON DUPLICATE KEY UPDATE`."""
    conflict = (
        "ON DUPLICATE KEY UPDATE" if scene.connection.vendor == "mysql" else "ON CONFLICT (id) DO UPDATE SET"
    )
    scene.execute(
        f"INSERT INTO {scene.table} (id, name, status) VALUES (%s, 'Bob', 'trial'), (%s, 'Bob', 'trial') "
        f"{conflict} status = 'active'",
        scene.subject.pk,
        scene.subject.pk + 1000,
    )


@makes(ARRIVES)
def sql_insert_ignoring(scene: Scene) -> None:
    """`ON CONFLICT DO NOTHING`, `INSERT IGNORE`."""
    mariadb = scene.connection.vendor == "mysql"
    insert, conflict = ("INSERT IGNORE", "") if mariadb else ("INSERT", "ON CONFLICT DO NOTHING")
    scene.execute(
        f"{insert} INTO {scene.table} (id, name, status) VALUES (%s, 'Bob', 'active'), (%s, 'Bob', 'trial') {conflict}",
        scene.subject.pk,
        scene.subject.pk + 1000,
    )


POSTGRESQL_HAS_NONE: dict[Database, str] = {
    "postgresql": "PostgreSQL has no such statement; it has `ON CONFLICT`."
}
REPLACES = "Only SQLite replaces a row without firing triggers for its deletion."
BY_OTHER = Gap(
    "SQLite fires no trigger for a row that a statement with OR REPLACE takes away under another key.",
    sees=(("", "active"),),
)


@makes(
    TRIAL_ACTIVE,
    absent=only_on("sqlite", why=REPLACES),
)
def replace(scene: Scene) -> None:
    """`INSERT OR REPLACE` over a row of the same key."""
    sql = f"INSERT OR REPLACE INTO {scene.table} (id, name, status) VALUES (%s, 'Bob', 'active')"
    scene.execute(sql, scene.subject.pk)


@makes(LEAVES, absent=only_on("sqlite", why=REPLACES))
def replace_by_what_no_stock_holds(scene: Scene) -> None:
    """`INSERT OR REPLACE` by a row that no stock holds."""
    sql = f"INSERT OR REPLACE INTO {scene.table} (id, name, status) VALUES (%s, 'Bob', 'lost')"
    scene.execute(sql, scene.subject.pk)


@makes(absent=only_on("sqlite", why=REPLACES))
def replace_by_the_same(scene: Scene) -> None:
    """`INSERT OR REPLACE` by a row in the same state."""
    sql = f"INSERT OR REPLACE INTO {scene.table} (id, name, status) VALUES (%s, 'Bob', 'trial')"
    scene.execute(sql, scene.subject.pk)


@makes(
    LEAVES,
    ("", "active"),
    absent=only_on("mariadb", why="MariaDB's `REPLACE` deletes the row and inserts one."),
)
def replace_as_mariadb_does(scene: Scene) -> None:
    """`REPLACE INTO` over a row of the same key."""
    sql = f"REPLACE INTO {scene.table} (id, name, status) VALUES (%s, 'Bob', 'active')"
    scene.execute(sql, scene.subject.pk)


@makes(LEAVES, ("", "active"), absent=POSTGRESQL_HAS_NONE, gaps={"sqlite": BY_OTHER})
def replace_by_another_unique_column(scene: Scene) -> None:
    """`REPLACE INTO` over a row that has another key and the same unique value."""
    scene.objects.update(code="x")
    sql = f"REPLACE INTO {scene.table} (id, name, code, status) VALUES (%s, 'Bob', 'x', 'active')"
    scene.execute(sql, scene.subject.pk + 1000)


@makes(
    ("", "active"),
    ("active", ""),
    TRIAL_ACTIVE,
    absent=only_on("sqlite", why="Only SQLite has `UPDATE OR REPLACE`."),
)
def update_or_replace(scene: Scene) -> None:
    """`UPDATE OR REPLACE` that gives a row the key of another."""
    other = scene.new(status="active")
    other.save()
    scene.execute(f"UPDATE OR REPLACE {scene.table} SET id = %s WHERE id = %s", scene.subject.pk, other.pk)


@makes(ARRIVES, TRIAL_ACTIVE, absent=only_on("postgresql", why="Only PostgreSQL has `MERGE`."))
def merge(scene: Scene) -> None:
    """`MERGE`."""
    scene.execute(
        f"MERGE INTO {scene.table} m USING (VALUES (%s), (%s)) AS given (id) ON m.id = given.id "
        "WHEN MATCHED THEN UPDATE SET status = 'active' "
        "WHEN NOT MATCHED THEN INSERT (id, name, status) VALUES (given.id, 'Bob', 'trial')",
        scene.subject.pk,
        scene.subject.pk + 1000,
    )


@makes(TRIAL_ACTIVE, absent=only_on("postgresql", why="Only PostgreSQL can write within `WITH`."))
def writing_cte(scene: Scene) -> None:
    """`WITH moved AS (UPDATE … RETURNING …)`."""
    scene.execute(
        f"WITH moved AS (UPDATE {scene.table} SET status = 'active' RETURNING id) SELECT count(*) FROM moved"
    )


@makes(TRIAL_ACTIVE, absent=only_on("postgresql", "mariadb", why="SQLite has no procedures."))
def procedure(scene: Scene) -> None:
    """A procedural block in the database."""
    update = f"UPDATE {scene.table} SET status = 'active';"
    if scene.connection.vendor == "postgresql":
        scene.execute(f"DO $$ BEGIN {update} END $$")
    else:
        scene.execute(f"BEGIN NOT ATOMIC {update} END")


@makes(TRIAL_ACTIVE, absent=only_on("postgresql", "mariadb", why="A trigger of SQLite can't change the row."))
def projects_own_trigger(scene: Scene) -> None:
    """A BEFORE trigger of the project's own that changes what decides."""
    table = scene.table
    if scene.connection.vendor == "postgresql":
        scene.execute(
            "CREATE FUNCTION project_hook() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN new.status := 'active'; RETURN new; END $$"
        )
        scene.execute(
            f"CREATE TRIGGER project_hook BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION project_hook()"
        )
    else:
        scene.execute(
            f"CREATE TRIGGER project_hook BEFORE UPDATE ON {table} FOR EACH ROW SET new.status = 'active'"
        )
    try:
        scene.objects.update(name="Countess")
    finally:
        if scene.connection.vendor == "postgresql":
            scene.execute(f"DROP TRIGGER project_hook ON {table}")
            scene.execute("DROP FUNCTION project_hook()")
        else:
            scene.execute("DROP TRIGGER project_hook")


@makes(("", "active"), ARRIVES, absent=only_on("postgresql", why="Only PostgreSQL has `COPY`."))
def copy_in(scene: Scene) -> None:
    """`COPY … FROM`."""
    with (
        scene.connection.cursor() as cursor,
        cursor.copy(f"COPY {scene.table} (name, status) FROM STDIN") as copied,
    ):
        for status in ("trial", "active", "lost"):
            copied.write_row(("Bob", status))


@makes(("", "active"), ARRIVES, absent=only_on("mariadb", why="Only MariaDB has `LOAD DATA`."))
def load_data(scene: Scene) -> None:
    """`LOAD DATA LOCAL INFILE`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_text("Bob,trial\nBob,active\nBob,lost\n")
        scene.by_client(
            f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {scene.table} FIELDS TERMINATED BY ',' (name, status)",
            local_infile=True,
        )


@makes(
    LEAVES,
    ("", "active"),
    ("active", ""),
    absent={"sqlite": "SQLite has no `TRUNCATE`; a `DELETE` of all rows fires its triggers."},
    gaps={"mariadb": Gap("MariaDB fires no trigger for `TRUNCATE`.", sees=(("", "active"),))},
)
def truncate(scene: Scene) -> None:
    """`TRUNCATE`."""
    scene.new(status="active").save()
    if scene.connection.vendor == "postgresql":
        scene.execute(f"TRUNCATE {scene.table} CASCADE")
    else:  # MariaDB truncates no table that others point at
        scene.execute("SET FOREIGN_KEY_CHECKS = 0")
        try:
            scene.execute(f"TRUNCATE {scene.table}")
        finally:
            scene.execute("SET FOREIGN_KEY_CHECKS = 1")


@makes(
    TRIAL_ACTIVE,
    absent=only_on("postgresql", why="Only PostgreSQL can turn triggers off for a session."),
    gaps={"postgresql": Gap("No trigger sees what is written with session_replication_role = replica.")},
)
def as_a_replica(scene: Scene) -> None:
    """`SET session_replication_role = replica`, as a restore may do."""
    with scene.client() as client, closing(client.cursor()) as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(f"UPDATE {scene.table} SET status = 'active'")
        client.commit()


PROGRAMS = Listing("Other programs")
makes = PROGRAMS.makes


@makes(("", "active"), TRIAL_ACTIVE)
def loaddata(scene: Scene) -> None:
    """`loaddata`, of a new row and of a changed one."""
    scene.subject.status = "active"
    load(scene.new(pk=scene.subject.pk + 1000, status="active"), scene.subject)


@makes()
def loaddata_unchanged(scene: Scene) -> None:
    """`loaddata` of what is there."""
    load(scene.subject)


def load(*rows: object) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "fixture.json"
        path.write_text(serializers.serialize("json", rows))  # type: ignore[arg-type]
        call_command("loaddata", str(path), verbosity=0)


@makes(TRIAL_ACTIVE)
def client_update(scene: Scene) -> None:
    """`UPDATE` by a client that knows nothing of Django."""
    scene.by_client(f"UPDATE {scene.table} SET status = 'active'")


@makes(ARRIVES)
def client_insert(scene: Scene) -> None:
    """`INSERT` by such a client."""
    scene.by_client(f"INSERT INTO {scene.table} (name, status) VALUES ('Bob', 'trial')")


@makes(LEAVES)
def client_delete(scene: Scene) -> None:
    """`DELETE` by such a client."""
    scene.by_client(f"DELETE FROM {scene.table}")


@makes()
def client_rolls_back(scene: Scene) -> None:
    """`UPDATE` by such a client, rolled back."""
    with scene.client() as client, closing(client.cursor()) as cursor:
        cursor.execute(f"UPDATE {scene.table} SET status = 'active'")
        client.rollback()


@makes()
def client_goes_away(scene: Scene) -> None:
    """`UPDATE` by such a client, which goes without a commit."""
    with scene.client() as client, closing(client.cursor()) as cursor:
        cursor.execute(f"UPDATE {scene.table} SET status = 'active'")


ANOTHER_PROCESS = """
import sqlite3, sys
from contextlib import closing
with closing(sqlite3.connect(sys.argv[1], timeout=30)) as client:
    client.execute(sys.argv[2])
    client.commit()
"""


@makes(TRIAL_ACTIVE)
def another_process(scene: Scene) -> None:
    """`UPDATE` by another process."""
    update = f"UPDATE {scene.table} SET status = 'active'"
    if scene.connection.vendor == "sqlite":
        name = str(scene.connection.settings_dict["NAME"])
        subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, name, update], check=True)
        return
    # A server's clients are processes of their own whoever starts them; this one has another session's settings.
    with scene.client() as client, closing(client.cursor()) as cursor:
        if scene.connection.vendor == "mysql":
            cursor.execute("SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'")
        else:
            cursor.execute("SET search_path = ''")
            update = update.replace(scene.table, f"public.{scene.table}")
        cursor.execute(update)
        client.commit()
