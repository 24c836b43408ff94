"""Who may see what: processes, the objects behind their numbers, files of them; and which of the objects at all.

A process that a user may not see is hidden, and answers as if it didn't exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, cast

from django.contrib.auth import get_permission_codename
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import EmptyResultSet, PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _

from stockandflow.conf import scope_function
from stockandflow.declarations import Process
from stockandflow.exceptions import DeclarationError, UnknownSlug
from stockandflow.models import FlowEvent
from stockandflow.registry import Registry
from stockandflow.reports import Hidden
from stockandflow.site.naming import meant

PERMISSION = "stockandflow.view_process"
"""Needed to see a process that names no permission of its own."""
LISTING = "stockandflow.list_objects"
"""Needed to see the objects behind a number, with Django's permission to view their model."""
EXPORTING = "stockandflow.export_process"
"""Needed to take a process's numbers away, as a file, by the API or a feed, with the permission to view its models."""
SEEING = "stockandflow.view_scheduleentry"
"""Needed to see the page of the schedule: its entries, their messages and how far the records go."""
ACTING = "stockandflow.act_on_objects"
"""Needed to run a stock's actions on its members, with Django's permission to change their model."""

M = TypeVar("M", bound=Model)
E = TypeVar("E", bound=FlowEvent)

User = AnonymousUser | Any
"""Whatever the project's user model is, with ``has_perm``."""


def may_view(user: User, process: Process) -> bool:
    """Whether the user has the process's permission. Two queries for a user's first question, none for the next."""
    return bool(user.has_perm(process.permission or PERMISSION))


def visible(user: User, registry: Registry) -> list[Process]:
    """The processes that the user may see, in registered order."""
    return [process for process in registry.processes if may_view(user, process)]


def hidden_from(user: User, registry: Registry) -> Hidden:
    """The stocks and flows that stand in processes, none of which the user may see."""
    seen = visible(user, registry)
    rest = [process for process in registry.processes if process not in seen]
    if not rest:
        return Hidden()
    return Hidden(
        frozenset(_stocks(rest) - _stocks(seen)),
        frozenset(_flows(rest) - _flows(seen)),
    )


def _stocks(processes: Iterable[Process]) -> set[str]:
    return {stock.slug for process in processes for stock in process.stocks}


def _flows(processes: Iterable[Process]) -> set[str]:
    return {flow.slug for process in processes for flow in process.flows}


def names_any(text: str, slugs: Iterable[str]) -> bool:
    """Whether a text about a tracker names one of these stocks, as such texts quote them."""
    return any(repr(slug) in text for slug in slugs)


def process_or_404(user: User, registry: Registry, slug: str) -> Process:
    """The process with that slug; Http404, with one text for both, where there is none or the user may not see it.

    It names the one that may be meant, of those that the user may see.
    """
    try:
        process = registry.process(slug)
    except UnknownSlug:
        process = None
    if process is None or not may_view(user, process):
        known = [one.slug for one in visible(user, registry)]
        text = _("There is no process %r.") % slug
        raise Http404(" ".join(filter(None, (text, meant(slug, known)))))
    return process


def may_list(user: User, process: Process, model: type[Model]) -> bool:
    """Whether the user may see the objects of that model behind the process's numbers, and their events.

    Whoever may change a model may view it, as in Django's admin.
    """
    return (
        may_view(user, process)
        and bool(user.has_perm(LISTING))
        and (_has(user, "view", model) or _has(user, "change", model))
    )


def may_export(user: User, process: Process) -> bool:
    """Whether the user may take the process's numbers away, as a file, by the API or a feed.

    That is who may export and may view every model of its stocks.
    """
    return (
        may_view(user, process)
        and bool(user.has_perm(EXPORTING))
        and all(
            _has(user, "view", model) or _has(user, "change", model)
            for model in dict.fromkeys(stock.model for stock in process.stocks)
        )
    )


def may_act(user: User, process: Process, model: type[Model]) -> bool:
    """Whether the user may run actions on the members of the process's stocks of that model."""
    return may_view(user, process) and bool(user.has_perm(ACTING)) and _has(user, "change", model)


def _has(user: User, action: str, model: type[Model]) -> bool:
    options = model._meta
    return bool(user.has_perm(f"{options.app_label}.{get_permission_codename(action, options)}"))


class NotAllowed(PermissionDenied):
    """The user may not have it; ``wanted`` are the permissions for it, as ``app_label.codename``."""

    def __init__(self, text: str, wanted: Iterable[str] = ()) -> None:
        super().__init__(text)
        self.wanted = tuple(wanted)


def viewing(models: Iterable[type[Model]], action: str = "view") -> list[str]:
    """Django's permissions to view these models, or to do something else with them."""
    found = []
    for model in models:
        options = model._meta
        found.append(f"{options.app_label}.{get_permission_codename(action, options)}")
    return found


def scoped(request: HttpRequest, queryset: QuerySet[M]) -> QuerySet[M]:
    """Those of the objects that exist for this request: what the setting ``SCOPE`` leaves of the queryset.

    Without that setting it is the queryset as it is; an object is there once. No query but the project's own. Raises
    DeclarationError where the function can't be found, and where it gives anything but a queryset of the same model:
    nobody sees too much then.
    """
    function = scope_function()
    if function is None:
        return queryset
    left, wanted = function(request, queryset), queryset.model._meta
    if not isinstance(left, QuerySet) or left.model._meta.concrete_model is not wanted.concrete_model:
        given = f"a queryset of {left.model._meta.label}" if isinstance(left, QuerySet) else repr(left)
        raise DeclarationError(
            f"STOCKANDFLOW['SCOPE'] gave {given} for a queryset of {wanted.label}; return the queryset that was passed "
            "in, or what a filter leaves of it."
        )
    if len(left.query.alias_map) > len(queryset.query.alias_map):
        # Joined rows may give one object twice.
        left = queryset.filter(pk__in=left.order_by().values("pk"))
    return cast("QuerySet[M]", left)


def scoped_events(request: HttpRequest, events: QuerySet[E]) -> QuerySet[E]:
    """Those of the events, of one event model, whose subject exists for this request.

    Where the request sees all of the model the events are as they are, those of objects that are gone among them; of a
    part, an event whose subject is gone is nobody's. No query but the project's own.
    """
    subject: Any = events.model._meta.get_field("subject")
    if not narrows(request, subject.related_model):
        return events
    everybody: QuerySet[Any] = QuerySet(subject.related_model)
    seen = scoped(request, everybody).order_by().values(subject.target_field.name)
    return events.filter(subject_id__in=seen)


def is_scoped(request: HttpRequest, process: Process) -> bool:
    """Whether this request sees but a part of some model of the process, so that records would tell it too much.

    A queryset that asks the database anything else than the one passed in counts as narrowed, also where it only
    differs in its order. No query but the project's own.
    """
    return any(narrows(request, model) for model in subject_models(process))


def subject_models(process: Process) -> list[type[Model]]:
    """The models whose objects the process is about, each once."""
    stocks = [stock.model for stock in process.stocks]
    return list(dict.fromkeys([*stocks, *(flow.subject_model for flow in process.flows)]))


def narrows(request: HttpRequest, model: type[Model]) -> bool:
    """Whether this request sees but a part of the model's objects. No query but the project's own."""
    if scope_function() is None:
        return False
    everybody: QuerySet[Any] = QuerySet(model)
    return bool(_asked(scoped(request, everybody)) != _asked(QuerySet(model)))


def _asked(queryset: QuerySet[Any]) -> Any:
    try:
        return queryset.query.get_compiler(queryset.db).as_sql()
    except EmptyResultSet:
        return None
