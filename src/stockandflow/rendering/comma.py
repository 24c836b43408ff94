"""Rows as CSV: for spreadsheets, data frames and databases."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import datetime
from io import StringIO

from stockandflow.rendering.document import iso
from stockandflow.rendering.rows import COLUMNS, Row


def to_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV with a heading row; each ends with a line feed, and what isn't known is empty."""
    written = StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow(COLUMNS)
    lines.writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def _cell(value: str | float | datetime | None) -> str | float | None:
    if isinstance(value, datetime):
        return iso(value) if value.tzinfo else value.isoformat(sep=" ", timespec="seconds")
    return defused(value) if isinstance(value, str) else value


def defused(text: str) -> str:
    """The text with an apostrophe before what a spreadsheet would take for a formula; numbers never go through here."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
