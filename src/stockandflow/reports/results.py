"""What a report is made of: lines of flows, balances of stocks, and the balance of a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, cast

from django.utils.translation import gettext_noop

from stockandflow.declarations import Flow, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.membership.facets import OTHER as OTHER_VALUES
from stockandflow.models import Restatement
from stockandflow.periods import Status
from stockandflow.reports.numbers import Kind, Measure, Number, slice_of

Method = Literal["counted", "derived", "imported", "nearest", "unknown"]

NUMBERS = ("opening", "inflow", "outflow", "net", "unexplained", "reclassified", "closing")
"""The numbers of a stock's line."""
OUTSIDE = gettext_noop("outside")
OTHER = gettext_noop("Other")
ELSEWHERE_NAME = gettext_noop("elsewhere")
"""The name of what stands in for stocks that are hidden from the reader."""


def stock_names(process: Process) -> dict[str, str]:
    """Slug → name of each stock that the process, or a flow of it, has."""
    of_flows = {stock.slug: stock.name for flow in process.flows for stock in flow.stocks}
    return of_flows | {stock.slug: stock.name for stock in process.stocks}


@dataclass(frozen=True)
class FlowLine:
    """The moves of one flow between one source and one sink; ``flow`` is None for moves that no flow covers.

    ``subjects`` are the distinct objects that made them. It is None where records don't tell it: they do for a range
    that is one stored period, or that begins with one and consists of whole days of it. ``computed_at`` is when the
    earliest of its records was computed, None where events were read too.
    """

    flow: Flow | None
    source: str
    sink: str
    count: int
    source_name: str
    sink_name: str
    subjects: int | None = None
    computed_at: datetime | None = None

    @property
    def name(self) -> str:
        return self.flow.name if self.flow else OTHER


@dataclass(frozen=True)
class StockBalance:
    """One stock over a range; ``opening + inflow - outflow + unexplained == closing``, always.

    ``unexplained`` is None for a stock that stands in no tracker: nobody promised to explain it, so ``change`` is all
    there is to say. ``inflow``, ``outflow`` and ``net`` are None where ``flows_known`` is false, as 0 would claim that
    nothing moved: for such a stock without moves, and over a range before the capture began of which no history tells.

    The methods tell how a level came to be. A record at that very instant has its own method, and a live count is
    ``counted``. Else the nearest count was carried there by the events between: ``derived``. Without a tracker no
    events can carry it: then it is the last count before, the ``nearest``, or ``unknown`` and None, as it is before the
    capture began.

    ``counted_once`` says that both levels come of one count, carried by events, so that nothing can be unexplained. It
    doesn't hold where one of them would have been below 0: that shows a change without an event.

    In a slice (``slice``: facet slug → value key) objects also come and go without a move, when their value changes:
    ``opening + inflow - outflow + reclassified == closing``. What is unexplained of a slice can't be told from that.
    """

    stock: Stock
    opening: int | None
    closing: int | None
    inflows: tuple[FlowLine, ...]
    outflows: tuple[FlowLine, ...]
    opening_method: Method
    closing_method: Method
    tracked: bool
    counted_once: bool = False
    status: Status = Status.PROVISIONAL
    restated: tuple[Restatement, ...] = ()
    """The restatements in force on this stock's levels and moves, newest first."""
    opening_computed_at: datetime | None = None
    """When the level stored for that instant was computed; None for a count, and for one carried there just now."""
    closing_computed_at: datetime | None = None
    flows_known: bool = True
    opening_at: datetime | None = None
    """Before which instant those stood there who open the range, where the capture began within it."""
    slice: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """With ``now_by``: facet slug → value key → members now, as ``count_stocks`` orders them."""
    least: int = 0
    """Where the line is hidden, the size from which on groups are told; else 0."""
    few: frozenset[str] = frozenset()
    """The names of the numbers of a hidden line that are above 0 and below ``least``."""

    @property
    def suppressed(self) -> bool:
        """Whether the line is hidden; no number of it says anything then."""
        return bool(self.least)

    @property
    def inflow(self) -> int | None:
        return sum(line.count for line in self.inflows) if self.flows_known else None

    @property
    def outflow(self) -> int | None:
        return sum(line.count for line in self.outflows) if self.flows_known else None

    @property
    def net(self) -> int | None:
        return None if self.inflow is None or self.outflow is None else self.inflow - self.outflow

    @property
    def expected(self) -> int | None:
        """What the stock would hold had nothing but its flows changed it."""
        return None if self.opening is None or self.net is None else self.opening + self.net

    @property
    def change(self) -> int | None:
        return None if self.opening is None or self.closing is None else self.closing - self.opening

    @property
    def unexplained(self) -> int | None:
        """None for a stock in no tracker, where a level or the moves aren't known, and in a slice."""
        return None if self.slice else self._beside_flows

    @property
    def reclassified(self) -> int | None:
        """In less out of the slice without a move; None where there is no slice."""
        return self._beside_flows if self.slice else None

    @property
    def _beside_flows(self) -> int | None:
        if not self.tracked or self.change is None or self.net is None:
            return None
        return self.change - self.net


