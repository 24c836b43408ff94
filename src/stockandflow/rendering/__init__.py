"""Reports as something to read: a table for a terminal, JSON and CSV for other programs. No query, no settings."""

from __future__ import annotations

from stockandflow.rendering.comma import to_csv
from stockandflow.rendering.document import as_document, to_json
from stockandflow.rendering.table import PLAIN, Paint, to_table
from stockandflow.rendering.words import Signs

__all__ = ["PLAIN", "Paint", "Signs", "as_document", "to_csv", "to_json", "to_table"]
