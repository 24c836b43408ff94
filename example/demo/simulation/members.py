"""How members come, stay, leave and return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import exp
from random import Random

from example.demo.simulation.life import OUTSIDE, Member, Move, numbered
from example.demo.simulation.people import full_name
from example.demo.simulation.timeline import (
    BILLING,
    HOME,
    MONTH_END,
    OFFICE,
    SEASON,
    Rhythm,
    Timeline,
    poisson,
)

TRIAL, ACTIVE, PAUSED, PAST_DUE, CHURNED = "trial", "active", "paused", "past_due", "churned"


@dataclass(frozen=True)
class Way:
    """One way out of a state: how likely beside the others, and after how many days (median, and spread of its log)."""

    sink: str
    weight: float
    days: float
    spread: float
    rhythm: Rhythm


WAYS = {
    TRIAL: (
        Way(ACTIVE, 66, 12.5, 0.3, HOME),
        Way(OUTSIDE, 27, 14, 0.12, OFFICE),
        Way(CHURNED, 7, 14, 0.12, OFFICE),
    ),
    ACTIVE: (
        Way(CHURNED, 43, 72, 0.9, MONTH_END),
        Way(PAUSED, 23, 75, 0.9, HOME),
        Way(PAST_DUE, 34, 60, 0.9, BILLING),
    ),
    PAUSED: (
        Way(ACTIVE, 91, 18, 0.7, HOME),
        Way(CHURNED, 9, 60, 0.2, HOME),
    ),
    PAST_DUE: (
        Way(ACTIVE, 65, 5, 0.8, OFFICE),
        Way(CHURNED, 35, 14, 0.15, OFFICE),
    ),
    CHURNED: (Way(ACTIVE, 24, 40, 0.7, HOME),),
}
"""Who churned and doesn't return is erased when the privacy notice says so."""
NEVER_BACK = 76
"""The weight of not returning, beside CHURNED's one way."""

PLANS = {"Basic": 52, "Pro": 35, "Team": 13}
COUNTRIES: dict[str | None, tuple[float, float]] = {
    "GB": (46, 0.0),
    "IE": (9, 0.0),
    "US": (18, 0.1),
    "DE": (14, 0.25),
    "NL": (7, 0.25),
    "FR": (8, 0.45),
    "ES": (2, 0.45),
    None: (3, 0.0),
}
"""The weight of each country among those who sign up, and at what part of the timeline it was opened to them."""

TENDENCY: dict[tuple[str, str, str], float] = {
    ("Basic", ACTIVE, CHURNED): 1.25,
    ("Pro", TRIAL, ACTIVE): 1.15,
    ("Pro", ACTIVE, CHURNED): 0.85,
    ("Team", TRIAL, ACTIVE): 1.5,
    ("Team", ACTIVE, CHURNED): 0.55,
    ("Team", ACTIVE, PAUSED): 0.4,
    ("Team", ACTIVE, PAST_DUE): 1.2,
    ("US", ACTIVE, PAST_DUE): 1.5,
    ("DE", ACTIVE, PAST_DUE): 0.6,
    ("DE", TRIAL, ACTIVE): 0.9,
    ("NL", ACTIVE, PAUSED): 1.4,
    ("FR", TRIAL, ACTIVE): 0.85,
    ("FR", ACTIVE, CHURNED): 1.2,
}
"""(plan or country, source, sink) → factor on a way's weight."""

SIGN_UPS_PER_DAY = (7.0, 45.5)
"""In the first weeks, and towards the end."""


def simulate_members(
    timeline: Timeline, random: Random, scale: float, kept_after_churn_days: float
) -> list[Member]:
    """All who ever signed up, in that order. ``scale`` multiplies how many come."""
    members = []
    for day, today in enumerate(timeline.days):
        part = day / max(len(timeline.days) - 1, 1)
        for _ in range(poisson(scale * sign_ups_expected(today, part), random)):
            moment = day + timeline.time_of_day(HOME, random)
            if moment < timeline.end:
                members.append(_live(timeline, random, moment, part, kept_after_churn_days))
    return numbered(members)


def sign_ups_expected(day: date, part: float) -> float:
    """How many sign up on an average such day, ``part`` (0 … 1) of the way along the timeline."""
    few, many = SIGN_UPS_PER_DAY
    growth = few + (many - few) / (1 + exp(-7 * (part - 0.45)))
    return growth * HOME.weight(day) * SEASON[day.month - 1]


def _live(
    timeline: Timeline, random: Random, moment: float, part: float, kept_after_churn_days: float
) -> Member:
    member = Member(name=full_name(random), plan=_plan(random), country=_country(random, part))

    def move(source: str, sink: str) -> None:
        facets = {"plan": member.plan, "country": member.country}
        member.moves.append(Move(timeline.instant(moment), source, sink, facets))

    move(OUTSIDE, TRIAL)
    while member.state != OUTSIDE:
        source = member.state
        way = _way(member, random)
        if way is None:
            sink, moment = OUTSIDE, timeline.next_night(moment + kept_after_churn_days, random)
        else:
            stay = way.days * exp(random.gauss(0, way.spread))
            sink, moment = way.sink, timeline.after(moment + stay, way.rhythm, random)
        if moment >= timeline.end:
            break
        # People take another plan when they begin to pay, and when they come back.
        if (source, sink) in ((TRIAL, ACTIVE), (CHURNED, ACTIVE)) and random.random() < 0.08:
            member.plan = _plan(random)
        move(source, sink)
    return member


def _way(member: Member, random: Random) -> Way | None:
    """Which way the member will take, None for erasure."""
    ways: list[Way | None] = list(WAYS[member.state])
    weights = [_weight(member, way) for way in WAYS[member.state]]
    if member.state == CHURNED:
        ways.append(None)
        weights.append(NEVER_BACK)
    return random.choices(ways, weights)[0]


def _weight(member: Member, way: Way) -> float:
    by_plan = TENDENCY.get((member.plan, member.state, way.sink), 1)
    by_country = TENDENCY.get((member.country or "", member.state, way.sink), 1)
    return way.weight * by_plan * by_country


def _plan(random: Random) -> str:
    return random.choices(list(PLANS), list(PLANS.values()))[0]


def _country(random: Random, part: float) -> str | None:
    opened = {country: weight for country, (weight, since) in COUNTRIES.items() if part >= since}
    return random.choices(list(opened), list(opened.values()))[0]
