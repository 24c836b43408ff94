"""Tracked by the row, and once more by the statement, as ``level`` has it. Deletions must be named."""

from __future__ import annotations

from typing import Any

import pghistory
from django.db import models

from benchmarks.models import Subscription as ASubscription
from benchmarks.peers import cast


class Plan(cast.Priced):
    """What is paid for."""


class Owner(cast.Named):
    """Takes its subjects along."""


class Keeper(cast.Named):
    """As an owner, in the database."""


def tracked(level: Any = pghistory.Row) -> Any:
    return pghistory.track(
        pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent(), level=level
    )


@tracked()
class Subscription(ASubscription):
    """By the row."""


@tracked(pghistory.Statement)
class StatementSubscription(ASubscription):
    """By the statement."""


@tracked()
class Subject(cast.ASubject):
    """The plain case."""


class Child(Subject):
    """A subject with a table of its own besides; what moves is in the parent's."""

    subject_ptr = models.OneToOneField(Subject, models.CASCADE, parent_link=True)
    seats = models.IntegerField(default=1)


class Proxy(Subject):
    """The same rows."""

    class Meta:
        proxy = True


@tracked()
class Kept(cast.AKept):
    """Goes with its keeper."""


@tracked()
class Coded(cast.ACoded):
    """A text for a key."""


@tracked()
class Identified(cast.AnIdentified):
    """A UUID for a key."""
