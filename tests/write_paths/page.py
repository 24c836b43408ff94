"""The page of the reference that shows every path on every database: ``python -m tests.write_paths.page`` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from tests.write_paths.paths import PATHS
from tests.write_paths.scene import DATABASES, Database, WritePath

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "write-paths.md"
NAMES: dict[Database, str] = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
CAPTURED, SWEPT, ABSENT = "✓", "swept", "–"

INTRODUCTION = """\
# Write paths

Every way to write that the tests try, and what becomes of its moves on each database. This page is made from the
tests' own list, and they fail when the two disagree; {doc}`/explanation/capture` says how the capture works.

- **✓**: captured. Exactly the events of its moves are written, in the same transaction; a write that moves nothing
  writes none.
- **swept**: not captured when it happens. Until the next sweep it is shown as *unexplained*; the sweep finds it and
  writes its events.
- **–**: there is no such thing on that database.

A subject whose own columns decide is captured by triggers on its table. Stocks that another table decides are captured
by triggers on both, and those that the clock decides by signals.
"""


def page() -> str:
    """The whole page, in MyST."""
    return INTRODUCTION + "".join(f"\n{section}" for section in _sections())


def _sections() -> Iterator[str]:
    for group, paths in groupby(PATHS, key=lambda path: path.group):
        notes: list[str] = []
        rows = "".join(_row(path, notes) for path in paths)
        head = "".join(f" {NAMES[database]} |" for database in DATABASES)
        below = "".join(f"\n{number}. {note}" for number, note in enumerate(notes, 1))
        yield f"## {group}\n\n| write |{head}\n|---|{':-:|' * len(DATABASES)}\n{rows}" + (
            f"{below}\n" if below else ""
        )


def _row(path: WritePath, notes: list[str]) -> str:
    cells = "".join(f" {_cell(path, database, notes)} |" for database in DATABASES)
    return f"| {path.does.replace('|', chr(92) + '|')} |{cells}\n"


def _cell(path: WritePath, database: Database, notes: list[str]) -> str:
    if database in path.absent:
        return f"{ABSENT} ({_numbered(path.absent[database], notes)})"
    if database in path.gaps:
        return f"{SWEPT} ({_numbered(path.gaps[database].why, notes)})"
    return CAPTURED


def _numbered(note: str, notes: list[str]) -> int:
    if note not in notes:
        notes.append(note)
    return notes.index(note) + 1


if __name__ == "__main__":
    PAGE.write_text(page())
