"""Data tables: the numbers of a stock's chart, period by period, each leading to what it counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from stockandflow.models import Restatement
from stockandflow.periods import Grain
from stockandflow.reports import OTHER, Balance, FlowLine, Number, StockBalance
from stockandflow.site.dates import period_header, period_name, short_day
from stockandflow.site.naming import flow_name, place_name
from stockandflow.site.words import count, hidden, signed

Link = Callable[[Number], str | None]
"""The address of what a number counts, None where the user may not see it."""


def unlinked(_number: Number) -> None:
    """No number leads anywhere."""


@dataclass(frozen=True)
class Column:
    """One flow between two stocks, or the count; ``side`` is ``in``, ``out`` or ""."""

    name: str
    detail: str
    side: str


@dataclass(frozen=True)
class Cell:
    """A number as it is shown; ``url`` is "" where it leads nowhere. ``was`` is what it was before a restatement."""

    text: str
    url: str = ""
    side: str = ""
    was: str = ""


@dataclass(frozen=True)
class Row:
    """One period."""

    name: str
    cells: tuple[Cell, ...]
    status: str


@dataclass(frozen=True)
class DataTable:
    """The periods of a stock, newest first."""

    header: str
    """What a period is called: ``Day``."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    restated: tuple[str, ...]
    """The restatements behind the numbers, each in words, newest first."""


def data_table(
    balance: Balance, place: int, grain: Grain, statuses: Sequence[str], *, link: Link = unlinked
) -> DataTable:
    """The parts of a balance for its stock at that place. ``statuses`` are those of the parts, in words. No query."""
    whole = balance.stocks[place]
    flows = [("in", line) for line in whole.inflows] + [("out", line) for line in whole.outflows]
    table = _Table(balance, place, flows, link)
    years = {balance.process.calendar.local_date(part.since).year for part in balance.parts}
    return DataTable(
        header=period_header(grain),
        columns=(
            *(_column(side, line) for side, line in flows),
            *([Column(_("Unexplained"), "", "")] if table.unexplained else []),
            Column(_("Count"), _("at the end"), ""),
        ),
        rows=tuple(
            Row(
                name=period_name(
                    part.since, part.until, grain, balance.process.calendar, year=len(years) > 1
                ),
                cells=tuple(table.cells(part)),
                status=status,
            )
            for part, status in zip(reversed(balance.parts), reversed(statuses), strict=True)
        ),
        restated=tuple(map(table.restatement, dict.fromkeys(table.restated))),
    )


def _column(side: str, line: FlowLine) -> Column:
    if side == "in":
        return Column(
            flow_name(str(line.name)), _("from %(source)s") % {"source": place_name(line.source_name)}, side
        )
    return Column(flow_name(str(line.name)), _("to %(sink)s") % {"sink": place_name(line.sink_name)}, side)


class _Table:
    """The cells of one table; gathers the restatements behind them."""

    def __init__(
        self, balance: Balance, place: int, flows: Sequence[tuple[str, FlowLine]], link: Link
    ) -> None:
        self.balance, self.place, self.flows, self.link = balance, place, flows, link
        self.unexplained = any(part.stocks[place].unexplained for part in balance.parts)
        self.restated: list[Restatement] = []

    def cells(self, part: Balance) -> list[Cell]:
        line = part.stocks[self.place]
        there = {_pair(one): one for one in (*line.inflows, *line.outflows)}
        found = [self._flow(part, there.get(_pair(one)), side, line) for side, one in self.flows]
        if self.unexplained:
            found.append(
                self._cell(
                    part, line, "unexplained", hidden(line, "unexplained") or signed(line.unexplained), ""
                )
            )
        return [*found, self._cell(part, line, "closing", hidden(line, "closing") or count(line.closing), "")]

    def _flow(self, part: Balance, one: FlowLine | None, side: str, line: StockBalance) -> Cell:
        if one is None:
            return Cell(hidden(line, "") or count(0 if line.flows_known else None), side=side)
        return self._cell(part, one, "count", signed(one.count if side == "in" else -one.count), side)

    def _cell(self, part: Balance, line: StockBalance | FlowLine, name: str, text: str, side: str) -> Cell:
        restated = part.restated_of(line, name) if part.restated else ()
        self.restated.extend(restated)
        url = self.link(part.number(line, name)) if getattr(line, name) else None
        return Cell(text, url or "", side, count(restated[0].old_count) if restated else "")

    def restatement(self, one: Restatement) -> str:
        """One restatement in words: what, when it was, and why."""
        calendar = self.balance.process.calendar
        flows = {flow.slug: flow.name for flow in self.balance.process.flows}
        stocks = {stock.slug: stock.name for stock in self.balance.process.stocks}
        return _("%(what)s, %(day)s: %(old)s became %(new)s on %(at)s (%(cause)s)") % {
            "what": flows.get(one.slug, _(OTHER)) if one.kind == "flow" else stocks.get(one.slug, one.slug),
            "day": short_day(calendar.local_date(one.start), year=True),
            "old": count(one.old_count),
            "new": count(one.new_count),
            "at": date_format(one.at.astimezone(calendar.zone), "DATETIME_FORMAT"),
            "cause": ", ".join(_(cause) for cause in one.cause.split(", ")),
        }


def _pair(line: FlowLine) -> tuple[str, str, str]:
    return line.flow.slug if line.flow else "", line.source, line.sink
