"""Stock records: the stored count of a stock at an instant."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import connections, models, router, transaction
from django.utils.translation import gettext_lazy

from stockandflow.batches import batched
from stockandflow.membership.counting import StockCount, count_stocks
from stockandflow.models.clock import SETTLING, snapshot, writing
from stockandflow.models.events import stored_events
from stockandflow.models.keys import KeyField
from stockandflow.models.origin import Origin
from stockandflow.periods import aware

if TYPE_CHECKING:
    from stockandflow.declarations import Stock

logger = logging.getLogger(__name__)

SETTLED_AT_ONCE = 100
"""Instants whose settling moves are summed in one query."""


class StockRecordManager(models.Manager["StockRecord"]):
    """Counts and stores."""

    def take(self, stocks: Sequence[Stock], at: datetime | None = None) -> list[StockRecord]:
        """Count these stocks of one database with their facets and store the records, in the stocks' order.

        ``at`` is the first instant that the count doesn't cover, the database's now unless given. Counting takes the
        queries of ``count_stocks`` and of ``recent_moves`` and three for the snapshot, storing five.
        """
        if not stocks:
            return []
        call_before(stocks)
        with snapshot(stocks[0].queryset.db) as now:
            counts = count_stocks([stock.count_request() for stock in stocks])
            recent = recent_moves(stocks, now) if at is None else {}
        records = self.store(counts.values(), now if at is None else aware(at, "at"), recent=recent)
        call_after(stocks, records)
        return records

    def store(
        self,
        counts: Iterable[StockCount],
        at: datetime,
        method: str = "counted",
        recent: Mapping[str, int] | None = None,
    ) -> list[StockRecord]:
        """Keep counts under one instant; records of the same stocks and instant are replaced. Five queries.

        ``recent`` is what ``recent_moves`` said in the snapshot of the counts.
        """
        counts, recent = list(counts), recent or {}
        using = router.db_for_write(StockRecord)
        slugs = [count.slug for count in counts]
        with writing(using):
            # A count in place of an older record gets a key of its own: by that levels find what is new.
            replaced = self.using(using).filter(stock__in=slugs, timestamp=at)
            StockFacetRecord.objects.using(using).filter(stock_record__in=replaced.values("pk")).delete()
            replaced._raw_delete(using)
            self.db_manager(using).put(
                StockRecord(
                    stock=count.slug,
                    timestamp=at,
                    count=count.total,
                    method=method,
                    recent_net=recent.get(count.slug),
                )
                for count in counts
            )
            records = {
                record.stock: record for record in self.using(using).filter(stock__in=slugs, timestamp=at)
            }
            StockFacetRecord.objects.using(using).bulk_create(
                [
                    StockFacetRecord(
                        stock_record=records[count.slug],
                        facet=facet,
                        value=value,
                        count=number,
                        multi_valued=facet in count.multi_valued,
                    )
                    for count in counts
                    for facet, values in count.facets.items()
                    for value, number in values.items()
                ],
                batch_size=5000,
            )
        return [records[slug] for slug in slugs]

    def put(self, records: Iterable[StockRecord]) -> None:
        """Write records, each in place of the one of its stock and instant. A query for every 1,000."""
        self.bulk_create(
            records,
            batch_size=1000,
            update_conflicts=True,
            update_fields=["count", "method", "computed_at", "carried_from", "revision", "recent_net"],
            unique_fields=conflict_target(self.db, "stock", "timestamp"),
        )


def call_before(stocks: Sequence[Stock]) -> None:
    """Call what the stocks have to be called before they are counted."""
    for stock in stocks:
        for function in stock.before_recording:
            _call(stock, function)


def call_after(stocks: Sequence[Stock], records: Sequence[StockRecord]) -> None:
    """Once the records are committed, call what the stocks have to be called with them."""

    def call() -> None:
        for stock, record in zip(stocks, records, strict=True):
            for function in stock.after_recording:
                _call(stock, function, record)

    if any(stock.after_recording for stock in stocks):
        transaction.on_commit(call, using=router.db_for_write(StockRecord))


def _call(stock: Stock, function: Callable[..., object], *more: object) -> None:
    try:
        function(stock, *more)
    except Exception:
        logger.exception("What was to be called with the recording of the stock %r failed.", stock.slug)


def recent_moves(stocks: Sequence[Stock], at: datetime) -> dict[str, int]:
    """Slug → in less out by the events that were ``settling`` at that instant, of the stocks that are registered.

    Kept with a count, it tells later which moves were under way when it was taken: stamped before ``at`` and not yet
    committed, so that neither the count nor this holds them. One query for each event model.
    """
    known = [stock for stock in stocks if stock.is_registered]
    found = {stock.slug: 0 for stock in known}
    for model in {model for stock in known for model in stock.registry.event_models_of(stock)}:
        events = stored_events(model).filter(settling(at))
        for source, sink, number in events.values_list("source", "sink").annotate(
            sf_count=models.Count("pk")
        ):
            for slug, sign in ((source, -1), (sink, 1)):
                if slug in found:
                    found[slug] += sign * number
    return found


def settling(at: datetime) -> models.Q:
    """The condition that an event was stamped and written down within SETTLING before ``at``, with its change.

    An opening balance is no flow, and what a sweep finds was committed before: counts hold it.
    """
    window = {"timestamp__gte": at - SETTLING, "timestamp__lt": at}
    written = {"recorded_at__gte": at - SETTLING, "recorded_at__lt": at}
    return models.Q(**window, **written) & ~models.Q(origin__in=[Origin.INITIAL, Origin.SWEEP])


def settled_moves(stocks: Iterable[Stock], instants: Iterable[datetime]) -> dict[datetime, Counter[str]]:
    """For each instant, slug → in less out by the events that were settling at it, as they are known by now.

    What a count's snapshot held of them is kept with the record (``recent_moves``); the rest was under way, and
    committed since. One query for each event model and 100 instants.
    """
    found: dict[datetime, Counter[str]] = {at: Counter() for at in sorted(set(instants))}
    event_models = {model for stock in stocks for model in stock.registry.event_models_of(stock)}
    for ordered in batched(list(found), SETTLED_AT_ONCE):
        sums = {f"at_{index}": models.Count("pk", filter=settling(at)) for index, at in enumerate(ordered)}
        windows = models.Q(*(settling(at) for at in ordered), _connector=models.Q.OR)
        for model in event_models:
            events = stored_events(model).filter(windows)
            for source, sink, *counts in events.values_list("source", "sink").annotate(**sums):
                for at, number in zip(ordered, counts, strict=True):
                    found[at][source] -= number
                    found[at][sink] += number
    return found


def conflict_target(using: str, *names: str) -> list[str] | None:
    """The ``unique_fields`` of an upsert there: MariaDB upserts on any unique key and takes no list of them."""
    return list(names) if connections[using].features.supports_update_conflicts_with_target else None


class StockRecord(models.Model):
    """The count of a stock at an instant: of all its members before ``timestamp``."""

    stock = models.CharField(gettext_lazy("stock"), max_length=100)
    timestamp = models.DateTimeField(gettext_lazy("timestamp"))
    count = models.PositiveBigIntegerField(gettext_lazy("count"))
    method = models.CharField(
        gettext_lazy("method"),
        max_length=10,
        default="counted",
        choices=[("counted", "counted"), ("derived", "derived from events"), ("imported", "imported")],
    )
    computed_at = models.DateTimeField(
        gettext_lazy("computed at"),
        null=True,
        help_text=gettext_lazy(
            "When it was derived; of a final level, since when it stands. None where it was counted."
        ),
    )
    carried_from = models.DateTimeField(
        gettext_lazy("carried from"),
        null=True,
        help_text=gettext_lazy(
            "The instant of the count that the events between carried here; None where it was counted."
        ),
    )
    revision = models.PositiveIntegerField(gettext_lazy("revision"), default=1)
    recent_net = models.BigIntegerField(
        gettext_lazy("recent net"),
        null=True,
        editable=False,
        help_text=gettext_lazy(
            "In less out by the events of the hour before that the count's snapshot held."
        ),
    )

    objects = StockRecordManager()

    class Meta:
        verbose_name = gettext_lazy("stock record")
        verbose_name_plural = gettext_lazy("stock records")
        ordering = ("-timestamp", "stock")
        get_latest_by = "timestamp"
        constraints = [models.UniqueConstraint(fields=["stock", "timestamp"], name="sf_stock_instant")]
        indexes = [
            models.Index(fields=["timestamp"], name="sf_stock_timestamp"),
            models.Index(fields=["carried_from"], name="sf_stock_carried_from"),
        ]
        default_permissions = ("view",)
        # The pages of a process have no model of their own, and all that they show begins with stock records.
        permissions = [
            ("view_process", "Can view the pages of processes"),
            ("list_objects", "Can list the objects behind the numbers of processes"),
            ("export_process", "Can export the numbers of processes"),
            ("act_on_objects", "Can run actions on the members of stocks"),
        ]

    def __str__(self) -> str:
        return f"{self.stock}: {self.count} at {self.timestamp:%Y-%m-%d %H:%M %Z}"


class StockFacetRecord(models.Model):
    """The count of a stock's members with one facet value, at the instant of its stock record.

    The counts of a facet sum to the record's, unless it is ``multi_valued``. A facet without records isn't known.
    """

    stock_record = models.ForeignKey(
        StockRecord, models.CASCADE, related_name="facet_records", verbose_name=gettext_lazy("stock record")
    )
    facet = models.CharField(gettext_lazy("facet"), max_length=100)
    value = KeyField(max_length=200)
    count = models.PositiveBigIntegerField(gettext_lazy("count"))
    multi_valued = models.BooleanField(
        gettext_lazy("multi valued"),
        default=False,
        help_text=gettext_lazy("An object may have several of these values, so their counts don't sum."),
    )

    class Meta:
        verbose_name = gettext_lazy("stock facet record")
        verbose_name_plural = gettext_lazy("stock facet records")
        ordering = ("stock_record", "facet", "id")
        constraints = [
            models.UniqueConstraint(fields=["stock_record", "facet", "value"], name="sf_stock_facet")
        ]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.facet} {self.value}: {self.count}"


class LevelWatermark(models.Model):
    """How far the levels of a tracked stock are derived: all midnights of a time zone, ``since <= t <= until``."""

    stock = models.CharField(max_length=100)
    timezone = models.CharField(max_length=100)
    since = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stock", "timezone"], name="sf_level_watermark")]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.stock}, {self.timezone}: {self.until:%Y-%m-%d %H:%M %Z}"
