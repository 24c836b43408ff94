"""A suggestion names the history that a project has of its objects, as a call that imports it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps
from django.utils import timezone

from stockandflow.registry import Registry
from stockandflow.suggesting.code import File, Taken
from stockandflow.suggesting.history import history_of
from stockandflow.suggesting.looking import look
from stockandflow.suggesting.places import home_of

NUMBERS = count()
STATUS = [("new", "New"), ("paid", "Paid"), ("cancelled", "Cancelled")]
pytestmark = pytest.mark.usefixtures("own_models")


@pytest.fixture
def own_models() -> Iterator[None]:
    with isolate_apps("tests.testapp"):
        yield


def made(**fields: Any) -> Any:
    """A model with these fields."""
    attributes = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "testapp"}), **fields}
    return type(f"Sale{next(NUMBERS)}", (models.Model,), attributes)


def calls(model: Any) -> list[str]:
    """The calls that read a history, without what stands around them."""
    file = File(*home_of(model, "leads"), Taken.of(Registry()))
    found = look(model, query=False)
    text = " ".join(line.strip() for line in history_of(found, file.add(found)))
    return [one.partition("))")[0].strip() for one in text.split("import_events(")[1:]]


def instant(**options: Any) -> models.DateTimeField[Any, Any]:
    return models.DateTimeField(**options)


def base(model: Any) -> str:
    return str(model.__name__.lower())


def test_columns_lead_to_the_stocks_that_they_are_named_like() -> None:
    sale = made(
        status=models.CharField(max_length=9, choices=STATUS, default="new"),
        created=instant(auto_now_add=True),
        paid_at=instant(null=True),
        cancelled_on=instant(null=True),
        touched=instant(auto_now=True),
        due_at=instant(null=True),
    )
    slug = f"{base(sale)}-"
    (call,) = calls(sale)
    assert f'{{"created": "{slug}new", "paid_at": "{slug}paid", "cancelled_on": "{slug}cancelled"}}' in call


def test_an_object_comes_to_the_stock_of_the_fields_default() -> None:
    sale = made(
        active=models.BooleanField(default=True),
        registered_at=instant(default=timezone.now),
        seen_at=instant(),
    )
    (call,) = calls(sale)
    assert call == f'from_columns(tracker, {{"registered_at": "{base(sale)}-active-yes"}}'


def test_an_instant_says_when_its_own_flag_was_set() -> None:
    sale = made(accepted=models.BooleanField(default=False), accepted_at=instant(null=True))
    (call,) = calls(sale)
    assert call == f'from_columns(tracker, {{"accepted_at": "{base(sale)}-accepted-yes"}}'


def test_each_dimension_has_its_own_call() -> None:
    sale = made(
        accepted=models.BooleanField(default=False),
        sent=instant(null=True),
        created=instant(auto_now_add=True),
    )
    first, second = calls(sale)
    assert "accepted-no" in first
    assert "sent" not in first
    assert (
        second
        == f'from_columns(tracker, {{"created": "{base(sale)}-sent-no", "sent": "{base(sale)}-sent-yes"}}'
    )


def test_columns_whose_stock_no_name_tells_are_named() -> None:
    sale = made(
        status=models.CharField(max_length=9, choices=STATUS),
        created=instant(auto_now_add=True),
        finished_at=instant(null=True),
    )
    found = look(sale, query=False)
    lines = history_of(found, File(*home_of(sale, "leads"), Taken.of(Registry())).add(found))
    assert (
        "  # what the columns tell; correct what isn't so, and add to which stocks finished_at lead:" in lines
    )


def test_a_day_and_an_instant_are_never_mixed() -> None:
    sale = made(
        accepted=models.BooleanField(default=False),
        created=instant(auto_now_add=True),
        accepted_on=models.DateField(null=True),
    )
    (call,) = calls(sale)
    assert "accepted_on" not in call


def test_where_no_column_tells_anything_nothing_is_said() -> None:
    assert not calls(made(verified=models.BooleanField()))
    assert not calls(
        made(status=models.CharField(max_length=9, choices=STATUS), created=instant(auto_now_add=True))
    )


def test_what_packages_for_histories_keep_is_named_first() -> None:
    sale = made(verified=models.BooleanField(), created=instant(auto_now_add=True))
    sale._meta.simple_history_manager_attribute = "history"
    sale.pgh_event_models = {"a": type("SaleEvent", (), {}), "b": type("SaleSnapshot", (), {})}
    found = look(sale, query=False)
    lines = history_of(found, File(*home_of(sale, "leads"), Taken.of(Registry())).add(found))
    assert "  from stockandflow.history import from_columns, from_pghistory, from_simple_history" in lines
    assert "  # one of these, the one that knows most:" in lines
    assert "  # the versions of django-simple-history:" in lines
    assert "  tracker.import_events(from_simple_history(tracker))" in lines
    assert "  # the events of django-pghistory; events=… says which of SaleEvent, SaleSnapshot:" in lines


def test_the_log_of_transitions_is_named_for_a_field_that_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    mixin = type("FSMFieldMixin", (), {})
    field = type("FSMField", (mixin, models.CharField), {})
    sale = made(status=field(max_length=9, choices=STATUS), created=instant(auto_now_add=True))
    assert not calls(sale)
    monkeypatch.setattr(
        "stockandflow.suggesting.history.apps.is_installed", lambda name: name == "django_fsm_log"
    )
    (call,) = calls(sale)
    assert call == 'from_fsm_log(tracker, created="created"'
