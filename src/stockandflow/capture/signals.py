"""Capture by signals, for trackers that the database can't serve: save() and delete() of the ORM.

The state before is read from the database under a lock, never from the instance, and the state after is read back, so
that ``F()``, deferred fields and stale copies are right. Both reads, the change and its event share one transaction.
Receivers may save the same object again meanwhile; each save tells those that it happens within what is recorded now.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.apps import apps
from django.db import connections, models, router, transaction
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from stockandflow.capture import values
from stockandflow.capture.methods import database_of, method_for, saved_as
from stockandflow.capture.recorded import recorded
from stockandflow.capture.silence import is_silent
from stockandflow.capture.values import Judge, Kept, Move, Snapshot
from stockandflow.declarations import ModelTracker

logger = logging.getLogger(__name__)

_watched: dict[type[models.Model], list[ModelTracker]] = {}
"""Model → the trackers whose subjects its saves can move, where signals capture them."""


def watching(model: type[models.Model], using: str) -> list[ModelTracker]:
    """The trackers that signals serve now and whose subjects a write through that model can move."""
    return [] if is_silent(using) else _watched.get(model, [])


def connect(tracker: ModelTracker) -> None:
    """Have the tracker's model watched through signals, where triggers can't; connecting twice changes nothing.

    A tracker that triggers serve on its database is left alone, so its saves cost nothing more.
    """
    with warnings.catch_warnings():
        # On MariaDB the SQL for a UUID depends on the server's version, and this is called while Django starts.
        warnings.filterwarnings("ignore", "Accessing the database during app initialization", RuntimeWarning)
        if method_for(tracker, connections[database_of(tracker)]).by_triggers:
            return
    key = ("stockandflow", id(tracker))
    for model in saved_as(tracker.model):
        pre_save.connect(
            _watcher(tracker, _before_save), sender=model, weak=False, dispatch_uid=(*key, "pre_save")
        )
        post_save.connect(
            _watcher(tracker, _after_save), sender=model, weak=False, dispatch_uid=(*key, "post_save")
        )
        _save_in_transaction(model)
        if tracker not in _watched.setdefault(model, []):
            _watched[model].append(tracker)
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
    for model in {*saved_as(tracker.model), *_deleted_as(tracker.model)}:
        for signal, name in (
            (pre_save, "pre_save"),
            (post_save, "post_save"),
            (pre_delete, "pre_del"),
            (post_delete, "post_del"),
        ):
            signal.disconnect(sender=model, dispatch_uid=(*key, name))
    for model in saved_as(tracker.model):
        if tracker in _watched.get(model, []):
            _watched[model].remove(tracker)
            if not _watched[model]:
                del _watched[model]
                _save_as_before(model)


def _deleted_as(model: type[models.Model]) -> list[type[models.Model]]:
    """The classes whose delete() signals the row's end; a child's deletion signals its parent's as well."""
    return [other for other in apps.get_models() if other._meta.concrete_model is model._meta.concrete_model]


def _watcher(tracker: ModelTracker, react: Callable[..., None]) -> Callable[..., None]:
    def receive(instance: models.Model, using: str, **_: Any) -> None:
        react(tracker, instance, using)

    return receive


def _save_in_transaction(model: type[models.Model]) -> None:
    """Have the model's saves open a transaction before pre_save; Django sends its signals outside its own."""
    own: Any = model.__dict__.get("save_base")
    if hasattr(own, "stockandflow_replaces"):
        return

    @wraps(model.save_base)
    def save_base(self: models.Model, *args: Any, **kwargs: Any) -> None:
        inherited: Any = super(model, self)
        original = inherited.save_base if own is None else own.__get__(self)
        # Somebody may have put a method of their own over ours, which then outlives its purpose.
        if model not in _watched:
            original(*args, **kwargs)
            return
        using = kwargs.get("using") or (args[3] if len(args) > 3 else None)
        using = using or router.db_for_write(type(self), instance=self)
        if not connections[using].in_atomic_block:
            with transaction.atomic(using=using):
                original(*args, **kwargs)
            return
        depth = len(_saves(using))
        try:
            original(*args, **kwargs)
        except BaseException:
            _settle(using, depth)
            raise

    save_base.stockandflow_replaces = own  # type: ignore[attr-defined]
    model.save_base = save_base  # type: ignore[method-assign]


