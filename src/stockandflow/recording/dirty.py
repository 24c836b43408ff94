"""Dirty days: those whose records may differ from the events by now, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Max, Min
from django.utils.translation import gettext_noop

from stockandflow.conf import conf
from stockandflow.models import ALL, Origin, Watermark
from stockandflow.models.clock import SETTLING
from stockandflow.periods import TICK, Calendar, Grain, Period
from stockandflow.recording.buckets import LocalDate
from stockandflow.recording.horizons import computable_since
from stockandflow.recording.ledgers import Ledger

LAG = SETTLING
"""Events recorded within this time are read again next time, since a transaction may commit them late."""

CHANGED = gettext_noop("events changed in place")
RECOMPUTED = gettext_noop("recomputed")
CAUSES = {
    Origin.LIVE.value: gettext_noop("late events"),
    Origin.IMPORT.value: gettext_noop("imported events"),
    Origin.SWEEP.value: gettext_noop("found by a sweep"),
}


@dataclass(frozen=True)
class Dirty:
    """The days to compute, in order, each with the causes by which a final number may change; and what is read then.

    All events up to ``event_id`` are in the records once these days are, and all days of ``since <= t < until`` are
    computed.
    """

    days: Mapping[Period, frozenset[str]]
    event_id: int
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Asked:
    """The days that were asked for, of ``since <= t < until``; with ``restate`` also those that are final."""

    since: datetime | None = None
    until: datetime | None = None
    restate: bool = False


def dirty(ledger: Ledger, mark: Watermark, at: datetime, asked: Asked) -> Dirty:
    """What to compute as of ``at``, the instant of the snapshot that this is called in. At most nine queries.

    These days are dirty: those of events after the watermark, and of the same subjects' later moves in that year; all
    from ``mark.anew_since`` on; those that are open or have become final since they were computed; those that were
    never computed; and those that were asked for, from that of the first event on. Days whose events were pruned are
    none of them.
    """
    calendar = ledger.calendar
    kept_since = computable_since(calendar, mark.horizon)
    today = calendar.period(Grain.DAY, at)
    asked = _from_first_event(ledger, mark, today, asked)
    found = _Found(ledger, today)
    computed = mark.since is not None and mark.until is not None and mark.computed_at is not None
    if computed:
        found.add_fresh(ledger.events().filter(pk__gt=mark.event_id))
    else:
        found.add_first()  # and all days from it on, below, whatever moved in them
    if mark.anew_since is not None:
        found.add(mark.anew_since, today.end, CHANGED)
    first = min([today.start, *(period.start for period in found.days)])
    if asked.since is not None:
        first = min(first, calendar.period(Grain.DAY, asked.since).start)
    first = max(first, kept_since or first)
    if mark.since is None or mark.until is None or mark.computed_at is None:
        since = first
        found.add(first, today.end)
    else:
        since = min(first, mark.since)
        found.add(first, mark.since)
        found.add(mark.until, today.end)
        lateness = conf().allowed_lateness
        # Where the setting has become shorter, some days have become final by that.
        late = max(lateness, mark.lateness)
        for period in calendar.periods(Grain.DAY, max(mark.since, mark.computed_at - late - TICK), today.end):
            was_open = period.end > mark.computed_at
            if was_open or (mark.computed_at < period.end + late and period.end + lateness <= at):
                found.add_day(period)
        _add_asked(found, asked, mark, today, at)
        if _lacks_a_flow(ledger, max(mark.since, kept_since or mark.since), mark.until):
            found.add(mark.since, today.end)
    days = {
        day: frozenset(causes)
        for day, causes in sorted(found.days.items())
        if kept_since is None or day.start >= kept_since
    }
    recent = models.Q(recorded_at__gte=at - LAG)
    event_id = settled(ledger.events().filter(pk__gt=mark.event_id), recent, mark)
    return Dirty(days, event_id, since, today.end)


class _Found:
    """Days of a ledger up to today, and the causes of each."""

    def __init__(self, ledger: Ledger, today: Period) -> None:
        self.ledger, self.today = ledger, today
        self.days: dict[Period, set[str]] = {}

    def add_day(self, day: Period, *causes: str) -> None:
        self.days.setdefault(day, set()).update(causes)

    def add(self, since: datetime, until: datetime, *causes: str) -> None:
        for day in self.ledger.calendar.periods(Grain.DAY, since, min(until, self.today.end)):
            self.add_day(day, *causes)

    def add_first(self) -> None:
        """The day of the first event. One query."""
        first = self.ledger.events().aggregate(first=Min("timestamp"))["first"]
        if first is not None and first < self.today.end:
            self.add_day(self.ledger.calendar.period(Grain.DAY, first))

    def add_fresh(self, fresh: models.QuerySet[Any]) -> None:
        """The days of these events, and of the later moves of the same subjects by the same flow in the same year.

        Those were the first ones of their week, month … perhaps, and aren't any more. Two queries, and one more for
        each year that has events of other days than today.
        """
        # By their dates alone: by a MIN or a range of timestamps a database would look for them along that index,
        # through all of history.
        utc = LocalDate("timestamp", [(self.today.start, timedelta(0))])
        dates = set(fresh.annotate(sf_day=utc).values_list("sf_day", flat=True).distinct())
        if not dates:
            return
        calendar = self.ledger.calendar
        first = min(calendar.midnight(min(dates) - timedelta(days=1)), self.today.start)
        local = LocalDate("timestamp", calendar.offsets(first, self.today.end))
        rows = fresh.annotate(sf_day=local)
        today = calendar.local_date(self.today.start)
        for date, origin in rows.values_list("sf_day", "origin").distinct():
            if date <= today:
                day = calendar.period(Grain.DAY, calendar.midnight(date))
                self.add_day(day, CAUSES.get(origin, CAUSES[Origin.LIVE.value]))
        years = {calendar.period(Grain.YEAR, day.start) for day in self.days if day != self.today}
        for year in sorted(years):
            until = min(_reach(calendar, year), self.today.end)
            end = calendar.local_date(min(year.end, self.today.start))
            late = rows.filter(sf_day__gte=calendar.local_date(year.start), sf_day__lt=end)
            earlier = late.filter(
                subject=models.OuterRef("subject"),
                flow=models.OuterRef("flow"),
                timestamp__lte=models.OuterRef("timestamp"),
            )
            later = self.ledger.events().filter(
                subject__in=late.values("subject"), timestamp__gte=year.start, timestamp__lt=until
            )
            days = later.filter(models.Exists(earlier)).annotate(sf_day=local)
            for date in days.values_list("sf_day", flat=True).distinct():
                self.add_day(calendar.period(Grain.DAY, calendar.midnight(date)))


def _reach(calendar: Calendar, year: Period) -> datetime:
    """Up to where moves of that year decide which ones are the first: the end of the week that begins in it."""
    return calendar.period(Grain.WEEK, year.end - TICK).end


def _from_first_event(ledger: Ledger, mark: Watermark, today: Period, asked: Asked) -> Asked:
    """What was asked for from the first event on, or from what is computed: days before hold nothing. One query."""
    if asked.since is None:
        return asked
    first = ledger.events().aggregate(first=Min("timestamp"))["first"]
    begun = min(at for at in (first, mark.since, today.start) if at is not None)
    return replace(asked, since=max(asked.since, begun))


def _add_asked(found: _Found, asked: Asked, mark: Watermark, today: Period, at: datetime) -> None:
    since = asked.since
    if since is None:
        if asked.restate and mark.since is not None:
            found.add(mark.since, today.end, RECOMPUTED)
        return
    until = asked.until or today.end
    if asked.restate:
        # Where a day loses a first move, a later one of the same year becomes it.
        calendar = found.ledger.calendar
        found.add(since, _reach(calendar, calendar.period(Grain.YEAR, until - TICK)), RECOMPUTED)
        return
    lateness = conf().allowed_lateness
    for day in found.ledger.calendar.periods(Grain.DAY, since, min(until, today.end)):
        if day.end + lateness > at:
            found.add_day(day)


def _lacks_a_flow(ledger: Ledger, since: datetime, until: datetime) -> bool:
    """Whether a flow has come since, or come back, so that it isn't computed for all days. One query."""
    slugs = ledger.slugs
    ends = {since, ledger.calendar.period(Grain.DAY, until - TICK).start}
    totals = ledger.records().filter(grain=Grain.DAY, start__in=ends, source=ALL, flow__in=slugs)
    return totals.count() < len(slugs) * len(ends)


def settled(fresh: models.QuerySet[Any], recent: models.Q, mark: Watermark | None) -> int:
    """Up to which key no transaction that is under way can add a row: the last one before the first that is recent.

    ``fresh`` are the rows after the mark. Not up to the key just before that one: a transaction may hold it still. Two
    queries.
    """
    first = fresh.filter(recent).aggregate(first=Min("pk"))["first"]
    before = fresh if first is None else fresh.filter(pk__lt=first)
    last: int | None = before.aggregate(last=Max("pk"))["last"]
    return last or (mark.event_id if mark else 0)
