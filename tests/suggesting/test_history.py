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
        status=models.CharField(max_length=9, choices=STATUS, default="paid"),
        registered_at=instant(default=timezone.now),
        cancelled_at=instant(null=True),
    )
    (call,) = calls(sale)
    slug = base(sale)
    assert f'{{"registered_at": "{slug}-paid", "cancelled_at": "{slug}-cancelled"}}' in call


@pytest.mark.parametrize(
    ("value", "column", "is_told"),
    [
        ("active", "activated_at", True),
        ("canceled", "cancelled_at", True),
        ("open", "opened_on", True),
        ("processing", "processed_at", False),
        ("paused", "paid_at", False),
    ],
)
def test_a_column_is_told_by_another_form_of_the_word(value: str, column: str, is_told: bool) -> None:
    sale = made(
        status=models.CharField(max_length=9, choices=[("new", "New"), (value, value)]),
        created=instant(auto_now_add=True),
        **{column: instant(null=True)},
    )
    assert [f'"{column}": "{base(sale)}-{value}"' in call for call in calls(sale)] == (
        [True] if is_told else []
    )


def test_an_instant_says_when_its_own_flag_was_set() -> None:
    sale = made(accepted=models.BooleanField(default=False), accepted_at=instant(null=True))
    (call,) = calls(sale)
    assert call == f'from_columns(tracker, {{"accepted_at": "{base(sale)}-accepted-yes"}}'


def test_each_dimension_has_its_own_call_and_none_where_no_column_tells_of_a_move() -> None:
    sale = made(
        accepted=models.BooleanField(default=False),
        sent=instant(null=True),
        created=instant(auto_now_add=True),
    )
    (call,) = calls(sale)
    assert (
        call
        == f'from_columns(tracker, {{"created": "{base(sale)}-sent-no", "sent": "{base(sale)}-sent-yes"}}'
    )


def lines_of(sale: Any) -> list[str]:
    found = look(sale, query=False)
    return history_of(found, File(*home_of(sale, "leads"), Taken.of(Registry())).add(found))


def test_stocks_and_columns_that_nothing_leads_to_are_named() -> None:
    fields = {
        "status": models.CharField(max_length=9, choices=STATUS),
        "created": instant(auto_now_add=True),
        "finished_at": instant(null=True),
    }
    hint = (
        "finished_at can be imported too by from_columns(), once you say to which stock of '{}' each leads."
    )
    sale = made(**fields)
    assert lines_of(sale) == [hint.format(sale._meta.label_lower)]
    sale = made(**fields, paid_at=instant(null=True))
    lines = lines_of(sale)
    assert lines[-1] == hint.format(sale._meta.label_lower)
    assert (
        "  # what the columns tell; correct what isn't so (no column tells when one came to "
        f"{base(sale)}-cancelled: by now at the latest):"
    ) in lines


def test_a_day_and_an_instant_are_never_mixed() -> None:
    sale = made(
        accepted=models.BooleanField(default=False),
        created=instant(auto_now_add=True),
        accepted_on=models.DateField(null=True),
    )
    assert not calls(sale)


def test_where_no_column_tells_anything_nothing_is_said() -> None:
    assert not calls(made(verified=models.BooleanField()))
    assert not calls(
        made(status=models.CharField(max_length=9, choices=STATUS), created=instant(auto_now_add=True))
    )


def test_what_packages_for_histories_keep_is_named_first() -> None:
    sale = made(verified=models.BooleanField(), verified_at=instant(null=True))
    sale._meta.simple_history_manager_attribute = "history"
    sale.pgh_event_models = {"a": type("SaleEvent", (), {}), "b": type("SaleSnapshot", (), {})}
    lines = lines_of(sale)
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
