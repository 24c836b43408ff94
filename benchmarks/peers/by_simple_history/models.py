"""Tracked as the documentation has it: HistoricalRecords, inherited by children."""

from __future__ import annotations

from django.db import models
from simple_history.models import HistoricalRecords

from benchmarks.models import Subscription as ASubscription
from benchmarks.peers import cast


class Plan(cast.Priced):
    """What is paid for."""


class Owner(cast.Named):
    """Takes its subjects along."""


class Keeper(cast.Named):
    """As an owner, in the database."""


class Subscription(ASubscription):
    """For the speed."""

    history = HistoricalRecords()


class Subject(cast.ASubject):
    """The plain case."""

    history = HistoricalRecords(inherit=True, use_base_model_db=True)


class Child(Subject):
    """A subject with a table of its own besides."""

    subject_ptr = models.OneToOneField(Subject, models.CASCADE, parent_link=True)
    seats = models.IntegerField(default=1)


class Proxy(Subject):
    """The same rows."""

    class Meta:
        proxy = True


class Kept(cast.AKept):
    """Goes with its keeper."""

    history = HistoricalRecords()


class Coded(cast.ACoded):
    """A text for a key."""

    history = HistoricalRecords()


class Identified(cast.AnIdentified):
    """A UUID for a key."""

    history = HistoricalRecords()
