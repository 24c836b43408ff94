"""Flow records: brought up to date with the events, for every ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from stockandflow.batches import batched
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Watermark
from stockandflow.models.clock import snapshot, writing
from stockandflow.periods import Calendar, Grain, Period, aware, checked_range
from stockandflow.recording.differences import Cause, Differences
from stockandflow.recording.dirty import CHANGED, Asked, Dirty, dirty
from stockandflow.recording.horizons import computable_since
from stockandflow.recording.ledgers import Ledger, ledgers
from stockandflow.recording.moves import moves_of
from stockandflow.recording.rollups import AT_ONCE, PARTS, summed, touched
from stockandflow.registry import Registry

Progress = Callable[[str, int, int], None]
"""Called with the name of what is recorded, days computed so far and days to compute."""


@dataclass(frozen=True)
class Computed:
    """The days of one ledger that a run has computed as of ``at``, in order, and what it wrote of all grains."""

    ledger: Ledger
    at: datetime
    days: tuple[Period, ...]
    changed_since: datetime | None
    """The start of the first day whose records have changed; None where none has."""
    records: int
    """The records that these days have, written now or before."""
    written: int
    restated: int


def record_flows(
    registry: Registry,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    restate: bool = False,
    calendar: Calendar | None = None,
    progress: Progress | None = None,
) -> list[Computed]:
    """Bring the flow records up to date: see ``recording.record``. Each ledger is one transaction.

    Raises InvalidInput for days that can't be computed.
    """
    since, until = checked_days(registry, since, until, calendar)
    asked = Asked(since, until, restate)
    return [_record(ledger, asked, progress) for ledger in ledgers(registry, calendar)]


def checked_days(
    registry: Registry, since: datetime | None, until: datetime | None, calendar: Calendar | None = None
) -> tuple[datetime | None, datetime | None]:
    """``(since, until)`` in UTC, of days to be computed anew.

    Raises InvalidInput for an ``until`` without ``since`` or not after it, and for a ``since`` to come or one whose
    events were pruned. With ``since`` one query for each ledger.
    """
    if since is None and until is not None:
        raise InvalidInput(f"until is {until.isoformat()} and since is missing; give both, or since alone.")
    if since is not None and until is not None:
        since, until = checked_range(since, until)
    if since is not None:
        since = aware(since, "since")
        if since > timezone.now():
            raise InvalidInput(f"since ({since.isoformat()}) is in the future; it must be before now.")
        _refuse_pruned(ledgers(registry, calendar), since)
    return since, until


def _refuse_pruned(found: Iterable[Ledger], since: datetime) -> None:
    """Raise InvalidInput for days that can't be computed any more. One query for each ledger."""
    for ledger in found:
        kept_since = computable_since(ledger.calendar, Watermark.horizon_of(ledger.event_model))
        if kept_since is not None and since < kept_since:
            raise InvalidInput(
                f"since is {since.isoformat()}, and events of {ledger.event_model._meta.label} from before "
                f"{kept_since.isoformat()} were pruned, so that its records can't be computed anew; give that instant "
                "or a later one."
            )


def _record(ledger: Ledger, asked: Asked, progress: Progress | None) -> Computed:
    """Compute a ledger's dirty days and write what differs; again where another recording came between."""
    marks = Watermark.objects.using(ledger.writing)
    key = {"event_model": ledger.label, "calendar": ledger.calendar.key}
    if not marks.filter(**key).exists():
        # What was pruned is gone for a calendar too that comes later. It is read before, not in the transaction that
        # inserts: on SQLite one that has read can't write any more once another has written.
        horizon = Watermark.horizon_of(ledger.event_model)
        marks.get_or_create(**key, defaults={"horizon": horizon})
    while True:
        with snapshot(ledger.reading) as at:
            mark = marks.get(**key)
            found = dirty(ledger, mark, at, asked)
            days, done, records = Differences(ledger, at), 0, 0
            for some in _by_year(ledger, found.days):
                # Where days were pruned, the week that the first year begins in reaches to before it.
                lines = moves_of(ledger, some, found.since if mark.horizon is None else None)
                days.compare(lines, _cause(mark, found))
                done += len(some)
                records += sum(map(len, lines.values()))
                if progress:
                    progress(ledger.name, done, len(found.days))
        if written := _write(mark, found, days):
            return Computed(ledger, at, tuple(found.days), days.first_changed, records, *written)


def _by_year(ledger: Ledger, days: Iterable[Period]) -> Iterator[list[Period]]:
    year: Period | None = None
    some: list[Period] = []
    for day in days:
        if year is None or day.start not in year:
            if some:
                yield some
            year, some = ledger.calendar.period(Grain.YEAR, day.start), []
        some.append(day)
    if some:
        yield some


def _cause(mark: Watermark, found: Dirty) -> Cause:
    """Why numbers of a period change, None for one that wasn't final as of the last recording."""

    def why(period: Period) -> str | None:
        if mark.since is None or mark.computed_at is None:
            return None
        if period.end <= mark.since or period.end + mark.lateness > mark.computed_at:
            return None
        days = [period] if period.grain is Grain.DAY else (day for day in found.days if day.start in period)
        return ", ".join(sorted({cause for day in days for cause in found.days[day]})) or CHANGED

    return why


def _write(mark: Watermark, found: Dirty, days: Differences) -> tuple[int, int] | None:
    """Write the days, the longer periods that hold them, and the watermark; None where it isn't as it was read.

    Gives how many records are new, changed or gone, and how many final numbers were restated.

    All in one transaction, one at a time: all wait for the same rows in one order, since on MariaDB recordings of two
    event models lock some of each other's records.
    """
    ledger, at, cause = days.ledger, days.at, _cause(mark, found)
    written, restated = days.records, len(days.restatements)
    with writing(ledger.writing):
        marks = Watermark.objects.using(ledger.writing)
        now = {locked.pk: locked.version for locked in marks.select_for_update().order_by("pk")}
        if now.get(mark.pk) != mark.version:
            return None
        days.write()
        for grain in PARTS:
            for periods in batched(touched(ledger, grain, found.days), AT_ONCE):
                sums = Differences(ledger, at)
                sums.compare(summed(ledger, periods), cause)
                sums.write()
                written += sums.records
                restated += len(sums.restatements)
        marks.filter(pk=mark.pk).update(
            event_id=found.event_id,
            since=found.since,
            until=found.until,
            computed_at=at,
            lateness=days.lateness,
            anew_since=None,
            version=mark.version + 1,
        )
    return written, restated
