"""What counting stocks with their facets costs beside SQL written by hand, and beside one query a number.

Ten stocks with three facets of ten values, on one table: 10 totals and 300 facet values, and a few rows without a
country. The hand-written statements read the table once; the fastest of them on a database is its baseline.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.db import connection

from benchmarks.measuring import (
    JUDGED,
    Bound,
    Line,
    NumbersDiffer,
    Way,
    analyse,
    compared,
    flat,
    line,
    peak_of,
    say,
    timed,
)
from benchmarks.models import Account
from benchmarks.stocksandflows import ACCOUNT_STATUSES, ACCOUNT_VALUES, account_stocks
from stockandflow.membership import StockCount, count_stocks
from stockandflow.membership.facets import NONE

ROWS, QUICK_ROWS = 1_000_000, 4_000
MADE_AT_ONCE = 100_000
ROUNDS, QUICK_ROUNDS = 9, 2
TABLE = "benchmarks_account"
FACETS = tuple(ACCOUNT_VALUES)

Numbers = dict[str, int]
"""``status`` or ``status/facet/value`` → accounts; zeros are left out."""


def run(database: str, *, quick: bool = False) -> list[Line]:
    """All measurements of counting on the connection's database. Raises NumbersDiffer."""
    rows = QUICK_ROWS if quick else ROWS
    say(f"{database}: recording, {rows:,} accounts are made")
    fill(min(rows, MADE_AT_ONCE))
    tenth = peak_of(lambda: count_stocks([stock.count_request() for stock in account_stocks()]))
    grow(rows)
    stocks, by_two_columns = account_stocks(), account_stocks(seats__gt=0)
    expected = folded_cells()
    work = f"count 10 stocks × 3 facets × 10 values, {rows:,} rows"

    hand = hand_written()
    for name, way in hand.items():
        same(name, way(), expected)
    best = min(hand, key=lambda name: min(timed(Way(name, hand[name])) for _ in range(1 if quick else 3)))
    say(f"{database}: recording, the fastest by hand: {best}")

    def ours() -> dict[str, StockCount]:
        return count_stocks([stock.count_request() for stock in stocks])

    def ours_by_two() -> dict[str, StockCount]:
        return count_stocks([stock.count_request() for stock in by_two_columns])

    flat(f"{database}: counting", tenth, peak_of(ours), judged=not quick)
    same("count_stocks", numbers_of(ours()), expected)
    same("count_stocks by two columns", numbers_of(ours_by_two()), expected)
    lines = compared(
        "recording",
        database,
        work,
        [
            Way(f"by hand: {best}", hand[best]),
            Way("count_stocks", ours),
            Way("count_stocks, by two columns", ours_by_two),
        ],
        QUICK_ROUNDS if quick else ROUNDS,
        [Bound(1.3)],
        judged=not quick,
    )
    if JUDGED[connection.vendor]:
        lines += much_slower(database, work, lines[0].way_s, expected, judged=not quick)
    return lines


def much_slower(database: str, work: str, ours_s: float, expected: Numbers, *, judged: bool) -> list[Line]:
    """The gain over ways that take so long that they are timed once."""
    ours, found = ("count_stocks", [ours_s]), list[Numbers]()
    compare = partial(line, "recording", database, work)
    say(f"{database}: recording, one query a number")
    queries = Way("one query a number", lambda: found.append(query_each()))
    by_queries = compare((queries.name, [timed(queries)]), ours, Bound(15, at_most=False), judged=judged)
    same(queries.name, found[0], {key: n for key, n in expected.items() if not key.endswith(NONE)})
    say(f"{database}: recording, 310 conditional aggregates in one statement")
    aggregates = Way("310 conditional aggregates", conditional_aggregates)
    by_aggregates = compare(
        (aggregates.name, [timed(aggregates)]), ours, Bound(1, at_most=False), judged=False
    )
    return [by_queries, by_aggregates]


def fill(rows: int) -> None:
    """The accounts: random, and the same ones every time."""
    chance = random.Random(2)
    Account._default_manager.bulk_create(
        [
            Account(
                status=chance.choice(ACCOUNT_STATUSES),
                plan=chance.choice(ACCOUNT_VALUES["plan"]),
                country=chance.choice((*ACCOUNT_VALUES["country"], None)),
                channel=chance.choice(ACCOUNT_VALUES["channel"]),
                customer=f"Customer number {number}",
                seats=chance.randrange(1, 50),
                price=chance.randrange(500, 50_000) / 100,
                note=f"was imported as number {number}",
            )
            for number in range(rows)
        ],
        batch_size=10_000,
    )
    analyse(TABLE)


