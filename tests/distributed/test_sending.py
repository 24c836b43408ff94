"""Waking after a commit: here, or by a message where there is a queue, and only where something waits."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import transaction

from example.membership.models import Member, Plan, Status, WelcomeNote
from stockandflow.automation import deliver
from stockandflow.distributed import queue, sending
from stockandflow.models import Delivery
from stockandflow.registry import registry

pytest.importorskip("celery")
pytestmark = pytest.mark.django_db(transaction=True)


class Broker:
    """What stands outside: it keeps what is sent, and is away while told to."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.tried = 0
        self.away = False

    def __call__(self, using: str) -> None:
        self.tried += 1
        if self.away:
            raise ConnectionError("no broker")
        self.sent.append(using)


@pytest.fixture
def broker(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    settings.STOCKANDFLOW = {"QUEUE": "celery"}
    monkeypatch.setattr(queue(), "send_delivery", made)
    monkeypatch.setattr(sending, "_quiet_until", 0.0)
    return made


def convert(plan: Plan) -> None:
    member = Member.objects.create(name="m", email="m@example.org", plan=plan)
    member.status = Status.ACTIVE
    member.save()


@pytest.fixture
def plan() -> Plan:
    return Plan.objects.create(name="Solo", monthly_price=9)


def test_without_a_queue_the_process_delivers_itself(plan: Plan) -> None:
    convert(plan)
    assert WelcomeNote.objects.count() == 1


def test_with_a_queue_the_commit_sends_word_and_delivers_nothing(broker: Broker, plan: Plan) -> None:
    with transaction.atomic():
        convert(plan)
        assert broker.sent == []
    assert broker.sent == ["default"]
    assert not WelcomeNote.objects.exists()
    assert deliver(registry).done == 1


def test_nothing_is_sent_where_nothing_waits(
    broker: Broker, plan: Plan, django_assert_num_queries: Any
) -> None:
    member = Member.objects.create(name="m", email="m@example.org", plan=plan)
    assert broker.sent == []
    with django_assert_num_queries(1):
        sending.wake(registry, "default")
    with transaction.atomic():
        member.status = Status.ACTIVE
        member.save()
        transaction.set_rollback(True)
    assert broker.sent == []


def test_a_delivery_that_moves_others_sends_no_word_since_it_looks_itself(broker: Broker, plan: Plan) -> None:
    flow = registry.flow("converting")
    before = flow.event_callables

    def referring(flowed_obj: Any, source: Any, sink: Any) -> None:
        if Member.objects.count() < 3:
            convert(plan)

    object.__setattr__(flow, "event_callables", (referring,))
    try:
        convert(plan)
        assert broker.sent == ["default"]
        assert deliver(registry).done == 3
    finally:
        object.__setattr__(flow, "event_callables", before)
    assert broker.sent == ["default"]


def test_a_broker_that_is_away_is_left_alone_for_a_minute_and_loses_nothing(
    broker: Broker, plan: Plan, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    broker.away = True
    for _ in range(3):
        convert(plan)
    assert broker.tried == 1
    assert "the next tick sends it" in caplog.text
    assert Delivery.objects.filter(status=Delivery.Status.PENDING).count() == 3
    later = time.monotonic() + sending.QUIET.total_seconds() + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    broker.away = False
    sending.wake(registry, "default")
    assert broker.sent == ["default"]
