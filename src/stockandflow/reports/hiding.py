"""What is hidden from a reader: moves to and from it are told, and not where to and from."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace
from typing import TypeVar

from stockandflow.declarations import ELSEWHERE
from stockandflow.models import FlowEvent, Restatement
from stockandflow.reports.results import ELSEWHERE_NAME, Balance, FlowLine

Move = TypeVar("Move", FlowEvent, Restatement)


@dataclass(frozen=True)
class Hidden:
    """The slugs of the stocks and flows that aren't to be told of."""

    stocks: frozenset[str] = frozenset()
    flows: frozenset[str] = frozenset()

    def state(self, key: str) -> str:
        """The key of a source or sink, ``~`` for that of a hidden stock."""
        return ELSEWHERE if key in self.stocks else key

    def told(self, move: Move) -> Move:
        """An event, or the restatement of moves, that names nothing hidden; "" stands for a hidden flow."""
        name = "flow" if isinstance(move, FlowEvent) else "slug"
        hides_flow = (isinstance(move, FlowEvent) or move.kind == "flow") and getattr(
            move, name
        ) in self.flows
        if not (hides_flow or {move.source, move.sink} & self.stocks):
            return move
        told = copy(move)
        told.source, told.sink = self.state(move.source), self.state(move.sink)
        if hides_flow:
            setattr(told, name, "")
        return told

    def meaning(self, text: str) -> str:
        """What a flow meant, as its definition is kept, line by line; its states are those "from" and "to"."""
        lines = []
        for line in text.split("\n"):
            side, _, states = line.partition(" ")
            names = (ELSEWHERE_NAME if key in self.stocks else key for key in states.split(", "))
            lines.append(f"{side} {', '.join(dict.fromkeys(names))}" if side in ("from", "to") else line)
        return "\n".join(lines)


def without_hidden(balance: Balance, hidden: Hidden) -> Balance:
    """The balance with those ends of its moves that are hidden called elsewhere. No query.

    Lines of one flow that are alike then are one line, so that nobody can tell how many stocks there are; how many
    objects made the moves of such a line isn't known.
    """
    if not hidden.stocks:
        return balance
    return replace(
        balance,
        stocks=tuple(
            replace(
                line,
                inflows=_lines(line.inflows, hidden),
                outflows=_lines(line.outflows, hidden),
                restated=tuple(map(hidden.told, line.restated)),
            )
            for line in balance.stocks
        ),
        beside=_lines(balance.beside, hidden),
        restated=tuple(map(hidden.told, balance.restated)),
        parts=tuple(without_hidden(part, hidden) for part in balance.parts),
        slices={key: without_hidden(one, hidden) for key, one in balance.slices.items()},
        compared=balance.compared and without_hidden(balance.compared, hidden),
    )


def _lines(lines: Iterable[FlowLine], hidden: Hidden) -> tuple[FlowLine, ...]:
    found: dict[tuple[object, str, str], FlowLine] = {}
    for line in lines:
        told = replace(
            line,
            source=hidden.state(line.source),
            sink=hidden.state(line.sink),
            source_name=ELSEWHERE_NAME if line.source in hidden.stocks else line.source_name,
            sink_name=ELSEWHERE_NAME if line.sink in hidden.stocks else line.sink_name,
        )
        ends = told.flow, told.source, told.sink
        found[ends] = _together(found[ends], told) if ends in found else told
    return tuple(found.values())


def _together(one: FlowLine, other: FlowLine) -> FlowLine:
    known = [line.computed_at for line in (one, other) if line.computed_at is not None]
    return replace(
        one,
        count=one.count + other.count,
        subjects=None,
        computed_at=min(known) if len(known) == 2 else None,
    )
