"""The picture of the report: everything the terminal shows is in it, and the one in the documentation is up to date."""

from __future__ import annotations

import re
from io import StringIO
from xml.etree import ElementTree as ET

import pytest
from django.core.management import call_command

from scripts.report_picture import COLUMN, MARGIN, PARTS, ROW, picture
from tests.code_blocks import ROOT

SVG = "{http://www.w3.org/2000/svg}"
COMMITTED = ROOT / "docs" / "images" / "report.svg"

PAINTED = """\x1b[1mTea & cake\x1b[0m
1 Oct – 31 Oct 2026 · UTC

  In                \x1b[33;1m+12\x1b[0m
    From <outside>   12  \x1b[36m██▌\x1b[0m
─────
"""


def root_of(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own picture


def lines_of(svg: str) -> list[str]:
    """The text of the picture, put back where it stands; bars and rules are left out."""
    rows: dict[int, str] = {}
    for element in root_of(svg).iter(f"{SVG}text"):
        column = round((float(element.attrib["x"]) - MARGIN) / COLUMN)
        row = int((float(element.attrib["y"]) - MARGIN) // ROW)
        rows[row] = rows.get(row, "").ljust(column) + (element.text or "")
    return [rows.get(number, "") for number in range(max(rows) + 1)]


def numbers(row: str) -> list[int]:
    """The whole numbers of a row of the ledger, from the left."""
    return [
        int(found.replace(",", "").replace("−", "-")) for found in re.findall(r"[+−]?\d[\d,]*(?![\d.,])", row)
    ]


def test_every_word_stands_where_it_stood_in_the_terminal() -> None:
    shown = re.sub(r"\x1b\[[\d;]*m|[█▌─]", "", PAINTED)
    assert lines_of(picture(PAINTED))[2:] == [row.rstrip() for row in shown.rstrip().split("\n")]


def test_colours_become_classes_and_bars_as_long_as_their_blocks() -> None:
    root = root_of(picture(PAINTED))
    classes = {element.text: element.get("class") for element in root.iter(f"{SVG}text")}
    assert classes["Tea & cake"] == "heading"
    assert classes["+12"] == "warning"
    assert classes["From <outside>"] is None
    (bar,) = (element for element in root.iter(f"{SVG}rect") if element.get("class") == "in")
    assert float(bar.attrib["width"]) == pytest.approx(2.5 * COLUMN)
    (rule,) = root.iter(f"{SVG}line")
    assert float(rule.attrib["x2"]) - float(rule.attrib["x1"]) == pytest.approx(5 * COLUMN)


def test_the_first_parts_of_a_report_are_drawn() -> None:
    parts = [f"Part {number}" for number in range(PARTS + 2)]
    assert [line for line in lines_of(picture("\n\n".join(parts)))[2:] if line] == parts[:PARTS]


def test_the_picture_of_the_documentation_adds_up() -> None:
    lines = lines_of(COMMITTED.read_text())
    rows = [numbers(row) for row in lines if re.match(r"(Trial|Active|Paused|Past due|Churned) .*%$", row)]
    assert len(rows) == 5
    for opening, came, went, net, unexplained, now, *_ in rows:
        assert came + went == net
        assert opening + net + unexplained == now
    assert any(row[4] for row in rows), "the deliberate hole of the example is to be seen"


@pytest.mark.django_db
def test_the_picture_of_the_documentation_has_the_form_that_the_report_has_now() -> None:
    out = StringIO()
    call_command("stockandflow", "report", "membership", stdout=out)
    now, drawn = out.getvalue().split("\n"), lines_of(COMMITTED.read_text())[2:]
    assert drawn[:2] == now[:2]
    (heading,) = (row.split() for row in drawn if row.startswith("Stock "))
    assert heading == next(row.split() for row in now if row.startswith("Stock "))
    equation = "opening + in − out + unexplained = now"
    assert [row.strip() for row in drawn].count(equation) == [row.strip() for row in now].count(equation) == 1
