"""Series hold closed periods; the open one and the gaps stand apart, and no gap is drawn as zero."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow import recording, reports
from stockandflow.declarations import Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Definition, StockRecord
from stockandflow.periods import Calendar, Grain, Status
from stockandflow.registry import registry
from stockandflow.rendering import series_rows, series_to_table
from tests.reports.history import LONDON, SINCE, SLUGS, UNTIL, midnight

pytestmark = pytest.mark.django_db

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TRIAL = SLUGS["trial"]
SIGNING_UP, CANCELLING = registry.flow("signing-up"), registry.flow("cancelling")


def test_a_stock_closes_with_the_level_at_the_end_unless_asked_otherwise(levels: Stock) -> None:
    week = midnight(2025, 6, 2), midnight(2025, 6, 9)  # levels 3 to 9 end its days

    def value(**asked: Any) -> float:
        (point,) = reports.series(levels, *week, "week", **asked)
        return point.value

    assert value() == value(aggregate="closing") == 9
    assert value(aggregate="first") == 2
    assert (value(aggregate="min"), value(aggregate="max"), value(aggregate="mean")) == (3, 9, 6)


@pytest.fixture
def few_parameters() -> Iterator[None]:
    """As many as a SQLite takes that nobody has compiled otherwise."""
    connection.ensure_connection()
    if connection.vendor != "sqlite":
        yield
        return
    usual = connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
    yield
    connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, usual)


def test_the_days_of_a_century_are_no_parameters(levels: Stock, few_parameters: None) -> None:
    month = LONDON.period(Grain.MONTH, midnight(2025, 6, 2))
    for day in LONDON.periods(Grain.DAY, month.start, month.end):
        StockRecord.objects.update_or_create(
            {"count": LONDON.local_date(day.start).day}, stock=levels.slug, timestamp=day.end
        )
    StockRecord.objects.create(stock=levels.slug, timestamp=month.start + HOUR, count=1000)
    wanted: dict[Any, float] = {"mean": 15.5, "min": 1, "max": 30}
    for aggregate, value in wanted.items():
        found = reports.series(levels, midnight(1930, 6, 1), month.end, "month", aggregate=aggregate)
        assert [point.value for point in found if point.start == month.start] == [value]
        assert len(found) + len(found.gaps) == 95 * 12 + 1


@pytest.mark.parametrize("tracked", [True, False])
def test_the_open_period_is_told_by_its_levels_so_far_and_the_one_now(tracked: bool) -> None:
    now = timezone.now()
    year = LONDON.period(Grain.YEAR, now)
    today = LONDON.period(Grain.DAY, now).start
    stock = TRIAL if tracked else Stock("everyone", "Everyone", Member.objects.all())
    for day in LONDON.periods(Grain.DAY, year.start, now):
        StockRecord.objects.create(stock=stock.slug, timestamp=day.start, count=10)
    Member.objects.create(
        name="m", email="m@example.org", plan=Plan.objects.create(name="P", monthly_price=1)
    )
    days = sum(1 for _ in LONDON.periods(Grain.DAY, year.start, today)) if today > year.start else 0

    def value(aggregate: Any) -> float:
        found = reports.series(stock, year.start, year.end, "year", aggregate=aggregate)
        assert not found.points
        assert found.open is not None
        assert found.open.status is Status.IN_PROGRESS
        return found.open.value

    assert (value("closing"), value("first"), value("min")) == (1, 10, 1)
    assert value("max") == 10
    assert value("mean") == pytest.approx((10 * days + 1) / (days + 1))


def test_an_open_period_of_which_a_level_is_missing_has_no_mean() -> None:
    now = timezone.now()
    year = LONDON.period(Grain.YEAR, now)

    assert reports.series(TRIAL, year.start, year.end, "year", aggregate="first").open is None
    assert reports.series(TRIAL, year.start, year.end, "year", aggregate="closing").open is not None


def test_a_level_that_was_not_recorded_is_a_gap(levels: Stock) -> None:
    StockRecord.objects.filter(timestamp=midnight(2025, 6, 5)).delete()

    by_day = reports.series(levels, midnight(2025, 6, 2), midnight(2025, 6, 9), "day")
    assert [LONDON.local_date(gap.start).day for gap in by_day.gaps] == [4]
    by_week = reports.series(levels, midnight(2025, 6, 2), midnight(2025, 6, 9), "week", aggregate="mean")
    assert (len(by_week), len(by_week.gaps)) == (0, 1), "the mean of six days isn't that of the week"


def test_a_stock_in_no_tracker_has_points_where_it_was_counted() -> None:
    everyone = Stock("everyone", "Everyone", Member.objects.all())
    for at, count in (
        (midnight(2025, 6, 1) + HOUR, 4),
        (midnight(2025, 6, 1) + 9 * HOUR, 5),
        (midnight(2025, 6, 4), 7),
    ):
        StockRecord.objects.create(stock="everyone", timestamp=at, count=count)
    found = reports.series(everyone, midnight(2025, 6, 1), midnight(2025, 6, 5), "day")

    assert [(LONDON.local_date(x.start).day, x.value) for x in found] == [(1, 5), (3, 7)]
    assert [LONDON.local_date(gap.start).day for gap in found.gaps] == [2, 4]


def event(timestamp: datetime, source: str, sink: str, subject: int = 1, flow: str = "") -> None:
    MemberFlowEvent.objects.create(
        tracker="membership.member", flow=flow, source=source, sink=sink, subject_id=subject,
        timestamp=timestamp, recorded_at=timestamp,
    )  # fmt: skip


def test_hours_are_told_by_events_where_the_clocks_go_back_too() -> None:
    sunday = midnight(2025, 10, 26)  # 02:00 is 01:00 again
    for minutes, subject in ((70, 1), (80, 1), (130, 2), (190, 3)):
        event(sunday + timedelta(minutes=minutes), "", "trial", subject, "signing-up")

    found = reports.series(SIGNING_UP, sunday, sunday + 4 * HOUR, "hour")
    assert [point.value for point in found] == [0, 2, 1, 1]
    assert [point.start for point in found] == [sunday + n * HOUR for n in range(4)]
    subjects = reports.series(SIGNING_UP, sunday, sunday + 4 * HOUR, "hour", measure="subjects")
    assert [point.value for point in subjects] == [0, 1, 1, 1]


def test_the_last_instant_of_an_hour_belongs_to_it() -> None:
    noon = midnight(2025, 6, 2) + 12 * HOUR
    event(noon - timedelta(microseconds=1), "", "trial", flow="signing-up")

    found = reports.series(SIGNING_UP, noon - HOUR, noon + HOUR, "hour")
    assert [point.value for point in found] == [1, 0]


def test_hours_are_those_of_the_calendar_where_it_is_half_an_hour_off() -> None:
    lord_howe = Calendar("Australia/Lord_Howe")
    jump = datetime(2026, 4, 4, 15, tzinfo=UTC)  # 02:00 is 01:30 again
    for minutes in (-70, -40, -10, 10, 40):
        event(jump + timedelta(minutes=minutes), "", "trial", flow="signing-up")

    found = reports.series(SIGNING_UP, jump - 2 * HOUR, jump + HOUR, "hour", calendar=lord_howe)
    assert [(point.start - jump, point.value) for point in found] == [
        (-2 * HOUR, 1), (-HOUR, 2), (timedelta(0), 1), (HOUR / 2, 1),
    ]  # fmt: skip


def test_a_level_by_the_hour_is_carried_on_by_events() -> None:
    at = midnight(2025, 6, 2)
    StockRecord.objects.create(stock="trial", timestamp=at - 3 * HOUR, count=10)
    event(at - HOUR, "", "trial")
    event(at + HOUR / 2, "", "trial")
    event(at + 2 * HOUR + HOUR / 2, "trial", "active")

    found = reports.series(TRIAL, at, at + 4 * HOUR, "hour")
    assert [point.value for point in found] == [12, 12, 11, 11]


def test_where_the_meaning_changed_there_is_a_break() -> None:
    for since, text in ((SINCE, "at first"), (midnight(2025, 4, 9), "changed"), (UNTIL, "later")):
        Definition.objects.create(kind="stock", slug="trial", since=since, digest=text, text=text)
    found = reports.series(TRIAL, midnight(2025, 1, 1), midnight(2025, 7, 1), "month")

    assert [(one.at, one.text) for one in found.breaks] == [(midnight(2025, 4, 9), "changed")]


@pytest.mark.parametrize(
    ("of", "asked", "words"),
    [
        (registry.process("membership"), {}, "ask for one of its stocks or flows"),
        ("trial", {}, "give a Stock or a Flow"),
        (TRIAL, {"calendar": "UTC"}, "calendar is 'UTC'; give a Calendar"),
        (TRIAL, {"measure": "count"}, "'trial' is a stock; write aggregate, one of closing, first"),
        (SIGNING_UP, {"aggregate": "mean"}, "'signing-up' is a flow; write measure, one of count, subjects"),
        (TRIAL, {"aggregate": "median"}, "write one of closing, first, mean, min, max"),
        (SIGNING_UP, {"measure": "sum"}, "write one of count, subjects, rate"),
        (SIGNING_UP, {"measure": "rate"}, "has no source stock"),
        (TRIAL, {"grain": "decade"}, "'decade' is no grain"),
        (TRIAL, {"grain": "hour"}, "31 days at most"),
        (TRIAL, {"grain": "day", "aggregate": "mean"}, "take a grain above 'day'"),
        (CANCELLING, {"grain": "hour", "measure": "rate", "until": SINCE + DAY}, "take grain 'day'"),
        (TRIAL, {"grain": "day", "since": midnight(1990, 1, 1)}, "more than 4000 of these"),
    ],
)
def test_what_cannot_be_had_is_refused(of: Any, asked: dict[str, Any], words: str) -> None:
    wanted: dict[str, Any] = {"since": SINCE, "until": UNTIL, "grain": "month"} | asked
    with pytest.raises(InvalidInput, match=words):
        reports.series(of, **wanted)


@pytest.mark.parametrize("measure", ["count", "subjects", "rate"])
def test_the_month_in_which_events_begin_is_told_in_part_and_compared_by_nothing(measure: Any) -> None:
    MemberFlowEvent.objects.all().delete()
    for at in (midnight(2025, 5, 14) + HOUR, midnight(2025, 6, 3)):
        MemberFlowEvent.objects.create(
            tracker="membership.member", flow="cancelling", source="active", sink="churned", subject_id=1,
            timestamp=at, recorded_at=timezone.now() - 2 * DAY, origin="import",
        )  # fmt: skip
    recording.record(registry)
    StockRecord.objects.update(count=4)

    found = reports.series(CANCELLING, midnight(2025, 4, 1), midnight(2025, 7, 1), "month", measure=measure)

    assert [LONDON.local_date(point.start).month for point in found] == [6]
    assert [LONDON.local_date(gap.start).month for gap in found.gaps] == [4, 5]
    if measure == "rate":
        assert not found.partial
        return
    (part,) = found.partial
    assert (part.value, part.status, part.since) == (1, Status.PARTIAL, midnight(2025, 5, 14))
    assert (part.start, part.end) == (midnight(2025, 5, 1), midnight(2025, 6, 1))
    number = found.number(part)
    assert (number.value, number.since) == (1, part.since)
    assert list(reports.subjects(number)) == [1]

    (row, *_) = [row for row in series_rows([found]) if row.status == "partial"]
    assert (row.period_start, row.period_end, row.grain, row.value) == (part.since, part.end, "", 1)
    assert [row.status for row in series_rows([found])] == ["gap", "partial", "final"]
    line = series_to_table([found]).splitlines()[2]
    assert line.endswith("1  partial since 14 May 2025, 00:00")
