"""``python -m tests.soak``: the long runs on every database that answers; ``make soak`` calls it."""

from __future__ import annotations

import argparse
import random
import subprocess
import sys

from tests.databases import NAMES, ROOT, why_left_out

SECONDS = {"sqlite": 60.0}
"""SQLite has one writer at a time: more of the same tells less."""
WRITERS = {"sqlite": 2}
PARTS = ("writes", "schedule")
SCHEDULES = 5
"""Runs of the schedule, each with a seed of its own."""


def main(arguments: list[str]) -> int:
    """Run where it can be run; how many databases weren't well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--database", choices=NAMES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--seconds", type=float, help="how long on each; 300, and 60 on SQLite")
    parser.add_argument("--writers", type=int, help="how many processes; 4, and 2 on SQLite")
    parser.add_argument("--seed", type=int, help="which writes and kills; a new one where none is given")
    parser.add_argument("--only", choices=PARTS, help="the writers, or the runners of the schedule; both")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    failed = []
    for name in options.database or NAMES:
        if reason := why_left_out(name):
            sys.stdout.write(f"{name} is left out: {reason}\n")
            continue
        seconds, writers = options.seconds or SECONDS.get(name, 300), options.writers or WRITERS.get(name, 4)
        parts = {
            "writes": (
                f"{writers} writers for {seconds:.0f} s, seed {seed}",
                ["tests.soak.run", name, "--seconds", str(seconds), "--writers", str(writers)],
            ),
            "schedule": (
                f"runners of the schedule, {SCHEDULES} seeds from {seed} on",
                ["tests.soak.runners", name, "--seeds", str(SCHEDULES)],
            ),
        }
        for part in [options.only] if options.only else PARTS:
            told, command = parts[part]
            sys.stdout.write(f"{name}: {told}\n")
            sys.stdout.flush()
            command = [sys.executable, "-m", *command, "--seed", str(seed)]
            if subprocess.run(command, cwd=ROOT, check=False).returncode:
                failed.append(f"{part} on {name}")
    if failed:
        sys.stdout.write(f"NOT WELL: {', '.join(failed)}. Once more: make soak ARGS='--seed {seed}'\n")
    return len(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
