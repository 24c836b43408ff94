"""What the status page shows: the schedule's entries, the records, the capture and what was given up, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q
from django.utils.formats import date_format, number_format, time_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from stockandflow.automation import delivery_databases
from stockandflow.capture import databases
from stockandflow.capture.explanation import MIGRATE, REACH, SWEEP, SYNC, explain
from stockandflow.models import Delivery, ScheduleRun, StockRecord, Watermark
from stockandflow.periodic import GRACE, Bounds, Cron, Frequency, Overview, State
from stockandflow.periods import TICK, Calendar
from stockandflow.registry import Registry
from stockandflow.site.access import names_any

Status = ScheduleRun.Status

BAR, SPACE, HEIGHT = 7, 3, 22
"""Of the strip of runs, in pixels: width of a run, space between two, and height."""
HEIGHTS = {Status.DONE: 12, Status.FAILED: 22, Status.SKIPPED: 4, Status.RUNNING: 12, Status.WAITING: 4}
"""The state of a run can be told by the height of its bar alone."""
DEAD_SHOWN = 10
"""So many of the deliveries that were given up are shown for each database."""


@dataclass(frozen=True)
class Bar:
    """One run in the strip; ``x``, ``y``, ``width`` and ``height`` in pixels."""

    x: int
    y: int
    width: int
    height: int
    status: str
    title: str


@dataclass(frozen=True)
class Strip:
    """The last runs of an entry, oldest first, as bars; ``gaps`` are the x of dots where periods were missed."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    gaps: tuple[int, ...]
    label: str


@dataclass(frozen=True)
class MissedPeriod:
    """A period that can be run for; ``start`` as the form sends it."""

    start: str
    words: str


@dataclass(frozen=True)
class EntryShown:
    """One entry of the schedule. ``state`` is a key for the stylesheet, ``state_words`` say it."""

    name: str
    frequency: str
    state: str
    state_words: str
    next_due: str
    strip: Strip | None
    last: str
    duration: str
    message: str
    traceback: str
    gaps: tuple[str, ...]
    missed: tuple[MissedPeriod, ...]
    more_missed: bool
    catches_up: bool
    can_run: bool


@dataclass(frozen=True)
class Outbox:
    """The deliveries of one database: how many wait, since when, how many were given up, and the latest of those."""

    using: str
    waiting: int
    waiting_since: str
    dead: int
    shown: tuple[Delivery, ...]


@dataclass(frozen=True)
class Captured:
    """How one tracker is captured.

    ``swept`` is when the last sweep ended, "" before the first; ``found`` are the missing moves that it found.
    ``reason`` says why not by the better method, "" for the best; ``to_do`` are sentences, () where all is well.
    """

    tracker: str
    model: str
    method: str
    reason: str
    error: str
    swept: str
    found: int
    to_do: tuple[str, ...]


@dataclass(frozen=True)
class Freshness:
    """When stocks were counted last, and as of when the oldest flows were recorded; "" for never."""

    counted: str
    moves: str


def entry_shown(found: Overview, at: datetime) -> EntryShown:
    """One entry in words, in its own calendar. No query."""
    entry, look, last = found.entry, found.look, next(iter(found.runs), None)
    state, words = _state(found)
    calendar = entry.calendar
    return EntryShown(
        name=entry.name,
        frequency=frequency_words(entry.frequency),
        state=state,
        state_words=words,
        next_due=_next_due(found, at),
        strip=_strip(found) if found.runs else None,
        last=_last(last, calendar) if last else _("not run yet") if look.due else "",
        duration="" if last is None or last.duration is None else duration_words(last.duration),
        message="" if last is None else " ".join(last.message.split()),
        traceback="" if last is None else last.traceback,
        gaps=tuple(
            _("None from %(since)s until %(until)s")
            % {"since": moment_words(gap.since, calendar), "until": moment_words(gap.until, calendar)}
            for gap in found.gaps
        ),
        missed=tuple(
            MissedPeriod(period.start.isoformat(), period_words(period, calendar)) for period in found.missed
        ),
        more_missed=found.more_missed,
        catches_up=entry.catch_up == "all",
        can_run=bool(look.due) and found.running is None,
    )


def _state(found: Overview) -> tuple[str, str]:
    look = found.look
    last = next(iter(found.runs), None)
    if found.running is not None:
        return "running", _("running")
    if look.next_due is None:
        return "off", _("never")
    if last is not None and last.status == Status.FAILED:
        return "failed", _("failed")
    if look.late is not None and look.late > GRACE:
        return "late", _("overdue by %(time)s") % {"time": span_words(look.late)}
    if last is None:
        return "new", _("new")
    return ("due", _("due")) if look.due else ("fine", _("in time"))


