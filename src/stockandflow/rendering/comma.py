"""Rows as CSV: for spreadsheets, data frames and databases."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from io import StringIO
from itertools import chain

from stockandflow.rendering.document import iso
from stockandflow.rendering.rows import COLUMNS, Row

Cell = str | float | datetime | None


def to_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV with a heading row; each ends with a line feed, and what isn't known is empty."""
    return "".join(csv_lines(COLUMNS, rows))


def csv_lines(columns: Sequence[str], rows: Iterable[Iterable[Cell]]) -> Iterator[str]:
    """The lines of rows under a heading, one after the other, so that a long list is never held as a whole."""
    written = StringIO()
    lines = csv.writer(written, lineterminator="\n")
    for row in chain([columns], rows):
        lines.writerow([_cell(value) for value in row])
        yield written.getvalue()
        written.seek(0)
        written.truncate()


def _cell(value: Cell) -> str | float | None:
    if isinstance(value, datetime):
        return iso(value) if value.tzinfo else value.isoformat(sep=" ", timespec="seconds")
    return defused(value) if isinstance(value, str) else value


def defused(text: str) -> str:
    """The text with an apostrophe before what a spreadsheet would take for a formula; numbers never go through here."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
