"""Sweeps as processes that are killed and begun again, while rows move unseen: no move is lost, and none doubled."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import capture
from stockandflow.capture.sweep import sweep
from stockandflow.models import Delivery, Origin, Sweep
from stockandflow.registry import registry
from tests.capture.test_sweep_beside_writers import histories, opened

pytestmark = pytest.mark.usefixtures("transactional_db")

ROOT = Path(__file__).resolve().parents[2]
DURATION_S = 4
MEMBERS = 40

BEGUN = """
    import os
    import random
    import signal
    import sys
    import time

    import django

    django.setup()
    from django.db import connection

    from stockandflow.capture.sweep import sweep
    from stockandflow.registry import registry

    connection.settings_dict["NAME"] = sys.argv[1]
    tracker = registry.tracker("membership.member")
"""
ONE = """
    sweep(tracker, "default", chunk=2)
"""
TWO_KILLED = """
    def start():
        child = os.fork()
        while not child:
            sweep(tracker, "default", chunk=7)
        return child

    def kill(child):
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status), "a sweep has failed; what it said is above"

    chance = random.Random(int(sys.argv[2]))
    ending = time.monotonic() + float(sys.argv[3])
    two, killed = [start(), start()], 0
    while time.monotonic() < ending:
        time.sleep(chance.uniform(0.02, 0.3))
        which = chance.randrange(2)
        kill(two[which])
        two[which] = start()
        killed += 1
    for child in two:
        kill(child)
    print(killed)
"""


def process(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python of its own that has set Django up on the test's database."""
    name = str(connection.settings_dict["NAME"])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BEGUN) + textwrap.dedent(code), name, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def keys() -> Iterator[list[int]]:
    """The keys of members whom no event tells of; no trigger sees what happens to them either."""
    opened()
    with capture.suspended(registry, "default"):
        plan = Plan.objects.create(name="Solo", monthly_price=9)
        Member.objects.bulk_create(
            Member(name=f"m{index}", email=f"{index}@example.org", plan=plan) for index in range(MEMBERS)
        )
        yield list(Member.objects.order_by("pk").values_list("pk", flat=True))


def move_some(keys: list[int], chance: random.Random) -> None:
    """By SQL: move a few in one transaction, or delete one, or let one that is gone come back."""
    key, status = chance.choice(keys), chance.choice(Status.values)
    columns = "name, email, plan_id, country, status, status_since, joined_at"
    there = Member.objects.filter(pk=key).exists()
    with connection.cursor() as cursor, transaction.atomic():
        if chance.random() < 0.7:
            for one in chance.sample(keys, 5):
                cursor.execute("UPDATE membership_member SET status = %s WHERE id = %s", [status, one])
        elif there:
            cursor.execute("DELETE FROM membership_member WHERE id = %s", [key])
        else:
            cursor.execute(
                f"INSERT INTO membership_member (id, {columns}) "
                f"SELECT %s, {columns} FROM membership_member WHERE id <> %s ORDER BY id LIMIT 1",
                [key, key],
            )


def test_what_moves_unseen_is_written_once_by_two_that_are_killed_again_and_again(keys: list[int]) -> None:
    chance = random.Random(7)
    sweeps = process(TWO_KILLED, 7, DURATION_S)
    while sweeps.poll() is None:
        move_some(keys, chance)
        time.sleep(0.005)
    said, failure = sweeps.communicate()
    assert sweeps.returncode == 0, failure
    assert int(said) > 5

    tracker = registry.tracker("membership.member")
    sweep(tracker, "default")  # goes on with the one that was killed
    sweep(tracker, "default")
    assert sweep(tracker, "default").moves == {}
    told, states = (
        histories(),
        {member.pk: member.status.replace("_", "-") for member in Member.objects.all()},
    )
    assert sum(map(len, told.values())) > MEMBERS, (
        "more than where each stood at first, on a busy machine too"
    )
    for key, history in told.items():
        assert history[-1][1] == states.get(key, "")
        for (_, before, _), (source, sink, origin) in pairwise([("", "", ""), *history]):
            assert (source, origin) == (before, Origin.SWEEP)
            assert sink != source
    delivered = Counter(Delivery.objects.values_list("event_id", flat=True))
    assert delivered == Counter(
        MemberFlowEvent.objects.filter(flow="converting").values_list("pk", flat=True)
    )


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no rows that are held")
def test_the_next_goes_on_from_where_one_was_killed(keys: list[int]) -> None:
    first, *_, held = keys[:9]
    with transaction.atomic():
        Member.objects.select_for_update().get(pk=held)
        killed = process(ONE)
        told = until(killed, cursor=str(keys[7]))
        killed.kill()
        killed.communicate()
    assert killed.returncode < 0
    Member.objects.filter(pk=first).update(status=Status.ACTIVE)

    tracker = registry.tracker("membership.member")
    written = sweep(tracker, "default", chunk=2).moves
    # While it waited for the held one, the killed sweep may have written the other one of that chunk.
    assert written in ({("", "trial"): MEMBERS - 8}, {("", "trial"): MEMBERS - 9})
    assert sweep(tracker, "default", chunk=2).moves == {("trial", "active"): 1}
    assert {len(history) for key, history in histories().items() if key != first} == {1}
    assert told.started_at is not None


def until(running: subprocess.Popen[str], **reached: Any) -> Sweep:
    """The sweep once it has come so far."""
    ending = time.monotonic() + 30
    while not (found := Sweep.objects.filter(**reached).first()):
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < ending, "the sweep hasn't come to the row that is held"
        time.sleep(0.02)
    return found
