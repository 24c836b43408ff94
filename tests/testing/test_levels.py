"""Stocks grow by what a test expects, and their flows explain it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from example.membership.stocksandflows import active, trial
from stockandflow import recording
from stockandflow.declarations import Process, Stock
from stockandflow.exceptions import InvalidInput, UnknownSlug
from stockandflow.models import Origin
from stockandflow.registry import Registry, registry
from stockandflow.testing import assert_balanced, assert_stock_delta

pytestmark = pytest.mark.django_db


def member(status: Status = Status.TRIAL) -> Member:
    plan, _ = Plan.objects.get_or_create(name="Basic", defaults={"monthly_price": 9})
    return Member.objects.create(name="Ada", plan=plan, status=status)


def behind_everybodys_back(number: int = 1) -> list[int]:
    """Members become active, and the events of it are lost; their keys."""
    keys = [member(Status.ACTIVE).pk for _ in range(number)]
    MemberFlowEvent.objects.filter(subject__in=keys).delete()
    return keys


def test_stocks_change_by_what_is_expected(django_assert_num_queries: Any) -> None:
    member(), member()
    with django_assert_num_queries(3), assert_stock_delta({trial: -2, "active": +2, "paused": 0}):
        Member.objects.convert()


def test_a_stock_that_isnt_registered_can_be_asked() -> None:
    everybody = Stock("everybody", "Everybody", Member.objects.all())
    with assert_stock_delta({everybody: 1}):
        member()


def test_a_failure_shows_each_stock_that_changed_otherwise() -> None:
    member(), member()
    with pytest.raises(AssertionError) as caught, assert_stock_delta({trial: -1, "active": 2, "paused": +1}):
        Member.objects.convert()
    assert str(caught.value).splitlines() == [
        "The stocks didn't change as expected.",
        "  trial: expected -1, got -2 (from 2 to 0)",
        "  paused: expected +1, got +0 (from 0 to 0)",
    ]


def test_a_slug_or_a_change_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownSlug, match="Did you mean 'active'"), assert_stock_delta({"actve": 1}):
        raise AssertionError("entered")
    with pytest.raises(InvalidInput, match=r"change by 1\.5"), assert_stock_delta({active: 1.5}):  # type: ignore[dict-item]
        raise AssertionError("entered")


def test_captured_moves_balance_whatever_their_timestamps_say() -> None:
    member()
    with assert_balanced("membership"):
        Member.objects.convert()
        member().delete()
        MemberFlowEvent.objects.update(timestamp=timezone.now() - timedelta(days=9))


def test_what_was_there_before_and_what_is_imported_is_no_move() -> None:
    member()
    with assert_balanced("membership"):
        for origin in (Origin.INITIAL, Origin.IMPORT):
            MemberFlowEvent.objects.create(
                subject_id=1,
                sink="trial",
                origin=origin,
                timestamp=timezone.now(),
                recorded_at=timezone.now(),
            )


def test_a_change_without_an_event_is_told_with_the_levels() -> None:
    member()
    with pytest.raises(AssertionError) as caught, assert_balanced(registry.process("membership")):
        Member.objects.convert()
        lost = behind_everybodys_back(2)
    assert str(caught.value).splitlines() == [
        "The process 'membership' doesn't add up: its stocks changed without events.",
        "          opening       in      out  unexplained  closing",
        "  active        0       +1        0           +2        3",
        "Their last events led elsewhere:",
        *(f"  <Member {key}: Ada>: event to outside, now in active" for key in lost),
    ]


def test_an_object_that_is_gone_without_an_event_is_named_and_a_long_list_is_cut() -> None:
    keys = [member().pk for _ in range(22)]
    with pytest.raises(AssertionError) as caught, assert_balanced("membership"):
        Member.objects.all().delete()
        MemberFlowEvent.objects.filter(sink="").delete()
    lines = str(caught.value).splitlines()
    assert lines[4] == f"  <Member {keys[0]}, deleted>: event to trial, now outside"
    assert lines[-1] == "  and 2 more: event to trial, now outside"


def test_an_error_inside_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), assert_balanced("membership"):
        behind_everybodys_back()
        raise ZeroDivisionError


def test_a_balance_that_was_never_entered_warns_that_it_checked_nothing() -> None:
    with pytest.warns(RuntimeWarning, match="write 'with assert_balanced\\('membership'\\):'"):
        assert_balanced("membership")


def test_since_an_instant_the_records_tell() -> None:
    since = timezone.now()
    recording.record(registry)
    member()
    Member.objects.convert()
    assert_balanced("membership", since=since)
    behind_everybodys_back()
    with pytest.raises(AssertionError, match=r"\n  active +0 +\+1 +0 +\+1 +2\n"):
        assert_balanced("membership", since=since)


def test_without_a_record_there_is_nothing_to_compare_with() -> None:
    with pytest.raises(InvalidInput, match=r"No count of 'trial', .* is stored"):
        assert_balanced("membership", since=timezone.now() - timedelta(days=1))
    recording.record(registry)
    with pytest.raises(InvalidInput, match="naive"):
        assert_balanced("membership", since=datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_process_that_nothing_could_explain_is_refused() -> None:
    counted = Stock("counted", "Counted", Member.objects.all())
    alone = Registry()
    alone.register(process := Process("counting", "Counting", [counted]))
    with pytest.raises(InvalidInput, match="no stock that a tracker watches"):
        assert_balanced(process, registry=alone)
    with pytest.raises(UnknownSlug, match="Did you mean 'membership'"):
        assert_balanced("membrship")
