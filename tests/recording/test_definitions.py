"""Each recording notes what the numbers that it keeps mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow import recording
from stockandflow.declarations import Facet, Flow, ModelTracker, Process, Stock
from stockandflow.models import Break, Definition
from stockandflow.periods import Calendar
from stockandflow.recording.definitions import meanings
from stockandflow.registry import Registry
from stockandflow.registry import registry as project_registry

pytestmark = pytest.mark.django_db

TRIAL = "SELECT membership_member.id FROM membership_member WHERE membership_member.status = 'trial'"
SECOND = timedelta(seconds=1)


def plan(values: Any = None) -> Facet:
    return Facet("plan", "Plan", "plan__name", values)


def declared(
    *, status: str = "trial", facets: Any = (), sources: Any = (None,), zone: str = "UTC", name: str = "Trial"
) -> Registry:
    """A stock, a flow and a process."""
    stock = Stock("trial", name, Member.objects.filter(status=status), facets=facets)
    flow = Flow("coming", name, MemberFlowEvent, list(sources), [stock], facets=facets)
    made = Registry()
    made.register(
        ModelTracker(slug="one", stocks=[stock], flows=[flow]),
        Process("members", name, [stock], calendar=Calendar(zone)),
    )
    return made


def test_the_first_recording_notes_what_everything_means() -> None:
    made = recording.record(project_registry)

    assert set(Definition.objects.values_list("since", flat=True)) == {made.at}
    assert set(Definition.objects.values_list("kind", "slug")) == {
        *(("stock", stock.slug) for stock in project_registry.stocks),
        *(("flow", flow.slug) for flow in project_registry.flows),
        *(("calendar", process.slug) for process in project_registry.processes),
    }


def test_a_recording_of_what_is_known_notes_nothing_and_asks_once(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        recording.note_definitions(project_registry, timezone.now())
    with django_assert_num_queries(1):
        assert recording.note_definitions(project_registry, timezone.now() + SECOND) == []


def test_the_texts_say_what_is_meant() -> None:
    made = declared(facets=[plan(["Pro", "Basic"])], sources=[None, "lead"])
    assert [(one.kind, one.slug, one.text.splitlines()) for one in meanings(made)] == [
        (
            "stock",
            "trial",
            [
                f"membership.Member: {TRIAL}",
                "by plan: plan__name of 'Basic', 'Pro'",
            ],
        ),
        (
            "flow",
            "coming",
            ["moves of membership.MemberFlowEvent", "from lead, outside", "to trial", "by plan: plan__name"],
        ),
        ("calendar", "members", ["UTC 0 1"]),
    ]


@pytest.mark.parametrize(
    ("changed", "kinds"),
    [
        (lambda: declared(status="active"), {"stock"}),
        (lambda: declared(facets=[plan()]), {"stock", "flow"}),
        (lambda: declared(sources=[None, "lead"]), {"flow"}),
        (lambda: declared(zone="Asia/Tokyo"), {"calendar"}),
        (lambda: declared(name="On trial"), set()),
        (declared, set()),
    ],
)
def test_what_means_something_else_is_noted_anew(changed: Callable[[], Registry], kinds: set[str]) -> None:
    recording.note_definitions(declared(), timezone.now())
    noted = recording.note_definitions(changed(), timezone.now() + SECOND)

    assert {one.kind for one in noted} == kinds
    assert {old.kind for old, _ in recording.changed_definitions(declared())} == kinds


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        (["Pro", "Basic"], ["Basic", "Pro"], False),
        ({"Professional": "Pro"}, ["Pro"], False),
        (["Pro"], ["Pro", "Basic"], True),
        (["Pro"], None, True),
    ],
)
def test_declared_values_are_part_of_a_stocks_meaning(before: Any, after: Any, differs: bool) -> None:
    recording.note_definitions(declared(facets=[plan(before)]), timezone.now())
    noted = recording.note_definitions(declared(facets=[plan(after)]), timezone.now() + SECOND)

    assert [one.kind for one in noted] == (["stock"] if differs else [])


def test_values_from_a_queryset_change_without_a_change_of_meaning() -> None:
    made = declared(facets=[plan(Plan.objects.values_list("name", flat=True))])
    recording.note_definitions(made, timezone.now())
    Plan.objects.create(name="Pro", monthly_price=9)

    assert recording.note_definitions(made, timezone.now() + SECOND) == []


def test_breaks_are_the_changes_within_a_range_with_both_texts() -> None:
    at = timezone.now() - timedelta(days=9)
    instants = [at + n * timedelta(days=1) for n in range(5)]
    for instant, status in zip(instants, ["trial", "active", "active", "trial", "paused"], strict=True):
        recording.note_definitions(declared(status=status), instant)

    def breaks(since: int, until: int) -> list[tuple[int, str, str]]:
        found = Definition.breaks("stock", "trial", at + since * SECOND * 86400, at + until * SECOND * 86400)
        assert all(isinstance(one, Break) for one in found)
        return [(instants.index(one.at), one.old.split("'")[1], one.new.split("'")[1]) for one in found]

    assert breaks(-1, 9) == [(1, "trial", "active"), (3, "active", "trial"), (4, "trial", "paused")]
    assert breaks(1, 4) == [(3, "active", "trial")]
    assert Definition.breaks("flow", "coming", at, timezone.now()) == []


def test_one_break_is_told_once_however_many_recordings_noted_it() -> None:
    at = timezone.now()
    recording.note_definitions(declared(), at)
    (noted,) = recording.note_definitions(declared(status="active"), at + SECOND)
    Definition.objects.create(
        kind="stock", slug="trial", since=at + 2 * SECOND, digest=noted.digest, text=noted.text
    )

    (found,) = Definition.breaks("stock", "trial", at, at + 9 * SECOND)
    assert found.at == at + SECOND


def test_which_way_is_better_is_no_part_of_the_meaning() -> None:
    stock = Stock(slug="some", name="Some", queryset=Member.objects.all())
    one, other = Registry(), Registry()
    one.register(Process("p", "P", [stock], flows=[]))
    other.register(Process("p", "P", [replace(stock, better="down")], flows=[]))
    assert list(meanings(one)) == list(meanings(other))
