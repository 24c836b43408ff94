"""Why a level changed is told as if every touch were looked at, however many there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from stockandflow.models.clock import SETTLING
from stockandflow.recording.touches import OTHER_COUNT, Causes, Touch

instants = st.integers(0, 60).map(lambda quarters: datetime(2025, 1, 1, tzinfo=UTC) + quarters * SETTLING / 4)
touches = st.builds(
    lambda slugs, ends, cause: Touch(slugs, min(ends), max(ends), cause),
    st.frozensets(st.sampled_from("ab"), min_size=1),
    st.tuples(instants, instants),
    st.sampled_from(["late events", "imported events", OTHER_COUNT]),
)


def concerns(touch: Touch, at: datetime, carried_from: datetime) -> bool:
    """Whether it lies where the level was carried over, or within SETTLING before the count that it is from."""
    if touch.low < at and carried_from <= touch.high + SETTLING:
        return True
    return touch.low < carried_from > at and (at <= touch.high or touch.cause == OTHER_COUNT)


@given(st.lists(touches, max_size=5), instants, instants)
def test_the_causes_are_those_of_the_touches_that_concern_a_level(
    some: list[Touch], at: datetime, carried_from: datetime
) -> None:
    found = list(Causes(some).concerning("a", at, carried_from))

    assert set(found) == {
        touch.cause for touch in some if "a" in touch.slugs and concerns(touch, at, carried_from)
    }
    assert len(found) == len(set(found))


def test_a_stock_that_nothing_touched_has_none() -> None:
    at = datetime(2025, 1, 1, tzinfo=UTC)
    assert not list(Causes([]).concerning("a", at, at + timedelta(days=1)))
