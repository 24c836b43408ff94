"""A balance as a table for a terminal: the ledger, what is unexplained, and each stock's flows."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stockandflow.models import Restatement
from stockandflow.periods import Calendar, Status
from stockandflow.rendering.words import (
    UNICODE,
    Signs,
    arrow,
    bar,
    count,
    how_written,
    largest_first,
    moment,
    negated,
    percent,
    period,
    periods,
    said,
    signed,
    span,
)
from stockandflow.reports import Balance, FlowLine, StockBalance

NARROWEST_NAME = 8
"""Columns that a name keeps however wide the numbers are; where these need more, the ledger gets wider than asked."""

LONGEST_BAR = 20
SHOWN = 3
"""Of the restatements, so many are told one by one."""
RESTATED = "*"
"""Stands before a number that was final and changed all the same."""

Line = tuple[str, Balance, StockBalance]
"""What a row is called, and the line that it shows with the balance that this is of."""


@dataclass(frozen=True)
class Paint:
    """Colours, or none: functions that wrap a text in what a terminal needs to paint it."""

    heading: Callable[[str], str] = str
    inflow: Callable[[str], str] = str
    outflow: Callable[[str], str] = str
    warning: Callable[[str], str] = str


PLAIN = Paint()


def to_table(
    balance: Balance, calendar: Calendar, *, width: int = 80, signs: Signs = UNICODE, paint: Paint = PLAIN
) -> str:
    """The balance as lines of at most ``width`` columns, 80 or more, with a line feed after each.

    Names too long are cut, numbers never, so that those of more than six digits may need more columns.
    """
    table = _Table(balance, calendar, width, signs, paint)
    blocks = [table.title(), table.ledger(), table.notes(), table.compared()]
    for line in balance.stocks:
        blocks += [table.flows(line), table.parts(line), table.slices(line)]
    return "\n".join("".join(f"{row.rstrip()}\n" for row in block) for block in map(list, blocks) if block)


class _Table:
    def __init__(self, balance: Balance, calendar: Calendar, width: int, signs: Signs, paint: Paint) -> None:
        self.balance, self.calendar, self.width, self.signs, self.paint = (
            balance,
            calendar,
            width,
            signs,
            paint,
        )

    def title(self) -> Iterator[str]:
        process, calendar = self.balance.process, self.calendar
        yield self.paint.heading(self.fitted(process.name, self.width).rstrip())
        if process.description:
            yield from self.wrapped(process.description)
        facts = [span(self.balance.since, self.balance.until, calendar, self.signs), calendar.timezone]
        facts += [f"{facet} {value}" for facet, value in self.balance.slice.items()]
        facts.append(said(self.balance.status))
        if self.balance.in_progress:
            facts.append(f"counted {moment(self.balance.at, calendar)}")
        yield from self.wrapped(f" {self.signs.dot} ".join(facts))

    def ledger(self) -> Iterator[str]:
        now = "Now" if self.balance.in_progress else "Closing"
        third = "reclassified" if self.balance.slice else "unexplained"
        lines = [(line.stock.name, self.balance, line) for line in self.balance.stocks]
        yield from self.grid("Stock", lines, now)
        yield right(f"opening + in {self.signs.minus} out + {third} = {now.lower()}", self.full)

    def grid(
        self, title: str, lines: Sequence[Line], now: str = "Closing", marks: Sequence[str] = ()
    ) -> Iterator[str]:
        """One row for each line, under a heading and between rules; below, what its marks mean."""
        sliced = any(line.slice for _, _, line in lines)
        head = ["Opening", "In", "Out", "Net", "Reclassified" if sliced else "Unexplained", now, "Change"]
        percents = [percent(line.opening, line.closing) for _, _, line in lines]
        longest = max(map(columns_of, percents))
        rows = [
            [*self.cells(balance, line), f"{arrow(line.change, self.signs)} {right(change, longest)}"]
            for (_, balance, line), change in zip(lines, percents, strict=True)
        ]
        yield from self.ruled(
            title,
            head,
            [(name, row) for (name, *_), row in zip(lines, rows, strict=True)],
            {place for place, (*_, line) in enumerate(lines) if line.unexplained},
            marks,
        )
        meanings = [f"{mark} {said(status)}" for status, mark in self.marks.items() if mark in marks]
        if any(cell.startswith(RESTATED) for row in rows for cell in row):
            meanings.append(f"{RESTATED} restated")
        if meanings:
            yield right("   ".join(meanings), self.full)

    @property
    def marks(self) -> dict[Status, str]:
        """What stands beside the name of a part that can still change."""
        return {Status.PROVISIONAL: "~", Status.IN_PROGRESS: self.signs.ellipsis}

    def ruled(
        self,
        title: str,
        head: list[str],
        rows: Sequence[tuple[str, list[str]]],
        warn: Collection[int] = (),
        marks: Sequence[str] = (),
    ) -> Iterator[str]:
        """Rows of a name and cells, under their heading and between rules; a warning in the fifth cell of some.

        A mark for each row, or none at all, stands beside its name: that of a period, which isn't cut if it needn't.
        """
        columns = [
            max(map(columns_of, column)) for column in zip(head, *(cells for _, cells in rows), strict=True)
        ]
        beside = max(map(columns_of, marks), default=0)
        beside += bool(beside)
        numbers = sum(columns)
        wanted = max(columns_of(clean(name)) for name in (title, *(name for name, _ in rows)))
        least = wanted if marks else NARROWEST_NAME
        gap = "  " if numbers + 2 * len(columns) + least + beside <= self.width else " "
        room = self.width - numbers - len(gap) * len(columns) - beside
        first = max(min(wanted, room), NARROWEST_NAME)
        self.full = first + beside + numbers + len(gap) * len(columns)

        def row(name: str, cells: list[str], mark: str = "") -> list[str]:
            return [
                self.fitted(name, first) + right(mark, beside),
                *(right(cell, size) for cell, size in zip(cells, columns, strict=True)),
            ]

        yield self.paint.heading(gap.join(row(title, head)))
        yield self.signs.rule * self.full
        for place, (name, cells) in enumerate(rows):
            made = row(name, cells, marks[place] if marks else "")
            if place in warn:
                made[5] = self.paint.warning(made[5])
            yield gap.join(made)
        yield self.signs.rule * self.full

    def parts(self, line: StockBalance) -> Iterator[str]:
        """One stock by the parts of the range."""
        parts = self.balance.parts
        names = periods(((part.since, part.until) for part in parts), self.calendar, self.signs)
        rows = [
            (name, part, one)
            for name, part in zip(names, parts, strict=True)
            for one in part.stocks
            if one.stock is line.stock
        ]
        if rows:
            marks = [self.marks.get(one.status, "") for *_, one in rows]
            yield from self.grid(str(line.stock.name), rows, marks=marks)

    def slices(self, line: StockBalance) -> Iterator[str]:
        """One stock by the values of a facet."""
        rows = [
            (value, part, one)
            for value, part in self.balance.slices.items()
            for one in part.stocks
            if one.stock is line.stock
        ]
        if rows:
            facet = next(iter(rows[0][2].slice))
            yield from self.grid(
                f"{line.stock.name} by {facet}", rows, "Now" if self.balance.in_progress else "Closing"
            )

    def compared(self) -> Iterator[str]:
        """The range beside the one that it is compared with: for each number what it is, and what it was."""
        before, signs = self.balance.compared, self.signs
        if before is None:
            return
        now = "Now" if self.balance.in_progress else "Closing"
        rows = [
            (line.stock.name, [text for pair in _numbers(line, other, signs) for text in pair])
            for line, other in zip(self.balance.stocks, before.stocks, strict=True)
        ]
        facts = [f"Compared with {span(before.since, before.until, self.calendar, signs)}"]
        facts += [said(before.status)] if before.status is not Status.FINAL else []
        yield f" {signs.dot} ".join(facts)
        yield from self.ruled("Stock", ["In", "was", "Out", "was", "Net", "was", now, "was"], rows)

    def cells(self, balance: Balance, line: StockBalance) -> list[str]:
        signs = self.signs
        beside = "reclassified" if line.slice else "unexplained"
        numbers = {
            "opening": count(line.opening, signs),
            "inflow": signed(line.inflow, signs),
            "outflow": signed(negated(line.outflow), signs),
            "net": signed(line.net, signs),
            beside: signed(getattr(line, beside), signs),
            "closing": count(line.closing, signs),
        }
        for name in ("opening", "inflow", "outflow", "closing"):
            if balance.restated_of(line, name):
                numbers[name] = f"{RESTATED}{numbers[name]}"
        return list(numbers.values())

    def notes(self) -> Iterator[str]:
        """What the ledger's numbers don't say by themselves; each note begins with the stock that it is about."""
        signs = self.signs
        for line in self.balance.stocks:
            if line.unexplained:
                text = (
                    f"{line.stock.name}: {signed(line.unexplained, signs)} unexplained. Its flows lead from "
                    f"{count(line.opening, signs)} to {count(line.expected, signs)}, but it has "
                    f"{count(line.closing, signs)}."
                )
                yield from map(self.paint.warning, self.wrapped(text, indent=2))
        if self.balance.unexplained:
            yield from self.wrapped(
                "Unexplained means: something changed objects without being seen, such as a write that went round the "
                "capture.",
                indent=2,
            )
        untracked = [line.stock.name for line in self.balance.stocks if not line.tracked]
        if untracked:
            yield from self.wrapped(
                f"{', '.join(untracked)}: in no tracker, so nothing promises to account for every change.",
                indent=2,
            )
        derived = [
            when
            for when, method in (("opening", "opening_method"), ("closing", "closing_method"))
            if any(getattr(line, method) == "derived" for line in self.balance.stocks)
        ]
        if derived:
            yield from self.wrapped(
                f"{' and '.join(derived).capitalize()} levels are derived: the nearest count, carried to that instant "
                "by the flow events between.",
                indent=2,
            )

        if any(line.flows_known and None in (line.opening, line.closing) for line in self.sliced()):
            yield from self.wrapped(
                f"{signs.dash} in a slice isn't known: the level of a value is, where a count of it stands a day away "
                "at most, and the moves between leave none below 0. Its moves are known.",
                indent=2,
            )
        if once := self.balance.counted_once:
            every = len(once) == len(self.balance.stocks)
            of = "these stocks" if every else ", ".join(stock.name for stock in once)
            yield from self.wrapped(
                f"One count tells both levels of {of}, so nothing can be unexplained. The schedule takes more, and "
                "'manage.py stockandflow record' does.",
                indent=2,
            )
        yield from self.restated()
        if known := how_written(self.balance.origins, signs):
            yield from self.wrapped(f"Moves: {known}.", indent=2)
        if initial := self.balance.origins.get("initial"):
            yield from self.wrapped(
                f"Opening balance: {count(initial, signs)} {'object' if initial == 1 else 'objects'} stood there when "
                f"the capture began, and {'counts' if initial == 1 else 'count'} as a level, not as a move.",
                indent=2,
            )

    def sliced(self) -> Iterator[StockBalance]:
        """The lines of all slices shown."""
        balance = self.balance
        for one in (balance, *balance.parts, *balance.slices.values()):
            yield from (line for line in one.stocks if line.slice and line.tracked)

    def restated(self) -> Iterator[str]:
        """The numbers that were final and changed all the same."""
        signs = self.signs
        for one in self.balance.restated[:SHOWN]:
            numbers = f"{count(one.old_count, signs)} is now {count(one.new_count, signs)}"
            yield from self.wrapped(
                f"Restated {moment(one.at, self.calendar)}: {self.restated_of(one)}: {numbers}; {one.cause}.",
                2,
            )
        if (more := len(self.balance.restated) - SHOWN) > 0:
            yield f"Restated: {count(more, signs)} more."

    def restated_of(self, one: Restatement) -> str:
        """Which number it is of, and over which period."""
        value = f", {one.facet} {one.value}" if one.facet else ""
        if one.kind == "stock":
            return f"{one.slug}{value} before {moment(one.start, self.calendar)}"
        what = f"{one.slug or 'other moves'} from {one.source or 'outside'} to {one.sink or 'outside'}{value}"
        return f"{what}, {period(one.start, one.end, self.calendar, self.signs)}"

    def flows(self, line: StockBalance) -> Iterator[str]:
        signs = self.signs
        change = f"{arrow(line.change, signs)} {signed(line.change, signs)}".strip()
        facts = f"{signs.dot} {count(line.closing, signs)} {signs.dot} {change}"
        name = self.fitted(line.stock.name, self.width - columns_of(facts) - 1).rstrip()
        yield f"{self.paint.heading(name)} {facts}"
        if not line.flows_known:
            yield "  Not known: the capture began later." if line.tracked else "  No tracker watches it."
        elif not line.inflows and not line.outflows:
            yield "  Nothing came and nothing went."
        for title, total, lines, paint in (
            ("In", line.inflow, line.inflows, self.paint.inflow),
            ("Out", negated(line.outflow), line.outflows, self.paint.outflow),
        ):
            if lines:
                yield self.flow_row((f"  {title}", ""), signed(total, signs), "")
            for flow in largest_first(lines):
                other = f"to {flow.sink_name}" if title == "Out" else f"from {flow.source_name}"
                bar = self.bar(flow.count)
                yield self.flow_row((f"    {flow.name}", other), count(flow.count, signs), paint(bar))
        if line.unexplained:
            yield self.paint.warning(
                self.flow_row(("  Unexplained", ""), signed(line.unexplained, signs), "").rstrip()
            )
        if line.reclassified:
            yield self.flow_row(("  Reclassified", ""), signed(line.reclassified, signs), "")

    def flow_row(self, names: tuple[str, str], number: str, bar: str) -> str:
        first, second, numbers = self.flow_columns
        return f"{self.fitted(names[0], first)}  {self.fitted(names[1], second)}  {right(number, numbers)}  {bar}"

    @property
    def flow_columns(self) -> tuple[int, int, int]:
        """Columns for a flow's name, its other end, and its number: the same for all stocks."""
        lines = list(self.lines())
        totals = [
            signed(
                -max(line.inflow or 0, line.outflow or 0, abs(line.unexplained or line.reclassified or 0)),
                self.signs,
            )
            for line in self.balance.stocks
        ]
        numbers = max(map(columns_of, totals))
        first = max((columns_of(clean(line.name)) + 4 for line in lines), default=0)
        first = max(first, columns_of("  Reclassified" if self.balance.slice else "  Unexplained"))
        ends = [f"from {line.source_name}" for line in lines] + [f"to {line.sink_name}" for line in lines]
        second = max((columns_of(clean(end)) for end in ends), default=0)
        room = max(self.width - numbers - LONGEST_BAR - 6, 2 * NARROWEST_NAME)
        if first + second > room:
            first = max(min(first, room // 2), room - second)
            second = room - first
        return first, second, numbers

    def lines(self) -> Iterator[FlowLine]:
        for line in self.balance.stocks:
            yield from (*line.inflows, *line.outflows)

    def bar(self, number: int) -> str:
        """A bar as long as the number, against the largest one in the whole report."""
        largest = max((line.count for line in self.lines()), default=0)
        return bar(number / largest, LONGEST_BAR, self.signs) if number > 0 else ""

    def fitted(self, text: str, columns: int) -> str:
        """The text in exactly that many columns: filled up, or cut with an ellipsis."""
        text, signs = clean(text), self.signs
        if columns_of(text) > columns:
            text = cut(text, columns - columns_of(signs.ellipsis)) + signs.ellipsis
        return text + " " * (columns - columns_of(text))

    def wrapped(self, text: str, indent: int = 0) -> list[str]:
        return wrapped(text, self.width, indent)


def _numbers(line: StockBalance, other: StockBalance, signs: Signs) -> list[tuple[str, str]]:
    """In, out, net and the closing level, of two balances of one stock."""
    pairs = [(one.inflow, negated(one.outflow), one.net) for one in (line, other)]
    flows = [(signed(mine, signs), signed(theirs, signs)) for mine, theirs in zip(*pairs, strict=True)]
    return [*flows, (count(line.closing, signs), count(other.closing, signs))]


def wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    """The text in lines that fit, all but the first with an indent; a word that is too long is broken."""
    rows, row = [], ""
    for word in clean(text).split():
        if row.strip() and columns_of(f"{row} {word}") > width:
            rows.append(row)
            row = " " * indent
        row += f" {word}" if row.strip() else word
        while columns_of(row) > width:
            kept = cut(row, width)
            rows.append(kept)
            row = " " * indent + row[len(kept) :]
    return [*rows, row]


def clean(text: Any) -> str:
    """The text on one line, without characters that would move a terminal's cursor or change its colours."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text)).rstrip()


def cut(text: str, columns: int) -> str:
    """As much of the text's beginning as fits into that many columns, at least one character."""
    while len(text) > 1 and columns_of(text) > columns:
        text = text[:-1]
    return text


def columns_of(text: str) -> int:
    """How many columns a terminal gives to the text: two for a wide character, none for one that combines."""
    return sum(
        0
        if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(letter) in "WF"
        else 1
        for letter in text
    )


def right(text: str, columns: int) -> str:
    """The text at the right end of that many columns."""
    return " " * (columns - columns_of(text)) + text