def _save_as_before(model: type[models.Model]) -> None:
    """Take ``_save_in_transaction`` back, unless somebody has put a method of their own over it."""
    ours: Any = model.__dict__.get("save_base")
    if not hasattr(ours, "stockandflow_replaces"):
        return
    if ours.stockandflow_replaces is None:
        del model.save_base
    else:
        model.save_base = ours.stockandflow_replaces  # type: ignore[method-assign]


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


@dataclass(eq=False)
class _Watch:
    """A save or a deletion under way; ``known`` is what is recorded of the object, ``block`` the transaction."""

    tracker: ModelTracker
    instance: models.Model
    known: Snapshot
    block: Any
    kept: Kept | None = None

    @property
    def key(self) -> Any:
        """The subject's primary key, None until it is saved for the first time."""
        return _key(self.tracker, self.instance)


def _key(tracker: ModelTracker, instance: models.Model) -> Any:
    """The primary key of the subject that an instance of its model, of a child or of a parent stands for."""
    concrete: Any = tracker.model._meta.concrete_model
    if not isinstance(instance, concrete):
        return instance.pk
    field = concrete._meta.pk
    while getattr(instance, field.attname) is None and field.remote_field is not None:
        field = (
            field.target_field
        )  # a child that was deleted, in vain, has lost its own key but not its parent's
    return getattr(instance, field.attname)


def _one(found: Mapping[Any, Snapshot]) -> Snapshot:
    return next(iter(found.values()), None)


def _begin(tracker: ModelTracker, instance: models.Model, using: str) -> _Watch:
    """What is recorded comes from the saves that this one happens within, else from the row, which is locked."""
    around = _around(tracker, instance, using)
    key = _key(tracker, instance)
    found = recorded(tracker, [key], using) if not around and key is not None else {}
    known = around[-1].known if around else _one(found)
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
        if watch.tracker is tracker and watch.block is not None:
            key = _key(tracker, instance)
            if watch.instance is instance or (key is not None and watch.key == key):
                found.append(watch)
    return found


def under_way(tracker: ModelTracker, using: str) -> dict[Any, Snapshot]:
    """Primary key → what is recorded of those objects that are being saved or deleted just now."""
    return {watch.key: watch.known for watch in _watches(tracker, using)}


def tell(tracker: ModelTracker, recorded: Mapping[Any, Snapshot], using: str) -> None:
    """Tell the saves and deletions under way what else has recorded of their objects, by primary key."""
    for watch in _watches(tracker, using):
        if watch.key in recorded:
            watch.known = recorded[watch.key]


def _watches(tracker: ModelTracker, using: str) -> list[_Watch]:
    found = [*_deletions(using).values(), *(watch for watch in _saves(using) if watch.block is not None)]
    return [watch for watch in found if watch.tracker is tracker]


def _conclude(watch: _Watch, using: str) -> None:
    """Record the move from what is known to where the row is now, and tell the saves around."""
    with transaction.mark_for_rollback_on_error(using=using):
        key = watch.key
        _record(watch, None if key is None else _one(values.read(watch.tracker, [key], using)), using)


def _record(watch: _Watch, after: Snapshot, using: str) -> None:
    key = watch.key
    moves = Judge(watch.tracker).moves(watch.known, after)
    values.write(
        watch.tracker, [Move(key, source, sink) for source, sink in moves], using, lambda _: watch.kept
    )
    for other in _around(watch.tracker, watch.instance, using):
        other.known = after


def _before_save(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    if is_silent(using):
        return
    watch = _begin(tracker, instance, using)
    _saves(using).append(watch)


def _after_save(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    saves = _saves(using)
    mine = next((w for w in reversed(saves) if w.tracker is tracker and w.instance is instance), None)
    if mine is not None:  # a project that sends post_save itself has written nothing
        saves.remove(mine)
        _conclude(mine, using)


def _before_delete(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    if is_silent(using):
        return
    watch = _begin(tracker, instance, using)
    # Afterwards there is no row to be asked.
    watch.kept = next(iter(values.kept(tracker, [watch.key], using).values()), None)
    _deletions(using)[id(tracker), id(instance)] = watch


def _after_delete(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    watch = _deletions(using).pop((id(tracker), id(instance)), None)
    if watch is not None:
        with transaction.mark_for_rollback_on_error(using=using):
            _record(watch, None, using)
