"""Tokens in the admin: who makes one for whom, what is shown of it, and how it is revoked."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from stockandflow.models import ApiToken

pytestmark = pytest.mark.django_db

LIST = "/admin/stockandflow/apitoken/"
ADD = f"{LIST}add/"


def staff(name: str, *codenames: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


@pytest.fixture
def maker(client: Client) -> User:
    user = staff("maker", "view_apitoken", "add_apitoken", "change_apitoken")
    client.force_login(user)
    return user


def test_the_secret_is_shown_once_and_the_token_acts_for_who_made_it(client: Client, maker: User) -> None:
    response = client.post(ADD, {"name": "wallboard", "paths": "feeds/membership/\r\nmetrics"})
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    (secret,) = set(re.findall(r"sf_[0-9a-f]{16}_[\w-]{43}", response.content.decode()))
    token = ApiToken.objects.get()
    assert ApiToken.objects.known(secret, timezone.now()) == token
    assert (token.user_key, token.paths) == (str(maker.pk), "feeds/membership\nmetrics")
    for page in (LIST, f"{LIST}{token.pk}/change/"):
        text = client.get(page).content.decode()
        assert "maker" in text
        assert secret not in text
        assert token.digest not in text


def test_a_superuser_makes_one_for_another_user_and_nobody_else_does(client: Client, maker: User) -> None:
    other = staff("robot")
    given = {"name": "x", "paths": "metrics", "for_user": "robot"}
    assert "for yourself alone" in client.post(ADD, given).content.decode()
    assert not ApiToken.objects.exists()
    client.force_login(User.objects.create_superuser("root"))
    assert "There is no user" in client.post(ADD, given | {"for_user": "ghost"}).content.decode()
    client.post(ADD, given)
    assert ApiToken.objects.get().user_key == str(other.pk)


def test_a_path_that_can_not_be_is_told_beside_its_field(client: Client, maker: User) -> None:
    text = client.post(ADD, {"name": "x", "paths": "admin"}).content.decode()
    assert "path is &#x27;admin&#x27;; write one that begins with" in text
    assert not ApiToken.objects.exists()


def test_a_token_can_be_revoked_and_neither_changed_nor_deleted(client: Client, maker: User) -> None:
    token, secret = ApiToken.objects.issue("old", maker, ["metrics"])
    client.post(LIST, {"action": "revoke", "_selected_action": [token.pk]})
    assert ApiToken.objects.known(secret, timezone.now()) is None
    assert client.post(f"{LIST}{token.pk}/change/", {"name": "new"}).status_code == 403
    assert client.post(f"{LIST}{token.pk}/delete/").status_code == 403


def test_who_may_only_look_can_neither_make_nor_revoke(client: Client, maker: User) -> None:
    token, _ = ApiToken.objects.issue("old", maker, ["metrics"])
    client.force_login(staff("looker", "view_apitoken"))
    assert client.get(LIST).status_code == 200
    assert client.get(ADD).status_code == 403
    client.post(LIST, {"action": "revoke", "_selected_action": [token.pk]})
    token.refresh_from_db()
    assert token.revoked_at is None


def test_the_list_takes_as_many_queries_for_many_as_for_one_and_names_who_is_gone(
    client: Client, maker: User
) -> None:
    ApiToken.objects.issue("old", maker, ["metrics"])
    counts = []
    for name in ("s0", "s1"):
        with CaptureQueriesContext(connection) as queries:
            client.get(LIST)
        counts.append(len(queries))
        for _ in range(3):
            ApiToken.objects.issue("more", User.objects.get_or_create(username=name)[0], ["metrics"])
    assert counts[0] == counts[1]
    gone = User.objects.get(username="s0")
    key = gone.pk
    gone.delete()
    assert f"#{key} (gone)" in client.get(LIST).content.decode()
