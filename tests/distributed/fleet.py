"""A fleet: two workers of Celery that are killed again and again, and one process that ticks, writes and sends.

``python -m tests.distributed.fleet DATABASE BROKER NAME SEED SECONDS`` writes and kills for so many seconds, says how
often it killed, and goes on ticking until its input ends. A third of all messages is lost, another third is sent twice.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django
from django.conf import settings

DATABASE, BROKER, NAME, SEED, SECONDS = sys.argv[1:6]
settings.STOCKANDFLOW = {"QUEUE": "celery"}
django.setup()

from celery import Celery, Task
from django.db import connection, transaction
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

connection.settings_dict["NAME"] = DATABASE
delivering.LEASE = LEASE
chance = random.Random(int(SEED))


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


def told(flowed_obj: Member | None, source: Any, sink: Any, event: Any) -> None:
    """Leave a row that names the event."""
    time.sleep(0.005)
    Owner.objects.create(name=f"event {event.pk}")


for name in ENTRIES:
    periodic.schedule.register(
        periodic.MINUTELY, effect, [name], name=name, catch_up="all", lease=LEASE, calendar=Calendar()
    )
converting = registry.flow("converting")
object.__setattr__(converting, "event_callables", (told,))
object.__setattr__(converting, "asking", (True,))


def work() -> None:
    """Be a worker until killed; its banner is no news."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    name = f"worker-{os.getpid()}@localhost"
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "CRITICAL")
    app.worker_main(["worker", "--pool", "solo", "--queues", NAME, "--hostname", name, *quiet])


def drive() -> None:
    """Tick until killed; write until the time is over, a third of it in transactions that are rolled back."""
    plan, until = Plan.objects.get(), time.monotonic() + float(SECONDS)
    ticked = 0.0
    while True:
        if time.monotonic() > ticked + TICK_S:
            periodic.run(periodic.schedule, only=[*ENTRIES, "stockandflow.deliver"], send=queue().send_entry)
            queue().send_delivery("default")
            ticked = time.monotonic()
        if time.monotonic() < until:
            convert(plan)
        time.sleep(0.02)


def convert(plan: Plan) -> None:
    """Have one member convert, by a save or by an update that wakes nobody, or nearly."""
    with transaction.atomic():
        member = Member.objects.create(name="m", email="m@example.org", plan=plan)
        if chance.random() < 0.5:
            member.status = Status.ACTIVE
            member.save()
        else:
            Member.objects.filter(pk=member.pk).update(status=Status.ACTIVE)
        if chance.random() < 0.3:
            transaction.set_rollback(True)


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


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), "a process has failed; what it said is above"


def main() -> None:
    """Kill workers at random for a while, then leave two of them at work until the input ends."""
    workers, driver = [started(work) for _ in range(WORKERS)], started(drive)
    killed, until = 0, time.monotonic() + float(SECONDS)
    try:
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.3, 1))
            which = chance.randrange(WORKERS)
            kill(workers[which])
            workers[which] = started(work)
            killed += 1
        sys.stdout.write(f"{killed}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        for child in (*workers, driver):
            kill(child)
        tidy()


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
