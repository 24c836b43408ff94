"""Spans of time, ``since <= t < until``: many of them as few."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

from django.db.models import Q

Span = tuple[datetime, datetime]
"""Since, until."""

MOST = 8
"""Stretches of time that a query keeps apart; what lies between nearer ones is read as well."""
APART = timedelta(days=3)


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time in order, those that meet or overlap made one, and without those that have no length."""
    found: list[Span] = []
    for low, high in sorted(span for span in spans if span[0] < span[1]):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return found


def stretches(instants: Iterable[datetime]) -> list[Span]:
    """At most MOST stretches that hold all of the instants, their ends too: they are parted at the widest gaps."""
    return covering((at, at) for at in instants)


def covering(spans: Iterable[Span]) -> list[Span]:
    """At most MOST stretches that hold all of the spans, their ends too: they are parted at the widest gaps."""
    joined: list[Span] = []
    for low, high in sorted(spans):
        if joined and low <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(high, joined[-1][1])
        else:
            joined.append((low, high))
    gaps = sorted((after[0] - before[1], before[1], after[0]) for before, after in pairwise(joined))
    cuts = sorted((end, start) for width, end, start in gaps[-(MOST - 1) :] if width > APART)
    starts = [joined[0][0], *(start for _, start in cuts)]
    ends = [*(end for end, _ in cuts), joined[-1][1]]
    return list(zip(starts, ends, strict=True))


def within(spans: Iterable[Span]) -> Q:
    """The condition that the ``timestamp`` lies in one of the spans, or at its end."""
    return Q(*(Q(timestamp__range=span) for span in spans), _connector=Q.OR)
