"""Moves by weekday and hour are those that the clocks showed, however often they are put forward and back."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow import reports
from stockandflow.declarations import Flow, Process
from stockandflow.exceptions import InvalidInput, UnknownFacetValue
from stockandflow.models import Origin, Watermark
from stockandflow.periods import Calendar
from stockandflow.registry import registry
from tests.reports.history import LONDON, histories, midnight, written

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
YEAR = midnight(2025, 1, 1), midnight(2026, 1, 1)
CALENDARS = [
    Calendar("Europe/London"),
    Calendar("Australia/Lord_Howe", 6),
    Calendar("America/St_Johns"),
    Calendar("Pacific/Apia"),
    Calendar(),
]


def signing_up() -> Flow:
    return registry.flow("signing-up")


def by_python(calendar: Calendar, flow: str, *, since: datetime, until: datetime) -> Counter[tuple[int, int]]:
    """The same from the rows, by what the clocks show."""
    rows = MemberFlowEvent.objects.filter(flow=flow, timestamp__gte=since, timestamp__lt=until)
    shown = (at.astimezone(calendar.zone) for at in rows.values_list("timestamp", flat=True))
    return Counter((at.weekday(), at.hour) for at in shown)


def event(timestamp: datetime, flow: str = "signing-up", **fields: Any) -> MemberFlowEvent:
    given = {"source": "", "sink": "trial", "subject_id": 1, "facets": {"plan": "Basic"}} | fields
    return MemberFlowEvent.objects.create(
        tracker="membership.member", flow=flow, timestamp=timestamp, recorded_at=timestamp, **given
    )


@pytest.mark.parametrize("calendar", CALENDARS, ids=lambda calendar: calendar.timezone)
def test_a_year_by_hour_of_the_week_is_what_the_clocks_showed(
    calendar: Calendar, membership: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(histories(150, *YEAR))
    monkeypatch.setattr(membership, "declared_calendar", calendar)
    for flow in membership.flows:
        found = reports.rhythm(membership, flow, *YEAR)
        assert found.counts == by_python(calendar, flow.slug, since=YEAR[0], until=YEAR[1])
    assert found.calendar == calendar


@pytest.mark.parametrize("calendar", CALENDARS, ids=lambda calendar: calendar.timezone)
def test_every_quarter_of_an_hour_around_a_change_of_the_clocks_counts_once(
    calendar: Calendar, membership: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "declared_calendar", calendar)
    changes = [at for at, _ in calendar.offsets(*YEAR)[1:]]
    for at in changes or [midnight(2025, 3, 30)]:
        since, until = at - 12 * HOUR, at + 12 * HOUR
        MemberFlowEvent.objects.all()._raw_delete("default")
        MemberFlowEvent.objects.bulk_create(
            MemberFlowEvent(
                tracker="membership.member", flow="signing-up", source="", sink="trial", subject_id=1,
                timestamp=since + n * timedelta(minutes=15), recorded_at=since,
            )
            for n in range(96)
        )  # fmt: skip
        found = reports.rhythm(membership, signing_up(), since, until)
        assert found.total == 96
        assert found.counts == by_python(calendar, "signing-up", since=since, until=until)
        for slot, number in found.counts.items():
            listed = reports.latest_moves(membership, signing_up(), since, until, slot=slot)
            assert len(listed) == number


def test_the_hour_that_the_clocks_skip_has_no_moves_and_the_repeated_one_those_of_both(
    membership: Process,
) -> None:
    spring, autumn = midnight(2025, 3, 30), midnight(2025, 10, 26)
    for at in (spring + HOUR / 2, spring + 3 * HOUR / 2, autumn + 3 * HOUR / 2, autumn + 5 * HOUR / 2):
        event(at)

    assert reports.rhythm(membership, signing_up(), spring, spring + 4 * HOUR).counts == {
        (6, 0): 1,
        (6, 2): 1,
    }
    repeated = reports.rhythm(membership, signing_up(), autumn, autumn + 4 * HOUR)
    assert (repeated.counts, repeated.greatest) == ({(6, 1): 2}, 2)


def test_before_1970_too(membership: Process) -> None:
    at = datetime(1969, 7, 20, 20, 17, tzinfo=UTC)
    event(at)
    span = at - HOUR, at + HOUR
    assert reports.rhythm(membership, signing_up(), *span).counts == {(6, 21): 1}
    assert len(reports.latest_moves(membership, signing_up(), *span, slot=(6, 21))) == 1


def test_an_opening_balance_is_no_move_and_the_range_ends_before_its_end(membership: Process) -> None:
    since, until = midnight(2025, 6, 2), midnight(2025, 6, 3)
    event(since)
    event(until)
    event(since + HOUR, origin=Origin.INITIAL)
    found = reports.rhythm(membership, signing_up(), since, until)
    assert (found.counts, found.weekdays) == ({(0, 0): 1}, [0, 1, 2, 3, 4, 5, 6])
    nothing = reports.rhythm(membership, signing_up(), until + HOUR, until + 2 * HOUR)
    assert (nothing.total, nothing.greatest) == (0, 0)


def test_moves_that_no_flow_covers_have_a_rhythm(membership: Process) -> None:
    at = midnight(2025, 6, 2)
    for flow, source, sink in (
        ("", "churned", "trial"),
        ("gone", "trial", "paused"),
        ("signing-up", "", "trial"),
        ("", "elsewhere", ""),
    ):
        event(at, flow, source=source, sink=sink)
    found = reports.latest_moves(membership, None, at, at + HOUR)
    assert [(one.source, one.sink) for one in found] == [("trial", "paused"), ("churned", "trial")]
    assert reports.rhythm(membership, None, at, at + HOUR).counts == {(0, 0): 2}


def test_other_moves_of_several_event_models_are_merged_by_time() -> None:
    process = registry.process("support")
    models = reports.rhythm(process, None, *YEAR)
    assert models.total == 0
    assert reports.latest_moves(process, None, *YEAR) == []


def test_a_slice_has_the_moves_of_its_value_as_it_was_then(membership: Process) -> None:
    at = midnight(2025, 6, 2)
    event(at)
    event(at + HOUR, facets={"plan": "Pro"})
    Plan.objects.create(name="Basic", monthly_price=9)
    Plan.objects.create(name="Pro", monthly_price=19)

    def slots(value: str) -> Any:
        return reports.rhythm(membership, signing_up(), at, at + 9 * HOUR, facets={"plan": value}).counts

    assert (slots("Basic"), slots("Pro"), slots("(none)")) == ({(0, 0): 1}, {(0, 1): 1}, {})
    with pytest.raises(UnknownFacetValue):
        slots("Gold")


def test_the_latest_come_newest_first_with_their_subjects_page_by_page(membership: Process) -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    member = Member.objects.create(name="Ada", email="a@example.org", plan=plan)
    MemberFlowEvent.objects.all()._raw_delete("default")
    at = midnight(2025, 6, 2)
    made = [event(at + n // 2 * HOUR, subject_id=member.pk) for n in range(7)]
    span = at, at + 9 * HOUR

    with CaptureQueriesContext(
        connection,
    ) as queries:
        first = reports.latest_moves(membership, signing_up(), *span, limit=3)
        assert {str(one.subject) for one in first} == {str(member)}
    assert len(queries) == 2
    second = reports.latest_moves(membership, signing_up(), *span, start=3, limit=9)
    assert [one.pk for one in (*first, *second)] == [one.pk for one in reversed(made)]
    member.delete()
    assert reports.latest_moves(membership, signing_up(), *span, limit=1)[0].subject is None


def test_the_rhythm_takes_two_queries_however_long_the_range(membership: Process) -> None:
    written(histories(40, *YEAR))
    for span in (YEAR, (YEAR[0], YEAR[0] + HOUR)):
        with CaptureQueriesContext(connection) as queries:
            reports.rhythm(membership, signing_up(), *span)
        assert len(queries) == 2


@pytest.mark.parametrize("slot", [(7, 0), (0, 24), (-1, 3)])
def test_a_slot_that_no_week_has_is_refused(membership: Process, slot: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="write a weekday, 0 for Monday to 6, and an hour, 0 to 23"):
        reports.latest_moves(membership, signing_up(), *YEAR, slot=slot)


def test_what_cannot_be_told_is_refused(membership: Process) -> None:
    with pytest.raises(InvalidInput, match="for 367 days at most"):
        reports.rhythm(membership, signing_up(), YEAR[0], YEAR[0] + timedelta(days=368))
    with pytest.raises(InvalidInput, match="isn't one of the process 'membership'; give one of 'signing-up'"):
        reports.rhythm(membership, registry.process("leads").flows[0], *YEAR)
    with pytest.raises(InvalidInput, match="process is 'membership'; give a Process"):
        reports.rhythm("membership", None, *YEAR)  # type: ignore[arg-type]
    Watermark.objects.create(
        event_model=MemberFlowEvent._meta.label_lower, calendar=LONDON.key, horizon=YEAR[1]
    )
    for ask in (reports.rhythm, reports.latest_moves):
        with pytest.raises(InvalidInput, match="were pruned"):
            ask(membership, signing_up(), *YEAR)
