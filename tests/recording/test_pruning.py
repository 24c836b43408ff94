"""What is old goes, and what is told of whole days stays."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from example.leads.models import LeadFlowEvent
from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import capture, recording, reports
from stockandflow.capture.sums import doubtful
from stockandflow.capture.sweep import Comparison
from stockandflow.declarations import Facet, Flow, ModelTracker, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import (
    ALL,
    Delivery,
    FlowFacetRecord,
    FlowRecord,
    Origin,
    StockFacetRecord,
    StockRecord,
    Sweep,
    Watermark,
)
from stockandflow.periods import Calendar, Grain
from stockandflow.periods import Status as Certainty
from stockandflow.recording import Pruned, Retention, prune
from stockandflow.recording.horizons import computable_since, horizon_at
from stockandflow.registry import Registry
from tests.shared import kept_for_the_module

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
CALENDAR = Calendar("Europe/London")
THIS_YEAR = CALENDAR.period(Grain.YEAR, datetime.now(UTC))
LAST_YEAR = CALENDAR.preceding(THIS_YEAR)
HORIZON = CALENDAR.period(Grain.WEEK, LAST_YEAR.start).start
START = CALENDAR.period(Grain.MONTH, LAST_YEAR.start - 40 * DAY).start
AGE = datetime.now(UTC) - LAST_YEAR.end + DAY
RETENTION = Retention(events=AGE)

Step = tuple[timedelta, str]


def declared() -> Registry:
    """Three stocks of members with their flows, in a registry of their own that no trigger serves."""
    plan = Facet("plan", "Plan", "plan__name")
    stocks = [
        Stock(status, status, Member.objects.filter(status=status), facets=[plan])
        for status in ("trial", "active", "churned")
    ]
    trial, active, churned = stocks

    def flow(slug: str, sources: list[Any], sinks: list[Any]) -> Flow:
        return Flow(slug, slug, MemberFlowEvent, sources, sinks, facets=[plan])

    flows = [
        flow("coming", [None], [trial]),
        flow("converting", [trial], [active]),
        flow("churning", [active], [churned]),
        flow("leaving", stocks, [None]),
    ]
    made = Registry()
    made.register(ModelTracker(slug="shop", stocks=stocks, flows=flows), Process("shop", "Shop", stocks))
    return made


def opened() -> None:
    Sweep.objects.create(tracker="shop", database="default", opened_at=START)


@pytest.fixture
def shop() -> Registry:
    opened()
    return declared()


def lived(*steps: Step, gone: bool = False) -> int:
    """A member with a history of (how long after START, where to); its key."""
    plan, _ = Plan.objects.get_or_create(name="Basic", defaults={"monthly_price": 9})
    member = Member.objects.create(
        name="M", email="m@example.org", plan=plan, status=steps[-1][1] or Status.TRIAL
    )
    key = member.pk
    if gone:
        member.delete()
    MemberFlowEvent.objects.filter(subject_id=key).delete()
    source = ""
    for after, sink in steps:
        MemberFlowEvent.objects.create(
            tracker="shop",
            subject_id=key,
            flow={"trial": "coming", "active": "converting", "churned": "churning", "": "leaving"}[sink],
            source=source,
            sink=sink,
            timestamp=START + after,
            recorded_at=START + after,
            facets={"plan": "Basic"},
        )
        source = sink
    return key


def history(number: int = 30, seed: int = 1) -> None:
    """Members who come and go from START until now, some of whom are gone."""
    chance = random.Random(seed)
    span = (datetime.now(UTC) - START - 3 * DAY) / DAY
    lived((timedelta(0), "trial"), (70 * DAY, "active"))
    for _ in range(number):
        at = sorted(chance.uniform(0, span) for _ in range(4))
        sinks = ["trial", "active", "churned", ""][: chance.randint(1, 4)]
        steps = [(place * DAY, sink) for place, sink in zip(at, sinks, strict=False)]
        lived(*steps, gone=sinks[-1] == "")


def recorded(registry: Registry) -> None:
    """Record all, with counts at each noon and an hour before midnight that are what the events say."""
    now = datetime.now(UTC)
    moves = list(MemberFlowEvent.objects.filter(tracker="shop").values_list("timestamp", "source", "sink"))
    midnights = [day.start for day in CALENDAR.periods(Grain.DAY, START, now)]
    instants = [at for day in midnights for at in (day + DAY / 2, day + 23 * DAY / 24) if at < now]
    StockRecord.objects.bulk_create(
        StockRecord(
            stock=stock.slug,
            timestamp=at,
            count=sum(
                (sink == stock.slug) - (source == stock.slug) for when, source, sink in moves if when < at
            ),
        )
        for stock in registry.stocks
        for at in instants
    )
    recording.record(registry, calendar=CALENDAR)


def facts() -> list[list[tuple[Any, ...]]]:
    """All flow records and derived levels, but for when they were computed."""
    names = [field.name for field in FlowRecord._meta.fields if field.name not in ("id", "computed_at")]
    return [
        sorted(FlowRecord.objects.values_list(*names)),
        sorted(
            FlowFacetRecord.objects.values_list(
                *(
                    f"flow_record__{name}"
                    for name in ("calendar", "grain", "start", "flow", "source", "sink")
                ),
                *("facet", "value", "count", "subjects", "first_in_year"),
            )
        ),
        sorted(
            StockRecord.objects.filter(method="derived").values_list(
                "stock", "timestamp", "count", "carried_from", "revision"
            )
        ),
    ]


def balances(registry: Registry, seed: int = 2) -> list[Any]:
    """What balances over ranges of whole days say."""
    chance, found = random.Random(seed), []
    days = [day.start for day in CALENDAR.periods(Grain.DAY, START, datetime.now(UTC) - DAY)]
    for _ in range(8):
        since, until = sorted(chance.sample(days, 2))
        balance = reports.balance(registry.process("shop"), since, until)
        found.append(
            [
                (line.stock.slug, line.opening, line.inflow, line.outflow, line.unexplained, line.closing)
                for line in balance.stocks
            ]
        )
    return found


def kept() -> list[tuple[Any, ...]]:
    events = MemberFlowEvent.objects.filter(tracker="shop").order_by("timestamp", "id")
    return list(events.values_list("subject_id", "flow", "source", "sink", "origin"))


def test_of_each_subject_the_last_event_before_the_horizon_stays_as_its_opening_balance(
    shop: Registry,
) -> None:
    moved = lived((1 * DAY, "trial"), (2 * DAY, "active"), (3 * DAY, "churned"), (300 * DAY, ""), gone=True)
    still = lived((1 * DAY, "trial"), (2 * DAY, "active"))
    came = lived((1 * DAY, "trial"))
    lived((1 * DAY, "trial"), (2 * DAY, ""), gone=True)
    outside = lived((1 * DAY, "trial"), (2 * DAY, ""))
    recorded(shop)

    assert (
        str(prune(shop, retention=RETENTION))
        == f"6 events of membership.memberflowevent before {HORIZON:%Y-%m-%d}"
    )
    assert kept() == [
        (came, "coming", "", "trial", "live"),
        (still, "", "", "active", "initial"),
        (outside, "", "", "", "initial"),
        (moved, "", "", "churned", "initial"),
        (moved, "leaving", "churned", "", "live"),
    ]


def test_balances_records_and_sweeps_are_as_before(shop: Registry) -> None:
    history()
    recorded(shop)
    before, rows, stood = balances(shop), facts(), shop.stock("active").count(at=LAST_YEAR.start)
    assert not capture.audit(shop)[0].moves

    retention = Retention(events=AGE, stock_records={Grain.DAY: 30 * DAY})
    done = prune(shop, retention=retention)
    assert done.events
    assert done.stock_records > 1000

    assert balances(shop) == before
    assert facts() == rows
    assert shop.stock("active").count(at=LAST_YEAR.start) == stood
    assert not capture.audit(shop)[0].moves
    if connection.vendor == "postgresql":
        assert doubtful(Comparison(shop.trackers[0], "default").moves, "default") == [], (
            "sums still tell it all"
        )
    assert not capture.repair(shop)[0].found
    recording.record(shop, calendar=CALENDAR)
    recording.record(shop, since=LAST_YEAR.start, restate=True, calendar=CALENDAR)
    assert facts() == rows
    assert balances(shop) == before
    assert not prune(shop, retention=retention)


def test_a_function_of_several_dimensions_keeps_what_led_to_each_state(shop: Registry) -> None:
    key = lived((1 * DAY, "trial"))
    MemberFlowEvent.objects.all().delete()
    for after, source, sink in (
        (1, "", "gold"),
        (2, "", "loud"),
        (3, "loud", "quiet"),
        (4, "", "x"),
        (5, "x", ""),
    ):
        MemberFlowEvent.objects.create(
            tracker="by-function",
            subject_id=key,
            source=source,
            sink=sink,
            timestamp=START + after * DAY,
            recorded_at=START,
            origin=Origin.LIVE,
        )
    recording.record(shop, calendar=CALENDAR)
    prune(shop, retention=RETENTION)

    events = MemberFlowEvent.objects.order_by("timestamp")
    assert list(events.values_list("source", "sink")) == [("", "gold"), ("loud", "quiet")]


def test_the_first_month_and_year_are_told_whole_though_their_days_are_gone(shop: Registry) -> None:
    lived((10.4 * DAY, "trial"), (20 * DAY, "active"))
    lived((35 * DAY, "trial"))
    recorded(shop)
    StockRecord.objects.filter(timestamp__lt=START + 10 * DAY).delete()
    prune(shop, retention=Retention(AGE, flow_records={Grain.DAY: AGE, Grain.WEEK: AGE}))
    process, year = shop.process("shop"), CALENDAR.period(Grain.YEAR, START)

    assert not FlowRecord.objects.filter(grain=Grain.DAY, start__lt=HORIZON).exists()
    for since in (START, year.start, START - 45 * DAY):
        balance = reports.balance(process, since, LAST_YEAR.start)
        trial, active, _ = balance.stocks
        assert (trial.opening, trial.inflow, trial.outflow, trial.closing) == (0, 2, 1, 1)
        assert (active.opening, active.inflow, active.closing) == (0, 1, 1)
    assert reports.balance(process, START, LAST_YEAR.start, grain="month").parts[0].stocks[0].inflow
    with pytest.raises(InvalidInput, match=r"were pruned; ask for whole days"):
        reports.balance(process, START, CALENDAR.midnight(CALENDAR.local_date(START + 15 * DAY)))


def test_a_model_whose_events_begin_later_leaves_those_of_another_whole(shop: Registry) -> None:
    history(8)
    shop.register(Flow("asking", "Asking", LeadFlowEvent, [None], [shop.stock("trial")]))
    process = Process("all", "All", [shop.stock("trial"), shop.stock("active")])
    shop.register(process)
    begun = LAST_YEAR.start + 100 * DAY
    LeadFlowEvent.objects.create(
        flow="asking", sink="trial", subject_id=1, timestamp=begun, recorded_at=begun
    )
    recorded(shop)
    spans = [(START, HORIZON), (START, LAST_YEAR.start + 50 * DAY), (START, LAST_YEAR.end)]

    def told() -> list[Any]:
        found = [reports.balance(process, *span) for span in spans]
        return [
            (one.status, [(line.opening, line.inflow, line.outflow, line.closing) for line in one.stocks])
            for one in found
        ]

    before = told()
    assert before[0][1][0][1]
    prune(shop, retention=RETENTION)
    assert told() == before
    assert {status for status, _ in before} == {Certainty.FINAL}


def test_events_that_were_just_written_are_told_when_they_count_as_recorded(shop: Registry) -> None:
    lived((1 * DAY, "trial"), (2 * DAY, "active"))
    written = datetime.now(UTC)
    MemberFlowEvent.objects.update(recorded_at=written)
    recorded(shop)
    (reason,) = prune(shop, retention=RETENTION).refused["membership.memberflowevent"]

    at = written + timedelta(hours=1, minutes=1)
    assert "aren't in the flow records of" in reason
    assert (
        "events count as recorded an hour after they were written, so run 'manage.py stockandflow record' after "
        f"{at:%Y-%m-%d %H:%M} UTC, and prune then"
    ) in reason


@pytest.fixture(scope="class")
def past(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with kept_for_the_module(django_db_blocker):
        opened()
        history(8)
        recorded(declared())
        yield


@pytest.mark.usefixtures("past")
class TestARecordedPast:
    """It is made once for all of these, and whatever they change is undone."""

    @pytest.fixture
    def shop(self) -> Registry:
        return declared()

    def test_before_the_horizon_nothing_is_computed_from_events(self, shop: Registry) -> None:
        prune(shop, retention=RETENTION)
        tracker, active, process = shop.trackers[0], shop.stock("active"), shop.process("shop")

        assert tracker.exact_since() == HORIZON
        with pytest.raises(InvalidInput, match="the events before it were pruned"):
            active.count(at=HORIZON - DAY)
        for restate in (True, False):
            with pytest.raises(
                InvalidInput, match=r"from before .* were pruned, so that its records can't be"
            ):
                recording.record(shop, since=LAST_YEAR.start - DAY, restate=restate, calendar=CALENDAR)
        with pytest.raises(InvalidInput, match=r"those before .* were pruned; ask for whole days"):
            reports.balance(process, HORIZON - 3.3 * DAY, LAST_YEAR.end)
        balance = reports.balance(process, START - 30 * DAY, LAST_YEAR.end)
        inflow = balance.number(balance.stocks[0], "inflow")
        with pytest.raises(InvalidInput, match=r"those before .* were pruned"):
            reports.members(inflow)
        with pytest.raises(InvalidInput, match=r"those before .* were pruned"):
            reports.net(process, HORIZON - DAY, LAST_YEAR.end)
        with pytest.raises(InvalidInput, match=r"those before .* were pruned"):
            reports.series(active, HORIZON - DAY, HORIZON, "hour")

    def test_late_events_before_the_horizon_change_no_record(self, shop: Registry) -> None:
        prune(shop, retention=RETENTION)
        rows = facts()
        lived((5 * DAY, "trial"))
        MemberFlowEvent.objects.filter(timestamp__lt=HORIZON).update(recorded_at=timezone.now() - 2 * DAY)
        recording.record(shop, calendar=CALENDAR)

        assert facts() == rows

    def test_a_calendar_that_comes_later_begins_at_the_horizon(self, shop: Registry) -> None:
        prune(shop, retention=RETENTION)
        tokyo = Calendar("Asia/Tokyo")
        recording.record_flows(shop, calendar=tokyo)

        first = FlowRecord.objects.filter(calendar=tokyo.key, grain=Grain.DAY).earliest("start").start
        assert first >= tokyo.midnight(tokyo.local_date(LAST_YEAR.start))
        process = Process("tokyo", "Tokyo", [shop.stock("trial")], calendar=tokyo)
        shop.register(process)
        with pytest.raises(InvalidInput, match="were pruned"):
            reports.balance(process, START, HORIZON)

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda: Watermark.objects.update(event_id=0), "aren't in the flow records of"),
            (lambda: Watermark.objects.update(anew_since=START), "aren't in the flow records of"),
            (
                lambda: FlowRecord.objects.filter(grain="day", start__lt=HORIZON).update(
                    computed_at=HORIZON - 9 * DAY
                ),
                "not all days before",
            ),
            (
                lambda: FlowRecord.objects.filter(
                    grain="day", start=CALENDAR.midnight(HORIZON.date())
                ).delete(),
                "not all days before",
            ),
            (
                lambda: StockRecord.objects.filter(
                    stock="active", timestamp__range=(HORIZON, LAST_YEAR.start)
                ).delete(),
                "the stock 'active' has no count between",
            ),
            (
                lambda: Delivery.objects.create(
                    event_model="membership.memberflowevent",
                    event_id=MemberFlowEvent.objects.earliest().pk,
                    flow="coming",
                    due_at=START,
                ),
                "have deliveries that aren't done",
            ),
        ],
    )
    def test_events_stay_where_a_balance_would_become_wrong(
        self, shop: Registry, spoil: Any, reason: str
    ) -> None:
        spoil()
        before = kept()
        done = prune(shop, retention=RETENTION)

        assert (done.events, bool(done)) == ({}, False)
        assert reason in done.refused["membership.memberflowevent"][0]
        assert kept() == before
        assert Watermark.horizon_of(MemberFlowEvent) is None

    def test_a_delivery_that_is_done_goes_with_its_event(self, shop: Registry) -> None:
        events = MemberFlowEvent.objects.filter(tracker="shop")
        done = Delivery.objects.bulk_create(
            Delivery(
                event_model="membership.memberflowevent",
                event_id=event.pk,
                flow=event.flow,
                due_at=START,
                status=Delivery.Status.DONE,
            )
            for event in events
        )
        prune(shop, retention=RETENTION)
        left = Delivery.objects.values_list("event_id", flat=True)
        assert 0 < len(left) < len(done)
        assert set(left) == set(events.values_list("pk", flat=True))

    def test_a_dry_run_says_the_same_and_deletes_nothing(self, shop: Registry) -> None:
        retention = Retention(AGE, {Grain.DAY: 30 * DAY}, {Grain.DAY: AGE})
        before = kept(), facts(), StockRecord.objects.count()
        planned = prune(shop, retention=retention, dry_run=True)
        assert (kept(), facts(), StockRecord.objects.count()) == before
        assert Watermark.horizon_of(MemberFlowEvent) is None

        done = prune(shop, retention=retention)
        assert planned.dry_run
        assert str(planned) == str(done)
        assert done.events
        assert done.flow_records
        assert done.stock_records

    def test_flow_records_go_with_the_events_of_their_days(self, shop: Registry) -> None:
        whole = {
            "calendar": CALENDAR.key,
            "grain": Grain.DAY,
            "source": ALL,
            "sink": ALL,
            "computed_at": LAST_YEAR.end,
        }
        for start in (START, HORIZON):
            FlowRecord.objects.create(
                flow="no-more", start=start, end=start + DAY, count=1, subjects=1, **whole
            )
        prune(shop, retention=Retention(AGE, flow_records={Grain.DAY: AGE, Grain.WEEK: AGE}))
        declared_no_more = FlowRecord.objects.filter(flow="no-more")
        assert [one.start for one in declared_no_more] == [HORIZON]
        declared_no_more.delete()

        def first(grain: Grain) -> datetime:
            return FlowRecord.objects.filter(grain=grain).earliest("start").start

        assert first(Grain.DAY) == first(Grain.WEEK) == HORIZON
        assert first(Grain.MONTH) < HORIZON
        rows = facts()
        recording.record(shop, calendar=CALENDAR)
        recording.record(shop, since=LAST_YEAR.start, restate=True, calendar=CALENDAR)
        assert facts() == rows
        with pytest.raises(InvalidInput, match=r"were pruned; ask for whole days"):
            reports.balance(
                shop.process("shop"), CALENDAR.period(Grain.DAY, START + 3.5 * DAY).start, LAST_YEAR.end
            )
        assert reports.balance(shop.process("shop"), START, LAST_YEAR.end).stocks[0].inflow

    def test_nothing_is_deleted_without_the_setting(self, shop: Registry) -> None:
        before = kept(), facts(), StockRecord.objects.count()
        assert prune(shop) == Pruned()
        assert (kept(), facts(), StockRecord.objects.count()) == before


def test_of_old_counts_the_last_of_each_day_week_or_month_stays() -> None:
    now = datetime.now(UTC)
    first = now - 400 * DAY
    for stock in ("a", "b"):
        for n in range(400 * 4):
            StockRecord(stock=stock, timestamp=first + n * DAY / 4, count=n).save()
    one = StockRecord.objects.earliest()
    StockFacetRecord.objects.create(stock_record=one, facet="plan", value="Pro", count=1)
    StockRecord(stock="a", timestamp=first + timedelta(seconds=1), count=1, method="derived").save()
    counts = StockRecord.objects.filter(stock="a", method="counted").order_by("timestamp")
    instants = list(counts.values_list("timestamp", flat=True))
    wanted = {
        at
        for at in instants
        for grain, age in ((Grain.DAY, 30 * DAY), (Grain.WEEK, 100 * DAY), (Grain.MONTH, 300 * DAY))
        if at > now - age + 40 * DAY
    }
    retention = Retention(stock_records={Grain.DAY: 30 * DAY, Grain.WEEK: 100 * DAY, Grain.MONTH: 300 * DAY})
    planned = prune(Registry(), retention=retention, dry_run=True)
    done = prune(Registry(), retention=retention)
    found = list(counts.values_list("timestamp", flat=True))

    def last(grain: Grain, low: timedelta, high: timedelta) -> set[datetime]:
        """The last instants of the periods that lie within these ages."""
        periods = list(Calendar.default().periods(grain, now - high, now - low))[1:-1]
        return {max(at for at in instants if period.start < at <= period.end) for period in periods}

    assert done.stock_records == planned.stock_records == 2 * (len(instants) - len(found))
    assert {at for at in wanted if at > now - 29 * DAY} <= set(found)
    assert {at for at in found if now - 95 * DAY < at < now - 35 * DAY} <= last(
        Grain.DAY, 30 * DAY, 100 * DAY
    )
    assert last(Grain.DAY, 31 * DAY, 99 * DAY) <= set(found)
    assert last(Grain.WEEK, 101 * DAY, 299 * DAY) <= set(found)
    assert last(Grain.MONTH, 101 * DAY, 399 * DAY) <= set(found)
    old = [at for at in found if at < now - 340 * DAY]
    assert len(old) <= 3
    middle = [at for at in found if now - 290 * DAY < at < now - 110 * DAY]
    assert len(middle) <= 180 / 7 + 180 / 28 + 2
    assert StockRecord.objects.filter(method="derived").exists()
    assert not StockFacetRecord.objects.filter(stock_record_id=one.pk).exists()
    assert not prune(Registry(), retention=retention)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"event": DAY}, r"RETENTION is .*; write a dictionary with any of 'events', 'stock_records'"),
        ([], r"RETENTION is \[\]"),
        ({"events": 3}, r"RETENTION\['events'\] is 3; write a timedelta of a day or more"),
        ({"runs": 3}, r"RETENTION\['runs'\] is 3; write a timedelta of a day or more"),
        ({"events": timedelta(0)}, r"write a timedelta of a day or more"),
        ({"stock_records": DAY}, r"RETENTION\['stock_records'\] is .*; write a dictionary of grain → age"),
        ({"stock_records": {"hour": DAY}}, r"a grain is one of 'day', 'week', 'month', 'quarter', 'year'"),
        ({"stock_records": {"day": 3}}, r"RETENTION\['stock_records'\]\['day'\] is 3; write a timedelta"),
        (
            {"flow_records": {"day": DAY}},
            r"RETENTION\['flow_records'\]\['day'\] is .* events are kept for ever",
        ),
        (
            {"events": 9 * DAY, "flow_records": {"week": DAY}},
            r"events are kept for datetime.timedelta\(days=9\)",
        ),
    ],
)
def test_a_retention_that_is_none_is_refused_with_the_cure(given: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Retention.of(given)


@pytest.mark.parametrize(
    "calendars", [{Calendar()}, {Calendar("Asia/Tokyo", 6), Calendar("America/Lima", 3, 4)}]
)
def test_a_horizon_leaves_whole_years_with_their_first_week(calendars: set[Calendar]) -> None:
    for days in range(0, 800, 7):
        at = datetime(2024, 1, 1, tzinfo=UTC) + days * DAY
        horizon = horizon_at(calendars, at)
        assert at - horizon < 2 * 366 * DAY
        for calendar in calendars:
            since = computable_since(calendar, horizon)
            assert since is not None
            assert calendar.period(Grain.YEAR, since).start == since
            assert horizon <= calendar.period(Grain.WEEK, since).start
            assert since <= at
    assert computable_since(Calendar(), None) is None
