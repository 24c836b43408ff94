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

from example.membership.models import MemberFlowEvent, Plan
from stockandflow.models import Delivery, ScheduleEntry, ScheduleRun
from stockandflow.models.clock import database_now
from tests.databases import run_id
from tests.distributed.brokers import broker
from tests.testapp.models import Owner

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("transactional_db")]

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = ("first", "second", "third")
MINUTE = timedelta(minutes=1)
MISSED = 30
SECONDS = 4
SETTLED_IN_S = 60


@contextmanager
def fleet(address: str, seed: int) -> Iterator[int]:
    """Two workers at work, after they were killed so many times."""
    name = f"stockandflow-{run_id()}-{os.getpid()}"
    arguments = [str(connection.settings_dict["NAME"]), address, name, str(seed), str(SECONDS)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.distributed.fleet", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, "the fleet has failed; what it said is above"
        yield int(said)
        process.stdin.close()
    assert process.returncode == 0


def unsettled(since: datetime) -> str:
    """What is left to do of the periods up to the one that begins at that instant, in words; empty when all is done."""
    pending = Delivery.objects.filter(status=Delivery.Status.PENDING).count()
    behind = ScheduleEntry.objects.filter(name__in=ENTRIES, high_water__lt=since).count()
    return " and ".join(
        [f"{pending} deliveries"] * bool(pending) + [f"{behind} entries behind"] * bool(behind)
    )


@pytest.mark.parametrize("name", ["rabbitmq", "redis"])
def test_each_period_and_each_event_has_its_effect_once_whatever_becomes_of_messages_and_workers(
    name: str,
) -> None:
    address = broker(name)
    Plan.objects.create(name="Solo", monthly_price=9)
    now = database_now("default").replace(second=0, microsecond=0)
    for entry in ENTRIES:
        ScheduleEntry.objects.create(name=entry, high_water=now - MISSED * MINUTE)

    with fleet(address, seed=7) as killed:
        ending = time.monotonic() + SETTLED_IN_S
        while (left := unsettled(now)) and time.monotonic() < ending:
            time.sleep(0.2)
    assert left == ""
    assert killed >= 3

    effects = Counter(Owner.objects.values_list("name", flat=True))
    for entry in ENTRIES:
        done = ScheduleRun.objects.filter(entry__name=entry, status=ScheduleRun.Status.DONE)
        periods = sorted(done.values_list("period_start", flat=True))
        assert len(periods) >= MISSED
        assert periods == [now - (MISSED - 1 - number) * MINUTE for number in range(len(periods))]
        for period in periods:
            assert effects.pop(f"{entry} {period:%d %H:%M}", 0) == 1
    converted = MemberFlowEvent.objects.filter(flow="converting").values_list("pk", flat=True)
    assert len(converted) > 5
    assert effects == {f"event {pk}": 1 for pk in converted}
    taken_over = ScheduleRun.objects.filter(entry__name__in=ENTRIES, attempt__gt=1).count()
    again = Delivery.objects.filter(attempts__gt=1).count()
    assert taken_over + again > 0  # else no worker was killed at work
