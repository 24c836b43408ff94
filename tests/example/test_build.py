"""The demonstration's data: what events say is what the tables hold, but for the one change that nobody captured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from example.demo.build import UNEXPLAINED, build
from example.membership.models import Member, Status, WelcomeNote
from example.support.models import Priority, Ticket
from stockandflow import ModelTracker, StockFacetRecord, StockRecord
from stockandflow.models import FlowRecord, Origin
from stockandflow.periods import Calendar, Grain, Period
from stockandflow.registry import registry
from stockandflow.reports import balance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("business")]


@pytest.fixture(scope="module")
def business(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A small business, built once for all of these tests, which only look at it."""
    with django_db_blocker.unblock():
        build(scale=0.15, months=3)
        yield
        call_command("flush", interactive=False, verbosity=0)


def events_of(tracker: ModelTracker) -> Any:
    """The events of a tracker, oldest first."""
    return tracker.events._default_manager.filter(tracker=tracker.slug).order_by("timestamp", "id")


def replayed(tracker: ModelTracker) -> dict[str, set[int]]:
    """Stock slug → the subjects that stand in it, as the tracker's events have it."""
    last: dict[int, str] = {}
    for subject, source, sink in events_of(tracker).values_list("subject", "source", "sink"):
        assert last.get(subject, "") == source, (
            f"{tracker}: {subject} leaves {source!r} without having come there"
        )
        last[subject] = sink
    held: dict[str, set[int]] = {stock.slug: set() for stock in tracker.stocks}
    for subject, sink in last.items():
        if sink:
            held.setdefault(sink, set()).add(subject)
    return held


def of_trackers() -> list[ModelTracker]:
    return [
        tracker
        for tracker in registry.trackers
        if tracker.slug.startswith(("membership.", "support.", "leads."))
    ]


def test_replayed_events_are_the_members_but_for_the_rows_that_were_changed_uncaptured() -> None:
    differences = {}
    for tracker in of_trackers():
        held = replayed(tracker)
        for stock in tracker.stocks:
            found = set(stock.all().values_list("pk", flat=True))
            assert found or held[stock.slug], f"{stock} is empty, so this shows nothing"
            if found != held[stock.slug]:
                differences[stock.slug] = (found - held[stock.slug], held[stock.slug] - found)
    assert differences.keys() == {"active", "past-due"}
    came, went = differences["active"][0], differences["past-due"][1]
    assert came == went
    assert len(came) == UNEXPLAINED
    assert not differences["active"][1] | differences["past-due"][0]


def test_escalations_are_those_of_the_urgent_tickets() -> None:
    urgent = set(Ticket.objects.filter(priority=Priority.URGENT).values_list("pk", flat=True))
    assert replayed(registry.tracker("support.escalation")) == {"urgent": urgent}
    assert urgent


def test_every_balance_adds_up_and_shows_what_was_not_captured() -> None:
    until = timezone.now() + timedelta(minutes=1)
    for days, slug in ((1, "membership"), (30, "membership"), (30, "support"), (30, "leads")):
        since = Calendar.default().midnight(
            Calendar.default().local_date(timezone.now() - timedelta(days=days - 1))
        )
        found = balance(registry.process(slug), since, until)
        unexplained = {line.stock.slug: line.unexplained for line in found.stocks if line.unexplained}
        assert unexplained == ({"active": 3, "past-due": -3} if slug == "membership" else {})
        assert not [
            line for stock in found.stocks for line in stock.inflows + stock.outflows if line.flow is None
        ]
        assert {line.opening_method for line in found.stocks} == {"derived"}


