"""What pages of one stock or flow work out of a balance: its pairs, and its extremes."""

from datetime import timedelta

import pytest

from example.support.models import TicketFlowEvent
from stockandflow import recording, reports
from stockandflow.models import StockRecord
from stockandflow.registry import registry
from tests.reports.history import midnight

pytestmark = pytest.mark.django_db

JUNE = midnight(2025, 6, 1), midnight(2025, 7, 1)


def test_a_flow_that_touches_none_of_the_stocks_has_its_moves_all_the_same() -> None:
    process, flow = registry.process("support"), registry.flow("escalating")
    at = midnight(2025, 6, 2)
    TicketFlowEvent.objects.create(
        tracker="support.escalation", flow=flow.slug, source="", sink="urgent", subject_id=1,
        timestamp=at, recorded_at=at,
    )  # fmt: skip
    for when in (JUNE, (at, at + timedelta(hours=6))):
        balance = reports.balance(process, *when)
        (line,) = reports.lines_of(balance, flow)
        assert (line.source, line.sink_name, line.count) == ("", "urgent", 1)
        assert balance.origins == {"live": 1}
        assert all(not stock.inflows for stock in balance.stocks)
        assert reports.members(balance.number(line, "count")).count() == 1
    recording.record(registry)
    assert [line.count for line in reports.lines_of(reports.balance(process, *JUNE), flow)] == [1]


def test_where_no_level_is_known_there_are_no_extremes() -> None:
    process = registry.process("support")
    (stock,) = [stock for stock in process.stocks if stock.slug == "ticket-urgent"]
    StockRecord.objects.create(stock=stock.slug, timestamp=midnight(2025, 8, 1), count=4)
    balance = reports.balance(process, *JUNE)
    assert reports.extremes(balance, stock) is None
    partly = reports.extremes(reports.balance(process, JUNE[0], midnight(2025, 8, 2), grain="month"), stock)
    assert partly is not None
    assert (partly.known, partly.unknown) == (2, 2)
