"""What nobody can explain of a process: when it arose, which objects it is, and the sweep that repairs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from stockandflow.capture import MissingMove, Named, Skipped, repair
from stockandflow.declarations import ModelTracker, Process
from stockandflow.registry import registry
from stockandflow.reports import OUTSIDE, Causes, causes
from stockandflow.site.access import (
    ACTING,
    NotAllowed,
    User,
    hidden_stocks,
    is_scoped,
    may_act,
    may_list,
    names_any,
    process_or_404,
    viewing,
)
from stockandflow.site.frames import Crumb, page_url, render_page
from stockandflow.site.links import timeline_url
from stockandflow.site.naming import place_name
from stockandflow.site.part import suppressed_page
from stockandflow.site.reporting import report
from stockandflow.site.telling import least_told
from stockandflow.site.uncounted import tells_nothing_counted


@dataclass(frozen=True)
class UnseenMove:
    """Moves that nobody saw, and the first objects that made them: (name, address, "" where it leads nowhere)."""

    source: str
    sink: str
    count: int
    objects: tuple[tuple[str, str], ...]
    passed: bool
    """Whether the objects have moved on since, by an event that was seen."""

    @property
    def more(self) -> int:
        """How many objects aren't named."""
        return self.count - len(self.objects)


@dataclass(frozen=True)
class Sight:
    """How the moves of a tracker are seen, in the reader's language."""

    tracker: str
    by: str
    unseen: str
    left_out: str
    """Why it wasn't looked at, "" where it was."""


@require_http_methods(["GET", "HEAD", "POST"])
@csrf_protect
@login_required
@tells_nothing_counted
def unexplained(request: HttpRequest, slug: str) -> HttpResponse:
    """Why a process changed over its range without events; by POST a sweep writes the moves that are missing.

    The queries are those of ``reports.balance`` and ``reports.causes``; a sweep takes as long as
    ``manage.py stockandflow sweep`` does.
    """
    shown = process_or_404(request.user, registry, slug)
    if is_scoped(request, shown):
        return render_page(request, "stockandflow/part.html", {"process": shown}, title=_("Unexplained"))
    if request.method == "POST":
        return _repaired(request, shown)
    found = report(request.user, request.GET, shown, timezone.now())
    if least := least_told(request.user, shown):
        return suppressed_page(
            request,
            shown,
            found.asked,
            replace(found.balance, least=least),
            title=_("Unexplained"),
            crumbs=[Crumb(str(shown.name), page_url(request, "process", slug) + found.asked.query())],
            text=_("When it arose and which moves are missing is told to who may list the objects."),
        )
    why = causes(found.balance.process, found.balance.since, found.balance.until)
    context = {
        "process": shown,
        "asked": found.asked,
        "balance": found.balance,
        "calendar": shown.calendar,
        "causes": why,
        "sights": list(_sights(why, hidden_stocks(request.user, registry))),
        "moves": list(_unseen(request, shown, why)),
        "can_repair": bool(_repairable(request.user, shown)),
    }
    above = Crumb(str(shown.name), page_url(request, "process", slug) + found.asked.query())
    return render_page(
        request, "stockandflow/unexplained.html", context, title=_("Unexplained"), crumbs=[above]
    )


def _sights(why: Causes, hidden: set[str]) -> Iterator[Sight]:
    kinds: dict[str, str] = {
        "triggers": _("triggers"),
        "related triggers": _("triggers on its table and on related ones"),
        "signals": _("signals"),
    }
    for watched in why.watched:
        yield Sight(
            tracker=watched.tracker.slug,
            by=kinds[watched.method.kind],
            unseen="; ".join(_(spot) for spot in watched.blind_spots if not names_any(spot, hidden)),
            left_out=_(watched.audit.left_out) if watched.audit.left_out else "",
        )


def _trackers(process: Process) -> list[ModelTracker]:
    found = (stock.registry.tracker_of(stock) for stock in process.stocks)
    return list(dict.fromkeys(tracker for tracker in found if tracker is not None))


def _repairable(user: User, process: Process) -> list[ModelTracker]:
    """The trackers whose subjects the user may act on."""
    return [tracker for tracker in _trackers(process) if may_act(user, process, tracker.model)]


def _repaired(request: HttpRequest, process: Process) -> HttpResponse:
    trackers = _repairable(request.user, process)
    if not trackers:
        raise NotAllowed(
            _("A repair takes the permission to act on the objects and to change them."),
            [ACTING, *viewing((one.model for one in _trackers(process)), "change")],
        )
    done = [
        one for tracker in trackers for one in repair(registry, using=tracker.database, slugs=[tracker.slug])
    ]
    written = sum(one.found for one in done)
    text = ngettext("%(number)d missing move was written.", "%(number)d missing moves were written.", written)
    messages.success(request, text % {"number": written}, fail_silently=True)
    for one in done:
        if one.left_out:
            text = _("%(tracker)s was left out, since %(reason)s.")
            messages.warning(
                request, text % {"tracker": one.tracker.slug, "reason": one.left_out}, fail_silently=True
            )
    return HttpResponseRedirect(request.get_full_path())


def _unseen(request: HttpRequest, process: Process, why: Causes) -> Iterator[UnseenMove]:
    names = {stock.slug: str(stock.name) for one in why.watched for stock in one.tracker.stocks}
    names |= dict.fromkeys(hidden_stocks(request.user, registry), _("a process that you may not see"))
    concerned = {stock.slug for stock in why.stocks}
    for watched in why.watched:
        model = watched.tracker.model
        listed = may_list(request.user, process, model)

        def named(one: Named, model: type = model) -> tuple[str, str]:
            return f"{one.name or one.key}", timeline_url(
                model, one.key, process, request
            ) if one.name else ""

        found: list[MissingMove | Skipped] = [*watched.audit.missing, *watched.audit.skipped]
        for move in found:
            if concerned & {move.source, move.sink}:
                yield UnseenMove(
                    source=place_name(names.get(move.source, OUTSIDE)),
                    sink=place_name(names.get(move.sink, OUTSIDE)),
                    count=move.count,
                    objects=tuple(map(named, move.objects)) if listed else (),
                    passed=isinstance(move, Skipped),
                )
