"""A plan reads every instant of a span once, whole days from the fewest periods."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockandflow.periods import Calendar, Grain
from stockandflow.reports.planning import NESTED, Span, atoms, beginning_of, covering, plan, runs

CALENDARS = st.sampled_from([Calendar("Europe/London"), Calendar("Australia/Lord_Howe", 6, 7), Calendar()])
INSTANTS = st.datetimes(datetime(2023, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001


def spans(calendar: Calendar) -> st.SearchStrategy[Span]:
    days = st.dates(date(2023, 1, 1), date(2027, 1, 1)).map(calendar.midnight)
    both = st.tuples(INSTANTS | days, INSTANTS | days)
    return both.filter(lambda span: span[0] != span[1]).map(lambda span: (min(span), max(span)))


@given(CALENDARS.flatmap(lambda calendar: st.tuples(st.just(calendar), spans(calendar), spans(calendar))))
def test_periods_and_edges_make_up_the_span(given_: tuple[Calendar, Span, Span]) -> None:
    calendar, span, bounds = given_
    computed = tuple(calendar.period(Grain.DAY, at).start for at in bounds)
    made = plan(span, calendar, (computed[0], computed[1]) if computed[0] < computed[1] else None)
    parts = sorted([*((one.start, one.end) for one in made.periods), *made.events])

    assert (parts[0][0], parts[-1][1]) == span
    assert all(before[1] == after[0] for before, after in pairwise(parts))
    assert all(computed[0] < one.end <= computed[1] for one in made.periods)
    assert all(computed[0] <= one.start for one in made.periods[1:])


@given(CALENDARS.flatmap(lambda calendar: st.tuples(st.just(calendar), spans(calendar), spans(calendar))))
def test_a_day_apart_is_a_period_of_its_own(given_: tuple[Calendar, Span, Span]) -> None:
    calendar, span, (at, _) = given_
    apart = calendar.period(Grain.DAY, at)
    always = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    made = plan(span, calendar, always, {apart})

    assert [one for one in made.periods if one.start <= apart.start < one.end] in ([], [apart])


@pytest.mark.parametrize(
    ("since", "until", "grains"),
    [
        ((2025, 1, 1), (2027, 1, 1), ["year", "year"]),
        ((2025, 1, 1), (2025, 10, 2), ["quarter", "quarter", "quarter", "day"]),
        ((2025, 2, 27), (2025, 5, 1), ["day", "day", "month", "month"]),
        ((2025, 3, 24), (2025, 3, 31), ["week"]),
        ((2025, 3, 25), (2025, 4, 1), ["day"] * 7),
    ],
)
def test_the_longest_periods_that_fit_are_taken(
    since: tuple[int, int, int], until: tuple[int, int, int], grains: list[str]
) -> None:
    london = Calendar("Europe/London")
    found = covering(london, london.midnight(date(*since)), london.midnight(date(*until)))

    assert [one.grain for one in found] == grains


@pytest.mark.parametrize(
    ("since", "until", "grains", "edges"),
    [
        ((2024, 11, 1), (2025, 1, 1), ["month", "month"], 0),
        ((2024, 1, 1), (2025, 1, 1), ["year"], 0),
        ((2024, 9, 1), (2025, 1, 1), ["quarter"], 1),
        ((2024, 11, 2), (2024, 12, 1), ["day"] * 11, 1),
        ((2024, 11, 1), (2024, 11, 29), ["day"] * 9, 1),
    ],
)
def test_before_the_first_computed_day_its_month_is_whole(
    since: tuple[int, int, int], until: tuple[int, int, int], grains: list[str], edges: int
) -> None:
    london = Calendar("Europe/London")
    low, high, first, last = (
        london.midnight(date(*day)) for day in (since, until, (2024, 11, 20), (2026, 1, 1))
    )
    made = plan((low, high), london, (first, last))
    parts = sorted([*((one.start, one.end) for one in made.periods), *made.events])

    assert [one.grain for one in made.periods] == grains
    assert len(made.events) == edges
    assert (parts[0][0], parts[-1][1]) == (low, high)


def test_periods_of_one_grain_that_follow_each_other_are_one_run() -> None:
    calendar = Calendar()
    days = list(
        calendar.periods(Grain.DAY, datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 9, tzinfo=UTC))
    )

    assert runs([*days[:3], *days[5:]]) == [
        (Grain.DAY, days[0].start, days[2].end),
        (Grain.DAY, days[5].start, days[7].end),
    ]


def test_the_days_that_begin_a_month_tell_its_first_moves() -> None:
    calendar, start = Calendar(), datetime(2025, 4, 1, tzinfo=UTC)

    def grain(since: datetime, days: int) -> Grain | None:
        until = since + timedelta(days=days)
        return beginning_of((since, until), list(covering(calendar, since, until)), calendar)

    assert grain(start, 9) is Grain.MONTH
    assert grain(start, 40) is Grain.QUARTER
    assert grain(start, 100) is None, "it reaches beyond the quarter, and the year began before"
    assert grain(start + timedelta(days=1), 20) is None
    assert grain(datetime(2025, 1, 1, tzinfo=UTC), 300) is Grain.YEAR
    assert Grain.WEEK not in NESTED


@given(st.lists(spans(Calendar()), max_size=6))
def test_spans_are_cut_where_others_begin_or_end(given_: list[Span]) -> None:
    found = atoms(given_)

    for low, high in given_:
        inside = [one for one in found if low <= one[0] < high]
        assert sum((one[1] - one[0] for one in inside), timedelta(0)) == high - low
    assert all(before[1] <= after[0] for before, after in pairwise(found))
