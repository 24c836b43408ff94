"""The guide to workers does what it says: every code block in it is run, with two workers at a broker."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.code_blocks import ROOT, Reader, follow_page
from tests.databases import run_id
from tests.distributed.brokers import broker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "sqlite",
        reason="the guide's project brings its own SQLite file: one run shows it all",
    ),
]

PAGE = ROOT / "docs" / "how-to" / "distributed.md"


def forget(address: str, prefix: str) -> None:
    """Leave nothing of this run at Redis."""
    import redis

    parts = urlsplit(address)
    client = redis.Redis(host=parts.hostname, port=parts.port or 6379, db=int(parts.path[1:] or 0))
    for key in client.scan_iter(f"{prefix}*"):
        client.delete(key)


def test_every_code_block_of_the_guide_runs_and_prints_what_it_shows(tmp_path: Path) -> None:
    address, mine = broker("redis"), f"stockandflow-{run_id()}-recipe"
    ours = f'CELERY_BROKER_URL = "{address}"\nCELERY_BROKER_TRANSPORT_OPTIONS = {{"global_keyprefix": "{mine}."}}'
    page, shown = PAGE.read_text(), 'CELERY_BROKER_URL = "redis://127.0.0.1:6379/0"'
    assert page.count(shown) == 1
    reader = Reader(tmp_path, PAGE.name)
    try:
        assert follow_page(page.replace(shown, ours), reader) > 0
    finally:
        for file in reader.project.glob("*.pid"):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)
        forget(address, mine)
