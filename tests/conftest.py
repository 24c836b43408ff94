"""What every test shares: how property tests search, on which database and worker it is run, and what it leaves."""

import os
from typing import Any

import pytest
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker

# A database makes examples slow and uneven, which says nothing about the code under test. On CI the search
# starts from the same seed each time: a red run can be repeated. `thorough` is for hunting by hand.
_SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.register_profile("default", _SHARED, max_examples=50)
settings.register_profile("ci", _SHARED, max_examples=50, derandomize=True, print_blob=True)
settings.register_profile("matrix", _SHARED, max_examples=12, derandomize=True, print_blob=True)
settings.register_profile("thorough", _SHARED, max_examples=2000)
# Rules are searched on SQLite; the others are asked what differs in them, which wants fewer examples of more seconds.
_USUAL = "ci" if os.environ.get("CI") else "default"
settings.register_profile("other-default", _SHARED, max_examples=20)
settings.register_profile("other-ci", settings.get_profile("ci"), max_examples=20)
if os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "sqlite":
    _USUAL = f"other-{_USUAL}"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", _USUAL))


TOGETHER = (
    "tests/example/test_build.py",
    "tests/example/test_demo.py",
    "tests/recording/test_pruning.py",
    "tests/reports/test_reading.py",
    "tests/reports/test_recorded_lines.py",
    "tests/reports/test_recorded_parts.py",
    "tests/reports/test_recorded_series.py",
    "tests/test_packaging.py",
)
"""Modules whose tests share what takes seconds to make: one worker makes it once for all of them."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give out ``TOGETHER`` by the module and first, since they take longest, and all else test by test."""
    from xdist.scheduler import LoadScopeScheduling

    def scope_of(nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module in TOGETHER else nodeid

    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = scope_of
    return scheduling


def pytest_report_header(config: pytest.Config) -> str:
    """Say which database this run is on."""
    return f"database: {os.environ.get('STOCKANDFLOW_TEST_DB', 'sqlite')} ({connection.vendor})"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that asks the database nothing is the same on each: it is run on SQLite alone."""
    if connection.vendor == "sqlite":
        return
    left = [item for item in items if not is_about_the_database(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if is_about_the_database(item)]


def is_about_the_database(item: pytest.Item) -> bool:
    """Whether it uses pytest-django's database, or Django's test cases, or is marked to be; never with ``once``."""
    if item.get_closest_marker("once"):
        return False
    if item.get_closest_marker("every_database") or item.get_closest_marker("django_db"):
        return True
    of_django = isinstance(item, pytest.Function) and issubclass(item.cls or object, TransactionTestCase)
    return of_django or "django_db_setup" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """On PostgreSQL, no table of the tests is analyzed behind their backs.

    What one test left would have a table analyzed while the next one, in a transaction, has filled it anew: of that
    nothing is seen, the table is taken to be empty, and every join is a loop within a loop for half a minute.
    """
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f'ALTER TABLE "{table}" SET (autovacuum_enabled = false)')


_committing: Any = TransactionTestCase
_flush = _committing._fixture_teardown


def _empty(case: TransactionTestCase) -> None:
    """After a test of pytest's that commits, rows are deleted, in a tenth of the time that a flush takes.

    A flush is followed by all that follows a migration: permissions and triggers are looked at anew. Django's own test
    cases, of which there are some for that, have it as ever.
    """
    if type(case).__module__ != "pytest_django.fixtures":
        _flush(case)
        return
    from stockandflow.capture import open_trackers
    from stockandflow.registry import registry
    from tests.shared import empty

    empty()
    open_trackers(registry, "default")


_committing._fixture_teardown = _empty
