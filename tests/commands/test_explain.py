"""``stockandflow explain`` says how stocks are defined and captured, what isn't seen, and what to do."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Count, Q
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import Member
from stockandflow import capture
from stockandflow.capture.methods import blind_spots
from stockandflow.declarations import ModelTracker, Stock
from stockandflow.models import Sweep
from stockandflow.registry import registry
from tests.capture.conftest import declared
from tests.capture.test_install import GONE, drop_one, stranger
from tests.capture.test_triggers import execute
from tests.testapp.models import Item, ItemFlowEvent

pytestmark = pytest.mark.django_db


def explain(*slugs: str, **options: Any) -> str:
    out = StringIO()
    call_command("stockandflow", "explain", *slugs, stdout=out, **options)
    return out.getvalue()


def document(*slugs: str) -> Any:
    return json.loads(explain(*slugs, format="json"))


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_tracker_is_explained_with_its_stocks() -> None:
    said = words(explain("membership.member"))

    assert "Watches membership.Member in the database 'default'." in said
    assert "Captured by triggers: the statement that changes a row also writes the event" in said
    assert "triggers in place." in said
    assert "past-due: members whose status is Past due" in said
    assert "status" in said.partition("SELECT")[2]
    assert "support.ticket" not in said


def test_before_and_after_the_first_sweep() -> None:
    Sweep.objects.all().delete()
    before, (told,) = words(explain("membership.member")), document("membership.member")["trackers"]
    assert "Not opened yet" in before
    assert (told["opened_at"], told["swept_at"]) == (None, None)
    assert told["to_do"] == ["Run 'manage.py stockandflow sweep'."]

    capture.repair(registry)
    assert "Not swept since." in words(explain("membership.member"))

    capture.repair(registry)
    after, (told,) = words(explain("membership.member")), document("membership.member")["trackers"]
    assert re.search(r"Opened \d+ \w+ \d{4}, \d\d:\d\d\. Last swept .*, with 0 missing moves found\.", after)
    assert "Nothing is to be done." in after
    assert told["opened_at"]
    assert told["swept_at"]
    assert told["to_do"] == []


def test_an_interrupted_sweep_is_told() -> None:
    capture.repair(registry)
    Sweep.objects.update(started_at=timezone.now())

    assert "hasn't ended." in words(explain("membership.member"))
    assert document("membership.member")["trackers"][0]["to_do"] == ["Run 'manage.py stockandflow sweep'."]


def test_what_is_not_seen_is_that_of_the_database() -> None:
    tracker = registry.tracker("membership.member")
    spots = blind_spots(tracker, capture.Method("triggers"), connection.vendor)

    assert document("membership.member")["trackers"][0]["blind_spots"] == list(spots)
    for spot in spots:
        assert spot in words(explain("membership.member"))


def test_a_stock_is_explained_alone_with_the_capture_of_its_tracker() -> None:
    (told,) = document("trial")["trackers"]

    assert told["slug"] == "membership.member"
    assert told["method"] == "triggers"
    assert [(stock["slug"], stock["definition"]) for stock in told["stocks"]] == [
        ("trial", "members whose status is Trial")
    ]
    assert "'trial'" in told["stocks"][0]["sql"]


def test_signals_are_explained_with_the_reason() -> None:
    said = words(explain("support.escalation"))

    assert "since its states come from a Python function" in said
    assert "SQL and other programs" in said
    assert "bulk writes" not in said  # its model has a TrackedQuerySet
    assert "other tables" not in said


def test_a_stock_that_has_the_slug_of_its_tracker_is_explained_once() -> None:
    one, other = (Stock(slug, slug, Item.objects.filter(text=slug)) for slug in ("small", "large"))
    with registry.set_aside():
        registry.register(ModelTracker(stocks=[one, other], event_model=ItemFlowEvent, slug="small"))
        (told,) = document("small")["trackers"]

    assert [stock["slug"] for stock in told["stocks"]] == ["small", "large"]


def test_what_time_alone_moves_is_left_to_the_schedule() -> None:
    due = Stock("due", "Due", Item.objects.filter(moment__lt=Now()))
    with registry.set_aside():
        registry.register(ModelTracker(stocks=[due], event_model=ItemFlowEvent))
        (told,) = document("due")["trackers"]

    assert "the passing of time" in told["blind_spots"]
    assert "changes of other tables' rows" not in told["blind_spots"]
    assert told["to_do"][-2:] == [
        "Have the schedule run often: its sweep writes the moves that time makes.",
        "Give the model 'objects = TrackedQuerySet.as_manager()', which captures bulk writes.",
    ]


@pytest.mark.parametrize(
    ("parts", "unseen"),
    [
        (Count("parts"), ["changes of other tables' rows"]),
        (
            Count("parts", filter=Q(moment__lt=Now())),
            ["changes of other tables' rows", "the passing of time"],
        ),
    ],
)
def test_of_time_is_spoken_only_where_a_stock_asks_for_it(parts: Count, unseen: list[str]) -> None:
    many = Stock("many", "Many", Item.objects.annotate(n=parts).filter(n__gt=1))
    with registry.set_aside():
        registry.register(ModelTracker(stocks=[many], event_model=ItemFlowEvent))
        (told,) = document("many")["trackers"]

    spots = ["changes of other tables' rows", "the passing of time"]
    assert [spot for spot in told["blind_spots"] if spot in spots] == unseen


def test_without_slugs_every_tracker_and_stock_is_explained() -> None:
    stock = Stock(slug="british", name="British", queryset=Member.objects.filter(country="GB"))
    with registry.set_aside(copy=True):
        registry.register(stock)
        told = document()
        said = words(explain())

    assert [one["slug"] for one in told["trackers"]] == [tracker.slug for tracker in registry.trackers]
    assert [one["slug"] for one in told["untracked"]] == ["ticket-urgent", "british"]
    assert "In no tracker" in said


def test_lines_fit_into_80_columns() -> None:
    for line in explain().splitlines():
        assert len(line) <= 80, line


@pytest.mark.django_db(transaction=True)  # MariaDB commits when triggers come and go
class TestWhatIsWrong:
    """Missing, stale and strange triggers, each with the cure."""

    def test_a_missing_trigger(self) -> None:
        name = next(name for name, table in installed().items() if table == "leads_lead")
        drop_one(name)
        try:
            said, told = words(explain("leads.lead")), document("leads.lead")["trackers"][0]
        finally:
            capture.install(registry, "default")

        assert "1 trigger of " in said
        assert "missing" in said
        assert told["missing"] == [name]
        assert "Run 'manage.py stockandflow sync', or 'manage.py migrate'." in told["to_do"]

    def test_stale_triggers(self) -> None:
        stock = Stock(slug="drafts", name="Drafts", queryset=Item.objects.filter(text="draft"))
        by_function = ModelTracker(
            ["text"], lambda *_: ((), ()), [stock], event_model=ItemFlowEvent, slug="testapp.item"
        )
        with declared(ModelTracker(stocks=[stock], event_model=ItemFlowEvent)):
            kept = registry.trackers[-1]
            registry.trackers[-1] = by_function
            try:
                said, told = words(explain("testapp.item")), document("testapp.item")["trackers"][0]
            finally:
                registry.trackers[-1] = kept

        assert "of an earlier declaration still there: " in said
        assert told["stale"]
        assert "Run 'manage.py stockandflow sync', or 'manage.py migrate'." in told["to_do"]

    def test_triggers_of_no_tracker(self) -> None:
        for statement in stranger(GONE, "leads_lead"):
            execute(statement)
        try:
            said, told = words(explain()), document()
        finally:
            capture.install(registry, "default")

        assert "has 1 trigger of trackers that are gone." in said
        assert told["left_over_triggers"] == {"default": {GONE: "leads_lead"}}
        assert told["foreign_triggers"] == {"default": {}}


def installed() -> dict[str, str]:
    from stockandflow.capture.install import installed as there

    return there(connection)


def test_an_unknown_slug_is_told_with_the_nearest() -> None:
    with pytest.raises(
        CommandError, match=r"No stock or tracker has the slug 'tril'. Did you mean 'trial'\?"
    ):
        explain("tril")


def test_nothing_is_written() -> None:
    with CaptureQueriesContext(connection) as queries:
        explain()

    verbs = {query["sql"].split()[0] for query in queries}
    assert verbs <= {"SELECT", "PRAGMA", "SHOW"}
