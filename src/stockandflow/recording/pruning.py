"""Pruning: what is older than the setting RETENTION says goes, and every balance over whole days stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import router, transaction
from django.db.models import QuerySet

from stockandflow.models import ALL, FlowFacetRecord, FlowRecord, StockRecord, Watermark
from stockandflow.models.clock import database_now
from stockandflow.periods import Calendar, Grain
from stockandflow.recording.horizons import computable_since, horizon_at
from stockandflow.recording.ledgers import Ledger, ledgers
from stockandflow.recording.old_events import BATCH, OldEvents, Progress
from stockandflow.recording.retention import Retention
from stockandflow.recording.thinning import thin
from stockandflow.registry import Registry


@dataclass(frozen=True)
class Pruned:
    """What a run deleted, or with ``dry_run`` would delete.

    ``events`` is label of the event model → events, ``horizons`` → since when they are all kept. ``refused`` is label
    → why none of its events went.
    """

    events: Mapping[str, int] = field(default_factory=dict)
    horizons: Mapping[str, datetime] = field(default_factory=dict)
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flow_records: int = 0
    stock_records: int = 0
    dry_run: bool = False

    def __bool__(self) -> bool:
        return bool(sum(self.events.values()) or self.flow_records or self.stock_records)

    def __str__(self) -> str:
        parts = [
            f"{_number(number, 'event')} of {label} before {self.horizons[label]:%Y-%m-%d}"
            for label, number in self.events.items()
            if number
        ]
        parts += [
            _number(number, noun)
            for number, noun in ((self.flow_records, "flow record"), (self.stock_records, "count"))
            if number
        ]
        return ", ".join(parts) or "nothing"


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def prune(
    registry: Registry,
    *,
    retention: Retention | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Pruned:
    """Delete events, flow records and counts that are older than ``retention`` says, by default the setting.

    Events go in whole years of all calendars, so some stay up to a year longer. They stay where a balance would become
    wrong, and ``refused`` says why. Running twice deletes nothing more. With ``dry_run`` nothing is written. Raises
    InvalidInput for a setting that can't be.
    """
    retention = Retention.of_settings() if retention is None else retention
    if not retention:
        return Pruned(dry_run=dry_run)
    now = database_now(router.db_for_write(StockRecord))
    kept = ledgers(registry)
    events: dict[str, int] = {}
    horizons: dict[str, datetime] = {}
    refused: dict[str, tuple[str, ...]] = {}
    if retention.events is not None:
        horizon = horizon_at({ledger.calendar for ledger in kept}, now - retention.events)
        for old in _old_events(registry, kept, horizon):
            number = old.superfluous().count()
            if not number:
                continue
            if reasons := old.why_not():
                refused[old.label] = tuple(reasons)
                continue
            horizons[old.label] = old.horizon
            if not dry_run:
                old.settle()
                number = old.delete(progress)
            events[old.label] = number
    return Pruned(
        events=events,
        horizons=horizons,
        refused=refused,
        flow_records=_prune_flow_records(retention, kept, now, horizons, dry_run=dry_run),
        stock_records=thin(retention, registry.calendars(), now, dry_run=dry_run),
        dry_run=dry_run,
    )


def _old_events(registry: Registry, kept: Sequence[Ledger], horizon: datetime) -> Iterator[OldEvents]:
    """The old events of each model; a horizon never goes back."""
    for model in registry.event_models():
        mine = tuple(ledger for ledger in kept if ledger.event_model is model)
        yield OldEvents(registry, model, mine, max(horizon, Watermark.horizon_of(model) or horizon))


def _prune_flow_records(
    retention: Retention,
    kept: Sequence[Ledger],
    now: datetime,
    horizons: Mapping[str, datetime],
    *,
    dry_run: bool,
) -> int:
    """Delete old flow records of days that aren't computed any more; how many went, or would."""
    if not retention.flow_records:
        return 0
    number = 0
    whole: dict[Calendar, list[datetime | None]] = {}
    for ledger in kept:
        horizon = horizons.get(ledger.label) or Watermark.horizon_of(ledger.event_model)
        computable = computable_since(ledger.calendar, horizon)
        # The days of the year's first week are part of one that is still computed.
        closed = computable and ledger.calendar.period(Grain.WEEK, computable).start
        whole.setdefault(ledger.calendar, []).append(closed)
        if closed is not None:
            number += _prune_closed(ledger.records(), retention, now, closed, dry_run=dry_run)
    for calendar, found in whole.items():
        # Totals of flows that are declared no more belong to no event model.
        others = (
            FlowRecord.objects.using(kept[0].writing).filter(calendar=calendar.key, source=ALL).order_by()
        )
        others = others.exclude(flow__in=kept[0].registered)
        ends = [closed for closed in found if closed is not None]
        if len(ends) == len(found):
            number += _prune_closed(others, retention, now, min(ends), dry_run=dry_run)
    return number


def _prune_closed(
    records: QuerySet[FlowRecord], retention: Retention, now: datetime, closed: datetime, *, dry_run: bool
) -> int:
    """Delete those of these records that are old and end until ``closed``; how many went, or would."""
    number = 0
    for grain, age in retention.flow_records.items():
        old = records.filter(grain=grain, end__lte=min(now - age, closed))
        number += old.count() if dry_run else _delete(old)
    return number


def _delete(records: QuerySet[FlowRecord]) -> int:
    number = 0
    while keys := list(records.values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic(using=records.db):
            FlowFacetRecord.objects.using(records.db).filter(flow_record__in=keys).delete()
            FlowRecord.objects.using(records.db).filter(pk__in=keys).delete()
        number += len(keys)
    return number
