"""An overview of the schedule for people: each entry's last runs, what is due of it, and what it missed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import router
from django.db.models import OuterRef, Q, Subquery

from stockandflow.models import ScheduleEntry, ScheduleRun
from stockandflow.models.clock import database_now
from stockandflow.periodic.claims import last_seen_to, states
from stockandflow.periodic.entries import Entry, Schedule
from stockandflow.periodic.frequencies import Bounds
from stockandflow.periodic.running import Look, looked
from stockandflow.periods import TICK, aware

SHOWN = 24
"""So many runs of an entry are shown."""
LISTED = 12
"""So many missed periods of an entry are named."""
GAPS = 200
"""So many gaps and failures, of all entries together, are looked through for missed periods."""


@dataclass(frozen=True)
class Gap:
    """The instants ``since <= t < until`` in which an entry was run for no period."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class Overview:
    """What is to be shown of an entry; ``pk`` is its row's, None before it was first looked at.

    ``runs`` are the latest ones by their period, newest first. ``missed`` are periods that are over, newest first, that
    can be run for one by one: never run for, passed over or failed; () for an entry that isn't told its period, or
    catches up by itself. ``more_missed``: there are older ones. ``gaps`` are those between the runs shown, newest
    first.
    """

    pk: int | None
    look: Look
    runs: tuple[ScheduleRun, ...]
    running: ScheduleRun | None
    gaps: tuple[Gap, ...]
    missed: tuple[Bounds, ...]
    more_missed: bool

    @property
    def entry(self) -> Entry:
        """The entry itself."""
        return self.look.entry


def overview(schedule: Schedule, *, now: datetime | None = None, using: str | None = None) -> list[Overview]:
    """Each entry, in the order of the schedule. Six queries however many entries there are, and one for the instant."""
    using = using or router.db_for_read(ScheduleRun)
    at = database_now(using) if now is None else aware(now, "now")
    entries = schedule.entries
    known = states([entry.name for entry in entries], using)
    runs = _last_runs(list(known.values()), using)
    takers = [known[entry.name].pk for entry in entries if entry.takes_periods and entry.name in known]
    unsettled, settled = _unsettled(takers, at, using)
    found = []
    for look in looked(entries, at, using, {name: runs[state.pk] for name, state in known.items()}):
        state = known.get(look.entry.name)
        last = runs[state.pk] if state else []
        missed: list[Bounds] = []
        if state is not None and look.entry.takes_periods:
            tail = _tail(look.entry, state, at)
            ranges = [*([tail] if tail else []), *unsettled[state.pk]]
            missed = list(_missed(look.entry, state, ranges, settled[state.pk]))
        found.append(
            Overview(
                pk=None if state is None else state.pk,
                look=look,
                runs=tuple(last[:SHOWN]),
                running=next((run for run in last if run.held(at)), None),
                gaps=tuple(_gaps(look.entry, state, last, at)),
                missed=tuple(missed[:LISTED]),
                more_missed=len(missed) > LISTED,
            )
        )
    return found


def _last_runs(states: Sequence[ScheduleEntry], using: str) -> dict[int, list[ScheduleRun]]:
    """Primary key of the entry → its latest runs and those that run, newest first. Two queries."""
    runs = ScheduleRun.objects.using(using)
    floors = (
        ScheduleEntry.objects.using(using)
        .filter(pk__in=[state.pk for state in states])
        .annotate(
            floor=Subquery(
                runs.filter(entry=OuterRef("pk"))
                .order_by("-period_start")
                .values("period_start")[SHOWN - 1 : SHOWN]
            )
        )
        .values_list("pk", "floor")
    )
    wanted = Q(pk__in=())
    for pk, floor in floors:
        latest = Q(entry=pk) if floor is None else Q(entry=pk, period_start__gte=floor)
        wanted |= latest | Q(entry=pk, status=ScheduleRun.Status.RUNNING)
    found: dict[int, list[ScheduleRun]] = defaultdict(list)
    for run in runs.filter(wanted).order_by("-period_start"):
        found[run.entry_id].append(run)
    return found


def _unsettled(
    takers: Sequence[int], at: datetime, using: str
) -> tuple[dict[int, list[Gap]], dict[int, set[datetime]]]:
    """The gaps of those entries and the periods that failed, newest first, and the starts in them that need no run.

    Two queries, the second only where there is a gap.
    """
    if not takers:
        return defaultdict(list), defaultdict(set)
    runs = ScheduleRun.objects.using(using).filter(entry__in=takers)
    gaps: dict[int, list[Gap]] = defaultdict(list)
    settled: dict[int, set[datetime]] = defaultdict(set)
    within = Q(pk__in=())
    over = Q(status__in=(ScheduleRun.Status.FAILED, ScheduleRun.Status.SKIPPED), period_end__lte=at)
    for run in runs.filter(over | Q(missed_since__isnull=False)).order_by("-period_start")[:GAPS]:
        again = run.status in (ScheduleRun.Status.FAILED, ScheduleRun.Status.SKIPPED) and run.period_end <= at
        until = run.period_end if again else run.period_start
        since = run.missed_since or run.period_start
        gaps[run.entry_id].append(Gap(since, until))
        within |= Q(entry=run.entry_id, period_start__gte=since, period_start__lt=until)
    busy = (ScheduleRun.Status.DONE, ScheduleRun.Status.RUNNING)
    if gaps:
        for pk, start in runs.filter(within, status__in=busy).values_list("entry_id", "period_start"):
            settled[pk].add(start)
    return gaps, settled


def _tail(entry: Entry, state: ScheduleEntry, at: datetime) -> Gap | None:
    """From the last period that was seen to until the one under way."""
    last, current = last_seen_to(entry, state), entry.period(at)
    if last is None or current is None or last.end >= current.start:
        return None
    return Gap(last.end, current.start)


def _missed(
    entry: Entry, state: ScheduleEntry, ranges: Iterable[Gap], settled: set[datetime]
) -> Iterator[Bounds]:
    """The periods in the gaps that may be run for, newest first, one more than are listed at most."""
    number, seen = 0, set[datetime]()
    for gap in ranges:
        period = _before(entry, gap.until)
        while period is not None and period.start >= gap.since and number <= LISTED:
            if period.start not in settled | seen and not state.forgot(period.end):
                seen.add(period.start)
                number += 1
                yield period
            period = _before(entry, period.start)


def _gaps(
    entry: Entry, state: ScheduleEntry | None, runs: Sequence[ScheduleRun], at: datetime
) -> Iterator[Gap]:
    tail = None if state is None else _tail(entry, state, at)
    if tail is not None:
        yield tail
    yield from (Gap(run.missed_since, run.period_start) for run in runs if run.missed_since)


def _before(entry: Entry, instant: datetime) -> Bounds | None:
    return entry.period(instant - TICK)
