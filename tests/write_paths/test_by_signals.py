"""Whatever the ORM writes is captured by signals as it is by triggers, where the model has a TrackedQuerySet."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from stockandflow import capture
from stockandflow.declarations import Facet, Flow, ModelTracker, Stock
from stockandflow.exceptions import InvalidInput
from tests.capture.conftest import declared, refusing
from tests.write_paths.conftest import empty, second_database
from tests.write_paths.models import Subject, SubjectFlowEvent
from tests.write_paths.paths import PATHS
from tests.write_paths.scene import STATUSES, WritePath, make
from tests.write_paths.stocksandflows import CAST
from tests.write_paths.test_write_paths import DATABASE, counts, last_event, levels, moves_since

BESIDE_THE_ORM = {"SQL", "Other programs", "overlapping", "waiting"}
"""Groups and paths."""
REFUSED = {"update_key", "update_key_and_state"}
"""To signals, a subject is its key."""
ORM = [
    path
    for path in PATHS
    if path.role == "subject"
    and not {path.group, path.name} & BESIDE_THE_ORM
    and DATABASE not in (*path.absent, *path.gaps)
]

plan = Facet("plan", "Plan", field_lookup="plan__name")
stocks = {
    status: Stock(f"subject-{status}", status, Subject.objects.filter(status=status), facets=[plan])
    for status in STATUSES
}


def states(before: tuple[str] | None, now: tuple[str]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    return (stocks.get(before[0]) if before else None,), (stocks.get(now[0]),)


by_function = ModelTracker(
    ["status"],
    states,
    list(stocks.values()),
    Flow.for_stocks(SubjectFlowEvent, list(stocks.values()), facets=[plan]),
    slug="write-paths.by-function",
)


@pytest.fixture(scope="module")
def captured(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Captured in both databases; gives the alias of the second one."""
    with django_db_blocker.unblock(), declared(by_function), second_database() as other:
        capture.uninstall(other)
        assert capture.method_for(by_function, connection).kind == "signals"
        yield other


@pytest.fixture
def transactional_db(captured: str, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            for using in ("default", captured):
                empty(using)


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.parametrize("path", ORM, ids=lambda path: path.name)
def test_a_path_makes_exactly_its_moves_by_signals_too(path: WritePath, captured: str) -> None:
    scene = make(CAST, path.role, other=captured, refusing=partial(refusing, SubjectFlowEvent._meta.db_table))
    using = captured if path.elsewhere else "default"
    last = last_event(by_function, using)
    if path.name in REFUSED:
        with pytest.raises(InvalidInput):
            path.write(scene)
        return
    path.write(scene)

    assert sorted(moves_since(path, last, by_function, using)) == sorted(path.moves)
    if not path.elsewhere:
        assert levels(by_function, using) == counts(by_function)
