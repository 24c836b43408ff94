"""Levels of now by the values of facets, counted with the levels themselves."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example.membership.models import Member, Plan
from stockandflow import reports
from stockandflow.registry import registry

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def members() -> None:
    pro = Plan.objects.create(name="Pro", monthly_price=19)
    Plan.objects.create(name="Basic", monthly_price=9)
    for country in ("GB", "DE", "DE", "ES", None):
        Member.objects.create(name="Ann", email="a@example.org", plan=pro, country=country)


def values(**asked: Any) -> Any:
    now = timezone.now()
    found = reports.balance(registry.process("membership"), now - DAY, now + DAY, **asked)
    return found.stocks[0].values


def test_they_sum_to_the_level_and_stand_for_those_of_now_alone(members: None) -> None:
    found = values(now_by=["plan", "country"])
    assert found["plan"] == {"Basic": 0, "Pro": 5}
    assert found["country"]["DE"] == 2
    assert found["country"]["(other)"] == found["country"]["(none)"] == 1
    assert sum(found["country"].values()) == 5
    assert values() == {}
    now = timezone.now()
    past = reports.balance(registry.process("membership"), now - 2 * DAY, now - DAY, now_by=["plan"])
    assert all(line.values == {} for line in past.stocks)


def test_they_take_one_query_more_where_values_are_a_queryset_and_else_none(members: None) -> None:
    process, now = registry.process("membership"), timezone.now()

    def asked(*facets: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            reports.balance(process, now - DAY, now + DAY, now_by=facets)
        return len([query for query in captured if "'now'" not in query["sql"]])

    plain = asked()
    assert asked("country") == plain
    assert asked("country", "plan") == plain + 1
