"""Decay: who has stood in a stock for long enough moves on, once, with the event to show for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from example.leads.models import Lead, LeadFlowEvent, Status
from stockandflow import periodic
from stockandflow.automation import Decay
from stockandflow.automation import decay as room
from stockandflow.declarations import Stock
from stockandflow.exceptions import DeclarationError, InvalidInput, NotRegistered
from stockandflow.models.clock import database_now
from stockandflow.periodic import Schedule, State, run
from stockandflow.registry import Registry, registry
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def lead(silent_for: timedelta, status: str = Status.HOT) -> Lead:
    since = timezone.now() - silent_for
    return Lead.objects.create(name="Jay", email="j@example.org", status=status, last_contact_at=since)


def cooling(change: Any = None, **fields: Any) -> Decay:
    given: dict[str, Any] = {
        "after": 4 * DAY,
        "change": change or {"status": Status.WARM},
        "since": "last_contact_at",
        **fields,
    }
    return Decay(registry.stock("lead-hot"), **given)


def moves() -> list[tuple[int, str, str]]:
    found = LeadFlowEvent.objects.exclude(source="").order_by("id")
    return list(found.values_list("subject_id", "source", "sink"))


def test_those_move_whose_field_says_that_it_is_time() -> None:
    old, young, won = lead(5 * DAY), lead(3 * DAY), lead(5 * DAY, Status.WON)
    assert list(cooling().due()) == [old]
    assert cooling()() == "1 moved"
    assert [one.status for one in Lead.objects.order_by("id")] == [Status.WARM, Status.HOT, Status.WON]
    assert moves() == [(old.pk, "lead-hot", "lead-warm")]
    assert cooling()() == "0 moved"
    assert {young.pk, won.pk} == set(Lead.objects.exclude(pk=old.pk).values_list("pk", flat=True))


def test_without_a_field_the_time_counts_from_the_last_event_into_the_stock() -> None:
    stays, came, left = lead(9 * DAY), lead(9 * DAY), lead(9 * DAY)
    events = LeadFlowEvent.objects.filter(sink="lead-hot")
    events.filter(subject=came).update(timestamp=timezone.now() - 5 * DAY)
    events.filter(subject=left).update(timestamp=timezone.now() - 9 * DAY)
    Lead.objects.filter(pk=left.pk).update(status=Status.COLD)
    Lead.objects.filter(pk=left.pk).update(status=Status.HOT)
    assert list(cooling(since=None).due()) == [came]
    assert cooling(since=None)() == "1 moved"
    assert set(registry.stock("lead-hot").all()) == {stays, left}


def test_a_change_may_count_and_ask_the_clock_and_each_object_is_changed_once_a_run() -> None:
    lead(5 * DAY)
    decay = cooling({"last_contact_at": F("last_contact_at") + timedelta(hours=1), "name": lambda: "Kay"})
    assert [decay() for _ in range(2)] == ["1 moved", "1 moved"]
    one = Lead.objects.get()
    assert one.name == "Kay"
    assert 5 * DAY - timedelta(hours=3) < timezone.now() - one.last_contact_at < 5 * DAY - timedelta(hours=1)


def test_many_are_moved_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BATCH", 3)
    for _ in range(8):
        lead(5 * DAY)
    lead(3 * DAY)
    assert cooling()() == "8 moved"
    assert len(moves()) == 8


def test_queries_grow_with_batches_and_not_with_objects(django_assert_num_queries: Any) -> None:
    for _ in range(20):
        lead(5 * DAY)
    locking = 1 if connection.features.has_select_for_update else 0
    with django_assert_num_queries(7 + locking):  # now, next, begin, lock, still, update, end, next
        cooling()()


def test_a_function_gets_each_object_and_one_that_fails_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, poison, last = (lead(5 * DAY) for _ in range(3))

    def cool(one: Lead) -> None:
        one.status = Status.WARM
        one.save()
        if one == poison:
            raise RuntimeError("it stays hot")

    with pytest.raises(RuntimeError, match="2 moved, 1 failed"):
        cooling(cool)()
    assert "it stays hot" in caplog.text
    assert [subject for subject, *_ in moves()] == [first.pk, last.pk]
    assert Lead.objects.get(pk=poison.pk).status == Status.HOT


def test_the_schedule_runs_it_under_its_own_name_and_not_in_one_transaction() -> None:
    lead(5 * DAY)
    schedule = Schedule()
    entry = schedule.register(periodic.DAILY, cooling())
    assert (entry.name, entry.atomic) == ("lead-hot.decay", False)
    (result,) = run(schedule).results
    assert (result.state, result.message) == (State.DONE, "1 moved")
    atomic = schedule.register(periodic.DAILY, cooling(), name="in one", atomic=True)
    assert atomic.atomic
    lead(5 * DAY)
    assert [one.message for one in run(schedule, only=["in one"]).results] == ["1 moved"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"after": timedelta()}, r"'lead-hot' has after=.*; write a timedelta above zero"),
        ({"after": 4}, "has after=4; write a timedelta"),
        ({"change": {}}, r"changes nothing; write e\.g\. change=\{'status': 'warm'\}"),
        ({"change": "warm"}, "has the change 'warm'; write a dict of field → value, or a function"),
        ({"change": {"state": 1}}, r"names 'state', and leads\.Lead has no such field"),
        ({"since": "contacted_at"}, r"names 'contacted_at', and leads\.Lead has no such field"),
        ({"since": "name"}, "counts since 'name', which is no DateTimeField"),
    ],
)
def test_a_wrong_decay_is_told_where_it_is_built(fields: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {"after": DAY, "change": {"status": Status.WARM}} | fields
    with pytest.raises(DeclarationError, match=told):
        Decay(registry.stock("lead-hot"), **given)


def test_what_is_no_stock_is_told() -> None:
    with pytest.raises(DeclarationError, match="the stock 'lead-hot'; write a Stock"):
        Decay("lead-hot", DAY, {"status": "warm"})  # type: ignore[arg-type]


def test_without_events_or_a_field_there_is_no_telling_since_when() -> None:
    alone = Stock("alone", "Alone", Lead.objects.filter(status=Status.HOT))
    with pytest.raises(NotRegistered):
        Decay(alone, DAY, {"status": Status.WARM})()
    Registry().register(alone)
    with pytest.raises(InvalidInput, match=r"'alone' is in no tracker.*since='…', or put the stock into a"):
        Decay(alone, DAY, {"status": Status.WARM})()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("by_function", [False, True])
def test_two_decays_and_a_users_save_race_for_one_object_and_it_takes_one_step(by_function: bool) -> None:
    def cool(one: Lead) -> None:
        one.status = Status.WARM
        one.save(update_fields=["status"])

    decay = cooling(cool if by_function else None)
    for _ in range(10):
        one = lead(5 * DAY)
        kept = Lead.objects.get(pk=one.pk)

        def save(kept: Lead = kept) -> None:
            kept.name = "Kay"
            kept.save(update_fields=["name"])

        side_by_side(decay, decay, save)
        assert Lead.objects.values_list("name", "status").get(pk=one.pk) == ("Kay", Status.WARM)
    assert [(source, sink) for _, source, sink in moves()] == [("lead-hot", "lead-warm")] * 10


@pytest.mark.django_db(transaction=True)
def test_who_was_contacted_meanwhile_stays_hot() -> None:
    for _ in range(10):
        one = lead(5 * DAY)
        kept = Lead.objects.get(pk=one.pk)
        side_by_side(cooling(), kept.contact)
        now = Lead.objects.get(pk=one.pk)
        assert now.status == Status.HOT
        assert now.last_contact_at > database_now("default") - DAY
