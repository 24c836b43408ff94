"""The page of the reference that shows code does what it says: every code block in it is run."""

import os
from pathlib import Path

import pytest

from tests.code_blocks import ROOT, Reader, follow_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "sqlite",
        reason="the page's project brings its own SQLite file: one run shows it all",
    ),
]


def test_every_code_block_of_the_reports_runs_and_prints_what_it_shows(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reference" / "reports.md").read_text()
    assert follow_page(page, Reader(tmp_path, "reports.md")) > 0
