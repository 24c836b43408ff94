"""What tests begin with: rows that are made once for a module, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from stockandflow.models import Delivery, FlowEvent

MADE_BY_MIGRATE = ("contenttypes.ContentType", "auth.Permission")


@contextmanager
def kept_for_the_module(blocker: DjangoDbBlocker) -> Iterator[None]:
    """What is written within stays for the tests that come before its end, whose own writes are undone; then it goes.

    For a fixture of scope "module" or "class" that needs ``django_db_setup``. No test there may commit, and each of
    them sees the rows.
    """
    with blocker.unblock():
        outer: Any = transaction.atomic()
        outer._from_testcase = (
            True  # as Django's TestCase: what must not be in a transaction may be in a test's
        )
        with outer:
            yield
            transaction.set_rollback(True)


def empty() -> None:
    """Delete all rows that a test can have committed; events come last, since deleting subjects writes some."""
    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    tables = [model for model in models if not model._meta.proxy and model._meta.label not in MADE_BY_MIGRATE]
    tables.sort(key=lambda model: (issubclass(model, FlowEvent), model is Delivery))
    with connection.constraint_checks_disabled(), transaction.atomic():
        for model in tables:
            model._base_manager.all()._raw_delete("default")
