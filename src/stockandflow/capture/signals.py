"""Capture by signals, for trackers that the database can't serve: save() and delete() of the ORM.

The state before is read from the database under a lock, never from the instance, and the state after is read back, so
that ``F()``, deferred fields and stale copies are right. Both reads, the change and its event share one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
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

BEFORE = "_stockandflow_before"


def connect(tracker: ModelTracker) -> None:
    """Have the tracker's model watched through signals, where triggers can't; connecting twice changes nothing.

    No query; a tracker that triggers serve on its database is left alone, so its saves cost nothing more.
    """
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
    """The classes whose save() writes rows of the model: itself, its proxies and its children."""
    concrete = model._meta.concrete_model
    return [other for other in apps.get_models() if concrete is not None and issubclass(other, concrete)]


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
        depths = {key: len(stack) for key, stack in self.__dict__.get(BEFORE, {}).items()}
        try:
            with transaction.atomic(using=using, savepoint=False):
                original(self, *args, **kwargs)
        except BaseException:
            # A save that failed never sent post_save, so what pre_save noted down is still there.
            for key, stack in self.__dict__.get(BEFORE, {}).items():
                del stack[depths.get(key, 0) :]
            raise

    save_base.is_stockandflows = True  # type: ignore[attr-defined]
    model.save_base = save_base  # type: ignore[method-assign]


Snapshot = tuple[Any, ...] | None
"""What decides the states: the tracked values for a function tracker, the one state's key for a derived one."""


def _read(tracker: ModelTracker, instance: models.Model, using: str, *, lock: bool = False) -> Snapshot:
    """The subject's row as the database has it; None where there is none."""
    if instance.pk is None:
        return None
    rows = tracker.model._base_manager.using(using).filter(pk=instance.pk).order_by()
    if tracker.derived:
        cases = [When(MemberOf(stock.queryset), then=Value(stock.slug)) for stock in tracker.stocks]
        values = rows.values_list(Case(*cases, default=Value(""), output_field=CharField()))
    else:
        values = rows.values_list(*tracker.fields_to_track)
    if lock and connections[using].features.has_select_for_update:
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
    except (TypeError, ValueError):
        pairs = ((), (None,))
    if len(pairs[0]) != len(pairs[1]):
        raise InvalidInput(
            f"The states_to_stocks_func of the tracker {tracker.slug!r} returned {given!r}; it must return a pair of "
            "tuples of stocks of equal length, e.g. ((trial,), (active,)), with None for external."
        )
    if after is None:  # a deletion: from where the object was to outside
        return pairs[1], tuple(None for _ in pairs[1])
    return pairs


def _write(
    tracker: ModelTracker,
    instance: models.Model,
    using: str,
    before: Snapshot,
    after: Snapshot,
    facets: dict[str, str | None] | None,
) -> None:
    for source, sink in zip(*_states(tracker, before, after), strict=True):
        if state_key(source) != state_key(sink):
            if facets is None:
                facets = facet_values(instance, tracker.applied_facets, using)
            tracker.events.record_move(
                tracker.flow_for(source, sink),
                instance,
                state_key(source),
                state_key(sink),
                tracker=tracker.slug,
                facets=facets,
                using=using,
            )


def _stack(instance: models.Model, tracker: ModelTracker) -> list[Any]:
    """What was read before, per tracker; a stack, since a receiver may save the same instance again."""
    kept: dict[int, list[Any]] = instance.__dict__.setdefault(BEFORE, {})
    return kept.setdefault(id(tracker), [])


def _before_save(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    _stack(instance, tracker).append(_read(tracker, instance, using, lock=True))


def _after_save(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    before, after = _stack(instance, tracker).pop(), _read(tracker, instance, using)
    if before != after:
        _write(tracker, instance, using, before, after, None)


def _before_delete(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    facets = facet_values(instance, tracker.applied_facets, using)
    _stack(instance, tracker).append((_read(tracker, instance, using, lock=True), facets))


def _after_delete(tracker: ModelTracker, instance: models.Model, using: str) -> None:
    before, facets = _stack(instance, tracker).pop()
    if before is not None:
        _write(tracker, instance, using, before, None, facets)
