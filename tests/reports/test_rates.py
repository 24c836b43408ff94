"""Rates: a flow as a share of what its source stocks held when the range began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from example.membership.models import MemberFlowEvent
from stockandflow import reports
from stockandflow.declarations import Flow, Process, Stock
from stockandflow.registry import Registry, registry
from tests.reports.history import SLUGS, Step, counted, written

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)


def told(process: Process) -> dict[str, float | None]:
    found = reports.rates(reports.balance(process, START + DAY, START + 3 * DAY))
    return {flow.slug: share for flow, share in found.items()}


@pytest.fixture
def business() -> None:
    """Four in trial and one active when the range begins; one more comes, two convert, and two are erased."""
    histories: list[list[Step]] = [
        [(START, "trial"), (START + DAY, "active")],
        [(START, "trial"), (START + DAY, "active"), (START + 2 * DAY, "")],
        [(START, "trial")],
        [(START, "trial")],
        [(START, "active"), (START + DAY, "")],
        [(START + DAY, "trial")],
    ]
    written(histories)
    counted(histories, START + DAY)


def test_a_rate_is_the_share_of_the_source_that_moved(business: None) -> None:
    found = told(registry.process("membership"))

    assert found["converting"] == 2 / 4
    assert found["pausing"] == 0
    assert found["erasing"] == 2 / 1, "of several sources the openings are summed"


def test_what_is_no_share_has_no_rate(business: None) -> None:
    found = told(registry.process("membership"))

    assert found["signing-up"] is None, "external holds nothing"
    assert found["recovering"] is None, "nothing was past due"


def test_moves_from_external_are_left_out_of_a_rate(business: None) -> None:
    trial, active = SLUGS["trial"], SLUGS["active"]
    mixed = Flow(
        "converting", "Converting", MemberFlowEvent, sources=[None, "a stand-in", trial], sinks=[active]
    )
    assert told(Process("mixed", "Mixed", [trial, active], flows=[mixed])) == {"converting": 2 / 4}


def test_a_source_outside_of_the_process_has_an_opening_that_is_not_known(business: None) -> None:
    flow = registry.flow("erasing")
    assert told(Process("some", "Some", [SLUGS["active"]], flows=[flow])) == {"erasing": None}


def test_a_stock_that_nothing_tells_the_past_of_gives_no_rate() -> None:
    paused = Stock("paused-too", "Paused", SLUGS["paused"].queryset)
    flow = Flow("ending", "Ending", MemberFlowEvent, sources=[paused], sinks=[None])
    process = Process("pauses", "Pauses", [paused], flows=[flow])
    Registry().register(process)
    assert told(process) == {"ending": None}


@pytest.mark.parametrize(
    ("count", "openings", "expected"),
    [(3, [4], 0.75), (3, [4, 2], 0.5), (3, [], None), (3, [0], None), (3, [4, None], None), (0, [4], 0.0)],
)
def test_a_rate_needs_openings(count: int, openings: list[int | None], expected: float | None) -> None:
    assert reports.rate(count, openings) == expected
