"""Records: the stored count of a stock at an instant, and of a flow over a period."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import connections, models, router, transaction

from stockandflow.membership.counting import StockCount, count_stocks
from stockandflow.models.clock import snapshot
from stockandflow.periods import Grain, aware

if TYPE_CHECKING:
    from stockandflow.declarations import Stock

ALL = "*"
"""In a flow record's source and sink: the total over all of them. No slug can be this."""


class StockRecordManager(models.Manager["StockRecord"]):
    """Counts and stores."""

    def take(self, stocks: Sequence[Stock], at: datetime | None = None) -> list[StockRecord]:
        """Count these stocks of one database with their facets and store the records, in the stocks' order.

        ``at`` is the first instant that the count doesn't cover, the database's now unless given. Counting takes the
        queries of ``count_stocks`` and three for the snapshot, storing four.
        """
        if not stocks:
            return []
        with snapshot(stocks[0].queryset.db) as now:
            counts = count_stocks([stock.count_request() for stock in stocks])
        return self.store(counts.values(), now if at is None else aware(at, "at"))

    def store(self, counts: Iterable[StockCount], at: datetime, method: str = "counted") -> list[StockRecord]:
        """Keep counts under one instant; records of the same stocks and instant are replaced. Four queries."""
        counts = list(counts)
        using = router.db_for_write(StockRecord)
        slugs = [count.slug for count in counts]
        with transaction.atomic(using=using):
            StockFacetRecord.objects.using(using).filter(
                stock_record__in=self.using(using).filter(stock__in=slugs, timestamp=at).values("pk")
            ).delete()
            self.using(using).bulk_create(
                [
                    StockRecord(stock=count.slug, timestamp=at, count=count.total, method=method)
                    for count in counts
                ],
                update_conflicts=True,
                update_fields=["count", "method"],
                unique_fields=_conflict_target(using, ["stock", "timestamp"]),
            )
            records = {
                record.stock: record for record in self.using(using).filter(stock__in=slugs, timestamp=at)
            }
            StockFacetRecord.objects.using(using).bulk_create(
                [
                    StockFacetRecord(stock_record=records[count.slug], facet=facet, value=value, count=number)
                    for count in counts
                    for facet, values in count.facets.items()
                    for value, number in values.items()
                ],
                batch_size=5000,
            )
        return [records[slug] for slug in slugs]


def _conflict_target(using: str, names: list[str]) -> list[str] | None:
    # MariaDB upserts on any unique key and takes no list of them.
    return names if connections[using].features.supports_update_conflicts_with_target else None


class StockRecord(models.Model):
    """The count of a stock at an instant: of all its members before ``timestamp``."""

    stock = models.CharField(max_length=100)
    timestamp = models.DateTimeField()
    count = models.PositiveBigIntegerField()
    method = models.CharField(
        max_length=10,
        default="counted",
        choices=[("counted", "counted"), ("derived", "derived from events"), ("imported", "imported")],
    )

    objects = StockRecordManager()

    class Meta:
        ordering = ("-timestamp", "stock")
        get_latest_by = "timestamp"
        constraints = [models.UniqueConstraint(fields=["stock", "timestamp"], name="sf_stock_instant")]
        indexes = [models.Index(fields=["timestamp"], name="sf_stock_timestamp")]
        default_permissions = ("view",)
        # The pages of a process have no model of their own, and all that they show begins with stock records.
        permissions = [("view_process", "Can view the pages of processes")]

    def __str__(self) -> str:
        return f"{self.stock}: {self.count} at {self.timestamp:%Y-%m-%d %H:%M %Z}"


class StockFacetRecord(models.Model):
    """The count of a stock's members with one facet value, at the instant of its stock record."""

    stock_record = models.ForeignKey(StockRecord, models.CASCADE, related_name="facet_records")
    facet = models.CharField(max_length=100)
    value = models.CharField(max_length=200)
    count = models.PositiveBigIntegerField()

    class Meta:
        ordering = ("stock_record", "facet", "id")
        constraints = [
            models.UniqueConstraint(fields=["stock_record", "facet", "value"], name="sf_stock_facet")
        ]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.facet} {self.value}: {self.count}"


class FlowRecord(models.Model):
    """The moves of a flow over one period ``start <= t < end``.

    ``source`` and ``sink`` are slugs, "" for external, and ``*`` in the row that totals the flow; every computed
    period has that row, zero included. ``flow`` is "" for moves that no flow covers, which have no total row.
    ``count`` is the number of events, ``subjects`` of the distinct objects that moved.
    """

    flow = models.CharField(max_length=100, blank=True)
    source = models.CharField(max_length=100, blank=True)
    sink = models.CharField(max_length=100, blank=True)
    grain = models.CharField(max_length=10, choices=[(grain.value, grain.value) for grain in Grain])
    start = models.DateTimeField()
    end = models.DateTimeField()
    count = models.PositiveBigIntegerField()
    subjects = models.PositiveBigIntegerField()
    computed_at = models.DateTimeField()

    class Meta:
        ordering = ("-start", "flow", "source", "sink")
        constraints = [
            models.UniqueConstraint(
                fields=["flow", "source", "sink", "grain", "start"], name="sf_flow_period"
            )
        ]
        indexes = [models.Index(fields=["grain", "start"], name="sf_flow_start")]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.flow or 'other'} {self.source or 'outside'} → {self.sink or 'outside'}: {self.count}"


class Watermark(models.Model):
    """How far the flow records have read the events of one model: all events up to ``event_id`` are in them."""

    event_model = models.CharField(max_length=200, unique=True)
    event_id = models.BigIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.event_model}: {self.event_id}"


class FlowFacetRecord(models.Model):
    """The moves of a flow record's subjects with one facet value, as it was when they moved."""

    flow_record = models.ForeignKey(FlowRecord, models.CASCADE, related_name="facet_records")
    facet = models.CharField(max_length=100)
    value = models.CharField(max_length=200)
    count = models.PositiveBigIntegerField()
    subjects = models.PositiveBigIntegerField()

    class Meta:
        ordering = ("flow_record", "facet", "id")
        constraints = [
            models.UniqueConstraint(fields=["flow_record", "facet", "value"], name="sf_flow_facet")
        ]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.facet} {self.value}: {self.count}"
