"""Segments: in less out of stocks between any two of some instants, added up by the database."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import accumulate
from typing import Any, NamedTuple

from django.db.models import Case, Count, IntegerField, Q, Value, When

from stockandflow.declarations import Stock
from stockandflow.membership.facets import FacetText
from stockandflow.models import Origin, stored_events
from stockandflow.periods import Calendar
from stockandflow.recording.buckets import LocalDate
from stockandflow.spans import Span, merged

BOUNDS = 100
"""Instants within days that one query tells apart."""

Position = tuple[date, int]
"""Where among the segments an instant lies: its local date, and how many bounds come until then."""


class _Cell(NamedTuple):
    """The moves of one stock in one segment, one way, with one text that the events kept of a facet."""

    position: Position
    net: int
    kept: bool
    """Whether all of these events have kept the facet."""
    value: str | None


class Segments:
    """The moves of stocks in the segments into which midnights and the ends of spans cut the time."""

    def __init__(
        self, stocks: Iterable[Stock], calendar: Calendar, spans: Collection[Span], facet: str | None = None
    ) -> None:
        self.calendar, self.facet = calendar, facet
        self._days: dict[datetime, date] = {}
        self.bounds = sorted({at for span in spans for at in span if not self._is_midnight(at)})
        self._cells: dict[str, list[_Cell]] = defaultdict(list)
        slugs: dict[type[Any], list[str]] = defaultdict(list)
        for stock in stocks:
            for model in stock.registry.event_models_of(stock):
                slugs[model].append(stock.slug)
        for pieces in self._pieces(merged(spans)):
            for model, members in slugs.items():
                self._read(model, members, pieces)
        for cells in self._cells.values():
            cells.sort(key=lambda cell: cell.position)
        self._at = {slug: [cell.position for cell in cells] for slug, cells in self._cells.items()}
        self._sums = {
            slug: [0, *accumulate(cell.net for cell in cells)] for slug, cells in self._cells.items()
        }

    def _day(self, at: datetime) -> date:
        if at not in self._days:
            self._days[at] = self.calendar.local_date(at)
        return self._days[at]

    def _is_midnight(self, at: datetime) -> bool:
        return self.calendar.midnight(self._day(at)) == at

    def _pieces(self, spans: Iterable[Span]) -> Iterator[list[Span]]:
        """The spans for each query, cut where it would have to tell apart more than BOUNDS instants."""
        pieces: list[Span] = []
        room = BOUNDS
        for low, high in spans:
            inside = self.bounds[bisect_right(self.bounds, low) : bisect_left(self.bounds, high)]
            start = low
            while len(inside) > room:
                yield [*pieces, (start, inside[room])]
                pieces, start, inside, room = [], inside[room], inside[room + 1 :], BOUNDS
            pieces.append((start, high))
            room -= len(inside)
        if pieces:
            yield pieces

    def _read(self, model: type[Any], slugs: Sequence[str], pieces: Sequence[Span]) -> None:
        low, high = pieces[0][0], pieces[-1][1]
        first, last = bisect_right(self.bounds, low), bisect_left(self.bounds, high)
        part: Any = Value(last)
        if first < last:
            part = Case(
                *(When(timestamp__lt=self.bounds[index], then=Value(index)) for index in range(first, last)),
                default=Value(last),
                output_field=IntegerField(),
            )
        windows = Q(*(Q(timestamp__gte=low, timestamp__lt=high) for low, high in pieces), _connector=Q.OR)
        rows = stored_events(model).filter(windows, Q(source__in=slugs) | Q(sink__in=slugs))
        rows = rows.exclude(origin=Origin.INITIAL)
        rows = rows.annotate(
            sf_day=LocalDate("timestamp", self.calendar.offsets(low, high)),
            sf_part=part,
            sf_value=FacetText(self.facet) if self.facet else Value(""),
        )
        kept = Q(facets__has_key=self.facet) if self.facet else None
        cells = rows.values_list("source", "sink", "sf_day", "sf_part", "sf_value").annotate(
            sf_count=Count("pk"), sf_kept=Count("pk", filter=kept)
        )
        for source, sink, day, number, value, count, known in cells:
            for slug, sign in ((source, -1), (sink, 1)):
                if slug in slugs:
                    self._cells[slug].append(_Cell((day, number), sign * count, known == count, value))

    def _place(self, slug: str, at: datetime) -> int:
        """How many of the stock's segments come before the instant."""
        day = self._day(at)
        midnight = not self.bounds or self._is_midnight(at)
        return bisect_left(self._at[slug], (day, -1 if midnight else bisect_right(self.bounds, at)))

    def net(self, slug: str, low: datetime, high: datetime) -> int:
        """In less out over one of the spans."""
        if slug not in self._at:
            return 0
        sums = self._sums[slug]
        return sums[self._place(slug, high)] - sums[self._place(slug, low)]

    def values(self, slug: str, low: datetime, high: datetime) -> list[tuple[str | None, int]] | None:
        """(Text that the events kept, in less out) over one of the spans; None where an event kept nothing."""
        if slug not in self._at:
            return []
        cells = self._cells[slug][self._place(slug, low) : self._place(slug, high)]
        return [(cell.value, cell.net) for cell in cells] if all(cell.kept for cell in cells) else None
