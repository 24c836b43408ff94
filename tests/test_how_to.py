"""The how-to guides do what they say: every code block in them is run (see ``tests/code_blocks.py``)."""

import os
from pathlib import Path

import pytest

from tests.code_blocks import ROOT, Reader, follow_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "sqlite",
        reason="the guide's project brings its own SQLite file: one run shows it all",
    ),
]


@pytest.mark.parametrize(
    "page",
    [
        "schedule.md",
        "automation.md",
        "repair.md",
        "history.md",
        "testing.md",
        "existing.md",
        "exports.md",
        "api.md",
        "work.md",
    ],
)
def test_every_code_block_of_the_guide_runs_and_prints_what_it_shows(page: str, tmp_path: Path) -> None:
    assert follow_page((ROOT / "docs" / "how-to" / page).read_text(), Reader(tmp_path, page)) > 0
