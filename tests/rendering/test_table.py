"""The table: aligned, within its width, adding up, and readable in any terminal."""

import re
from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from stockandflow.models import Restatement
from stockandflow.periods import Status
from stockandflow.rendering import Paint, Signs, to_table
from stockandflow.rendering.table import columns_of
from stockandflow.reports import Balance, StockBalance
from tests.rendering.balances import AT, LONDON, Moves, balance, business, stock_balance


def squeezed(text: str) -> str:
    return " ".join(text.split())


WHOLE = """\
Membership
How people move from sign-up to active membership, and where they leave.
25 Oct – 23 Nov 2026 · Europe/London · in progress · counted 23 Nov 2026, 18:54

Stock     Opening      In     Out   Net  Unexplained  Now    Change
───────────────────────────────────────────────────────────────────
Trial         586  +1,289  −1,780  −491            0   95  ▼ 83.8 %
Past due      191    +979    −988    −9           −3  179  ▼  6.3 %
Urgent         17       –       –     –            –   22  ▲ 29.4 %
───────────────────────────────────────────────────────────────────
                             opening + in − out + unexplained = now

Past due: −3 unexplained. Its flows lead from 191 to 182, but it has 179.
Unexplained means: something changed objects without being seen, such as a write
  that went round the capture.
Urgent: in no tracker, so nothing promises to account for every change.
Opening levels are derived: the nearest count, carried to that instant by the
  flow events between.

Trial · 95 · ▼ −491
  In                                +1,289
    Signing up       from outside    1,289  ████████████████████
  Out                               −1,780
    Converting       to Active         858  █████████████▍
    Lapsing          to outside        422  ██████▌
    Other            to Past due       500  ███████▊

Past due · 179 · ▼ −12
  In                                  +979
    Payment failing  from Active       479  ███████▍
    Other            from Trial        500  ███████▊
  Out                                 −988
    Recovering       to Active         988  ███████████████▍
  Unexplained                           −3

Urgent · 22 · ▲ +5
  No tracker watches it.
"""


def test_the_whole_table() -> None:
    assert to_table(business(), LONDON) == WHOLE


def test_a_closed_range_says_closing_and_nothing_of_now() -> None:
    table = to_table(balance(stock_balance("Trial", 7), in_progress=False), LONDON)
    assert "  Closing  " in table
    assert "= closing\n" in table
    assert "progress" not in table
    assert "counted" not in table
    assert "Nothing came and nothing went." in table


def test_a_balance_without_anything_unexplained_has_no_note() -> None:
    table = to_table(balance(stock_balance("Trial", 7, inflows=[("Signing up", "", "Trial", 1)])), LONDON)
    assert "unexplained." not in table
    assert "tracker" not in table
    assert "derived" not in table


def test_moves_that_were_not_written_as_they_happened_are_told_by_their_origin() -> None:
    mixed = replace(business(), origins={"import": 1_200, "sweep": 3, "live": 40, "initial": 586})
    table = " ".join(to_table(mixed, LONDON).split())
    assert "Moves: 1,200 imported, 3 found by a sweep, 40 written as they happened." in table
    assert (
        "Opening balance: 586 objects stood there when the capture began, and count as a level, not as a move."
        in table
    )
    assert "Moves:" not in to_table(replace(business(), origins={"live": 40}), LONDON)


def test_both_levels_are_said_to_be_derived_when_they_are() -> None:
    line = replace(stock_balance("Trial", 7), opening_method="derived", closing_method="derived")
    assert "Opening and closing levels are derived" in to_table(balance(line), LONDON)


def test_where_one_count_tells_both_levels_it_is_said_that_nothing_can_be_unexplained() -> None:
    once, twice = stock_balance("Trial", 7, counted_once=True), stock_balance("Active", 7)
    every, one = (" ".join(to_table(balance(*lines), LONDON).split()) for lines in ([once], [once, twice]))
    says = "One count tells both levels of {}, so nothing can be unexplained. The schedule takes more, and "
    assert says.format("these stocks") in every
    assert says.format("Trial") in one
    assert "One count" not in to_table(balance(twice), LONDON)


def test_in_ascii_the_table_holds_nothing_else() -> None:
    table = to_table(business(), LONDON, signs=Signs.ascii())
    assert table.isascii()
    assert "Past due      191    +979    -988    -9           -3  179  v  6.3 %" in table
    assert "25 Oct - 23 Nov 2026 | Europe/London" in table


def test_colours_paint_the_heading_the_bars_and_what_is_unexplained() -> None:
    paint = Paint(
        heading="<h>{}</h>".format,
        inflow="<i>{}</i>".format,
        outflow="<o>{}</o>".format,
        warning="<w>{}</w>".format,
    )
    painted = to_table(business(), LONDON, paint=paint)
    assert "<h>Membership</h>\n" in painted
    assert re.search(r"1,289  <i>█+</i>\n", painted)
    assert re.search(r"858  <o>█+▍</o>\n", painted)
    assert re.search(r"−9  <w> +−3</w>  179", painted)
    assert "<w>Past due: −3 unexplained." in painted
    assert re.sub(r"</?[hiow]>", "", painted) == WHOLE


