"""History from a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stockandflow.exceptions import InvalidInput
from stockandflow.models.staging import PastMove, Unreadable

COLUMNS = ("subject", "timestamp", "from", "to")
NO_NAMES: Mapping[str, str] = {}


def from_csv(
    path: str | Path, *, columns: Mapping[str, str] = NO_NAMES, states: Mapping[str, str] = NO_NAMES
) -> Iterator[PastMove | Unreadable]:
    """The rows of a CSV file in UTF-8 whose first line names its columns.

    ``columns`` is what is meant → the header in the file, where the two differ: ``subject``, ``timestamp``, ``from``,
    ``to``; any other name is a facet, whose empty cells are NULL. ``states`` is a text in the file → the slug of a
    stock. Cells are texts: an empty ``from`` or ``to`` is external. Raises InvalidInput for a file that can't be read,
    or that lacks one of the columns.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            yield from _rows(csv.reader(file, strict=True), str(path), dict(columns), states)
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} isn't in UTF-8 ({error}); save it as UTF-8.") from error


def _rows(
    reader: Any, path: str, columns: dict[str, str], states: Mapping[str, str]
) -> Iterator[PastMove | Unreadable]:
    try:
        header: list[str] = next(reader, [])
        names = {name: columns.pop(name, name) for name in COLUMNS}
        for name, header_name in (names | columns).items():
            if (number := header.count(header_name)) != 1:
                raise InvalidInput(_not_one(path, header, name, header_name, number))
        subject, timestamp, source, sink = (header.index(names[name]) for name in COLUMNS)
        facets = {slug: header.index(name) for slug, name in columns.items()}
        for cells in reader:
            if len(cells) == len(header):
                yield PastMove(
                    cells[subject],
                    cells[timestamp],
                    states.get(cells[source], cells[source]),
                    states.get(cells[sink], cells[sink]),
                    {slug: cells[place] or None for slug, place in facets.items()},
                    reader.line_num,
                )
            elif cells:
                yield Unreadable(f"it has {len(cells)} cells, and the header {len(header)}", reader.line_num)
    except csv.Error as error:
        raise InvalidInput(f"{path} is no CSV at line {reader.line_num}: {error}.") from error


def _not_one(path: str, header: list[str], name: str, header_name: str, number: int) -> str:
    has = f"{number} columns" if number else "no column"
    there = ", ".join(map(repr, header)) or "empty"
    text = f"{path} has {has} {header_name!r}; its first line is {there}."
    if len(header) == 1:
        text += " Commas stand between the names."
    return (
        f"{text} Name the header of the column that holds the {name}: columns={{{name!r}: 'HEADER'}}, or on the "
        f"command line --column {name}=HEADER."
    )
