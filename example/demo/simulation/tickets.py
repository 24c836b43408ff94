"""What members ask, and how it is answered."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from math import exp
from random import Random

from example.demo.simulation.life import OUTSIDE, Facets, Member, Move, Ticket, numbered
from example.demo.simulation.timeline import HOME, OFFICE, Rhythm, Timeline

NEW, OPEN, WAITING, RESOLVED, CLOSED = "new", "open", "waiting", "resolved", "closed"
URGENT = "urgent"


@dataclass(frozen=True)
class Step:
    """One way on from a state: how likely, after how many days (median, and spread of its log)."""

    sink: str
    weight: float
    days: float
    spread: float
    rhythm: Rhythm | None
    """None: the nightly job does it."""


STEPS = {
    NEW: (
        Step(OPEN, 78, 0.12, 0.9, OFFICE),
        Step(WAITING, 20, 0.1, 0.9, OFFICE),
        Step(RESOLVED, 2, 0.2, 0.5, OFFICE),
    ),
    OPEN: (Step(WAITING, 58, 0.35, 1.0, OFFICE), Step(RESOLVED, 42, 0.7, 1.0, OFFICE)),
    WAITING: (Step(OPEN, 62, 0.8, 1.0, HOME), Step(RESOLVED, 38, 6, 0.3, OFFICE)),
    RESOLVED: (Step(CLOSED, 91, 7, 0.0, None), Step(OPEN, 9, 1.5, 0.8, HOME)),
    CLOSED: (Step(OPEN, 2, 9, 0.8, HOME),),
}
STAYS_CLOSED = 98
"""The weight of staying where it is, beside CLOSED's one step."""

ASKED_PER_DAY = {
    "trial": 1 / 75,
    "active": 1 / 270,
    "paused": 1 / 400,
    "past_due": 1 / 45,
    "churned": 1 / 1500,
}
"""How often one member asks, in each state."""
TITLES = {
    "trial": [
        "How do I invite my team?",
        "Can I extend the trial?",
        "Import from a spreadsheet",
        "Which plan fits us?",
    ],
    "active": [
        "The export is empty",
        "Change my plan",
        "Invoice with a VAT number",
        "It is slow today",
        "Share a list",
    ],
    "paused": ["When does my pause end?", "What do you keep while I pause?"],
    "past_due": ["My card was refused", "I have paid, why am I locked out?", "Pay by bank transfer"],
    "churned": ["Can I get my data?", "I was charged after I left"],
}
CHANNELS = {"email": 60, "chat": 31, "phone": 9}


def simulate_tickets(timeline: Timeline, random: Random, members: list[Member]) -> list[Ticket]:
    """All tickets that were ever asked, in that order; a member's tickets are erased with the member."""
    tickets = []
    for member in members:
        for state, asked in _questions(timeline, random, member):
            tickets.append(_live(timeline, random, member, state, asked))
    return numbered(tickets)


def _questions(timeline: Timeline, random: Random, member: Member) -> Iterator[tuple[str, float]]:
    """In which state, and at what moment, the member asks something."""
    borders = [timeline.moment(move.at) for move in member.moves] + [timeline.end]
    for move, start, end in zip(member.moves, borders, borders[1:], strict=False):
        if move.sink == OUTSIDE:
            return
        moment = start
        while True:
            moment = timeline.after(moment + random.expovariate(ASKED_PER_DAY[move.sink]), HOME, random)
            if moment >= end:
                break
            yield move.sink, moment


def _live(timeline: Timeline, random: Random, member: Member, asked_in: str, asked: float) -> Ticket:
    channel = random.choices(list(CHANNELS), list(CHANNELS.values()))[0]
    ticket = Ticket(member=member, title=random.choice(TITLES[asked_in]), channel=channel)
    end = timeline.moment(member.since) if member.gone else timeline.end

    state, moment = NEW, asked
    ticket.moves.append(_move(ticket, timeline.instant(asked), OUTSIDE, NEW))
    while True:
        step = _step(state, random)
        if step is None:
            break
        moment += step.days * exp(random.gauss(0, step.spread))
        moment = (
            timeline.after(moment, step.rhythm, random)
            if step.rhythm
            else timeline.next_night(moment, random)
        )
        if moment >= end:
            break
        ticket.moves.append(_move(ticket, timeline.instant(moment), state, step.sink))
        state = step.sink
    _escalate(timeline, random, ticket, asked, end)
    if member.gone:
        ticket.moves.append(_move(ticket, member.since, state, OUTSIDE))
        if ticket.urgent:
            ticket.escalations.append(_move(ticket, member.since, URGENT, OUTSIDE))
    return ticket


def _escalate(timeline: Timeline, random: Random, ticket: Ticket, asked: float, end: float) -> None:
    """Some tickets are urgent from the start, some become so; some of those calm down."""
    luck = random.random()
    if luck > 0.09:
        return
    moment = asked if luck < 0.05 else timeline.after(asked + random.expovariate(4), OFFICE, random)
    if moment >= end:
        return
    ticket.escalations.append(_move(ticket, timeline.instant(moment), OUTSIDE, URGENT))
    moment = timeline.after(moment + random.expovariate(2), OFFICE, random)
    if random.random() < 0.4 and moment < end:
        ticket.escalations.append(_move(ticket, timeline.instant(moment), URGENT, OUTSIDE))


def _step(state: str, random: Random) -> Step | None:
    """What comes next, None for nothing."""
    steps: list[Step | None] = list(STEPS[state])
    weights = [step.weight for step in STEPS[state]]
    if state == CLOSED:
        steps.append(None)
        weights.append(STAYS_CLOSED)
    return random.choices(steps, weights)[0]


def _move(ticket: Ticket, at: datetime, source: str, sink: str) -> Move:
    """A move with the member's plan as it was then."""
    moves = ticket.member.moves
    last = moves[bisect_right(moves, at, key=lambda move: move.at) - 1]
    facets: Facets = {"channel": ticket.channel, "plan": last.facets["plan"]}
    return Move(at, source, sink, facets)
