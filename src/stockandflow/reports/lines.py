"""What a balance tells of one flow and of one stock: its pairs, and its least and greatest level."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from statistics import median

from stockandflow.declarations import Flow, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.reports.results import Balance, FlowLine, StockBalance


@dataclass(frozen=True)
class Held:
    """What a stock held at an instant."""

    at: datetime
    count: int


@dataclass(frozen=True)
class Extremes:
    """The least, the greatest and the median of a stock's known levels over a range.

    Of levels that are alike the first is told. ``unknown`` is how many levels of the range aren't known.
    """

    lowest: Held
    highest: Held
    median: float
    known: int
    unknown: int


def lines_of(balance: Balance, flow: Flow | None) -> tuple[FlowLine, ...]:
    """The moves of a flow in the balance, each pair of source and sink once; None for those that no flow covers."""
    lines = [line for stock in balance.stocks for line in (*stock.inflows, *stock.outflows)]
    found = {(line.source, line.sink): line for line in (*lines, *balance.beside) if line.flow is flow}
    return tuple(found[pair] for pair in sorted(found))


def line_of(balance: Balance, stock: Stock) -> StockBalance:
    """The stock's line; raises InvalidInput where the balance has none."""
    for line in balance.stocks:
        if line.stock is stock:
            return line
    slugs = ", ".join(repr(line.stock.slug) for line in balance.stocks)
    raise InvalidInput(f"stock is {stock!r}, and the balance has {slugs}; give one of its stocks.")


def extremes(balance: Balance, stock: Stock) -> Extremes | None:
    """The least, the greatest and the median level of a stock at the ends of the balance's parts, and at its opening.

    Without ``parts`` there are two levels. None where none is known. Raises InvalidInput for a stock that the balance
    doesn't have.
    """
    line = line_of(balance, stock)
    levels = [(balance.since, line.opening)]
    levels += [(part.at, line_of(part, stock).closing) for part in balance.parts or (balance,)]
    known = [Held(at, count) for at, count in levels if count is not None]
    if not known:
        return None
    return Extremes(
        lowest=min(known, key=lambda held: held.count),
        highest=max(known, key=lambda held: held.count),
        median=median(held.count for held in known),
        known=len(known),
        unknown=len(levels) - len(known),
    )
