"""The objects behind one number, or the events, and what can be done with the members of a stock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.contrib.messages import get_messages
from django.db import connections
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from stockandflow.declarations import Process
from stockandflow.exceptions import InvalidInput
from stockandflow.ranges import described
from stockandflow.registry import registry
from stockandflow.reports import Hidden, Kind, Listed, Number, listed
from stockandflow.site.access import (
    ACTING,
    LISTING,
    NotAllowed,
    hidden_from,
    may_act,
    may_list,
    process_or_404,
    scoped,
    subject_models,
    viewing,
)
from stockandflow.site.columns import admin_of
from stockandflow.site.exports import export, export_links, list_file, list_of
from stockandflow.site.filters import Field
from stockandflow.site.frames import Crumb, framed_by, page_url, render_page
from stockandflow.site.links import (
    FACET,
    check_sides,
    checked_key,
    number_parameters,
    read_number,
    undeclared_sides,
)
from stockandflow.site.lists import facet_fields, in_scope, keeping, list_page
from stockandflow.site.naming import heading, sides, when

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

TEMPLATE = "stockandflow/objects.html"
CHOSEN = "_selected_action"
"""The parameter that the admin's actions have the chosen keys in."""


@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def objects(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The list behind the number that the address names: a page of it, a file, or by POST an action on its members.

    What names no number is told (400), and so is what can't be listed. The queries are those for the user, those of
    ``reports.listed``, one for each facet whose values are a queryset, and those of ``list_page``.
    """
    process = process_or_404(request.user, registry, slug)
    crumbs = [Crumb(str(process.name), page_url(request, "process", process.slug))]
    parameters, hidden = _parameters(request.GET), hidden_from(request.user, registry)
    try:
        number = replace(read_number(parameters, process), elsewhere=hidden.stocks)
    except InvalidInput as error:
        return _told(request, process, crumbs, str(error), title=_("Objects"), status=400)
    # A heading names the sides; what the address made up isn't named.
    title = _("Objects") if undeclared_sides(number, process) else heading(number, process)
    if not all(may_list(request.user, process, model) for model in _models(number, process)):
        text = _("You may see this process's numbers, but not the objects behind them.")
        raise NotAllowed(text, [LISTING, *viewing(_models(number, process))])
    try:
        check_sides(number, process)
    except InvalidInput as error:
        return _told(request, process, crumbs, str(error), title=title, status=400)
    try:
        found = in_scope(request, process, listed(number))
    except InvalidInput as error:
        return _told(request, process, crumbs, str(error), title=heading(number, process), number=number)
    if made := export(request, process, partial(_file, number, process, found, hidden), of_part=True):
        return made
    declaration = number.stock if number.kind is Kind.LEVEL else None
    admin = admin_of(request, declaration) if declaration else None
    if request.method == "POST":
        return acted(request, process, admin, found)
    acting = admin if admin and may_act(request.user, process, found.model) else None
    context = {
        **_asked(number, process),
        "process": process,
        "page": list_page(request, process, number, found, admin, hidden),
        "actions": actions_of(acting, request),
        "is_past": number.until is not None,
        "work_url": _work_url(request, process, number),
        "exports": export_links(request.user, process, lambda **changes: keeping(request.GET, **changes)),
        "admin_url": _admin_url(request, admin, number),
        "messages_here": [] if framed_by(request) else get_messages(request),
    }
    return render_page(request, TEMPLATE, context, title=heading(number, process), crumbs=crumbs)


def _parameters(given: Mapping[str, str]) -> dict[str, str]:
    """What the address says; of the form of filters nothing that was left empty."""
    empty = {name for name, text in given.items() if not text and name.startswith((FACET, "since", "until"))}
    left_out = empty if "filter" in given else set()
    return {name: text for name, text in given.items() if name not in left_out}


def _models(number: Number, process: Process) -> list[type[Model]]:
    """The models that the number may be about."""
    if number.stock is not None:
        return [number.stock.model]
    return [number.flow.subject_model] if number.flow is not None else subject_models(process)


def _asked(number: Number, process: Process) -> dict[str, Any]:
    """What the page says of the number, and the form that asks for another one."""
    calendar = process.calendar
    ends = {"until": _("As of the beginning of")}
    if number.kind is not Kind.LEVEL:
        ends = {"since": _("From"), "until": _("Until, not included")}
    fields = [
        Field(name, label, "" if at is None else described(at, calendar))
        for name, label in ends.items()
        for at in [number.since if name == "since" else number.until]
    ]
    selects = facet_fields(number, process)
    asked_anew = {"value", *ends, *(field.name for field in selects)}
    return {
        "number": number,
        "kept": [
            *(
                (name, text)
                for name, text in number_parameters(number, process).items()
                if name not in asked_anew
            ),
            ("filter", "1"),
        ],
        "sides": sides(number, process),
        "when": when(number, calendar),
        "calendar": calendar,
        "ends": fields,
        "selects": selects,
    }


def _told(
    request: HttpRequest,
    process: Process,
    crumbs: list[Crumb],
    text: str,
    *,
    title: str,
    number: Number | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page without a list, which says why there is none."""
    asked = _asked(number, process) if number else {}
    context = {**asked, "process": process, "why_not": text}
    return render_page(request, TEMPLATE, context, title=title, crumbs=crumbs, status=status)


def _file(number: Number, process: Process, found: Listed, hidden: Hidden, kind: str) -> HttpResponseBase:
    rows: Any = found.objects if found.objects is not None else found.events
    facts = {"process": process.slug, "number": str(replace(number, value=None))}
    listed = list_of(rows.order_by("pk"), hidden)
    return list_file(f"{process.slug}_{number.kind}", *listed, facts, kind)


def actions_of(admin: ModelAdmin[Any] | None, request: HttpRequest) -> list[tuple[str, str]]:
    """The actions that the user may run, by name and label; none without an admin. Those for the user's permissions."""
    if admin is None:
        return []
    return [(name, str(label)) for name, label in admin.get_action_choices(request, default_choices=[])]


def _admin_url(request: HttpRequest, admin: ModelAdmin[Any] | None, number: Number) -> str:
    """The address of the stock's list in the admin, "" where the user has none or it isn't this list."""
    if (
        admin is None
        or number.until is not None
        or number.slice
        or not admin.admin_site.has_permission(request)
    ):
        return ""
    options = admin.opts
    try:
        return reverse(f"{admin.admin_site.name}:{options.app_label}_{options.model_name}_changelist")
    except NoReverseMatch:
        return ""  # a site that has no addresses


def _work_url(request: HttpRequest, process: Process, number: Number) -> str:
    """Where the list's members are worked through, one at a time; "" where they are no members now."""
    if number.kind is not Kind.LEVEL or number.until is not None or number.stock is None:
        return ""
    facets = urlencode({f"{FACET}{slug}": key for slug, key in number.slice})
    return page_url(request, "work", process.slug, number.stock.slug) + (f"?{facets}" if facets else "")


def acted(
    request: HttpRequest, process: Process, admin: ModelAdmin[Any] | None, found: Listed
) -> HttpResponseBase:
    """Run the action that was posted on the chosen objects, as far as they are in the stock now.

    An action may answer with a page of its own, which posts here again.
    """
    if admin is None or not may_act(request.user, process, found.model):
        raise NotAllowed(
            _("You may not run actions on these objects."), [ACTING, *viewing([found.model], "change")]
        )
    try:
        for text in request.POST.getlist(CHOSEN):
            checked_key(found.model._meta.pk, text)
    except ValueError:
        return HttpResponse(_("No object has such a key."), status=400, content_type="text/plain")
    members = scoped(request, admin.get_queryset(request))
    if request.POST.get("select_across") not in (None, "", "0") and found.objects is not None:
        members = members.filter(pk__in=_keys(found.objects, members.db))
    response = admin.response_action(request, queryset=members)
    return response or HttpResponseRedirect(request.get_full_path())


def _keys(rows: QuerySet[Any], using: str) -> Any:
    """The keys of the rows; read where the database can't ask a table that it is about to change."""
    keys = rows.order_by().values_list("pk", flat=True)
    return keys if connections[using].features.update_can_self_select else list(keys)
