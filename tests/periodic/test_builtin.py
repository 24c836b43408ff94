"""The entries that every project has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from example.membership.models import Member, Plan, Status, WelcomeNote
from stockandflow.exceptions import DeclarationError
from stockandflow.models import FlowRecord, ScheduleRun, StockRecord
from stockandflow.periodic import Frequency, Schedule, State, built_in, builtin, run
from stockandflow.registry import Registry, registry

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


def test_recording_is_hourly_and_delivery_every_minute(schedule: Schedule) -> None:
    assert [(entry.name, str(entry.frequency)) for entry in schedule.entries] == [
        ("stockandflow.record", "hourly"),
        ("stockandflow.deliver", "minutely"),
    ]


def test_the_settings_retime_them_and_turn_them_off(settings: Any) -> None:
    settings.STOCKANDFLOW = {"RECORD_FREQUENCY": "daily", "DELIVER_FREQUENCY": "never"}
    schedule = Schedule()
    built_in(schedule, registry)
    assert [str(entry.frequency) for entry in schedule.entries] == ["daily", "never"]
    assert [entry.period(AT) is None for entry in schedule.entries] == [False, True]


@pytest.mark.parametrize("key", ["RECORD_FREQUENCY", "DELIVER_FREQUENCY"])
def test_a_setting_that_is_no_frequency_is_told(settings: Any, key: str) -> None:
    settings.STOCKANDFLOW = {key: "often"}
    with pytest.raises(DeclarationError, match=rf"STOCKANDFLOW\['{key}'\] is 'often'.*'never', 'minutely'"):
        built_in(Schedule(), registry)


@pytest.mark.django_db
@pytest.mark.usefixtures("members")
def test_every_period_is_recorded_and_delivered_once(schedule: Schedule) -> None:
    recorded, delivered = run(schedule, now=AT).results
    assert (recorded.state, delivered.state) == (State.DONE, State.DONE)
    assert recorded.message.startswith(f"{len(registry.stocks)} stocks with ")
    assert delivered.message == "1 delivered"
    assert StockRecord.objects.get(stock="active").count == 1
    assert FlowRecord.objects.get(flow="converting", source="*").count == 1
    assert WelcomeNote.objects.get().member.name == "Ada"
    run(schedule, now=AT)
    assert StockRecord.objects.filter(stock="active").count() == 1
    run(schedule, now=AT + HOUR)
    assert StockRecord.objects.filter(stock="active").count() == 2


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
        "0 stocks with 0 facet values, 0 flow records over 0 days",
        "nothing to deliver",
    ]
