"""Recording: stocks counted at an instant and flows over whole days, kept so that reports need not count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from stockandflow.periods import Calendar, checked_calendar
from stockandflow.recording.counting import Counted, count, store
from stockandflow.recording.definitions import changed_definitions, note_definitions
from stockandflow.recording.dirty import LAG
from stockandflow.recording.flows import Computed, Progress, checked_days, record_flows
from stockandflow.recording.keeping import Kept, keep
from stockandflow.recording.levels import derive, record_levels
from stockandflow.recording.pruning import Pruned, prune
from stockandflow.recording.retention import Retention
from stockandflow.registry import Registry

__all__ = [
    "LAG",
    "Computed",
    "Counted",
    "Kept",
    "Pruned",
    "Recording",
    "Retention",
    "changed_definitions",
    "count",
    "derive",
    "keep",
    "note_definitions",
    "prune",
    "record",
    "record_flows",
    "record_levels",
    "store",
]


@dataclass(frozen=True)
class Recording:
    """What one run recorded; ``at`` is the instant of the stock records, None where no stock is registered."""

    at: datetime | None
    stocks: int
    facet_values: int
    periods: int
    flow_records: int
    restatements: int = 0
    """The final numbers that changed: of flows and of levels, the values of facets among them."""

    @classmethod
    def of(cls, counted: Counted | None, computed: Iterable[Computed], kept: Kept | None = None) -> Recording:
        """What a run recorded that counted ``counted``, computed these days of flow records and kept these levels."""
        counts, computed = counted.counts if counted else (), list(computed)
        return cls(
            at=counted.at if counted else None,
            stocks=len(counts),
            facet_values=sum(len(values) for count in counts for values in count.facets.values()),
            periods=len({day for one in computed for day in one.days}),
            flow_records=sum(one.records for one in computed),
            restatements=sum(one.restated for one in computed) + (kept.restated if kept else 0),
        )

    def __str__(self) -> str:
        number = self.restatements
        restated = f", {number} final {'number' if number == 1 else 'numbers'} restated" if number else ""
        return (
            f"{self.stocks} stocks with {self.facet_values} facet values, "
            f"{self.flow_records} flow records over {self.periods} {'day' if self.periods == 1 else 'days'}{restated}"
        )


def record(
    registry: Registry,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    restate: bool = False,
    calendar: Calendar | None = None,
    progress: Progress | None = None,
) -> Recording:
    """Count every registered stock now, note what is meant by all, and bring flow records and levels up to date.

    Flow records are kept in the project's calendar and in those of processes, or in the one that is given. They are
    computed for the days that got events since the last run, that are open or have become final since, that were
    never computed, and that overlap ``since <= t < until`` where given; final days among these only with
    ``restate``, which without ``since`` stands for all days. Days before the first event aren't computed, however early
    ``since`` is. ``progress`` is called after each year of days. Running twice changes nothing but adds the stock
    records of another instant. Raises InvalidInput, before it counts, for days that can't be computed.
    """
    calendar = checked_calendar(calendar)
    since, until = checked_days(registry, since, until, calendar)
    counted = count(registry.stocks)
    note_definitions(registry, counted.at if counted else None)
    store(counted)
    computed = record_flows(
        registry, since=since, until=until, restate=restate, calendar=calendar, progress=progress
    )
    kept = record_levels(registry, since=since, until=until, restate=restate)
    return Recording.of(counted, computed, kept)
