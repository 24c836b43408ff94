"""Runners that are killed at random points: each period of each entry has its effects once. ``make soak`` runs more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["--runners", "4", "--periods", "30", "--kills", "6", "--minute-s", "0.12"]


@pytest.mark.django_db(transaction=True)
def test_each_period_has_its_effects_once_whoever_is_killed() -> None:
    database, name = os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite"), str(connection.settings_dict["NAME"])
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.runners", database, "--on", name, *SHORT],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
