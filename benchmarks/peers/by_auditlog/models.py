"""Registered as the documentation has it."""

from __future__ import annotations

from auditlog.registry import auditlog
from django.db import models

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


class Subject(cast.ASubject):
    """The plain case."""


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


class Coded(cast.ACoded):
    """A text for a key."""


class Identified(cast.AnIdentified):
    """A UUID for a key."""


for model in (Subscription, Subject, Child, Proxy, Kept, Coded, Identified):
    auditlog.register(model)
