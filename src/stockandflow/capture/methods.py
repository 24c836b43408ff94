"""Which method captures a tracker on a database, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from stockandflow.declarations import ModelTracker
from stockandflow.exceptions import NotLocal
from stockandflow.membership import compiled_where

TRIGGER_VENDORS = ("sqlite", "postgresql", "mysql")


@dataclass(frozen=True)
class Method:
    """How a tracker's moves are captured; ``reason`` says in words why not by triggers, "" where they are."""

    kind: Literal["triggers", "signals"]
    reason: str = ""


def method_for(tracker: ModelTracker, connection: BaseDatabaseWrapper) -> Method:
    """The best method that is right for the tracker on that database.

    No query, save that MariaDB is asked for its version where SQL depends on it; should it not answer, the querysets'
    shape decides.
    """
    if not tracker.derived:
        return Method("signals", "its states come from a Python function, which the database can't call")
    if connection.vendor not in TRIGGER_VENDORS:
        return Method("signals", f"triggers aren't written for the database {connection.vendor!r}")
    for stock in tracker.stocks:
        try:
            compiled_where(stock.queryset, "new", connection)
        except NotLocal as error:
            return Method("signals", f"the stock {stock.slug!r} can't be read from one row: {error}")
        except DatabaseError:
            continue  # a project must start without its database; reason_not_local() was asked first
    return Method("triggers")


def database_of(tracker: ModelTracker) -> str:
    """The alias of the database that the tracker's subjects are written to."""
    return tracker.database
