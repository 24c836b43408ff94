"""Automation: the event callables of flows, called from the outbox after commit.

Every event of a flow with event callables has a delivery beside it, written in the same transaction. Deliveries are
found by their status, so that none is passed over, in whatever order transactions commit.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import connections, models, router, transaction
from django.db.models import F, QuerySet
from django.db.models.expressions import Col
from django.db.models.signals import post_delete, post_save

from stockandflow.capture import databases
from stockandflow.declarations import Flow, ModelTracker, State
from stockandflow.exceptions import InvalidInput, LeaseLost
from stockandflow.membership import reason_not_local
from stockandflow.membership.predicate import nodes
from stockandflow.models import Delivery
from stockandflow.models.clock import DatabaseNow, writing
from stockandflow.models.outbox import Claimed, Move, Ordered, any_due, claim, moves, note
from stockandflow.models.texts import storable
from stockandflow.periods import aware
from stockandflow.registry import Registry

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=5)
"""How long claimed deliveries belong to a process; a callable that takes longer may be called by another one too."""
MAX_ATTEMPTS = 10
"""After so many a delivery is dead."""
FIRST_RETRY = timedelta(minutes=1)
"""The wait after the first failure. Each later wait is twice as long: the tenth attempt is 8½ hours after the first."""
LIMIT = 1000
"""How many deliveries one call of ``deliver`` attempts in each database at most."""
BATCH = 50
"""New deliveries are claimed together; those tried before alone, so that one that kills the process is alone too."""
WAKE_LIMIT = 20
"""How many of the newest deliveries a process attempts right after its own commit; the schedule does the rest."""

PENDING, DEAD = Delivery.Status.PENDING, Delivery.Status.DEAD


@dataclass
class _Round:
    """Delivering in one database; ``woken`` once something more was committed meanwhile."""

    woken: bool = False


_NONE: Mapping[str, _Round] = {}
_under_way: ContextVar[Mapping[str, _Round]] = ContextVar("stockandflow_delivering", default=_NONE)


@dataclass(frozen=True)
class Delivered:
    """How many deliveries one call of ``deliver`` brought to which end; ``failed`` ones will be tried again."""

    done: int = 0
    failed: int = 0
    dead: int = 0

    def __add__(self, other: Delivered) -> Delivered:
        return Delivered(self.done + other.done, self.failed + other.failed, self.dead + other.dead)

    def __str__(self) -> str:
        parts = ((self.done, "delivered"), (self.failed, "to be tried again"), (self.dead, "dead"))
        return ", ".join(f"{number} {word}" for number, word in parts if number) or "nothing to deliver"


def deliver(
    registry: Registry, *, using: str | None = None, limit: int = LIMIT, now: datetime | None = None
) -> Delivered:
    """Call the event callables of every event whose delivery is due, oldest first.

    Each is called with (flowed object, source, sink): the object as it is now, None once it was deleted; source and
    sink as the flow declares them. The call runs in a transaction of the event's database, which commits together
    with the note that it succeeded, so that its effects there happen exactly once, and effects elsewhere at least
    once. When one raises, its delivery waits and is tried again from there, at most MAX_ATTEMPTS times, and keeps the
    traceback; other deliveries go on.

    ``using`` names one database, and all that hold events of the registry unless given. ``now`` decides what is due,
    each database's clock unless given. Safe in any number of processes at once. Two queries for each database when
    nothing is due.
    """
    at = None if now is None else aware(now, "now")
    total = Delivered()
    for alias in delivery_databases(registry) if using is None else [using]:
        with _marked(alias):
            total += _deliver_all(_Attempts(registry, alias, at), limit)
    return total


def replay(deliveries: QuerySet[Delivery]) -> int:
    """Have the dead ones among these tried again, from the callable that failed, MAX_ATTEMPTS times at most; how many.

    They are due at once. One query.
    """
    dead = deliveries.filter(status=DEAD)
    return dead.update(status=PENDING, attempts=0, due_at=DatabaseNow(), finished_at=None)


def wake(registry: Registry, using: str) -> Delivered:
    """Deliver what was just committed: the newest deliveries that nobody has tried, WAKE_LIMIT at most.

    Inside a delivery it only has that one look for more. One query when there are none.
    """
    total = Delivered()
    if (outer := _under_way.get().get(using)) is not None:
        outer.woken = True
        return total
    attempts, left = _Attempts(registry, using, None), WAKE_LIMIT
    mine, ordered = _told_by(registry), _ordered(registry)
    with _marked(using) as this:
        this.woken = True
        while this.woken and left > 0:
            this.woken = False
            batch = claim(using, left, LEASE, tried=False, newest=True, flows=mine, ordered=ordered)
            total += attempts.make(batch)
            left -= len(batch)
            if batch and ordered:
                this.woken = True  # what waited for these
    return total


def waiting(registry: Registry, using: str) -> bool:
    """Whether a delivery is due that nobody has tried; False inside a delivery, which looks by itself. One query."""
    if (outer := _under_way.get().get(using)) is not None:
        outer.woken = True
        return False
    return any_due(using, _told_by(registry), _ordered(registry))


def connect(registry: Registry, to_wake: Callable[[Registry, str], object] = wake) -> None:
    """Have events delivered right after the commit of the process that caused them; connecting twice changes nothing.

    ``to_wake`` is called for it, with the registry and the alias of the database.

    Woken are saves and deletions of tracked objects through the ORM, and ``Flow.add_event``. What is written past
    the ORM's signals, in bulk or by other programs, is delivered by the schedule. Nothing is woken by a rollback, nor
    by a save whose ``update_fields`` can't move anything.
    """
    moving: dict[type[models.Model], frozenset[str] | None] = {}
    waker = _waker(registry, moving, to_wake)
    post_save.connect(waker, sender=Delivery, weak=False, dispatch_uid=_uid(registry))

    def watch(tracker: ModelTracker) -> None:
        if any(flow.event_callables for flow in tracker.flows):
            fields = _moved_by(tracker)
            for model in _written_as(tracker):
                before = moving.get(model, frozenset())
                moving[model] = None if before is None or fields is None else before | fields
                for signal in (post_save, post_delete):
                    signal.connect(waker, sender=model, weak=False, dispatch_uid=_uid(registry))

    def leave(tracker: ModelTracker) -> None:
        for signal in (post_save, post_delete):
            for model in _written_as(tracker):
                signal.disconnect(sender=model, dispatch_uid=_uid(registry))

    registry.on_tracker(watch, leave)


def disconnect(registry: Registry) -> None:
    """Leave delivery to the schedule again; the opposite of ``connect``, for the trackers registered so far."""
    watched: list[type[models.Model]] = [Delivery]
    for tracker in registry.trackers:
        watched += _written_as(tracker)
    for signal in (post_save, post_delete):
        for model in watched:
            signal.disconnect(sender=model, dispatch_uid=_uid(registry))


def _uid(registry: Registry) -> tuple[str, int]:
    return "stockandflow.automation", id(registry)


def _written_as(tracker: ModelTracker) -> list[type[models.Model]]:
    """The classes whose instances are rows of the tracker's model: itself, its proxies and its children."""
    concrete = tracker.model._meta.concrete_model
    return [model for model in apps.get_models() if concrete is not None and issubclass(model, concrete)]


