"""The frame around the pages: alone, or an admin site's."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory

from stockandflow.site import frames
from stockandflow.site.frames import page_url

pytestmark = pytest.mark.django_db

FRAMED = "/stockandflow-admin/pages/"


@pytest.fixture
def staff(client: Client) -> Client:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_process"))
    client.force_login(user)
    return client


def test_a_request_that_no_page_answers_gets_the_addresses_of_those_alone() -> None:
    assert page_url(RequestFactory().get("/"), "stock", "membership", "active") == (
        "/stockandflow/membership/stocks/active/"
    )


def test_the_pages_work_inside_the_admins_frame_and_link_there(staff: Client) -> None:
    html = staff.get(FRAMED).content.decode()
    assert "user-tools" in html
    assert f'href="{FRAMED}membership/"' in html
    html = staff.get(f"{FRAMED}membership/").content.decode()
    assert "Ledger" in html
    assert f'<a href="{FRAMED}">Processes</a>' in html
    assert 'href="/stockandflow/' not in html


def test_who_is_no_staff_is_sent_to_the_admins_login(client: Client) -> None:
    client.force_login(User.objects.create_user("someone"))
    assert client.get(FRAMED)["Location"] == f"/stockandflow-admin/login/?next={FRAMED}"


@pytest.mark.parametrize("version", [(5, 2), (6, 1)])
@pytest.mark.parametrize("above", ["/stockandflow/", FRAMED])
def test_the_index_stands_above_a_process(
    staff: Client, monkeypatch: pytest.MonkeyPatch, above: str, version: Any
) -> None:
    monkeypatch.setattr(frames, "VERSION", version)
    html = staff.get(f"{above}membership/").content.decode()
    crumbs = re.search(r'<nav[^>]*aria-label="Breadcrumbs">(.*?)</nav>', html, re.DOTALL)
    assert crumbs is not None
    if above == FRAMED:
        assert "</li><li" not in crumbs[1], "without a space between them they stick together"
    names = re.sub(r"<[^>]*>|›|&rsaquo;", " ", crumbs[1]).split()
    assert names == [*(["Home"] if above == FRAMED else []), "Processes", "Membership"]
