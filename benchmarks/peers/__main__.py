"""``python -m benchmarks.peers``: compare on SQLite and PostgreSQL, print tables, keep them as Markdown and JSON."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measuring import Line
from benchmarks.peers.run import PARTS
from benchmarks.printing import markdown, table
from tests.databases import NAMES, ROOT, why_left_out

OUT = ROOT / "build" / "benchmarks"


def compared(database: str, options: argparse.Namespace) -> dict[str, Any]:
    """What one database's process found. Exits when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable, "-m", "benchmarks.peers.run", database, "--out", str(out)]
        command += ["--quick"] * options.quick + [f"--only={part}" for part in options.only]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, check=False)
        if done.returncode:
            raise SystemExit(f"The comparison on {database} failed; what it said is above.")
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def tallied(tallies: list[dict[str, Any]]) -> str:
    """The counts of write paths, and which weren't told right."""
    width = max(len(tally["name"]) for tally in tallies)
    lines = [f"{'write paths told right'.ljust(width)}  right     of"]
    lines += [f"{tally['name'].ljust(width)}  {tally['right']:5}  {tally['tried']:5}" for tally in tallies]
    lines += [f"{tally['name']}: not {', '.join(tally['wrong'])}" for tally in tallies if tally["wrong"]]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Print what each database's process found; what was left out, and why."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few rows, rounds and paths: it works, and means nothing"
    )
    parser.add_argument(
        "--database", choices=NAMES, action="append", help="SQLite and PostgreSQL unless given"
    )
    parser.add_argument("--only", choices=PARTS, action="append", default=[], help="only this part")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder of peers.md and peers.json")
    options = parser.parse_args(arguments)
    pages, everything = [], {}
    for database in options.database or ("sqlite", "postgresql"):
        if reason := why_left_out(database):
            print(f"{database} is left out: {reason}\n", flush=True)
            continue
        found = everything[database] = compared(database, options)
        lines = [Line(**line) for line in found.get("speed", [])]
        tallies = tallied(found["paths"]) if "paths" in found else ""
        named = ", ".join(f"{name} {version}" for name, version in found["peers"].items())
        head = f"{found['versions']}; {named or 'none of the others is installed'}"
        print(f"{head}\n\n{table(lines) if lines else ''}\n\n{tallies}\n", flush=True)
        pages.append(f"## {head}\n\n{markdown(lines)}\n\n```text\n{tallies}\n```\n")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "peers.md").write_text("\n".join(pages))
    (options.out / "peers.json").write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
