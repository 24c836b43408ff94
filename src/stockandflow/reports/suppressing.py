"""Small groups, hidden: primary and complementary cell suppression, as statistical offices call it.

A cell is a number of objects or of moves: a level, the moves between two stocks, what is unexplained or reclassified.
One above 0 and below the minimum is small. Hidden alone it could be worked out, since a row adds up, rows share moves,
periods sum to their range and slices to their whole. So these rules hide what could give it away:

- a stock with a small cell in the range, or in the one that it is compared with, is hidden there with its whole row;
- one with a small cell in any period is hidden in all periods, and so is one that is hidden in the range;
- the members now by the values of a facet are shown where none of them is small;
- a slice with a small cell is hidden whole, and with it the next smaller ones, until two or more are hidden and no cell
  of their sum is small; the periods of slices are shown only where that holds period by period too.

A small move hides the rows at both of its ends, so no row that is shown has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from stockandflow.periods import Period, Status
from stockandflow.reports.results import Balance, FlowLine, StockBalance
from stockandflow.reports.series import Series

Cells = Mapping[tuple[str, ...], int]
"""What a number is of → the number."""


def is_small(number: float | None, least: int) -> bool:
    """Whether the number is to be hidden: 0 tells of nobody, and stays."""
    return number is not None and 0 < abs(number) < least


def suppressed(balance: Balance, least: int) -> Balance:
    """The balance for who may be told of groups of ``least`` or more alone; as it is where that is below 2. No query.

    What is hidden is gone from it: a hidden stock's line has no level and no move, and its ``few`` are the names of the
    numbers that were small. Numbers that no rule of this module covers go with them: origins, restatements.
    """
    if least < 2:
        return balance
    wholes = [balance, *([balance.compared] if balance.compared else [])]
    in_range = set(chain.from_iterable(_small_stocks(one, least) for one in wholes))
    parts = [part for one in wholes for part in one.parts]
    in_parts = in_range.union(*(_small_stocks(part, least) for part in parts))

    def shown(one: Balance) -> Balance:
        return replace(
            _without(one, in_range, least), parts=tuple(_without(part, in_parts, least) for part in one.parts)
        )

    return replace(
        shown(balance),
        compared=shown(balance.compared) if balance.compared else None,
        slices=_slices(balance.slices, least),
    )


def suppressed_series(series: Series, least: int) -> Series:
    """The series, or one without a single number where one is small: a longer period less the others would tell it."""
    points = [*series.points, *series.partial, *([series.open] if series.open else [])]
    if least < 2 or not (series.measure == "rate" or any(is_small(one.value, least) for one in points)):
        return series
    return hidden_series(series)


def hidden_series(series: Series) -> Series:
    """The series without a single number."""
    points = [*series.points, *([series.open] if series.open else [])]
    periods = sorted(
        [*series.gaps, *(Period(one.start, one.end, series.grain) for one in points)],
        key=lambda one: one.start,
    )
    return replace(series, points=(), open=None, partial=(), gaps=tuple(periods), suppressed=True)


# Which numbers are small.


def _of_stock(line: StockBalance) -> dict[str, int | None]:
    beside = "reclassified" if line.slice else "unexplained"
    return {"opening": line.opening, "closing": line.closing, beside: getattr(line, beside)}


def _few(line: StockBalance, least: int) -> frozenset[str]:
    """The names of the small numbers of a stock's line; of its moves ``inflow`` and ``outflow``."""
    found = {name for name, number in _of_stock(line).items() if is_small(number, least)}
    for name, moves in (("inflow", line.inflows), ("outflow", line.outflows)):
        if any(is_small(move.count, least) for move in moves):
            found.add(name)
    return frozenset(found)


def _small_stocks(balance: Balance, least: int) -> set[str]:
    return {line.stock.slug for line in balance.stocks if _few(line, least)}


def _cells(balance: Balance) -> Counter[tuple[str, ...]]:
    found: Counter[tuple[str, ...]] = Counter()
    for line in balance.stocks:
        for name, number in _of_stock(line).items():
            found[line.stock.slug, name] = number or 0
        for move in (*line.inflows, *line.outflows):
            found[_pair(move)] = move.count
    for move in balance.beside:
        found[_pair(move)] = move.count
    return found


