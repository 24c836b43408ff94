"""Runners of the schedule that are killed at random points, and the verdict: each period has its effects once.

``python -m tests.soak.runners DATABASE --seed 7``; the exit code tells whether all was well. The runners go by a clock
of their own, on which a minute takes ``--minute-s`` seconds. Each effect is two rows, with time between them to be
killed in; what would happen elsewhere is a line in a file.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import django

from tests.databases import NAMES
from tests.soak.run import database

if TYPE_CHECKING:
    from stockandflow.periodic import Bounds, Schedule

AT = datetime(2025, 6, 18, 14, 38, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LEASE = timedelta(seconds=1)
TABLE = "soak_effect"
ALL = ("whole", "in steps")
ONCE = "latest"
LAST_S = 120
"""So long the last runner may take to come to the end once nobody is killed any more."""


@dataclass(frozen=True)
class Plan:
    """What is run: so many runners, periods and kills, on a clock whose minute takes so many seconds."""

    seed: int
    runners: int
    periods: int
    kills: int
    minute_s: float

    @property
    def last(self) -> datetime:
        return AT + self.periods * MINUTE


class Runners:
    """The runners, as processes that are forked off this one and begun again when they are killed."""

    def __init__(self, plan: Plan, outside: Path) -> None:
        self.plan, self.outside, self.begun, self.started = plan, outside, time.monotonic(), 0
        self.chance = random.Random(plan.seed)
        self.processes = [self._start() for _ in range(plan.runners)]

    def now(self) -> datetime:
        return min(AT + (time.monotonic() - self.begun) / self.plan.minute_s * MINUTE, self.plan.last)

    def _start(self) -> int:
        self.started += 1
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            self._run(random.Random(f"{self.plan.seed}/{self.started}"))
            code = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _run(self, chance: random.Random) -> None:
        """Call the schedule as cron would, until everything is done."""
        from stockandflow.periodic import State, run

        schedule = _schedule(chance, self.outside)
        at = AT
        while True:
            at = max(at, self.now())
            results = run(schedule, now=at).results
            settled = all(result.state in {State.DONE, State.NOT_DUE} for result in results)
            if at == self.plan.last and settled:
                return
            time.sleep(chance.uniform(0, self.plan.minute_s / 2))

    def kill_some(self) -> None:
        """Kill one after the other, as the periods pass, and start another in its place."""
        for _ in range(self.plan.kills):
            mean = self.plan.periods * self.plan.minute_s / (self.plan.kills + 1)
            time.sleep(self.chance.uniform(0, 2 * mean))
            index = self.chance.randrange(len(self.processes))
            os.kill(self.processes[index], signal.SIGKILL)
            status = os.waitpid(self.processes[index], 0)[1]
            if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status):
                raise AssertionError("A runner ended by itself; what it said is above.")
            self.processes[index] = self._start()

    def end(self) -> None:
        """Wait until all have come to the end; leave none behind."""
        until, left = time.monotonic() + LAST_S, list(self.processes)
        while left and time.monotonic() < until:
            for child in list(left):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    left.remove(child)
                    assert os.waitstatus_to_exitcode(status) == 0, "A runner failed; what it said is above."
            time.sleep(0.02)
        for child in left:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert not left, f"{len(left)} runners haven't come to the end within {LAST_S} s."


def _schedule(chance: random.Random, outside: Path) -> Schedule:
    """Two entries that run every period, one in a transaction and one that has steps, and one that runs the latest."""
    from stockandflow.periodic import Frequency, Schedule
    from stockandflow.periods import Calendar

    def tell(key: str) -> None:
        with outside.open("ab", buffering=0) as file:
            file.write(f"{key}\n".encode())

    def effect(name: str, period: Bounds) -> None:
        for part in ("first", "second"):
            _write(name, period.start, part)
            time.sleep(chance.uniform(0, 0.01))

    def whole(name: str, period: Bounds, idempotency_key: str) -> None:
        tell(f"{name}|{period.start.isoformat()}|{idempotency_key}")
        effect(name, period)

    def in_steps(name: str, period: Bounds, idempotency_key: str) -> Callable[[], None]:
        tell(f"{name}|{period.start.isoformat()}|{idempotency_key}")
        time.sleep(chance.uniform(0, 0.02))
        return lambda: effect(name, period)

    schedule = Schedule()
    for name, function in ((ALL[0], whole), (ALL[1], in_steps), (ONCE, whole)):
        schedule.register(
            Frequency.MINUTELY,
            function,
            [name],
            name=name,
            atomic=function is whole,
            catch_up="latest" if name == ONCE else "all",
            lease=LEASE,
            calendar=Calendar(),
        )
    return schedule


def _write(name: str, start: datetime, part: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {TABLE} VALUES (%s, %s, %s)", [name, start.isoformat(), part])


def wrongs(plan: Plan, outside: Path) -> Iterator[str]:
    """What isn't as it should be, in words."""
    from stockandflow.models import ScheduleRun

    effects, keys = _effects(), _keys(outside)
    done = {
        (name, start.isoformat())
        for name, start, status in ScheduleRun.objects.values_list("entry__name", "period_start", "status")
        if status == ScheduleRun.Status.DONE
    }
    for name in ALL:
        for number in range(plan.periods + 1):
            if (name, (AT + number * MINUTE).isoformat()) not in done:
                yield f"{name}: {AT + number * MINUTE} is missing"
    for (name, start, part), number in effects.items():
        if number != 1 or (name, start) not in done:
            yield f"{name}: {start} has its {part} effect {number} times"
    for name, start in sorted(done):
        if {(name, start, "first"), (name, start, "second")} - set(effects):
            yield f"{name}: {start} lacks an effect"
        if len(keys[name, start]) != 1:
            yield f"{name}: {start} has the keys {keys[name, start]}"
    if len({key for found in keys.values() for key in found}) != len(keys):
        yield "a key stands for two periods"


