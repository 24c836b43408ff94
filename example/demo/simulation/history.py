"""The whole history: members, what they asked, and the leads that some of them were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from example.demo.simulation.leads import Cooling, simulate_leads
from example.demo.simulation.life import Lead, Member, Ticket
from example.demo.simulation.members import simulate_members
from example.demo.simulation.tickets import simulate_tickets
from example.demo.simulation.timeline import Timeline


@dataclass(frozen=True)
class Rules:
    """What the business promises and its nightly jobs keep."""

    kept_after_churn: timedelta
    lead_hot_for: timedelta
    lead_warm_for: timedelta
    lead_kept_for: timedelta


@dataclass(frozen=True)
class History:
    """Everything that happened before ``until``."""

    timeline: Timeline
    members: list[Member]
    tickets: list[Ticket]
    leads: list[Lead]


def simulate(
    *, until: datetime, zone: ZoneInfo, rules: Rules, months: int = 18, scale: float = 1.0, seed: int = 2011
) -> History:
    """A business from its first day, ``months`` before ``until`` (an aware instant), to that instant.

    ``scale`` multiplies how many people come; at 1 there are about 4,400 active members after 18 months. One seed and
    one ``until`` always give one history.
    """
    last = until.astimezone(zone).date()
    month = last.year * 12 + last.month - 1 - months
    first = last.replace(year=month // 12, month=month % 12 + 1, day=1)
    timeline = Timeline(first, until, zone)
    members = simulate_members(
        timeline, Random(f"{seed} members"), scale, kept_after_churn_days=rules.kept_after_churn / DAY
    )
    cooling = Cooling(rules.lead_hot_for / DAY, rules.lead_warm_for / DAY, rules.lead_kept_for / DAY)
    return History(
        timeline=timeline,
        members=members,
        tickets=simulate_tickets(timeline, Random(f"{seed} tickets"), members),
        leads=simulate_leads(timeline, Random(f"{seed} leads"), members, scale, cooling),
    )


DAY = timedelta(days=1)
