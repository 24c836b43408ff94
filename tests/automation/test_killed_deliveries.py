"""Processes that are killed at each statement of delivering: what was committed is told, always with the same key."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from stockandflow.automation import deliver
from stockandflow.models import Delivery
from stockandflow.models.clock import DatabaseNow
from stockandflow.registry import Registry
from tests.automation.test_delivering import MINUTE, growing, large, letters, small
from tests.processes import KILLED_AT_EACH_STATEMENT, begun, said
from tests.testapp.models import Item, ItemFlowEvent, Owner

pytestmark = pytest.mark.django_db(transaction=True)


def telling(outside: Path) -> tuple[Registry, Any]:
    """A flow of two callables: one writes to a file, as to a service elsewhere, and both to the database."""

    def mail(item: Item, source: Any, sink: Any, event: ItemFlowEvent) -> None:
        with outside.open("ab", buffering=0) as file:
            file.write(f"{item.text}|{event.pk}\n".encode())
        Owner._default_manager.create(name=item.text)

    def write(item: Item, source: Any, sink: Any) -> None:
        Owner._default_manager.create(name=item.text)

    return growing(mail, write)


def cause(flow: Any, name: str) -> None:
    """An object and its event, in one transaction."""
    with transaction.atomic():
        flow.add_event(Item.objects.create(text=name, number=3), small, large)


def recover(registry: Registry) -> None:
    """What the next tick does once the lease of the one that was killed is over."""
    Delivery.objects.filter(status=Delivery.Status.PENDING).update(leased_until=DatabaseNow() - MINUTE)
    deliver(registry)


KILLED = """
    from pathlib import Path

    from stockandflow.automation import connect
    from tests.automation.test_killed_deliveries import cause, deliver, recover as recovered, telling

    registry, flow = telling(Path(sys.argv[2]))
    recover = lambda name: recovered(registry)
"""
IN_A_TICK = """
    def prepare(name):
        cause(flow, name)
        return lambda: deliver(registry)

    killed_everywhere(prepare, recover)
"""
AT_ONCE = """
    connect(registry)
    killed_everywhere(lambda name: lambda: cause(flow, name), recover)
"""


@pytest.mark.parametrize("code", [IN_A_TICK, AT_ONCE], ids=["in a tick", "at once"])
def test_what_was_committed_is_told_and_nothing_else_wherever_a_process_is_killed(
    code: str, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    kills = int(said(begun(KILLED_AT_EACH_STATEMENT, KILLED, code, arguments=(outside,))))
    assert kills > 15
    committed = {item.text: 2 for item in Item.objects.all()}
    assert Counter(Owner._default_manager.values_list("name", flat=True)) == committed
    assert set(Delivery.objects.values_list("status", flat=True)) == {"done"}
    assert ItemFlowEvent.objects.count() == Delivery.objects.count() == len(committed)
    assert letters() == 2 * len(committed)
    assert len(committed) == kills + 2 if code is IN_A_TICK else 2 < len(committed) < kills
    told = defaultdict(set)
    for line in outside.read_text().splitlines():
        name, key = line.split("|")
        told[name].add(key)
    assert {name: len(keys) for name, keys in told.items() if name in committed} == dict.fromkeys(
        committed, 1
    )
    assert set(told) == set(committed), "something was told of what was never committed"
