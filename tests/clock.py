"""The database's clock, put back: what is written and recorded inside is stamped as if it were then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from unittest import mock

from django.db import connection

from stockandflow.models import clock


@contextmanager
def clock_behind(by: timedelta) -> Iterator[None]:
    """Inside, the database's clock is behind, and runs on. Triggers keep the clock that they were made with."""
    real = clock.later_sql(connection.vendor, -int(by.total_seconds()))
    sql = {connection.vendor: f"({real})"}
    with mock.patch.dict(clock.NOW_SQL, sql), mock.patch.dict(clock.MOVE_SQL, sql):
        yield
