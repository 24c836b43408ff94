"""Two real event logs, brought in and counted by us, agree to the last move with what other programs found in them.

The logs and the answers (pandas, PM4Py) are not part of the project; they are looked for beside it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.text import slugify

from stockandflow import recording, reports
from stockandflow.declarations import Flow, ModelTracker, Process, Stock
from stockandflow.history import from_csv
from stockandflow.models import ALL, FlowRecord
from stockandflow.periods import Calendar, Grain, Status
from stockandflow.registry import Registry
from tests.capture.keyed.models import Case, CaseFlowEvent
from tests.clock import clock_behind

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
UTC_DAYS = Calendar("UTC")
BEGINNING = 4
"""Queries by which a transaction and a snapshot begin and end."""
LOGS = ("hospital_billing", "traffic_fines")
COLUMNS = {"subject": "subject_id", "from": "from_state", "to": "to_state"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real logs aren't here: {DATA} is no folder"),
]


class Log:
    """One log as a project would declare it: a stock for each state, a flow into each, and one out of them all."""

    def __init__(self, name: str) -> None:
        self.path = DATA / f"{name}.csv"
        self.oracle: dict[str, Any] = json.loads((DATA / f"{name}.oracle.json").read_text())
        self.slugs = {state: slugify(state) for state in self.oracle["states"]}
        self.stocks = {
            slug: Stock(slug, state, Case.objects.filter(state=state)) for state, slug in self.slugs.items()
        }
        flows = Flow.for_stocks(CaseFlowEvent, list(self.stocks.values()))
        self.tracker = ModelTracker(stocks=list(self.stocks.values()), flows=flows)
        self.process = Process(name.replace("_", "-"), name, stocks=list(self.stocks.values()))
        self.registry = Registry()
        self.registry.register(self.tracker, self.process)
        window = self.oracle["window"]
        self.start, self.end = (datetime.fromisoformat(window[name]) for name in ("start", "end"))
        first, last = (UTC_DAYS.period(Grain.MONTH, at) for at in (self.start, self.end))
        self.months = first.start, last.end

    def rows(self) -> Iterator[Any]:
        return from_csv(self.path, columns=COLUMNS, states=self.slugs)

    def bring_in(self) -> Any:
        """The objects as the log leaves them, and their history."""
        last: dict[str, str] = {}
        states = {slug: state for state, slug in self.slugs.items()}
        for move in self.rows():
            last[move.subject] = move.sink
        Case.objects.bulk_create(Case(code=key, state=states[sink]) for key, sink in last.items() if sink)
        return self.tracker.import_events(self.rows(), allow_missing_subjects=True)


@pytest.fixture(params=LOGS)
def log(request: pytest.FixtureRequest, settings: Any) -> Log:
    settings.STOCKANDFLOW = {"TIME_ZONE": "UTC"}
    return Log(request.param)


def test_the_log_is_brought_in_and_recorded_and_agrees_with_its_oracle(log: Log) -> None:
    # Once all is final; the years since then would be empty days.
    ago = timezone.now() - log.end - timedelta(days=40)
    with clock_behind(ago):
        assert_it_is_brought_in(log)
        assert_levels_agree(log)
    with clock_behind(ago - timedelta(hours=2)):
        done = recording.record(log.registry)
        assert done.stocks == len(log.stocks)
        assert_moves_agree(log)
        CaseFlowEvent.objects.all().delete()
        # From records alone, therefore.
        assert_months_agree(log)
        assert_series_agree(log)


def assert_it_is_brought_in(log: Log) -> None:
    oracle = log.oracle
    done = log.bring_in()
    assert (done.written, done.subjects) == (oracle["rows"], oracle["cases"])
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # As autovacuum does within a minute, but not for rows that aren't committed.
            cursor.execute("ANALYZE")
    assert log.tracker.import_events(log.rows(), allow_missing_subjects=True).written == 0


def assert_levels_agree(log: Log) -> None:
    """At five instants, and at the end: moves at the instant count."""
    assert len(log.oracle["stock_at"]) == 5
    for known in log.oracle["stock_at"]:
        at = datetime.fromisoformat(known["at"])
        assert {state: log.stocks[log.slugs[state]].count(at=at) for state in known["stock"]} == known[
            "stock"
        ]
    for state, number in log.oracle["stock_at_end"].items():
        stock = log.stocks[log.slugs[state]]
        assert stock.count(at=log.end) == stock.count() == number
        assert set(stock.members(at=log.end)) == set(stock.all())
    assert log.tracker.exact_since() == log.start


def assert_moves_agree(log: Log) -> None:
    """Flow records: by source and sink over all time, the first moves, and in and out by month."""
    states = {slug: state for state, slug in log.slugs.items()} | {"": ""}
    transitions: Counter[tuple[str, str]] = Counter()
    months: dict[str, dict[str, dict[str, int]]] = defaultdict(
        lambda: defaultdict(lambda: {"in": 0, "out": 0})
    )
    records = (
        FlowRecord.objects.filter(grain=Grain.DAY)
        .exclude(source=ALL)
        .values_list("source", "sink", "start", "count")
    )
    for source, sink, start, number in records:
        transitions[states[source], states[sink]] += number
        month = months[f"{start:%Y-%m}"]
        for state, side in ((states[source], "out"), (states[sink], "in")):
            if state:
                month[state][side] += number
    expected = {(source, sink): number for source, sink, number in log.oracle["transitions"]}
    assert transitions == expected
    assert months == log.oracle["monthly"]
    assert log.oracle["start"] == {sink: number for (source, sink), number in expected.items() if not source}


def assert_months_agree(log: Log) -> None:
    """Every month in and out of each state, and what it held then: all that came less all that went."""
    since, until = log.months
    with CaptureQueriesContext(connection) as queries:
        balance = reports.balance(log.process, since, until, grain="month")
    assert len(queries) <= 8 + BEGINNING
    # Levels are recorded from the day of the first move on.
    assert {part.status for part in balance.parts[1:]} == {Status.FINAL}
    assert len(balance.parts) == len(list(UTC_DAYS.periods(Grain.MONTH, since, until)))
    held: Counter[str] = Counter()
    for part in balance.parts:
        known = log.oracle["monthly"].get(f"{part.since:%Y-%m}", {})
        for line in part.stocks:
            state = known.get(line.stock.name, {"in": 0, "out": 0})
            assert (line.inflow, line.outflow, line.unexplained) == (state["in"], state["out"], 0)
            assert line.opening == held[line.stock.slug]
            held[line.stock.slug] += state["in"] - state["out"]
            assert line.closing == held[line.stock.slug]
    assert {state: held[slug] for state, slug in log.slugs.items()} == log.oracle["stock_at_end"]


def assert_series_agree(log: Log) -> None:
    """The same levels at the ends of months, as a series of each stock."""
    for slug, stock in log.stocks.items():
        held = 0
        found = reports.series(stock, *log.months, "month")
        assert found.gaps == ()
        for point in found:
            state = log.oracle["monthly"].get(f"{point.start:%Y-%m}", {}).get(stock.name, {"in": 0, "out": 0})
            held += state["in"] - state["out"]
            assert point.value == held, (slug, point.start)
