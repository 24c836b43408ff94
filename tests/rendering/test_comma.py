"""The CSV: long form, adding up, and harmless in a spreadsheet."""

import csv
from io import StringIO

import pytest
from hypothesis import given

from stockandflow.rendering import to_csv
from stockandflow.rendering.comma import defused
from stockandflow.reports import Balance
from tests.rendering.balances import balance, business, stock_balance
from tests.rendering.test_table import balances


def rows_of(shown: Balance) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(to_csv(shown))))


def test_one_row_for_each_number() -> None:
    period = "2026-10-24T23:00:00Z,2026-11-24T00:00:00Z,in progress,"
    assert to_csv(business()).splitlines() == [
        "period_start,period_end,status,slice,kind,stock,flow,source,sink,count",
        f"{period},opening,trial,,,,586",
        f"{period},inflow,trial,signing-up,,trial,1289",
        f"{period},outflow,trial,converting,trial,active,858",
        f"{period},outflow,trial,,trial,past-due,500",
        f"{period},outflow,trial,lapsing,trial,,422",
        f"{period},unexplained,trial,,,,0",
        f"{period},closing,trial,,,,95",
        f"{period},opening,past-due,,,,191",
        f"{period},inflow,past-due,payment-failing,active,past-due,479",
        f"{period},inflow,past-due,,trial,past-due,500",
        f"{period},outflow,past-due,recovering,past-due,active,988",
        f"{period},unexplained,past-due,,,,-3",
        f"{period},closing,past-due,,,,179",
        f"{period},opening,urgent,,,,17",
        f"{period},closing,urgent,,,,22",
    ]


def test_a_range_that_is_over_is_provisional() -> None:
    assert {row["status"] for row in rows_of(balance(stock_balance("Trial", 1), in_progress=False))} == {
        "provisional"
    }


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_text_that_would_be_a_formula_gets_an_apostrophe(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "trial", "past-due", "a=b", "2026-11-24T00:00:00Z"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert defused(text) == text


@given(balances)
def test_the_rows_of_a_tracked_stock_add_up(shown: Balance) -> None:
    rows = iter(rows_of(shown))
    for line in shown.stocks:
        total = int(next(rows)["count"])
        for row in rows:
            if row["kind"] == "closing":
                break
            total += -int(row["count"]) if row["kind"] == "outflow" else int(row["count"])
        assert row["stock"].removeprefix("'") == line.stock.slug
        if line.unexplained is not None:
            assert total == int(row["count"]) == line.closing
    assert next(rows, None) is None
