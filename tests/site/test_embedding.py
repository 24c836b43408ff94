"""Embedding: off by default, for named origins alone, and only of pages that show numbers."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = pytest.mark.django_db

MEMBERSHIP = "/stockandflow/membership/"
ORIGINS = ["https://wiki.example.org", "https://board.example.org"]


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("viewer"))
    return client


def policy(response: Any) -> dict[str, str]:
    parts = response.headers.get("Content-Security-Policy", "").split("; ")
    return dict(part.partition(" ")[::2] for part in parts)


def test_by_default_no_page_may_stand_in_a_frame(viewer: Client) -> None:
    response = viewer.get(MEMBERSHIP, {"embed": "1"})
    assert response["X-Frame-Options"] == "DENY"
    assert "sf-crumbs" in response.content.decode()


def test_a_page_that_asks_may_stand_in_a_frame_of_the_origins_that_are_named(
    viewer: Client, settings: Any
) -> None:
    settings.STOCKANDFLOW = {"EMBED_ORIGINS": ORIGINS}
    response = viewer.get(MEMBERSHIP, {"embed": "1"})
    assert "X-Frame-Options" not in response
    assert policy(response)["frame-ancestors"] == " ".join(ORIGINS)
    assert policy(response)["default-src"] == "'none'"
    html = response.content.decode()
    assert '<base target="_top">' in html
    assert "sf-crumbs" not in html


def test_where_origins_are_named_all_else_stays_out_of_frames(viewer: Client, settings: Any) -> None:
    settings.STOCKANDFLOW = {"EMBED_ORIGINS": ORIGINS}
    for path, parameters in [
        (MEMBERSHIP, {}),
        (MEMBERSHIP, {"embed": "0"}),
        ("/stockandflow/", {"embed": "1"}),
        ("/stockandflow/status/", {"embed": "1"}),
        (f"{MEMBERSHIP}objects/", {"embed": "1"}),
        ("/stockandflow-admin/pages/membership/", {"embed": "1"}),
    ]:
        assert viewer.get(path, parameters)["X-Frame-Options"] == "DENY", path


def test_nobody_sees_more_in_a_frame(client: Client, settings: Any) -> None:
    settings.STOCKANDFLOW = {"EMBED_ORIGINS": ORIGINS}
    assert client.get(MEMBERSHIP, {"embed": "1"}).status_code == 302
    client.force_login(User.objects.create_user("nobody"))
    response = client.get(MEMBERSHIP, {"embed": "1"})
    assert (response.status_code, response["X-Frame-Options"]) == (404, "DENY")


def test_files_from_another_host_are_let_in(viewer: Client, settings: Any) -> None:
    settings.STOCKANDFLOW = {"EMBED_ORIGINS": ORIGINS}
    settings.STATIC_URL = "https://files.example.org/static/"
    assert policy(viewer.get(MEMBERSHIP, {"embed": "1"}))["style-src"] == "https://files.example.org"
