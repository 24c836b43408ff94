"""``stockandflow sync`` puts missing triggers back, and says how each tracker is captured."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow.capture import status, suspended, uninstall
from stockandflow.models import Origin, Sweep
from stockandflow.registry import registry


def sync(**options: object) -> str:
    out = StringIO()
    call_command("stockandflow", "sync", stdout=out, **options)
    return out.getvalue()


@pytest.mark.django_db(transaction=True)  # MariaDB commits when triggers come and go
def test_missing_triggers_are_put_back() -> None:
    uninstall("default")
    assert any(state.missing for state in status(registry, "default"))

    said = sync()

    assert not any(state.missing for state in status(registry, "default"))
    assert "triggers made" in said
    assert "membership.member: captured by triggers." in said
    assert "support.escalation: captured by signals, since its states come from a Python function" in said


@pytest.mark.django_db(transaction=True)
def test_a_tracker_that_was_never_opened_is_opened() -> None:
    sync()
    Sweep.objects.filter(tracker="membership.member").delete()
    with suspended(registry, "default"):
        plan = Plan.objects.create(name="Basic", monthly_price=9)
        Member.objects.create(name="Ada", email="ada@example.org", plan=plan)

    assert "membership.member: opened, with 1 in its stocks." in sync()

    assert MemberFlowEvent.objects.get().origin == Origin.INITIAL
    assert "opened" not in sync()


@pytest.mark.django_db
def test_what_is_in_place_is_left_alone() -> None:
    assert "default: all triggers in place." in sync(database="default")


@pytest.mark.django_db
def test_quiet_says_nothing() -> None:
    assert sync(verbosity=0) == ""


@pytest.mark.django_db
def test_an_unknown_database_is_named_with_those_there_are() -> None:
    with pytest.raises(CommandError, match="There is no database 'nope'; DATABASES has 'default'"):
        sync(database="nope")
