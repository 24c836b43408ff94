"""Recordings as processes that are killed and begun again: at last the records are those of one computation."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone

from example.membership.models import Member, Plan, Status
from stockandflow import recording
from stockandflow.models import FlowRecord, StockRecord
from stockandflow.registry import registry
from tests.capture.test_killed_sweeps import process
from tests.recording.test_trust import empty, flow_records, levels
from tests.recording.world import TRACKER

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("transactional_db")]

KILLS = 4
DAYS = 250
MEMBERS = 150

RECORD = """
    from django.core.management import call_command

    print("begun", flush=True)
    call_command("stockandflow", "record", verbosity=0)
"""


def a_past(chance: random.Random, keys: list[int]) -> Iterator[tuple[int, object, str, str]]:
    """Each came on some day, was converted, and perhaps left and came back."""
    now = timezone.now()
    for key in keys:
        at = now - timedelta(days=chance.uniform(60, DAYS))
        path = ["", "trial", "active", *chance.choice([[], ["churned", "active"]])]
        for source, sink in pairwise(path):
            yield key, at, source, sink
            at += timedelta(days=chance.uniform(0, 15))


def test_the_records_are_the_same_however_often_the_process_was_killed() -> None:
    chance = random.Random(5)
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    people = [
        Member(name="m", email="m@example.org", plan=plan, status=Status.ACTIVE) for _ in range(MEMBERS)
    ]
    keys = [member.pk for member in Member.objects.bulk_create(people)]
    TRACKER.events._default_manager.all().delete()  # they came long before the capture
    TRACKER.import_events(a_past(chance, keys))

    killed = 0
    for number in range(KILLS):
        running = process(RECORD)
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        time.sleep(chance.uniform(0.1, 0.4 * (number + 1)))
        running.send_signal(signal.SIGKILL)
        _, failure = running.communicate()
        assert running.returncode in (0, -signal.SIGKILL), failure
        killed += running.returncode < 0
    assert killed >= KILLS / 2

    recording.record(registry)
    assert FlowRecord.objects.filter(flow="converting").exists()
    assert StockRecord.objects.filter(method="derived").exists()
    flows, kept = flow_records(), levels()
    empty()
    recording.record_flows(registry)
    recording.record_levels(registry)
    assert flow_records() == flows
    assert levels() == kept
