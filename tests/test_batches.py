"""A long list in batches: all of it, in order, and none of them too long."""

from stockandflow.batches import batched


def test_the_last_batch_is_what_is_left() -> None:
    assert list(batched([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]


def test_a_whole_number_of_batches_has_no_empty_one() -> None:
    assert list(batched([1, 2, 3, 4], 2)) == [[1, 2], [3, 4]]


def test_nothing_is_no_batch() -> None:
    assert list(batched([], 2)) == []
