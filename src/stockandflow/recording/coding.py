"""Coding: each move as one number, by which a database sorts and compares it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stockandflow.models import Origin
from stockandflow.recording.ledgers import Pair

KIND = ("flow", "source", "sink", "origin")
Kind = tuple[str, str, str, str]
"""What moves are told apart by, besides their subject and day: the values of KIND."""


@dataclass(frozen=True)
class Coding:
    """Each move as a number of what it is counted as, its day, and its origin where ``origins`` are told apart.

    A database sorts and compares little then. In order, a subject's moves that are counted as one stand behind each
    other, and a first one is where the number before it is too far back.
    """

    days: int
    """A day's number is less."""
    origins: Sequence[str]
    counted: Sequence[tuple[Pair, bool]]
    """Pair, and whether it is of opening balances."""
    codes: Mapping[Kind, int]

    @classmethod
    def of(
        cls, kinds: Sequence[Kind], counted_as: Mapping[Pair, Pair], days: int, *, by_origin: bool
    ) -> Coding:
        """That of the moves of these kinds whose pair is to be counted; no opening balances but ``by_origin``."""
        origins = sorted({origin for *_, origin in kinds}) if by_origin else [""]
        codes: dict[Kind, int] = {}
        counted: dict[tuple[Pair, bool], int] = {}
        for kind in kinds:
            pair, origin = kind[:3], kind[3]
            opening = origin == Origin.INITIAL.value
            if pair in counted_as and (by_origin or not opening):
                # Not by origin itself: of the moves each may be the first one.
                number = counted.setdefault((counted_as[pair], opening), len(counted))
                codes[kind] = number * days * len(origins) + (origins.index(origin) if by_origin else 0)
        return cls(days, origins, list(counted), codes)

    @property
    def step(self) -> int:
        """From the number of a move to that of one the day after."""
        return len(self.origins)

    def decoded(self, number: int) -> tuple[Pair, str, int]:
        """Pair, origin and day."""
        rest, origin = divmod(number, self.step)
        counted, day = divmod(rest, self.days)
        return self.counted[counted][0], self.origins[origin], day


def case_sql(
    columns: Sequence[str], codes: Sequence[tuple[Sequence[str], int | None]]
) -> tuple[str, list[str]]:
    """The SQL of a code by the values of these columns, and its parameters: a CASE within a CASE where they differ."""
    if len({code for _, code in codes}) == 1:
        code = codes[0][1]
        return "NULL" if code is None else str(code), []
    whens, params = [], list[str]()
    by_value: dict[str, list[tuple[Sequence[str], int | None]]] = {}
    for (value, *rest), code in codes:
        by_value.setdefault(value, []).append((rest, code))
    for value, some in by_value.items():
        then, more = case_sql(columns[1:], some)
        whens.append(f"WHEN %s THEN {then}")
        params += [value, *more]
    return f"CASE {columns[0]} {' '.join(whens)} END", params
