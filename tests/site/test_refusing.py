"""Pages for what is refused: in the frame of the pages, with what is missing; those of a project stand before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.utils.translation import override

from tests.site.test_views import text_of as shown
from tests.users import user_with

pytestmark = pytest.mark.django_db

BASE = "/stockandflow/"
OBJECTS = f"{BASE}membership/objects/?kind=level&stock=active"


def text_of(html: str) -> str:
    return shown(html.replace("<wbr>", ""))


def test_who_may_not_list_is_told_which_permissions_are_missing_and_whom_to_ask(viewer: Client) -> None:
    response = viewer.get(OBJECTS)
    assert response.status_code == 403
    text = text_of(response.content.decode())
    assert "You may not see this" in text
    assert "but not the objects behind them" in text
    assert "stockandflow.list_objects" in text
    assert "membership.view_member" in text
    assert "Whoever manages the users of this site can add what is missing" in text
    assert 'href="/stockandflow/membership/"' in response.content.decode()
    assert "private" in response["Cache-Control"]


def test_who_may_not_export_is_told_each_permission_once_and_the_way_back(viewer: Client) -> None:
    html = viewer.get(f"{BASE}membership/?format=csv").content.decode()
    text = text_of(html)
    assert text.count("stockandflow.export_process") == text.count("membership.view_member") == 1
    assert "To the numbers of Membership" in text


def test_only_what_is_missing_is_named(client: Client) -> None:
    client.force_login(user_with("view_process", "list_objects", "export_process"))
    text = text_of(client.get(OBJECTS).content.decode())
    assert "membership.view_member" in text
    assert "stockandflow.list_objects" not in text


def test_a_hidden_process_and_one_that_there_isnt_have_the_same_page(client: Client) -> None:
    client.force_login(user_with())
    hidden = client.get(f"{BASE}membership/")
    nothing = client.get(f"{BASE}nothing/")
    assert hidden.status_code == nothing.status_code == 404
    assert hidden.content.decode() == nothing.content.decode()
    text = text_of(hidden.content.decode())
    assert "There is nothing here" in text
    assert "embership" not in text


def test_a_file_that_cant_be_made_is_a_page_to_browsers_and_text_to_programs(client: Client) -> None:
    client.force_login(user_with("view_process", "export_process", "view_member"))
    address = f"{BASE}membership/?format=docx"
    page = client.get(address, headers={"Accept": "text/html,*/*"})
    assert page.status_code == 400
    assert "write one of csv, xlsx, json" in text_of(page.content.decode())
    assert "This can’t be understood" in text_of(page.content.decode())
    plain = client.get(address)
    assert plain.status_code == 400
    assert plain["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(("status", "address"), [(403, OBJECTS), (404, f"{BASE}nothing/")])
def test_a_template_of_the_project_stands_before_ours(
    viewer: Client, settings: Any, tmp_path: Path, status: int, address: str
) -> None:
    (tmp_path / f"{status}.html").write_text("<h1>ours</h1>{{ exception }}")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    response = viewer.get(address)
    assert response.status_code == status
    assert response.content.decode().startswith("<h1>ours</h1>")


def mine(_request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse(f"mine: {exception}", status=403)


def test_a_handler_of_the_project_stands_before_ours(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("example.urls.handler403", "tests.site.test_refusing.mine", raising=False)
    assert viewer.get(OBJECTS).content.startswith(b"mine: You may see")


def test_it_stands_in_the_admins_frame_too(client: Client) -> None:
    user = user_with("view_process")
    user.is_staff = True
    user.save()
    client.force_login(user)
    response = client.get(
        "/stockandflow-admin/pages/membership/objects/", {"kind": "level", "stock": "active"}
    )
    assert response.status_code == 403
    html = response.content.decode()
    assert "sf-in-admin" in html
    assert 'href="/stockandflow-admin/pages/membership/"' in html


def test_it_is_german_where_the_language_is(viewer: Client, settings: Any) -> None:
    settings.LANGUAGE_CODE = "de"
    with override("de"):
        html = viewer.get(OBJECTS).content.decode()
    assert "Das dürfen Sie nicht sehen" in text_of(html)
