"""Recording: stocks counted at an instant and flows over whole days, kept so that reports need not count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from stockandflow.periods import Calendar
from stockandflow.recording.counting import Counted, count, store
from stockandflow.recording.definitions import changed_definitions, note_definitions
from stockandflow.recording.flows import LAG, record_flows
from stockandflow.registry import Registry

__all__ = [
    "LAG",
    "Counted",
    "Recording",
    "changed_definitions",
    "count",
    "note_definitions",
    "record",
    "record_flows",
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

    @classmethod
    def of(cls, counted: Counted | None, periods: int, flow_records: int) -> Recording:
        """What a run recorded that counted ``counted`` and made so many flow records."""
        counts = counted.counts if counted else ()
        return cls(
            at=counted.at if counted else None,
            stocks=len(counts),
            facet_values=sum(len(values) for count in counts for values in count.facets.values()),
            periods=periods,
            flow_records=flow_records,
        )

    def __str__(self) -> str:
        return (
            f"{self.stocks} stocks with {self.facet_values} facet values, "
            f"{self.flow_records} flow records over {self.periods} {'day' if self.periods == 1 else 'days'}"
        )


def record(
    registry: Registry,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    calendar: Calendar | None = None,
) -> Recording:
    """Count every registered stock now, note what is meant by all, and bring the daily flow records up to date.

    Flow records are computed for the days that got events since the last run, for those from the last computed day to
    today, and for all days that overlap ``since <= t < until`` where given. Running twice changes nothing but adds
    the stock records of another instant.
    """
    counted = count(registry.stocks)
    note_definitions(registry, counted.at if counted else None)
    store(counted)
    return Recording.of(counted, *record_flows(registry, since=since, until=until, calendar=calendar))