def _pair(move: FlowLine) -> tuple[str, ...]:
    return ("move", move.flow.slug if move.flow else "", move.source, move.sink)


def _is_told(cells: Cells, least: int) -> bool:
    return not any(is_small(number, least) for number in cells.values())


# What is left.


def _without(balance: Balance, slugs: Collection[str], least: int) -> Balance:
    """The balance without what is hidden; ``slugs`` are those of the stocks that are."""
    lines = tuple(
        _hidden(line, least) if line.stock.slug in slugs else _told(line, least) for line in balance.stocks
    )
    few_beside = any(is_small(move.count, least) for move in balance.beside)
    few_origins = any(is_small(number, least) for number in balance.origins.values())
    known = [number for one in balance.restated for number in (one.old_count, one.new_count)]
    few_restated = any(is_small(number, least) for number in known)
    hides = bool(slugs) or few_beside
    return replace(
        balance,
        stocks=tuple(replace(line, restated=()) for line in lines) if hides or few_restated else lines,
        beside=() if hides else tuple(_told_move(move, least) for move in balance.beside),
        origins={} if hides or few_origins else balance.origins,
        restated=() if hides or few_restated else balance.restated,
        least=least,
        few_beside=few_beside,
    )


def _hidden(line: StockBalance, least: int) -> StockBalance:
    """A line of which nothing is told but which of its numbers were small."""
    return StockBalance(
        stock=line.stock,
        opening=None,
        closing=None,
        inflows=(),
        outflows=(),
        opening_method="unknown",
        closing_method="unknown",
        tracked=False,
        flows_known=False,
        status=Status.GAP,
        slice=line.slice,
        least=least,
        few=_few(line, least),
    )


def _told(line: StockBalance, least: int) -> StockBalance:
    return replace(
        line,
        inflows=tuple(_told_move(move, least) for move in line.inflows),
        outflows=tuple(_told_move(move, least) for move in line.outflows),
        values={
            facet: numbers
            for facet, numbers in line.values.items()
            if not any(is_small(number, least) for number in numbers.values())
        },
    )


def _told_move(move: FlowLine, least: int) -> FlowLine:
    """The moves, without how few objects made them."""
    return replace(move, subjects=None) if is_small(move.subjects, least) else move


def _all_hidden(balance: Balance, least: int) -> Balance:
    slugs = {line.stock.slug for line in balance.stocks}
    parts = tuple(_without(part, slugs, least) for part in balance.parts)
    return replace(_without(balance, slugs, least), parts=parts)


# Slices.


def _slices(slices: Mapping[str, Balance], least: int) -> dict[str, Balance]:
    cells = {key: _cells(one) for key, one in slices.items()}
    hidden = [key for key, ones in cells.items() if not _is_told(ones, least)]
    rest = sorted(slices.keys() - set(hidden), key=lambda key: (_size(slices[key]), key))
    while hidden and rest and (len(hidden) < 2 or not _is_told(_sum(cells[key] for key in hidden), least)):
        hidden.append(rest.pop(0))
    shown = [one for key, one in slices.items() if key not in hidden]
    parts_told = _parts_told(shown, [slices[key] for key in hidden], least)
    found = {}
    for key, one in slices.items():
        if key in hidden:
            found[key] = _all_hidden(one, least)
        else:
            parts = tuple(
                _without(part, () if parts_told else {line.stock.slug for line in part.stocks}, least)
                for part in one.parts
            )
            found[key] = replace(_without(one, (), least), parts=parts)
    return found


def _parts_told(shown: Sequence[Balance], hidden: Sequence[Balance], least: int) -> bool:
    """Whether no period of a slice that is shown, nor of all that are hidden together, has a small cell."""
    if not all(_is_told(_cells(part), least) for one in shown for part in one.parts):
        return False
    periods = zip(*(one.parts for one in hidden), strict=True)
    return all(_is_told(_sum(map(_cells, parts)), least) for parts in periods)


def _sum(cells: Iterable[Cells]) -> Counter[tuple[str, ...]]:
    found: Counter[tuple[str, ...]] = Counter()
    for ones in cells:
        for name, number in ones.items():
            found[name] += number
    return found


def _size(balance: Balance) -> int:
    return sum(line.closing or 0 for line in balance.stocks) + sum(
        move.count for line in balance.stocks for move in (*line.inflows, *line.outflows)
    )