def test_wide_and_combining_characters_keep_the_columns() -> None:
    lines = to_table(balance(stock_balance("試用中", 7), stock_balance("Cafe\u0301", 8)), LONDON).splitlines()
    rows = [line for line in lines if re.search(r"■ 0.0 %$", line)]
    assert len({columns_of(row) for row in rows}) == 1
    assert len({len(row) for row in rows}) == 2


def test_a_name_cannot_move_the_cursor_or_break_the_line() -> None:
    table = to_table(balance(stock_balance("Evil\x1b[2J\nname\t!\u202e", 7)), LONDON)
    assert "\x1b" not in table
    assert "\u202e" not in table
    assert "Evil [2J name !" in table


def test_a_name_too_long_is_cut_and_its_numbers_are_not() -> None:
    table = to_table(
        balance(stock_balance("A stock with a name that goes on and on and on", 1_234_567)), LONDON
    )
    assert re.search(r"^A stock with .*…  1,234,567 ", table, re.MULTILINE)


def test_numbers_wider_than_the_table_are_shown_whole() -> None:
    huge = 10**18
    moves: list[Moves] = [("Signing up", "", "Trial", huge)]
    table = to_table(balance(stock_balance("A long name", huge, inflows=moves)), LONDON, width=60)
    assert "1,000,000,000,000,000,000 +1,000,000,000,000,000,000" in table
    assert re.search(r"^A long … 1,000", table, re.MULTILINE)


def test_a_long_description_is_wrapped_even_without_a_space() -> None:
    table = to_table(balance(stock_balance("Trial", 7), description="説明" * 50), LONDON)
    assert max(map(columns_of, table.splitlines())) <= 80
    assert table.count("説明") + table.count("説\n") == 50


def test_every_move_has_a_bar_however_small() -> None:
    moves: list[Moves] = [("Big", "", "Trial", 1_000_000), ("Small", "", "Trial", 1)]
    table = to_table(balance(stock_balance("Trial", 7, inflows=moves)), LONDON)
    assert re.search(r"Small .* 1  ▏\n", table)


names = st.text(min_size=1, max_size=60).filter(lambda name: name.strip() != "")
counts = st.integers(0, 99_999)
moves = st.lists(st.tuples(st.none() | names, st.just("") | names, st.just("") | names, counts), max_size=4)
lines = st.builds(
    stock_balance,
    names,
    counts,
    inflows=moves,
    outflows=moves,
    unexplained=st.none() | st.integers(-99_999, 99_999),
)
balances = st.lists(lines, min_size=1, max_size=5).map(lambda made: balance(*made, since=date(2026, 1, 1)))


@given(balances, st.integers(80, 100), st.sampled_from([Signs(), Signs.ascii()]))
def test_no_line_is_wider_than_asked(shown: Balance, width: int, signs: Signs) -> None:
    table = to_table(shown, LONDON, width=width, signs=signs)
    assert max(map(columns_of, table.splitlines())) <= width


def sliced(value: str, **numbers: int) -> StockBalance:
    line = stock_balance(
        "Trial", numbers["opening"], inflows=[("Signing up", "", "Trial", numbers["inflow"])]
    )
    return replace(line, closing=numbers["closing"], slice={"plan": value})


def test_a_slice_has_reclassified_where_the_whole_has_unexplained() -> None:
    shown = replace(balance(sliced("Pro", opening=4, inflow=2, closing=5)), slice={"plan": "Pro"})
    text = squeezed(to_table(shown, LONDON))

    assert "plan Pro · in progress" in text
    assert "Stock Opening In Out Net Reclassified Now Change" in text
    assert "Trial 4 +2 0 +2 −1 5 ▲ 25.0 %" in text
    assert "opening + in − out + reclassified = now" in text
    assert "Reclassified −1" in text
    assert "in no tracker" not in text


def test_each_stock_is_shown_by_value_and_by_period() -> None:
    whole = balance(stock_balance("Trial", 10, inflows=[("Signing up", "", "Trial", 5)]))
    slices = {
        value: balance(sliced(value, opening=opening, inflow=1, closing=opening + 1))
        for value, opening in (("Basic", 6), ("Pro", 4))
    }
    first = balance(stock_balance("Trial", 10), until=date(2026, 11, 1), in_progress=False)
    second = balance(
        stock_balance("Trial", 10, inflows=[("Signing up", "", "Trial", 5)]), since=date(2026, 11, 1)
    )
    stock = whole.stocks[0].stock

    def of_stock(one: Balance) -> Balance:
        return replace(one, stocks=tuple(replace(line, stock=stock) for line in one.stocks))

    shown = replace(
        whole,
        slices={value: of_stock(one) for value, one in slices.items()},
        parts=(of_stock(first), of_stock(second)),
    )
    rows = to_table(shown, LONDON).splitlines()
    text = squeezed("\n".join(rows))

    assert "Trial by plan Opening" in text
    assert "Basic 6 +1 0 +1 0 7" in text
    assert "25 – 31 Oct ~ 10 0 0 0 0 10" in text
    assert "1 – 23 Nov … 10 +5 0 +5 0 15" in text
    assert "~ provisional … in progress" in text
    assert max(map(len, rows)) <= 80


