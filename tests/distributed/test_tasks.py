"""The tasks of ``django.tasks``: on any backend, found by paths that stay."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from stockandflow import periodic
from stockandflow.distributed import queue, tasks
from stockandflow.periods import Calendar
from tests.testapp.models import Owner

pytestmark = pytest.mark.django_db

PACKAGE = "django.tasks" if find_spec("django.tasks") else "django_tasks"


def effect() -> None:
    Owner.objects.create(name="effect")


@pytest.fixture(autouse=True)
def entries(settings: Any) -> Iterator[None]:
    settings.STOCKANDFLOW = {"QUEUE": "tasks"}
    with periodic.schedule.set_aside():
        periodic.schedule.register(periodic.YEARLY, effect, name="it", calendar=Calendar())
        yield


def backend(settings: Any, name: str) -> None:
    settings.TASKS = {"default": {"BACKEND": f"{PACKAGE}.backends.{name}"}}


def test_the_immediate_backend_runs_what_a_tick_sends(settings: Any) -> None:
    backend(settings, "immediate.ImmediateBackend")
    for _ in range(2):
        periodic.run(periodic.schedule, send=queue().send_entry)
    queue().send_delivery("default")
    assert Owner.objects.count() == 1


def test_a_message_has_a_path_that_stays_and_a_name(settings: Any) -> None:
    backend(settings, "dummy.DummyBackend")
    sent = tasks.run_entry.enqueue("it")
    assert sent.task.module_path == "stockandflow.distributed.tasks.run_entry"
    assert (sent.args, sent.kwargs) == (["it"], {})
    assert tasks.deliver.module_path == "stockandflow.distributed.tasks.deliver"
    assert not Owner.objects.exists()
