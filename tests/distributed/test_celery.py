"""Celery's tasks: their names and options stay, whatever the project's app says, and they need no result backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stockandflow import periodic
from stockandflow.distributed import queue, send_entry
from stockandflow.periods import Calendar
from tests.testapp.models import Owner

celery = pytest.importorskip("celery")
pytestmark = pytest.mark.django_db


def effect() -> None:
    Owner.objects.create(name="effect")


@pytest.fixture
def app(settings: Any) -> Iterator[Any]:
    """A project's app that runs what is sent at once, and acknowledges late unless a task says otherwise."""
    settings.STOCKANDFLOW = {"QUEUE": "celery"}
    with periodic.schedule.set_aside():
        periodic.schedule.register(periodic.YEARLY, effect, name="it", calendar=Calendar())
        before = celery.current_app._get_current_object()
        made = celery.Celery("project", broker="memory://", set_as_current=True)
        made.conf.update(task_always_eager=True, task_acks_late=True)
        queue()
        yield made
        before.set_current()
        made.close()


def test_the_tasks_belong_to_the_projects_app_under_names_that_stay(app: Any) -> None:
    for name in ("stockandflow.tick", "stockandflow.run_entry", "stockandflow.deliver"):
        task = app.tasks[name]
        assert task.ignore_result
        assert not task.acks_late


def test_a_tick_sends_what_is_due_and_a_worker_runs_it(app: Any) -> None:
    tick = app.tasks["stockandflow.tick"]
    assert tick.apply().get() == "1 sent, 0 failed"
    assert Owner.objects.count() == 1
    assert tick.apply().get() == "0 sent, 0 failed"
    send_entry("it")
    assert Owner.objects.count() == 1
