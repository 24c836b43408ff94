"""Long form: one row for each number of a balance or a series, with what it covers and whether it can change."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given

from stockandflow.models import Restatement
from stockandflow.rendering import Row, balance_rows, series_rows
from stockandflow.reports import Balance
from tests.rendering.balances import AT, LONDON, balance, business, line, stock_balance
from tests.rendering.series import five_days
from tests.rendering.test_table import balances


def rows_of(shown: Balance) -> list[Row]:
    return list(balance_rows(shown, LONDON))


def test_one_row_for_each_number() -> None:
    assert [
        (row.kind, row.measure, row.stock, row.flow, row.source, row.sink, row.value)
        for row in rows_of(business())
        if row.measure != "rate"
    ] == [
        ("opening", "count", "trial", "", "", "", 586),
        ("inflow", "count", "trial", "signing-up", "", "trial", 1289),
        ("outflow", "count", "trial", "converting", "trial", "active", 858),
        ("outflow", "count", "trial", "", "trial", "past-due", 500),
        ("outflow", "count", "trial", "lapsing", "trial", "", 422),
        ("unexplained", "count", "trial", "", "", "", 0),
        ("closing", "count", "trial", "", "", "", 95),
        ("opening", "count", "past-due", "", "", "", 191),
        ("inflow", "count", "past-due", "payment-failing", "active", "past-due", 479),
        ("inflow", "count", "past-due", "", "trial", "past-due", 500),
        ("outflow", "count", "past-due", "recovering", "past-due", "active", 988),
        ("unexplained", "count", "past-due", "", "", "", -3),
        ("closing", "count", "past-due", "", "", "", 179),
        ("opening", "count", "urgent", "", "", "", 17),
        ("inflow", "count", "urgent", "", "", "", None),
        ("outflow", "count", "urgent", "", "", "", None),
        ("closing", "count", "urgent", "", "", "", 22),
    ]


def test_a_row_says_what_it_covers_and_what_everything_is_called() -> None:
    (signing_up,) = (row for row in rows_of(business()) if row.flow == "signing-up")
    assert signing_up == Row(
        process="membership",
        scope="range",
        period_start=datetime(2026, 10, 24, 23, tzinfo=UTC),
        period_end=datetime(2026, 11, 24, tzinfo=UTC),
        local_start=datetime(2026, 10, 25),  # noqa: DTZ001 - what the clocks show
        local_end=datetime(2026, 11, 24),  # noqa: DTZ001
        time_zone="Europe/London",
        grain="",
        status="in_progress",
        slice="",
        kind="inflow",
        measure="count",
        stock="trial",
        stock_name="Trial",
        flow="signing-up",
        flow_name="Signing up",
        source="",
        source_name="outside",
        sink="trial",
        sink_name="Trial",
        value=1289,
    )


def test_levels_say_how_they_came_to_be_and_one_of_now_when_it_was_counted() -> None:
    levels = [row for row in rows_of(business()) if row.stock == "urgent" and row.method]
    assert [(row.method, row.computed_at) for row in levels] == [("derived", None), ("counted", AT)]
    over = balance(stock_balance("Trial", 1), in_progress=False)
    assert {row.computed_at for row in rows_of(over)} == {None}


def test_what_is_not_known_has_a_row_without_a_value_and_says_gap() -> None:
    before = replace(stock_balance("Trial", 4), opening=None, opening_method="unknown", flows_known=False)
    assert [(row.kind, row.value, row.status, row.method) for row in rows_of(balance(before))] == [
        ("opening", None, "gap", "unknown"),
        ("inflow", None, "gap", ""),
        ("outflow", None, "gap", ""),
        ("unexplained", None, "gap", ""),
        ("closing", 4, "in_progress", "counted"),
    ]
    untracked = replace(before, tracked=False, opening=3)
    assert "unexplained" not in {row.kind for row in rows_of(balance(untracked))}
    sliced = replace(before, slice={"plan": "Pro"})
    assert [row.kind for row in rows_of(balance(sliced))][-2:] == ["reclassified", "closing"]


def test_numbers_of_records_say_when_they_were_computed() -> None:
    moves = replace(line(("Lapsing", "Trial", "", 3)), computed_at=AT)
    stored = stock_balance("Trial", 9, opening_computed_at=AT, closing_computed_at=AT + timedelta(hours=1))
    over = balance(replace(stored, closing=6, outflows=(moves,)), in_progress=False)

    assert {(row.kind, row.measure): row.computed_at for row in rows_of(over)} == {
        ("opening", "count"): AT,
        ("outflow", "count"): AT,
        ("outflow", "rate"): None,
        ("unexplained", "count"): None,
        ("closing", "count"): AT + timedelta(hours=1),
    }


def test_what_went_out_has_its_rate_and_where_they_are_known_the_subjects() -> None:
    moves = replace(line(("Lapsing", "Trial", "", 3)), subjects=2)
    held = replace(stock_balance("Trial", 12), outflows=(moves,), closing=9)
    assert [(row.measure, row.value) for row in rows_of(balance(held)) if row.kind == "outflow"] == [
        ("count", 3),
        ("subjects", 2),
        ("rate", 0.25),
    ]
    nobody = replace(held, opening=0)
    assert "rate" not in {row.measure for row in rows_of(balance(nobody))}


@pytest.mark.parametrize(
    ("since", "until", "grain"),
    [
        (date(2026, 10, 25), date(2026, 10, 26), "day"),
        (date(2026, 10, 19), date(2026, 10, 26), "week"),
        (date(2026, 10, 1), date(2026, 11, 1), "month"),
        (date(2026, 10, 1), date(2027, 1, 1), "quarter"),
        (date(2026, 1, 1), date(2027, 1, 1), "year"),
        (date(2026, 10, 2), date(2026, 11, 1), ""),
        (date(2026, 10, 1), date(2026, 12, 1), ""),
    ],
)
def test_the_grain_is_that_of_a_whole_period(since: date, until: date, grain: str) -> None:
    shown = balance(stock_balance("Trial", 1), since=since, until=until)
    assert {row.grain for row in rows_of(shown)} == {grain}


def test_parts_slices_and_what_it_is_compared_with_are_told_apart() -> None:
    whole = balance(stock_balance("Trial", 5))
    pro = balance(replace(stock_balance("Trial", 2), slice={"plan": "Pro"}))
    shown = replace(
        whole,
        parts=(balance(stock_balance("Trial", 5), until=date(2026, 11, 1), in_progress=False),),
        slices={"Pro": replace(pro, slice={"plan": "Pro"})},
        compared=balance(stock_balance("Trial", 4), since=date(2025, 10, 25), until=date(2025, 11, 24)),
    )
    openings = [row for row in rows_of(shown) if row.kind == "opening"]
    assert [(row.scope, row.slice, row.value) for row in openings] == [
        ("range", "", 5),
        ("part", "", 5),
        ("slice", "plan=Pro", 2),
        ("compared", "", 4),
    ]
    assert [row.status for row in openings[:2]] == ["in_progress", "provisional"]
    beside = {row.scope: row.kind for row in rows_of(shown) if row.kind in ("unexplained", "reclassified")}
    assert beside["slice"] == "reclassified"
    assert beside["range"] == "unexplained"


def test_a_restated_number_says_so_and_the_others_do_not() -> None:
    shown = business()
    moved = {"kind": "flow", "slug": "converting", "source": "trial", "sink": "active", "start": shown.since}
    level = Restatement(kind="stock", slug="trial", start=shown.since, old_count=585, new_count=586)
    flow = Restatement(**moved, old_count=857, new_count=858)
    trial, *others = shown.stocks
    shown = replace(
        shown,
        restated=(flow, level),
        stocks=(replace(trial, restated=(flow, level)), *others),
    )
    restated = {
        (row.kind, row.measure, row.flow): row.restated for row in rows_of(shown) if row.stock == "trial"
    }
    assert {key: number for key, number in restated.items() if number} == {
        ("opening", "count", ""): 1,
        ("outflow", "count", "converting"): 1,
        ("outflow", "rate", "converting"): 1,
        ("unexplained", "count", ""): 2,
    }


@given(balances)
def test_the_rows_of_a_tracked_stock_add_up(shown: Balance) -> None:
    rows = iter([row for row in rows_of(shown) if row.measure == "count"])
    for held in shown.stocks:
        opening = next(rows)
        total = opening.value or 0
        for row in rows:
            if row.kind == "closing":
                break
            total += -(row.value or 0) if row.kind == "outflow" else (row.value or 0)
        assert row.stock == opening.stock == held.stock.slug
        if held.unexplained is not None:
            assert total == row.value == held.closing
    assert next(rows, None) is None


def test_a_series_has_its_gaps_and_its_open_period_in_their_places() -> None:
    rows = list(series_rows([five_days()], "membership"))
    assert [(row.local_start.day, row.status, row.value, row.redefined, row.computed_at) for row in rows] == [
        (1, "final", 1_200, 0, AT),
        (2, "gap", None, 0, None),
        (3, "gap", None, 0, None),
        (4, "provisional", 600, 0, AT),
        (5, "in_progress", 0, 1, None),
    ]
    assert {(row.process, row.scope, row.grain, row.kind, row.measure, row.stock) for row in rows} == {
        ("membership", "series", "day", "level", "closing", "trial")
    }
