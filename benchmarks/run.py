"""One database's benchmarks, in a process and a database of their own. ``python -m benchmarks`` runs it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import django
from django.db import connection

BENCHMARKS = ("capture", "recording", "flow_records", "sweep", "schedule", "balance", "pages")


def versions() -> str:
    """What was measured: database, Django, Python."""
    if connection.vendor == "sqlite":
        database = f"SQLite {sqlite3.sqlite_version}"
    else:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version" if connection.vendor == "postgresql" else "SELECT VERSION()")
            number = cursor.fetchone()[0].split(" ")[0].split("-")[0]
        database = f"{'PostgreSQL' if connection.vendor == 'postgresql' else 'MariaDB'} {number}"
    return f"{database}, Django {django.get_version()}, Python {platform.python_version()}"


def main(arguments: list[str]) -> None:
    """Make a database, measure, write the lines as JSON, and drop the database again, come what may."""
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=BENCHMARKS, action="append", default=[])
    options = parser.parse_args(arguments)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    os.environ["STOCKANDFLOW_BENCHMARK_DB"] = options.database
    django.setup()
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        lines = []
        for name in options.only or BENCHMARKS:
            # By name, since a module that imports models can't be imported before Django is set up.
            lines += import_module(f"benchmarks.{name}").run(options.database, quick=options.quick)
        found = {"versions": versions(), "lines": [asdict(line) for line in lines]}
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
    options.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
