"""The table of a series: what isn't known is a gap, and what can still change says so."""

from dataclasses import replace

from stockandflow.rendering import Signs, series_to_table
from stockandflow.rendering.table import columns_of
from tests.rendering.series import five_days

WHOLE = """\
Trial · closing · by day · UTC
  1 Jul 2026      1,200  ██████████████████████████████
  2 – 3 Jul 2026      –  gap
  4 Jul 2026        600  ███████████████  provisional
  5 Jul 2026          0  in progress
Since 5 Jul 2026, 00:00 it means something else: members whose status is 'trial'
"""


def test_the_whole_table() -> None:
    assert series_to_table([five_days()]) == WHOLE


def test_several_stand_below_each_other() -> None:
    assert series_to_table([five_days(), five_days()]) == f"{WHOLE}\n{WHOLE}"


def test_a_rate_is_a_percentage_and_a_mean_has_a_decimal() -> None:
    first, *_ = five_days().points
    rate = replace(five_days(), measure="rate", points=(replace(first, value=0.1234),))
    assert "1 Jul 2026      12.3 %  ███" in series_to_table([rate])
    mean = replace(five_days(), measure="mean", points=(replace(first, value=1_200.25),))
    assert "1 Jul 2026      1,200.2  ███" in series_to_table([mean])


def test_in_ascii_the_table_holds_nothing_else() -> None:
    assert series_to_table([five_days()], signs=Signs.ascii()).isascii()


def test_no_line_is_wider_than_asked() -> None:
    assert max(map(columns_of, series_to_table([five_days()]).splitlines())) <= 80


def test_of_nothing_there_is_a_heading_alone() -> None:
    none = replace(five_days(), points=(), open=None, gaps=(), breaks=())
    assert series_to_table([none]) == "Trial · closing · by day · UTC\n"
