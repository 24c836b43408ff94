"""The reference lists what there is: every check and every setting, and none that is gone."""

from __future__ import annotations

import re
from pathlib import Path

import stockandflow
from stockandflow import checks
from stockandflow.capture import methods
from stockandflow.conf import NAMES

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"


def test_the_reference_has_every_check_and_no_other() -> None:
    page, _, retired = (REFERENCE / "checks.md").read_text().partition("\n## Retired")
    there = set(re.findall(r'"([EW]\d{3})"', Path(checks.__file__).read_text()))
    headings = re.findall(r"^### stockandflow\.([EW]\d{3})$", page, re.MULTILINE)
    assert sorted(headings) == sorted(there)
    # An id that was used once never means something else.
    assert not there & set(re.findall(r"stockandflow\.([EW]\d{3})", retired))


def test_the_reference_has_every_setting_and_no_other() -> None:
    page, _, retired = (REFERENCE / "settings.md").read_text().partition("\n## Retired")
    headings = re.findall(r"^## `([A-Z_]+)`$", page, re.MULTILINE)
    assert sorted(headings) == sorted({*NAMES})
    assert not set(NAMES) & set(re.findall(r"`([A-Z_]+)`", retired))


def test_the_reference_lists_its_pages() -> None:
    index = (REFERENCE / "index.md").read_text()
    for page in REFERENCE.glob("*.md"):
        assert page.stem == "index" or re.search(rf"^{page.stem}$", index, re.MULTILINE), page.name


def test_the_explanation_of_the_capture_names_every_blind_spot() -> None:
    page = " ".join((REFERENCE.parent / "explanation" / "capture.md").read_text().split())
    by_triggers = [spot for spots in methods.UNSEEN_BY_TRIGGERS.values() for spot in spots]
    beside = (*methods.UNSEEN_BY_SIGNALS, *methods.UNSEEN_BESIDE_THE_ROW, *methods.WHILE_DOWN)
    for spot in (*by_triggers, *beside):
        assert spot in page


def test_the_reference_names_every_template_of_the_pages_and_no_other() -> None:
    page = (REFERENCE / "pages.md").read_text()
    folder = Path(stockandflow.__file__).parent / "templates" / "stockandflow"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.html")}
    assert set(re.findall(r"`((?:admin/)?\w+\.html)`", page)) == there