def _moved_by(tracker: ModelTracker) -> frozenset[str] | None:
    """The names of the fields without which no save can move an object; None where that can't be told. No query."""
    querysets: list[QuerySet[Any]] = [stock.queryset for stock in tracker.stocks]
    if not tracker.derived or any(reason_not_local(queryset) for queryset in querysets):
        return None
    fields = {
        node.target for queryset in querysets for node in nodes(queryset.query.where) if isinstance(node, Col)
    }
    if any(getattr(field, "generated", False) for field in fields):
        return None  # the database computes it from others
    return frozenset(name for field in fields for name in (field.name, field.attname))


@dataclass(frozen=True)
class _Wake:
    """``to_wake`` as a callback that equals another one for the same registry and database."""

    registry: Registry
    using: str
    to_wake: Callable[[Registry, str], object]

    def __call__(self) -> None:
        self.to_wake(self.registry, self.using)


def _waker(
    registry: Registry,
    moving: Mapping[type[models.Model], frozenset[str] | None],
    to_wake: Callable[[Registry, str], object],
) -> Any:
    """A receiver that has ``to_wake`` called after the commit; ``moving`` has the fields that can move objects."""

    def after_commit(
        sender: type[models.Model],
        instance: models.Model,
        using: str,
        created: bool = False,
        update_fields: frozenset[str] | None = None,
        **_: Any,
    ) -> None:
        if isinstance(instance, Delivery):
            if instance.flow not in {flow.slug for flow in registry.flows}:
                return
        elif update_fields is not None and not created:
            fields = moving.get(sender)
            if fields is not None and fields.isdisjoint(update_fields):
                return
        connection, callback = connections[using], _Wake(registry, using, to_wake)
        if not (connection.commit_on_exit if connection.in_atomic_block else connection.get_autocommit()):
            return  # there is no telling when somebody's own transaction commits
        # Asked for already, it is forgotten only with a savepoint that encloses us too: an ended one can't be undone.
        if any(last[1] == callback for last in connection.run_on_commit[-1:]):
            return
        transaction.on_commit(callback, using=using, robust=True)

    return after_commit


