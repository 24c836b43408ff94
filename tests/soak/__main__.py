"""``python -m tests.soak``: the long run on every database that answers; ``make soak`` calls it."""

from __future__ import annotations

import argparse
import random
import subprocess
import sys

from tests.databases import NAMES, ROOT, why_left_out

SECONDS = {"sqlite": 60.0}
"""SQLite has one writer at a time: more of the same tells less."""
WRITERS = {"sqlite": 2}


def main(arguments: list[str]) -> int:
    """Run where it can be run; how many databases weren't well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--database", choices=NAMES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--seconds", type=float, help="how long on each; 300, and 60 on SQLite")
    parser.add_argument("--writers", type=int, help="how many processes; 4, and 2 on SQLite")
    parser.add_argument("--seed", type=int, help="which writes and kills; a new one where none is given")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    failed = []
    for name in options.database or NAMES:
        if reason := why_left_out(name):
            sys.stdout.write(f"{name} is left out: {reason}\n")
            continue
        seconds, writers = options.seconds or SECONDS.get(name, 300), options.writers or WRITERS.get(name, 4)
        sys.stdout.write(f"{name}: {writers} writers for {seconds:.0f} s, seed {seed}\n")
        sys.stdout.flush()
        command = [sys.executable, "-m", "tests.soak.run", name, "--seed", str(seed)]
        command += ["--seconds", str(seconds), "--writers", str(writers)]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        sys.stdout.write(f"NOT WELL: {', '.join(failed)}. Once more: make soak ARGS='--seed {seed}'\n")
    return len(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