def grow(rows: int) -> None:
    """The same accounts again and again, until there are so many."""
    at_once = min(rows, MADE_AT_ONCE)
    fields = [field for field in Account._meta.local_concrete_fields if not field.primary_key]
    columns = ", ".join(str(field.column) for field in fields)
    with connection.cursor() as cursor:
        for _ in range(rows // at_once - 1):
            cursor.execute(
                f"INSERT INTO {TABLE} ({columns}) SELECT {columns} FROM {TABLE} ORDER BY id LIMIT {at_once}"
            )
    analyse(TABLE)


# By hand: what someone would write who knows that the stocks are the values of one column.

CELLS = f"SELECT status, {', '.join(FACETS)}, COUNT(*) AS n FROM {TABLE} GROUP BY status, {', '.join(FACETS)}"

CELLS_NOT_INDEXED = CELLS.replace(TABLE, f"{TABLE} NOT INDEXED")


def hand_written() -> dict[str, Callable[[], Numbers]]:
    """Every statement that reads the table once and is worth trying on this database, with its reading."""
    found: dict[str, Callable[[], Numbers]] = {
        "GROUP BY, sums in Python": folded_cells,
        "GROUP BY, sums by UNION ALL": partial(listed, UNION),
    }
    if connection.vendor == "sqlite":
        found["GROUP BY NOT INDEXED, sums in Python"] = partial(folded_cells, CELLS_NOT_INDEXED)
        found["GROUP BY a JSON array, sums in Python"] = folded_json
    if connection.vendor == "postgresql":
        found["GROUPING SETS over GROUP BY"] = partial(listed, SETS_OVER_CELLS)
        found["GROUPING SETS"] = partial(listed, SETS)
    return found


UNION = f"WITH cells AS ({CELLS}) SELECT status, NULL, NULL, SUM(n) FROM cells GROUP BY status" + "".join(
    f" UNION ALL SELECT status, '{facet}', {facet}, SUM(n) FROM cells GROUP BY status, {facet}"
    for facet in FACETS
)
_FACET = "CASE {} END".format(" ".join(f"WHEN GROUPING({facet}) = 0 THEN '{facet}'" for facet in FACETS))
_VALUE = "CASE {} END".format(" ".join(f"WHEN GROUPING({facet}) = 0 THEN {facet}" for facet in FACETS))
_SETS = "GROUPING SETS ((status), {})".format(", ".join(f"(status, {facet})" for facet in FACETS))
SETS = f"SELECT status, {_FACET}, {_VALUE}, COUNT(*) FROM {TABLE} GROUP BY {_SETS}"
_OVER_CELLS = f"SELECT status, {_FACET}, {_VALUE}, SUM(n) FROM cells GROUP BY {_SETS}"
SETS_OVER_CELLS = f"WITH cells AS MATERIALIZED ({CELLS}) {_OVER_CELLS}"


def fetched(sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def folded_json() -> Numbers:
    sql = f"SELECT json_array(status, {', '.join(FACETS)}) AS cell, COUNT(*) FROM {TABLE} GROUP BY cell"
    return folded((*json.loads(cell), count) for cell, count in fetched(sql))


def folded_cells(sql: str = CELLS) -> Numbers:
    return folded(fetched(sql))


def folded(cells: Iterable[Any]) -> Numbers:
    found: Counter[str] = Counter()
    by_facet: list[Counter[tuple[str, str | None]]] = [Counter() for _ in FACETS]
    for status, *values, count in cells:
        found[status] += count
        for counter, value in zip(by_facet, values, strict=True):
            counter[status, value] += count
    for facet, counter in zip(FACETS, by_facet, strict=True):
        for (status, value), count in counter.items():
            found[key(status, facet, value)] += count
    return dict(found)


def listed(sql: str) -> Numbers:
    return {key(status, facet, value): int(count) for status, facet, value, count in fetched(sql)}


def conditional_aggregates() -> object:
    sums = []
    for status in ACCOUNT_STATUSES:
        sums.append(f"SUM(CASE WHEN status = '{status}' THEN 1 ELSE 0 END)")
        sums += [
            f"SUM(CASE WHEN status = '{status}' AND {facet} = '{value}' THEN 1 ELSE 0 END)"
            for facet, values in ACCOUNT_VALUES.items()
            for value in values
        ]
    return fetched(f"SELECT {', '.join(sums)} FROM {TABLE}")


def query_each() -> Numbers:
    """One query for each stock, and for each value of each of its facets."""
    found: Numbers = {}
    for stock, status in zip(account_stocks(), ACCOUNT_STATUSES, strict=True):
        found[status] = stock.count()
        for facet, values in ACCOUNT_VALUES.items():
            for value in values:
                found[key(status, facet, value)] = stock.faceted_qs(facet, value).count()
    return {name: count for name, count in found.items() if count}


def key(status: str, facet: str | None, value: str | None) -> str:
    return status if facet is None else f"{status}/{facet}/{NONE if value is None else value}"


def numbers_of(counted: dict[str, StockCount]) -> Numbers:
    found: Numbers = {}
    for slug, count in counted.items():
        status = slug.removeprefix("account-")
        found[status] = count.total
        for facet, values in count.facets.items():
            found |= {key(status, facet, value): n for value, n in values.items()}
    return {name: count for name, count in found.items() if count}


def same(name: str, numbers: Numbers, expected: Numbers) -> None:
    """Raises NumbersDiffer, naming a few numbers that do."""
    different = sorted(one for one in numbers.keys() | expected if numbers.get(one) != expected.get(one))
    if different:
        shown = ", ".join(f"{one}: {numbers.get(one)} for {expected.get(one)}" for one in different[:5])
        raise NumbersDiffer(f"{name} gives {len(different)} numbers that differ: {shown}.")
