"""The queries that each address takes: counted, and as the reference says."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from django.apps import apps
from django.test.utils import CaptureQueriesContext

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "pages.md"
TABLES = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}

MORE_ON_POSTGRESQL = 4
"""What the sums of an audit take."""

Row = tuple[str, str, str]
"""The queries of an address as it is, with the parameters that take most, and as a file; "" where there is none."""


def on_tables(captured: CaptureQueriesContext) -> int:
    """How many statements read or write tables of models."""
    return sum(not TABLES.isdisjoint(re.findall(r'["`](\w+)["`]', query["sql"])) for query in captured)


@cache
def documented() -> dict[str, Row]:
    """Name of a route, or what else is asked → what the reference says."""
    section = REFERENCE.read_text(encoding="utf-8").split("\n## Queries\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    return {name: (plain, most, file) for name, plain, most, file in rows}


def most(name: str) -> int:
    """How many queries that takes at most."""
    return max(int(number) for number in documented()[name] if number)
