"""The schedule and the capture: what ran, what failed, what is due, and what somebody must see to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from stockandflow.automation import delivery_databases, replay
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Delivery, ScheduleRun
from stockandflow.models.clock import database_now
from stockandflow.periodic import Result, State, overview, run, run_period, schedule, silence
from stockandflow.periods import Calendar
from stockandflow.ranges import instant
from stockandflow.registry import registry
from stockandflow.site.access import SEEING, NotAllowed, hidden_from
from stockandflow.site.frames import framed_by, page_url, render_page
from stockandflow.site.status import captured, entry_shown, freshness, outboxes, period_words, summary

TRACEBACKS = "stockandflow.view_schedulerun"
RUNNING = "stockandflow.run_scheduleentry"
DELIVERIES = "stockandflow.view_delivery"
REPLAYING = "stockandflow.replay_delivery"
CAPTURE = "stockandflow.view_sweep"


@transaction.non_atomic_requests  # an entry has transactions of its own
@csrf_protect
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def status(request: HttpRequest) -> HttpResponse:
    """The entries of the schedule, the records, the deliveries and the capture, as far as the user may see them.

    A POST runs an entry, or one of its missed periods, or has dead deliveries tried again, and leads back here. The
    queries are those for the user, one for the instant, six for the schedule and one for its silence, two for the
    records, two for each database with deliveries, and those of ``explain`` for the capture.
    """
    user: Any = request.user
    if not user.has_perm(SEEING):
        raise NotAllowed(_("You need the permission to view the entries of the schedule."), [SEEING])
    if request.method == "POST":
        return _act(request)
    at = database_now(router.db_for_read(ScheduleRun))
    entries = [entry_shown(found, at) for found in overview(schedule, now=at)]
    context = {
        "entries": entries,
        "summary": summary(entries),
        "silence": silence(schedule, now=at),
        "freshness": freshness(),
        "outboxes": outboxes(registry) if user.has_perm(DELIVERIES) else None,
        "trackers": list(captured(registry, hidden_from(user, registry).stocks))
        if user.has_perm(CAPTURE)
        else None,
        "calendar": Calendar.default(),
        "at": at,
        "sees_tracebacks": user.has_perm(TRACEBACKS),
        "may_run": user.has_perm(RUNNING),
        "may_replay": user.has_perm(REPLAYING),
        "dead_url": _admin_url(request, "delivery", "?status__exact=dead"),
        "runs_url": _admin_url(request, "schedulerun"),
        "messages_here": messages.get_messages(request) if framed_by(request) is None else (),
    }
    return render_page(request, "stockandflow/status.html", context, title=_("Schedule and status"))


def _admin_url(request: HttpRequest, model: str, query: str = "") -> str:
    """The list of what is stored in Django's admin; "" where there is none, or the user may not see it."""
    user: Any = request.user
    if not (user.is_staff and user.has_perm(f"stockandflow.view_{model}")):
        return ""
    try:
        return reverse(f"admin:stockandflow_{model}_changelist") + query
    except NoReverseMatch:
        return ""


def _act(request: HttpRequest) -> HttpResponse:
    acts: dict[str, tuple[str, Callable[[HttpRequest], None]]] = {
        "run": (RUNNING, _run),
        "period": (RUNNING, _run_period),
        "replay": (REPLAYING, _replay),
    }
    permission, act = acts.get(request.POST.get("action", ""), (RUNNING, _unknown))
    user: Any = request.user
    if not user.has_perm(permission):
        raise NotAllowed(_("You may look at the schedule, but not run anything of it."), [permission])
    try:
        act(request)
    except InvalidInput as error:
        _say(request, messages.ERROR, str(error))
    return HttpResponseRedirect(page_url(request, "status"))


def _run(request: HttpRequest) -> None:
    entry = schedule.entry(request.POST.get("entry", ""))
    for result in run(schedule, only=[entry.name]).results:
        _tell(request, result)


def _run_period(request: HttpRequest) -> None:
    entry = schedule.entry(request.POST.get("entry", ""))
    start = instant(request.POST.get("start", ""), entry.calendar, "start")
    _tell(request, run_period(schedule, entry.name, start))


def _replay(request: HttpRequest) -> None:
    number = sum(replay(Delivery.objects.using(using)) for using in delivery_databases(registry))
    told = ngettext(
        "%(number)d delivery is tried again when the schedule delivers next.",
        "%(number)d deliveries are tried again when the schedule delivers next.",
        number,
    )
    _say(request, messages.SUCCESS if number else messages.INFO, told % {"number": number})


def _unknown(request: HttpRequest) -> None:
    raise InvalidInput(f"action is {request.POST.get('action')!r}; write run, period or replay.")


def _tell(request: HttpRequest, result: Result) -> None:
    """Have the page say what became of an entry."""
    states = {
        State.DONE: (messages.SUCCESS, _("done")),
        State.FAILED: (messages.ERROR, _("failed")),
        State.SKIPPED: (messages.INFO, _("passed over")),
        State.BUSY: (messages.INFO, _("another runner is at it")),
        State.NOT_DUE: (messages.INFO, _("was run already")),
        State.NEVER: (messages.INFO, _("never runs")),
    }
    level, words = states.get(result.state, (messages.INFO, result.state.value))
    period = "" if result.period is None else f", {period_words(result.period, result.entry.calendar)}"
    said = result.message if result.state in (State.DONE, State.FAILED) and result.message else ""
    _say(request, level, f"{result.entry.name}{period}: {words}{': ' if said else ''}{said}")


def _say(request: HttpRequest, level: int, text: str) -> None:
    messages.add_message(request, level, text, fail_silently=True)
