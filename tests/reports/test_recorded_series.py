"""Series of a past that was recorded: their points are what balances say, with a list behind each."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from stockandflow import reports
from stockandflow.declarations import Process
from stockandflow.exceptions import InvalidInput
from stockandflow.models import FlowRecord, StockRecord
from stockandflow.periods import Grain, Status
from stockandflow.registry import registry
from tests.reports.history import LONDON, SLUGS, midnight

pytestmark = pytest.mark.django_db

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TRIAL = SLUGS["trial"]
SIGNING_UP, CANCELLING = registry.flow("signing-up"), registry.flow("cancelling")
MONTHS = midnight(2025, 3, 1), midnight(2025, 7, 1)


def starts(found: reports.Series) -> list[str]:
    return [LONDON.local_date(point.start).isoformat() for point in found]


def test_a_flow_by_month_is_what_its_balances_say(past: Process) -> None:
    found = reports.series(SIGNING_UP, *MONTHS, "month")
    parts = reports.balance(past, *MONTHS, grain="month").parts

    assert starts(found) == ["2025-03-01", "2025-04-01", "2025-05-01", "2025-06-01"]
    assert [point.value for point in found] == [part.stocks[0].inflows[0].count for part in parts]
    assert {point.status for point in found} == {Status.FINAL}
    subjects = reports.series(SIGNING_UP, *MONTHS, "month", measure="subjects")
    assert [point.value for point in subjects] == [part.stocks[0].inflows[0].subjects for part in parts]


def test_periods_are_whole_where_the_range_cuts_them(past: Process) -> None:
    found = reports.series(SIGNING_UP, midnight(2025, 3, 9), midnight(2025, 4, 2), Grain.MONTH)

    assert starts(found) == ["2025-03-01", "2025-04-01"]


def test_the_period_under_way_stands_apart(past: Process) -> None:
    now = timezone.now()
    found = reports.series(SIGNING_UP, now - 3 * DAY, now + 3 * DAY, "day")

    assert found.open is not None
    assert found.open.status is Status.IN_PROGRESS
    assert found.open.start <= now < found.open.end
    assert len(found) == 3
    assert all(point.end <= now for point in found)
    level = reports.series(TRIAL, now - 3 * DAY, now + 3 * DAY, "day").open
    assert level is not None
    assert level.value == TRIAL.count()


def test_what_was_not_computed_is_a_gap_and_a_day_without_moves_is_zero(past: Process) -> None:
    FlowRecord.objects.filter(start=midnight(2025, 5, 3), grain="day", flow="signing-up").delete()
    found = reports.series(SIGNING_UP, midnight(2025, 5, 1), midnight(2025, 5, 6), "day")

    assert [LONDON.local_date(gap.start).day for gap in found.gaps] == [3]
    assert [LONDON.local_date(point.start).day for point in found] == [1, 2, 4, 5]
    assert all(point.value is not None for point in found)
    before = reports.series(SIGNING_UP, midnight(2024, 5, 1), midnight(2024, 7, 1), "month")
    assert (len(before), len(before.gaps)) == (0, 2)


def test_a_rate_is_the_moves_as_a_share_of_the_opening(past: Process) -> None:
    StockRecord.objects.filter(stock="active", timestamp__in=[MONTHS[0], midnight(2025, 4, 1)]).delete()
    for at, count in ((MONTHS[0], 40), (midnight(2025, 4, 1), 0)):
        StockRecord.objects.create(stock="active", timestamp=at, count=count)
    moves = reports.series(CANCELLING, *MONTHS, "month").points[0].value
    found = reports.series(CANCELLING, *MONTHS, "month", measure="rate")

    assert found.points[0].value == moves / 40
    assert midnight(2025, 4, 1) in {gap.start for gap in found.gaps}, "a share of nothing is no number"


def test_behind_each_point_is_a_list(past: Process) -> None:
    for measure in ("count", "subjects"):
        found = reports.series(SIGNING_UP, *MONTHS, "month", measure=measure)
        for point in found:
            number = found.number(point)
            listed = reports.members if measure == "count" else reports.subjects
            assert listed(number).count() == number.value == point.value
            assert reports.as_reported(number, timezone.now() + DAY).value == point.value
    ends: dict[Any, str] = {"closing": "end", "first": "start"}
    for aggregate, end in ends.items():
        levels = reports.series(TRIAL, *MONTHS, "month", aggregate=aggregate)
        for point in levels:
            number = levels.number(point)
            assert number.until == getattr(point, end)
            assert reports.subjects(number).count() == number.value == point.value


def test_behind_the_level_of_the_open_period_are_the_members_now(past: Process) -> None:
    now = timezone.now()
    found = reports.series(TRIAL, now - DAY, now + DAY, "day")
    assert found.open is not None
    assert set(reports.members(found.number(found.open))) == set(TRIAL.all())


def test_behind_what_is_worked_out_there_is_no_list(past: Process) -> None:
    for found in (
        reports.series(CANCELLING, *MONTHS, "month", measure="rate"),
        reports.series(TRIAL, *MONTHS, "month", aggregate="mean"),
    ):
        with pytest.raises(InvalidInput, match="is worked out of several numbers"):
            found.number(found.points[0])
