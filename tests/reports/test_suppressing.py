"""Small groups are hidden, and nothing that is told gives one away: by linear algebra over random processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from example.membership.models import Member
from stockandflow.declarations import Process, Stock
from stockandflow.periods import Calendar, Grain, Period, Status
from stockandflow.reports import Balance, FlowLine, Point, Series, StockBalance, suppressed, suppressed_series

START, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
LEAST, PERIODS, VALUES = 5, 2, ("a", "b", "c")
STOCKS = [Stock(slug, slug.title(), Member.objects.none()) for slug in ("one", "two", "three")]
PROCESS = Process("p", "P", STOCKS, flows=[], calendar=Calendar())
PAIRS = (("", "one"), ("one", "two"), ("two", "one"), ("two", "three"), ("three", ""), ("two", ""))

Base = tuple[Any, ...]
"""A number of which all others are sums: what a stock held at first, or the moves of a pair in a period, of a value."""
Sum = dict[Base, int]


class World:
    """A process of which every number is known, and is a sum of some base numbers."""

    def __init__(self, random: Random, most: int) -> None:
        self.numbers: dict[Base, int] = {}
        for value in VALUES:
            for stock in STOCKS:
                self.numbers["held", value, stock.slug] = random.choice([0, 2, 30, 400, most]) + 900
            for period in range(PERIODS):
                for pair in PAIRS:
                    self.numbers["moved", value, period, pair] = random.choice([0, 0, 1, 4, 5, 9, 60, most])
        if random.random() < 0.3:
            self.numbers["held", random.choice(VALUES), "one"] = random.choice([0, 1, 4])
        for value in VALUES[1:]:
            if random.random() < 0.5:  # a value beside which hardly any is small
                for key in self.numbers:
                    if key[1] == value and key[0] == "moved":
                        self.numbers[key] = self.numbers[key] * 40

    def moved(self, values: tuple[str, ...], periods: range, pair: tuple[str, str]) -> Sum:
        return {("moved", value, period, pair): 1 for value in values for period in periods}

    def held(self, values: tuple[str, ...], before: int, slug: str) -> Sum:
        found: defaultdict[Base, int] = defaultdict(int)
        for value in values:
            found["held", value, slug] += 1
            for period in range(before):
                for pair in PAIRS:
                    found["moved", value, period, pair] += (pair[1] == slug) - (pair[0] == slug)
        return {key: factor for key, factor in found.items() if factor}

    def of(self, wanted: Sum) -> int:
        return sum(factor * self.numbers[key] for key, factor in wanted.items())

    def balance(self, values: tuple[str, ...], periods: range, *, parts: bool = True) -> Balance:
        given = {"f": values[0]} if len(values) == 1 else {}
        moves = {pair: self.of(self.moved(values, periods, pair)) for pair in PAIRS}
        lines = {pair: FlowLine(None, *pair, number, *pair) for pair, number in moves.items() if number}
        return Balance(
            process=PROCESS,
            since=START + periods.start * DAY,
            until=START + periods.stop * DAY,
            at=START + periods.stop * DAY,
            in_progress=False,
            stocks=tuple(
                StockBalance(
                    stock=stock,
                    opening=self.of(self.held(values, periods.start, stock.slug)),
                    closing=self.of(self.held(values, periods.stop, stock.slug)),
                    inflows=tuple(line for pair, line in lines.items() if pair[1] == stock.slug),
                    outflows=tuple(line for pair, line in lines.items() if pair[0] == stock.slug),
                    opening_method="counted",
                    closing_method="counted",
                    tracked=True,
                    slice=given,
                )
                for stock in STOCKS
            ),
            origins={"live": sum(moves.values())},
            slice=given,
            parts=tuple(self.balance(values, range(at, at + 1), parts=False) for at in periods)
            if parts
            else (),
        )

    def whole(self) -> Balance:
        every = range(PERIODS)
        return replace(
            self.balance(VALUES, every), slices={value: self.balance((value,), every) for value in VALUES}
        )

    def told(self, one: Balance, values: tuple[str, ...], periods: range) -> Iterator[tuple[Sum, int]]:
        """Each number that a balance tells, as a sum of base numbers. That a flow has no line tells that it is 0."""
        for line in one.stocks:
            if line.suppressed:
                continue
            slug = line.stock.slug
            yield self.held(values, periods.start, slug), line.opening or 0
            yield self.held(values, periods.stop, slug), line.closing or 0
            there = {(move.source, move.sink): move.count for move in (*line.inflows, *line.outflows)}
            for pair in PAIRS:
                if slug in pair:
                    yield self.moved(values, periods, pair), there.get(pair, 0)
        if one.origins:
            yield {key: 1 for pair in PAIRS for key in self.moved(values, periods, pair)}, one.origins["live"]

    def all_told(self, found: Balance) -> list[tuple[Sum, int]]:
        scopes = [(found, VALUES), *((one, (value,)) for value, one in found.slices.items())]
        every = range(PERIODS)
        told: list[tuple[Sum, int]] = []
        for one, values in scopes:
            told += self.told(one, values, every)
            for at, part in enumerate(one.parts):
                told += self.told(part, values, range(at, at + 1))
        return told

    def small(self) -> list[Sum]:
        """All cells that are small."""
        found = []
        for values in (VALUES, *((value,) for value in VALUES)):
            for periods in (range(PERIODS), *(range(at, at + 1) for at in range(PERIODS))):
                found += [self.moved(values, periods, pair) for pair in PAIRS]
                for stock in STOCKS:
                    found += [self.held(values, at, stock.slug) for at in (periods.start, periods.stop)]
        return [one for one in found if 0 < self.of(one) < LEAST]


class Span:
    """All sums that can be worked out of those added: a row echelon form over the rationals."""

    def __init__(self) -> None:
        self.rows: dict[Base, dict[Base, Fraction]] = {}

    def reduced(self, wanted: Sum) -> dict[Base, Fraction]:
        row = {key: Fraction(factor) for key, factor in wanted.items() if factor}
        done: set[Base] = set()
        while pivots := [key for key in row if key in self.rows and key not in done]:
            pivot = pivots[0]
            factor = row[pivot]
            for key, one in self.rows[pivot].items():
                row[key] = row.get(key, Fraction(0)) - factor * one
                if not row[key]:
                    del row[key]
        return row

    def add(self, known: Sum) -> None:
        row = self.reduced(known)
        if row:
            pivot = next(iter(row))
            self.rows[pivot] = {key: factor / row[pivot] for key, factor in row.items()}

    def tells(self, wanted: Sum) -> bool:
        return not self.reduced(wanted)


def span(told: list[tuple[Sum, int]]) -> Span:
    found = Span()
    for known, _ in told:
        found.add(known)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_no_small_number_can_be_worked_out_of_what_is_told(seed: int) -> None:
    world = World(Random(seed), most=700)
    found = suppressed(world.whole(), LEAST)
    told = world.all_told(found)
    assert all(world.of(known) == number for known, number in told)
    known = span(told)
    assert not [one for one in world.small() if known.tells(one)]


def test_what_is_shown_without_the_rules_gives_small_numbers_away() -> None:
    world = World(Random(1), most=700)
    known = span(world.all_told(world.whole()))
    assert [one for one in world.small() if known.tells(one)]


def test_much_is_told_all_the_same() -> None:
    worlds = [World(Random(seed), most=700) for seed in range(60)]
    told = [suppressed(world.whole(), LEAST) for world in worlds]
    assert any(not line.suppressed for one in told for line in one.stocks)
    assert any(not line.suppressed for one in told for each in one.slices.values() for line in each.stocks)
    assert any(one.suppressed for one in told)


def alone(**numbers: Any) -> Balance:
    """A process in which nothing is small but what is given."""
    world = World(Random(0), most=700)
    for key in world.numbers:
        world.numbers[key] = 100 if key[0] == "moved" else 1000
    world.numbers |= numbers.get("base", {})
    return world.whole()


def hidden(balance: Balance) -> list[str]:
    return [line.stock.slug for line in balance.stocks if line.suppressed]


def test_nothing_is_hidden_where_nothing_is_small_or_nothing_is_wanted() -> None:
    assert not suppressed(alone(), LEAST).suppressed
    few = alone(base={("held", "a", "one"): 3})
    assert suppressed(few, 0) is few


def test_zero_stays() -> None:
    base = {("moved", value, period, ("two", "")): 0 for value in VALUES for period in range(PERIODS)}
    assert not suppressed(alone(base=base), LEAST).suppressed


def test_a_small_move_hides_the_rows_at_both_of_its_ends() -> None:
    base = {("moved", value, period, ("one", "two")): 0 for value in VALUES for period in range(PERIODS)}
    base["moved", "a", 0, ("one", "two")] = 3
    found = suppressed(alone(base=base), LEAST)
    assert hidden(found) == ["one", "two"]
    assert [line.few for line in found.stocks] == [{"outflow"}, {"inflow"}, frozenset()]
    assert found.origins == {}


def test_a_small_move_of_a_period_hides_the_rows_in_all_periods_and_leaves_the_range() -> None:
    base = {("moved", value, 0, ("one", "two")): 1 for value in VALUES}
    found = suppressed(alone(base=base), LEAST)
    assert hidden(found) == []
    assert [hidden(part) for part in found.parts] == [["one", "two"]] * 2


def test_with_a_small_slice_the_next_smaller_one_is_hidden_and_so_is_the_one_alone() -> None:
    base = {key: 2 if key[0] == "moved" else 1000 for key in World(Random(0), 700).numbers if key[1] == "b"}
    base |= {("held", "c", stock.slug): 5000 for stock in STOCKS}
    found = suppressed(alone(base=base), LEAST)
    assert {key: len(hidden(one)) for key, one in found.slices.items()} == {"a": 3, "b": 3, "c": 0}
    assert found.hidden_slices == 2


def test_members_by_value_are_told_where_none_is_small() -> None:
    whole = alone()
    values = {"plan": {"a": 5, "b": 0}, "country": {"mt": 4, "fr": 900}}
    found = suppressed(replace(whole, stocks=(replace(whole.stocks[0], values=values),)), LEAST)
    assert found.stocks[0].values == {"plan": {"a": 5, "b": 0}}


def test_a_series_with_a_small_number_tells_none() -> None:
    days = [Period(START + at * DAY, START + (at + 1) * DAY, Grain.DAY) for at in range(3)]

    def made(*values: float, measure: str = "closing") -> Series:
        points = tuple(
            Point(day.start, day.end, value, Status.FINAL, None)
            for day, value in zip(days, values, strict=True)
        )
        return Series(STOCKS[0], measure, Grain.DAY, Calendar(), START, START + 3 * DAY, points, None, (), ())

    assert suppressed_series(made(5, 0, 9), LEAST).points
    found = suppressed_series(made(5, 4, 9), LEAST)
    assert found.suppressed
    assert not found.points
    assert list(found.gaps) == days
    whole = made(5, 6, 9)
    part = replace(whole.points[0], value=2, status=Status.PARTIAL)
    hidden = suppressed_series(replace(whole, points=whole.points[1:], partial=(part,)), LEAST)
    assert (hidden.suppressed, hidden.points, hidden.partial) == (True, (), ())
    assert suppressed_series(made(0.5, 0.5, 0.5, measure="rate"), LEAST).suppressed
    assert not suppressed_series(made(5, 4, 9), 0).suppressed
