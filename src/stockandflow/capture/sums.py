"""Where moves may be missing, told by sums on PostgreSQL: what is in order needn't be compared subject by subject.

Each pair of a subject and a stock has a hash of 64 bits. Those of the rows are added up, and those of the events: the
pairs that come by a sink, less those that go by a source. That takes one pass over each, without a join and, where all
is in order, without groups. The seeds are drawn anew for each check, so no pair's hash tells another's, and sums of
different pairs agree by chance once in 10¹⁸ checks or so. They needn't be counted as well: one pair too many or too few
changes a sum by its hash, which is zero no more often than that.

Sums of events tell where the subjects are as long as each event begins where the one before ended. So the events of
subjects that have moved on are also read in their order. Whether there are any, the sums tell too: an event that comes
from a stock has a source to take away, and one that leads outside adds a large number drawn for the check, so in order
the sums differ by that number times those events; by chance a difference is a multiple of it as seldom as above.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from django.db import models

from stockandflow.capture.moves import EVENT, ROW, MissingMoves
from stockandflow.membership import reason_not_local
from stockandflow.models.clock import snapshot

BLOCK_BITS = 14
"""Integer keys that are the same but for so many bits are a block: what is compared where its sums differ."""

Span = tuple[Any, Any]
"""Keys after the first and up to the second; None where there is no bound."""
EVERYWHERE: list[Span] = [(None, None)]


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
        if amiss and check.blocks:
            amiss = set(check.differing(by_block=True))
        if check.moved:
            amiss |= set(check.broken())
    return EVERYWHERE if amiss and not check.blocks else list(_spans(amiss))


class _Check:
    """The sums of one tracker, by seeds of their own. ``moved`` tells, once they are known, of events to be read."""

    def __init__(self, moves: MissingMoves) -> None:
        self.moves, self.moved = moves, False
        events: Any = moves.tracker.events._meta
        field: Any = events.get_field("subject")
        while field.remote_field:
            field = field.target_field
        self.field, self.blocks = field, isinstance(field, models.IntegerField)
        self.seed = secrets.randbits(62)
        self.outside = 2**61 + secrets.randbits(61)

    def differing(self, *, by_block: bool) -> Iterator[Any]:
        """The blocks, or the one of all keys, whose rows and events don't say the same. Two queries."""
        rows = {block: int(held or 0) for block, held in self._fetched(self._rows_sql(by_block))}
        events: dict[Any, int] = {}
        for block, came, went in self._fetched(self._events_sql(by_block)):
            events[block] = int(came or 0) - int(went or 0)
            self.moved |= went is not None
        for block in rows.keys() | events.keys():
            to_outside, rest = divmod(events.get(block, 0) - rows.get(block, 0), self.outside)
            if rest:
                yield block
            else:
                self.moved |= to_outside > 0

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
        seed = moves.by_state(lambda slug: self._seed(moves.sql.text(slug)), "NULL")
        return self._summed(key, by_block, [f"sum({self._hash(key, seed)})"], f"{moves.sql.table} AS {ROW}")

    def _events_sql(self, by_block: bool) -> str:
        moves, key = self.moves, self.moves.event_key
        came, went = (
            self._hash(key, f"(CASE WHEN {side} IN ({moves.slugs}) THEN {self._seed(side)} END)")
            for side in (f"{EVENT}.sink", f"{EVENT}.source")
        )
        sums = [
            f"sum(COALESCE({came}, {self.outside}))",
            f"sum({went}) FILTER (WHERE {EVENT}.source <> {moves.sql.empty})",
        ]
        return self._summed(
            key,
            by_block,
            sums,
            f"{moves.sql.event_table} AS {EVENT} WHERE {moves.is_trackers(EVENT)}",
        )

    def _summed(self, key: str, by_block: bool, sums: list[str], rows: str) -> str:
        block, grouped = (self._block(key), " GROUP BY 1") if by_block else ("NULL", "")
        return f"SELECT {block}, {', '.join(sums)} FROM {rows}{grouped}"

    def _block(self, key: str) -> str:
        return f"({key} >> {BLOCK_BITS})" if self.blocks else "NULL::bigint"

    def _seed(self, state: str) -> str:
        """SQL for the seed of the hashes of a stock's subjects, of its slug."""
        return f'hashtextextended({state} COLLATE "C", {self.seed})'

    def _hash(self, key: str, seed: str) -> str:
        """SQL for the hash of a pair: of a subject's key and of its stock's seed; NULL for none."""
        if self.blocks:  # of 64 bits the function takes 32, so the others go with the seed
            return f"hashint8extended({key}, {key} # {seed})"
        if isinstance(self.field, models.UUIDField):
            return f"uuid_hash_extended({key}, {seed})"
        return f'hashtextextended({key}::text COLLATE "C", {seed})'

    def _fetched(self, query: str) -> Iterable[Any]:
        with self.moves.sql.connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())


def _spans(blocks: Iterable[int]) -> Iterator[Span]:
    """The keys of the blocks; those of neighbours together."""
    for _, group in groupby(enumerate(sorted(blocks)), lambda one: one[1] - one[0]):
        neighbours = [block for _, block in group]
        yield (neighbours[0] << BLOCK_BITS) - 1, ((neighbours[-1] + 1) << BLOCK_BITS) - 1
