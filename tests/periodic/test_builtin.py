"""The entries that every project has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status, WelcomeNote
from stockandflow import capture
from stockandflow.declarations import ModelTracker, Stock
from stockandflow.exceptions import DeclarationError
from stockandflow.models import Delivery, FlowRecord, Origin, Restatement, ScheduleRun, StockRecord, Sweep
from stockandflow.periodic import Frequency, Schedule, State, built_in, builtin, run
from stockandflow.registry import Registry, registry
from tests.testapp.models import Item, ItemFlowEvent

AT = datetime(2025, 6, 18, 14, 38, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def schedule() -> Schedule:
    made = Schedule()
    built_in(made, registry)
    return made


@pytest.fixture
def members() -> None:
    plan = Plan.objects.create(name="Solo", monthly_price=9)
    for name in ("Ada", "Bob"):
        Member.objects.create(name=name, email=f"{name}@example.org", plan=plan)
    Member.objects.filter(name="Ada").update(status=Status.ACTIVE)


def test_sweeping_and_then_recording_are_hourly_delivery_every_minute_and_pruning_daily(
    schedule: Schedule,
) -> None:
    assert [(entry.name, str(entry.frequency)) for entry in schedule.entries] == [
        ("stockandflow.sweep", "hourly"),
        ("stockandflow.record", "hourly"),
        ("stockandflow.deliver", "minutely"),
        ("stockandflow.prune", "daily"),
    ]


def test_the_settings_retime_them_and_turn_them_off(settings: Any) -> None:
    settings.STOCKANDFLOW = {
        "SWEEP_FREQUENCY": "weekly",
        "RECORD_FREQUENCY": "daily",
        "DELIVER_FREQUENCY": "never",
    }
    schedule = Schedule()
    built_in(schedule, registry)
    assert [str(entry.frequency) for entry in schedule.entries] == ["weekly", "daily", "never", "daily"]
    assert [entry.period(AT) is None for entry in schedule.entries] == [False, False, True, False]


@pytest.mark.parametrize("key", ["SWEEP_FREQUENCY", "RECORD_FREQUENCY", "DELIVER_FREQUENCY"])
def test_a_setting_that_is_no_frequency_is_told(settings: Any, key: str) -> None:
    settings.STOCKANDFLOW = {key: "often"}
    with pytest.raises(DeclarationError, match=rf"STOCKANDFLOW\['{key}'\] is 'often'.*'never', 'minutely'"):
        built_in(Schedule(), registry)


@pytest.mark.django_db
def test_old_runs_and_deliveries_go_as_the_setting_says(settings: Any, schedule: Schedule) -> None:
    def prune(at: datetime) -> str:
        (result,) = run(schedule, now=at, only="stockandflow.prune").results
        return result.message

    old = Delivery.objects.create(
        event_model="gone", event_id=1, flow="gone", status="done", due_at=AT, finished_at=AT
    )
    for n in range(3):
        run(schedule, now=AT + timedelta(hours=n), only="stockandflow.record")
    settings.STOCKANDFLOW = {"RETENTION": {"runs": None}}
    assert prune(AT) == "nothing deleted"
    settings.STOCKANDFLOW = {}
    assert prune(AT + timedelta(days=1)) == "2 runs, 1 delivery deleted"
    assert not Delivery.objects.filter(pk=old.pk).exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("members")
def test_every_period_is_recorded_and_delivered_once(schedule: Schedule) -> None:
    swept, recorded, delivered, pruned = run(schedule, now=AT).results
    assert (swept.state, recorded.state, delivered.state, pruned.state) == (State.DONE,) * 4
    assert pruned.message == "nothing deleted"
    assert recorded.message.startswith(f"{len(registry.stocks)} stocks with ")
    assert delivered.message == "1 delivered"
    assert StockRecord.objects.get(stock="active", method="counted").count == 1
    assert FlowRecord.objects.get(flow="converting", source="*", grain="day").count == 1
    assert WelcomeNote.objects.get().member.name == "Ada"
    run(schedule, now=AT)
    assert StockRecord.objects.filter(stock="active", method="counted").count() == 1
    run(schedule, now=AT + HOUR)
    assert StockRecord.objects.filter(stock="active", method="counted").count() == 2


@pytest.mark.django_db
def test_what_is_restated_of_levels_is_told_too() -> None:
    long_ago = timezone.now() - 50 * 24 * HOUR
    StockRecord.objects.create(stock="trial", timestamp=long_ago, count=3)
    builtin.record(registry)()
    MemberFlowEvent.objects.create(
        tracker="membership.member",
        flow="signing-up",
        sink="trial",
        subject_id=1,
        timestamp=long_ago + 30 * HOUR,
        recorded_at=timezone.now(),
        origin=Origin.IMPORT,
    )

    said = builtin.record(registry)()

    assert Restatement.objects.filter(kind="stock", slug="trial").exists()
    assert said.endswith(f", {Restatement.objects.count()} final numbers restated")


@pytest.mark.django_db
@pytest.mark.usefixtures("members")
def test_a_recording_whose_claim_was_lost_stores_no_counts() -> None:
    def record_while_another_takes_over() -> Callable[[], str]:
        last_step = builtin.record(registry)
        ScheduleRun.objects.update(owner="another", attempt=2)
        return last_step

    schedule = Schedule()
    schedule.register(Frequency.HOURLY, record_while_another_takes_over, name="it", atomic=False)
    (recorded,) = run(schedule, now=AT).results
    assert (recorded.state, recorded.message[:9]) == (State.FAILED, "LeaseLost")
    assert not StockRecord.objects.exists()


@pytest.mark.django_db
def test_a_project_without_declarations_records_nothing() -> None:
    schedule = Schedule()
    built_in(schedule, Registry())
    messages = [result.message for result in run(schedule, now=AT).results]
    assert messages == [
        "nothing to sweep",
        "0 stocks with 0 facet values, 0 flow records over 0 days",
        "nothing to deliver",
        "nothing deleted",
    ]


@pytest.mark.django_db
class TestSweeping:
    """What the entry sweeps, and when."""

    @pytest.fixture(autouse=True)
    def opened(self) -> None:
        Sweep.objects.all().delete()
        capture.repair(registry)

    def swept(self) -> str:
        return builtin._sweep(registry)

    def test_what_triggers_serve_once_a_day(self) -> None:
        assert self.swept() == "nothing to sweep"
        Sweep.objects.update(completed_at=F("completed_at") - timedelta(hours=23, minutes=1))
        MemberFlowEvent.objects.all().delete()
        Member.objects.create(name="A", email="a", plan=Plan.objects.create(name="S", monthly_price=1))
        MemberFlowEvent.objects.all().delete()
        assert self.swept() == "3 trackers swept, 1 missing move found"
        assert self.swept() == "nothing to sweep"

    def test_one_that_was_interrupted_goes_on_at_once(self) -> None:
        Sweep.objects.filter(tracker="membership.member").update(started_at=F("completed_at"), cursor="5")
        assert self.swept() == "1 tracker swept, no missing moves found"

    def test_what_is_not_captured_by_triggers_every_time(self) -> None:
        mine = Registry()
        soon = Stock("soon", "Soon", Item.objects.filter(moment__gt=Now()))
        mine.register(ModelTracker(stocks=[soon], event_model=ItemFlowEvent, slug="clock"))
        assert builtin._sweep(mine) == "1 tracker swept, no missing moves found"
        Item.objects.create(moment=timezone.now() + HOUR)
        assert builtin._sweep(mine) == "1 tracker swept, 1 missing move found"
        assert builtin._sweep(mine) == "1 tracker swept, no missing moves found"

    def test_what_was_missed_is_found_before_it_is_recorded(self, schedule: Schedule) -> None:
        plan = Plan.objects.create(name="Solo", monthly_price=9)
        Member.objects.create(name="Ada", email="a@example.org", plan=plan)
        MemberFlowEvent.objects.all().delete()
        Sweep.objects.update(completed_at=None)
        run(schedule, now=AT)
        event = MemberFlowEvent.objects.get()
        assert (event.origin, event.sink) == (Origin.SWEEP, "trial")
        assert event.timestamp < StockRecord.objects.filter(stock="trial").latest().timestamp
        assert FlowRecord.objects.get(flow="signing-up", source="*", grain="day").count == 1
