"""A report as a workbook for Excel and its like: the ledger to read, its rows in long form, and what they are of.

Values, no formula. What people read is in their language: the ledger, and what the numbers are of. Names of sheets and
of columns in long form are for programs, and stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from io import BytesIO
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from stockandflow.exceptions import InvalidInput
from stockandflow.periods import Calendar
from stockandflow.rendering.document import iso
from stockandflow.rendering.rows import COLUMNS, MOVES, SUPPRESSED, Row
from stockandflow.rendering.words import negated, said, span
from stockandflow.reports import Balance, StockBalance

MOST_ROWS = 1_048_575
"""What a sheet holds below its heading."""
FIRST_YEAR = 1900
"""Excel has no date before it."""
NARROWEST, WIDEST = 8, 40
"""Columns are as wide as what they hold, within these."""
ARROW = 4
"""Characters that the arrow of the filter takes beside a heading."""
LEDGER = 4
"""The line of the first ledger's heading, below the title."""


ABOUT = "About"
STATUSES = (
    gettext_noop("in progress"),
    gettext_noop("provisional"),
    gettext_noop("final"),
    gettext_noop("partial"),
    gettext_noop("gap"),
    gettext_noop("suppressed"),
)
"""What the ledger says of statuses, for the catalogues."""


def to_xlsx(rows: Iterable[Row], calendar: Calendar, balance: Balance | None = None) -> bytes:
    """A workbook: ``Ledger`` where there is a balance, ``Stocks``, ``Flows`` with a row for each number, ``About``.

    Instants stay text, local ones are dates, numbers are numbers, and text is text whatever it begins with. Raises
    InvalidInput where the library isn't installed, or there are more rows than a sheet can hold.
    """
    rows = _fitting(rows)
    held = BytesIO()
    book = _Book(held)
    if balance is not None:
        book.ledger(balance, calendar)
    levels, moves = ([row for row in rows if (row.kind in MOVES) is moved] for moved in (False, True))
    for name, some in (("Stocks", levels), ("Flows", moves)):
        if some or balance is not None:
            book.rows(name, COLUMNS, some)
    book.about(about(rows, calendar, balance))
    book.book.close()
    return held.getvalue()


def list_to_xlsx(
    name: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | float | datetime | None]],
    facts: Mapping[str, str],
) -> bytes:
    """A workbook with one list, on a sheet of that name, and what it is of on ``About``. Raises as ``to_xlsx`` does."""
    rows = _fitting(rows)
    held = BytesIO()
    book = _Book(held)
    book.rows(name, columns, rows)
    book.about({_(fact): text for fact, text in facts.items()})
    book.book.close()
    return held.getvalue()


def _fitting(rows: Iterable[Any]) -> list[Any]:
    rows = list(rows)
    if len(rows) > MOST_ROWS:
        raise InvalidInput(
            f"The report has {len(rows):,} rows, and a sheet holds {MOST_ROWS:,}; take a coarser grain, a shorter "
            "range, or CSV."
        )
    return rows


def about(rows: Sequence[Row], calendar: Calendar, balance: Balance | None) -> dict[str, str]:
    """What a workbook is of: heading → text, in order."""
    facts = {_("Time zone"): calendar.timezone}
    if rows:
        since, until = min(row.period_start for row in rows), max(row.period_end for row in rows)
        facts = {
            _("Process"): rows[0].process,
            _("Since"): iso(since),
            _("Until, not included"): iso(until),
            **facts,
        }
    if balance is not None:
        facts |= {
            _("Process"): str(balance.process.name),
            _("Description"): str(balance.process.description),
            _("Since"): iso(balance.since),
            _("Until, not included"): iso(balance.until),
            _("Closing counts of"): iso(balance.at),
            _("Status"): _(said(balance.status)),
            _("Slice"): _slice(balance),
            _("Ledger"): _("Opening + in + out + unexplained = closing; out is negative."),
        }
    facts[_("Rows")] = f"{len(rows):,}"
    return {name: text for name, text in facts.items() if text}


