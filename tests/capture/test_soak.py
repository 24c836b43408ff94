"""A short form of the long run (``make soak``): the same processes, kills and migrations, for some seconds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.databases import ROOT

WRITERS = {"sqlite": 2}
"""SQLite has one writer at a time; two are enough to wait for each other."""


@pytest.mark.slow
@pytest.mark.every_database
def test_what_killed_writers_and_migrations_leave_adds_up() -> None:
    database = os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite")
    options = ["--seconds", "20", "--writers", str(WRITERS.get(database, 3))]
    if seed := os.environ.get("SEED"):
        options += ["--seed", seed]
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.run", database, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
