"""Flow records: the events of whole days, counted and kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import models, router
from django.db.models import Count, Max, Min
from django.db.models.functions import TruncDate

from stockandflow.declarations import Flow
from stockandflow.exceptions import InvalidInput
from stockandflow.membership.facets import FacetText, facet_key
from stockandflow.models import ALL, FlowFacetRecord, FlowRecord, Origin, Watermark
from stockandflow.models.clock import SETTLING, database_now, snapshot, writing
from stockandflow.periods import Calendar, Grain, Period, aware, checked_range
from stockandflow.recording.buckets import LocalDate
from stockandflow.registry import Registry

LAG = SETTLING
"""Events recorded within this time are read again next time, since a transaction may commit them late."""


def record_flows(
    registry: Registry,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    calendar: Calendar | None = None,
) -> tuple[int, int]:
    """Bring the daily flow records up to date; how many (event model, day) were computed, and records written."""
    calendar = calendar or Calendar.default()
    if since is not None and until is not None:
        since, until = checked_range(since, until)
    elif until is not None:
        raise InvalidInput(f"until is {until!r} and since is missing; give both, or since alone.")
    by_model: dict[type[models.Model], list[Flow]] = defaultdict(list)
    for flow in registry.flows:
        by_model[flow.flow_event_model].append(flow)
    periods = written = 0
    for event_model, flows in by_model.items():
        source = _Events(event_model, flows, calendar)
        days = source.days(aware(since) if since else None, aware(until) if until else None)
        written += source.compute(days)
        periods += len(days)
        source.advance()
    return periods, written


class _Events:
    """The events of one model, read for flow records."""

    def __init__(self, model: type[Any], flows: Sequence[Flow], calendar: Calendar) -> None:
        self.model, self.flows, self.calendar = model, flows, calendar
        self.using = router.db_for_read(model)
        self.anew_since: datetime | None = None
        self.rows = model._default_manager.using(self.using).order_by().exclude(origin=Origin.INITIAL)
        self.label = model._meta.label_lower
        self.records = FlowRecord.objects.using(router.db_for_write(FlowRecord)).filter(calendar=calendar.key)

    def days(self, since: datetime | None, until: datetime | None) -> list[Period]:
        """The days to compute, in order."""
        now = database_now(self.using)
        mark = self._mark()
        self.anew_since = mark.anew_since
        fresh = self.rows.filter(pk__gt=mark.event_id)
        dirty = (
            fresh.annotate(sf_day=TruncDate("timestamp", tzinfo=UTC))
            .values_list("sf_day", flat=True)
            .distinct()
        )
        found: set[Period] = set()
        for day in dirty:
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            found.update(self.calendar.periods(Grain.DAY, start, start + timedelta(days=1)))
        # Every day gets its row, also one on which nothing moved: no row means "not computed".
        computed = self.records.filter(flow__in=[flow.slug for flow in self.flows], grain=Grain.DAY)
        known = computed.aggregate(first=Min("start"), last=Max("start"))
        earliest = min((period.start for period in found), default=now)
        for low, high in (
            (earliest, known["first"] or now),
            (known["last"], now),
            (mark.anew_since, now),
            (since, until or now),
        ):
            if low is not None and low <= high:
                found.update(self.calendar.periods(Grain.DAY, low, high + timedelta(microseconds=1)))
        return sorted(period for period in found if period.start <= now)

    def compute(self, days: list[Period]) -> int:
        """Compute whole days anew and replace their records; how many were written."""
        written = 0
        for start in range(0, len(days), 366):
            written += self._compute(days[start : start + 366])
        return written

    def _compute(self, days: list[Period]) -> int:
        since, until = days[0].start, days[-1].end
        wanted = {self.calendar.local_date(period.start): period for period in days}
        with snapshot(self.using) as at:
            local = LocalDate("timestamp", self.calendar.offsets(since, until))
            rows = self.rows.filter(timestamp__gte=since, timestamp__lt=until).annotate(sf_day=local)
            measures = {"sf_count": Count("pk"), "sf_subjects": Count("subject", distinct=True)}
            pairs = list(rows.values_list("flow", "source", "sink", "sf_day").annotate(**measures))
            totals = {
                (flow, day): (count, subjects)
                for flow, day, count, subjects in rows.values_list("flow", "sf_day").annotate(**measures)
            }
            facets = list(self._facets(rows, measures))
        slugs = [flow.slug for flow in self.flows]
        # Moves that no flow covers are known by their stocks, since an empty flow has no event model.
        covered = {stock.slug for flow in self.flows for stock in flow.stocks}
        made = [
            FlowRecord(
                flow=flow,
                source=source,
                sink=sink,
                count=count,
                subjects=subjects,
                **self._of(wanted[day], at),
            )
            for flow, source, sink, day, count, subjects in pairs
            if day in wanted and (flow in slugs or (not flow and covered & {source, sink}))
        ]
        for slug in slugs:
            for day, period in wanted.items():
                count, subjects = totals.get((slug, day), (0, 0))
                made.append(
                    FlowRecord(
                        flow=slug,
                        source=ALL,
                        sink=ALL,
                        count=count,
                        subjects=subjects,
                        **self._of(period, at),
                    )
                )
        starts = [period.start for period in days]
        others = models.Q(flow="") & (models.Q(source__in=covered) | models.Q(sink__in=covered))
        using = self.records.db
        with writing(using):
            # One writer at a time, so what it replaces is gone before the next one looks. All wait for the same rows,
            # in one order: on MariaDB recordings of two event models lock some of each other's records.
            list(Watermark.objects.using(using).select_for_update().order_by("pk"))
            old = self.records.filter(models.Q(flow__in=slugs) | others, grain=Grain.DAY, start__in=starts)
            FlowFacetRecord.objects.using(using).filter(flow_record__in=old.values("pk")).delete()
            old.delete()
            self.records.bulk_create(made, batch_size=2000)
            keys = self.records.filter(
                flow__in=slugs, source=ALL, sink=ALL, grain=Grain.DAY, start__in=starts
            )
            ids = {(flow, start): pk for pk, flow, start in keys.values_list("pk", "flow", "start")}
            FlowFacetRecord.objects.using(using).bulk_create(
                [
                    FlowFacetRecord(
                        flow_record_id=ids[flow, wanted[day].start],
                        facet=facet,
                        value=value,
                        count=n,
                        subjects=m,
                    )
                    for facet, flow, day, value, n, m in facets
                    if day in wanted
                ],
                batch_size=2000,
            )
        return len(made)

    def _facets(
        self, rows: models.QuerySet[Any], measures: dict[str, Count]
    ) -> Iterable[tuple[str, str, date, str, int, int]]:
        """(facet slug, flow slug, day, value key, events, subjects); one query a facet."""
        columns = {
            facet.slug: facet.column(flow.subject_model)
            for flow in self.flows
            for facet in flow.applied_facets
        }
        for slug, column in columns.items():
            flows = [
                flow.slug for flow in self.flows if slug in {facet.slug for facet in flow.applied_facets}
            ]
            cells = rows.filter(flow__in=flows).annotate(sf_value=FacetText(slug))
            merged: dict[tuple[str, date, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
            for flow, day, text, count, subjects in cells.values_list("flow", "sf_day", "sf_value").annotate(
                **measures
            ):
                key = flow, day, facet_key(None) if text is None else column.key(text)
                merged[key] = merged[key][0] + count, merged[key][1] + subjects
            for (flow, day, value), (count, subjects) in merged.items():
                yield slug, flow, day, value, count, subjects

    def advance(self) -> None:
        """Move the watermark up to the first event that was recorded within LAG; no further."""
        mark = self._mark()
        events = self.model._default_manager.using(self.using).filter(pk__gt=mark.event_id)
        recent = models.Q(recorded_at__gte=database_now(self.using) - LAG)
        found = events.aggregate(recent=Min("pk", filter=recent), last=Max("pk"))
        last = found["last"] if found["recent"] is None else found["recent"] - 1
        if last is not None and last > mark.event_id:
            Watermark.objects.filter(pk=mark.pk).update(event_id=last)
        if self.anew_since is not None:
            # Unless another import asked for more meanwhile.
            Watermark.objects.filter(pk=mark.pk, anew_since=self.anew_since).update(anew_since=None)

    def _mark(self) -> Watermark:
        """What the records have taken in so far; no event before the first run."""
        return Watermark.objects.get_or_create(event_model=self.label, calendar=self.calendar.key)[0]

    def _of(self, period: Period, at: datetime) -> dict[str, Any]:
        return {
            "calendar": self.calendar.key,
            "grain": Grain.DAY,
            "start": period.start,
            "end": period.end,
            "computed_at": at,
        }
