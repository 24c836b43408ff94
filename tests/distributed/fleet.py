"""A fleet: two workers of Celery that are killed at their work, and one process that ticks, writes and sends.

``python -m tests.distributed.fleet DATABASE BROKER NAME SEED MEMBERS`` has so many members convert, and goes on until
its input ends. Then it says how often a worker was killed. A third of all messages is lost, another third is
sent twice.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from select import select
from typing import Any

import django
from django.conf import settings

DATABASE, BROKER, NAME, SEED, MEMBERS = sys.argv[1:6]
settings.STOCKANDFLOW = {"QUEUE": "celery"}
django.setup()

from celery import Celery, Task
from django.db import OperationalError, connection, transaction
from kombu import Exchange, Queue

from example.membership.models import Member, Plan, Status
from stockandflow import periodic
from stockandflow.automation import delivering
from stockandflow.distributed import queue
from stockandflow.models import ScheduleRun
from stockandflow.periods import Calendar
from stockandflow.registry import registry
from tests.testapp.models import Owner

ENTRIES = ("first", "second", "third")
WORKERS = 2
TICK_S = 0.2
LEASE = timedelta(seconds=1)
KILLS = 4

connection.settings_dict["NAME"] = DATABASE
delivering.LEASE = LEASE
chance = random.Random(int(SEED))
left: int | None = None


class Lossy(Task):  # type: ignore[misc]
    """A task whose messages are lost, or come twice."""

    abstract = True

    def apply_async(self, *args: Any, **kwargs: Any) -> None:
        for _ in range(chance.choice([0, 1, 2])):
            super().apply_async(*args, **kwargs)


app = Celery("fleet", broker=BROKER, task_cls=Lossy, set_as_current=True)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": f"{NAME}."} if BROKER.startswith("redis") else {},
    task_default_queue=NAME,
    task_queues=[Queue(NAME, Exchange(NAME), routing_key=NAME, expires=60)],
    worker_enable_remote_control=False,
)


def effect(name: str) -> None:
    """Leave a row that names the entry and its period."""
    time.sleep(0.02)
    run = ScheduleRun.objects.get(entry__name=name, status=ScheduleRun.Status.RUNNING)
    Owner.objects.create(name=f"{name} {run.period_start:%d %H:%M}")
    die_perhaps()


def told(flowed_obj: Member | None, source: Any, sink: Any, event: Any) -> None:
    """Leave a row that names the event."""
    time.sleep(0.005)
    Owner.objects.create(name=f"event {event.pk}")
    die_perhaps()


def die_perhaps() -> None:
    """Be killed before the commit, when the time has come."""
    global left  # noqa: PLW0603 - of this process
    if left is not None:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


for name in ENTRIES:
    periodic.schedule.register(
        periodic.MINUTELY, effect, [name], name=name, catch_up="all", lease=LEASE, calendar=Calendar()
    )
converting = registry.flow("converting")
object.__setattr__(converting, "event_callables", (told,))
object.__setattr__(converting, "asking", (True,))


def work(effects: int | None) -> None:
    """Be a worker, killed at the effect of that number; its banner is no news."""
    global left  # noqa: PLW0603 - of this process
    left = effects
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    name = f"worker-{os.getpid()}@localhost"
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "CRITICAL")
    app.worker_main(["worker", "--pool", "solo", "--queues", NAME, "--hostname", name, *quiet])


def drive() -> None:
    """Tick until killed, and have members convert, one time in three in a transaction that is rolled back."""
    plan = Plan.objects.get()
    ticked, converted = 0.0, 0
    while True:
        # The database may choose the writer as the victim of a deadlock: it goes on, as a project's request would.
        with suppress(OperationalError):
            if time.monotonic() > ticked + TICK_S:
                ticked = time.monotonic()
                periodic.run(periodic.schedule, only=ENTRIES, send=queue().send_entry)
                queue().send_delivery("default")
            if converted < int(MEMBERS):
                converted += convert(plan)
        time.sleep(0.02)


def convert(plan: Plan) -> bool:
    """Have one member convert, by a save or by an update that wakes nobody; whether that was committed."""
    rolled_back = chance.random() < 0.3
    with transaction.atomic():
        member = Member.objects.create(name="m", email="m@example.org", plan=plan)
        if chance.random() < 0.5:
            member.status = Status.ACTIVE
            member.save()
        else:
            Member.objects.filter(pk=member.pk).update(status=Status.ACTIVE)
        transaction.set_rollback(rolled_back)
    return not rolled_back


def started(task: Callable[[], None]) -> int:
    """A process of its own for it, which ends with it."""
    child = os.fork()
    if child:
        return child
    try:
        task()
    except BaseException:  # noqa: BLE001  (it is told; the child must not go on as its parent)
        traceback.print_exc()
    os._exit(1)


def killed_already(child: int) -> bool:
    """Whether it was killed; raises where it ended by itself."""
    found, status = os.waitpid(child, os.WNOHANG)
    assert not found or os.WIFSIGNALED(status), "a process has failed; what it said is above"
    return bool(found)


def main() -> None:
    """Put a new worker in the place of each that is killed, until the input ends; the last ones live."""

    def worker() -> int:
        effects = chance.randint(1, 12) if killed < KILLS else None
        return started(lambda: work(effects))

    killed = 0
    workers, driver = [worker() for _ in range(WORKERS)], started(drive)
    try:
        while not select([sys.stdin], [], [], 0.02)[0]:
            assert not killed_already(driver)
            for which, child in enumerate(workers):
                if killed_already(child):
                    killed += 1
                    workers[which] = worker()
    finally:
        for child in (*workers, driver):
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        tidy()
    sys.stdout.write(f"{killed}\n")


def tidy() -> None:
    """Leave nothing at the broker."""
    with app.connection_for_write() as broker:
        channel = broker.default_channel
        for one in app.conf.task_queues:
            one(channel).delete()
            one.exchange(channel).delete()
        if BROKER.startswith("redis"):
            for key in channel.client.keys(f"{NAME}.*"):
                channel.client.delete(key.decode().removeprefix(f"{NAME}."))


if __name__ == "__main__":
    main()
