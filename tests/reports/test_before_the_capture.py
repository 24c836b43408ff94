"""What a stock held before the capture began is unknown, and never carried back from what stood there then."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from example.membership.models import Member, MemberFlowEvent
from stockandflow import recording, reports
from stockandflow.exceptions import InvalidInput
from stockandflow.membership.counting import StockCount
from stockandflow.models import Delivery, LevelWatermark, Origin, StockRecord, Sweep
from stockandflow.periods import TICK, Calendar, Grain, Period, Status
from stockandflow.recording.pruning import prune
from stockandflow.recording.retention import Retention
from stockandflow.rendering import as_document, to_table
from stockandflow.rendering.known import known_text
from tests.recording.world import TRACKER, World

pytestmark = pytest.mark.usefixtures("transactional_db")

DAY = timedelta(days=1)
CALENDAR = Calendar.default()


@pytest.fixture
def world() -> World:
    """Two members on trial were there when the capture began, seventy days ago; a third has come ten days later."""
    world = World(Calendar("Pacific/Apia"), 70)
    world.do(("lapse", 24 * 10))
    world.do(("join", 1, 0, "trial"))
    world.do(("lapse", 24 * 60))
    return world


@pytest.fixture
def begun(world: World) -> datetime:
    found = Sweep.objects.get().told_since
    assert found is not None
    return found


def months(begun: datetime) -> tuple[Period, Period, Period]:
    """The one before that in which the capture began, that one, and the next."""
    there = CALENDAR.period(Grain.MONTH, begun)
    return CALENDAR.period(Grain.MONTH, there.start - DAY), there, CALENDAR.following(there)


def trial(world: World, period: Period) -> reports.StockBalance:
    return reports.balance(world.process, period.start, period.end).stocks[0]


@pytest.mark.parametrize("recorded", [True, False])
def test_what_came_and_went_before_it_is_not_known(world: World, begun: datetime, recorded: bool) -> None:
    """0 would claim that nothing moved; where a history tells of some, computed days tell of all stocks."""
    if recorded:
        recording.record(world.registry)
    before, *_ = months(begun)
    balance = reports.balance(world.process, before.start, before.end)

    said = to_table(balance, world.process.calendar)
    assert re.search(r"^Trial +– +– +– +– +– +–", said, re.MULTILINE)
    assert said.count("Not known: the capture began later.") == len(balance.stocks)
    sliced = reports.balance(world.process, before.start, before.end, facets={"plan": "Basic"})
    assert "Its moves are known" not in to_table(sliced, world.process.calendar)
    (told, *_) = as_document(balance, world.process.calendar)["stocks"]
    assert [told[name] for name in ("inflow", "outflow", "net", "unexplained")] == [None] * 4

    subject = MemberFlowEvent.objects.filter(origin=Origin.INITIAL).latest().subject_id
    TRACKER.import_events([(subject, before.start + 3 * DAY, "", "trial")])
    if recorded:
        recording.record(world.registry)
    first, *others = reports.balance(world.process, before.start, before.end).stocks
    assert (first.inflow, first.outflow) == (1, 0)
    assert {(line.inflow, line.outflow) for line in others} == {(0, 0) if recorded else (None, None)}

    (flow,) = [line.flow for line in first.inflows]
    day = Period(before.start + 10 * DAY, before.start + 11 * DAY, Grain.DAY)
    assert flow is not None
    for since, value in ((before.start - 5 * DAY, None), (day.start, 0 if recorded else None)):
        hours = reports.series(flow, since, since + DAY, Grain.HOUR)
        assert {point.value for point in hours.points} == (set() if value is None else {value})
        assert trial_inflow(world, since) == value


def trial_inflow(world: World, since: datetime) -> int | None:
    return trial(world, Period(since, since + DAY, Grain.DAY)).inflow


@pytest.mark.parametrize("recorded", [True, False])
def test_a_range_before_it_has_no_levels(world: World, begun: datetime, recorded: bool) -> None:
    if recorded:
        recording.record(world.registry)
    before, there, after = months(begun)

    line = trial(world, before)
    assert (line.opening, line.closing, line.unexplained) == (None, None, None)
    assert (line.inflow, line.outflow, line.net, line.expected) == (None, None, None, None)
    assert (line.opening_method, line.closing_method, line.status) == ("unknown", "unknown", Status.GAP)
    with pytest.raises(InvalidInput, match="first seen then"):
        reports.subjects(reports.Number.level(line.stock, before.end))

    whole = reports.balance(world.process, before.start, after.end, grain=Grain.MONTH)
    for balance in (reports.balance(world.process, there.start, there.end), whole, whole.parts[1]):
        opening = balance.number(balance.stocks[0], "opening")
        assert opening.value == 2, "what stood there when the capture began"
        assert reports.members(opening).count() == 2
    known = trial(world, after)
    assert known.opening is not None
    assert known.closing == 3


def test_it_opens_the_part_in_which_it_lies_and_none_before(world: World, begun: datetime) -> None:
    recording.record(world.registry)
    before, _, after = months(begun)

    found = reports.balance(world.process, before.start, after.end, grain=Grain.MONTH)
    lines = [part.stocks[0] for part in found.parts]

    assert found.stocks[0].opening == 2
    assert [line.opening for line in lines][:2] == [None, 2]
    assert lines[0].closing is None
    assert lines[1].closing == lines[2].opening != None  # noqa: E711
    assert [line.unexplained for line in lines] == [None, 0, 0]
    assert [line.inflow is None for line in lines] == [True, False, False]
    assert lines[2].closing == found.stocks[0].closing == 3


def test_a_count_before_it_is_a_count_and_is_carried_on(world: World, begun: datetime) -> None:
    before, there, _ = months(begun)
    at = before.start + 10 * DAY
    StockRecord.objects.create(stock="trial", timestamp=at, count=7)
    recording.record(world.registry)

    assert trial(world, Period(at, at + DAY, Grain.DAY)).opening_method == "counted"
    line = trial(world, before)
    assert (line.opening, line.closing, line.closing_method) == (None, 7, "derived")
    assert trial(world, Period(at - DAY, at, Grain.DAY)).opening is None
    line = trial(world, there)
    assert (line.opening, line.closing, line.unexplained) == (7, 3 if begun + 10 * DAY < there.end else 2, -5)
    found = reports.series(line.stock, before.start, before.end, Grain.DAY)
    assert [point.start for point in found] == [
        day.start for day in CALENDAR.periods(Grain.DAY, before.start, before.end) if day.end >= at
    ]
    assert {point.value for point in found} == {7}


def test_a_series_has_gaps_there(world: World, begun: datetime) -> None:
    recording.record(world.registry)
    before, there, _ = months(begun)
    stock = world.process.stocks[0]

    first = CALENDAR.period(Grain.DAY, begun)
    assert not StockRecord.objects.filter(timestamp__lt=first.start - DAY, method="derived").exists()
    found = reports.series(stock, before.start, there.end, Grain.DAY)
    assert found.points[0].start == first.start
    assert len(found.gaps) == len(list(CALENDAR.periods(Grain.DAY, before.start, first.start)))

    hours = reports.series(stock, begun - DAY, begun + DAY, Grain.HOUR)
    assert hours.points[0].end == CALENDAR.period(Grain.HOUR, begun).end
    assert {point.value for point in hours} == {2}
    assert all(gap.end <= begun for gap in hours.gaps)
    assert len(hours.gaps) == 24


def test_a_stock_that_has_no_record_is_not_carried_back_from_now(world: World, begun: datetime) -> None:
    StockRecord.objects.filter(stock="trial").delete()
    before, there, _ = months(begun)
    assert trial(world, before).closing is None
    assert trial(world, there).opening == 2
    hours = reports.series(world.process.stocks[0], begun - DAY, begun + DAY, Grain.HOUR)
    assert len(hours.gaps) == 24


def test_a_count_in_the_range_tells_nothing_of_what_was_before_it(world: World, begun: datetime) -> None:
    StockRecord.objects.create(stock="trial", timestamp=begun - DAY, count=7)

    found = reports.balance(world.process, begun - 3 * DAY, begun + DAY, grain=Grain.DAY)

    assert [part.stocks[0].opening for part in found.parts][:1] == [None]
    assert (found.stocks[0].opening, found.stocks[0].closing) == (None, 2)
    with pytest.raises(InvalidInput):
        reports.members(found.number(found.stocks[0], "opening"))


def test_what_was_known_of_the_opening_is_called_by_its_name(world: World, begun: datetime) -> None:
    _, there, _ = months(begun)
    found = reports.balance(world.process, there.start, there.end)

    lines = known_text(found, reports.as_reported(found, world.now()), world.now()).splitlines()

    told = [line.split()[0] for line in lines[lines.index("Trial") + 1 :] if line.strip()]
    assert told[:6] == ["Opening", "In", "Out", "Net", "Unexplained", "Closing"]


def test_whole_days_are_told_as_before_when_events_are_pruned() -> None:
    world = World(Calendar("Europe/London"), 1100)
    begun = Sweep.objects.get().told_since
    assert begun is not None
    for lapse, step in (
        (240, ("join", 2, 0, "trial")),
        (5, ("move", 2, "active", "save")),
        (48, ("record",)),
    ):
        world.do(("lapse", lapse))
        world.do(step)
    world.do(("lapse", 24 * 1100))
    recording.record(world.registry)
    year = CALENDAR.period(Grain.YEAR, world.now() - 400 * DAY)
    for stock in world.process.stocks:
        StockRecord.objects.store(
            [
                StockCount(
                    stock.slug, StockRecord.objects.get(stock=stock.slug, timestamp=year.start).count, {}
                )
            ],
            year.start,
        )
    recording.record(world.registry)
    Delivery.objects.all().delete()
    there = CALENDAR.period(Grain.YEAR, begun)
    day = CALENDAR.period(Grain.DAY, begun)
    ranges = [
        (day.start - 30 * DAY, day.start - 20 * DAY),
        (CALENDAR.period(Grain.MONTH, begun).start, there.end),
        (there.start, there.end),
        (day.start, there.end),
    ]

    def told() -> list[tuple[int | None, ...]]:
        return [
            (line.opening, line.inflow, line.outflow, line.unexplained, line.closing)
            for since, until in ranges
            for line in reports.balance(world.process, since, until).stocks[:1]
        ]

    before = told()
    assert before[:2] == [(None,) * 5, (2, 2, 1, 0, 3)]
    assert prune(world.registry, retention=Retention(events=timedelta(days=400))).events
    assert told() == before


def test_levels_that_were_derived_before_it_was_opened_are_not_told(world: World, begun: datetime) -> None:
    before, *_ = months(begun)
    StockRecord.objects.create(
        stock="trial", timestamp=before.end, count=9, method="derived", carried_from=begun, computed_at=begun
    )
    assert trial(world, before).closing is None
    assert not reports.series(world.process.stocks[0], before.start, before.end, Grain.MONTH).points


def test_with_the_history_of_all_who_were_there_they_are_known(world: World, begun: datetime) -> None:
    recording.record(world.registry)
    before, *_ = months(begun)
    keys = list(MemberFlowEvent.objects.filter(origin=Origin.INITIAL).values_list("subject_id", flat=True))
    came = before.start + 5 * DAY

    TRACKER.import_events([(keys[0], came, "", "trial")])
    recording.record(world.registry)
    assert Sweep.objects.get().told_since is not None
    assert trial(world, before).closing is None

    TRACKER.import_events([(keys[1], came + DAY, "", "trial")])
    assert Sweep.objects.get().told_since is None
    recording.record(world.registry)
    line = trial(world, before)
    assert (line.opening, line.inflow, line.closing, line.unexplained) == (0, 2, 2, 0)
    assert line.closing_method == "derived"
    assert set(reports.subjects(reports.Number.level(line.stock, before.end))) == set(keys)
    found = reports.series(line.stock, came - DAY, before.end, Grain.DAY)
    assert [point.value for point in found][:4] == [0, 1, 2, 2]
    assert not found.gaps
    assert LevelWatermark.objects.get(stock="trial", timezone=CALENDAR.timezone).since <= came


def test_the_hour_under_way_closes_with_the_level_now(world: World) -> None:
    Member.objects.all().update(status="active")
    MemberFlowEvent.objects.filter(sink="active").delete()  # as if nobody had seen it
    stock, now = world.process.stocks[0], world.now()

    found = reports.series(stock, now - DAY, now, Grain.HOUR)

    assert found.open is not None
    assert found.open.value == 0
    assert list(reports.members(found.number(found.open))) == []
    assert found.points[-1].value == 3


@pytest.mark.parametrize("facets", [None, {"plan": "Basic"}])
def test_as_reported_tells_the_levels_that_a_report_tells(
    world: World, begun: datetime, facets: dict[str, str] | None
) -> None:
    """Of the day in which the capture began the record is that of its midnight, and none of the days before counts."""
    recording.record(world.registry)
    there = CALENDAR.period(Grain.DAY, begun)
    first, last = CALENDAR.preceding(there), CALENDAR.following(there)
    since = CALENDAR.preceding(first).start
    for asked in (
        {"since": first.start, "until": first.end},
        {"since": since, "until": last.end, "grain": "day"},
    ):
        balance = reports.balance(world.process, **asked, facets=facets)
        told = reports.as_reported(balance, world.now())
        for known in told:
            if known.number.kind == "level" or known.value is not None:
                assert known.value == known.number.value, str(known.number)
        levels = [known.number.until for known in told if known.number.kind == "level"]
        assert all(at is not None and at > begun for at in levels)
        if "grain" in asked and facets is None:
            assert begun + TICK in levels
