"""A balance as CSV in long form: one row for each number, for spreadsheets and data frames."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

from stockandflow.rendering.document import iso
from stockandflow.reports import Balance, StockBalance

COLUMNS = ("period_start", "period_end", "status", "kind", "stock", "flow", "source", "sink", "count")

Row = tuple[str, str, str, str, int]
"""Kind, flow, source, sink, count."""


def to_csv(balance: Balance) -> str:
    """The balance as CSV with a heading row; rows end with a line feed.

    Each stock has an opening and a closing where they are known, an inflow for every flow and source, an outflow for
    every flow and sink, and an unexplained unless the stock stands in no tracker. Slugs name stocks and flows, "" is
    external.
    """
    written = StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(COLUMNS)
    status = "in progress" if balance.in_progress else "provisional"
    for line in balance.stocks:
        for kind, flow, source, sink, number in _rows(line):
            text = (iso(balance.since), iso(balance.until), status, kind, line.stock.slug, flow, source, sink)
            rows.writerow([*map(defused, text), number])
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
    if line.closing is not None:
        yield "closing", "", "", "", line.closing


def defused(text: str) -> str:
    """The text with an apostrophe before what a spreadsheet would take for a formula; numbers never go through here."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
