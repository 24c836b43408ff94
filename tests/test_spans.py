"""Spans of time: the same time in fewer of them, and few that hold many instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stockandflow.spans import APART, MOST, Span, covering, merged, stretches

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


bounds = st.integers(0, 60)
spans = st.lists(st.tuples(bounds, bounds))


@given(spans)
def test_merged_spans_hold_the_same_time_in_order_and_apart(given: list[tuple[int, int]]) -> None:
    found = merged((at(low), at(high)) for low, high in given)

    def held(some: list[Span]) -> set[int]:
        return {hour for hour in range(60) for low, high in some if low <= at(hour) < high}

    assert held(found) == held([(at(low), at(high)) for low, high in given])
    assert all(low < high for low, high in found)
    assert all(one[1] < other[0] for one, other in pairwise(found))


def test_instants_near_each_other_are_one_stretch() -> None:
    near = [START, START + APART, START + 2 * APART]
    assert stretches(near) == [(near[0], near[-1])]


def test_instants_far_from_each_other_are_a_stretch_each() -> None:
    assert stretches([START + 9 * APART, START]) == [(START, START), (START + 9 * APART, START + 9 * APART)]


@given(st.lists(st.integers(0, 10_000), min_size=1))
def test_few_stretches_hold_all_instants_parted_at_the_widest_gaps(hours: list[int]) -> None:
    found = stretches(map(at, hours))
    assert len(found) <= MOST
    assert all(any(low <= at(hour) <= high for low, high in found) for hour in hours)
    assert {bound for span in found for bound in span} <= set(map(at, hours))
    parted = [later[0] - earlier[1] for earlier, later in pairwise(found)]
    assert all(gap > APART for gap in parted)
    ordered = sorted(set(map(at, hours)))
    gaps = sorted((later - earlier for earlier, later in pairwise(ordered)), reverse=True)
    assert sorted(parted, reverse=True) == [gap for gap in gaps[: MOST - 1] if gap > APART]


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 2_000)), min_size=1))
def test_a_span_lies_within_one_stretch_however_long_it_is(given: list[tuple[int, int]]) -> None:
    spans = [(at(low), at(low + length)) for low, length in given]
    found = covering(spans)
    assert len(found) <= MOST
    assert all(any(low <= one[0] and one[1] <= high for low, high in found) for one in spans)
    assert all(later[0] - earlier[1] > APART for earlier, later in pairwise(found))
