"""Rivers, bars and sparklines: what is drawn is what was given, whatever was given."""

import math
import re
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockandflow.drawing.bars import columns, moving_average
from stockandflow.drawing.dates import MOST, MOST_ESSENTIAL, date_ticks
from stockandflow.drawing.layers import Layer, bar_share, shades, stacked
from stockandflow.drawing.river import NORMAL, SMALL, River, Size, river
from stockandflow.drawing.scales import Axis, count_axis, nice, number, percent
from stockandflow.drawing.shares import shares
from stockandflow.drawing.sparkline import sparkline

HUGE = 10**15
GEOMETRY = re.compile(r"[-MLVHhvZ0-9. %]*")
BAR = re.compile(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-([\d.]+)Z")

counts = st.integers(0, HUGE)
known_or_not = st.one_of(st.none(), counts)


def strings(value: Any) -> list[str]:
    """Every string of a drawing but the names and the words on its ticks."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple):
        return [text for one in value for text in strings(one)]
    if hasattr(value, "__dataclass_fields__"):
        left_out = {"name", "shade", "text"}
        return [
            text
            for name in value.__dataclass_fields__
            if name not in left_out
            for text in strings(getattr(value, name))
        ]
    return []


def layers(*rows: tuple[int | None, ...]) -> tuple[Layer, ...]:
    return tuple(Layer(str(at), row, str(at)) for at, row in enumerate(rows, 1))


def bars(path: str) -> list[tuple[float, float, float, float]]:
    """The x, y, width and height of each bar of a path."""
    found = BAR.findall(path)
    assert "".join(f"M{x} {y}h{w}v{h}h-{w}Z" for x, y, w, h, _ in found) == path
    return [(float(x), float(y), float(w), float(h)) for x, y, w, h, _ in found]


@st.composite
def rivers(draw: st.DrawFn) -> tuple[River, list[tuple[int, ...]], list[tuple[int, ...]], list[int | None]]:
    periods = draw(st.integers(1, 40))
    rows = st.lists(st.tuples(*[counts] * periods), max_size=4)
    ins, outs = draw(rows), draw(rows)
    levels = draw(st.lists(known_or_not, min_size=periods + 1, max_size=periods + 1))
    drawn = river(layers(*ins), layers(*outs), levels, open_from=draw(st.sampled_from([None, periods - 1])))
    return drawn, ins, outs, levels


@given(counts)
def test_a_nice_number_is_the_least_round_one_that_holds_the_value(value: int) -> None:
    found = nice(value)
    assert max(1, value) <= found <= max(1, value * 1.5)
    assert len(str(found).rstrip("0")) <= 2


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_number_is_written_with_a_point_and_no_exponent(value: float) -> None:
    assert re.fullmatch(r"-?\d+(\.\d{1,2})?", number(value))
    assert number(-0.0001) == "0"
    assert percent(1 / 3) == "33.333%"


@given(st.lists(st.one_of(st.none(), st.integers(-HUGE, HUGE))))
def test_an_axis_holds_every_value(values: list[int | None]) -> None:
    axis = count_axis(values)
    assert axis.low < axis.high
    assert all(0 <= axis.place(value) <= 1 for value in values if value is not None)


def test_an_axis_begins_at_zero_only_where_that_hides_nothing() -> None:
    assert count_axis([0, 10]).from_zero
    assert count_axis([30, 100]).from_zero
    assert not count_axis([4_188, 4_445]).from_zero
    assert not count_axis([-5, 10]).from_zero
    assert count_axis([]) == count_axis([None]) == count_axis([0, 0]) == Axis(0, 1)


@given(rivers())
def test_a_river_is_written_in_finite_numbers_with_points(made: Any) -> None:
    texts = strings(made[0])
    assert len(texts) > 20
    for text in texts:
        assert GEOMETRY.fullmatch(text), text
        assert all(math.isfinite(float(one)) for one in re.findall(r"-?[\d.]+", text))


@given(rivers())
def test_inflow_and_outflow_have_one_scale_and_no_pile_leaves_its_part(made: Any) -> None:
    drawn, ins, outs, _levels = made
    for pile, rows in ((drawn.inflows, ins), (drawn.outflows, outs)):
        reached: dict[float, float] = {}
        for layer in pile.layers:
            for x, _y, _width, height in bars(layer.path) + bars(layer.open):
                reached[x] = reached.get(x, 0) + height
        for height in reached.values():
            assert height <= NORMAL.bars + 0.6 * len(rows)
        totals = [sum(column) for column in zip(*rows, strict=True)] if rows else []
        assert len(reached) == sum(total > 0 for total in totals)
        # Each bar lacks no more than the line between it and the next.
        for x, height in reached.items():
            given_height = totals[int(x // 100)] / drawn.top * NORMAL.bars
            assert given_height - len(rows) - 0.1 <= height <= given_height + 0.6 * len(rows) + 0.1


def test_bars_stand_on_each_other_and_hang_from_each_other() -> None:
    drawn = river(layers((10,), (5,)), layers((10,), (5,)), [0, 0], top=20, size=Size(bars=80, count=50))
    (first,), (second,) = (bars(one.path) for one in drawn.inflows.layers)
    assert first[1] + first[3] == 80
    assert second[1] + second[3] == 40
    (first,), (second,) = (bars(one.path) for one in drawn.outflows.layers)
    assert (first[1], second[1]) == (0, 40)


def test_a_bar_of_little_is_still_seen_and_one_of_nothing_is_not_drawn() -> None:
    (layer,) = river(layers((1_000_000, 1, 0)), (), [0, 0, 0, 0]).inflows.layers
    assert [height >= 0.6 for *_rest, height in bars(layer.path)] == [True, True]


def test_the_period_in_progress_has_a_path_of_its_own() -> None:
    (layer,) = river(layers((3, 2)), (), [1, 4, 6], open_from=1).inflows.layers
    assert [len(bars(path)) for path in (layer.path, layer.open)] == [1, 1]


def test_what_is_not_known_is_a_band_and_never_zero() -> None:
    drawn = river((), (), [4, None, None, 5, 6, 7, 7], gaps=[5])
    assert [(band.x, band.width) for band in drawn.gaps] == [("0%", "50%"), ("83.333%", "16.667%")]
    assert drawn.count.line.startswith("M0 ")
    assert drawn.count.line.count("M") == 2
    assert (drawn.lowest, drawn.highest) == (4, 7)


def test_a_lone_point_between_gaps_is_a_dot() -> None:
    assert re.fullmatch(r"M10 [\d.]+h0", river((), (), [None, 5, None]).count.line)


@pytest.mark.parametrize("levels", [[None, None], [0, 0], [7, 7], [HUGE, HUGE + 1], [-3, 5]])
def test_levels_that_are_flat_huge_negative_or_unknown_are_drawn(levels: Any) -> None:
    drawn = river(layers((0,)), layers((None,)), levels)
    assert "nan" not in "".join(strings(drawn))
    assert drawn.top == 1
    assert (drawn.count.line == "") == (levels[0] is None)
    assert (drawn.count.end == "") == (levels[-1] is None)


def test_the_line_is_filled_only_where_the_axis_begins_at_zero() -> None:
    assert river((), (), [1, 100]).count.area
    assert not river((), (), [4_188, 4_445]).count.area
    assert sparkline([1, 100]).area
    assert not sparkline([4_188, 4_445]).area


def test_what_is_compared_is_drawn_on_the_same_axis_and_no_further_than_the_range() -> None:
    drawn = river((), (), [10, 20, 30], compared=[10, 20, 30, 40])
    assert drawn.count.compared == drawn.count.line


def test_rivers_on_one_scale_draw_one_count_at_one_height() -> None:
    axis = Axis(0, 100)
    one, other = (
        river(layers((5,)), (), levels, top=20, axis=axis, size=SMALL) for levels in ([50, 50], [50, 90])
    )
    assert one.count.line.split("L")[0] == other.count.line.split("L")[0]
    assert one.inflows == other.inflows
    assert one.labels == ()


def test_a_river_of_a_stock_that_nobody_watches_is_its_count_alone() -> None:
    drawn = river((), (), [3, 4], size=Size(bars=0, count=74))
    assert float(drawn.height) < float(river((), (), [3, 4]).height)
    assert drawn.dotted


def test_flows_beyond_what_shades_tell_apart_are_folded_into_one() -> None:
    rows = {name: [size, size] for name, size in zip("abcdef", (1, 2, 3, 4, 5, 6), strict=True)}
    found = stacked(rows, 4, folded=frozenset("f"))
    assert [(layer.name, layer.shade) for layer in found] == [
        ("e", "1"),
        ("d", "2"),
        ("c", "3"),
        ("b", "4"),
        ("", "other"),
    ]
    assert found[-1].values == (7, 7)
    assert sum(layer.total for layer in found) == 42
    assert shades({"a": 1, "b": 1}, 4) == {"a": "1", "b": "2"}


@given(
    st.dictionaries(st.text(min_size=1), st.lists(known_or_not, min_size=3, max_size=3)), st.integers(1, 5)
)
def test_folding_loses_nothing(rows: Any, most: int) -> None:
    found = stacked(rows, most)
    assert len(found) <= most + 1
    for at in range(3):
        assert sum(layer.values[at] or 0 for layer in found) == sum(row[at] or 0 for row in rows.values())


def test_bars_of_few_periods_are_no_blocks() -> None:
    assert bar_share(1) < bar_share(7) < bar_share(24) == bar_share(120)


@given(st.lists(st.one_of(st.none(), st.integers(-HUGE, HUGE), st.floats(-1e9, 1e9))), st.integers(12, 80))
def test_a_sparkline_stays_within_its_height(values: Any, height: int) -> None:
    drawn = sparkline(values, height=height)
    assert all(GEOMETRY.fullmatch(text) for text in strings(drawn))
    for _x, y in re.findall(r"[ML]([\d.]+) (-?[\d.]+)", drawn.line):
        assert 0 <= float(y) <= height
    assert (drawn.line == "") == (drawn.end_x == "") == all(value is None for value in values)


def test_a_moving_average_waits_for_its_window_and_breaks_at_what_is_not_known() -> None:
    assert moving_average([1, 2, 3, None, 5, 6, 7], 3) == (None, None, 2, None, None, None, 6)
    assert moving_average([], 3) == ()


def test_bars_of_a_flow_have_room_for_their_average_and_mark_what_is_not_known() -> None:
    drawn = columns(layers((4, None, 8)), 3, average=[None, None, 6.0], open_from=2)
    assert drawn.average == "M25 37h0"
    assert [(band.x, band.width) for band in drawn.gaps] == [("33.333%", "33.333%")]
    assert all(GEOMETRY.fullmatch(text) for text in strings(drawn))
    assert columns((), 2).pile.layers == ()


def test_shares_have_one_scale_from_zero() -> None:
    assert shares([50, 100, None, -3]) == ("50%", "100%", "0%", "0%")
    assert shares([50, 300], of=200) == ("25%", "100%")
    assert shares([]) == ()
    assert shares([0, 0]) == ("0%", "0%")


@given(
    st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(0, 130), st.sampled_from([1, 7, 31, 92, 366])
)
def test_dates_are_named_where_there_is_room(first: date, periods: int, days: int) -> None:
    starts = [first + timedelta(days=days * at) for at in range(periods)]
    found = date_ticks(starts)
    places = [at for at, _essential in found]
    assert bool(found) == bool(starts)
    assert len(found) <= MOST
    assert sum(essential for _at, essential in found) <= MOST_ESSENTIAL
    assert places == sorted(set(places))
    assert not places or places[-1] < max(1, periods * 0.9)


def test_days_are_named_by_week_and_months_by_month() -> None:
    days = [date(2026, 10, 25) + timedelta(days=at) for at in range(30)]
    assert [days[at].day for at, _essential in date_ticks(days)] == [26, 2, 9, 16]
    assert {days[at].weekday() for at, _essential in date_ticks(days, week_start=6)} == {6}
    months = [date(2026, month, 1) for month in range(1, 13)]
    assert [months[at].month for at, _essential in date_ticks(months)] == [1, 4, 7, 10]