@contextmanager
def _marked(using: str) -> Iterator[_Round]:
    this = _Round()
    token = _under_way.set({**_under_way.get(), using: this})
    try:
        yield this
    finally:
        _under_way.reset(token)


def delivery_databases(registry: Registry) -> list[str]:
    """The aliases of the databases that may hold deliveries of the registry, each once."""
    found = [*databases(registry), *(router.db_for_write(model) for model in registry.event_models())]
    return [alias for alias in dict.fromkeys(found) if router.allow_migrate_model(alias, Delivery)]


def _told_by(registry: Registry) -> list[str]:
    """The slugs of the flows with callables here; a process of an older release leaves the others to others."""
    return [flow.slug for flow in registry.flows if flow.event_callables]


def _ordered(registry: Registry) -> tuple[Ordered, ...]:
    """The flows whose events are told in order, by event model."""
    found: dict[type[Any], list[str]] = {}
    for flow in registry.flows:
        if flow.ordered and flow.event_callables:
            found.setdefault(flow.flow_event_model, []).append(flow.slug)
    return tuple(Ordered.of(model, slugs) for model, slugs in found.items())


def _deliver_all(attempts: _Attempts, limit: int) -> Delivered:
    """New ones in batches and old ones one by one, in turns, so that neither kind holds up the other."""
    total, left, found = Delivered(), limit, True
    while found:
        found = False
        for tried, size in ((False, BATCH), (True, 1)):
            if left > 0 and (
                batch := claim(
                    attempts.using,
                    min(size, left),
                    LEASE,
                    tried=tried,
                    ordered=_ordered(attempts.registry),
                    now=attempts.at,
                )
            ):
                total += attempts.make(batch)
                left -= len(batch)
                found = True
    return total


