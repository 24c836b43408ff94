"""The dashboard: the cards and the chart of a process, for who may see it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import timezone, translation
from django.utils.formats import date_format

from example.membership.models import Member, Plan
from stockandflow.declarations import Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.feeds import dashboard
from stockandflow.registry import registry
from tests.users import user_with

pytestmark = pytest.mark.django_db


def request_of(user: User, rf: RequestFactory) -> HttpRequest:
    request = rf.get("/")
    request.user = user
    return request


def test_a_process_is_a_card_for_each_stock_and_a_chart_of_their_days(
    rf: RequestFactory, members: None
) -> None:
    found = dashboard(request_of(user_with("view_process"), rf), "membership", days=7)
    assert found is not None
    assert [(card.title, card.metric) for card in found.cards][:2] == [("Trial", "2"), ("Active", "1")]
    assert found.cards[0].footer == "▲ from 0"
    assert found.url == found.cards[0].url == "/stockandflow/membership/"
    chart = json.loads(found.chart)
    assert len(chart["labels"]) == 7
    assert [(one["label"], one["data"][-1], len(one["data"])) for one in chart["datasets"]][:2] == [
        ("Trial", 2, 7),
        ("Active", 1, 7),
    ]


def nobody(request: HttpRequest, queryset: Any) -> Any:
    return queryset.none()


def test_what_the_user_may_not_see_or_sees_in_part_is_left_out(rf: RequestFactory, settings: Any) -> None:
    viewer = user_with("view_process")
    assert dashboard(request_of(user_with(), rf), "membership") is None
    assert dashboard(request_of(viewer, rf), "nowhere") is None
    settings.STOCKANDFLOW = {"SCOPE": "tests.feeds.test_dashboard.nobody"}
    assert dashboard(request_of(viewer, rf), "membership") is None


@pytest.mark.parametrize("days", [0, 367])
def test_the_range_has_bounds(rf: RequestFactory, days: int) -> None:
    with pytest.raises(InvalidInput, match="give 1 to 366"):
        dashboard(request_of(user_with(), rf), "membership", days=days)


def test_a_stock_that_cannot_be_counted_has_a_card_that_says_so(
    rf: RequestFactory, members: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = request_of(user_with("view_process"), rf)
    torn = Stock(slug="torn-one", name="Torn one", queryset=Member.objects.extra(where=["gone_since = 1"]))
    for stocks in ([registry.stock("trial"), torn], [torn]):
        monkeypatch.setattr(registry, "processes", [Process("half", "Half", stocks, flows=[])])
        found = dashboard(viewer, "half", days=7)
        assert found is not None
        assert [card.title for card in found.cards] == [stock.name for stock in stocks]
        assert (found.cards[-1].metric, found.cards[-1].footer) == ("–", "Can't be counted")
        assert [one["label"] for one in found.datasets] == [stock.name for stock in stocks[:-1]]


def test_what_people_read_is_in_their_language(rf: RequestFactory, members: None) -> None:
    Member.objects.bulk_create(
        Member(name="m", email="m@example.org", plan=Plan.objects.get(), status="active") for _ in range(1200)
    )
    with translation.override("de"):
        found = dashboard(request_of(user_with("view_process"), rf), "membership", days=7)
        today = date_format(timezone.localdate(), "j. M")
    assert found is not None
    assert (found.cards[1].metric, found.cards[1].footer) == ("1.201", "▲ von 0")
    assert found.labels[-1] == today
