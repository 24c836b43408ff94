"""The diagram keeps its geometry for whatever process: nothing overlaps, nothing is cut, nothing is struck through."""

from __future__ import annotations

from functools import cache
from itertools import combinations

from stockandflow.drawing.diagram import Diagram, diagram
from tests.drawing.diagram.processes import levels_and_uprights, random_process, shrunk

SEEDS = range(200)


@cache
def drawn(seed: int) -> Diagram:
    boxes, pipes = random_process(seed)
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