def test_a_balance_is_shown_beside_what_it_is_compared_with() -> None:
    before = balance(
        stock_balance("Trial", 3, inflows=[("Signing up", "", "Trial", 7)]),
        since=date(2026, 9, 25),
        until=date(2026, 10, 25),
        in_progress=False,
    )
    now = balance(stock_balance("Trial", 10, inflows=[("Signing up", "", "Trial", 5)]))
    text = squeezed(to_table(replace(now, compared=before), LONDON))

    assert "Compared with 25 Sep – 24 Oct 2026 · provisional" in text
    assert "Stock In was Out was Net was Now was" in text
    assert "Trial +5 +7 0 0 +5 +7 15 10" in text


def test_a_part_that_can_still_change_is_marked_and_a_final_one_is_not() -> None:
    line = stock_balance("Trial", 1)
    bounds = [(10, Status.FINAL), (11, Status.PROVISIONAL), (12, Status.IN_PROGRESS)]
    whole = balance(line, since=date(2026, 10, 1))
    parts = tuple(
        replace(
            balance(line, since=date(2026, month, 1), until=date(2026, month, 20)),
            stocks=(replace(line, stock=whole.stocks[0].stock, status=status),),
        )
        for month, status in bounds
    )
    shown = replace(whole, parts=parts)
    rows = to_table(shown, LONDON).splitlines()

    assert [row.split("  ")[0] for row in rows[-5:-2]] == ["1 – 19 Oct", "1 – 19 Nov ~", "1 – 19 Dec …"]
    assert rows[-1].strip() == "~ provisional   … in progress"
    assert to_table(shown, LONDON, signs=Signs.ascii()).isascii()
    final = replace(shown, parts=parts[:1])
    assert "~" not in to_table(final, LONDON)


def test_the_name_of_a_period_is_not_cut_for_its_mark() -> None:
    big: list[Moves] = [("Signing up", "", "Trial", 1_345)]
    line = stock_balance("Trial", 1_345, inflows=big, outflows=[("Lapsing", "Trial", "", 1_345)])
    part = balance(line, since=date(2025, 12, 29), until=date(2026, 1, 5))
    whole = balance(line)
    stocks = (replace(line, stock=whole.stocks[0].stock, status=Status.IN_PROGRESS),)
    table = to_table(replace(whole, parts=(replace(part, stocks=stocks),)), LONDON)
    assert "29 Dec – 4 Jan 2026 … " in table


def test_a_restated_number_is_marked_and_the_mark_explained() -> None:
    shown = business()
    trial, *others = shown.stocks
    level = Restatement(kind="stock", slug="trial", start=shown.since, old_count=585, new_count=586, at=AT)
    moved = Restatement(
        kind="flow",
        slug="lapsing",
        source="trial",
        sink="",
        start=shown.since,
        end=shown.at,
        old_count=1,
        new_count=2,
        at=AT,
    )
    both = (level, moved)
    text = squeezed(
        to_table(replace(shown, restated=both, stocks=(replace(trial, restated=both), *others)), LONDON)
    )
    assert "Trial *586 +1,289 *−1,780 −491 0 95" in text
    assert "* restated opening + in" in text
    assert "restated" not in to_table(shown, LONDON)


def test_what_was_restated_is_told_with_its_cause() -> None:
    start, end = (LONDON.midnight(date(2026, 11, day)) for day in (3, 4))
    about = {"cause": "late events", "at": AT, "start": start}
    flow = {"kind": "flow", "source": "", "sink": "trial", "end": end, "grain": "day", **about}
    restated = (
        Restatement(slug="signing-up", old_count=12, new_count=14, **flow),
        Restatement(slug="", facet="plan", value="Pro", old_count=1, new_count=2, **flow),
        Restatement(kind="stock", slug="trial", end=start, old_count=7, new_count=9, **about),
    )
    text = squeezed(to_table(replace(business(), restated=restated * 2), LONDON))

    told = "Restated 23 Nov 2026, 18:54:"
    assert f"{told} signing-up from outside to trial, 3 Nov 2026: 12 is now 14; late events." in text
    assert f"{told} other moves from outside to trial, plan Pro, 3 Nov 2026: 1 is now 2;" in text
    assert f"{told} trial before 3 Nov 2026, 00:00: 7 is now 9; late events." in text
    assert "Restated: 3 more." in text


def test_a_slice_without_a_level_says_why() -> None:
    why = "– in a slice isn't known: the level of a value is, where a count of it stands a day away at most,"
    known = stock_balance("Trial", 7, slice={"plan": "Pro"})
    unknown = replace(known, closing=None, closing_method="unknown")

    assert why in squeezed(to_table(replace(balance(unknown), slice={"plan": "Pro"}), LONDON))
    split = replace(balance(stock_balance("Trial", 7)), slices={"Pro": balance(unknown)})
    assert why in squeezed(to_table(split, LONDON))
    assert why not in squeezed(to_table(replace(split, slices={"Pro": balance(known)}), LONDON))
