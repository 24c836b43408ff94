"""Where a subcommand's result goes: to a file that is named, or to what the command writes to."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from django.core.management.base import BaseCommand, CommandParser

from stockandflow.exceptions import InvalidInput
from stockandflow.rendering import Signs

STANDARD = "-"
WIDTH = 80


def add_output(parser: CommandParser) -> None:
    """Declare ``--format`` and ``--output``."""
    parser.add_argument(
        "--format",
        choices=("table", "json", "csv", "xlsx"),
        default="table",
        help="A table to read (default), JSON or CSV for other programs, or a workbook for Excel and its like.",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        default=STANDARD,
        help="Write to this file, in UTF-8, instead of to the standard output; one that is there is overwritten.",
    )


@dataclass(frozen=True)
class Surface:
    """What a text for people is written on: its encoding, and its columns where it is a terminal, else None."""

    encoding: str
    columns: int | None

    @property
    def signs(self) -> Signs:
        """What can be drawn here."""
        return Signs.for_encoding(self.encoding)

    def width(self, most: int | None = None) -> int:
        """How many columns a table has: those of the terminal, from WIDTH to ``most``; elsewhere WIDTH."""
        width = max(self.columns or WIDTH, WIDTH)
        return width if most is None else min(width, most)

    def shown(self, text: str) -> str:
        """The text with ``?`` for what the encoding can't hold."""
        return text.encode(self.encoding, "replace").decode(self.encoding)


def surface_of(command: BaseCommand, output: str = STANDARD) -> Surface:
    """That of a file in UTF-8 where one is named, else that of ``command.stdout``."""
    if output != STANDARD:
        return Surface("utf-8", None)
    columns = shutil.get_terminal_size().columns if command.stdout.isatty() else None
    return Surface(getattr(command.stdout, "encoding", None) or "utf-8", columns)


def deliver(command: BaseCommand, content: str | bytes, output: str = STANDARD) -> None:
    """Write the content, as it is, to the file named ``output`` or for ``-`` to ``command.stdout``.

    Raises InvalidInput where it can't be written: text that the output's encoding can't hold, so that no data is
    changed; bytes to a terminal, or to an output of text alone; a file that can't be opened.
    """
    if output != STANDARD:
        _to_file(content, Path(output))
    elif isinstance(content, str):
        command.stdout.write(_writable(content, command), ending="")
    else:
        _to_binary(content, command)


def _to_file(content: str | bytes, path: Path) -> None:
    try:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise InvalidInput(
            f"--output is {str(path)!r}, which can't be written: {error.strerror or error}."
        ) from error


def _to_binary(content: bytes, command: BaseCommand) -> None:
    binary = getattr(command.stdout, "buffer", None)
    if binary is None or command.stdout.isatty():
        where = "a terminal" if command.stdout.isatty() else "an output of text"
        raise InvalidInput(
            f"The report is binary, and {where} can't show it; write it to a file, e.g. with --output report.xlsx."
        )
    command.stdout.flush()
    binary.write(content)
    binary.flush()


def _writable(text: str, command: BaseCommand) -> str:
    encoding = getattr(command.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"The output's encoding {encoding!r} can't hold {error.object[error.start : error.end]!r}; set "
            "PYTHONIOENCODING=utf-8, name a file with --output, or ask for --format json, which is ASCII."
        ) from error
    return text
