"""Members with a past: written as imported events, told again in Python, and counted at any instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow.models import Origin, StockRecord
from stockandflow.periods import Calendar
from stockandflow.registry import registry

SLUGS = {stock.slug: stock for stock in registry.process("membership").stocks}
STATUSES: dict[str, Status] = {
    "trial": Status.TRIAL,
    "active": Status.ACTIVE,
    "paused": Status.PAUSED,
    "past-due": Status.PAST_DUE,
    "churned": Status.CHURNED,
}

Step = tuple[datetime, str]
"""When a member came to a stock, and its slug; "" for one that was erased."""

LONDON = Calendar("Europe/London")


def midnight(year: int, month: int, day: int) -> datetime:
    return LONDON.midnight(datetime(year, month, day, tzinfo=UTC).date())


SINCE, UNTIL = midnight(2025, 1, 1), midnight(2026, 9, 1)
"""The past that the fixture ``past`` has."""


def written(histories: Sequence[Sequence[Step]], plan: Plan | None = None, **facets: Any) -> list[int]:
    """Members with these histories: their keys; one whose last step is "" is gone."""
    plan = plan or Plan.objects.get_or_create(name="Basic", monthly_price=9)[0]
    tracker = registry.tracker("membership.member")
    keys, events = [], []
    known = set(MemberFlowEvent.objects.values_list("pk", flat=True))
    for steps in histories:
        last = steps[-1][1] if steps else "trial"
        member = Member.objects.create(
            name="m", email="m@example.org", plan=plan, status=STATUSES.get(last, Status.TRIAL)
        )
        key, before = member.pk, ""
        keys.append(key)
        if not last:
            member.delete()
        for at, sink in steps:
            flow = tracker.flow_for(SLUGS.get(before), SLUGS.get(sink))
            events.append(
                MemberFlowEvent(
                    tracker=tracker.slug,
                    flow=flow.slug if flow else "",
                    source=before,
                    sink=sink,
                    subject_id=key,
                    timestamp=at,
                    recorded_at=timezone.now(),
                    origin=Origin.IMPORT,
                    facets={"plan": plan.name, **facets},
                )
            )
            before = sink
    MemberFlowEvent.objects.exclude(pk__in=known).delete()
    MemberFlowEvent.objects.bulk_create(sorted(events, key=lambda event: event.timestamp))
    return keys


def levels(histories: Sequence[Sequence[Step]], at: datetime) -> Counter[str]:
    """Slug → members before that instant."""
    standing = [[sink for when, sink in steps if when < at] for steps in histories]
    return Counter(sinks[-1] for sinks in standing if sinks)


def counted(histories: Sequence[Sequence[Step]], at: datetime) -> None:
    """A record of every stock as it was before that instant."""
    found = levels(histories, at)
    StockRecord.objects.bulk_create(
        StockRecord(stock=slug, timestamp=at, count=found[slug]) for slug in SLUGS
    )


def histories(number: int, since: datetime, until: datetime) -> list[list[Step]]:
    """Members who come and move at random, the same ones every time."""
    chance = Random(7)
    span = (until - since).total_seconds()
    found = []
    for _ in range(number):
        times = sorted(
            since + timedelta(seconds=chance.randrange(int(span))) for _ in range(chance.randrange(1, 6))
        )
        slugs: list[str] = []
        for _ in times:
            slugs.append(chance.choice([slug for slug in SLUGS if slug != (slugs or [""])[-1]]))
        found.append(list(zip(times, slugs, strict=True)))
    return found


def recorded_long_ago() -> None:
    """Have the events written down long before now, so that the watermark passes them."""
    MemberFlowEvent.objects.update(recorded_at=timezone.now() - timedelta(days=2))
