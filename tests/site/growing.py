"""A business of the example, small and then much bigger: more objects, more history, more values of facets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from random import Random
from typing import Any

from django.utils import timezone

from example.leads.models import Lead, Source
from example.leads.models import Status as LeadStatus
from example.membership.models import Member, MemberFlowEvent, Plan
from example.membership.models import Status as MemberStatus
from example.support.models import Channel, Ticket
from example.support.models import Status as TicketStatus
from stockandflow.models import StockFacetRecord, StockRecord
from stockandflow.recording import record
from stockandflow.registry import registry

PLANS = 25
"""Of which a page can still split."""
DAY = timedelta(days=1)


def small() -> None:
    """A few of everything with a past of forty days, some of it recorded late, and a member whose move nobody saw."""
    _made(plans=2, members=10, tickets=6, leads=4)
    _past(subjects=12, days=40, plans=2, first_key=1_000_000)
    MemberFlowEvent.objects.filter(subject=Member.objects.earliest("pk")).delete()
    record(registry)
    _past(subjects=3, days=38, plans=2, first_key=1_500_000)
    record(registry)
    _counted(timedelta(hours=1), 12 * DAY)


def bigger() -> None:
    """The same business with sixty times the objects, twelve times the plans, and nine months more of history."""
    _made(plans=PLANS, members=600, tickets=200, leads=200)
    _past(subjects=100, days=300, plans=PLANS, first_key=2_000_000)
    record(registry)
    _counted(timedelta(minutes=11), 28 * DAY)


def _made(*, plans: int, members: int, tickets: int, leads: int) -> None:
    for number in range(plans):
        Plan.objects.get_or_create(name=f"Plan {number}", defaults={"monthly_price": number})
    known, statuses = list(Plan.objects.all()), MemberStatus.values
    Member.objects.bulk_create(
        Member(
            name=f"m{number}",
            email="m@example.org",
            plan=known[number % len(known)],
            country=["GB", None, "XX"][number % 3],
            status=statuses[number % len(statuses)],
        )
        for number in range(members)
    )
    asking, states, channels = list(Member.objects.all()[:5]), TicketStatus.values, Channel.values
    Ticket.objects.bulk_create(
        Ticket(
            title=f"t{number}",
            member=asking[number % len(asking)],
            status=states[number % len(states)],
            channel=channels[number % len(channels)],
            priority=["normal", "urgent"][number % 2],
        )
        for number in range(tickets)
    )
    heat, sources = LeadStatus.values, Source.values
    Lead.objects.bulk_create(
        Lead(name=f"l{number}", source=sources[number % len(sources)], status=heat[number % len(heat)])
        for number in range(leads)
    )


def _past(*, subjects: int, days: int, plans: int, first_key: int) -> None:
    """The history of objects that are gone, brought into each tracker of stocks."""
    chance, since = Random(7), timezone.now() - days * DAY
    for tracker in registry.trackers:
        if tracker.stocks and tracker.slug in ("membership.member", "support.ticket", "leads.lead"):
            slugs = [stock.slug for stock in tracker.stocks]
            rows = [
                row
                for number in range(subjects)
                for row in _life(chance, first_key + number, slugs, since, days - 1)
            ]
            values = (
                {"plan": f"Plan {row[0] % plans}"} if "plan" in tracker.applied_facets else {} for row in rows
            )
            moves = [(*row, facets) for row, facets in zip(rows, values, strict=True)]
            tracker.import_events(moves, allow_missing_subjects=True)


def _life(
    chance: Random, key: int, slugs: Sequence[str], since: datetime, days: int
) -> Iterator[tuple[Any, ...]]:
    """Where one object went within these days, ending outside."""
    stays = ["", *(chance.choice(slugs) for _ in range(4)), ""]
    stays = [stay for stay, _ in groupby(stays)]
    times = sorted(since + chance.random() * days * DAY for _ in range(len(stays) - 1))
    for at, (source, sink) in zip(times, pairwise(stays), strict=True):
        yield key, at, source, sink


def _counted(each: timedelta, reach: timedelta) -> None:
    """Counts of the stocks of members, so far back, with a value of a facet."""
    now, stocks = timezone.now(), registry.process("membership").stocks
    records = StockRecord.objects.bulk_create(
        StockRecord(stock=stock.slug, timestamp=now - number * each - timedelta(minutes=7), count=9)
        for stock in stocks
        for number in range(1, reach // each)
    )
    StockFacetRecord.objects.bulk_create(
        StockFacetRecord(stock_record_id=one.pk, facet="plan", value="Plan 1", count=4) for one in records
    )
