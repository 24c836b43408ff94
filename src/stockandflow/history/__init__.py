"""Where history comes from: files, columns of the subjects, and what other packages kept. Each gives rows.

    tracker.import_events(from_simple_history(tracker))

Rows are read as they are asked for, and no other package is imported before its function is called.
"""

from __future__ import annotations

from stockandflow.history.columns import from_columns
from stockandflow.history.files import from_csv
from stockandflow.history.logs import from_fsm_log
from stockandflow.history.versions import from_pghistory, from_simple_history
from stockandflow.models.staging import PastMove

__all__ = [
    "PastMove",
    "from_columns",
    "from_csv",
    "from_fsm_log",
    "from_pghistory",
    "from_simple_history",
]
