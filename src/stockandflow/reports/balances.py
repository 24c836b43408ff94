"""Balances: what a process held, what came, what went, and what nobody can explain.

    opening + inflow − outflow + unexplained = closing

Levels come from counts (stock records, and the live tables for now); flows come from flow records, and from events
where none stand. Where they disagree, the difference is shown as *unexplained*.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from django.db.models import QuerySet

from stockandflow.declarations import Facet, Flow, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.membership.counting import Values
from stockandflow.models import Origin, Restatement, told_since
from stockandflow.models.clock import snapshot
from stockandflow.periods import Grain, Period, Status, checked_range
from stockandflow.reports.comparing import Compare, compared_bounds, compared_span
from stockandflow.reports.events import checked_process
from stockandflow.reports.levels import (
    UNKNOWN,
    YOUNG,
    Anchor,
    Level,
    between,
    level,
    live,
    nearest_to,
    recorded,
    tracker_of,
    trackers_of,
)
from stockandflow.reports.planning import Span
from stockandflow.reports.reading import Moves, read
from stockandflow.reports.restating import in_force
from stockandflow.reports.results import OUTSIDE, Balance, FlowLine, StockBalance, stock_names
from stockandflow.reports.slicing import Slicing, asked
from stockandflow.reports.stored import Move

MOST_PARTS = 400
"""A year of days. More parts than that are for ``series``."""


def balance(
    process: Process,
    since: datetime,
    until: datetime,
    *,
    grain: Grain | str | None = None,
    facets: Mapping[str, Any] | None = None,
    split_by: str | None = None,
    compare: Compare | None = None,
    now_by: Collection[str] = (),
    known: Mapping[Facet, Values] | None = None,
) -> Balance:
    """The balance of a process over ``since <= t < until``; an ``until`` in the future means now.

    ``grain`` adds a balance for each period of the range as ``parts``. ``facets`` is one facet slug → value, and then
    the balance is about the objects with that value; ``split_by``, a facet's slug, adds a balance for each of its
    values as ``slices``. ``now_by`` are slugs of facets by which levels of now are counted too, in the same query, as
    ``values`` of the stocks that have them; a range that is over has none. ``compare`` adds the range before
    (``"previous"``) or a year before (``"year"``). With a ``grain`` these have parts as well: those of a slice are the
    range's, those of the other range pair with them. ``known`` gives what facets declare, as a function, where it was
    asked already.

    Whole days that are over and recorded are read from records, in the coarsest periods that fit; the rest, and days
    that aren't final and got events since, from events. Raises InvalidInput for naive datetimes, for ``until`` not
    after ``since``, for a ``since`` in the future, for a grain, facet, value or comparison that there isn't, and where
    it takes events that were pruned.

    Queries, whatever the range, the history and the number of stocks, flows and parts: those of the snapshot; one each
    for the stock records, the watermarks and the flow records; two for each event model; one for each model where live
    counts are needed: up to now, or where no record stands; one where a number was restated. That is at most eight
    with one of each. A facet takes two more, and one where its values are a queryset that isn't ``known``, as each of
    ``now_by`` does.
    """
    since, until = checked_range(since, until)
    slicing, value = asked(checked_process(process), facets, split_by, known)
    known = {**(known or {}), **(slicing.known if slicing else {})}
    bounds = _bounds(process, since, until, grain)
    if compare is not None:
        compared_span((since, until), until, compare, process.calendar)
    # One snapshot for counts and events: a move between the two would seem unexplained.
    # What is raised inside the snapshot would spoil a transaction that was open before.
    refused = InvalidInput(f"since ({since.isoformat()}) is in the future; it must be before now.")
    report = None
    with snapshot(process.stocks[0].queryset.db) as now:
        try:
            if since < now:
                report = _Report(process, (since, until), now, bounds, slicing, compare, now_by, known)
        except InvalidInput as error:
            refused = error
    if report is None:
        raise refused
    if slicing is not None and value is not None:
        slicing.check(value, report.values)
    return report.balance(value, split=split_by is not None)


def _bounds(process: Process, since: datetime, until: datetime, grain: Grain | str | None) -> list[datetime]:
    """Where the parts of the range begin and end; none without a grain."""
    if grain is None:
        return []
    wanted = process.calendar.period(Grain(grain) if grain in list(Grain) else grain, since).grain  # type: ignore[arg-type]
    if wanted is Grain.HOUR:
        raise InvalidInput("grain is 'hour'; a balance has parts of days or more, and series() has hours.")
    starts = []
    for period in process.calendar.periods(wanted, since, until):
        starts.append(max(period.start, since))
        if len(starts) > MOST_PARTS:
            raise InvalidInput(
                f"grain is {wanted.value!r}, and the range has more than {MOST_PARTS} of these; take a coarser grain, "
                "a shorter range, or series()."
            )
    return [*starts, until]


@dataclass(frozen=True)
class _Levels:
    """The levels at the two ends of a span: slug → level."""

    opening: Mapping[str, Level]
    closing: Mapping[str, Level]


class _Report:
    """Everything that the balances of one call are made of. All its queries are made when it is built."""

    def __init__(
        self,
        process: Process,
        asked_for: Span,
        now: datetime,
        bounds: list[datetime],
        slicing: Slicing | None,
        compared: Compare | None,
        now_by: Collection[str],
        known: Mapping[Facet, Values],
    ) -> None:
        self.process, self.until, self.now, self.slicing = process, asked_for[1], now, slicing
        self.facet, self.now_by, self.known = slicing.slug if slicing else "", now_by, known
        self.stocks = list(process.stocks)
        self.tracked = {s.slug for s in self.stocks if s.registry.tracker_of(s) is not None}
        self.in_progress = self.until > now
        self.span = asked_for[0], min(self.until, now)
        reached = [bound for bound in bounds if bound < self.span[1]]
        self.bounds = [*reached, self.span[1]] if reached else []
        self.ends = dict(zip(reached, bounds[1:], strict=False))
        self.compared = compared and compared_span(asked_for, now, compared, process.calendar)
        if self.compared and self.compared[0] >= self.compared[1]:
            self.compared = None
        self.compared_bounds = (
            compared_bounds(self.bounds, asked_for, self.compared, compared, process.calendar)
            if self.compared and compared and self.bounds
            else []
        )
        self.anchors = self._anchors()
        self.moves = self._moves()
        self.restated = self._restated()

    # What is read.

    @property
    def outer(self) -> set[datetime]:
        """The instants whose levels are carried there from the nearest count, where none stands."""
        return {*self.span, *(self.compared or ())} - ({self.span[1]} if self.in_progress else set())

    def _anchors(self) -> dict[str, dict[datetime, Anchor]]:
        """Slug → instant → what its level there is known by."""
        inner = {*self.bounds[1:-1], *self.compared_bounds[1:-1]}
        recent = {at for at in inner if at > self.now - YOUNG}  # where no level may stand that is final
        nearest = {
            stock: self.outer | (recent if stock.slug in self.tracked else inner) for stock in self.stocks
        }
        records = recorded(nearest, inner, self.now, self.facet)
        now = live(
            [stock for stock in self.stocks if self.in_progress or stock.slug not in records],
            self.now,
            self.facet,
            self.now_by if self.in_progress else (),
            self.known,
        )
        found: dict[str, dict[datetime, Anchor]] = {}
        unseen_until = told_since(trackers_of(stock for stock in self.stocks if stock.slug not in records))
        now = {slug: replace(one, told_since=unseen_until.get(slug)) for slug, one in now.items()}
        for stock, instants in nearest.items():
            slug = stock.slug
            known = records.get(slug) or [now[slug]]
            found[slug] = {one.at: one for one in known if one.at in inner}
            found[slug] |= {at: one for at in instants if (one := nearest_to(at, known)) is not None}
            if self.in_progress:
                found[slug][self.span[1]] = now[slug]
        return found

    def _moves(self) -> Mapping[Span, Moves]:
        spans = {self.span, *pairwise(self.bounds)} | ({self.compared} if self.compared else set())
        empty = {span for span in pairwise(self.compared_bounds) if span[0] == span[1]}
        spans |= {*pairwise(self.compared_bounds)} - empty
        spans |= {
            between(anchor, at)
            for slug in self.tracked
            for at, anchor in self.anchors[slug].items()
            if anchor.at != at
        }
        counted_at = {a.at for ones in self.anchors.values() for a in ones.values() if a.recent is not None}
        found = read(
            self.process,
            spans,
            self.now,
            counted_at=counted_at,
            if_kept=self._before_the_capture(),
            facet=self.facet,
            columns=self.slicing.columns() if self.slicing else None,
            split=self.slicing.flows() if self.slicing else (),
        )
        self.anchors = {
            slug: {at: anchor.settled(found.settled, slug) for at, anchor in ones.items()}
            for slug, ones in self.anchors.items()
        }
        self.recorded_since = found.begun
        known = {**self._captured_since(), **found.begun}
        self.begun = {
            flow: known[flow.flow_event_model]
            for flow in self.process.flows
            if flow.flow_event_model in known
        }
        self._fold(found.moves.values())
        return {**found.moves, **{span: Moves() for span in empty}}

    def _captured_since(self) -> dict[type[Any], datetime]:
        """Event model → since when it tells where all subjects stood, where that isn't always."""
        found: dict[type[Any], datetime] = {}
        for stock in self.stocks:
            began, tracker = self._began(stock), tracker_of(stock)
            if began is not None and tracker is not None:
                found[tracker.events] = max(began, found.get(tracker.events, began))
        return found

    def _began(self, stock: Stock) -> datetime | None:
        return next((one.told_since for one in self.anchors[stock.slug].values()), None)

    def _before_the_capture(self) -> set[Span]:
        """Each range or part in which the capture began until then, where levels are carried back over it."""
        begun = {
            one.begun
            for ones in self.anchors.values()
            for at, one in ones.items()
            if one.begun and not one.tells(at)
        }
        spans = [self.span, *pairwise(self.bounds), *pairwise(self.compared_bounds)]
        spans += [self.compared] if self.compared else []
        return {(low, at) for at in begun for low, high in spans if low < at <= high}

    def _fold(self, moves: Iterable[Moves]) -> None:
        """Have the values of moves called as those of levels are, and know which there are."""
        self.values: list[str] = []
        self.apart: frozenset[str] = frozenset()
        if self.slicing is None:
            return
        levels = {
            value
            for ones in self.anchors.values()
            for anchor in ones.values()
            for value in anchor.values or ()
        }
        self.apart = self.slicing.apart(levels)
        moved = set()
        for one in moves:
            moved |= set(one.values)
            folded: defaultdict[str, Counter[Move]] = defaultdict(Counter)
            for value, counts in one.values.items():
                folded[self.slicing.folded(value, levels)].update(counts)
            one.values = folded
        self.values = self.slicing.values(levels, moved)

    def _restated(self) -> list[Restatement]:
        at_instant = [
            anchor for ones in self.anchors.values() for at, anchor in ones.items() if anchor.at == at
        ]
        revised = any(moves.revised for moves in self.moves.values())
        if not self.slicing and not revised and all(anchor.revision == 1 for anchor in at_instant):
            return []
        periods = {period for moves in self.moves.values() for period in moves.periods}
        periods |= {period for span in self.moves if (period := self._whole(span))}
        return in_force(self.process, periods, {anchor.at for anchor in at_instant}, self.facet)

    def _whole(self, span: Span) -> Period | None:
        """The stored period that the span is, if it is one."""
        grain = self.process.calendar.grain_of(*span)
        return Period(*span, grain) if grain else None

    # What is made of it.

    def balance(self, value: str | None, *, split: bool) -> Balance:
        """The whole, or one slice of it, with all that was asked for beside."""
        whole = self._of(self.span, self.until, self._ends(self.span, value), value)
        compared = self.compared
        return replace(
            whole,
            parts=tuple(self._parts(self.bounds, self.ends, value)),
            slices={
                key: replace(
                    self._of(self.span, self.until, self._ends(self.span, key), key),
                    parts=tuple(self._parts(self.bounds, self.ends, key)),
                )
                for key in (self.values if split else ())
            },
            compared=compared
            and replace(
                self._of(compared, compared[1], self._ends(compared, value), value),
                parts=tuple(self._parts(self.compared_bounds, {}, value)),
            ),
        )

    def _level(self, slug: str, at: datetime, value: str | None) -> Level:
        anchor = self.anchors[slug].get(at)
        return level(slug, at, anchor, self.moves, self.now, tracked=slug in self.tracked, value=value)

    def _told(self, levels: _Levels, span: Span) -> _Levels:
        """Without the levels that were carried back to before the capture began, unless it began in the span."""
        opening, closing = (
            {slug: self._told_of(slug, one, at, span[1]) for slug, one in ones.items()}
            for at, ones in zip(span, (levels.opening, levels.closing), strict=True)
        )
        return _Levels(opening, closing)

    def _told_of(self, slug: str, level: Level, at: datetime, until: datetime) -> Level:
        anchor = level.anchor
        if anchor is None or anchor.begun is None or anchor.tells(at):
            return level
        if not anchor.tells(at, until):
            return UNKNOWN
        before = self.moves.get((at, anchor.begun))
        if before is None or any(slug in move[1:] for move in before.counts):
            return level
        return replace(level, begun=anchor.begun)

    def _ends(self, span: Span, value: str | None) -> _Levels:
        opening, closing = (
            {stock.slug: self._level(stock.slug, at, value) for stock in self.stocks} for at in span
        )
        return _Levels(opening, closing)

    def _parts(
        self, bounds: list[datetime], ends: Mapping[datetime, datetime], value: str | None
    ) -> Iterable[Balance]:
        """A balance for each part; where no record stands between two, the level before is carried on by moves.

        ``ends`` has until when a part was asked for, by its beginning, where that isn't the next bound.
        """
        if not bounds:
            return
        whole = self._ends((bounds[0], bounds[-1]), value)
        opening: Mapping[str, Level] = whole.opening
        for span in pairwise(bounds):
            last = span[1] == bounds[-1]
            closing = whole.closing if last else self._carried_on(opening, span, value)
            yield self._of(span, ends.get(span[0], span[1]), _Levels(opening, closing), value)
            opening = closing

    def _carried_on(self, opening: Mapping[str, Level], span: Span, value: str | None) -> dict[str, Level]:
        found = {}
        for slug, before in opening.items():
            found[slug] = self._level(slug, span[1], value)
            unknown = found[slug].count is None
            if unknown and value is None and slug in self.tracked and before.count is not None:
                number = max(0, before.count + self.moves[span].net(slug))
                found[slug] = Level(number, "derived", Status.PROVISIONAL, before.anchor)
        return found

    def _of(self, span: Span, until: datetime, levels: _Levels, value: str | None) -> Balance:
        moves, in_progress, levels = self.moves[span], until > self.now, self._told(levels, span)
        ins, outs, beside = self._lines(moves, value)
        stocks = self.slicing.stocks if self.slicing and value is not None else self.stocks
        given = {} if value is None else {self.facet: value}
        restated = self._behind(span, moves, value)
        flows_known = {stock: self._knows_flows(stock, span, moves) for stock in stocks}
        lines = tuple(
            StockBalance(
                stock=stock,
                opening=(opened := levels.opening[stock.slug]).count,
                closing=(closed := levels.closing[stock.slug]).count,
                inflows=tuple(ins[stock.slug]),
                outflows=tuple(outs[stock.slug]),
                opening_method=opened.method,
                closing_method=closed.method,
                tracked=stock.slug in self.tracked,
                counted_once=stock.slug in self.tracked
                and opened.anchor is not None
                and closed.anchor is not None
                and opened.anchor.counted_at == closed.anchor.counted_at,
                status=self._status(
                    stock, moves, opened, closed, flows_known=flows_known[stock], in_progress=in_progress
                ),
                restated=tuple(one for one in restated if stock.slug in (one.slug, one.source, one.sink)),
                slice=given,
                opening_computed_at=_computed_at(opened, span[0]),
                closing_computed_at=_computed_at(closed, span[1]),
                flows_known=flows_known[stock],
                opening_at=opened.begun,
                values=closed.anchor.by if in_progress and value is None and closed.anchor else {},
            )
            for stock in stocks
        )
        # One count carried both ways, and cut at 0 on one of them: events are missing, and the note would be wrong.
        lines = tuple(
            replace(line, counted_once=line.counted_once and not line.unexplained) for line in lines
        )
        return Balance(
            process=self.process,
            since=span[0],
            until=until,
            at=span[1],
            in_progress=in_progress,
            stocks=lines,
            beside=beside,
            origins=dict(moves.origins) if value is None else {},
            status=_together(line.status for line in lines),
            restated=tuple(restated),
            slice=given,
            begun=self.begun,
            apart=self.apart if value is not None else frozenset(),
        )

    def _knows_flows(self, stock: Stock, span: Span, moves: Moves) -> bool:
        """Whether the stock's moves in a span are known: there are some, it was watched by then, or records tell."""
        began, tracker = self._began(stock), tracker_of(stock)
        if tracker is not None and (began is None or began < span[1]):
            return True
        moved = any(stock.slug in move[1:] for move in moves.counts)
        if tracker is None or began is None or moved:
            return moved
        # Of a history of some, whose days are computed.
        recorded = self.recorded_since.get(tracker.events)
        day = self.process.calendar.period(Grain.DAY, began).start
        return recorded is not None and recorded < min(day, span[1])

    def _behind(self, span: Span, moves: Moves, value: str | None) -> list[Restatement]:
        """The restatements behind a span; that of the span itself stands for those of its parts."""
        found = [one for one in self.restated if self._is_behind(one, span, moves, value)]
        whole = {_moved(one) for one in found if one.kind == "flow" and (one.start, one.end) == span}
        return [one for one in found if (one.start, one.end) == span or _moved(one) not in whole]

    def _is_behind(self, one: Restatement, span: Span, moves: Moves, value: str | None) -> bool:
        if (self.slicing is not None) != bool(one.facet) or (value is not None and one.value != value):
            return False
        if one.kind == "stock":
            return one.start in span
        periods = (*moves.periods, self._whole(span)) if moves.periods else ()
        return any(one.start == period.start and one.grain == period.grain for period in periods if period)

    def _status(
        self,
        stock: Stock,
        moves: Moves,
        opening: Level,
        closing: Level,
        *,
        flows_known: bool,
        in_progress: bool,
    ) -> Status:
        """What can still change of the numbers that are known."""
        if in_progress:
            return Status.IN_PROGRESS
        known = {level.status for level in (opening, closing) if level.count is not None}
        if flows_known:
            final = moves.final or stock.slug not in self.tracked
            known.add(Status.FINAL if final else Status.PROVISIONAL)
        return _together(known)

    def _lines(
        self, moves: Moves, value: str | None
    ) -> tuple[dict[str, list[FlowLine]], dict[str, list[FlowLine]], tuple[FlowLine, ...]]:
        """Stock slug → the lines into it, → those out of it, and the lines that touch none of the process's stocks.

        Moves of flows outside the process are all "Other".
        """
        flows = {flow.slug: flow for flow in self.process.flows}
        order = {slug: position for position, slug in enumerate(flows)}
        names = stock_names(self.process)
        counts = moves.counts if value is None else moves.values.get(value, Counter())
        subjects = moves.subjects if value is None else None
        merged: dict[tuple[Flow | None, str, str], list[Move]] = defaultdict(list)
        for move in counts:
            merged[flows.get(move[0]), move[1], move[2]].append(move)
        lines = [
            FlowLine(
                flow,
                source,
                sink,
                sum(counts[move] for move in same),
                names.get(source, source) or OUTSIDE,
                names.get(sink, sink) or OUTSIDE,
                subjects[same[0]] if subjects is not None and len(same) == 1 else None,
                min((at for move in same if (at := moves.computed_at.get(move))), default=None),
            )
            for (flow, source, sink), same in merged.items()
        ]
        lines.sort(
            key=lambda line: (order[line.flow.slug] if line.flow else len(order), line.source, line.sink)
        )
        ins: dict[str, list[FlowLine]] = defaultdict(list)
        outs: dict[str, list[FlowLine]] = defaultdict(list)
        for line in lines:
            ins[line.sink].append(line)
            outs[line.source].append(line)
        own = {stock.slug for stock in self.stocks}
        return ins, outs, tuple(line for line in lines if own.isdisjoint((line.source, line.sink)))


def _computed_at(level: Level, at: datetime) -> datetime | None:
    """When a level was computed that stands in the records of that instant."""
    return level.anchor.computed_at if level.anchor and level.anchor.at == at else None


def _moved(one: Restatement) -> tuple[str, ...]:
    """What a restatement is of, whatever its period."""
    return one.kind, one.slug, one.source, one.sink, one.facet, one.value


def _together(statuses: Iterable[Status]) -> Status:
    """The status of numbers of which each has its own; what isn't known of some doesn't spoil the others."""
    found = set(statuses)
    if Status.IN_PROGRESS in found:
        return Status.IN_PROGRESS
    if known := found - {Status.GAP}:
        return Status.FINAL if known == {Status.FINAL} else Status.PROVISIONAL
    return Status.GAP


def events_of(flow: Flow, since: datetime, until: datetime) -> QuerySet[Any]:
    """The events of a flow over ``since <= t < until``, newest first. No query yet."""
    since, until = checked_range(since, until)
    return flow.all().filter(timestamp__gte=since, timestamp__lt=until).exclude(origin=Origin.INITIAL)
