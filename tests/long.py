"""What takes minutes on each database, and is run when asked for: ``STOCKANDFLOW_LONG=1 make test``."""

import os

import pytest

long = pytest.mark.skipif(
    os.environ.get("STOCKANDFLOW_LONG") != "1", reason="takes minutes; STOCKANDFLOW_LONG=1 has it run"
)
