"""The lines for wallboards: every period that is known, in the plain form and in that of 2011."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import Client

from stockandflow.feeds.lines import geckoboard, plain
from stockandflow.periods import Calendar, Grain, Period, Status
from stockandflow.registry import registry
from stockandflow.reports import Point, Series
from tests.api.conftest import bearer
from tests.users import EXPORTER, user_with

pytestmark = pytest.mark.django_db

STOCK = "/stockandflow/feeds/membership/stocks/trial/"
FLOW = "/stockandflow/feeds/membership/flows/converting/"
DAY = timedelta(days=1)
SINCE = datetime(2026, 7, 1, tzinfo=UTC)


def series(slug: str, *values: float | None, kind: str = "stock") -> Series:
    """A day for each value, None for a gap, the last one under way."""
    starts = [SINCE + number * DAY for number in range(len(values))]
    points = [
        Point(start, start + DAY, value, Status.FINAL)
        for start, value in zip(starts, values, strict=True)
        if value is not None
    ]
    return Series(
        of=registry.stock(slug) if kind == "stock" else registry.flow(slug),
        measure="closing" if kind == "stock" else "count",
        grain=Grain.DAY,
        calendar=Calendar("UTC"),
        since=SINCE,
        until=SINCE + len(values) * DAY,
        points=tuple(points[:-1]),
        open=Point(points[-1].start, points[-1].end, points[-1].value, Status.IN_PROGRESS),
        gaps=tuple(
            Period(start, start + DAY, Grain.DAY)
            for start, value in zip(starts, values, strict=True)
            if value is None
        ),
        breaks=(),
    )


def test_a_stock_has_its_gaps_and_its_number_now() -> None:
    line = plain(series("trial", 4, None, 6, 7))
    assert line["values"] == [4, None, 6, 7]
    assert line["statuses"] == ["final", "gap", "final", "in_progress"]
    assert line["labels"] == ["1 Jul", "2 Jul", "3 Jul", "4 Jul"]
    assert line["starts"][0] == "2026-07-01T00:00:00Z"


def test_the_period_of_a_flow_that_is_under_way_is_left_out() -> None:
    assert plain(series("converting", 4, 5, 1, kind="flow"))["values"] == [4, 5]


def test_the_form_of_2011_has_numbers_as_text_and_names_at_both_axes() -> None:
    assert geckoboard(series("trial", 4, None, 6, 2.5)) == {
        "item": ["4", "6", "2.5"],
        "settings": {"axisx": ["1 Jul", "3 Jul", "4 Jul"], "axisy": ["2.5", "6"], "colour": "27496d"},
    }
    axis = geckoboard(series("trial", *range(40)))["settings"]["axisx"]
    assert (len(axis), axis[0], axis[-1]) == (6, "1 Jul", "9 Aug")


def test_nothing_known_is_an_empty_line() -> None:
    assert geckoboard(series("converting", 4, kind="flow")) == {
        "item": [],
        "settings": {"axisx": [], "axisy": [], "colour": "27496d"},
    }


def test_a_wallboard_gets_both_forms_by_any_of_the_ways_to_send_a_token(
    client: Client, members: None
) -> None:
    headers = bearer(user_with(*EXPORTER), "feeds/membership")
    response = client.get(STOCK, {"range": "7d"}, headers=headers)
    assert response.json()["values"][-1] == 2
    assert (
        client.get(STOCK, {"range": "7d"}, headers={**headers, "If-None-Match": response["ETag"]}).status_code
        == 304
    )
    secret = headers["Authorization"].removeprefix("Bearer ")
    basic = {"Authorization": f"Basic {b64encode(f'{secret}:X'.encode()).decode()}"}
    assert client.get(STOCK, {"range": "7d", "shape": "geckoboard"}, headers=basic).json()["item"][-1] == "2"
    assert client.get(FLOW, headers=basic).json()["kind"] == "line"


@pytest.mark.parametrize("header", ["Basic !", "Basic /w==", "Basic eDp5"])
def test_what_is_no_token_in_the_basic_scheme_is_refused(client: Client, header: str) -> None:
    assert client.get(STOCK, headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    ("path", "parameters", "status"),
    [
        (STOCK, {"shape": "pie"}, 400),
        (STOCK, {"per": "never"}, 400),
        ("/stockandflow/feeds/membership/stocks/nowhere/", {}, 404),
        ("/stockandflow/feeds/nowhere/flows/lapsing/", {}, 404),
    ],
)
def test_what_can_not_be_is_refused(
    viewer: Any, client: Client, path: str, parameters: dict[str, str], status: int
) -> None:
    response = client.get(path, parameters)
    assert response.status_code == status
    assert response.json()["kind"] == "error"


def test_a_hidden_process_has_no_line(client: Client) -> None:
    client.force_login(user_with())
    assert client.get(STOCK).status_code == 404
    assert client.get(FLOW).status_code == 404


def nobody(request: HttpRequest, queryset: Any) -> Any:
    return queryset.none()


def test_who_sees_a_part_gets_no_line_of_the_whole(viewer: Any, client: Client, settings: Any) -> None:
    settings.STOCKANDFLOW = {"SCOPE": "tests.feeds.test_lines.nobody"}
    assert client.get(STOCK).status_code == 403
