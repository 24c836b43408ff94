"""Capture by signals, for trackers that the database can't serve: save() and delete() of the ORM.

The state before is read from the database under a lock, never from the instance, and the state after is read back, so
that ``F()``, deferred fields and stale copies are right. Both reads, the change and its event share one transaction.
Receivers may save the same object again meanwhile; each save tells those that it happens within what is recorded now.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.apps import apps
from django.db import connections, models, router, transaction
from django.db.models import Case, CharField, Value, When
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from stockandflow.capture.methods import database_of, method_for
from stockandflow.declarations import ModelTracker, State, state_key
from stockandflow.exceptions import InvalidInput
from stockandflow.membership import MemberOf
from stockandflow.models.events import facet_values

logger = logging.getLogger(__name__)


def connect(tracker: ModelTracker) -> None:
    """Have the tracker's model watched through signals, where triggers can't; connecting twice changes nothing.

    A tracker that triggers serve on its database is left alone, so its saves cost nothing more.
    """
    with warnings.catch_warnings():
        # On MariaDB the SQL for a UUID depends on the server's version, and this is called while Django starts.
        warnings.filterwarnings("ignore", "Accessing the database during app initialization", RuntimeWarning)
        if method_for(tracker, connections[database_of(tracker)]).kind != "signals":
            return
    key = ("stockandflow", id(tracker))
    for model in _saved_as(tracker.model):
        pre_save.connect(
            _watcher(tracker, _before_save), sender=model, weak=False, dispatch_uid=(*key, "pre_save")
        )
        post_save.connect(
            _watcher(tracker, _after_save), sender=model, weak=False, dispatch_uid=(*key, "post_save")
        )
        _save_in_transaction(model)
    for model in _deleted_as(tracker.model):
        pre_delete.connect(
            _watcher(tracker, _before_delete), sender=model, weak=False, dispatch_uid=(*key, "pre_del")
        )
        post_delete.connect(
            _watcher(tracker, _after_delete), sender=model, weak=False, dispatch_uid=(*key, "post_del")
        )


def disconnect(tracker: ModelTracker) -> None:
    """Stop watching; the opposite of ``connect``."""
    key = ("stockandflow", id(tracker))
    for model in {*_saved_as(tracker.model), *_deleted_as(tracker.model)}:
        for signal, name in (
            (pre_save, "pre_save"),
            (post_save, "post_save"),
            (pre_delete, "pre_del"),
            (post_delete, "post_del"),
        ):
            signal.disconnect(sender=model, dispatch_uid=(*key, name))


def _saved_as(model: type[models.Model]) -> list[type[models.Model]]:
    """The classes whose save() can move an object of the model: itself, its proxies, its children and its parents."""
    concrete: Any = model._meta.concrete_model
    return [
        other
        for other in apps.get_models()
        if issubclass(other, concrete) or issubclass(concrete, other._meta.concrete_model or other)
    ]


def _deleted_as(model: type[models.Model]) -> list[type[models.Model]]:
    """The classes whose delete() signals the row's end; a child's deletion signals its parent's as well."""
    return [other for other in apps.get_models() if other._meta.concrete_model is model._meta.concrete_model]


def _watcher(tracker: ModelTracker, react: Callable[..., None]) -> Callable[..., None]:
    def receive(instance: models.Model, using: str, **_: Any) -> None:
        react(tracker, instance, using)

    return receive


