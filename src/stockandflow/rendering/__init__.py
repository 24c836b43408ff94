"""Reports as something to read: a table for a terminal, JSON, CSV and workbooks for others. No query, no settings."""

from __future__ import annotations

from stockandflow.rendering.comma import csv_lines, to_csv
from stockandflow.rendering.document import as_document, series_to_json, to_json
from stockandflow.rendering.rows import COLUMNS, Row, balance_rows, series_rows
from stockandflow.rendering.series import series_to_table
from stockandflow.rendering.table import PLAIN, Paint, to_table
from stockandflow.rendering.words import Signs
from stockandflow.rendering.workbook import list_to_xlsx, to_xlsx

__all__ = [
    "COLUMNS",
    "PLAIN",
    "Paint",
    "Row",
    "Signs",
    "as_document",
    "balance_rows",
    "csv_lines",
    "list_to_xlsx",
    "series_rows",
    "series_to_json",
    "series_to_table",
    "to_csv",
    "to_json",
    "to_table",
    "to_xlsx",
]
