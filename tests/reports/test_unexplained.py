"""Causes of what is unexplained: between which counts it arose, which objects it is, what the capture can't see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Status
from stockandflow import recording, reports
from stockandflow.capture import suspended
from stockandflow.declarations import Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import StockRecord
from stockandflow.registry import Registry, registry
from tests.reports.history import SLUGS, written

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def membership() -> Process:
    return registry.process("membership")


def start() -> datetime:
    return timezone.now().replace(microsecond=0) - 40 * DAY


def counts(slug: str, since: datetime, *numbers: int, every: timedelta = HOUR) -> None:
    StockRecord.objects.bulk_create(
        StockRecord(stock=slug, timestamp=since + place * every, count=number)
        for place, number in enumerate(numbers)
    )


def told(
    causes: reports.Causes, since: datetime, every: timedelta = HOUR
) -> list[tuple[str, float, float, int]]:
    """(stock, window from, until, amount), in counts since the first."""
    return [
        (one.stock.slug, (one.since - since) / every, (one.until - since) / every, one.unexplained)
        for one in causes.windows
    ]


@contextmanager
def unseen() -> Iterator[None]:
    with suspended(registry, "default"):
        yield


def test_the_narrowest_window_is_between_two_counts_that_follow_each_other() -> None:
    since = start()
    numbers = [10] * 100
    numbers[70:] = [7] * 30
    counts("trial", since, *numbers)
    written([[(since + 20 * HOUR + HOUR / 2, "trial")]])
    StockRecord.objects.filter(timestamp__gt=since + 20 * HOUR).update(count=11)
    StockRecord.objects.filter(timestamp__gte=since + 70 * HOUR).update(count=8)

    found = reports.causes(SLUGS["trial"], since, since + 99 * HOUR)

    assert told(found, since) == [("trial", 69, 70, -3)]
    (window,) = found.windows
    assert (window.opening, window.closing, window.net) == (11, 8, 0)


def test_windows_sum_to_what_the_balance_shows() -> None:
    since = start()
    counts("trial", since, 10, 10, 12, 12, 9, 9, 9)
    counts("active", since, 1, 4, 4)
    written([[(since + 5 * HOUR + HOUR / 2, "trial")]])

    found = reports.causes(membership(), since, since + 6 * HOUR)
    balance = reports.balance(membership(), since, since + 6 * HOUR)

    assert told(found, since) == [
        ("active", 0, 1, 3),
        ("trial", 1, 2, 2),
        ("trial", 3, 4, -3),
        ("trial", 5, 6, -1),
    ]
    by_stock = {line.stock.slug: line.unexplained for line in balance.stocks if line.unexplained}
    assert by_stock == {"trial": -2, "active": 3}


def test_of_many_windows_those_are_told_where_most_is_unexplained() -> None:
    since = start()
    jumps = {5: 1, 15: 6, 25: 2, 35: -7}
    counts("trial", since, *(20 + sum(size for at, size in jumps.items() if at <= n) for n in range(40)))

    found = reports.causes(SLUGS["trial"], since, since + 39 * HOUR, limit=2)

    assert told(found, since) == [("trial", 14, 15, 6), ("trial", 34, 35, -7)]


def test_the_counts_that_tell_the_ends_of_the_range_may_lie_outside() -> None:
    since = start()
    counts("trial", since, 1, 5, 9, every=4 * DAY)

    found = reports.causes(SLUGS["trial"], since + 3 * DAY, since + 5 * DAY)

    assert told(found, since, 4 * DAY) == [("trial", 0, 1, 4)]
    after = reports.causes(SLUGS["trial"], since - 9 * DAY, since - 8 * DAY)
    assert after.windows == (), "one count tells both ends"
    since_first = reports.causes(SLUGS["trial"], since - 9 * DAY, since + 5 * DAY)
    assert told(since_first, since, 4 * DAY) == [("trial", 0, 1, 4)]


def test_derived_levels_are_no_counts() -> None:
    since = start()
    counts("trial", since, 1, 9, every=4 * DAY)
    StockRecord.objects.create(stock="trial", timestamp=since + DAY, count=5, method="derived")

    assert told(reports.causes(SLUGS["trial"], since, since + 9 * DAY), since, 4 * DAY) == [
        ("trial", 0, 1, 8)
    ]


@pytest.mark.django_db(transaction=True)  # MariaDB commits when triggers come and go
def test_the_objects_that_moved_unseen_are_named_with_where_they_are() -> None:
    since = start()
    keys = written([[(since, "trial")], [(since, "trial")], [(since, "active")]])
    recording.record(registry)
    with unseen():
        Member.objects.filter(pk__in=keys[:2]).update(status=Status.PAUSED)
        Member.objects.filter(pk=keys[2]).delete()

    found = reports.causes(membership(), timezone.now() - HOUR, timezone.now() + DAY)

    assert {(one.stock.slug, one.unexplained) for one in found.windows} == {
        ("trial", -2),
        ("active", -1),
        ("paused", 2),
    }
    assert [(move.source, move.sink, move.count) for move in found.missing] == [
        ("trial", "paused", 2),
        ("active", "", 1),
    ]
    assert [(one.key, one.name) for one in found.missing[0].objects] == [(str(key), "m") for key in keys[:2]]
    paused = reports.causes(SLUGS["paused"], timezone.now() - HOUR, timezone.now() + DAY, limit=1)
    assert [(move.source, move.sink, len(move.objects)) for move in paused.missing] == [
        ("trial", "paused", 1)
    ]


def test_a_move_that_was_missed_before_a_later_event_is_told_with_its_instants() -> None:
    since = start()
    written([[(since, "trial"), (since + DAY, "active"), (since + 2 * DAY, "paused")]])
    MemberFlowEvent.objects.filter(timestamp=since + DAY).delete()

    found = reports.causes(membership(), since, since + 3 * DAY)

    (skipped,) = found.skipped
    assert (skipped.source, skipped.sink) == ("trial", "active")
    assert [(one.since, one.until) for one in skipped.objects] == [(since, since + 2 * DAY)]


def test_how_each_tracker_is_captured_is_told_with_its_blind_spots() -> None:
    (watched,) = reports.causes(membership(), start(), timezone.now()).watched

    assert watched.tracker.slug == "membership.member"
    assert watched.method.kind == "triggers"
    assert "what is written inside capture.suspended()" in watched.blind_spots
    assert watched.audit.in_order


def test_of_a_stock_in_no_tracker_there_is_nothing_to_tell() -> None:
    everyone = Stock("everyone", "Everyone", Member.objects.all())
    Registry().register(everyone)
    since = start()
    counts("everyone", since, 1, 9)

    found = reports.causes(everyone, since, since + HOUR)

    assert (found.windows, found.watched, found.missing) == ((), (), ())


def test_moves_are_read_once_for_each_time_that_windows_are_cut() -> None:
    since = start()

    def readings(*numbers: int) -> int:
        StockRecord.objects.all().delete()
        counts("trial", since, *numbers, every=timedelta(minutes=10))
        with CaptureQueriesContext(connection) as captured:
            reports.causes(SLUGS["trial"], since, since + 900 * HOUR)
        return len([query for query in captured if "sf_place" in query["sql"]])

    assert readings(*[1] * 8, *[2] * 8) == 1
    assert readings(*[1] * 100, *[2] * 150) == 2
    assert readings(*[1] * 400, *[2] * 400) == 3
    assert readings(*[1] * 2500, *[2] * 2500) == 3


@pytest.mark.parametrize(
    ("of", "limit", "words"),
    [
        (registry.flow("signing-up"), 1, r"causes\(\) got <Flow signing-up>; give a Stock or a Process"),
        (SLUGS["trial"], 0, "limit is 0; write 1 or more"),
        (SLUGS["trial"], -1, "limit is -1; write 1 or more"),
    ],
)
def test_what_has_no_causes_is_refused(of: Any, limit: int, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        reports.causes(of, timezone.now() - DAY, timezone.now(), limit=limit)


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="doesn't come after since"):
        reports.causes(membership(), timezone.now(), timezone.now() - DAY)
