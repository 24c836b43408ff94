"""Two workers that are killed, and messages that are lost or come twice: nothing is done twice, and nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow.models import Delivery, ScheduleEntry, ScheduleRun
from stockandflow.models.clock import database_now
from tests.databases import run_id
from tests.distributed.brokers import broker
from tests.testapp.models import Owner

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("transactional_db")]

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = ("first", "second", "third")
MINUTE = timedelta(minutes=1)
MISSED = 20
MEMBERS = 20
SETTLED_IN_S = 60


@contextmanager
def fleet(address: str, seed: int) -> Iterator[None]:
    """Two workers that are killed again and again, and a process that ticks and writes; it all ends with the block."""
    name = f"stockandflow-{run_id()}-{os.getpid()}"
    arguments = [str(connection.settings_dict["NAME"]), address, name, str(seed), str(MEMBERS)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.distributed.fleet", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield
        finally:
            killed, _ = process.communicate()
    assert process.returncode == 0, "the fleet has failed; what it said is above"
    assert int(killed) > 2


def unsettled(since: datetime) -> list[str]:
    """What is left to do, with the periods up to the one that begins at that instant; empty when all is done."""
    return [
        f"{number} {what}"
        for number, what in (
            (MEMBERS - Member.objects.count(), "members to come"),
            (Delivery.objects.filter(status=Delivery.Status.PENDING).count(), "deliveries"),
            (ScheduleEntry.objects.filter(name__in=ENTRIES, high_water__lt=since).count(), "entries behind"),
        )
        if number
    ]


@pytest.mark.parametrize("name", ["rabbitmq", "redis"])
def test_each_period_and_each_event_has_its_effect_once_whatever_becomes_of_messages_and_workers(
    name: str,
) -> None:
    if (connection.vendor, name) == ("sqlite", "rabbitmq"):
        pytest.skip("SQLite's one writer makes it slow; one broker shows it")
    address = broker(name)
    Plan.objects.create(name="Solo", monthly_price=9)
    now = database_now("default").replace(second=0, microsecond=0)
    for entry in ENTRIES:
        ScheduleEntry.objects.create(name=entry, high_water=now - MISSED * MINUTE)

    with fleet(address, seed=7):
        ending = time.monotonic() + SETTLED_IN_S
        while (left := unsettled(now)) and time.monotonic() < ending:
            time.sleep(0.2)
    assert not left

    effects = Counter(Owner.objects.values_list("name", flat=True))
    for entry in ENTRIES:
        done = ScheduleRun.objects.filter(entry__name=entry, status=ScheduleRun.Status.DONE)
        periods = sorted(done.values_list("period_start", flat=True))
        assert len(periods) >= MISSED
        assert periods == [now - (MISSED - 1 - number) * MINUTE for number in range(len(periods))]
        for period in periods:
            assert effects.pop(f"{entry} {period:%d %H:%M}", 0) == 1
    converted = MemberFlowEvent.objects.filter(flow="converting").values_list("pk", flat=True)
    assert len(converted) == MEMBERS
    assert effects == {f"event {pk}": 1 for pk in converted}
    taken_over = ScheduleRun.objects.filter(entry__name__in=ENTRIES, attempt__gt=1).count()
    assert taken_over + Delivery.objects.filter(attempts__gt=1).count() > 0
