"""The workbook, read back: every number of the balance, each cell of its kind, and no formula."""

import sys
from dataclasses import replace
from datetime import date, datetime
from io import BytesIO
from typing import Any

import openpyxl
import pytest
from django.utils import translation
from django.utils.formats import date_format
from hypothesis import given, settings

from stockandflow.exceptions import InvalidInput
from stockandflow.rendering import COLUMNS, balance_rows, list_to_xlsx, to_xlsx, workbook
from stockandflow.rendering.document import iso
from stockandflow.reports import Balance
from tests.rendering.balances import LONDON, balance, business, stock_balance
from tests.rendering.test_table import balances


def opened(shown: Balance) -> Any:
    return openpyxl.load_workbook(BytesIO(to_xlsx(balance_rows(shown, LONDON), LONDON, shown)))


def sheet_rows(sheet: Any) -> list[tuple[Any, ...]]:
    return list(sheet.iter_rows(values_only=True))


@settings(max_examples=20, deadline=None)
@given(balances)
def test_the_numbers_are_the_rows_of_the_long_form(shown: Balance) -> None:
    book = opened(shown)
    assert book.sheetnames == ["Ledger", "Stocks", "Flows", "About"]
    (heading, *lines), (same, *moves) = sheet_rows(book["Stocks"]), sheet_rows(book["Flows"])
    assert heading == same == COLUMNS
    rows = list(balance_rows(shown, LONDON))
    lines += moves
    moving = [row for row in rows if row.kind in ("inflow", "outflow")]
    wanted = [row for row in rows if row not in moving] + moving
    assert len(lines) == len(wanted)
    for cells, row in zip(lines, wanted, strict=True):
        found = dict(zip(COLUMNS, cells, strict=True))
        if row.value is None:
            assert found["value"] is None
        else:
            assert found["value"] == pytest.approx(row.value, rel=1e-12)
        assert type(found["value"]) is type(row.value) or float(row.value or 0).is_integer()
        assert (found["period_start"], found["period_end"]) == (iso(row.period_start), iso(row.period_end))
        assert (found["local_start"], found["local_end"]) == (row.local_start, row.local_end)
        assert (found["kind"], found["stock"], found["status"]) == (row.kind, row.stock, row.status)


def test_local_times_are_dates_counts_are_whole_numbers_and_text_is_text() -> None:
    sheet = opened(business())["Stocks"]
    cells = dict(zip(COLUMNS, sheet[2], strict=True))
    assert cells["local_start"].is_date
    assert cells["local_start"].value == datetime(2026, 10, 25)  # noqa: DTZ001 - what the clocks show
    assert (cells["period_start"].data_type, cells["period_start"].value) == ("s", "2026-10-24T23:00:00Z")
    assert (cells["value"].data_type, cells["value"].value) == ("n", 586)
    assert (cells["value"].number_format, cells["stock_name"].data_type) == ("#,##0", "s")
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == f"A1:Y{sheet.max_row}"
    assert sheet["A1"].font.bold
    assert all(8 <= one.width <= 45 for one in sheet.column_dimensions.values())


def test_the_balance_can_be_read_as_a_ledger() -> None:
    sheet = opened(business())["Ledger"]
    title, description, facts, blank, *ledger = sheet_rows(sheet)
    assert title[0] == "Membership"
    assert description[0] == "How people move from sign-up to active membership, and where they leave."
    assert facts[0] == "25 Oct – 23 Nov 2026 · Europe/London · in progress"
    assert set(blank) == {None}
    change = (-491 / 586, -12 / 191, 5 / 17)
    assert ledger == [
        (
            "Stock",
            "Opening",
            "In",
            "Out",
            "Net",
            "Unexplained",
            "Now",
            "Change",
            "Change %",
            "Restated",
            "Status",
        ),
        ("Trial", 586, 1289, -1780, -491, 0, 95, -491, pytest.approx(change[0]), None, "in progress"),
        ("Past due", 191, 979, -988, -9, -3, 179, -12, pytest.approx(change[1]), None, "in progress"),
        ("Urgent", 17, None, None, None, None, 22, 5, pytest.approx(change[2]), None, "in progress"),
    ]
    assert sheet.freeze_panes == "B6"
    assert sheet["C6"].number_format == "+#,##0;-#,##0;0"


