"""The assertions hold however a project runs its tests: in a database that is kept, and in one for each process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.code_blocks import ROOT

TESTS = [
    "tests/testing/test_moves.py::TestInATestCase",
    "tests/testing/test_moves.py::TestThatCommits",
    "tests/testing/test_isolation.py::test_triggers_follow_the_registry_where_the_test_commits",
    "tests/testing/test_isolation.py::test_triggers_follow_the_registry_within_a_tests_transaction",
]


@pytest.mark.slow
@pytest.mark.every_database
def test_a_database_that_is_kept_and_one_for_each_process_capture_alike() -> None:
    left_out = ("PYTEST_", "COV_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    environment["STOCKANDFLOW_TEST_RUN"] = f"kept_{os.getpid()}"
    # The third run makes the databases anew, and takes them away at its end.
    for processes, option in (("2", "--reuse-db"), ("1", "--reuse-db"), ("2", "--create-db")):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", processes, option, *TESTS],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout
