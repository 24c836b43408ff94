"""The benchmarks run, and compare numbers before they compare times. How long anything takes is no test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measuring import Bound, Way, alternated, line
from benchmarks.printing import seconds
from tests.databases import ROOT

on_sqlite_only = pytest.mark.skipif(
    os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "sqlite",
    reason="the benchmarks make a database of their own: one run shows that they work",
)

WITHOUT_TRIGGERS = """
import django
django.setup()
from django.db import connection
from stockandflow import capture as triggers
connection.creation.create_test_db(verbosity=0, autoclobber=True)
try:
    triggers.uninstall("default")
    from benchmarks import capture
    capture.run("sqlite", quick=True)
finally:
    connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "benchmarks.settings"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@on_sqlite_only
def test_a_quick_run_prints_a_table_and_keeps_its_lines(tmp_path: Path) -> None:
    done = run("-m", "benchmarks", "--quick", "--database", "sqlite", "--out", str(tmp_path))

    assert done.returncode == 0, done.stderr
    lines = json.loads((tmp_path / "results.json").read_text())
    assert {one["benchmark"] for one in lines} == {"capture", "recording", "sweep", "balance", "pages"}
    assert {one["verdict"] for one in lines} == {"stated"}, "a quick run judges nothing"
    page = (tmp_path / "results.md").read_text()
    for one in lines:
        ratio = f"{one['ratio']:.2f}×"
        assert one["ratio"] > 0
        assert any(one["work"] in row and ratio in row for row in done.stdout.splitlines())
        assert any(row.startswith(f"| {one['work']} |") and ratio in row for row in page.splitlines())


@on_sqlite_only
def test_a_capture_that_misses_moves_is_not_timed() -> None:
    done = run("-c", WITHOUT_TRIGGERS)

    assert done.returncode != 0
    assert "NumbersDiffer: [0, 0] events were written; [500, 500] moves were made." in done.stderr


def test_ways_take_turns_and_each_round_turns_the_order_round() -> None:
    done: list[str] = []
    ways = [Way(name, work=lambda name=name: done.append(name)) for name in "AB"]  # type: ignore[misc]

    taken = alternated(ways, rounds=3)

    assert "".join(done) == "ABBAABBA", "the first round warms up"
    assert [len(seconds) for seconds in taken] == [3, 3]


def test_a_cost_is_how_many_times_the_baseline_and_a_gain_the_other_way_round() -> None:
    slow, fast = ("slow", [4.0, 2.0, 8.0]), ("fast", [1.0, 2.0, 1.0])

    assert line("b", "sqlite", "w", fast, slow).ratio == 2
    assert line("b", "sqlite", "w", slow, fast, Bound(1, at_most=False)).ratio == 2
    assert line("b", "sqlite", "w", slow, fast).ratio == 0.5


@pytest.mark.every_database
@pytest.mark.parametrize(
    ("bound", "ratio", "verdict"),
    [
        (Bound(1.5), 1.5, "met"),
        (Bound(1.5), 1.6, "missed"),
        (Bound(1.5, at_most=False), 1.6, "met"),
        (Bound(1.5, at_most=False), 1.4, "missed"),
        (None, 9.0, "stated"),
    ],
)
def test_a_bound_is_met_or_missed(bound: Bound | None, ratio: float, verdict: str) -> None:
    times = ([1.0], [ratio]) if bound is None or bound.at_most else ([ratio], [1.0])
    one = line("b", "sqlite", "w", ("baseline", times[0]), ("way", times[1]), bound, judged=True)

    expected = verdict if os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "mariadb" else "stated"
    assert one.verdict == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.34, "12.3 s"),
        (1.234, "1.23 s"),
        (0.1234, "123 ms"),
        (0.01234, "12.3 ms"),
        (0.000005678, "5.68 µs"),
    ],
)
def test_times_have_three_digits(value: float, text: str) -> None:
    assert seconds(value) == text


@on_sqlite_only
def test_a_quick_comparison_with_what_is_installed_tells_what_each_costs_and_sees(tmp_path: Path) -> None:
    done = run("-m", "benchmarks.peers", "--quick", "--database", "sqlite", "--out", str(tmp_path))

    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "peers.json").read_text())["sqlite"]
    lines = [one for one in found["speed"] if one["way"] == "django-stockandflow"]
    assert [one["work"].split()[0] for one in lines] == ["load", "save()", "save()", "bulk_create()"]
    ours, *others, beyond = found["paths"]
    assert ours["name"] == "django-stockandflow"
    assert ours["right"] == ours["tried"] > 0, ours["wrong"]
    assert all(other["right"] < other["tried"] for other in others), "none sees all of what is tried"
    assert beyond["tried"] > 0
    assert f"{ours['right']:5}  {ours['tried']:5}" in done.stdout
