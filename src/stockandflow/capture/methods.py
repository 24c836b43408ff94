"""Which method captures a tracker on a database, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from django.apps import apps
from django.db import DatabaseError, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext_noop

from stockandflow.declarations import ModelTracker
from stockandflow.exceptions import NotLocal
from stockandflow.membership import asks_the_time, compiled_where, reaches, reason_not_local

TRIGGER_VENDORS = ("sqlite", "postgresql", "mysql")


@dataclass(frozen=True)
class Method:
    """How a tracker's moves are captured; ``reason`` says in words why not by the method before it, "" for the first.

    By ``triggers`` on the subject's table alone; by ``related triggers``, which are on the related tables too; by
    ``signals``.
    """

    kind: Literal["triggers", "related triggers", "signals"]
    reason: str = ""

    @property
    def by_triggers(self) -> bool:
        """Whether the database itself writes the events."""
        return self.kind != "signals"


def method_for(tracker: ModelTracker, connection: BaseDatabaseWrapper) -> Method:
    """The best method that is right for the tracker on that database.

    No query, save that MariaDB is asked for its version where SQL depends on it; should it not answer, the querysets'
    shape decides.
    """
    if not tracker.derived:
        return Method(
            "signals", gettext_noop("its states come from a Python function, which the database can't call")
        )
    if connection.vendor not in TRIGGER_VENDORS:
        return Method("signals", f"triggers aren't written for the database {connection.vendor!r}")
    related = ""
    for stock in tracker.stocks:
        try:
            if reason_not_local(stock.queryset) is None:
                compiled_where(stock.queryset, "new", connection)
                continue
            read = reaches(stock.queryset)
            tables = ", ".join(sorted({reach.model._meta.db_table for reach in read if reach.path}))
            related = related or f"the stock {stock.slug!r} depends on rows of {tables}"
            reaches(stock.queryset, connection)
        except NotLocal as error:
            return Method(
                "signals",
                f"no row tells when membership of the stock {stock.slug!r} changes: {error}",
            )
        except DatabaseError:
            continue  # a project must start without its database; the shape was asked first
    return Method("related triggers", related) if related else Method("triggers")


def database_of(tracker: ModelTracker) -> str:
    """The alias of the database that the tracker's subjects are written to."""
    return tracker.database


def saved_as(model: type[models.Model]) -> list[type[models.Model]]:
    """The classes whose save() can move an object of the model: itself, its proxies, its children and its parents."""
    concrete: Any = model._meta.concrete_model
    return [
        other
        for other in apps.get_models()
        if issubclass(other, concrete) or issubclass(concrete, other._meta.concrete_model or other)
    ]


def unhooked(tracker: ModelTracker) -> list[str]:
    """The managers through which bulk writes of the tracker's subjects go unseen, e.g. ``shop.Sale.objects``; sorted.

    Those of its model, its proxies and its children; ``_base_manager`` is what Django itself writes through.
    """
    concrete: Any = tracker.model._meta.concrete_model
    found = set()
    for model in saved_as(concrete):
        managers = {manager.name: manager for manager in model._meta.managers}
        managers.setdefault("_base_manager", model._base_manager)
        for name, manager in managers.items():
            if not getattr(manager.get_queryset(), "captures_bulk_writes", False):
                found.add(f"{model._meta.label}.{name}")
    return sorted(found)


HOW = {
    "triggers": "the statement that changes a row also writes the event, whoever makes the change",
    "related triggers": (
        "the statement that changes a row of the subject's table or of a related one also writes the events of the "
        "subjects that move by it, whoever makes the change"
    ),
    "signals": "what the ORM saves and deletes also writes the event, in one transaction with the change",
}
"""What each kind of method does, in words."""

UNSEEN_BY_TRIGGERS = {
    "sqlite": (gettext_noop("a row that a statement with OR REPLACE takes away under another key"),),
    "postgresql": (
        gettext_noop("what is written with session_replication_role = replica"),
        gettext_noop("what is written after ALTER TABLE … DISABLE TRIGGER"),
    ),
    "mysql": (gettext_noop("rows that a foreign key's own cascade deletes"), "TRUNCATE"),
}
WHILE_SUSPENDED = gettext_noop("what is written inside capture.suspended()")
WHILE_DOWN = (gettext_noop("what moves while a migration has triggers down"), WHILE_SUSPENDED)
UNSEEN_IN_BULK = (gettext_noop("bulk writes: update(), bulk_create(), bulk_update()"),)
"""Where a manager of the model doesn't capture them."""
UNSEEN_BY_SIGNALS = (gettext_noop("SQL and other programs"),)
UNSEEN_BY_RELATED_TRIGGERS = {
    "postgresql": (
        gettext_noop(
            "two transactions at once, of which one points a subject to a related row and the other changes that row"
        ),
    ),
    "mysql": (
        gettext_noop("two changes of related rows at the same moment, of a subject that has no event yet"),
        gettext_noop("what another transaction commits while a statement of many rows is under way"),
    ),
}
PASSING_TIME = gettext_noop("the passing of time")
OTHER_ROWS = gettext_noop("changes of other tables' rows")
UNSEEN_BESIDE_THE_ROW = (OTHER_ROWS, PASSING_TIME)
"""Each where the stocks' querysets look at it."""

LOCAL = "Where you can, write the stocks' filters on columns of the subject and of related rows."
OFTEN = "Have the schedule run often: its sweep writes the moves that time makes."
BULK = "Give the model 'objects = TrackedQuerySet.as_manager()', which captures bulk writes."


def blind_spots(tracker: ModelTracker, method: Method, vendor: str) -> tuple[str, ...]:
    """What the method can't see of the tracker's moves on that kind of database, each in words.

    None of it is hidden: reports show it as unexplained until a sweep finds it.
    """
    if method.kind == "triggers":
        return (*UNSEEN_BY_TRIGGERS.get(vendor, ()), *WHILE_DOWN)
    if method.kind == "related triggers":
        return (*UNSEEN_BY_TRIGGERS.get(vendor, ()), *UNSEEN_BY_RELATED_TRIGGERS.get(vendor, ()))
    bulk = UNSEEN_IN_BULK if unhooked(tracker) else ()
    return (*bulk, *UNSEEN_BY_SIGNALS, WHILE_SUSPENDED, *_unseen_beside_the_row(tracker))


def _unseen_beside_the_row(tracker: ModelTracker) -> tuple[str, ...]:
    if not tracker.derived:
        return ()
    others = () if _by_row_and_clock(tracker) else (OTHER_ROWS,)
    return (
        (*others, PASSING_TIME) if any(asks_the_time(stock.queryset) for stock in tracker.stocks) else others
    )


def _by_row_and_clock(tracker: ModelTracker) -> bool:
    """Whether the subject's row and the time now tell together in which stock it is."""
    return all(reason_not_local(stock.queryset, by_clock=True) is None for stock in tracker.stocks)


def cures(tracker: ModelTracker) -> tuple[str, ...]:
    """What to do, in sentences, about moves that signals can't see; () where there is nothing."""
    local = (OFTEN if _by_row_and_clock(tracker) else LOCAL,) if tracker.derived else ()
    return (*local, *((BULK,) if unhooked(tracker) else ()))
