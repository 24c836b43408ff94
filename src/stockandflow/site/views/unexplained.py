"""What nobody can explain of a process: when it arose, which objects it is, and the sweep that repairs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from stockandflow.capture import MissingMove, Skipped, repair
from stockandflow.declarations import ELSEWHERE, ModelTracker, Process
from stockandflow.registry import registry
from stockandflow.reports import ELSEWHERE_NAME, OUTSIDE, Causes, Hidden, causes
from stockandflow.site.access import (
    ACTING,
    NotAllowed,
    User,
    hidden_from,
    is_scoped,
    may_act,
    may_list,
    names_any,
    process_or_404,
    viewing,
)
from stockandflow.site.filters import Asked
from stockandflow.site.frames import Crumb, page_url, render_page
from stockandflow.site.links import timeline_url
from stockandflow.site.naming import place_name
from stockandflow.site.part import suppressed_page
from stockandflow.site.reporting import report
from stockandflow.site.telling import least_told
from stockandflow.site.uncounted import tells_nothing_counted


@dataclass(frozen=True)
class UnseenObject:
    """An object that moved unseen; ``known`` is what there is to say of one that is gone, "" for any other."""

    name: str
    url: str
    known: str


@dataclass(frozen=True)
class UnseenMove:
    """Moves that nobody saw, and the first objects that made them."""

    source: str
    sink: str
    count: int
    objects: tuple[UnseenObject, ...]
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
    found = report(request.user, request.GET, shown, timezone.now(), range_alone=True)
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
    hidden = hidden_from(request.user, registry)
    why = causes(found.balance.process, found.balance.since, found.balance.until)
    context = {
        "process": shown,
        "asked": found.asked,
        "balance": found.balance,
        "calendar": shown.calendar,
        "causes": why,
        "known": any(line.flows_known for line in found.balance.stocks)
        or not any(line.tracked for line in found.balance.stocks),
        "sights": list(_sights(why, hidden)),
        "moves": list(_unseen(request, shown, why, found.asked, hidden)),
        "can_repair": bool(_repairable(request.user, shown)),
    }
    above = Crumb(str(shown.name), page_url(request, "process", slug) + found.asked.query())
    return render_page(
        request, "stockandflow/unexplained.html", context, title=_("Unexplained"), crumbs=[above]
    )


def _sights(why: Causes, hidden: Hidden) -> Iterator[Sight]:
    kinds: dict[str, str] = {
        "triggers": _("triggers"),
        "related triggers": _("triggers on its table and on related ones"),
        "signals": _("signals"),
    }
    for watched in why.watched:
        yield Sight(
            tracker=watched.tracker.slug,
            by=kinds[watched.method.kind],
            unseen="; ".join(_(spot) for spot in watched.blind_spots if not names_any(spot, hidden.stocks)),
            left_out=_why(watched.audit.left_out, hidden),
        )


def _why(left_out: str, hidden: Hidden) -> str:
    """Why a tracker wasn't looked at, "" where it was; without the names of what is hidden."""
    if not names_any(left_out, hidden.stocks):
        return _(left_out) if left_out else ""
    return _("its stocks don’t tell where its objects are")


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
    hidden = hidden_from(request.user, registry)
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
                request,
                text % {"tracker": one.tracker.slug, "reason": _why(one.left_out, hidden)},
                fail_silently=True,
            )
    return HttpResponseRedirect(request.get_full_path())


def _unseen(
    request: HttpRequest, process: Process, why: Causes, asked: Asked, hidden: Hidden
) -> Iterator[UnseenMove]:
    """The moves that nobody saw. One query for each tracker of which an object is gone."""
    concerned = {stock.slug for stock in why.stocks}
    for watched in why.watched:
        names = {stock.slug: str(stock.name) for stock in watched.tracker.stocks}
        names[ELSEWHERE] = ELSEWHERE_NAME
        model = watched.tracker.model
        found: list[MissingMove | Skipped] = [*watched.audit.missing, *watched.audit.skipped]
        alike: dict[tuple[str, str, bool], list[MissingMove | Skipped]] = defaultdict(list)
        for move in found:
            if concerned & {move.source, move.sink}:
                ends = hidden.state(move.source), hidden.state(move.sink)
                alike[*ends, isinstance(move, Skipped)].append(move)
        objects: dict[str, UnseenObject] = {}
        if may_list(request.user, process, model):
            named = [one for moves in alike.values() for move in moves for one in move.objects]
            gone = _last_events(watched.tracker, {one.key for one in named if not one.name})
            for one in named:
                objects[one.key] = UnseenObject(
                    one.name or f"{capfirst(model._meta.verbose_name)} #{one.key}",
                    timeline_url(model, one.key, process, request),
                    "" if one.name else _deleted(gone.get(one.key), process, names, asked, hidden),
                )
        for (source, sink, passed), moves in alike.items():
            yield UnseenMove(
                source=place_name(names.get(source, OUTSIDE)),
                sink=place_name(names.get(sink, OUTSIDE)),
                count=sum(move.count for move in moves),
                objects=tuple(
                    objects[one.key] for move in moves for one in move.objects if one.key in objects
                ),
                passed=passed,
            )


def _last_events(tracker: ModelTracker, keys: set[str]) -> dict[str, Any]:
    """Key as text → the last event of the tracker about that object. One query where there are keys."""
    if not keys:
        return {}
    events: Any = tracker.events._base_manager.using(tracker.database).filter(tracker=tracker.slug)
    latest = events.filter(subject_id=OuterRef("subject_id")).order_by("-timestamp", "-id").values("pk")[:1]
    found = events.filter(subject_id__in=keys, pk=Subquery(latest))
    return {str(event.subject_id): event for event in found}


def _deleted(event: Any, process: Process, names: Mapping[str, str], asked: Asked, hidden: Hidden) -> str:
    """What is known of an object that is gone: where its last event led and when, and the facet values it had."""
    facts = [_("deleted")]
    if event is not None:
        if name := names.get(hidden.state(event.sink)):
            day = date_format(process.calendar.local_date(event.timestamp), "DATE_FORMAT")
            facts.append(_("in %(stock)s since %(day)s") % {"stock": place_name(name), "day": day})
        facts += [
            f"{name} {asked.values.get(slug, {}).get(str(value), value)}"
            for slug, name in asked.facets.items()
            if (value := event.facets.get(slug)) is not None
        ]
    return ", ".join(facts)
