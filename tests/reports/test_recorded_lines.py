"""What pages work out of a balance of a past that was recorded."""

from collections import Counter
from statistics import median

import pytest

from example.membership.models import MemberFlowEvent
from stockandflow import reports
from stockandflow.declarations import Process
from stockandflow.exceptions import InvalidInput
from stockandflow.registry import registry
from tests.reports.history import SINCE, SLUGS, UNTIL, histories, levels, midnight

pytestmark = pytest.mark.django_db

JUNE = midnight(2025, 6, 1), midnight(2025, 7, 1)
TRIAL = SLUGS["trial"]


def test_the_pairs_of_a_flow_are_what_its_events_say_each_once(past: Process) -> None:
    balance = reports.balance(past, *JUNE)
    told = Counter(
        MemberFlowEvent.objects.filter(timestamp__gte=JUNE[0], timestamp__lt=JUNE[1]).values_list(
            "flow", "source", "sink"
        )
    )
    for flow in (*past.flows, None):
        pairs = {(line.source, line.sink): line.count for line in reports.lines_of(balance, flow)}
        slug = flow.slug if flow else ""
        assert pairs == {(source, sink): n for (one, source, sink), n in told.items() if one == slug}
    assert any(flow == "" for flow, _, _ in told), "some moves are covered by no flow"


def test_the_extremes_are_those_of_the_levels_at_the_ends_of_the_parts(past: Process) -> None:
    balance = reports.balance(past, *JUNE, grain="day")
    midnights = [JUNE[0], *(part.until for part in balance.parts)]
    told = {at: levels(histories(90, SINCE, UNTIL), at)["trial"] for at in midnights}

    found = reports.extremes(balance, TRIAL)
    assert found is not None
    assert (found.lowest.count, found.highest.count) == (min(told.values()), max(told.values()))
    assert found.lowest.at == next(at for at, n in told.items() if n == found.lowest.count)
    assert found.highest.at == next(at for at, n in told.items() if n == found.highest.count)
    assert found.median == median(told.values())
    assert (found.known, found.unknown) == (31, 0)


def test_without_parts_there_are_the_levels_at_the_two_ends(past: Process) -> None:
    balance = reports.balance(past, *JUNE)
    found = reports.extremes(balance, TRIAL)
    assert found is not None
    line = balance.stocks[0]
    assert {found.lowest.count, found.highest.count} == {line.opening, line.closing}
    assert found.known == 2


def test_a_stock_of_another_process_has_no_line(past: Process) -> None:
    balance = reports.balance(past, *JUNE)
    with pytest.raises(InvalidInput, match="the balance has 'trial', 'active'"):
        reports.extremes(balance, registry.process("leads").stocks[0])
