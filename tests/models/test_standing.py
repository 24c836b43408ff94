"""Where subjects stood at an instant is told by their last event until then, as far back as events tell it all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from example.support.models import Ticket, TicketFlowEvent
from stockandflow.declarations import Flow, ModelTracker, Stock
from stockandflow.exceptions import InvalidInput, NotRegistered
from stockandflow.models import Origin, Sweep, last_first_seen
from stockandflow.registry import Registry, registry
from tests.testapp.models import Item, ItemFlowEvent

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
START = datetime(2025, 3, 1, 12, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + number * DAY


@pytest.fixture
def trial() -> Stock:
    return registry.stock("trial")


@pytest.fixture
def active() -> Stock:
    return registry.stock("active")


@pytest.fixture
def keys() -> list[int]:
    """Members who came on days 0, 1, 2, of whom the first became active on day 3 and left for good on day 5."""
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    made = [Member.objects.create(name="m", email="m@example.org", plan=plan) for _ in range(3)]
    MemberFlowEvent.objects.all().delete()
    first = made[0].pk
    tracker = registry.tracker("membership.member")
    tracker.import_events(
        [
            *((one.pk, day(number), "", "trial") for number, one in enumerate(made)),
            (first, day(3), "trial", "active"),
            (first, day(5), "active", "churned"),
            (first, day(5), "churned", ""),
        ]
    )
    Member.objects.filter(pk=first).delete()
    MemberFlowEvent.objects.filter(origin=Origin.LIVE).delete()
    return [one.pk or first for one in made]


def test_the_last_event_until_then_tells(keys: list[int], trial: Stock, active: Stock) -> None:
    assert [trial.count(at=day(n)) for n in (0, 1, 2, 2.5, 4, 6)] == [1, 2, 3, 3, 2, 2]
    assert [active.count(at=day(n)) for n in (0, 4, 6)] == [0, 1, 0]


def test_moves_at_the_instant_count(keys: list[int], active: Stock) -> None:
    tick = timedelta(microseconds=1)
    assert [active.count(at=day(3) + step) for step in (-tick, 0 * tick, tick)] == [0, 1, 1]
    assert registry.stock("churned").count(at=day(5)) == 0


def test_members_are_objects_and_keys_are_of_all(keys: list[int], trial: Stock, active: Stock) -> None:
    assert set(trial.members(at=day(2)).values_list("pk", flat=True)) == set(keys[1:])
    assert set(trial.member_keys(at=day(2))) == set(keys)
    assert trial.count(at=day(2)) == 3
    assert list(active.members(at=day(4))) == []
    assert list(active.member_keys(at=day(4))) == keys[:1]


def test_without_an_instant_it_is_now(keys: list[int], trial: Stock) -> None:
    assert trial.count() == trial.members().count() == 2


def test_now_is_what_the_tables_hold(trial: Stock) -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    for _ in range(3):
        Member.objects.create(name="m", email="m@example.org", plan=plan)
    Member.objects.filter(pk=Member.objects.earliest("pk").pk).convert()
    at = MemberFlowEvent.objects.latest().timestamp

    assert trial.count(at=at) == trial.count() == 2
    assert set(trial.members(at=at)) == set(trial.all())


def test_it_takes_one_query_and_four_for_how_far_back(
    keys: list[int], trial: Stock, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(5):
        trial.count(at=day(2))
    with django_assert_num_queries(5):
        list(trial.members(at=day(2)))


def opened_anew() -> None:
    """Have noted since when the tracker's events tell, as when it was opened with them."""
    tracker = registry.tracker("membership.member")
    known = Sweep.objects.filter(tracker=tracker.slug)
    known.update(told_since=last_first_seen(tracker, known.get().opened_at))