def _effects() -> Counter[tuple[str, str, str]]:
    """How often each part of an effect is there, by entry, start of the period and part."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"SELECT name, start, part FROM {TABLE}")
        return Counter((name, start, part) for name, start, part in cursor.fetchall())


def _keys(outside: Path) -> dict[tuple[str, str], set[str]]:
    """The idempotency keys that went elsewhere, by entry and start of the period."""
    keys = defaultdict(set)
    for line in outside.read_text().splitlines():
        name, start, key = line.split("|")
        keys[name, start].add(key)
    return keys


def execute(plan: Plan) -> list[str]:
    """Run on the database that is connected; what is wrong in the end."""
    from django.db import connection, connections

    from stockandflow.models import ScheduleEntry, ScheduleRun
    from stockandflow.periodic import run

    ScheduleEntry.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {TABLE} (name varchar(20), start varchar(40), part varchar(10))")
    try:
        with tempfile.TemporaryDirectory() as folder:
            outside = Path(folder) / "outside"
            run(_schedule(random.Random(0), outside), now=AT)
            connections.close_all()
            runners = Runners(plan, outside)
            runners.kill_some()
            runners.end()
            found = list(wrongs(plan, outside))
        runs = ScheduleRun.objects.count()
        again = ScheduleRun.objects.filter(attempt__gt=1).count()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {TABLE}")
    sys.stdout.write(
        f"seed {plan.seed}: {runs} runs by {plan.runners} runners, of whom {plan.kills} were killed; "
        f"{again} were begun again.\n"
    )
    return found


def run_seeds(seeds: range, options: argparse.Namespace) -> bool:
    """Run once for each seed, on the database that is connected; whether all was well."""
    well = True
    for seed in seeds:
        found = execute(Plan(seed, options.runners, options.periods, options.kills, options.minute_s))
        sys.stdout.write("".join(f"  WRONG: {wrong}\n" for wrong in found))
        sys.stdout.flush()
        well = well and not found
    return well


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.runners", description=__doc__)
    parser.add_argument("database", choices=NAMES)
    parser.add_argument("--on", metavar="NAME", help="a database of that name that has the tables")
    parser.add_argument("--seed", type=int, default=7, help="which kills; the first of --seeds")
    parser.add_argument("--seeds", type=int, default=1, help="how many runs, each with a seed of its own")
    parser.add_argument("--runners", type=int, default=8)
    parser.add_argument("--periods", type=int, default=100)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--minute-s", type=float, default=0.2)
    options = parser.parse_args(arguments)
    seeds = range(options.seed, options.seed + options.seeds)
    if not options.on:
        with database(options.database):
            return int(not run_seeds(seeds, options))
    django.setup()
    from django.db import connection

    connection.settings_dict["NAME"] = options.on
    return int(not run_seeds(seeds, options))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