class _Book:
    def __init__(self, held: BytesIO) -> None:
        plain = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
        self.book = xlsxwriter().Workbook(held, {"constant_memory": True, **plain})
        heading = {"bold": True, "bottom": 1, "bg_color": "#E8EEF4", "valign": "top"}
        self.title = self.book.add_format({"bold": True, "font_size": 14})
        self.heading = self.book.add_format(heading)
        self.heading_right = self.book.add_format({**heading, "align": "right"})
        self.bold = self.book.add_format({"bold": True})
        self.integer = self.book.add_format({"num_format": "#,##0"})
        self.signed = self.book.add_format({"num_format": "+#,##0;-#,##0;0"})
        self.share = self.book.add_format({"num_format": "0.0000"})
        self.date = self.book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        self.percent = self.book.add_format({"num_format": "+0.0%;-0.0%;0.0%"})
        self.right = self.book.add_format({"align": "right"})

    def about(self, facts: Mapping[str, str]) -> None:
        """What the numbers are of, one fact a line."""
        sheet = self.book.add_worksheet(ABOUT)
        sheet.set_column(0, 0, _width(facts, NARROWEST))
        sheet.set_column(1, 1, _width(facts.values(), NARROWEST))
        for line, (name, text) in enumerate(facts.items()):
            sheet.write_string(line, 0, name, self.bold)
            sheet.write_string(line, 1, text)

    def rows(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A list under a heading that stays and filters."""
        sheet = self.book.add_worksheet(title)
        for place, name in enumerate(columns):
            sheet.set_column(place, place, _width((_text(row[place]) for row in rows), len(name) + ARROW))
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, len(rows), len(columns) - 1)
        for place, name in enumerate(columns):
            sheet.write_string(0, place, name, self.heading)
        for line, row in enumerate(rows, 1):
            for place, value in enumerate(row):
                self._cell(sheet, line, place, value)

    def _cell(self, sheet: Any, line: int, place: int, value: str | float | datetime | None) -> None:
        if isinstance(value, int | float):
            sheet.write_number(line, place, value, self.integer if isinstance(value, int) else self.share)
        elif isinstance(value, datetime) and value.tzinfo is None and value.year >= FIRST_YEAR:
            sheet.write_datetime(line, place, value, self.date)
        elif text := _text(value):
            sheet.write_string(line, place, text)

    def ledger(self, balance: Balance, calendar: Calendar) -> None:
        """The balance to read: the range, then its parts, its slices, and what it is compared with."""
        sheet = self.book.add_worksheet("Ledger")
        blocks = [("", balance)]
        blocks += [(_range(part, calendar), part) for part in balance.parts]
        blocks += [(_slice(one), one) for one in balance.slices.values()]
        if balance.compared:
            blocks.append(
                (
                    _("Compared with %(range)s") % {"range": _range(balance.compared, calendar)},
                    balance.compared,
                )
            )
        names = [str(line.stock.name) for _title, one in blocks for line in one.stocks]
        sheet.set_column(0, 0, _width(names, NARROWEST))
        sheet.set_column(1, len(_head(balance)) - 1, 13)
        sheet.freeze_panes(LEDGER + 1, 1)
        sheet.hide_gridlines(2)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        facts = [_range(balance, calendar), calendar.timezone, _slice(balance), _(said(balance.status))]
        sheet.write_string(0, 0, str(balance.process.name), self.title)
        sheet.write_string(1, 0, str(balance.process.description))
        sheet.write_string(2, 0, " · ".join(filter(None, facts)))
        top = LEDGER
        for title, one in blocks:
            if title:
                sheet.write_string(top, 0, title, self.bold)
                top += 1
            top = self._block(sheet, top, one)

    def _block(self, sheet: Any, top: int, balance: Balance) -> int:
        """One ledger from that line on; the line where the next begins."""
        for place, name in enumerate(_head(balance)):
            sheet.write_string(top, place, name, self.heading_right if place else self.heading)
        for line, stock in enumerate(balance.stocks, top + 1):
            sheet.write_string(line, 0, str(stock.stock.name))
            for place, (number, style) in enumerate(self._cells(stock), 1):
                if number is not None:
                    sheet.write_number(line, place, number, style)
            sheet.write_string(
                line,
                len(_head(balance)) - 1,
                _(SUPPRESSED) if stock.suppressed else _(said(stock.status)),
                self.right,
            )
        return top + len(balance.stocks) + 2

    def _cells(self, line: StockBalance) -> list[tuple[float | None, Any]]:
        beside = line.reclassified if line.slice else line.unexplained
        share = line.change / line.opening if line.opening and line.change is not None else None
        return [
            (line.opening, self.integer),
            *((number, self.signed) for number in (line.inflow, negated(line.outflow), line.net, beside)),
            (line.closing, self.integer),
            (line.change, self.signed),
            (share, self.percent),
            (len(line.restated) or None, self.integer),
        ]


def _head(balance: Balance) -> tuple[str, ...]:
    beside = _("Reclassified") if balance.slice else _("Unexplained")
    closing = _("Now") if balance.in_progress else _("Closing")
    return (
        _("Stock"),
        _("Opening"),
        _("In"),
        _("Out"),
        _("Net"),
        beside,
        closing,
        _("Change"),
        f"{_('Change')} %",
        _("Restated"),
        _("Status"),
    )


def _range(balance: Balance, calendar: Calendar) -> str:
    return span(balance.since, balance.until, calendar, name=_day)


def _day(value: date) -> str:
    return date_format(value, "j M Y")


def _slice(balance: Balance) -> str:
    return ", ".join(f"{facet} {value}" for facet, value in balance.slice.items())


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return iso(value) if value.tzinfo else value.isoformat(sep=" ", timespec="minutes")
    return "" if value is None else str(value)


def _width(texts: Iterable[str], least: int) -> int:
    return min(max(least, *(len(text) + 1 for text in texts), 0), WIDEST)


def xlsxwriter() -> Any:
    """The library; raises InvalidInput with how to get it."""
    try:
        import xlsxwriter as library  # noqa: PLC0415 - an extra: wanted only where a workbook is made
    except ImportError as error:
        raise InvalidInput(
            "A workbook needs the library XlsxWriter; pip install 'django-stockandflow[xlsx]', or ask for CSV."
        ) from error
    return library
