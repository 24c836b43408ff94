"""A value written into SQL is read back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from hypothesis import example, given
from hypothesis import strategies as st

from stockandflow.membership.literals import inlined, literal, text_literal
from tests.membership.strategies import NASTY, texts

pytestmark = pytest.mark.django_db


def read(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql}")  # without parameters: a % is a %
        (found,) = cursor.fetchone()
    return found


@given(texts | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=30))
@example("".join(NASTY))
def test_a_text_is_read_back(text: str) -> None:
    assert read(text_literal(connection, text)) == text
    assert read(f"length({literal(connection, text)})") is not None


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_whole_number_is_read_back(number: int) -> None:
    assert read(literal(connection, number)) == number


# SQLite's own reader of numbers is off by a last digit far away from 1.
@given(st.floats(-1e15, 1e15).filter(lambda number: number == 0 or abs(number) > 1e-9))
def test_a_float_is_read_back(number: float) -> None:
    assert float(read(literal(connection, number))) == number


@pytest.mark.parametrize("flag", [True, False])
def test_a_boolean_is_read_back(flag: bool) -> None:
    assert bool(read(literal(connection, flag))) is flag


def test_null_is_read_back() -> None:
    assert read(literal(connection, None)) is None


@given(st.lists(texts, min_size=3, max_size=3))
def test_parameters_are_filled_in_and_percent_signs_stay(values: list[str]) -> None:
    cast = "CAST(%s AS {})".format({"sqlite": "TEXT", "postgresql": "text"}.get(connection.vendor, "CHAR"))
    joined = (
        f"{cast} || {cast} || {cast}" if connection.vendor != "mysql" else f"CONCAT({cast}, {cast}, {cast})"
    )
    assert read(inlined(connection, f"{joined}", values)) == "".join(values)
    assert inlined(connection, "x LIKE '50%%'", ()) == "x LIKE '50%'"