def test_every_day_has_its_records_and_their_facets_sum() -> None:
    times = StockRecord.objects.filter(method="derived").values_list("timestamp", flat=True).distinct()
    calendar = Calendar.default()
    days = [calendar.local_date(at) for at in times.order_by("timestamp")]
    assert all(calendar.midnight(day) in times for day in days)
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]
    assert days[-1] == calendar.local_date(timezone.now())
    slugs = {stock.slug for tracker in of_trackers() for stock in tracker.stocks} | {"ticket-urgent"}
    assert StockRecord.objects.filter(method="derived").count() == len(days) * len(slugs)
    sums: Counter[tuple[int, str]] = Counter()
    for record, facet, count in StockFacetRecord.objects.values_list("stock_record", "facet", "count"):
        sums[record, facet] += count
    totals = dict(StockRecord.objects.values_list("pk", "count"))
    assert sums
    assert {key: totals[key[0]] for key in sums} == sums


def test_derived_levels_and_the_events_since_lead_to_what_was_counted() -> None:
    """By country, which no member changes: so the facets of the derived records are right too."""
    midnight = StockRecord.objects.filter(method="derived").latest().timestamp
    tracker = registry.tracker("membership.member")
    events = events_of(tracker).filter(timestamp__gte=midnight)
    for stock in tracker.stocks:
        expected = level(stock.slug, method="derived", timestamp=midnight)
        for event in events:
            country = event.facets["country"] or "(none)"
            value = country if country in expected or country == "(none)" else "(other)"
            expected[value] += (event.sink == stock.slug) - (event.source == stock.slug)
        expected.subtract(level(stock.slug, method="counted"))
        unexplained = {"active": -UNEXPLAINED, "past-due": UNEXPLAINED}.get(stock.slug, 0)
        assert sum(expected.values()) == unexplained
        assert unexplained or not any(expected.values())


def level(slug: str, **record: Any) -> Counter[str]:
    """Country → count in the latest such record of a stock."""
    latest = StockRecord.objects.filter(stock=slug, **record).latest()
    return Counter(dict(latest.facet_records.filter(facet="country").values_list("value", "count")))


def test_the_past_was_imported_and_today_was_captured() -> None:
    for tracker in of_trackers():
        events = events_of(tracker)
        origins = Counter(events.values_list("origin", flat=True))
        assert set(origins) == {Origin.IMPORT, Origin.LIVE}
        assert {frozenset(facets) for facets in events.values_list("facets", flat=True)} == {
            frozenset(tracker.applied_facets)
        }
        imported, captured = events.filter(origin=Origin.IMPORT), events.filter(origin=Origin.LIVE)
        assert imported.last().timestamp < captured.first().timestamp
    live = events_of(registry.tracker("membership.member")).filter(origin=Origin.LIVE)
    assert 50 <= live.count() <= 120
    assert set(live.values_list("flow", flat=True)) >= {
        flow.slug for flow in registry.process("membership").flows
    }


def test_no_id_of_the_past_is_given_again() -> None:
    used = set(events_of(registry.tracker("membership.member")).values_list("subject", flat=True))
    plan = Member.objects.earliest("pk").plan
    assert Member.objects.create(name="New", email="new@example.org", plan=plan).pk > max(used)


def test_flow_records_of_every_day_are_there() -> None:
    calendar = Calendar.default()
    first = events_of(registry.tracker("membership.member")).first().timestamp
    days = set(calendar.periods(Grain.DAY, first, timezone.now()))
    for flow in registry.process("membership").flows:
        totals = FlowRecord.objects.filter(flow=flow.slug, source="*", sink="*", grain="day")
        assert {Period(start, end, Grain.DAY) for start, end in totals.values_list("start", "end")} == days
        assert sum(totals.values_list("count", flat=True)) == flow.count() > 0


def test_some_members_are_in_every_stock() -> None:
    assert set(Member.objects.values_list("status", flat=True)) == set(Status.values)


def test_who_converted_today_has_a_welcome_note() -> None:
    today = events_of(registry.tracker("membership.member")).filter(flow="converting", origin=Origin.LIVE)
    converted = set(today.values_list("subject", flat=True))
    welcomed = set(WelcomeNote.objects.values_list("member", flat=True))
    assert welcomed == converted & set(Member.objects.values_list("pk", flat=True))
    assert len(welcomed) > 5