class _Attempts:
    """Attempts at the deliveries of one database; ``at`` is the instant that decides what is due."""

    def __init__(self, registry: Registry, using: str, at: datetime | None) -> None:
        self.registry, self.using, self.at = registry, using, at

    def make(self, batch: Sequence[Claimed]) -> Delivered:
        """Attempt each; what isn't reached in half of the lease, or when the process is told to end, is freed."""
        total, until = Delivered(), time.monotonic() + LEASE.total_seconds() / 2
        events = _Events(self.using, batch)
        reached = 0
        try:
            for delivery in batch:
                if time.monotonic() > until:
                    break
                total += self.attempt(delivery, events)
                reached += 1
        finally:
            if rest := [delivery.pk for delivery in batch[reached:]]:
                held = Delivery.objects.using(self.using).filter(
                    pk__in=rest, owner=batch[0].owner, status=PENDING
                )
                held.update(owner="", leased_until=None, attempts=F("attempts") - 1)
        return total

    def attempt(self, delivery: Claimed, events: _Events) -> Delivered:
        """Call what wasn't called yet; a failure is noted, never raised."""
        try:
            self.call(delivery, events)
        except LeaseLost:
            logger.exception("A delivery of the flow %r (%s) was lost.", delivery.flow, delivery.pk)
            return Delivered()
        except Exception:
            dead = delivery.attempts >= MAX_ATTEMPTS
            logger.exception(
                "A delivery of the flow %r (%s) failed, attempt %s of %s.",
                delivery.flow,
                delivery.pk,
                delivery.attempts,
                MAX_ATTEMPTS,
            )
            self.held(delivery).update(
                status=DEAD if dead else PENDING,
                due_at=F("due_at")
                if dead
                else (self.at or DatabaseNow()) + FIRST_RETRY * 2 ** (delivery.attempts - 1),
                finished_at=DatabaseNow() if dead else None,
                leased_until=None,
                owner="",
                error=storable(traceback.format_exc()),
            )
            return Delivered(dead=1) if dead else Delivered(failed=1)
        return Delivered(done=1)

    def call(self, delivery: Claimed, events: _Events) -> None:
        """Load the object, and call the flow's callables from the first that hasn't succeeded."""
        if delivery.attempts > MAX_ATTEMPTS:
            raise RuntimeError(
                f"The process ended in the middle of attempt {MAX_ATTEMPTS}, without a traceback."
            )
        flow = self.registry.flow(delivery.flow)
        subject, source, sink = events.arguments(delivery, flow)
        number = len(flow.event_callables)
        left = list(zip(flow.event_callables, flow.asking, strict=True))[delivery.done_calls :]
        lock = connections[self.using].in_atomic_block and connections[self.using].vendor == "sqlite"
        for done, (function, asks) in enumerate(left, delivery.done_calls + 1):
            with writing(self.using):
                if lock:
                    # The transaction around us may have begun as a reader, which can be too late to write.
                    self.note(delivery, done - 1)
                if subject is not None and subject.pk is None:
                    subject = None  # deleted by the callable before
                asked = {"event": events.event(delivery)} if asks else {}
                function(subject, source, sink, **asked)
                self.note(delivery, done, end=done == number)
        if not left:
            self.note(delivery, delivery.done_calls, end=True)

    def held(self, delivery: Claimed) -> QuerySet[Delivery]:
        """The row while it is this process's."""
        rows = Delivery.objects.using(self.using)
        return rows.filter(pk=delivery.pk, owner=delivery.owner, status=PENDING)

    def note(self, delivery: Claimed, done_calls: int, *, end: bool = False) -> None:
        """Write to the row; raises LeaseLost once another process has it."""
        if not note(self.using, delivery, done_calls, end=end):
            raise LeaseLost(
                f"The delivery {delivery.pk} was taken over by another process once its lease of {LEASE} was over; "
                "what this call did in the database is taken back."
            )


class _Events:
    """What the events of a batch say, read together, since an event never changes; their subjects do."""

    def __init__(self, using: str, batch: Sequence[Claimed]) -> None:
        self.using, self.batch = using, batch
        self.read: dict[str, dict[int, Move]] = {}

    def arguments(self, delivery: Claimed, flow: Flow) -> tuple[models.Model | None, State, State]:
        """The object as it is now, None once it was deleted; source and sink as the flow declares them.

        One query, and one more for the first of each event model. Raises InvalidInput for an event that is gone.
        """
        label = delivery.event_model
        event_model: Any = apps.get_model(label)
        if label not in self.read:
            keys = [one.event_id for one in self.batch if one.event_model == label]
            self.read[label] = moves(event_model, keys, self.using)
        move = self.read[label].get(delivery.event_id)
        if move is None:
            raise InvalidInput(f"The event {label} {delivery.event_id} is gone from {self.using!r}.")
        field: Any = event_model._meta.get_field("subject")
        subjects: QuerySet[Any] = QuerySet(field.related_model).using(self.using)
        subject = next(iter(subjects.filter(**{field.target_field.attname: move.subject})), None)
        return subject, flow.state(move.source), flow.state(move.sink)

    def event(self, delivery: Claimed) -> models.Model:
        """The event itself, for a callable that asks for it. One query."""
        found: models.Model = (
            apps.get_model(delivery.event_model)._base_manager.using(self.using).get(pk=delivery.event_id)
        )
        return found
