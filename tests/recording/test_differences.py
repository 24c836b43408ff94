"""Writing by difference: nothing final changes silently, nothing is written that is said already, all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent
from stockandflow import recording, reports
from stockandflow.declarations import Facet, Flow, Process, Stock
from stockandflow.models import ALL, FlowFacetRecord, FlowRecord, Origin, Restatement, Watermark
from stockandflow.periods import Calendar, Grain
from stockandflow.registry import Registry
from tests.clock import clock_behind
from tests.recording.test_laws import changed_in_place, stored

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(days=40)


@pytest.fixture
def own() -> Registry:
    registry = Registry()
    near = Stock("near", "Near", Member.objects.filter(status="trial"))
    plan = Facet("plan", "Plan", "plan__name")
    registry.register(Flow("arriving", "Arriving", MemberFlowEvent, [None], [near], facets=[plan]))
    return registry


def move(ago: timedelta, subject: int = 1, **fields: Any) -> MemberFlowEvent:
    now = timezone.now()
    values: dict[str, Any] = {"flow": "arriving", "sink": "near", "facets": {"plan": "Pro"}}
    values |= {"recorded_at": now - timedelta(days=2)} | fields
    return MemberFlowEvent.objects.create(subject_id=subject, timestamp=now - ago, **values)


def restated(**filters: Any) -> list[tuple[Any, ...]]:
    found = Restatement.objects.filter(**{"grain": Grain.DAY} | filters).order_by("source", "sink", "facet")
    return list(
        found.values_list(
            "source", "sink", "facet", "value", "old_count", "new_count", "old_subjects", "new_subjects"
        )
    )


@pytest.mark.parametrize(
    ("origin", "cause"),
    [
        (Origin.LIVE, "late events"),
        (Origin.IMPORT, "imported events"),
        (Origin.SWEEP, "found by a sweep"),
    ],
)
def test_a_final_number_that_changes_is_a_revision_and_leaves_a_restatement(
    own: Registry, origin: Origin, cause: str
) -> None:
    move(LONG_AGO)
    recording.record_flows(own)
    first = FlowRecord.objects.get(count=1, grain=Grain.DAY, source=ALL)
    move(LONG_AGO, subject=2, origin=origin)
    recording.record_flows(own)

    total = FlowRecord.objects.get(pk=first.pk)
    assert (total.count, total.subjects, total.revision) == (2, 2, 2)
    assert restated() == [
        ("", "near", "", "", 1, 2, 1, 2),
        ("", "near", "plan", "Pro", 1, 2, 1, 2),
        (ALL, ALL, "", "", 1, 2, 1, 2),
        (ALL, ALL, "plan", "Pro", 1, 2, 1, 2),
    ]
    noted = Restatement.objects.filter(grain=Grain.DAY)
    assert {(one.cause, one.at, one.revision, one.old_computed_at) for one in noted} == {
        (cause, total.computed_at, 2, first.computed_at)
    }
    assert {one.start for one in noted} == {total.start}


def test_numbers_that_are_not_final_change_without(own: Registry) -> None:
    move(timedelta())
    recording.record_flows(own)
    move(timedelta(), subject=2)
    recording.record_flows(own)

    assert not Restatement.objects.exists()
    assert set(FlowRecord.objects.values_list("revision", flat=True)) == {1}
    assert FlowRecord.objects.get(grain=Grain.YEAR, source=ALL, count__gt=0).count == 2


def test_days_become_final_where_events_may_come_less_late_than_before(own: Registry, settings: Any) -> None:
    settings.STOCKANDFLOW = {"ALLOWED_LATENESS": timedelta(days=7)}
    move(timedelta(days=6), recorded_at=timezone.now() - timedelta(days=6))
    with clock_behind(timedelta(days=4)):
        recording.record_flows(own)
    settings.STOCKANDFLOW = {"ALLOWED_LATENESS": timedelta(days=1)}
    recording.record_flows(own)

    over = FlowRecord.objects.filter(end__lt=timezone.now() - timedelta(days=1))
    assert over.exists()
    assert not over.filter(computed_at__lt=F("end") + timedelta(days=1)).exists()


def test_what_was_final_is_restated_also_where_events_may_come_later_than_before(
    own: Registry, settings: Any
) -> None:
    move(timedelta(days=6))
    recording.record_flows(own)
    settings.STOCKANDFLOW = {"ALLOWED_LATENESS": timedelta(days=7)}
    move(timedelta(days=6), subject=2)
    recording.record_flows(own)

    assert restated(facet="", source=ALL) == [(ALL, ALL, "", "", 1, 2, 1, 2)]


def test_a_pair_that_had_no_moves_on_a_final_day_had_none(own: Registry) -> None:
    move(LONG_AGO + timedelta(days=3))
    recording.record_flows(own)
    move(LONG_AGO, subject=2)
    recording.record_flows(own)

    assert restated(facet="") == [("", "near", "", "", 0, 1, 0, 1), (ALL, ALL, "", "", 0, 1, 0, 1)]
    day = FlowRecord.objects.filter(grain=Grain.DAY, start__gt=timezone.now() - LONG_AGO - timedelta(days=2))
    assert set(day.filter(count=1).values_list("revision", flat=True)) == {2}


def test_a_number_whose_events_are_gone_is_restated_as_none(own: Registry) -> None:
    event = move(LONG_AGO)
    recording.record_flows(own)
    changed_in_place(event.timestamp)
    event.delete()
    recording.record_flows(own)

    assert restated(facet="") == [("", "near", "", "", 1, 0, 1, 0), (ALL, ALL, "", "", 1, 0, 1, 0)]
    assert set(Restatement.objects.values_list("cause", flat=True)) == {"events changed in place"}
    assert not FlowRecord.objects.filter(sink="near").exists()
    assert not FlowFacetRecord.objects.exists()
    assert FlowRecord.objects.filter(source=ALL, grain=Grain.DAY).count() >= LONG_AGO.days


def test_what_was_never_computed_is_not_restated(own: Registry) -> None:
    move(LONG_AGO)
    recording.record_flows(own)
    move(LONG_AGO + timedelta(days=400), subject=2)
    recording.record_flows(own)

    assert not restated()
    assert FlowRecord.objects.filter(source=ALL, grain=Grain.DAY).count() >= LONG_AGO.days + 400


def test_a_flow_that_is_declared_later_is_computed_for_all_days(own: Registry) -> None:
    move(LONG_AGO)
    move(LONG_AGO, flow="leaving", source="near", sink="")
    recording.record_flows(own)
    (near,) = own.stocks
    own.register(Flow("leaving", "Leaving", MemberFlowEvent, [near], [None]))
    recording.record_flows(own)

    totals = FlowRecord.objects.filter(source=ALL, grain=Grain.DAY)
    assert totals.filter(flow="leaving").count() == totals.filter(flow="arriving").count()
    assert totals.get(flow="leaving", count__gt=0).count == 1
    assert not Restatement.objects.exists()


def test_what_is_said_already_is_not_written_again(own: Registry) -> None:
    move(LONG_AGO)
    move(timedelta())
    recording.record_flows(own)
    before = dict(FlowRecord.objects.values_list("pk", "computed_at"))
    facets = set(FlowFacetRecord.objects.values_list("pk", flat=True))
    (done,) = recording.record_flows(own, restate=True)

    assert (done.written, done.restated, done.changed_since) == (0, 0, None)
    assert set(FlowFacetRecord.objects.values_list("pk", flat=True)) == facets
    after = dict(FlowRecord.objects.values_list("pk", "computed_at"))
    assert after.keys() == before.keys()
    final = {
        record.pk
        for record in FlowRecord.objects.all()
        if before[record.pk] >= record.end + timedelta(days=1)
    }
    assert {pk for pk in after if after[pk] == before[pk]} == final  # since when a final number stands


def test_final_days_are_computed_once_more_when_they_become_final(own: Registry) -> None:
    move(timedelta(days=3))
    recording.record_flows(own)
    long_ago = timezone.now() - timedelta(days=3)
    FlowRecord.objects.update(computed_at=long_ago)
    Watermark.objects.update(computed_at=long_ago)
    (done,) = recording.record_flows(own)

    now = timezone.now()
    assert [day.start for day in done.days][-1] <= now
    ended = FlowRecord.objects.filter(grain=Grain.DAY, end__lte=now - timedelta(days=1))
    assert all(record.computed_at >= record.end + timedelta(days=1) for record in ended)


def test_every_flow_is_kept_in_the_projects_calendar_and_a_process_in_its_own(own: Registry) -> None:
    far = Stock("far", "Far", Member.objects.filter(status="active"))
    abroad = Calendar("Australia/Lord_Howe", 6, 4)
    own.register(
        Flow("going", "Going", MemberFlowEvent, [None], [far]), Process("p", "P", [far], calendar=abroad)
    )
    move(timedelta(days=2))
    move(timedelta(days=2), flow="going", sink="far")
    move(timedelta(days=2), flow="", source="near", sink="")
    move(timedelta(days=2), flow="", source="far", sink="")
    recording.record_flows(own)

    kept = FlowRecord.objects.filter(count__gt=0, grain=Grain.DAY).exclude(source=ALL)
    default = Calendar.default().key
    assert set(kept.values_list("calendar", "flow", "source", "count")) == {
        (default, "arriving", "", 1),
        (default, "going", "", 1),
        (default, "", "near", 1),
        (default, "", "far", 1),
        (abroad.key, "going", "", 1),
        (abroad.key, "", "far", 1),
    }
    year = FlowRecord.objects.get(calendar=abroad.key, grain=Grain.YEAR, flow="going", source=ALL)
    assert year.start == abroad.period(Grain.YEAR, timezone.now() - timedelta(days=2)).start


def test_a_date_that_a_zone_skipped_has_no_record(own: Registry) -> None:
    apia = Calendar("Pacific/Apia")
    day = datetime(2011, 12, 29, 12, tzinfo=UTC)
    move(timezone.now() - day)
    with clock_behind(timezone.now() - day - timedelta(days=7)):
        recording.record_flows(own, calendar=apia)

    totals = FlowRecord.objects.filter(grain=Grain.DAY, source=ALL, start__lt="2012-01-02T00:00Z")
    starts = [
        apia.local_date(start).isoformat()
        for start in totals.order_by("start").values_list("start", flat=True)
    ]
    assert starts == ["2011-12-29", "2011-12-31", "2012-01-01", "2012-01-02"]


class Crash(Exception):
    """The process that records ends here."""


@contextmanager
def crashing_at(number: int) -> Any:
    """Raise before the statement of that number that writes."""
    seen = 0

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal seen
        if sql.startswith(("INSERT", "UPDATE", "DELETE")):
            seen += 1
            if seen == number:
                raise Crash
        return run(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield


def test_a_crash_before_any_statement_leaves_the_old_records_or_the_new(own: Registry) -> None:
    move(LONG_AGO)
    gone = move(LONG_AGO, subject=3, source="far")
    recording.record_flows(own)
    old = stored()
    move(LONG_AGO, subject=2, facets={"plan": "Basic"})
    move(timedelta(), subject=2)
    changed_in_place(gone.timestamp)
    gone.delete()
    mark = Watermark.objects.values().get()

    for number in range(1, 200):
        try:
            with crashing_at(number):
                recording.record_flows(own)
        except Crash:
            assert stored() == old
            assert Watermark.objects.values().get() == mark
            assert not Restatement.objects.exists()
        else:
            break
    assert number > 10
    new = stored()
    assert new != old
    assert Restatement.objects.exists()
    for model in (FlowFacetRecord, FlowRecord, Watermark):
        model._base_manager.all().delete()
    recording.record_flows(own)
    assert stored() == new


def without_facets(*slugs: str, facets: Any = ()) -> Registry:
    registry = Registry()
    near = Stock("near", "Near", Member.objects.filter(status="trial"))
    registry.register(Process("people", "People", [near], flows=[]))
    for slug in slugs:
        registry.register(Flow(slug, slug, MemberFlowEvent, [None], [near], facets=facets))
    return registry


def facet_rows() -> set[tuple[Any, ...]]:
    names = ("grain", "start", "flow", "source", "sink")
    record = (f"flow_record__{name}" for name in names)
    return set(FlowFacetRecord.objects.values_list("pk", *record, "facet", "value", "count", "subjects"))


def test_recomputing_leaves_the_values_of_a_facet_that_the_flow_has_no_more(own: Registry) -> None:
    move(LONG_AGO)
    recording.record_flows(own)
    before = facet_rows()
    assert before

    less = without_facets("arriving")
    recording.record_flows(less, restate=True)
    assert facet_rows() == before
    assert not Restatement.objects.exists()

    move(LONG_AGO, subject=2)
    recording.record_flows(less)
    assert facet_rows() == before
    assert restated() == [("", "near", "", "", 1, 2, 1, 2), (ALL, ALL, "", "", 1, 2, 1, 2)]


def test_the_values_of_a_facet_that_the_flow_has_got_since_are_no_restatement(own: Registry) -> None:
    move(LONG_AGO)
    recording.record_flows(without_facets("arriving"))
    recording.record_flows(own, restate=True)

    assert {row[-4:] for row in facet_rows()} == {("plan", "Pro", 1, 1)}
    assert not Restatement.objects.exists()


def test_what_is_recorded_of_a_flow_that_is_declared_no_more_stays(own: Registry) -> None:
    move(LONG_AGO)
    move(LONG_AGO, flow="other", subject=2)
    recording.record_flows(own)
    values, totals = facet_rows(), FlowRecord.objects.filter(flow="arriving", source=ALL)
    before = list(totals.order_by("pk").values())
    assert before

    rest = without_facets("other")
    recording.record_flows(rest, restate=True)
    move(LONG_AGO, subject=3)
    recording.record_flows(rest)

    assert list(totals.order_by("pk").values()) == before
    assert facet_rows() == values
    # Its moves are still those of its stock, which must add up: as moves that no declared flow covers.
    assert restated() == [("", "near", "", "", 1, 2, 1, 2)]
    day = timezone.now() - LONG_AGO - timedelta(days=2), timezone.now()
    (line,) = reports.balance(rest.process("people"), *day).stocks
    assert line.inflow == 3
    assert [(one.flow and one.flow.slug, one.count) for one in line.inflows] == [(None, 3)]
