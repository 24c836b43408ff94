"""Rates: the moves of a flow as a share of what its sources held when the range began."""

from __future__ import annotations

from collections.abc import Iterable

from stockandflow.declarations import Flow, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.reports.results import Balance


def rate(count: int, openings: Iterable[int | None]) -> float | None:
    """``count`` moves as a share of the sum of their source stocks' openings, e.g. 0.12.

    None where there is no source, or the sum is 0 or not known. More than 1 where objects came and left within the
    range, or left again and again.
    """
    known = list(openings)
    if None in known:
        return None
    total = sum(opening for opening in known if opening is not None)
    return count / total if total > 0 else None


def rates(balance: Balance) -> dict[Flow, float | None]:
    """Each flow of the process → its moves out of stocks as a share of those stocks' openings.

    Moves from external, or from a state without a stock, aren't a share of anything and count in no rate; a flow that
    has only such sources has None. So has one with a source stock outside of the process, whose opening isn't in the
    balance. Raises InvalidInput for what is no balance.
    """
    if not isinstance(balance, Balance):
        raise InvalidInput(
            f"balance is {balance!r}; give a Balance, what balance(process, since, until) returns."
        )
    held = {line.stock: line for line in balance.stocks}
    found = {}
    for flow in balance.process.flows:
        sources = [state for state in flow.sources if isinstance(state, Stock)]
        lines = [held[stock] for stock in sources if stock in held]
        moves = sum(move.count for line in lines for move in line.outflows if move.flow is flow)
        openings = [held[stock].opening if stock in held else None for stock in sources]
        found[flow] = rate(moves, openings)
    return found
