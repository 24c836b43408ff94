"""``python -m benchmarks``: measure on every database that answers, print tables, keep them as Markdown and JSON."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measuring import Bound, Line
from benchmarks.printing import markdown, table
from benchmarks.run import BENCHMARKS
from tests.databases import NAMES, ROOT, why_left_out

OUT = ROOT / "build" / "benchmarks"
HEADLINE = """The ways of one work take turns. Times are the best of all rounds, for the whole work, and ratios are of
those; the quartiles are of the ratios round by round. On SQLite and PostgreSQL nothing waits for the disk."""


def measured(database: str, options: argparse.Namespace) -> tuple[str, list[Line]]:
    """What one database's process found: the versions, and the lines. Exits when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lines.json"
        command = [sys.executable, "-m", "benchmarks.run", database, "--out", str(out)]
        command += ["--quick"] * options.quick + [f"--only={name}" for name in options.only]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, check=False)
        if done.returncode:
            raise SystemExit(f"The benchmarks on {database} failed; what they said is above.")
        found: dict[str, Any] = json.loads(out.read_text())
    lines = [
        Line(**{**line, "bound": Bound(**line["bound"]) if line["bound"] else None})
        for line in found["lines"]
    ]
    return found["versions"], lines


def main(arguments: list[str]) -> None:
    """Print a table for each database; what was left out, and why; which bounds were missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few rows and rounds: it works, and means nothing"
    )
    parser.add_argument("--database", choices=NAMES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--only", choices=BENCHMARKS, action="append", default=[], help="only this benchmark")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder of results.md and results.json")
    options = parser.parse_args(arguments)
    pages, everything, missed = [], [], []
    for database in options.database or NAMES:
        if reason := why_left_out(database):
            print(f"{database} is left out: {reason}\n", flush=True)
            pages.append(f"{database} was left out: {reason}\n")
            continue
        versions, lines = measured(database, options)
        print(f"{versions}\n\n{table(lines)}\n", flush=True)
        pages.append(f"## {versions}\n\n{markdown(lines)}\n")
        everything += [{"versions": versions, **asdict(line), "verdict": line.verdict} for line in lines]
        missed += [line for line in lines if line.verdict == "missed"]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.md").write_text("\n".join([f"{HEADLINE}\n", *pages]))
    (options.out / "results.json").write_text(json.dumps(everything, indent=1))
    if options.quick:
        print("In quick mode the numbers that are counted are compared, and the ratios mean nothing.")
    else:
        print(HEADLINE)
        for line in missed:
            print(f"MISSED on {line.database}: {line.work}, {line.ratio:.2f} and not {line.bound}")


if __name__ == "__main__":
    main(sys.argv[1:])
