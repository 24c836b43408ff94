"""Retention: how long events and records are kept, as the setting ``RETENTION`` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from stockandflow.conf import conf
from stockandflow.exceptions import InvalidInput
from stockandflow.periods import Grain

RUNS = timedelta(days=90)
"""So long runs of the schedule and deliveries that are done are kept unless the setting says otherwise."""
GRAINS = tuple(grain for grain in Grain if grain is not Grain.HOUR)


@dataclass(frozen=True)
class Retention:
    """Ages at which something goes; what is left out is kept for ever.

    Of counts of stocks older than ``stock_records[grain]``, the last one of each period is kept. Flow records of a
    grain go at an age of ``flow_records[grain]``, once the events of their days are gone. Runs of the schedule and
    deliveries that are done go at the age ``runs``; None keeps these too.
    """

    events: timedelta | None = None
    stock_records: Mapping[Grain, timedelta] = field(default_factory=dict)
    flow_records: Mapping[Grain, timedelta] = field(default_factory=dict)
    runs: timedelta | None = RUNS

    def __bool__(self) -> bool:
        """Whether events or records go."""
        return bool(self.events or self.stock_records or self.flow_records)

    @classmethod
    def of_settings(cls) -> Retention:
        """What the setting says; raises InvalidInput with the cure where that can't be."""
        return cls.of(conf().retention)

    @classmethod
    def of(cls, given: Any) -> Retention:
        """The retention that a dictionary says; raises InvalidInput with the cure where that can't be."""
        known = ("events", "stock_records", "flow_records", "runs")
        if not isinstance(given, Mapping) or set(given) - set(known):
            raise InvalidInput(
                f"RETENTION is {given!r}; write a dictionary with any of {', '.join(map(repr, known))}, e.g. "
                "{'stock_records': {'day': timedelta(days=90)}}."
            )
        events, runs = given.get("events"), given.get("runs", RUNS)
        made = cls(
            None if events is None else _age("'events'", events),
            _ages("stock_records", given.get("stock_records", {})),
            _ages("flow_records", given.get("flow_records", {})),
            None if runs is None else _age("'runs'", runs),
        )
        for grain, age in made.flow_records.items():
            if made.events is None or age < made.events:
                kept = "for ever" if made.events is None else f"for {made.events!r}"
                raise InvalidInput(
                    f"RETENTION['flow_records'][{grain.value!r}] is {age!r}, and events are kept {kept}; flow records "
                    "can't go before the events that they are computed from. Give 'events' an age that is no longer."
                )
        return made


def _ages(name: str, given: Any) -> dict[Grain, timedelta]:
    if not isinstance(given, Mapping) or any(grain not in list(GRAINS) for grain in given):
        raise InvalidInput(
            f"RETENTION[{name!r}] is {given!r}; write a dictionary of grain → age, where a grain is one of "
            f"{', '.join(repr(grain.value) for grain in GRAINS)}."
        )
    return {Grain(grain): _age(f"{name!r}][{Grain(grain).value!r}", age) for grain, age in given.items()}


def _age(name: str, given: Any) -> timedelta:
    if not isinstance(given, timedelta) or given < timedelta(days=1):
        raise InvalidInput(
            f"RETENTION[{name}] is {given!r}; write a timedelta of a day or more, e.g. timedelta(days=730)."
        )
    return given