class TestExactness:
    """What events can't tell is refused, with since when they can and why."""

    def test_the_first_event_is_where_a_whole_history_begins(self, keys: list[int], trial: Stock) -> None:
        assert registry.tracker("membership.member").exact_since() == day(0)
        with pytest.raises(
            InvalidInput, match=r"exact since 2025-03-01T12:00:00\+00:00: that is its first event\."
        ):
            trial.count(at=day(-1))

    def test_before_an_opening_balance_nobody_knows(self, keys: list[int], trial: Stock) -> None:
        mine = MemberFlowEvent.objects.filter(subject_id=keys[1])
        mine.update(origin=Origin.INITIAL, timestamp=day(4))
        opened_anew()

        assert registry.tracker("membership.member").exact_since() == day(4)
        assert trial.count(at=day(4)) == 2
        with pytest.raises(InvalidInput, match=r"exact since 2025-03-05.*first seen then"):
            trial.members(at=day(3.5))

        registry.tracker("membership.member").import_events([(keys[1], day(1), "", "trial")])
        assert registry.tracker("membership.member").exact_since() == day(0)
        assert trial.count(at=day(3.5)) == 2

    def test_each_history_tells_back_to_who_is_without_one(self, keys: list[int], trial: Stock) -> None:
        """The events are read through for it only where the last first seen gets one."""
        tracker = registry.tracker("membership.member")
        for key, at in ((keys[1], day(4)), (keys[2], day(3))):
            MemberFlowEvent.objects.filter(subject_id=key).update(origin=Origin.INITIAL, timestamp=at)
        opened_anew()

        def imported(key: int) -> bool:
            with CaptureQueriesContext(connection) as queries:
                tracker.import_events([(key, day(1), "", "trial")])
            return any("MAX(" in query["sql"] and "initial" in query["sql"] for query in queries)

        assert tracker.exact_since() == day(4)
        other = Member.objects.create(name="m", email="m@example.org", plan=Plan.objects.get())
        MemberFlowEvent.objects.filter(subject_id=other.pk).delete()
        assert (imported(other.pk), tracker.exact_since()) == (False, day(4))
        assert (imported(keys[1]), tracker.exact_since()) == (True, day(3))
        assert (imported(keys[2]), tracker.exact_since()) == (True, day(0))

    def test_without_events_the_opening_is_where_it_begins(self, trial: Stock) -> None:
        tracker = registry.tracker("membership.member")
        opened = Sweep.objects.get(tracker=tracker.slug).opened_at
        assert opened is not None
        assert tracker.exact_since() == opened
        assert trial.count(at=opened) == 0
        with pytest.raises(InvalidInput, match=r"is exact since .*: it was opened then\."):
            trial.count(at=day(0))

    def test_before_it_is_opened_subjects_without_events_leave_it_unknown(
        self, keys: list[int], trial: Stock
    ) -> None:
        tracker = registry.tracker("membership.member")
        Sweep.objects.filter(tracker=tracker.slug).update(opened_at=None)
        assert tracker.exact_since() == day(0)
        MemberFlowEvent.objects.filter(subject_id=keys[1]).delete()
        assert tracker.exact_since() is None
        with pytest.raises(
            InvalidInput, match="is not known: it isn't opened yet, and some of its subjects have no"
        ):
            trial.count(at=day(3))

        Sweep.objects.all().delete()
        MemberFlowEvent.objects.all().delete()
        Member.objects.all().delete()
        MemberFlowEvent.objects.all().delete()
        with pytest.raises(InvalidInput, match="is not known: it has no events yet"):
            trial.count(at=day(3))

    def test_a_move_before_the_opening_tells_nothing_of_what_was_before(
        self, keys: list[int], trial: Stock
    ) -> None:
        MemberFlowEvent.objects.filter(subject_id=keys[1]).update(
            origin=Origin.LIVE, source="paused", timestamp=day(2.5)
        )
        opened_anew()
        assert registry.tracker("membership.member").exact_since() == day(2.5)

    def test_the_future_and_naive_instants_are_refused(self, keys: list[int], trial: Stock) -> None:
        with pytest.raises(InvalidInput, match="hasn't come yet"):
            trial.count(at=timezone.now() + DAY)
        with pytest.raises(InvalidInput, match="at is the naive datetime"):
            trial.member_keys(at=datetime(2025, 3, 1))  # noqa: DTZ001

    def test_a_stock_of_no_tracker_has_no_past(self) -> None:
        alone = Stock("alone", "Alone", Item.objects.all())
        with pytest.raises(NotRegistered):
            alone.count(at=day(0))
        Registry().register(alone)
        with pytest.raises(InvalidInput, match="'alone' is in no tracker, so no events tell its past"):
            alone.members(at=day(0))


def test_trackers_of_one_event_model_are_told_apart() -> None:
    small, large = (Stock(slug, slug, Item.objects.filter(text=slug)) for slug in ("small", "large"))
    red = Stock("red", "Red", Item.objects.filter(nick="red"))
    sizes = ModelTracker(stocks=[small, large], event_model=ItemFlowEvent, slug="sizes")
    colours = ModelTracker(stocks=[red], event_model=ItemFlowEvent, slug="colours")
    Registry().register(sizes, colours)
    item = Item.objects.create(text="large", nick="red")
    sizes.import_events([(item.pk, day(0), "", "small"), (item.pk, day(2), "small", "large")])
    colours.import_events([(item.pk, day(1), "", "red")])

    assert [stock.count(at=day(3)) for stock in (small, large, red)] == [0, 1, 1]
    assert small.count(at=day(1)) == 1
    assert colours.exact_since() == day(1)


def test_a_function_that_serves_two_dimensions_is_told_by_the_events_that_touch_the_stock() -> None:
    open_, urgent = (Stock(slug, slug, Ticket.objects.none()) for slug in ("is-open", "is-urgent"))
    flow = Flow("coming", "Coming", TicketFlowEvent, [None], [open_, urgent])
    tracker = ModelTracker(["status"], lambda before, now: ((), ()), [open_, urgent], [flow], slug="both")
    Registry().register(tracker)
    for number, slug in enumerate(("is-open", "is-urgent")):
        TicketFlowEvent.objects.create(
            tracker="both",
            flow="coming",
            sink=slug,
            subject_id=1,
            timestamp=day(number),
            recorded_at=day(number),
        )

    assert open_.count(at=day(2)) == urgent.count(at=day(2)) == 1


def test_churned_and_back_is_there_once(active: Stock) -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    one = Member.objects.create(name="m", email="m@example.org", plan=plan, status=Status.CHURNED)
    for status in (Status.ACTIVE, Status.CHURNED, Status.ACTIVE):
        Member.objects.filter(pk=one.pk).update(status=status)

    assert active.count(at=MemberFlowEvent.objects.latest().timestamp) == 1
