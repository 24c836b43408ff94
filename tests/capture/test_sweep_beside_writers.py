"""Sweeps beside live writers: nothing is written twice, and every history stays a chain where a sweep wrote."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import capture
from stockandflow.capture.sweep import sweep
from stockandflow.models import Origin, Sweep
from stockandflow.registry import registry

pytestmark = [
    pytest.mark.usefixtures("transactional_db"),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time"),
]

DURATION_S = 4
MEMBERS = 40

Step = Callable[[int], None]


def together(*steps: Step) -> None:
    """Repeat each in a thread of its own, with a connection of its own, until the time is over."""
    failed: list[BaseException] = []
    ending = time.monotonic() + DURATION_S

    def repeat(step: Step) -> None:
        number = 0
        try:
            while time.monotonic() < ending and not failed:
                step(number)
                number += 1
        except BaseException as error:  # noqa: BLE001
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=repeat, args=[step]) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def moving(keys: list[int]) -> Step:
    """Move some in one transaction, and now and then delete one and make it anew."""

    def step(number: int) -> None:
        status = Status.values[number % len(Status.values)]
        with transaction.atomic():
            for key in keys[number % 5 :: 5]:
                Member.objects.filter(pk=key).update(status=status)
        if number % 7 == 0:
            key = keys[number % len(keys)]
            plan = Plan.objects.get()
            Member.objects.filter(pk=key).delete()
            Member.objects.create(pk=key, name="x", email="x@example.org", plan=plan)

    return step


def forgetting(keys: list[int]) -> Step:
    """Lose all that is known of a few, as if the capture had missed it."""

    def step(number: int) -> None:
        for key in keys[number % 11 :: 11]:
            with transaction.atomic():
                if Member.objects.select_for_update().filter(pk=key).values_list("pk").first():
                    MemberFlowEvent.objects.filter(subject_id=key).delete()
        time.sleep(0.01)

    return step


def opened() -> None:
    known = {"opened_at": timezone.now(), "started_at": None}
    Sweep.objects.update_or_create(tracker="membership.member", database="default", defaults=known)


def sweeping(_: int) -> None:
    sweep(registry.tracker("membership.member"), "default", chunk=7)


def once() -> None:
    """One sweep, in a thread of its own."""
    try:
        sweeping(0)
    finally:
        connections.close_all()


def histories() -> dict[int, list[tuple[str, str, str]]]:
    """Key → (source, sink, origin) of each event, in order."""
    found: dict[int, list[tuple[str, str, str]]] = defaultdict(list)
    events = MemberFlowEvent.objects.order_by("timestamp", "pk")
    for key, *event in events.values_list("subject_id", "source", "sink", "origin"):
        found[key].append((event[0], event[1], event[2]))
    return found


def test_each_move_it_writes_follows_from_the_one_before_and_leads_to_the_next() -> None:
    plan = Plan.objects.create(name="Solo", monthly_price=9)
    Member.objects.bulk_create(
        Member(name=f"m{index}", email=f"{index}@example.org", plan=plan) for index in range(MEMBERS)
    )
    keys = list(Member.objects.order_by("pk").values_list("pk", flat=True))
    tracker = registry.tracker("membership.member")
    opened()
    together(moving(keys[::2]), moving(keys[1::2]), forgetting(keys), sweeping, sweeping)
    sweeping(0)

    assert sweep(tracker, "default").moves == {}
    states = {member.pk: member.status.replace("_", "-") for member in Member.objects.all()}
    linked = 0
    for key, history in histories().items():
        assert history[-1][1] == states.get(key, "")
        for (_, before, origin), (source, _, other) in pairwise([("", "", ""), *history]):
            if Origin.SWEEP in (origin, other):
                assert source == before
                linked += 1
    assert linked > 0


def test_a_row_that_a_transaction_holds_is_waited_for_and_looked_at_anew() -> None:
    plan = Plan.objects.create(name="Solo", monthly_price=9)
    held, free, left = (Member.objects.create(name=name, email="x@example.org", plan=plan) for name in "abc")
    MemberFlowEvent.objects.exclude(subject=left).delete()
    with capture.suspended(registry, "default"):
        Member.objects.filter(pk=left.pk).update(status="nowhere")
    opened()
    thread = threading.Thread(target=once)
    with transaction.atomic():
        Member.objects.filter(pk=held.pk).update(status=Status.ACTIVE)
        Member.objects.filter(pk=left.pk).update(name="still nowhere")
        thread.start()
        ending = time.monotonic() + 10
        while not MemberFlowEvent.objects.filter(subject_id=free.pk).exists():
            assert time.monotonic() < ending, "what is free isn't written while the other row is held"
            time.sleep(0.02)
    thread.join()

    # Its own writer has told of the row meanwhile, so what is missing lies before that.
    assert histories()[held.pk] == [("", "trial", Origin.SWEEP), ("trial", "active", Origin.LIVE)]
    assert histories()[left.pk] == [("", "trial", Origin.LIVE), ("trial", "", Origin.SWEEP)]
    assert histories()[free.pk] == [("", "trial", Origin.SWEEP)]