def _next_due(found: Overview, at: datetime) -> str:
    due = found.look.next_due
    if due is None:
        return ""
    told = {"at": moment_words(due, found.entry.calendar)}
    return _("due since %(at)s") % told if due <= at else _("next %(at)s") % told


def state_words(state: State) -> str:
    """What became of an entry that was to be run."""
    return {
        State.DONE: _("done"),
        State.FAILED: _("failed"),
        State.SKIPPED: _("passed over"),
        State.SENT: _("sent"),
        State.BUSY: _("busy"),
        State.NOT_DUE: _("not due"),
        State.NEVER: _("never"),
    }[state]


def _last(run: ScheduleRun, calendar: Calendar) -> str:
    at = run.finished_at or run.started_at
    words = {
        Status.DONE: _("done"),
        Status.FAILED: _("failed"),
        Status.SKIPPED: _("passed over"),
        Status.RUNNING: _("running since"),
        Status.WAITING: _("waiting"),
    }[Status(run.status)]
    return f"{words} {moment_words(at, calendar)}" if at else words


def _strip(found: Overview) -> Strip:
    bars, gaps, x = [], [], 0
    for run in reversed(found.runs):
        if run.missed_since:
            gaps.append(x + BAR // 2)
            x += BAR + SPACE
        height = HEIGHTS[Status(run.status)]
        period = period_words(Bounds(run.period_start, run.period_end), found.entry.calendar)
        bars.append(
            Bar(x, HEIGHT - height, BAR, height, run.status, f"{period}: {_last(run, found.entry.calendar)}")
        )
        x += BAR + SPACE
    return Strip(x - SPACE, HEIGHT, tuple(bars), tuple(gaps), _strip_label(found.runs))


def _strip_label(runs: Sequence[ScheduleRun]) -> str:
    """How many of the runs shown ended how, for those who hear the page."""
    numbers = Counter(run.status for run in runs)
    said = [
        (numbers[Status.DONE], _("%(number)s done")),
        (numbers[Status.FAILED], _("%(number)s failed")),
        (numbers[Status.SKIPPED], _("%(number)s passed over")),
        (numbers[Status.RUNNING], _("%(number)s running")),
    ]
    told = ", ".join(words % {"number": number} for number, words in said if number)
    return _("The last runs: %(told)s") % {"told": told}


def frequency_words(frequency: Frequency | Cron) -> str:
    """How often, as people say it."""
    if isinstance(frequency, Cron):
        return _("when cron says %(expression)s") % {"expression": frequency.value}
    return {
        Frequency.NEVER: _("never"),
        Frequency.MINUTELY: _("every minute"),
        Frequency.TWELVE_MINUTELY: _("every 12 minutes"),
        Frequency.HOURLY: _("every hour"),
        Frequency.DAILY: _("every day"),
        Frequency.WEEKLY: _("every week"),
        Frequency.TWO_WEEKLY: _("every two weeks"),
        Frequency.FOUR_WEEKLY: _("every four weeks"),
        Frequency.MONTHLY: _("every month"),
        Frequency.QUARTERLY: _("every quarter"),
        Frequency.YEARLY: _("every year"),
    }[frequency]


def moment_words(at: datetime, calendar: Calendar) -> str:
    """Local date and time by the reader's locale, in the calendar's zone."""
    return date_format(at.astimezone(calendar.zone), "DATETIME_FORMAT")


def _moment(at: datetime | None) -> str:
    return "" if at is None else moment_words(at, Calendar.default())


def period_words(period: Bounds, calendar: Calendar) -> str:
    """The days where it is made of whole days, the last one included; else its first day and its times."""
    first = calendar.local_date(period.start)
    last = calendar.local_date(period.end - TICK)
    whole = (
        calendar.midnight(first) == period.start and calendar.midnight(last + timedelta(days=1)) == period.end
    )
    if not whole:
        start, end = (at.astimezone(calendar.zone) for at in period)
        ended = time_format(end, "TIME_FORMAT") if first == last else moment_words(period.end, calendar)
        return (
            f"{moment_words(period.start, calendar)} – {ended}"
            if start != end
            else moment_words(start, calendar)
        )
    days = [date_format(day, "DATE_FORMAT") for day in dict.fromkeys((first, last))]
    return " – ".join(days)


def duration_words(duration: timedelta) -> str:
    """Seconds with two decimals up to a minute, by locale; more in its two largest units."""
    seconds = duration.total_seconds()
    if seconds < 60:
        return _("%(number)s s") % {"number": number_format(round(seconds, 2), 2, use_l10n=True)}
    return span_words(duration)


def span_words(duration: timedelta) -> str:
    """In its two largest units, e.g. ``3 h 12 min``."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, _("%d d")), (hours, _("%d h")), (minutes, _("%d min")), (seconds, _("%d s"))]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return " ".join(words % number for number, words in parts[:2])


def summary(entries: Sequence[EntryShown]) -> str:
    """How many entries there are, and how many somebody must look at."""
    numbers = Counter(entry.state for entry in entries)
    told = [ngettext("%(number)d entry", "%(number)d entries", len(entries)) % {"number": len(entries)}]
    for state, words in (
        ("failed", _("%(number)d failed")),
        ("late", _("%(number)d overdue")),
        ("running", _("%(number)d running")),
    ):
        if numbers[state]:
            told.append(words % {"number": numbers[state]})
    if not numbers["failed"] and not numbers["late"]:
        told.append(_("none is overdue"))
    return ", ".join(told)


def outboxes(registry: Registry) -> list[Outbox]:
    """The deliveries of each database that has any to tell of. Two queries for each database."""
    found = []
    for using in delivery_databases(registry):
        deliveries = Delivery.objects.using(using)
        pending = Q(status=Delivery.Status.PENDING)
        told = deliveries.filter(status__in=(Delivery.Status.PENDING, Delivery.Status.DEAD)).aggregate(
            waiting=Count("pk", filter=pending),
            since=Min("due_at", filter=pending),
            dead=Count("pk", filter=Q(status=Delivery.Status.DEAD)),
        )
        shown: tuple[Delivery, ...] = ()
        if told["dead"]:
            shown = tuple(
                deliveries.filter(status=Delivery.Status.DEAD).order_by("-due_at", "-pk")[:DEAD_SHOWN]
            )
        found.append(Outbox(using, told["waiting"], _moment(told["since"]), told["dead"], shown))
    return found


def freshness() -> Freshness:
    """How far the records go. Two queries."""
    counts = StockRecord.objects.filter(method="counted").order_by("-timestamp")
    moves = Watermark.objects.aggregate(at=Min("computed_at"))["at"]
    return Freshness(_moment(counts.values_list("timestamp", flat=True).first()), _moment(moves))


def captured(registry: Registry, hidden: Collection[str] = ()) -> Iterator[Captured]:
    """How each tracker is captured. Three queries for a database, and a few for each of its trackers.

    ``hidden`` are the slugs of stocks that aren't to be named: trackers of such alone are left out, and of the others
    the sentences that name one.
    """
    for using in databases(registry):
        for told in explain(registry, using)[0]:
            slugs = {stock.slug for stock in told.tracker.stocks}
            if slugs and slugs <= set(hidden):
                continue
            opened = told.sweep is not None and told.sweep.opened_at is not None
            yield Captured(
                tracker=told.tracker.slug,
                model=str(told.tracker.model._meta.verbose_name_plural),
                method=method_words(told.method.kind),
                reason=""
                if not told.method.reason or names_any(told.method.reason, hidden)
                else _(told.method.reason),
                error=told.error,
                swept=_moment(told.sweep.completed_at) if opened and told.sweep is not None else "",
                found=told.sweep.found if opened and told.sweep is not None else 0,
                to_do=tuple(to_do_words(text) for text in told.to_do if not names_any(text, hidden)),
            )


def method_words(kind: str) -> str:
    """How moves are captured, in a few words."""
    known: Mapping[str, str] = {
        "triggers": _("by triggers: the database writes each move together with the change"),
        "related triggers": _("by triggers on its table and on related ones"),
        "signals": _("by signals: what the ORM saves and deletes is seen, and a sweep finds the rest"),
    }
    return known.get(kind, kind)


def to_do_words(text: str) -> str:
    """What is to be done about a tracker, in the reader's language where it is a command to run."""
    known = {
        MIGRATE: _("Run 'manage.py migrate'."),
        SYNC: _("Run 'manage.py stockandflow sync', or 'manage.py migrate'."),
        SWEEP: _("Run 'manage.py stockandflow sweep'."),
        REACH: _("See whether the database is reachable."),
    }
    return known.get(text, text)
