"""The diagram keeps its geometry for whatever process: nothing overlaps, nothing is cut, nothing is struck through."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import combinations

from stockandflow.drawing.diagram import Box, Diagram, Pipe, Rectangle, diagram, miniature, neighbourhood
from stockandflow.drawing.diagram.layout import BOX_PAD
from stockandflow.drawing.diagram.lettering import text_width
from tests.drawing.diagram.processes import (
    bends,
    crossings,
    example_process,
    levels_and_uprights,
    random_process,
    shrunk,
)

EXAMPLES = "membership", "support", "leads"
SEEDS: tuple[int | str, ...] = (*range(200), *EXAMPLES)
"""Those of processes at random, and the processes of the example."""


@cache
def drawn(seed: int | str) -> Diagram:
    boxes, pipes = example_process(seed) if isinstance(seed, str) else random_process(seed)
    return diagram(boxes, pipes)


def test_no_box_overlaps_another() -> None:
    for seed in SEEDS:
        for one, other in combinations(drawn(seed).boxes, 2):
            assert not one.place.overlaps(other.place), (seed, one.box.slug, other.box.slug)


def test_no_label_stands_on_a_box_or_on_another_label() -> None:
    for seed in SEEDS:
        found = drawn(seed)
        labels = [
            (pipe.pipe.slug, place) for pipe in found.pipes if pipe.label for place in pipe.label.places
        ]
        for slug, place in labels:
            for box in found.boxes:
                assert not place.overlaps(box.place), (seed, slug, box.box.slug)
        for (one, a), (other, b) in combinations(labels, 2):
            assert not a.overlaps(b), (seed, one, other)


def test_no_pipe_runs_through_a_box() -> None:
    for seed in SEEDS:
        found = drawn(seed)
        for pipe in found.pipes:
            for part in levels_and_uprights(pipe):
                for box in found.boxes:
                    assert not part.overlaps(shrunk(box.place, 1)), (seed, pipe.pipe.slug, box.box.slug)


def test_no_pipe_strikes_a_label_through() -> None:
    for seed in SEEDS:
        found = drawn(seed)
        for pipe in found.pipes:
            for other in found.pipes:
                for place in other.label.places if other.label else ():
                    for part in levels_and_uprights(pipe):
                        assert not part.overlaps(shrunk(place, 1)), (seed, pipe.pipe.slug, other.pipe.slug)


def test_no_two_pipes_lie_on_each_other() -> None:
    for seed in SEEDS:
        for one, other in combinations(drawn(seed).pipes, 2):
            for a in levels_and_uprights(one):
                for b in levels_and_uprights(other):
                    if (a.width > a.height) == (b.width > b.height):
                        assert not a.overlaps(b), (seed, one.pipe.slug, other.pipe.slug)


def test_nothing_is_outside_the_canvas() -> None:
    for seed in SEEDS:
        found = drawn(seed)
        places = [box.place for box in found.boxes]
        places += [place for pipe in found.pipes if pipe.label for place in pipe.label.places]
        places += [part for pipe in found.pipes for part in levels_and_uprights(pipe)]
        for place in places:
            assert 0 <= place.x <= place.right <= found.width, (seed, place)
            assert 0 <= place.y <= place.bottom <= found.height, (seed, place)


def test_pipes_cross_less_than_once_in_eight() -> None:
    found = [drawn(seed) for seed in SEEDS]
    assert sum(map(crossings, found)) < sum(len(one.pipes) for one in found) / 8


def test_no_pipe_bends_more_than_four_times() -> None:
    for seed in SEEDS:
        assert all(bends(pipe) <= 4 for pipe in drawn(seed).pipes), seed


def test_the_same_process_gives_the_same_diagram() -> None:
    for seed in range(10):
        assert diagram(*random_process(seed)) == diagram(*random_process(seed))


def test_one_flow_more_leaves_most_boxes_in_their_columns() -> None:
    same = many = 0
    for seed in range(100):
        boxes, pipes = random_process(seed, flows=12)
        before, after = diagram(boxes, pipes[:-1]), diagram(boxes, pipes)
        was, now = ({slug: n for n, c in enumerate(d.order) for slug in c} for d in (before, after))
        same += sum(now[slug] == column for slug, column in was.items())
        many += len(was)
    assert same / many > 0.85


def test_one_flow_more_moves_half_of_the_boxes_by_24_px_at_most_and_seven_of_ten_by_a_box() -> None:
    moved = sorted(
        max(abs(after[slug].x - place.x), abs(after[slug].y - place.y))
        for seed in range(100)
        for before, after in [places_without_and_with_the_last_flow(*random_process(seed, flows=12))]
        for slug, place in before.items()
    )
    assert moved[len(moved) // 2] <= 24
    assert moved[len(moved) * 7 // 10] <= 86  # as high as a box


def places_without_and_with_the_last_flow(
    boxes: list[Box], pipes: list[Pipe]
) -> tuple[dict[str, Rectangle], dict[str, Rectangle]]:
    before, after = (
        {box.box.slug: box.place for box in diagram(boxes, shown).boxes} for shown in (pipes[:-1], pipes)
    )
    return before, after


def test_the_smallest_of_too_many_pipes_are_left_out() -> None:
    boxes = [Box("a", "A"), Box("b", "B")]
    found = diagram(boxes, [Pipe(f"f{n}", "F", "a", "b", n) for n in range(5)], most=3)
    assert [pipe.pipe.slug for pipe in found.pipes] == ["f2", "f3", "f4"]
    assert [pipe.slug for pipe in found.left_out] == ["f0", "f1"]


def test_boxes_stand_where_places_say() -> None:
    boxes = [Box(slug, slug) for slug in "abc"]
    pipes = [Pipe("f", "F", "a", "b", 1), Pipe("g", "G", "b", "c", 1)]
    assert diagram(boxes, pipes).order == (("a",), ("b",), ("c",))
    assert diagram(boxes, pipes, places={"c": (0, 0), "a": (0, 1)}).order == (("c", "a"), ("b",))


def test_pipes_are_3_to_9_px_wide() -> None:
    for seed in SEEDS:
        assert all(3 <= pipe.width <= 9 for pipe in drawn(seed).pipes)


def test_a_neighbourhood_has_earlier_stocks_on_the_left_and_later_ones_on_the_right() -> None:
    boxes = [Box(slug, slug) for slug in "abcd"]
    pipes = [Pipe("f", "F", "a", "b", 1), Pipe("g", "G", "c", "b", 1), Pipe("h", "H", "c", "d", 1)]
    assert neighbourhood(boxes, pipes, "b").order == (("a",), ("b",), ("c",))


def test_a_miniature_has_no_text() -> None:
    found = miniature(*random_process(1))
    assert not any(pipe.label or pipe.valve for pipe in found.pipes)
    assert not any(box.name or box.count for box in found.boxes)


def test_the_counts_of_all_boxes_have_one_size_at_which_they_fit() -> None:
    for seed in SEEDS:
        boxes = drawn(seed).boxes
        assert len({box.count_font for box in boxes}) == 1, seed
        for box in boxes:
            assert text_width(box.count, box.count_font) <= box.place.width - 2 * BOX_PAD, (seed, box.count)


def test_counts_in_thousands_are_as_large_as_small_ones_beside_their_change() -> None:
    boxes, pipes = example_process("membership")
    found = diagram([replace(box, count="4,442", change="▲ 5.5 %") for box in boxes], pipes)
    assert [(box.count_font, box.change) for box in found.boxes] == [(22, "▲ 5.5 %")] * len(boxes)


def test_a_count_of_twelve_digits_keeps_to_its_box() -> None:
    boxes, pipes = example_process("membership")
    found = diagram([replace(box, count="987,654,321,012", change="▲ 5.5 %") for box in boxes], pipes)
    for box in found.boxes:
        assert text_width(box.count, box.count_font) <= box.place.width - 2 * BOX_PAD
        assert not box.change


def test_a_line_of_zeros_stands_clear_of_the_foot_of_its_box() -> None:
    boxes, pipes = example_process("membership")
    for box in diagram([replace(box, values=(0, 0, 0)) for box in boxes], pipes).boxes:
        assert box.spark_at.bottom <= box.place.bottom - 3
