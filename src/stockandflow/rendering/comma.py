"""A balance as CSV in long form: one row for each number, for spreadsheets and data frames."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

from stockandflow.rendering.document import iso
from stockandflow.rendering.words import said
from stockandflow.reports import Balance, StockBalance

COLUMNS = (
    "period_start", "period_end", "status", "slice", "kind", "stock", "flow", "source", "sink", "count",
)  # fmt: skip

Row = tuple[str, str, str, str, int]
"""Kind, flow, source, sink, count."""


def to_csv(balance: Balance) -> str:
    """The balance as CSV with a heading row; rows end with a line feed.

    Each stock has an opening and a closing where they are known, an inflow for every flow and source, an outflow for
    every flow and sink, and an unexplained unless the stock stands in no tracker. Slugs name stocks and flows, "" is
    external. The rows of the range come first, then those of its parts, its slices, and what it is compared with; a
    slice is ``facet=value``, and has a reclassified where the others have an unexplained.
    """
    written = StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(COLUMNS)
    compared = [balance.compared] if balance.compared else []
    for one in (balance, *balance.parts, *balance.slices.values(), *compared):
        part = ",".join(f"{facet}={value}" for facet, value in one.slice.items())
        for line in one.stocks:
            for kind, flow, source, sink, number in _rows(line):
                when = (iso(one.since), iso(one.until), said(line.status), part)
                rows.writerow([*map(defused, (*when, kind, line.stock.slug, flow, source, sink)), number])
    return written.getvalue()


def _rows(line: StockBalance) -> Iterator[Row]:
    if line.opening is not None:
        yield "opening", "", "", "", line.opening
    for flow in line.inflows:
        yield "inflow", flow.flow.slug if flow.flow else "", flow.source, flow.sink, flow.count
    for flow in line.outflows:
        yield "outflow", flow.flow.slug if flow.flow else "", flow.source, flow.sink, flow.count
    if line.unexplained is not None:
        yield "unexplained", "", "", "", line.unexplained
    if line.reclassified is not None:
        yield "reclassified", "", "", "", line.reclassified
    if line.closing is not None:
        yield "closing", "", "", "", line.closing


def defused(text: str) -> str:
    """The text with an apostrophe before what a spreadsheet would take for a formula; numbers never go through here."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
