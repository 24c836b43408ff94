"""Decay: objects that have stood in a stock for long enough are moved on, by the schedule."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, router, transaction
from django.db.models import OuterRef, QuerySet, Subquery

from stockandflow.declarations import Stock
from stockandflow.exceptions import DeclarationError, InvalidInput
from stockandflow.models.clock import database_now, writing

logger = logging.getLogger(__name__)

Change = Mapping[str, Any] | Callable[[Any], object]

BATCH = 500
"""So many objects are moved in one transaction; others wait for no more than these."""


@dataclass(frozen=True, eq=False)
class Decay:
    """Moves the members of ``stock`` on once ``after`` has passed since they came to it.

    ``since`` names the datetime field that tells from when the time counts, e.g. ``"last_contact_at"``; without one it
    is the object's last flow event into the stock. ``change`` is what to do: a dict of field → new value, as for
    ``QuerySet.update()``, where a value may be an expression, or a function that is called for each run; or a function
    that is called with each object, fresh and locked, and saves it.

    Register it with the schedule, in a ``stocksandflows`` module::

        periodic.schedule.register(periodic.DAILY, Decay(hot, timedelta(days=4), {"status": "warm"}))

    Its entry is named ``<slug of the stock>.decay`` and isn't atomic: each batch of 500 objects commits by itself.
    Raises DeclarationError for what can't be right. Building it makes no query.
    """

    stock: Stock
    after: timedelta
    change: Change
    since: str | None = None

    atomic = False

    def __post_init__(self) -> None:
        if not isinstance(self.stock, Stock):
            raise DeclarationError(f"A decay has the stock {self.stock!r}; write a Stock.")
        if not isinstance(self.after, timedelta) or self.after <= timedelta():
            raise self._wrong(
                f"has after={self.after!r}; write a timedelta above zero, e.g. timedelta(days=4)"
            )
        if isinstance(self.change, Mapping):
            if not self.change:
                raise self._wrong("changes nothing; write e.g. change={'status': 'warm'}")
            for name in self.change:
                self._field(name)
        elif not callable(self.change):
            raise self._wrong(
                f"has the change {self.change!r}; write a dict of field → value, or a function of one object"
            )
        if self.since is not None and not isinstance(self._field(self.since), models.DateTimeField):
            raise self._wrong(f"counts since {self.since!r}, which is no DateTimeField; name one")

    def _field(self, name: str) -> models.Field[Any, Any]:
        try:
            field = self.stock.model._meta.get_field(name)
        except FieldDoesNotExist as error:
            raise self._wrong(
                f"names {name!r}, and {self.stock.model._meta.label} has no such field"
            ) from error
        if not isinstance(field, models.Field) or not field.concrete:
            raise self._wrong(f"names {name!r}, which is no column of {self.stock.model._meta.label}")
        return field

    def _wrong(self, what: str) -> DeclarationError:
        return DeclarationError(f"The decay of the stock {self.stock.slug!r} {what}.")

    @property
    def entry_name(self) -> str:
        """What its entry of the schedule is called unless named otherwise."""
        return f"{self.stock.slug}.decay"

    def __repr__(self) -> str:
        return f"<Decay of {self.stock.slug} after {self.after}>"

    def due(self, at: datetime | None = None) -> QuerySet[Any]:
        """The members whose time has come, at the database's instant now unless given.

        Raises InvalidInput for a stock of no tracker where no field tells since when. One query for the instant.
        """
        at = database_now(self._using) if at is None else at
        members = self.stock.all()
        if self.since is not None:
            return members.filter(**{f"{self.since}__lte": at - self.after})
        came: QuerySet[Any] = members.alias(sf_came_at=self._came_at()).filter(
            sf_came_at__lte=at - self.after
        )
        return came

    def _came_at(self) -> Subquery:
        """When a member's last event was, where that led into the stock; else NULL."""
        tracker = self.stock.registry.tracker_of(self.stock)
        if tracker is None:
            raise InvalidInput(
                f"The stock {self.stock.slug!r} is in no tracker, so no event tells since when an object is in it; "
                "give the decay a field, since='…', or put the stock into a ModelTracker."
            )
        meta: Any = tracker.events._meta
        key = meta.get_field("subject").target_field.attname
        events: QuerySet[Any] = tracker.events._base_manager.using(tracker.database)
        last = events.filter(tracker=tracker.slug).filter(subject=OuterRef(key)).order_by("-timestamp", "-id")
        into = models.Case(models.When(sink=self.stock.slug, then="timestamp"))
        return Subquery(last.annotate(sf_into=into).values("sf_into")[:1])

    def __call__(self) -> str:
        """Move all whose time has come, each once, in the order of their keys; says how many were moved.

        Each batch takes four queries, or three and those that a function makes. Objects that somebody holds are passed
        over where the database can do that, and waited for at the end, one by one, so that nobody is in anybody's way.
        A function that raises is logged and its object's changes are taken back; the others go on, and RuntimeError is
        raised at the end.
        """
        at = database_now(self._using)
        change: Any = self.change
        if isinstance(change, Mapping):
            change = {name: value() if callable(value) else value for name, value in change.items()}
        moved = failed = 0
        for keys, wait in self._batches(at):
            done = self._move(keys, change, at, wait)
            moved, failed = moved + sum(done), failed + len(done) - sum(done)
        if failed:
            raise RuntimeError(f"{moved} moved, {failed} failed; the log has their tracebacks")
        return f"{moved} moved"

    @property
    def _using(self) -> str:
        queryset: Any = self.stock.queryset
        return queryset._db or router.db_for_write(self.stock.model)

    def _batches(self, at: datetime) -> Iterator[tuple[set[Any], bool]]:
        """Keys of objects whose time has come, and whether to wait for them; what isn't taken away comes again."""
        due, held = self.due(at).using(self._using).order_by("pk"), set()
        keys = list(due.values_list("pk", flat=True)[:BATCH])
        while keys:
            batch = set(keys)
            yield batch, False
            held |= batch
            keys = list(due.filter(pk__gt=keys[-1]).values_list("pk", flat=True)[:BATCH])
        for key in sorted(held):
            yield {key}, True

    def _move(self, keys: set[Any], change: Any, at: datetime, wait: bool) -> list[bool]:
        """Move those that nobody holds and whose time has come still, and take them from the keys: which succeeded."""
        with writing(self._using):
            locked = self._locked(keys, wait)
            keys.difference_update(locked)
            # Read again once they are locked: a user may have saved one meanwhile.
            still = self.due(at).using(self._using).filter(pk__in=locked)
            if not isinstance(change, Mapping):
                return [self._called(change, member) for member in still.order_by("pk")]
            found = list(still.values_list("pk", flat=True))
            return [True] * self._among(found).update(**change)

    def _locked(self, keys: set[Any], wait: bool) -> list[Any]:
        """Those keys whose rows are now locked for us."""
        features = connections[self._using].features
        if not features.has_select_for_update:
            return sorted(keys)
        rows = self.stock.model._base_manager.using(self._using).filter(pk__in=keys).order_by("pk")
        locking = rows.select_for_update(skip_locked=not wait and features.has_select_for_update_skip_locked)
        return list(locking.values_list("pk", flat=True))

    def _among(self, keys: list[Any]) -> QuerySet[Any]:
        """The objects with those keys, through the stock's own kind of queryset, which may capture updates."""
        queryset: Any = type(self.stock.queryset)(self.stock.model, using=self._using)
        found: QuerySet[Any] = queryset.filter(pk__in=keys)
        return found

    def _called(self, change: Callable[[Any], object], member: Any) -> bool:
        try:
            with transaction.atomic(using=self._using):
                change(member)
        except Exception:
            logger.exception("The decay of the stock %r failed for %r.", self.stock.slug, member)
            return False
        return True
