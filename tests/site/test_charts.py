"""The charts of a report: no query, the numbers of its parts, and each of them leads to what it counts."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import translation

from example.membership.models import Member, Plan
from stockandflow import reports
from stockandflow.declarations import Process
from stockandflow.models import Restatement
from stockandflow.periods import Grain, Status
from stockandflow.registry import registry
from stockandflow.reports import Balance, Kind, Number
from stockandflow.site.charts import MOST_MULTIPLES, StockChart, stock_charts
from stockandflow.site.dates import period_name, short_span, tick_names
from tests.reports.history import LONDON, counted, histories, midnight, written

DAY = timedelta(days=1)
FEBRUARY = midnight(2025, 2, 1), midnight(2025, 3, 1)


@pytest.fixture
def past(db: Any) -> Process:
    since, until = midnight(2024, 12, 1), midnight(2025, 5, 1)
    moves = histories(30, since, until)
    written(moves[:20])
    written(moves[20:], Plan.objects.create(name="Pro", monthly_price=19))
    for at in (since, until):
        counted(moves, at)
    return registry.process("membership")


def february(process: Process, grain: str = "day", **asked: Any) -> Balance:
    return reports.balance(process, *FEBRUARY, grain=grain, **asked)


def active(balance: Balance, **options: Any) -> StockChart:
    charts = stock_charts(balance, Grain(options.pop("grain", "day")), **options)
    return next(chart for chart in charts if chart.stock.slug == "active")


def test_charts_ask_nothing_and_stand_in_the_order_of_the_stocks(
    past: Process, django_assert_num_queries: Any
) -> None:
    found = february(past, split_by="plan", compare=None)
    with django_assert_num_queries(0):
        charts = stock_charts(found, Grain.DAY)
    assert [chart.stock for chart in charts] == list(past.stocks)


def test_a_chart_has_a_level_for_each_border_and_a_reading_for_each_period(past: Process) -> None:
    found = february(past)
    chart = active(found)
    line = found.stocks[1]
    assert len(chart.levels) == 29
    assert (chart.levels[0], chart.levels[-1]) == (line.opening, line.closing)
    assert [reading.text[:10] for reading in chart.readings[:2]] == ["Sat 1 Feb:", "Sun 2 Feb:"]
    assert chart.open_words == ""
    assert chart.sparkline.line
    assert str(line.inflow) in chart.summary


def test_the_data_table_sums_to_the_report_and_begins_with_the_newest(past: Process) -> None:
    found = february(past, "week")
    chart = active(found, grain="week")
    table, line = chart.table, found.stocks[1]
    assert [row.name for row in table.rows][:: len(table.rows) - 1] == ["24 Feb – 28 Feb", "1 Feb – 2 Feb"]
    assert table.header == "Week"
    assert [column.name for column in table.columns][-1] == "Count"
    for place, flow in enumerate((*line.inflows, *line.outflows)):
        texts = [row.cells[place].text.replace("−", "-") for row in table.rows]
        sign = 1 if place < len(line.inflows) else -1
        assert sum(map(int, texts)) == sign * flow.count
    assert table.rows[0].cells[-1].text == str(line.closing)


def test_each_number_of_the_table_that_has_objects_leads_to_them(past: Process) -> None:
    asked: list[Number] = []

    def link(number: Number) -> str:
        asked.append(number)
        return f"/{number.kind}/{number.value}"

    table = active(february(past), link=link).table
    for row in table.rows:
        for cell in row.cells:
            assert bool(cell.url) == (cell.text != "0")
            if cell.url:
                assert cell.url.rpartition("/")[2] == cell.text.lstrip("+−")
    assert {number.kind for number in asked} == {Kind.FLOW, Kind.LEVEL}
    assert all(number.since is None or number.until == number.since + DAY for number in asked)


def test_moves_that_no_flow_covers_have_the_shade_of_the_others_and_come_last(past: Process) -> None:
    chart = active(february(past))
    covered = [one for one in chart.inflows if one.line.flow is not None]
    uncovered = [one for one in chart.inflows if one.line.flow is None]
    assert covered
    assert uncovered
    assert [*covered, *uncovered] == list(chart.inflows)
    assert [one.shade for one in covered] == [str(at) for at in range(1, len(covered) + 1)]
    assert {one.shade for one in uncovered} == {"other"}


def test_what_is_not_known_is_said_so(past: Process) -> None:
    found = february(past)
    parts = tuple(
        replace(
            part,
            stocks=tuple(
                replace(line, opening=None, closing=None, status=Status.GAP) if 3 <= at < 5 else line
                for line in part.stocks
            ),
        )
        for at, part in enumerate(found.parts)
    )
    chart = active(replace(found, parts=parts))
    assert "count –" in chart.readings[3].text
    assert chart.readings[3].text.endswith("(not known)")
    assert len(chart.river.gaps) == 1
    assert chart.table.rows[-4].status == "not known"
    assert chart.table.rows[-4].cells[-1].text == "–"


def test_the_period_in_progress_is_said_to_be_partial(db: Any) -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.bulk_create(Member(name=f"m{n}", email="m@example.org", plan=plan) for n in range(3))
    process = registry.process("membership")
    today = process.calendar.period(Grain.DAY, datetime.now(tz=UTC))
    found = reports.balance(process, today.start - DAY, today.end, grain="day")
    trial = stock_charts(found, Grain.DAY)[0]
    assert trial.open_words == "today, partial"
    (bars,) = trial.river.inflows.layers
    assert bars.open
    assert not bars.path
    assert trial.readings[-1].text.endswith("in 3 · count 3 · out 0 (in progress)")
    assert trial.table.rows[0].status == "in progress"


def test_a_restated_number_is_marked_and_the_restatement_told(past: Process) -> None:
    found = february(past)
    line = found.stocks[1].inflows[0]
    part = next(one for one in found.parts if any(ones.flow == line.flow for ones in one.stocks[1].inflows))
    restatement = Restatement(
        pk=1,
        kind="flow", slug=line.flow.slug if line.flow else "", source=line.source, sink=line.sink, grain="day",
        start=part.since, end=part.until, old_count=7, new_count=8, at=midnight(2025, 3, 9), cause="late events",
    )  # fmt: skip
    stocks = tuple(
        replace(one, restated=(restatement,)) if one.stock.slug == "active" else one for one in part.stocks
    )
    parts = tuple(
        replace(one, restated=(restatement,), stocks=stocks) if one is part else one for one in found.parts
    )
    table = active(replace(found, parts=parts)).table
    assert [cell.was for row in table.rows for cell in row.cells if cell.was] == ["7"]
    (told,) = table.restated
    assert "7 became 8" in told
    assert told.endswith("(late events)")


def test_a_comparison_is_drawn_over_the_same_periods_and_told(past: Process) -> None:
    found = february(past, compare="previous")
    assert found.compared is not None
    chart = active(found)
    assert chart.compared_words == "1 Jan – 31 Jan 2025"
    assert chart.river.count.compared
    was = found.compared.parts[0].stocks[1].closing
    assert f"count before {was}" in chart.readings[0].text


def test_a_split_has_one_chart_for_each_value_on_one_scale(past: Process) -> None:
    found = february(past)
    chart = active(replace(found, slices={"Basic": found, "Pro": found}), value_names={"Pro": "The pro plan"})
    assert [one.name for one in chart.multiples] == ["Basic", "The pro plan"]
    assert len({one.river for one in chart.multiples}) == 1
    assert [one.count for one in chart.multiples] == [chart.line.closing] * 2


def test_beyond_six_values_the_others_share_a_chart(past: Process) -> None:
    found = february(past)
    chart = active(replace(found, slices={f"v{at}": found for at in range(10)}))
    assert len(chart.multiples) == MOST_MULTIPLES + 1
    last = chart.multiples[-1]
    assert last.name == "Other, 4"
    assert last.count == 4 * (chart.line.closing or 0)
    assert last.url == ""


def test_parts_of_slices_sum_to_the_parts_of_the_whole(past: Process) -> None:
    found = february(past, "week", split_by="plan")
    for at, part in enumerate(found.parts):
        for place, line in enumerate(part.stocks):
            ones = [one.parts[at].stocks[place] for one in found.slices.values()]
            assert sum(one.inflow or 0 for one in ones) == line.inflow
            assert sum(one.outflow or 0 for one in ones) == line.outflow


@pytest.mark.parametrize(
    ("since", "until", "grain", "how", "lengths"),
    [
        ((2025, 3, 1), (2025, 4, 1), "day", "previous", {1: 28, 0: 3}),
        ((2025, 3, 1), (2025, 5, 1), "month", "previous", {31: 1, 28: 1}),
        ((2025, 2, 10), (2025, 2, 24), "week", "year", {7: 2}),
    ],
)
def test_the_parts_compared_with_pair_with_those_of_the_range(
    past: Process, since: Any, until: Any, grain: str, how: Any, lengths: dict[int, int]
) -> None:
    found = reports.balance(past, midnight(*since), midnight(*until), grain=grain, compare=how)
    assert found.compared is not None
    parts = found.compared.parts
    assert len(parts) == len(found.parts)
    days = [round((part.until - part.since) / DAY) for part in parts]
    assert {length: days.count(length) for length in lengths} == lengths
    assert (parts[0].since, parts[-1].until) == (found.compared.since, found.compared.until)
    for place, line in enumerate(found.compared.stocks):
        assert sum(part.stocks[place].inflow or 0 for part in parts) == line.inflow
        assert parts[-1].stocks[place].closing == line.closing


def test_periods_are_named_as_short_as_they_can_be() -> None:
    def name(grain: Grain, since: Any, until: Any, **options: Any) -> str:
        return period_name(midnight(*since), midnight(*until), grain, LONDON, **options)

    assert name(Grain.DAY, (2026, 11, 2), (2026, 11, 3)) == "Mon 2 Nov"
    assert name(Grain.DAY, (2026, 11, 2), (2026, 11, 3), year=True) == "Mon 2 Nov 2026"
    assert name(Grain.WEEK, (2026, 11, 2), (2026, 11, 9)) == "2 Nov – 8 Nov"
    assert name(Grain.MONTH, (2026, 11, 1), (2026, 12, 1)) == "Nov 2026"
    assert name(Grain.MONTH, (2026, 11, 5), (2026, 12, 1)) == "5 Nov – 30 Nov"
    assert name(Grain.QUARTER, (2026, 10, 1), (2027, 1, 1)) == "Oct – Dec 2026"
    assert name(Grain.YEAR, (2026, 1, 1), (2027, 1, 1)) == "2026"
    assert short_span(midnight(2026, 12, 30), midnight(2027, 1, 3), LONDON) == "30 Dec 2026 – 2 Jan 2027"
    days = [
        datetime(year, month, 1, tzinfo=UTC).date() for year, month in ((2026, 11), (2026, 12), (2027, 1))
    ]
    assert list(tick_names(days, Grain.MONTH)) == ["Nov 2026", "Dec", "Jan 2027"]
    assert list(tick_names(days, Grain.YEAR)) == ["2026", "2026", "2027"]


def test_words_follow_the_locale_and_geometry_does_not(past: Process) -> None:
    found = february(past, compare="previous", split_by=None)
    english = active(found)
    with translation.override("de"):
        german = active(found)
    assert german.river == replace(english.river, ticks=german.river.ticks)
    assert [tick.x for tick in german.river.ticks] == [tick.x for tick in english.river.ticks]
    assert re.match(r"Sa 1\. Feb\.?: ", german.readings[0].text)
