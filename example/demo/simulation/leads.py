"""How leads are found, cool down, are won, and are forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, inf
from random import Random

from example.demo.simulation.life import OUTSIDE, Lead, Member, Move, numbered
from example.demo.simulation.people import full_name
from example.demo.simulation.timeline import HOME, MINUTE, OFFICE, SEASON, Timeline, poisson

HOT, WARM, COLD, WON = "hot", "warm", "cold", "won"
SHARE_OF_MEMBERS = 0.2
"""How many of those who sign up were leads before."""
SOURCES = {"website": 70, "referral": 30}
FAIR_DAYS = {(3, 11), (3, 12), (6, 17), (9, 23), (9, 24), (11, 18), (11, 19)}
"""(month, day) of the fairs where we stand, a source of many leads at once."""


@dataclass(frozen=True)
class Cooling:
    """Days since the last contact: how long a lead stays hot, then warm, and when it is forgotten."""

    hot_for: float
    warm_for: float
    kept_for: float


def simulate_leads(
    timeline: Timeline, random: Random, members: list[Member], scale: float, cooling: Cooling
) -> list[Lead]:
    """All leads that were ever found, in that order."""
    leads = [
        _live(timeline, random, cooling, found, won, member)
        for found, won, member in _won(timeline, random, members)
    ]
    for day, today in enumerate(timeline.days):
        at_fair = (today.month, today.day) in FAIR_DAYS
        growth = 1.5 + 4 * day / len(timeline.days)
        expected = scale * SEASON[today.month - 1] * HOME.weight(today) * growth
        sources = [None] * poisson(expected, random) + ["event"] * (
            poisson(scale * 45, random) if at_fair else 0
        )
        for source in sources:
            found = day + timeline.time_of_day(OFFICE if source else HOME, random)
            if found < timeline.end:
                leads.append(_live(timeline, random, cooling, found, source=source))
    return numbered(leads)


def _won(timeline: Timeline, random: Random, members: list[Member]) -> Iterator[tuple[float, float, Member]]:
    """When a lead was found and when it was won, for members who were leads before."""
    for member in members:
        if random.random() < SHARE_OF_MEMBERS:
            joined = timeline.moment(member.began)
            found = timeline.after(joined - min(60, 9 * exp(random.gauss(0, 0.9))), HOME, random)
            won = joined + random.uniform(2, 40) * MINUTE
            if 0 < found < joined and won < timeline.end:
                yield found, won, member


def _live(
    timeline: Timeline,
    random: Random,
    cooling: Cooling,
    found: float,
    won: float = inf,
    member: Member | None = None,
    source: str | None = None,
) -> Lead:
    """One lead's life; ``won`` is the moment at which it becomes ``member``."""
    lead = Lead(
        name=member.name if member else full_name(random),
        source=source or random.choices(list(SOURCES), list(SOURCES.values()))[0],
        member=member,
        last_contact_at=timeline.instant(found),
    )

    def move(moment: float, sink: str) -> None:
        before = lead.moves[-1].sink if lead.moves else OUTSIDE
        lead.moves.append(Move(timeline.instant(moment), before, sink, {"source": lead.source}))

    move(found, HOT)
    contact, end = found, min(won, timeline.end)
    while contact < end and not lead.gone:
        lead.last_contact_at = timeline.instant(contact)
        if lead.state != HOT:
            move(contact, HOT)
        again = inf
        if random.random() < 0.5:
            again = timeline.after(contact + 8 * exp(random.gauss(0, 0.9)), OFFICE, random)
        for night, sink in _cooling_down(cooling, contact, random):
            if night < min(again, end):
                move(night, sink)
        last, contact = contact, again
    if won < timeline.end:
        move(won, WON)
        forgotten = timeline.next_night(max(last + cooling.kept_for, won), random)
        if forgotten < timeline.end:
            move(forgotten, OUTSIDE)
    return lead


def _cooling_down(cooling: Cooling, contact: float, random: Random) -> Iterator[tuple[float, str]]:
    """When a lead becomes what, after its last contact; ascending."""
    for days, sink in ((cooling.hot_for, WARM), (cooling.warm_for, COLD), (cooling.kept_for, OUTSIDE)):
        yield Timeline.next_night(contact + days, random), sink
