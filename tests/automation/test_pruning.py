"""Deliveries that were done long ago go; those that somebody has still to look at stay."""

from __future__ import annotations

import pytest

from stockandflow.automation import deliver, prune_deliveries, pruning
from stockandflow.models import Delivery
from stockandflow.models.clock import DatabaseNow, database_now
from tests.automation.test_delivering import DAY, MINUTE, Post, growing, large, small
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db


def test_done_ones_go_in_batches_and_waiting_and_dead_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    registry, flow = growing(Post())
    for number in range(7):
        flow.add_event(Item.objects.create(text=str(number), number=3), small, large)
    deliver(registry)
    dead, waiting, *_ = Delivery.objects.order_by("pk")
    Delivery.objects.filter(pk=dead.pk).update(status="dead")
    Delivery.objects.filter(pk=waiting.pk).update(status="pending", finished_at=None)
    later = database_now("default") + DAY + MINUTE
    assert prune_deliveries(registry, DAY) == 0
    assert prune_deliveries(registry, 2 * DAY, now=later) == 0
    assert prune_deliveries(registry, DAY, now=later) == 5
    assert list(Delivery.objects.order_by("pk")) == [dead, waiting]


def test_one_that_was_done_only_yesterday_stays_however_long_it_waited() -> None:
    registry, flow = growing(Post())
    flow.add_event(Item.objects.create(text="late", number=3), small, large)
    Delivery.objects.update(due_at=DatabaseNow() - 9 * DAY)
    deliver(registry)
    assert prune_deliveries(registry, DAY) == 0
