"""``stockandflow prune`` says what it would delete, asks, and deletes it."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from example.membership.models import MemberFlowEvent
from stockandflow.models import StockRecord
from stockandflow.periodic import Schedule, built_in, builtin, run
from stockandflow.registry import registry

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def counts(settings: Any) -> None:
    """Four counts of one day long ago, and ages by which three of them go."""
    settings.STOCKANDFLOW = {"RETENTION": {"stock_records": {"day": 30 * DAY}}}
    noon = (timezone.now() - 90 * DAY).replace(hour=12)
    StockRecord.objects.bulk_create(
        StockRecord(stock="active", timestamp=noon + n * timedelta(minutes=1), count=n) for n in range(4)
    )


@pytest.fixture
def old_event(settings: Any) -> None:
    """An event that should go, and whose day isn't recorded."""
    settings.STOCKANDFLOW = {"RETENTION": {"events": 30 * DAY}}
    for days, sink in ((900, "trial"), (899, "active")):
        at = timezone.now() - days * DAY
        MemberFlowEvent.objects.create(
            tracker="membership.member", subject_id=1, sink=sink, timestamp=at, recorded_at=at
        )


def prune(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("stockandflow", "prune", *arguments, stdout=out, stderr=err)
    except SystemExit as ended:
        return out.getvalue(), f"{err.getvalue()}{ended.code}"
    return out.getvalue(), err.getvalue()


def answered(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    def ask(_: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", ask)


def test_a_dry_run_only_tells() -> None:
    assert prune("--dry-run") == ("Would delete 3 counts.\n", "")
    assert StockRecord.objects.count() == 4


@pytest.mark.parametrize(("answer", "left"), [("yes", 1), ("y", 4), ("", 4), (None, 4)])
def test_it_asks_before_it_deletes(monkeypatch: pytest.MonkeyPatch, answer: str | None, left: int) -> None:
    answered(monkeypatch, answer)
    done = "Deleted 3 counts." if left == 1 else "Nothing was deleted."

    assert prune() == (f"Would delete 3 counts.\n{done}\n", "")
    assert StockRecord.objects.count() == left


def test_with_noinput_it_deletes_at_once() -> None:
    assert prune("--noinput") == ("Deleted 3 counts.\n", "")
    assert StockRecord.objects.get().count == 3
    assert prune("--noinput", "--verbosity", "0") == ("", "")
    assert prune("--noinput") == ("Deleted nothing.\n", "")


def test_it_does_not_ask_where_there_is_nothing_to_delete() -> None:
    StockRecord.objects.all().delete()
    assert prune() == ("Would delete nothing.\nNothing was deleted.\n", "")


def test_without_the_setting_there_is_nothing_to_do(settings: Any) -> None:
    settings.STOCKANDFLOW = {}
    assert prune()[0] == "Nothing to do: the setting STOCKANDFLOW['RETENTION'] names no ages.\n"


def test_a_setting_that_cannot_be_used_is_told(settings: Any) -> None:
    settings.STOCKANDFLOW = {"RETENTION": {"events": 900}}
    with pytest.raises(CommandError, match=r"RETENTION\['events'\] is 900; write a timedelta"):
        prune()


@pytest.mark.usefixtures("old_event")
@pytest.mark.parametrize("argument", ["--dry-run", "--noinput"])
def test_events_that_are_kept_are_told_with_the_reason(argument: str) -> None:
    said, told = prune(argument)

    assert said.endswith("delete nothing.\n") or said == "Deleted nothing.\n"
    assert told.startswith(
        "The events of membership.memberflowevent are kept:\n  some of its events aren't in "
    )
    assert told.endswith("\n1"), "the exit code"
    assert MemberFlowEvent.objects.count() == 2


@pytest.mark.usefixtures("old_event")
def test_the_schedule_prunes_once_a_day_and_tells_what_it_kept() -> None:
    schedule = Schedule()
    built_in(schedule, registry)
    (result,) = run(schedule, only=[builtin.PRUNE]).results
    assert result.message.startswith(
        "nothing deleted. the events of membership.memberflowevent are kept: some of"
    )
