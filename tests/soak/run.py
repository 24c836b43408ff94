"""One run on one database: its writers, their deaths, the migrations, and the verdict.

``python -m tests.soak.run DATABASE --seconds 300 --writers 4 --seed 7``; the exit code tells whether all was well.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django

from tests.databases import NAMES, ROOT

KILLS_EVERY_S = (1, 5)
LAST_KILL_S = 2
MIGRATING = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
MIGRATION_TRIES = 20


class Writers:
    """The processes that write; each is started with a seed of its own, again and again."""

    def __init__(self, count: int, seed: int, folder: Path) -> None:
        self.seed, self.folder, self.started, self.kills = seed, folder, 0, 0
        self.chance = random.Random(seed)
        self.processes = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        self.started += 1
        log, name = self.folder / f"{self.started}.log", f"{self.seed}/{self.started}"
        return subprocess.Popen([sys.executable, "-m", "tests.soak.worker", name, str(log)], cwd=ROOT)

    def live(self, seconds: float) -> None:
        """Kill one after the other for so long, and start another in its place; at least one."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left / 2, self.chance.uniform(*KILLS_EVERY_S)))
            self.check()
            if left > LAST_KILL_S:
                self.kill_one()
            else:
                time.sleep(left / 2)

    def kill_one(self) -> None:
        index = self.chance.randrange(len(self.processes))
        self.processes[index].kill()
        self.processes[index].wait()
        self.kills += 1
        self.processes[index] = self._start()

    def check(self) -> None:
        """Raise where one has ended by itself: it met what no writer should meet."""
        for process in self.processes:
            if process.poll() is not None:
                raise AssertionError(
                    f"A writer ended by itself, with {process.returncode}; what it said is above."
                )

    def stop(self) -> None:
        """Let each end the write that it is at."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(timeout=60) for process in self.processes]
        assert set(codes) <= {0, -signal.SIGTERM}, (
            f"Writers ended with {codes}."
        )  # one may not have begun yet

    def end(self) -> None:
        """Leave none behind, whatever happened."""
        for process in self.processes:
            process.kill()
            process.wait()

    def done(self) -> tuple[Counter[str], Counter[str]]:
        """How often each write was committed, and how often what was met."""
        lines = Counter(line for log in self.folder.glob("*.log") for line in log.read_text().splitlines())
        met = Counter(
            {_without_numbers(line): n for line, n in lines.items() if line.startswith(("again", "refused"))}
        )
        return Counter(
            {line: n for line, n in lines.items() if not line.startswith(("again", "refused"))}
        ), met


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+", "N", text)


@contextmanager
def database(name: str) -> Iterator[None]:
    """A database of this run, with the tables of the first migration; dropped afterwards."""
    os.environ |= {"DJANGO_SETTINGS_MODULE": "tests.soak.settings", "SOAK_DATABASE": name, "SOAK_NAME": ""}
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    creation: Any = connection.creation
    before = connection.settings_dict["NAME"]
    made = creation._create_test_db(verbosity=0, autoclobber=True)
    connection.close()
    connection.settings_dict["NAME"] = os.environ["SOAK_NAME"] = made
    try:
        call_command("migrate", "stockandflow", verbosity=0)
        call_command("migrate", "soak", "0001", verbosity=0)
        yield
    finally:
        creation.destroy_test_db(before, verbosity=0)


def migrate() -> int:
    """Run what is left of the migrations in a process of its own; how often it had to be begun again.

    A deadlock or a lock that is awaited for too long ends a migration, and its transaction with it.
    """
    for again in range(MIGRATION_TRIES):
        done = subprocess.run(MIGRATING, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return again
        if not re.search("deadlock|locked|lock timeout|lock wait", done.stderr, re.IGNORECASE):
            raise AssertionError(f"The migration failed:\n{done.stderr}")
        time.sleep(0.2)
    raise AssertionError(f"The migration failed {MIGRATION_TRIES} times:\n{done.stderr}")


def run(name: str, seconds: float, writers: int, seed: int) -> bool:
    """Run, and print what was done and found; whether all is well."""
    began = time.monotonic()
    with database(name), tempfile.TemporaryDirectory() as folder:
        from tests.soak.verdict import verdict

        writing = Writers(writers, seed, Path(folder))
        try:
            writing.live(seconds / 2)
            started = time.monotonic()
            again = migrate()
            took = time.monotonic() - started
            writing.live(seconds / 2)
            writing.stop()
        finally:
            writing.end()
        done, met = writing.done()
        found = verdict()
    told = (
        f"{name}, seed {seed}: {done.total():,} writes by {writers} writers in {time.monotonic() - began:.0f} s, of "
        f"whom {writing.kills} were killed; migrated within {took:.1f} s, begun again {again} times; {found.events:,} "
        f"events, of which {found.repaired} by a sweep."
    )
    lines = [told, f"  writes: {', '.join(f'{name} {n}' for name, n in done.most_common())}"]
    lines += [f"  met {n} times: {what}" for what, n in met.most_common()]
    lines += [f"  WRONG: {wrong}" for wrong in found.wrongs()]
    sys.stdout.write("\n".join(lines) + "\n")
    return not found.wrongs() and bool(found.events) and bool(writing.kills)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.run", description=__doc__)
    parser.add_argument("database", choices=NAMES)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument(
        "--seed", type=int, default=None, help="which writes and kills; a new one where none is given"
    )
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    return int(not run(options.database, options.seconds, options.writers, seed))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
