"""The CSV: every row of the long form, and harmless in a spreadsheet."""

import csv
from io import StringIO

import pytest

from stockandflow.rendering import COLUMNS, balance_rows, to_csv
from stockandflow.rendering.comma import defused
from tests.rendering.balances import LONDON, balance, business, stock_balance


def test_rows_stand_below_the_names_of_their_columns() -> None:
    heading, first, *rest = to_csv(balance_rows(business(), LONDON)).splitlines()
    assert heading == (
        "process,scope,period_start,period_end,local_start,local_end,time_zone,grain,status,slice,kind,measure,stock,"
        "stock_name,flow,flow_name,source,source_name,sink,sink_name,value,method,restated,redefined,computed_at"
    )
    assert first == (
        "membership,range,2026-10-24T23:00:00Z,2026-11-24T00:00:00Z,2026-10-25 00:00:00,2026-11-24 00:00:00,"
        "Europe/London,,in_progress,,opening,count,trial,Trial,,,,,,,586,counted,0,0,"
    )
    assert {line.count(",") for line in rest} == {len(COLUMNS) - 1}


def test_negative_numbers_stay_numbers_and_text_that_would_be_a_formula_does_not() -> None:
    shown = balance(stock_balance("=HYPERLINK(1)", 7, unexplained=-3))
    rows = list(csv.DictReader(StringIO(to_csv(balance_rows(shown, LONDON)))))
    assert [row["value"] for row in rows] == ["7", "-3", "4"]
    assert {row["stock_name"] for row in rows} == {"'=HYPERLINK(1)"}


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_text_that_would_be_a_formula_gets_an_apostrophe(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "trial", "past-due", "a=b", "2026-11-24T00:00:00Z"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert defused(text) == text
