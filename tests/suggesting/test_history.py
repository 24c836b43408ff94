"""A suggestion names the history that a project has of its objects, as a call that imports it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from django.apps import apps
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
PEERS = apps.is_installed("tests.history.peers")
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
    wrapped = " ".join(line.removeprefix("  # ") for line in lines)
    assert f"came to {base(sale)}-cancelled: that gets the opening balance's time):" in wrapped
    assert max(map(len, lines[:-1])) <= 108


def test_a_day_and_an_instant_are_never_mixed() -> None:
    sale = made(
        accepted=models.BooleanField(default=False),
        created=instant(auto_now_add=True),
        accepted_on=models.DateField(null=True),
    )
    assert not calls(sale)
    (call,) = calls(made(signed_at=instant(null=True), signed_on=models.DateField(null=True)))
    assert "signed_on" not in call


def test_where_no_column_tells_anything_nothing_is_said() -> None:
    assert not calls(made(verified=models.BooleanField()))
    assert not calls(
        made(status=models.CharField(max_length=9, choices=STATUS), created=instant(auto_now_add=True))
    )


@pytest.mark.skipif(
    not PEERS, reason="the packages that keep histories aren't installed: requirements/test.txt"
)
def test_versions_of_django_simple_history_are_named_before_columns() -> None:
    from tests.history.peers.models import Contract

    lines = lines_of(Contract)
    assert "  from stockandflow.history import from_columns, from_simple_history" in lines
    assert "  # one of these, the one that knows most:" in lines
    assert "  # the versions of django-simple-history:" in lines
    assert "  tracker.import_events(from_simple_history(tracker))" in lines


@pytest.mark.skipif(
    not PEERS, reason="the packages that keep histories aren't installed: requirements/test.txt"
)
def test_the_states_of_django_fsm_are_stocks_and_its_log_is_named() -> None:
    from tests.history.peers.models import Claim

    found = look(Claim, query=False)
    assert [(one.part, one.name) for one in found.dimensions[0].conditions] == [
        ("open", "Open"),
        ("accepted", "Accepted"),
        ("paid", "Paid"),
    ]
    (call,) = calls(Claim)
    assert call == 'from_fsm_log(tracker, created="opened_at"'


def test_events_of_django_pghistory_are_named_and_chosen_from_where_there_are_several() -> None:
    # django-pghistory itself works on PostgreSQL alone; this is what it leaves at a model.
    sale = made(verified=models.BooleanField())
    sale.pgh_event_models = {"a": type("SaleEvent", (), {}), "b": type("SaleSnapshot", (), {})}
    assert calls(sale) == ["from_pghistory(tracker"]
    assert "  # the events of django-pghistory; events=… says which of SaleEvent, SaleSnapshot:" in lines_of(
        sale
    )