@dataclass(frozen=True)
class Balance:
    """A process over ``since <= t < until``, stocks in the order declared. ``at`` is the instant of ``closing``.

    While the range is ``in_progress`` the closing levels are those of now, and all numbers can still change.
    """

    process: Process
    since: datetime
    until: datetime
    at: datetime
    in_progress: bool
    stocks: tuple[StockBalance, ...]
    beside: tuple[FlowLine, ...] = ()
    """The moves of the process's flows that neither begin nor end in one of its stocks."""
    origins: Mapping[str, int] = field(default_factory=dict)
    """Origin → moves of the process in the range, each once; those of ``initial`` are levels, not flows."""
    status: Status = Status.PROVISIONAL
    """In progress while the range is; final once nothing but a restatement can change any of its numbers."""
    restated: tuple[Restatement, ...] = ()
    """The restatements in force on its numbers, newest first."""
    slice: Mapping[str, str] = field(default_factory=dict)
    """Facet slug → value key, where it is about the objects with that value alone."""
    parts: tuple[Balance, ...] = ()
    """With ``grain``: a balance for each period of the range, in order; the first and last may be cut by it."""
    slices: Mapping[str, Balance] = field(default_factory=dict)
    """With ``split_by``: value key → the balance of its slice; they sum to the whole."""
    compared: Balance | None = None
    """With ``compare``: the range before, or a year before; up to the same point while this one is in progress.

    Its parts are as many as those of the range, and one that has no days there is empty: it ends where it begins."""
    least: int = 0
    """The size from which on groups are told, 0 where all are."""
    few_beside: bool = False
    """Whether ``beside`` is hidden since it has a number below ``least``."""
    apart: frozenset[str] = frozenset()
    """With ``slice``: the value keys that counts of the report have though they aren't declared any more; they stand by
    themselves, and not under ``(other)``."""
    begun: Mapping[Flow, datetime] = field(default_factory=dict)
    """Flow → the first day that its records tell of, where that is known: what came before isn't."""

    @property
    def suppressed(self) -> bool:
        """Whether any of its numbers is hidden, those of parts, slices and the other range among them."""
        beneath = [*self.parts, *self.slices.values(), *([self.compared] if self.compared else [])]
        return (
            self.few_beside
            or any(line.suppressed for line in self.stocks)
            or any(one.suppressed for one in beneath)
        )

    @property
    def hidden_slices(self) -> int:
        """How many of its slices are hidden."""
        return sum(any(line.suppressed for line in one.stocks) for one in self.slices.values())

    def hides(self, flow: Flow | None) -> bool:
        """Whether moves of the flow may be hidden, of the range or a part; None is for those that no flow covers."""
        touched = {stock.slug for stock in flow.stocks} if flow else None
        return (
            self.few_beside
            or any(
                line.suppressed and (touched is None or line.stock.slug in touched)
                for one in (self, *self.parts)
                for line in one.stocks
            )
            or any(part.few_beside for part in self.parts)
        )

    def known_since(self, flow: Flow | None) -> datetime | None:
        """From when on the moves of a flow are known, where that isn't all of the range: later than its beginning.

        It may be later than all of it. For those of no flow, of ``None``, from when on those of some flow are.
        """
        if flow is not None:
            since = self.begun.get(flow)
        else:
            every = len(self.begun) == len(self.process.flows)
            since = min(self.begun.values(), default=None) if every else None
        return since if since and since > self.since else None

    def number(self, line: StockBalance | FlowLine, name: str) -> Number:
        """The number that a line shows under that name, for ``members`` and ``as_reported``.

        Of a stock ``opening``, ``inflow``, ``outflow``, ``net``, ``unexplained``, ``reclassified``, ``closing``; of a
        flow's line ``count``, ``subjects``. Raises InvalidInput for any other, and for a line of another process.
        """
        stocks = {stock.slug for stock in self.process.stocks}
        sides = {line.source, line.sink} if isinstance(line, FlowLine) else {line.stock.slug}
        if stocks.isdisjoint(sides) and not (isinstance(line, FlowLine) and line.flow in self.process.flows):
            raise InvalidInput(
                f"The line is of {' and '.join(map(repr, sorted(sides)))}, and the process {self.process.slug!r} has "
                f"the stocks {', '.join(map(repr, sorted(stocks)))}; give a line of this balance."
            )
        if isinstance(line, FlowLine):
            if name not in ("count", "subjects"):
                raise InvalidInput(
                    f"The line of a flow has no number {name!r}; it has 'count' and 'subjects'."
                )
            return Number(
                Kind.FLOW,
                process=self.process,
                flow=line.flow,
                source=line.source,
                sink=line.sink,
                since=self.since,
                until=self.until,
                measure=cast(Measure, name),
                slice=slice_of(self.slice),
                apart=self._apart,
                value=getattr(line, name),
            )
        if name in ("opening", "closing"):
            at = None if self.in_progress else self.at
            if name == "opening":
                at = line.opening_at or self.since
            kind, since, until = Kind.LEVEL, None, at
        elif name in NUMBERS:
            kind, since, until = Kind(name), self.since, self.until
        else:
            raise InvalidInput(
                f"The line of a stock has no number {name!r}; it has {', '.join(map(repr, NUMBERS))}."
            )
        return Number(
            kind,
            process=self.process,
            stock=line.stock,
            since=since,
            until=until,
            slice=slice_of(self.slice),
            apart=self._apart,
            value=getattr(line, name),
        )

    @property
    def _apart(self) -> frozenset[str]:
        return self.apart if OTHER_VALUES in self.slice.values() else frozenset()

    def restated_of(self, line: StockBalance | FlowLine, name: str) -> tuple[Restatement, ...]:
        """The restatements in force on that number, newest first; of a number worked out, on any that it is made of.

        Names are those of ``number``.
        """
        if not self.restated:
            return ()
        if isinstance(line, FlowLine):
            covered = {flow.slug for flow in self.process.flows}
            return tuple(
                one
                for one in self.restated
                if one.kind == "flow"
                and (one.source, one.sink) == (line.source, line.sink)
                and (one.slug == line.flow.slug if line.flow else one.slug not in covered)
            )
        slug = line.stock.slug
        if name in ("opening", "closing"):
            at = self.since if name == "opening" else self.at
            return tuple(
                one for one in line.restated if (one.kind, one.slug, one.start) == ("stock", slug, at)
            )
        if name in ("inflow", "outflow"):
            side = "sink" if name == "inflow" else "source"
            return tuple(one for one in line.restated if one.kind == "flow" and getattr(one, side) == slug)
        return line.restated

    @property
    def unexplained(self) -> bool:
        """Whether any stock has a change that no event accounts for."""
        return any(line.unexplained for line in self.stocks)

    @property
    def counted_once(self) -> tuple[Stock, ...]:
        """The stocks whose levels one count tells, so that nothing of them can be unexplained."""
        return tuple(line.stock for line in self.stocks if line.counted_once)
