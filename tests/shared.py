"""What the tests of a module begin with, made once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from pytest_django import DjangoDbBlocker


@contextmanager
def kept_for_the_module(blocker: DjangoDbBlocker) -> Iterator[None]:
    """What is written within stays for the tests that come before its end, whose own writes are undone; then it goes.

    For a fixture of scope "module" that needs ``django_db_setup``. No test of that module may commit, and each of them
    sees the rows.
    """
    with blocker.unblock():
        outer: Any = transaction.atomic()
        outer._from_testcase = (
            True  # as Django's TestCase: what must not be in a transaction may be in a test's
        )
        with outer:
            yield
            transaction.set_rollback(True)