def _save_in_transaction(model: type[models.Model]) -> None:
    """Have the model's saves open a transaction before pre_save; Django sends its signals outside its own."""
    if getattr(model.__dict__.get("save_base"), "is_stockandflows", False):
        return
    original = model.save_base

    @wraps(original)
    def save_base(self: models.Model, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or (args[3] if len(args) > 3 else None)
        using = using or router.db_for_write(type(self), instance=self)
        if not connections[using].in_atomic_block:
            with transaction.atomic(using=using):
                original(self, *args, **kwargs)
            return
        depth = len(_saves(using))
        try:
            original(self, *args, **kwargs)
        except BaseException:
            _settle(using, depth)
            raise

    save_base.is_stockandflows = True  # type: ignore[attr-defined]
    model.save_base = save_base  # type: ignore[method-assign]


def _settle(using: str, depth: int) -> None:
    """A save failed within a larger transaction, which may go on: record what it has written nevertheless.

    A receiver can fail after the row was written, and whoever catches that can commit the row.
    """
    for watch in reversed(_saves(using)[depth:]):
        _saves(using).remove(watch)
        if not connections[using].needs_rollback:
            try:
                _conclude(watch, using)
            except (
                Exception
            ):  # the error of the save itself is on its way; the transaction can't be committed
                logger.exception(
                    "The move of %r by a save that failed could not be recorded.", watch.instance
                )


Snapshot = tuple[Any, ...] | None
"""What decides the states: the tracked values for a function tracker, the one state's key for a derived one."""


def _read(tracker: ModelTracker, instance: models.Model, using: str, *, lock: bool = False) -> Snapshot:
    """The subject's row as the database has it; None where there is none."""
    if instance.pk is None:
        return None
    connection = connections[using]
    rows = tracker.model._base_manager.using(using).filter(pk=instance.pk).order_by()
    if tracker.derived:
        cases = [When(MemberOf(stock.queryset), then=Value(stock.slug)) for stock in tracker.stocks]
        values = rows.values_list(Case(*cases, default=Value(""), output_field=CharField()))
    else:
        values = rows.values_list(*tracker.fields_to_track)
    if lock and connection.features.has_select_for_update and connection.in_atomic_block:
        # On its own: the values may come over outer joins, which PostgreSQL can't lock.
        rows.select_for_update().values_list("pk").first()
    found = values.first()
    return None if found is None else tuple(found)


def _states(
    tracker: ModelTracker, before: Snapshot, after: Snapshot
) -> tuple[tuple[State, ...], tuple[State, ...]]:
    """The states before and after, element by element."""
    if tracker.derived:
        by_slug: dict[str, State] = {stock.slug: stock for stock in tracker.stocks}
        return (
            (by_slug.get(before[0]) if before else None,),
            (by_slug.get(after[0]) if after else None,),
        )
    states: Any = tracker.states_to_stocks_func  # a tracker has it where it isn't derived
    given = states(before, after if after is not None else before or ())
    try:
        sources, sinks = given
        pairs = tuple(sources), tuple(sinks)
        right = len(pairs[0]) == len(pairs[1]) and not isinstance(sources, str) and not isinstance(sinks, str)
    except (TypeError, ValueError):
        right = False
    if not right:
        raise InvalidInput(
            f"The states_to_stocks_func of the tracker {tracker.slug!r} returned {given!r}; it must return a pair of "
            "tuples of stocks of equal length, e.g. ((trial,), (active,)), with None for external."
        )
    if after is None:  # a deletion: from where the object was to outside
        return pairs[1], tuple(None for _ in pairs[1])
    return pairs


@dataclass(eq=False)
class _Watch:
    """A save or a deletion under way; ``known`` is what is recorded of the object, ``block`` the transaction."""

    tracker: ModelTracker
    instance: models.Model
    known: Snapshot
    block: Any
    facets: dict[str, str | None] | None = None


def _begin(tracker: ModelTracker, instance: models.Model, using: str) -> _Watch:
    """What is recorded comes from the saves that this one happens within, else from the row, which is locked."""
    around = _around(tracker, instance, using)
    known = around[-1].known if around else _read(tracker, instance, using, lock=True)
    blocks: Any = connections[
        using
    ].atomic_blocks  # none in autocommit, by a deserialized object's own save()
    return _Watch(tracker, instance, known, blocks[-1] if blocks else None)


def _saves(using: str) -> list[_Watch]:
    """The saves under way on this connection, outermost first; those whose transaction is over are dropped."""
    connection: Any = connections[using]
    kept: list[_Watch] = connection.__dict__.setdefault("stockandflow_saves", [])
    kept[:] = [watch for watch in kept if watch.block in (None, *connection.atomic_blocks)]
    return kept


def _deletions(using: str) -> dict[tuple[int, int], _Watch]:
    """The deletions under way on this connection, by the ids of tracker and instance; a cascade has many at once."""
    connection: Any = connections[using]
    kept: dict[tuple[int, int], _Watch] = connection.__dict__.setdefault("stockandflow_deletions", {})
    if kept and next(iter(kept.values())).block not in connection.atomic_blocks:
        for key in [key for key, watch in kept.items() if watch.block not in connection.atomic_blocks]:
            del kept[key]
    return kept


def _around(tracker: ModelTracker, instance: models.Model, using: str) -> list[_Watch]:
    """The deletion and the saves of the same object that something happens within, outermost first."""
    deletion = _deletions(using).get((id(tracker), id(instance)))
    found = [] if deletion is None else [deletion]
    for watch in _saves(using):
        same = watch.instance is instance or (instance.pk is not None and watch.instance.pk == instance.pk)
        if watch.tracker is tracker and same and watch.block is not None:
            found.append(watch)
    return found


def _conclude(watch: _Watch, using: str) -> None:
    """Record the move from what is known to where the row is now, and tell the saves around."""
    with transaction.mark_for_rollback_on_error(using=using):
        _record(watch, _read(watch.tracker, watch.instance, using), using)


def _record(watch: _Watch, after: Snapshot, using: str) -> None:
    tracker = watch.tracker
    if watch.known == after:
        return
    concrete: Any = tracker.model._meta.concrete_model
    subject = watch.instance
    if not isinstance(subject, concrete):
        # The saved parent stands for its child, which has the same key and is in the table.
        subject = tracker.model(pk=subject.pk)
        subject._state.adding, subject._state.db = False, using
    facets = watch.facets
    for source, sink in zip(*_states(tracker, watch.known, after), strict=True):
        if state_key(source) != state_key(sink):
            if facets is None:
                facets = facet_values(subject, tracker.applied_facets, using)
            tracker.events.record_move(
                tracker.flow_for(source, sink),
                subject,
                state_key(source),
                state_key(sink),
                tracker=tracker.slug,
                facets=facets,
                using=using,
            )
    for other in _around(tracker, watch.instance, using):
        other.known = after


def _before_save(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    watch = _begin(tracker, instance, using)
    _saves(using).append(watch)


def _after_save(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    saves = _saves(using)
    mine = next((w for w in reversed(saves) if w.tracker is tracker and w.instance is instance), None)
    if mine is not None:  # a project that sends post_save itself has written nothing
        saves.remove(mine)
        _conclude(mine, using)


def _before_delete(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    watch = _begin(tracker, instance, using)
    watch.facets = facet_values(
        instance, tracker.applied_facets, using
    )  # afterwards there is no row to be asked
    _deletions(using)[id(tracker), id(instance)] = watch


def _after_delete(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    watch = _deletions(using).pop((id(tracker), id(instance)), None)
    if watch is not None:
        with transaction.mark_for_rollback_on_error(using=using):
            _record(watch, None, using)
