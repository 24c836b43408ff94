"""``manage.py demo`` as a person runs it: built once, reused, built anew, served, and refused with a reason."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.code_blocks import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "sqlite",
        reason="the demo has an SQLite file of its own: one run shows it",
    ),
]

COMMAND = [sys.executable, "example/manage.py", "demo", "--scale", "0.15", "--months", "3"]
TIMEOUT_S = 120


def environment(database: Path, variables: dict[str, str]) -> dict[str, str]:
    left_out = ("DJANGO_SETTINGS_MODULE", "FRESH", "PORT", "SERVE")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"EXAMPLE_DATABASE": str(database), "SERVE": "0", "PYTHONIOENCODING": "utf-8"} | variables


def demo(database: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND,
        cwd=ROOT,
        env=environment(database, variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )


def shown(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return done.stdout


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def tables(database: Path) -> list[str]:
    """The tables of an SQLite file; Django's own checks make an empty one."""
    with closing(sqlite3.connect(database)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A database that the command has built, and what it said."""
    database = tmp_path_factory.mktemp("demo") / "db.sqlite3"
    return database, shown(demo(database))


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_the_command_that_it_names_for_the_unexplained_runs_as_it_is_written(built: tuple[Path, str]) -> None:
    database, said = built
    (line,) = (line for line in said.splitlines() if line.endswith(" names the members"))
    command = line.removeprefix("  Unexplained     ").removesuffix(" names the members").split()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(database, {}),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )

    assert "membership.member on default: 3 moves missing." in done.stdout, done.stderr


def test_the_first_run_shows_its_progress_the_report_and_how_to_log_in(built: tuple[Path, str]) -> None:
    database, said = built
    for part in ("Inventing 3 months", "Running the schedule", "Built in", "Signing up", "unexplained"):
        assert part in said
    assert "Past due: −3 unexplained" in said
    assert "demo (may do everything) or viewer (may look)" in said
    assert [path.name for path in database.parent.iterdir()] == ["db.sqlite3"]


def test_a_second_run_reuses_it_and_prints_the_report(built: tuple[Path, str]) -> None:
    database, _ = built
    said = shown(demo(database))
    assert said.startswith(f"Reusing the business in {database} (FRESH=1 builds a new one).")
    assert "Inventing" not in said
    assert "−3 unexplained" in said


def test_fresh_starts_over(tmp_path: Path) -> None:
    database = tmp_path / "db.sqlite3"
    shown(demo(database))
    before = database.stat().st_ino, database.stat().st_mtime
    said = shown(demo(database, FRESH="1"))
    assert "Inventing" in said
    assert (database.stat().st_ino, database.stat().st_mtime) != before


def test_an_interrupted_build_leaves_nothing_to_reuse(tmp_path: Path) -> None:
    database = tmp_path / "db.sqlite3"
    with subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment(database, {}), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if "Inventing" in line:
                process.kill()
    assert not tables(database)
    assert "Inventing" in shown(demo(database))


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "other.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE mine (number)")
    assert "FRESH=1" in refused(demo(database))
    assert tables(database) == ["mine"]


def test_it_is_served_on_the_port_asked_for(built: tuple[Path, str], taken_port: int) -> None:
    database, _ = built
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env=environment(database, {"SERVE": "1", "PORT": str(port)}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            page = page_at(f"http://127.0.0.1:{port}/stockandflow/", process)
        finally:
            process.kill()
    assert "Log in" in page


def page_at(address: str, process: subprocess.Popen[bytes]) -> str:
    """The page once the server is up; fails when it ends before, or takes too long."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the demo ended instead of serving"
        try:
            with urlopen(address, timeout=5) as response:  # noqa: S310
                return str(response.read().decode())
        except URLError:
            time.sleep(0.1)
    raise AssertionError(f"Nothing answered at {address}.")


def test_a_port_that_is_taken_is_told_before_anything_is_built(tmp_path: Path, taken_port: int) -> None:
    said = refused(demo(tmp_path / "db.sqlite3", SERVE="1", PORT=str(taken_port)))
    assert f"127.0.0.1:{taken_port}" in said
    assert f"PORT={taken_port + 1}" in said
    assert not tables(tmp_path / "db.sqlite3")


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [("SERVE", "maybe", "SERVE=1 or SERVE=0"), ("FRESH", "2", "FRESH=1"), ("PORT", "http", "PORT=8001")],
)
def test_what_the_environment_can_not_mean_is_refused(
    tmp_path: Path, name: str, value: str, wanted: str
) -> None:
    said = refused(demo(tmp_path / "db.sqlite3", **{name: value}))
    assert repr(value) in said
    assert wanted in said
    assert not tables(tmp_path / "db.sqlite3")