def test_parts_slices_and_what_it_is_compared_with_have_their_own_ledgers() -> None:
    pro = balance(replace(stock_balance("Trial", 2), slice={"plan": "Pro"}), in_progress=False)
    shown = replace(
        balance(stock_balance("Trial", 5)),
        parts=(balance(stock_balance("Trial", 5), until=date(2026, 11, 1), in_progress=False),),
        slices={"Pro": replace(pro, slice={"plan": "Pro"})},
        compared=balance(stock_balance("Trial", 4), since=date(2025, 10, 25), until=date(2025, 11, 24)),
    )
    rows = sheet_rows(opened(shown)["Ledger"])[4:]
    assert [row[:2] for row in rows if row[0] != "Stock" and row[0]] == [
        ("Trial", 5),
        ("25 – 31 Oct 2026", None),
        ("Trial", 5),
        ("plan Pro", None),
        ("Trial", 2),
        ("Compared with 25 Oct – 23 Nov 2025", None),
        ("Trial", 4),
    ]
    assert [row[5:7] for row in rows if row[0] == "Stock"] == [
        ("Unexplained", "Now"),
        ("Unexplained", "Closing"),
        ("Reclassified", "Closing"),
        ("Unexplained", "Now"),
    ]


def test_it_says_what_its_numbers_are_of() -> None:
    assert dict(sheet_rows(opened(business())["About"])) == {
        "Process": "Membership",
        "Description": "How people move from sign-up to active membership, and where they leave.",
        "Since": "2026-10-24T23:00:00Z",
        "Until, not included": "2026-11-24T00:00:00Z",
        "Closing counts of": "2026-11-23T18:54:00Z",
        "Time zone": "Europe/London",
        "Status": "in progress",
        "Ledger": "Opening + in + out + unexplained = closing; out is negative.",
        "Rows": "21",
    }


def test_a_list_has_a_sheet_of_its_name_and_its_facts() -> None:
    made = list_to_xlsx("Objects", ("key", "at"), [("1", LONDON.midnight(date(2026, 7, 1)))], {"Rows": "1"})
    book = openpyxl.load_workbook(BytesIO(made))
    assert sheet_rows(book["Objects"]) == [("key", "at"), ("1", "2026-06-30T23:00:00Z")]
    assert sheet_rows(book["About"]) == [("Rows", "1")]


@pytest.mark.parametrize(
    "name",
    ['=HYPERLINK("http://example.org")', "+1", "-1+cmd", "@SUM(A1)", "{=1}", "12", "https://example.org"],
)
def test_no_cell_is_a_formula_a_link_or_a_number_because_of_its_text(name: str) -> None:
    shown = balance(
        stock_balance(name, 7, unexplained=-3, inflows=[(name, "", name, 4)]), name=name, description=name
    )
    book = opened(shown)
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "d"}
    assert not any(cell.hyperlink for cell in cells)
    assert {cell.data_type for cell in cells if cell.value == name} == {"s"}
    assert sum(cell.value == name for cell in cells) > 5
    assert -3 in {cell.value for cell in cells if cell.data_type == "n"}


def test_more_rows_than_a_sheet_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MOST_ROWS", 10)
    with pytest.raises(InvalidInput, match=r"has 21 rows, and a sheet holds 10; take a coarser .* or CSV"):
        to_xlsx(balance_rows(business(), LONDON), LONDON)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(InvalidInput, match=r"XlsxWriter; pip install 'django-stockandflow\[xlsx\]'"):
        to_xlsx([], LONDON)


def test_the_ledger_and_what_it_is_of_are_in_the_readers_language_and_columns_for_programs_stay() -> None:
    with translation.override("de"):
        book = opened(business())
        months = date_format(date(2026, 10, 1), "M")
    assert book.sheetnames == ["Ledger", "Stocks", "Flows", "About"]
    ledger = sheet_rows(book["Ledger"])
    head = next(row for row in ledger if row[0] == "Bestand")
    assert head[1:5] == ("Anfangsbestand", "Zufluss", "Abfluss", "Saldo")
    assert head[-1] == "Status"
    assert f"25 {months}" in str(ledger)
    assert dict(sheet_rows(book["About"]))["Zeitzone"] == "Europe/London"
    assert sheet_rows(book["Stocks"])[0] == COLUMNS
