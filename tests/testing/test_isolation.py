"""What a test declares for itself is captured inside, and gone afterwards with everything that it brought."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.test import SimpleTestCase

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import capture, periodic
from stockandflow.checks import check_declarations
from stockandflow.declarations import Flow, ModelTracker, Stock
from stockandflow.exceptions import DeclarationError, InvalidInput
from stockandflow.periodic import schedule
from stockandflow.registry import registry
from stockandflow.testing import isolated_registry
from tests.testapp.models import Item, ItemFlowEvent

commits_for_triggers = pytest.mark.skipif(
    connection.vendor == "mysql", reason="MariaDB commits when triggers change; see the test of its refusal"
)


def wiring() -> Any:
    """Everything that a declaration can change outside the database."""
    receivers = [sorted(map(repr, (one[0] for one in signal.receivers))) for signal in SIGNALS]
    lists = registry.stocks, registry.flows, registry.trackers, registry.processes
    return [list(one) for one in lists], schedule.entries, list(registry._listeners), receivers


SIGNALS = pre_save, post_save, pre_delete, post_delete


@pytest.fixture
def unchanged() -> Iterator[None]:
    before = wiring()
    yield
    assert wiring() == before


def items(function: bool = False) -> ModelTracker:
    """Items with a text, by their queryset or by a function."""
    named = Stock("named", "Named", Item.objects.exclude(text=None))
    flows = [
        Flow("naming", "Naming", ItemFlowEvent, [None], [named], event_callables=[lambda *_: None]),
        Flow("forgetting", "Forgetting", ItemFlowEvent, [named], [None]),
    ]
    if not function:
        return ModelTracker(stocks=[named], flows=flows)

    def states(before: Any, now: Any) -> Any:
        return (named if before and before[0] else None,), (named if now[0] else None,)

    return ModelTracker(["text"], states, [named], flows)


class TestWithoutADatabase(SimpleTestCase):
    def test_the_registry_is_empty_inside_and_the_schedule_has_the_packages_own_entries(self) -> None:
        with isolated_registry() as inside:
            assert inside is registry
            held = inside.stocks, inside.flows, inside.trackers, inside.processes
            assert held == ([], [], [], [])
            assert [entry.name for entry in schedule.entries] == [
                "stockandflow.sweep",
                "stockandflow.record",
                "stockandflow.deliver",
                "stockandflow.prune",
            ]

    @isolated_registry(copy=True)
    def test_a_copy_starts_with_what_the_project_declares(self) -> None:
        assert registry.process("membership") in registry.processes
        assert any("erase_long_gone" in entry.name for entry in schedule.entries)

    def test_what_is_declared_inside_is_checked_by_itself(self) -> None:
        with isolated_registry() as inside:
            inside.register(items())
            assert not check_declarations()
            inside.register(items())
            assert {message.id for message in check_declarations()} >= {"stockandflow.E001"}


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("function", [False, True])
def test_nothing_of_it_is_left_afterwards(copy: bool, function: bool, unchanged: None) -> None:
    with isolated_registry(copy=copy) as inside:
        tracker = items(function)
        inside.register(tracker)
        inside.on_tracker(lambda _: None)
        periodic.schedule.register(periodic.DAILY, items)
        named = tracker.stocks[0]
        assert named.registry is registry
    assert not named.is_registered


def test_nothing_of_it_is_left_after_an_error(unchanged: None) -> None:
    @isolated_registry()
    def declare() -> None:
        registry.register(items(function=True))
        registry.register(Stock("bad slug", "", Item.objects.all()))

    with pytest.raises(DeclarationError):
        declare()


def test_blocks_stand_within_each_other(unchanged: None) -> None:
    with isolated_registry() as inside:
        outer = items(function=True)
        inside.register(outer)
        with isolated_registry() as inner:
            inner.register(items(function=True))
        assert registry.trackers == [outer]


@pytest.mark.parametrize("databases", ["default", ["nowhere"]])
def test_a_database_that_is_none_is_refused_with_those_that_are(databases: Any) -> None:
    with (
        pytest.raises(InvalidInput, match="write a list of aliases, some of 'default'"),
        isolated_registry(databases=databases),
    ):
        raise AssertionError("entered")


@pytest.mark.django_db
def test_a_function_tracker_is_captured_inside_and_no_longer_afterwards(unchanged: None) -> None:
    with isolated_registry() as inside:
        inside.register(items(function=True))
        Item.objects.create(text="a")
        assert ItemFlowEvent.objects.count() == 1
    Item.objects.create(text="b")
    assert ItemFlowEvent.objects.count() == 1


def member() -> Member:
    plan, _ = Plan.objects.get_or_create(name="Basic", defaults={"monthly_price": 9})
    return Member.objects.create(name="Ada", plan=plan, status=Status.TRIAL)


def _captures_what_is_declared() -> None:
    before = sorted(capture.status(registry, "default"), key=lambda state: state.tracker.slug)
    assert all(not state.missing for state in before)
    with isolated_registry(databases=["default"]) as inside:
        inside.register(items())
        Item.objects.bulk_create([Item(text="a"), Item(text="b"), Item()])
        assert ItemFlowEvent.objects.filter(flow="naming").count() == 2
        member()
        assert not MemberFlowEvent.objects.exists()  # the project's own are out
    Item.objects.create(text="c")
    assert ItemFlowEvent.objects.count() == 2
    member()
    assert MemberFlowEvent.objects.count() == 1
    assert all(not state.missing for state in capture.status(registry, "default"))


@commits_for_triggers
@pytest.mark.django_db
def test_triggers_follow_the_registry_within_a_tests_transaction(unchanged: None) -> None:
    member().delete()  # PostgreSQL has deferred constraints waiting for the table
    MemberFlowEvent.objects.all().delete()
    _captures_what_is_declared()


@pytest.mark.django_db(transaction=True)
def test_triggers_follow_the_registry_where_the_test_commits(unchanged: None) -> None:
    _captures_what_is_declared()


@commits_for_triggers
@pytest.mark.django_db
def test_an_error_of_the_database_inside_isnt_hidden_by_putting_triggers_back(unchanged: None) -> None:
    @isolated_registry(databases=["default"])
    def fail() -> None:
        with transaction.atomic():
            transaction.set_rollback(True)
        transaction.set_rollback(True)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        fail()
    member()
    assert MemberFlowEvent.objects.count() == 1


@pytest.mark.skipif(connection.vendor != "mysql", reason="other databases roll triggers back")
@pytest.mark.django_db
def test_mariadb_refuses_within_a_transaction_rather_than_commit_it(unchanged: None) -> None:
    member()
    with pytest.raises(InvalidInput, match="TransactionTestCase"), isolated_registry(databases=["default"]):
        raise AssertionError("entered")
    with (
        pytest.raises(InvalidInput, match="TransactionTestCase"),
        isolated_registry(copy=True, databases=["default"]) as inside,
    ):
        inside.register(items())
    assert Member.objects.count() == 1
    transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
def test_after_the_refusal_and_a_flush_nothing_is_left() -> None:
    assert not Member.objects.exists()
    call_command("flush", interactive=False, verbosity=0)
    member()
    assert MemberFlowEvent.objects.count() == 1
