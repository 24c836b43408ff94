"""A FieldTracker of the status in each model, and receivers that write an event when it has changed."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.signals import post_delete, post_save
from model_utils import FieldTracker

from benchmarks.models import Subscription as ASubscription
from benchmarks.peers import cast
from benchmarks.peers.peer import stock


class Plan(cast.Priced):
    """What is paid for."""


class Owner(cast.Named):
    """Takes its subjects along."""


class Keeper(cast.Named):
    """As an owner, in the database."""


class Moved(models.Model):
    """An event."""

    model = models.CharField(max_length=100)
    key = models.CharField(max_length=100)
    source = models.CharField(max_length=50)
    sink = models.CharField(max_length=50)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.key}: {self.source} → {self.sink}"


class Subscription(ASubscription):
    """For the speed."""

    tracker = FieldTracker(fields=["status"])


class Subject(cast.ASubject):
    """The plain case."""

    tracker = FieldTracker(fields=["status"])


class Child(Subject):
    """A subject with a table of its own besides."""

    subject_ptr = models.OneToOneField(Subject, models.CASCADE, parent_link=True)
    seats = models.IntegerField(default=1)
    tracker = FieldTracker(fields=["status"])


class Proxy(Subject):
    """The same rows."""

    tracker = FieldTracker(fields=["status"])

    class Meta:
        proxy = True


class Kept(cast.AKept):
    """Goes with its keeper."""

    tracker = FieldTracker(fields=["status"])


class Coded(cast.ACoded):
    """A text for a key."""

    tracker = FieldTracker(fields=["status"])


class Identified(cast.AnIdentified):
    """A UUID for a key."""

    tracker = FieldTracker(fields=["status"])


def after_save(instance: Any, created: bool, raw: bool, using: str, **_: Any) -> None:
    if raw:
        return
    if created or instance.tracker.has_changed("status"):
        source = "" if created else instance.tracker.previous("status")
        note(instance, using, stock(source), stock(instance.status))


def after_delete(instance: Any, using: str, **_: Any) -> None:
    note(instance, using, stock(instance.status), "")


def note(instance: Any, using: str, source: str, sink: str) -> None:
    if source != sink:
        label = instance._meta.concrete_model._meta.label_lower
        Moved._default_manager.using(using).create(
            model=label, key=str(instance.pk), source=source, sink=sink
        )


for model in (Subscription, Subject, Child, Proxy, Kept, Coded, Identified):
    post_save.connect(after_save, sender=model)
for model in (Subscription, Subject, Proxy, Kept, Coded, Identified):
    # A child's deletion signals its parent's as well.
    post_delete.connect(after_delete, sender=model)
