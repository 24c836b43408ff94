"""Subjects that their events know by another unique field than the primary key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, models

from stockandflow import automation, capture
from stockandflow.declarations import Facet, Flow, ModelTracker, Stock
from stockandflow.models import Origin
from stockandflow.models.clock import database_now
from stockandflow.registry import registry
from tests.capture.conftest import Declare
from tests.capture.keyed.models import Voucher, VoucherFlowEvent
from tests.testapp.models import Owner

pytestmark = pytest.mark.usefixtures("transactional_db")

CALLS: list[Any] = []


def note(subject: Any, source: Any, sink: Any) -> None:
    CALLS.append(subject and subject.code)


def by_function(old: Any, new: Any) -> Any:
    def states(values: Any) -> Any:
        if values is None:
            return (None,)
        return tuple(
            stock for stock in (registry.stock("new"), registry.stock("used")) if stock.slug == values[0]
        ) or (None,)

    return states(old), states(new)


def declared(kind: str) -> ModelTracker:
    rows = Voucher.objects.all()
    querysets: dict[str, models.QuerySet[Any]] = {
        "new": rows.filter(state="new"),
        "used": rows.filter(state="used"),
    }
    if kind == "related triggers":
        querysets = {name: query.exclude(owner__name="nobody") for name, query in querysets.items()}
    stocks = [
        Stock(name, name, query, (Facet("state", "State", "state"),)) for name, query in querysets.items()
    ]
    flow = Flow(
        "using",
        "Using",
        VoucherFlowEvent,
        sources=[None, stocks[0]],
        sinks=stocks[1:],
        event_callables=[note],
    )
    more: dict[str, Any] = (
        {"states_to_stocks_func": by_function, "fields_to_track": ["state"]} if kind == "signals" else {}
    )
    made = ModelTracker(stocks=stocks, flows=[flow], slug="vouchers", **more)
    assert capture.method_for(made, connection).kind == kind
    return made


def moves() -> list[tuple[Any, ...]]:
    found = VoucherFlowEvent.objects.order_by("timestamp", "id")
    return list(found.values_list("subject_id", "source", "sink", "origin"))


@pytest.mark.parametrize("kind", ["triggers", "related triggers", "signals"])
def test_all_that_events_serve_knows_them_by_that_field(declare: Declare, kind: str) -> None:
    CALLS.clear()
    Voucher.objects.create(code="zero")  # so that primary keys and codes differ in order
    tracker = declared(kind)
    declare(tracker)
    capture.open_trackers(registry, "default")
    one = Voucher.objects.create(code="one", owner=Owner.objects.create(name="Ada"))
    one.state = "used"
    one.save()
    assert [move for move in moves() if move[0] == "one"] == [
        ("one", "", "new", "live"),
        ("one", "new", "used", "live"),
    ]
    event = VoucherFlowEvent.objects.select_related("subject").latest("id")
    assert event.subject == one
    assert event.facets == {"state": "used"}
    automation.deliver(registry)
    assert CALLS == ["one"]

    with capture.suspended(registry, "default"):
        Voucher.objects.bulk_create([Voucher(code=code) for code in ("two", "three")])
        Voucher.objects.filter(code="zero").update(state="used")
        Voucher.objects.filter(code="one").delete()
    (audit,) = capture.audit(registry, slugs=["vouchers"], chunk=1)
    named = {(one.source, one.sink): [(each.key, each.name) for each in one.objects] for one in audit.missing}
    if kind == "related triggers":  # they catch up by themselves
        assert named == {}
    else:
        assert named == {
            ("", "new"): [("three", "voucher three"), ("two", "voucher two")],
            ("new", "used"): [("zero", "voucher zero")],
            ("used", ""): [("one", "")],
        }
    (swept,) = capture.repair(registry, slugs=["vouchers"], chunk=1)
    assert swept.found == (0 if kind == "related triggers" else 4)
    (audit,) = capture.audit(registry, slugs=["vouchers"])
    assert audit.in_order

    used = registry.stock("used")
    at = database_now("default")
    assert [each.code for each in used.members(at)] == ["zero"]
    assert used.count(at=at) == 1
    if kind != "signals":
        before = at - timedelta(days=9)
        old = Voucher.objects.get(code="two")
        tracker.import_events(
            [
                ("gone", before, None, "new"),
                ("gone", before, "new", None),
                (old, before, None, "used"),
                ("two", at - timedelta(days=1), "used", None),
            ],
            allow_missing_subjects=True,
        )
        assert VoucherFlowEvent.objects.filter(origin=Origin.IMPORT).count() == 4
