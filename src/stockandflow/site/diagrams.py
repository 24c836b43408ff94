"""The diagram of a report: which boxes and pipes it has, what they are called, and where their links lead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from stockandflow.declarations import Process, Stock, state_key
from stockandflow.drawing.diagram import Box, Diagram, Pipe, diagram, miniature, neighbourhood
from stockandflow.rendering import words
from stockandflow.reports import Balance, FlowLine, Hidden, StockBalance
from stockandflow.site.filters import Asked
from stockandflow.site.frames import page_url
from stockandflow.site.naming import flow_name, place_name, state_name
from stockandflow.site.words import count, grouped, hidden

UNCOVERED = "-"
"""Stands in an address for the slug of a flow where a page is about the moves that no flow covers."""
Address = Callable[[str, str], str]
"""The address of a page: ``address("stock", "active")``, ``address("flow", "converting")``; "" for no link."""


def addresses(request: HttpRequest, process: Process, asked: Asked) -> Address:
    """The addresses of the process's pages where the page of this request stands, with the range asked for."""
    query = asked.query() if asked.parameters else ""
    return lambda page, slug: page_url(request, page, process.slug, slug) + query


@dataclass(frozen=True)
class Row:
    """A pipe as the list of flows tells it, for narrow pages; ``share`` is its count against the largest, in SVG."""

    pipe: Pipe
    share: str


@dataclass(frozen=True)
class Drawing:
    """A diagram with its name for those who hear the page, and with all its pipes as a list, largest first."""

    diagram: Diagram
    name: str
    rows: tuple[Row, ...]


def drawing_of(balance: Balance, address: Address, hidden: Hidden) -> Drawing:
    """The diagram of a process over the range of a balance; with parts of it the boxes have sparklines. No query."""
    boxes, pipes = _boxes(balance, address), _pipes(balance, address, hidden)
    return _drawing(balance.process, diagram(boxes, pipes, places=balance.process.layout), pipes)


def neighbourhood_of(balance: Balance, stock: Stock, address: Address, hidden: Hidden) -> Drawing:
    """One stock of a balance with what flows in and out, and where from and to. No query."""
    pipes = [pipe for pipe in _pipes(balance, address, hidden) if stock.slug in (pipe.source, pipe.sink)]
    return _drawing(balance.process, neighbourhood(_boxes(balance, address), pipes, stock.slug), pipes)


def miniature_of(process: Process, balance: Balance | None = None) -> Diagram:
    """A small diagram without text, of the moves in a balance, else of what is declared alone. No query."""
    boxes = [Box(stock.slug, str(stock.name)) for stock in process.stocks]
    told = Hidden()  # it names nothing
    pipes = list(_declared(process, _nowhere, told)) if balance is None else _pipes(balance, _nowhere, told)
    return miniature(boxes, pipes, places=process.layout)


def _drawing(process: Process, made: Diagram, pipes: Sequence[Pipe]) -> Drawing:
    largest = max((pipe.number for pipe in pipes), default=0) or 1
    rows = [
        Row(pipe, f"{pipe.number / largest * 100:.1f}%")  # never by locale: 66,4% is no width
        for pipe in sorted(pipes, key=lambda pipe: (pipe.other, -pipe.number))
    ]
    stocks = ngettext("%(number)s stock", "%(number)s stocks", len(made.boxes)) % {"number": len(made.boxes)}
    flows = len({pipe.slug for pipe in pipes})
    counted = ngettext("%(number)s flow", "%(number)s flows", flows) % {"number": flows}
    return Drawing(made, f"{process.name}: {stocks}, {counted}", tuple(rows))


def _boxes(balance: Balance, address: Address) -> list[Box]:
    levels: dict[Stock, list[int | None]] = {}
    for part in balance.parts:
        for line in part.stocks:
            levels.setdefault(line.stock, [line.opening]).append(line.closing)
    return [_box(line, levels.get(line.stock, []), address) for line in balance.stocks]


def _box(line: StockBalance, levels: Sequence[int | None], address: Address) -> Box:
    name, shown = str(line.stock.name), hidden(line, "closing") or count(line.closing)
    change = words.percent(line.opening, line.closing, grouped, from_zero=_("from 0"))
    return Box(
        line.stock.slug,
        name,
        shown,
        f"{words.arrow(line.change)} {change}" if change else "",
        tuple(levels),
        address("stock", line.stock.slug),
        f"{name} {shown}, {_spoken(line)} {change}" if change else f"{name} {shown}",
        line.stock.judged(line.change),
    )


def _nowhere(*_page: str) -> str:
    return ""


def _spoken(line: StockBalance) -> str:
    change = line.change or 0
    direction = _("up") if change > 0 else _("down") if change < 0 else _("unchanged")
    word = {"better": _("better"), "worse": _("worse"), "": ""}[line.stock.judged(change)]
    return ", ".join(filter(None, (direction, word)))


def _pipes(balance: Balance, address: Address, hidden: Hidden) -> list[Pipe]:
    """The moves of a balance, and the declared ways that nothing took, in the order of the flows."""
    lines = {
        (line.flow.slug if line.flow else "", line.source, line.sink): line
        for stock in balance.stocks
        for line in (*stock.inflows, *stock.outflows)
    }
    found = [_pipe(line, address) for line in lines.values()]
    moved = {pipe.slug for pipe in found}
    untold = {
        line.stock.slug: _("hidden") if line.suppressed else count(None)
        for line in balance.stocks
        if line.suppressed or not line.flows_known
    }
    for pipe in _declared(balance.process, address, hidden):
        if pipe.slug not in moved:
            text = untold.get(pipe.source) or untold.get(pipe.sink)
            found.append(_without_number(pipe, text) if text else pipe)
    places = {flow.slug: place for place, flow in enumerate(balance.process.flows)}
    return sorted(found, key=lambda pipe: places.get(pipe.slug, len(places)))


def _declared(process: Process, address: Address, hidden: Hidden) -> Iterable[Pipe]:
    """A pipe for each flow that leads one way alone: of the others most ways may never be taken."""
    stocks = set(process.stocks)
    for flow in process.flows:
        if len(flow.sources) == len(flow.sinks) == 1 and stocks.intersection(flow.stocks):
            source, sink = (hidden.state(state_key(state)) for state in (flow.sources[0], flow.sinks[0]))
            line = FlowLine(flow, source, sink, 0, state_name(process, source), state_name(process, sink))
            yield _pipe(line, address)


def _without_number(pipe: Pipe, text: str) -> Pipe:
    """The pipe with a text for a number: of moves that may not be told, or aren't known."""
    spoken = _("%(flow)s %(count)s, from %(source)s to %(sink)s") % {
        "flow": pipe.name,
        "count": text,
        "source": pipe.source_name,
        "sink": pipe.sink_name,
    }
    return replace(pipe, count=text, spoken=spoken)


def _pipe(line: FlowLine, address: Address) -> Pipe:
    name, shown = flow_name(str(line.name)), count(line.count)
    source_name, sink_name = place_name(line.source_name), place_name(line.sink_name)
    spoken = _("%(flow)s %(count)s, from %(source)s to %(sink)s") % {
        "flow": name,
        "count": shown,
        "source": source_name,
        "sink": sink_name,
    }
    return Pipe(
        line.flow.slug if line.flow else "",
        name,
        line.source,
        line.sink,
        line.count,
        shown,
        address("flow", line.flow.slug if line.flow else UNCOVERED),
        other=line.flow is None,
        spoken=spoken,
        source_name=source_name,
        sink_name=sink_name,
    )
