"""Where a result goes: files are written whole, and nothing is spoilt or shown that can't be."""

from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import BaseCommand

from stockandflow.commands.output import deliver
from stockandflow.exceptions import InvalidInput


class Terminal(TextIOWrapper):
    def isatty(self) -> bool:
        return True


def command(out: Any) -> BaseCommand:
    return BaseCommand(stdout=out)


def test_text_goes_out_as_it_is() -> None:
    out = StringIO()
    deliver(command(out), "a\nb")
    assert out.getvalue() == "a\nb"


def test_a_file_gets_text_in_utf_8_and_what_was_there_is_gone(tmp_path: Path) -> None:
    path, out = tmp_path / "report.csv", StringIO()
    path.write_text("a longer text that was there")
    deliver(command(out), "Größe\n", str(path))
    assert path.read_bytes() == "Größe\n".encode()
    assert out.getvalue() == ""


def test_a_file_gets_bytes(tmp_path: Path) -> None:
    deliver(command(StringIO()), b"\x00\xff", str(tmp_path / "report.xlsx"))
    assert (tmp_path / "report.xlsx").read_bytes() == b"\x00\xff"


def test_a_file_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"--output is '.*report.csv', which can't be written: No such file"
    ):
        deliver(command(StringIO()), "a", str(tmp_path / "nowhere" / "report.csv"))


def test_bytes_go_to_a_pipe() -> None:
    held = BytesIO()
    out = TextIOWrapper(held, encoding="ascii")
    deliver(command(out), b"\x00\xff")
    assert held.getvalue() == b"\x00\xff"


@pytest.mark.parametrize(
    ("out", "where"), [(Terminal(BytesIO()), "a terminal"), (StringIO(), "an output of text")]
)
def test_bytes_are_refused_where_they_cannot_be_shown(out: Any, where: str) -> None:
    with pytest.raises(InvalidInput, match=rf"binary, and {where} can't show it; .* --output report.xlsx"):
        deliver(command(out), b"\x00\xff")


def test_text_is_refused_rather_than_spoilt() -> None:
    with pytest.raises(InvalidInput, match=r"encoding 'ascii' can't hold 'ß'; set PYTHONIOENCODING=utf-8"):
        deliver(command(TextIOWrapper(BytesIO(), encoding="ascii")), "Straße")
