"""Exactly the moves that a test expects happen, or it fails and says which."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import TestCase, TransactionTestCase

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from example.membership.stocksandflows import active, flows, trial
from example.support.models import Ticket
from stockandflow.exceptions import InvalidInput, UnknownSlug
from stockandflow.models import Origin
from stockandflow.registry import registry
from stockandflow.testing import assert_flows

signing_up, converting = flows[:2]


def member(status: Status = Status.TRIAL, name: str = "Ada") -> Member:
    plan, _ = Plan.objects.get_or_create(name="Basic", defaults={"monthly_price": 9})
    return Member.objects.create(name=name, plan=plan, status=status)


class TestInATestCase(TestCase):
    def test_moves_are_counted_by_flow_by_slug_and_by_route(self) -> None:
        ada = member()
        with assert_flows({converting: 1, "signing-up": 2, ("signing-up", None, trial): 2}):
            Member.objects.filter(pk=ada.pk).convert()
            Member.objects.bulk_create([Member(name="Bob", plan=ada.plan), Member(name="Cyd", plan=ada.plan)])

    @assert_flows({})
    def test_nothing_moves_where_nothing_is_expected(self) -> None:
        Member.objects.convert()

    def test_what_moved_before_doesnt_count(self) -> None:
        member()
        with assert_flows({signing_up: 0}):
            pass


class TestThatCommits(TransactionTestCase):
    """Between the two tests the database is emptied, and the capture stays."""

    def test_once(self) -> None:
        with assert_flows({signing_up: 1}):
            member()

    def test_and_again(self) -> None:
        with assert_flows({signing_up: 1}):
            member()


@pytest.mark.django_db
def test_a_failure_shows_what_was_expected_what_there_was_and_each_event_that_nobody_expected() -> None:
    ada, gone = member(), member(name="Bob")
    key = gone.pk
    with pytest.raises(AssertionError) as caught, assert_flows({converting: 2, (signing_up, None, trial): 1}):
        Member.objects.filter(pk=ada.pk).convert()
        Member.objects.filter(pk=ada.pk).update(status=Status.TRIAL)
        gone.delete()
        member(name="Cyd")
    assert str(caught.value).splitlines() == [
        "The moves aren't those expected.",
        "                               expected  got",
        "  converting                          2    1  differs",
        "  signing-up: outside → trial         1    1",
        "Nobody expected:",
        "  no flow: <Member: Ada>, active → trial",
        f"  lapsing: <Member {key}, deleted>, trial → outside",
    ]


@pytest.mark.django_db
def test_too_many_of_a_flow_are_listed_and_a_long_list_is_cut() -> None:
    with pytest.raises(AssertionError) as caught, assert_flows({signing_up: 1}):
        for number in range(22):
            member(name=f"Member {number}")
    assert "More than expected, among these:\n  signing-up: <Member: Member 0>, outside → trial" in str(
        caught.value
    )
    assert str(caught.value).endswith("<Member: Member 19>, outside → trial\n  and 2 more")


@pytest.mark.django_db
def test_a_move_of_any_model_counts_and_a_move_without_a_flow_can_be_expected() -> None:
    with (
        pytest.raises(AssertionError, match=r"Expected none, got 2\.\nNobody expected:\n  asking: <Ticket"),
        assert_flows({}),
    ):
        ada = member(Status.ACTIVE)
        Ticket.objects.create(title="Help", member=ada)
        MemberFlowEvent.objects.update(timestamp="2090-01-01T00:00Z")
    with assert_flows({None: 1}):
        ada.status = Status.TRIAL
        ada.save()
    with assert_flows({(None, active, trial): 1, (None, None, active): 1}):
        member(Status.ACTIVE)
        Member.objects.filter(pk=ada.pk).update(status=Status.ACTIVE)
        Member.objects.filter(pk=ada.pk).update(status=Status.TRIAL)
        MemberFlowEvent.objects.filter(source="trial").delete()


@pytest.mark.django_db
def test_an_opening_balance_is_no_move_and_another_origin_is_told() -> None:
    with assert_flows({}):
        member()
        MemberFlowEvent.objects.update(origin=Origin.INITIAL)
    with pytest.raises(AssertionError, match=r"outside → trial \(origin sweep\)"), assert_flows({}):
        member()
        MemberFlowEvent.objects.update(origin=Origin.SWEEP)


@pytest.mark.django_db
def test_an_error_inside_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), assert_flows({converting: 1}):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("expected", "error", "message"),
    [
        ({"convertng": 1}, UnknownSlug, "No flow has the slug 'convertng'. Did you mean 'converting'?"),
        (
            {(converting, "tial", "active"): 1},
            UnknownSlug,
            "No source or sink of the flow 'converting' has the slug 'tial'. Did you mean 'trial'?",
        ),
        ({(None, "pasued", None): 1}, UnknownSlug, "No stock has the slug 'pasued'. Did you mean 'paused'?"),
        (
            {(converting, active, trial): 1},
            InvalidInput,
            "The flow 'converting' never leads from 'active' to 'trial'; it leads from 'trial' to 'active'.",
        ),
        ({converting: -1}, InvalidInput, "expects -1 moves of <Flow converting>; write a whole number"),
        ({converting: True}, InvalidInput, "expects True moves"),
        ({(converting, active): 1}, InvalidInput, "write a flow or its slug, or (flow, source, sink)"),
        ({trial: 1}, InvalidInput, "got the key <Stock trial>"),
    ],
)
def test_a_key_or_a_number_that_cant_be_right_is_refused_at_once(
    expected: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)), assert_flows(expected):
        raise AssertionError("entered")


@pytest.mark.django_db
def test_it_asks_once_for_each_kind_of_event_before_and_after(django_assert_num_queries: Any) -> None:
    kinds = len(registry.event_models())
    with django_assert_num_queries(2 * kinds), assert_flows({converting: 0}):
        pass


def test_without_a_database_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="Database access not allowed"), assert_flows({}):
        raise AssertionError("entered")
