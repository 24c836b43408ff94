"""The page of the reference shows what the tests of the paths hold to."""

from __future__ import annotations

import pytest
from django.db import connection

from stockandflow.capture import blind_spots, method_for
from tests.write_paths.page import ABSENT, CAPTURED, PAGE, SWEPT, page
from tests.write_paths.paths import PATHS
from tests.write_paths.scene import DATABASES
from tests.write_paths.stocksandflows import trackers


def test_the_committed_page_is_that_of_the_list() -> None:
    assert PAGE.read_text() == page(), "Write it anew: python -m tests.write_paths.page"


@pytest.mark.every_database
def test_a_gap_is_a_blind_spot_of_the_method_that_captures_it() -> None:
    """So explain, the checks and the page say the same."""
    vendors = {"sqlite": "sqlite", "postgresql": "postgresql", "mariadb": "mysql"}
    for path in PATHS:
        tracker = trackers()[path.role]
        method = method_for(tracker, connection)
        for database, gap in path.gaps.items():
            spots = blind_spots(tracker, method, vendors[database])
            assert any(spot in gap.why for spot in spots), (path.name, database)


def test_every_path_has_its_row_and_every_database_its_word() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ")]
    cells = [cell.strip() for row in rows for cell in row.split("|")[2:-1] if not row.startswith("| write |")]

    assert len(cells) == len(PATHS) * len(DATABASES)
    for word, of in ((SWEPT, "gaps"), (ABSENT, "absent")):
        assert sum(cell.startswith(word) for cell in cells) == sum(len(getattr(path, of)) for path in PATHS)
    assert all(cell.startswith((SWEPT, ABSENT, CAPTURED)) for cell in cells)
