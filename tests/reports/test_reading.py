"""Whole days are read from records, the rest from events, and the two never disagree about what was recorded."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import MemberFlowEvent
from stockandflow import recording, reports
from stockandflow.declarations import Process
from stockandflow.models import FlowRecord, Origin, Restatement, StockRecord, Watermark
from stockandflow.periods import Calendar, Grain, Status
from stockandflow.registry import registry
from stockandflow.reports import Balance
from tests.reports.history import LONDON, SINCE, SLUGS, UNTIL, histories, midnight, written

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def numbers(balance: Balance) -> Any:
    return [
        (
            line.stock.slug, line.opening, line.closing, line.unexplained,
            [(x.name, x.source, x.sink, x.count) for x in (*line.inflows, *line.outflows)],
        )
        for line in balance.stocks
    ]  # fmt: skip


RANGES = [
    (midnight(2025, 1, 1), midnight(2026, 1, 1)),
    (midnight(2025, 2, 1), midnight(2026, 8, 14)),
    (midnight(2025, 3, 30), midnight(2025, 3, 31)),  # 23 hours
    (midnight(2025, 10, 20), midnight(2025, 10, 27)),  # a week with 25 hours in one day
    (midnight(2025, 3, 17) + 9 * HOUR, midnight(2026, 2, 3) + 17 * HOUR),
    (midnight(2025, 5, 5) + HOUR, midnight(2025, 5, 5) + 20 * HOUR),
    (midnight(2025, 12, 20), midnight(2196, 1, 1)),
]


def test_what_is_read_from_records_is_what_events_say(past: Process) -> None:
    by_records = [numbers(reports.balance(past, *span)) for span in RANGES]
    origins = [reports.balance(past, *span).origins for span in RANGES]
    Watermark.objects.all().delete()

    assert [numbers(reports.balance(past, *span)) for span in RANGES] == by_records
    assert [reports.balance(past, *span).origins for span in RANGES] == origins


def test_final_days_need_no_events(past: Process) -> None:
    spans = RANGES[:4]
    before = [numbers(reports.balance(past, *span)) for span in spans]
    MemberFlowEvent.objects.all()._raw_delete("default")

    assert [numbers(reports.balance(past, *span)) for span in spans] == before


def test_the_coarsest_periods_that_fit_are_read(past: Process) -> None:
    year = midnight(2025, 1, 1), midnight(2026, 1, 1)
    before = numbers(reports.balance(past, *year))
    MemberFlowEvent.objects.all()._raw_delete("default")
    FlowRecord.objects.exclude(grain=Grain.YEAR).delete()

    assert numbers(reports.balance(past, *year)) == before


def test_a_late_event_changes_a_final_number_by_a_restatement_alone(past: Process) -> None:
    month = midnight(2025, 5, 1), midnight(2025, 6, 1)
    before = reports.balance(past, *month)
    trial = before.stocks[0]
    MemberFlowEvent.objects.create(
        tracker="membership.member", flow="signing-up", sink="trial", subject_id=99_999,
        timestamp=midnight(2025, 5, 9) + HOUR, recorded_at=timezone.now(), origin=Origin.IMPORT,
    )  # fmt: skip

    assert numbers(reports.balance(past, *month)) == numbers(before)
    assert not reports.balance(past, *month).restated
    recording.record(registry)
    after = reports.balance(past, *month)

    assert after.stocks[0].inflow == (trial.inflow or 0) + 1
    signing_up = [one for one in after.restated if one.slug == "signing-up"]
    assert [(one.new_count, one.cause) for one in signing_up] == [
        (one.old_count + 1, "imported events") for one in signing_up
    ]
    assert len(signing_up) == 1
    assert set(signing_up) <= set(after.stocks[0].restated)
    assert not [one for one in after.stocks[1].restated if one.slug == "signing-up"]
    came = next(line for line in after.stocks[0].inflows if line.flow and line.flow.slug == "signing-up")
    for line, name in ((after.stocks[0], "inflow"), (came, "count")):
        assert after.restated_of(line, name) == tuple(signing_up)
    assert [one.slug for one in after.restated_of(after.stocks[0], "closing")] == ["trial"]
    assert not after.restated_of(after.stocks[0], "opening")
    assert not after.restated_of(after.stocks[0], "outflow")


def test_only_the_last_restatement_of_a_number_is_in_force(past: Process) -> None:
    month = midnight(2025, 5, 1), midnight(2025, 6, 1)
    FlowRecord.objects.filter(grain="month", start=month[0]).update(revision=3)
    number: dict[str, Any] = {
        "kind": "flow", "slug": "signing-up", "sink": "trial", "calendar": LONDON.key, "grain": "month",
        "start": month[0], "end": month[1], "cause": "late events",
    }  # fmt: skip
    for revision in (2, 3):
        Restatement.objects.create(
            **number, revision=revision, old_count=revision, new_count=revision + 1,
            at=timezone.now() + revision * HOUR,
        )  # fmt: skip

    assert [one.revision for one in reports.balance(past, *month).restated] == [3]


def test_a_day_that_is_not_final_and_got_events_since_is_read_from_events(past: Process) -> None:
    today = LONDON.period(Grain.DAY, timezone.now())
    yesterday = LONDON.preceding(today)
    span = LONDON.preceding(yesterday).start, today.start
    before = reports.balance(past, *span)
    MemberFlowEvent.objects.create(
        tracker="membership.member", flow="signing-up", sink="trial", subject_id=99_999,
        timestamp=yesterday.start + HOUR, recorded_at=timezone.now(), origin=Origin.LIVE,
    )  # fmt: skip
    after = reports.balance(past, *span)

    assert after.stocks[0].inflow == (before.stocks[0].inflow or 0) + 1
    assert after.status is Status.PROVISIONAL


def test_a_flow_without_a_total_there_is_read_from_events(past: Process) -> None:
    month = midnight(2025, 5, 1), midnight(2025, 6, 1)
    before = numbers(reports.balance(past, *month))
    FlowRecord.objects.filter(flow="signing-up", grain=Grain.MONTH).delete()

    assert numbers(reports.balance(past, *month)) == before


def test_days_before_the_first_computed_one_are_read_from_events(past: Process) -> None:
    span = midnight(2025, 2, 10), midnight(2025, 12, 24)
    before = numbers(reports.balance(past, *span))
    Watermark.objects.exclude(calendar="").update(since=midnight(2025, 6, 17), until=midnight(2025, 11, 3))

    assert numbers(reports.balance(past, *span)) == before


@pytest.mark.parametrize("flows", [None, []], ids=["all flows", "no flows"])
def test_a_process_with_its_own_calendar_has_its_own_days(past: Process, flows: Any) -> None:
    tokyo = Calendar("Asia/Tokyo", 6, 4)
    own = Process("own", "Own", past.stocks, flows=flows, calendar=tokyo)
    registry.register(own)
    try:
        recording.record(registry)
        year = tokyo.period(Grain.YEAR, midnight(2025, 9, 1))
        by_records = numbers(reports.balance(own, year.start, year.end))
        FlowRecord.objects.filter(calendar=tokyo.key).exclude(grain=Grain.YEAR).delete()
        assert numbers(reports.balance(own, year.start, year.end)) == by_records
        Watermark.objects.all().delete()
        assert numbers(reports.balance(own, year.start, year.end)) == by_records
    finally:
        registry.processes.remove(own)
        own.home.leave(registry)


def test_subjects_are_known_for_a_stored_period_and_for_the_days_that_begin_one(past: Process) -> None:
    def subjects(since: datetime, until: datetime) -> dict[tuple[str, str], int | None]:
        lines = reports.balance(past, since, until).stocks
        return {(x.name, x.source): x.subjects for line in lines for x in line.inflows}

    def distinct(since: datetime, until: datetime) -> dict[tuple[str, str], int]:
        flows = {flow.slug: flow.name for flow in past.flows}
        moved: dict[tuple[str, str], set[int]] = {}
        for flow, source, subject in MemberFlowEvent.objects.filter(
            timestamp__gte=since, timestamp__lt=until
        ).values_list("flow", "source", "subject_id"):
            if flow:
                moved.setdefault((flows[flow], source), set()).add(subject)
        return {key: len(found) for key, found in moved.items()}

    for until in (midnight(2026, 1, 1), midnight(2025, 12, 4), midnight(2025, 7, 1), midnight(2025, 1, 9)):
        found = {key: n for key, n in subjects(midnight(2025, 1, 1), until).items() if key[0] != "Other"}
        assert found == distinct(midnight(2025, 1, 1), until)
    assert set(subjects(midnight(2025, 3, 10), midnight(2025, 5, 1)).values()) == {None}
    Watermark.objects.all().delete()
    assert set(subjects(midnight(2025, 1, 1), midnight(2026, 1, 1)).values()) == {None}


def asked_queries(process: Process, since: datetime, until: datetime, **more: Any) -> int:
    with CaptureQueriesContext(connection) as captured:
        reports.balance(process, since, until, **more)
    # SQLite's clock is awaited by asking it again, and savepoints are those of the test's transaction.
    return len(
        [q for q in captured if "strftime('%Y-%m-%d %H" not in q["sql"] and "SAVEPOINT" not in q["sql"]]
    )


def test_the_number_of_queries_depends_on_neither_range_nor_records_nor_events(past: Process) -> None:
    now = timezone.now()
    counts = {asked_queries(past, since, until) for since, until in RANGES[:4]}
    counts |= {asked_queries(past, now - n * DAY, now + DAY) for n in (1, 40, 900)}
    counts |= {asked_queries(past, midnight(2025, 1, 1), UNTIL, grain=Grain.MONTH, compare="year")}
    written(histories(60, SINCE, UNTIL))
    recording.record(registry)
    counts |= {asked_queries(past, now - n * DAY, now + DAY) for n in (1, 40, 900)}
    narrow = Process("narrow", "Narrow", past.stocks[:1], flows=past.flows)
    assert asked_queries(narrow, now - 40 * DAY, now + DAY) <= max(counts)
    assert max(counts) <= 8


def test_a_level_at_a_midnight_needs_no_other_record(past: Process) -> None:
    at = midnight(2025, 8, 1)
    StockRecord.objects.filter(timestamp=at).delete()
    StockRecord.objects.create(
        stock="trial",
        timestamp=at,
        count=42,
        method="derived",
        computed_at=timezone.now(),
        carried_from=SINCE,
    )
    trial = reports.balance(past, at, at + DAY).stocks[0]

    assert (trial.opening, trial.opening_method) == (42, "derived")


def test_a_range_is_final_once_its_days_and_its_levels_are(past: Process) -> None:
    since, until = midnight(2025, 8, 1), midnight(2025, 9, 1)
    for at in (since, until):
        StockRecord.objects.filter(timestamp=at).delete()
        for slug in SLUGS:
            StockRecord.objects.create(
                stock=slug, timestamp=at, count=5, method="derived", computed_at=timezone.now()
            )
    assert reports.balance(past, since, until).status is Status.FINAL
    assert reports.balance(past, since, until + HOUR).status is Status.PROVISIONAL, (
        "an hour of a day is no record"
    )
    assert reports.balance(past, since, timezone.now() + DAY).status is Status.IN_PROGRESS
    StockRecord.objects.filter(timestamp=until, stock="paused").update(computed_at=until + HOUR)
    found = reports.balance(past, since, until)
    assert found.status is Status.PROVISIONAL
    assert {line.stock.slug for line in found.stocks if line.status is Status.PROVISIONAL} == {"paused"}
