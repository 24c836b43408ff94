"""Where moves may be missing, told by sums on PostgreSQL: what is in order needn't be compared subject by subject.

The subjects of every stock are counted, and hashes of their keys added up, once by the rows of the table and once by
the events: those that came by a sink, less those that left by a source. That takes one pass over each, without a join.
Sums of 64-bit hashes, by a seed drawn for each check, agree by chance once in 10¹⁸ checks or so.

Sums of events tell where the subjects are as long as each event begins where the one before ended. So the events of
subjects that have moved on are also read in their order.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from django.db import models

from stockandflow.capture.moves import EVENT, ROW, MissingMoves
from stockandflow.membership import deciding_field, reason_not_local
from stockandflow.models.clock import snapshot

BLOCK_BITS = 14
"""Integer keys that are the same but for so many bits are a block: what is compared where its sums differ."""

Span = tuple[Any, Any]
"""Keys after the first and up to the second; None where there is no bound."""
EVERYWHERE: list[Span] = [(None, None)]

Sums = dict[Any, Counter[tuple[str, str]]]
"""Block → (stock, "count" or "hash") → sum."""


def doubtful(moves: MissingMoves, using: str) -> list[Span]:
    """The spans of keys, in order, outside of which no move is missing, and every event begins where the last ended.

    All keys where sums can't tell: on other databases, and where a stock depends on more than the subject's row and the
    clock. Where nothing ever moved, four queries on PostgreSQL; else one more, and two where something is missing.
    """
    stocks = moves.tracker.stocks
    if moves.vendor != "postgresql" or any(
        reason_not_local(stock.queryset, by_clock=True) for stock in stocks
    ):
        return EVERYWHERE
    check = _Check(moves)
    with snapshot(using):
        amiss = set(check.differing(by_block=False))
        if amiss:
            amiss = set(check.differing(by_block=True))
        if check.moved:
            amiss |= set(check.broken())
    return EVERYWHERE if amiss and not check.blocks else list(_spans(amiss))


class _Check:
    """The sums of one tracker, by one seed."""

    def __init__(self, moves: MissingMoves) -> None:
        self.moves, self.moved = moves, False
        events: Any = moves.tracker.events._meta
        field: Any = events.get_field("subject")
        while field.remote_field:
            field = field.target_field
        self.blocks = isinstance(field, models.IntegerField)
        self.seed = secrets.randbits(62)

    def differing(self, *, by_block: bool) -> Iterator[Any]:
        """The blocks, or the one of all keys, whose rows and events don't say the same. Two queries."""
        rows: Sums = {}
        for block, state, count, hashes in self._fetched(self._rows_sql(by_block)):
            _add(rows, block, state, count, hashes)
        events: Sums = {}
        stocks = {stock.slug for stock in self.moves.tracker.stocks}
        for block, source, sink, count, hashes in self._fetched(self._events_sql(by_block)):
            self.moved |= source in stocks or sink not in stocks
            _add(events, block, sink if sink in stocks else "", count, hashes)
            _add(events, block, source if source in stocks else "", -count, -hashes)
        for block in rows.keys() | events.keys():
            if rows.get(block, Counter()) != events.get(block, Counter()):  # what is missing counts as zero
                yield block

    def broken(self) -> Iterator[Any]:
        """The blocks of subjects with an event that doesn't begin where the one before ended. One query."""
        moves = self.moves
        key, ours = moves.event_key, moves.is_trackers(EVENT)
        before = (
            f"LAG({moves.known(EVENT, 'sink')}) OVER (PARTITION BY {key} ORDER BY {moves.event_order(EVENT)})"
        )
        moved = (
            f"SELECT {key} FROM {moves.sql.event_table} AS {EVENT} WHERE {ours} "
            f"AND ({EVENT}.source IN ({moves.slugs}) OR {EVENT}.sink NOT IN ({moves.slugs}))"
        )
        chains = (
            f"SELECT {self._block(key)} AS block, {moves.known(EVENT, 'source')} AS source, {before} AS before "
            f"FROM {moves.sql.event_table} AS {EVENT} WHERE {ours} AND {key} IN ({moved})"
        )
        query = (
            f"SELECT DISTINCT block FROM ({chains}) AS sf WHERE source <> COALESCE(before, {moves.sql.empty})"
        )
        for (block,) in self._fetched(query):
            yield block

    def _rows_sql(self, by_block: bool) -> str:
        moves, key = self.moves, self.moves.row_key
        block, sums = self._block(key, by_block), self._sums(key)
        deciding = {deciding_field(stock.queryset) for stock in moves.tracker.stocks}
        field = deciding.pop() if len(deciding) == 1 else None
        if field is None:
            return f"SELECT {block}, {moves.state}, {sums} FROM {moves.sql.table} AS {ROW} GROUP BY 1, 2"
        # Grouped by the column itself, of which PostgreSQL knows how few values there are; so it reads in parallel.
        column = f"{ROW}.{moves.sql.connection.ops.quote_name(str(field.column))}"
        groups = f"SELECT {block} AS sf_block, {column}, {sums} FROM {moves.sql.table} AS {ROW} GROUP BY 1, 2"
        return f"SELECT sf_block, {moves.state}, sf_count, sf_hash FROM ({groups}) AS {ROW}"

    def _events_sql(self, by_block: bool) -> str:
        moves, key = self.moves, self.moves.event_key
        return (
            f"SELECT {self._block(key, by_block)}, {EVENT}.source, {EVENT}.sink, {self._sums(key)} "
            f"FROM {moves.sql.event_table} AS {EVENT} WHERE {moves.is_trackers(EVENT)} GROUP BY 1, 2, 3"
        )

    def _block(self, key: str, by_block: bool = True) -> str:
        return f"({key} >> {BLOCK_BITS})" if by_block and self.blocks else "NULL::bigint"

    def _sums(self, key: str) -> str:
        hashed = (
            f"hashint8extended({key}::bigint, {self.seed})"
            if self.blocks
            else f'hashtextextended({key}::text COLLATE "C", {self.seed})'
        )
        return f"count(*) AS sf_count, sum({hashed}) AS sf_hash"

    def _fetched(self, query: str) -> Iterable[Any]:
        with self.moves.sql.connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())


def _add(sums: Sums, block: Any, state: str, count: int, hashes: Any) -> None:
    if state:
        counter = sums.setdefault(block, Counter())
        counter[state, "count"] += count
        counter[state, "hash"] += int(hashes)


def _spans(blocks: Iterable[int]) -> Iterator[Span]:
    """The keys of the blocks; those of neighbours together."""
    for _, group in groupby(enumerate(sorted(blocks)), lambda one: one[1] - one[0]):
        neighbours = [block for _, block in group]
        yield (neighbours[0] << BLOCK_BITS) - 1, ((neighbours[-1] + 1) << BLOCK_BITS) - 1
