"""Processes to draw: random ones of all kinds, and what to measure a diagram with."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations, pairwise

from stockandflow.declarations import state_key
from stockandflow.drawing.diagram import Box, Diagram, DrawnPipe, Pipe, Rectangle
from stockandflow.registry import registry

STOCKS = (
    "Trial",
    "Active members",
    "Past due",
    "Waiting for the customer's reply",
    "Won",
    "保留中",
    "WWWWWWWW",
)
FLOWS = (
    "Signing up",
    "Go",
    "A name that is far too long for any pipe to carry",
    "Re-opening",
    "Zahlungsausfall",
    "承認",
)

Given = tuple[list[Box], list[Pipe]]


def random_process(seed: int, stocks: int | None = None, flows: int | None = None) -> Given:
    """1–20 stocks and 0–40 flows: forward, back, to itself, side by side, opposed, and from and to outside."""
    chosen = random.Random(seed)
    stocks = chosen.randint(1, 20) if stocks is None else stocks
    flows = chosen.randint(0, 40) if flows is None else flows
    boxes = [
        Box(
            f"s{number}",
            f"{chosen.choice(STOCKS)} {number}",
            f"{chosen.randint(0, 10 ** chosen.randint(1, 9)):,}",
            f"▲ {chosen.random() * 100:.1f} %",
            [chosen.choice((None, *range(9))) for _ in range(chosen.choice((0, 1, 30)))],
        )
        for number in range(stocks)
    ]
    pipes = []
    for number in range(flows):
        source = chosen.randrange(-1, stocks)
        near = min(stocks - 1, max(0, source) + chosen.randint(0, 3))
        sink = near if chosen.random() < 0.5 else chosen.randrange(-1, stocks)
        moved = chosen.choice((0, 1, chosen.randint(2, 3000)))
        start, end = (f"s{place}" if place >= 0 else "" for place in (source, sink))
        other = chosen.random() < 0.1
        pipes.append(Pipe(f"f{number}", chosen.choice(FLOWS), start, end, moved, f"{moved:,}", other=other))
    return boxes, pipes


def example_process(slug: str) -> Given:
    """A process of the example with all its flows, by their own names."""
    process = registry.process(slug)
    boxes = [
        Box(stock.slug, str(stock.name), "12,345", "▲ 12.3 %", list(range(30))) for stock in process.stocks
    ]
    ways = [
        (flow, state_key(source), state_key(sink))
        for flow in process.flows
        for source in flow.sources
        for sink in flow.sinks
    ]
    pipes = [
        Pipe(flow.slug, str(flow.name), source, sink, 37 * number, f"{37 * number:,}")
        for number, (flow, source, sink) in enumerate(ways)
    ]
    return boxes, pipes


def levels_and_uprights(pipe: DrawnPipe) -> Iterator[Rectangle]:
    """What each straight part of a pipe covers."""
    half = pipe.width / 2
    for (ax, ay), (bx, by) in pairwise(pipe.points):
        left, right, top, bottom = min(ax, bx), max(ax, bx), min(ay, by), max(ay, by)
        if bottom - top < right - left:
            yield Rectangle(left, top - half, right - left, bottom - top + pipe.width)
        else:
            yield Rectangle(left - half, top, right - left + pipe.width, bottom - top)


def shrunk(rectangle: Rectangle, by: float) -> Rectangle:
    """The same one, smaller on each side."""
    return Rectangle(rectangle.x + by, rectangle.y + by, rectangle.width - 2 * by, rectangle.height - 2 * by)


def crossings(diagram: Diagram) -> int:
    """How often two pipes cross as they are drawn."""
    return sum(
        shrunk(a, 0).overlaps(b)
        for one, other in combinations(diagram.pipes, 2)
        for a in levels_and_uprights(one)
        for b in levels_and_uprights(other)
        if (a.width > a.height) != (b.width > b.height)
    )


def bends(pipe: DrawnPipe) -> int:
    return len(pipe.points) - 2
