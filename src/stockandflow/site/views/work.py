"""Work through a stock: one member at a time, with the actions of the stock's admin."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.contrib.messages import get_messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from stockandflow.exceptions import InvalidInput
from stockandflow.registry import registry
from stockandflow.reports import Kind, Listed
from stockandflow.site.access import LISTING, NotAllowed, may_act, may_list, process_or_404, scoped, viewing
from stockandflow.site.columns import admin_of, columns_of, related_of
from stockandflow.site.frames import Crumb, framed_by, page_url, render_page
from stockandflow.site.links import FACET, read_number, subject_key, timeline_url
from stockandflow.site.sequence import AT, StockSequencer, work_at
from stockandflow.site.views.objects import acted, actions_of

BACK = "back"
"""The parameter with a place from which to look backwards, should its object have left."""


@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def work(request: HttpRequest, slug: str, stock: str) -> HttpResponseBase:
    """One member of a stock, and the way to those beside it; by POST an action on it.

    ``at`` and ``back`` hold the place of the member that is wanted; without them it is the first, or with ``step=last``
    the last. Where it has left the stock, the next one is shown, or the one before. Four queries beside those for the
    user.
    """
    process = process_or_404(request.user, registry, slug)
    shown = next((one for one in process.stocks if one.slug == stock), None)
    if shown is None:
        raise Http404(f"The process {slug!r} has no stock {stock!r}.")
    if not may_list(request.user, process, shown.model):
        raise NotAllowed(
            _("You may see this process's numbers, but not the objects behind them."),
            [LISTING, *viewing([shown.model])],
        )
    facets = {name: request.GET[name] for name in request.GET if name.startswith(FACET) and request.GET[name]}
    crumbs = [
        Crumb(str(process.name), page_url(request, "process", process.slug)),
        Crumb(str(shown.name), page_url(request, "stock", process.slug, shown.slug)),
    ]
    context: dict[str, Any] = {"process": process, "stock": shown}
    title = _("Work through %s") % shown.name
    try:
        number = read_number({"kind": Kind.LEVEL.value, "stock": shown.slug, **facets}, process)
        members = shown.members_with(dict(number.slice)) if number.slice else shown.all()
        admin = admin_of(request, shown)
        columns = columns_of(shown.model, admin, request)
        members = scoped(request, members)
        if related := related_of(columns, admin):
            members = members.select_related(*related)
        sequencer = StockSequencer(shown, members=members)
        asked = request.GET.get(AT) or request.GET.get(BACK) or ""
        if asked:
            subject = sequencer.at(asked, forward=AT in request.GET)
        else:
            subject = sequencer.last() if request.GET.get("step") == "last" else sequencer.first()
    except InvalidInput as error:
        return render_page(
            request,
            "stockandflow/work.html",
            {**context, "why_not": str(error)},
            title=title,
            crumbs=crumbs,
            status=400,
        )
    if request.method == "POST":
        return acted(request, process, admin, Listed(shown.model, None))

    def query(**changes: str) -> str:
        return f"?{urlencode({**facets, **changes})}"

    context |= {"first": query(), "last": query(step="last"), "is_through": bool(asked)}
    context["messages_here"] = [] if framed_by(request) else get_messages(request)
    if subject is not None:
        here = work_at(sequencer, subject)
        key = getattr(subject, subject_key(shown.model, process).attname)
        context |= {
            "subject": subject,
            "work": here,
            "has_left": bool(asked) and asked != here.place,
            "this": query(**{AT: here.place}),
            "next": query(**{AT: here.next_place}) if here.next_place else "",
            "previous": query(**{BACK: here.previous_place}) if here.previous_place else "",
            "facts": [(column.label, column.cell(subject, process.calendar)) for column in columns],
            "timeline": timeline_url(shown.model, key, process, request),
            "actions": actions_of(admin if may_act(request.user, process, shown.model) else None, request),
        }
    return render_page(request, "stockandflow/work.html", context, title=title, crumbs=crumbs)
