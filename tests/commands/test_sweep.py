"""``stockandflow sweep`` tells what was missed and writes it, for people and for programs."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import capture
from stockandflow.models import Sweep
from stockandflow.registry import registry

pytestmark = pytest.mark.django_db


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def swept(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command("stockandflow", "sweep", *arguments, stdout=out, stderr=StringIO(), no_color=True, **options)
    return out.getvalue()


def audited(*arguments: str) -> tuple[str, int]:
    """What an audit says, and the code that it ends with."""
    out = StringIO()
    try:
        call_command(
            "stockandflow", "sweep", "--dry-run", *arguments, stdout=out, stderr=StringIO(), no_color=True
        )
    except SystemExit as end:
        return out.getvalue(), int(end.code or 0)
    return out.getvalue(), 0


@pytest.fixture
def missed() -> list[Member]:
    """Seven members of whose conversion nothing is known."""
    capture.repair(registry)
    plan = Plan.objects.create(name="Solo", monthly_price=9)
    for index in range(7):
        Member.objects.create(name=f"m{index}", email="m@example.org", plan=plan)
    Member.objects.update(status=Status.ACTIVE)
    MemberFlowEvent.objects.filter(sink="active").delete()
    return list(Member.objects.order_by("pk"))


def test_an_audit_names_the_objects_writes_nothing_and_ends_with_one(missed: list[Member]) -> None:
    before = MemberFlowEvent.objects.count()
    first = ", ".join(f"{member.pk} {member}" for member in missed[:5])
    said, code = audited("--tracker", "membership.member")
    assert said.splitlines() == [
        "membership.member on default: 7 moves missing.",
        "  from Trial to Active (Converting): 7",
        f"    {first}, and 2 more",
        "Nothing was written. 'manage.py stockandflow sweep' writes the 7 missing moves.",
    ]
    assert code == 1
    assert MemberFlowEvent.objects.count() == before


def test_a_sweep_writes_and_then_all_is_in_order(missed: list[Member]) -> None:
    lines = swept().splitlines()
    assert lines[:2] == [
        "membership.member on default: 7 missing moves written.",
        "  from Trial to Active (Converting): 7",
    ]
    assert "support.escalation on default: left out, since it has no stocks" in "".join(lines)
    assert swept(trackers=["membership.member"]) == "membership.member on default: all in order.\n"
    said, code = audited("--tracker", "membership.member")
    assert (said, code) == ("membership.member on default: all in order.\n", 0)


def test_the_first_sweep_says_that_it_opened_the_tracker(missed: list[Member]) -> None:
    MemberFlowEvent.objects.all().delete()
    Sweep.objects.all().delete()
    said, _ = audited("--tracker", "membership.member")
    assert "it isn't opened yet, so objects without events are its opening balance" in said
    said = swept("--tracker", "membership.member")
    assert said.startswith("membership.member on default: opened with 7 objects.\n")


def test_json_for_other_programs(missed: list[Member]) -> None:
    said, code = audited("--format", "json", "--names", "1", "--chunk", "3")
    member = json.loads(said)[0]
    assert code == 1
    assert member["missing"] == [
        {
            "flow": "converting",
            "source": "trial",
            "sink": "active",
            "count": 7,
            "objects": [{"key": str(missed[0].pk), "name": str(missed[0])}],
        }
    ]
    member, *_, lead = json.loads(swept("--format", "json"))
    assert member["moves"] == [{"flow": "converting", "source": "trial", "sink": "active", "count": 7}]
    assert (lead["tracker"], lead["moves"], lead["opened"], lead["left_out"]) == ("leads.lead", [], False, "")


def test_moves_missed_before_later_ones_are_told_with_the_instants_of_both_events(
    missed: list[Member],
) -> None:
    events = MemberFlowEvent.objects.filter(tracker="membership.member", subject_id=missed[0].pk)
    at = timezone.now().replace(microsecond=0)
    for later, minutes in enumerate((1, 1, 3), 1):
        MemberFlowEvent.objects.create(
            tracker="membership.member",
            subject_id=missed[0].pk,
            source="churned" if later < 3 else "trial",
            sink="trial" if later < 3 else "active",
            timestamp=at + timedelta(minutes=minutes),
            recorded_at=at,
        )
    first = events.earliest().timestamp
    said, code = audited("--tracker", "membership.member", "--names", "1")
    lines = said.splitlines()
    assert lines[0] == "membership.member on default: 8 moves missing."
    assert code == 1
    place = lines.index(next(line for line in lines if "before a later event" in line))
    assert lines[place].startswith("  from Trial to Churned (")
    assert lines[place].endswith("), before a later event: 2")
    assert lines[place + 1 : place + 4] == [
        f"    {missed[0].pk} {missed[0]}, after {first} and before {at + timedelta(minutes=1)}",
        "    and 1 more",
        "    no sweep writes 1 of them: no instant is left between the two events",
    ]
    assert lines[-1] == "Nothing was written. 'manage.py stockandflow sweep' writes the 7 missing moves."
    skipped = json.loads(audited("--format", "json", "--tracker", "membership.member")[0])[0]["skipped"][0]
    assert (skipped["source"], skipped["sink"], skipped["count"], skipped["without_room"]) == (
        "trial",
        "churned",
        2,
        1,
    )
    assert skipped["objects"][0]["since"] == str(first)


def test_progress_goes_to_a_terminal_alone(missed: list[Member]) -> None:
    err = Terminal()
    call_command("stockandflow", "sweep", chunk=4, stdout=StringIO(), stderr=err)
    assert "\rmembership.member: 8 looked at, 7 missing moves" in err.getvalue()


def test_quiet_says_nothing(missed: list[Member]) -> None:
    assert swept(verbosity=0) == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tracker", "membership.membre"], "membership.membre"),
        (["--database", "nope"], "There is no database 'nope'"),
        (["--chunk", "0"], "chunk is 0"),
        (["--dry-run", "--chunk", "-1"], "chunk is -1"),
        (["--dry-run", "--names", "-1"], "names is -1; give how many"),
    ],
)
def test_what_can_not_be_is_told(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        swept(*arguments)
