"""Metrics for Prometheus and whatever reads OpenMetrics, of stored records alone: nothing is counted for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Max, Q, Sum

from stockandflow.declarations import Process
from stockandflow.exceptions import InvalidInput
from stockandflow.models import ALL, FlowRecord, ScheduleEntry
from stockandflow.periods import Grain
from stockandflow.reports import is_small, latest

PREFIX = "stockandflow"
OPENMETRICS = "application/openmetrics-text"


def exposition(processes: Mapping[Process, int], now: datetime, accept: str = "") -> tuple[bytes, str]:
    """The metrics of these processes' stocks and flows, as text, and its media type.

    ``processes`` is process → the size from which on groups of it are told; smaller numbers are left out.

    OpenMetrics where ``accept``, a header, asks for it, else the older text of Prometheus. Three queries, however many
    stocks, flows and records there are. Raises InvalidInput where the library isn't installed.
    """
    try:
        from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an extra: wanted only for metrics
        from prometheus_client import exposition as text  # noqa: PLC0415
        from prometheus_client.openmetrics import exposition as openmetrics  # noqa: PLC0415
    except ImportError as error:
        raise InvalidInput(
            "Metrics need the library prometheus-client; pip install 'django-stockandflow[prometheus]'."
        ) from error
    registry = CollectorRegistry()
    registry.register(_Collector(processes, now))
    if OPENMETRICS in accept:
        return openmetrics.generate_latest(registry), openmetrics.CONTENT_TYPE_LATEST
    return text.generate_latest(registry), text.CONTENT_TYPE_LATEST


class _Collector:
    """What the library asks for metrics."""

    def __init__(self, processes: Mapping[Process, int], now: datetime) -> None:
        self.processes, self.now = processes, now

    def collect(self) -> Iterator[Any]:
        yield from self._stocks()
        yield from self._flows()
        yield from self._schedule()

    def _stocks(self) -> Iterator[Any]:
        members = _gauge("stock_members", "Members of a stock at its last recorded count.", "stock")
        counted = _gauge("stock_counted_timestamp_seconds", "The instant of that count.", "stock")
        age = _gauge("stock_age_seconds", "How long ago that was.", "stock")
        stocks = {stock.slug: stock for process in self.processes for stock in process.stocks}
        least: Counter[str] = Counter()
        for process, size in self.processes.items():
            least |= Counter(dict.fromkeys((stock.slug for stock in process.stocks), size))
        for slug, one in sorted(latest(stocks.values()).items()):
            if is_small(one.count, least[slug]):
                continue
            members.add_metric([slug], one.count)
            counted.add_metric([slug], one.at.timestamp())
            age.add_metric([slug], max(0.0, (self.now - one.at).total_seconds()))
        yield from (members, counted, age)

    def _flows(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415

        moves = CounterMetricFamily(
            f"{PREFIX}_flow_moves", "Moves of a flow, as far as they are recorded.", labels=["flow"]
        )
        read = _gauge(
            "flow_recorded_timestamp_seconds", "The instant as of which its moves were read.", "flow"
        )
        least: Counter[str] = Counter()
        for process, size in self.processes.items():
            least |= Counter(dict.fromkeys((flow.slug for flow in process.flows), size))
        for slug, number, at in self._recorded_moves():
            if is_small(number, least[slug]):
                continue
            moves.add_metric([slug], number)
            read.add_metric([slug], at.timestamp())
        yield from (moves, read)

    def _recorded_moves(self) -> Iterable[tuple[str, int, datetime]]:
        """Flow slug, its moves and as of when, by the records of years: these hold the one under way, too."""
        calendars: dict[str, str] = {}
        for process in self.processes:
            for flow in process.flows:
                calendars.setdefault(flow.slug, process.calendar.key)
        wanted = Q(pk__in=[])
        for key in set(calendars.values()):
            wanted |= Q(calendar=key, flow__in=[slug for slug, of in calendars.items() if of == key])
        years = FlowRecord.objects.filter(wanted, grain=Grain.YEAR, source=ALL, sink=ALL).order_by("flow")
        sums: Any = years.values_list("flow").annotate(number=Sum("count"), read=Max("computed_at"))
        return list(sums)

    def _schedule(self) -> Iterator[Any]:
        seen = _gauge("schedule_seen_timestamp_seconds", "When somebody last called the schedule.")
        at = ScheduleEntry.objects.aggregate(seen=Max("seen_at"))["seen"]
        if at is not None:
            seen.add_metric([], at.timestamp())
        yield seen


def _gauge(name: str, what: str, *labels: str) -> Any:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    return GaugeMetricFamily(f"{PREFIX}_{name}", what, labels=labels)
