"""Balances made by hand: what a renderer gets, without a database."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from example.membership.models import Member, MemberFlowEvent
from stockandflow.declarations import Flow, Process, Stock
from stockandflow.periods import Calendar, Status
from stockandflow.reports import OUTSIDE, Balance, FlowLine, StockBalance

LONDON = Calendar("Europe/London")
AT = datetime(2026, 11, 23, 18, 54, tzinfo=UTC)

Moves = tuple[str | None, str, str, int]
"""Flow name (None: no flow covers it), source name, sink name ("" is external), count."""


def stock(name: str, **fields: Any) -> Stock:
    return Stock(slug=slug_of(name), name=name, queryset=Member.objects.none(), **fields)


def slug_of(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower()) or "x"


def line(moves: Moves) -> FlowLine:
    name, source, sink, count = moves
    flow = name and Flow(slug_of(name), name, MemberFlowEvent, sources=["a"], sinks=["b"])
    ends = (slug_of(source) if source else "", slug_of(sink) if sink else "")
    return FlowLine(flow or None, *ends, count, source or OUTSIDE, sink or OUTSIDE)


def stock_balance(
    name: str,
    opening: int,
    *,
    inflows: Sequence[Moves] = (),
    outflows: Sequence[Moves] = (),
    unexplained: int | None = 0,
    change: int = 0,
    **fields: Any,
) -> StockBalance:
    """A row that adds up; with ``unexplained`` None, for a stock in no tracker, by ``change``."""
    net = sum(moves[3] for moves in inflows) - sum(moves[3] for moves in outflows)
    values: dict[str, Any] = {"opening_method": "counted", "closing_method": "counted"} | fields
    return StockBalance(
        stock=stock(name),
        opening=opening,
        closing=opening + (change if unexplained is None else net + unexplained),
        inflows=tuple(map(line, inflows)),
        outflows=tuple(map(line, outflows)),
        tracked=unexplained is not None,
        flows_known=unexplained is not None or bool(inflows or outflows),
        **values,
    )


def balance(
    *stocks: StockBalance,
    since: date = date(2026, 10, 25),
    until: date = date(2026, 11, 24),
    in_progress: bool = True,
    name: str = "Membership",
    description: str = "",
) -> Balance:
    process = Process("membership", name, [line.stock for line in stocks], flows=[], description=description)
    begin, end = LONDON.midnight(since), LONDON.midnight(until)
    status = Status.IN_PROGRESS if in_progress else Status.PROVISIONAL
    lines = tuple(replace(line, status=status) for line in stocks)
    return Balance(process, begin, end, AT if in_progress else end, in_progress, lines, status=status)


def business() -> Balance:
    """Three stocks: one with moves of no flow, one with an unexplained change, one that nobody tracks."""
    return balance(
        stock_balance(
            "Trial",
            586,
            inflows=[("Signing up", "", "Trial", 1289)],
            outflows=[
                ("Converting", "Trial", "Active", 858),
                (None, "Trial", "Past due", 500),
                ("Lapsing", "Trial", "", 422),
            ],
        ),
        stock_balance(
            "Past due",
            191,
            inflows=[("Payment failing", "Active", "Past due", 479), (None, "Trial", "Past due", 500)],
            outflows=[("Recovering", "Past due", "Active", 988)],
            unexplained=-3,
        ),
        stock_balance("Urgent", 17, unexplained=None, change=5, opening_method="derived"),
        description="How people move from sign-up to active membership, and where they leave.",
    )
