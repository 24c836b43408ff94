"""Who may call: a session, or a token that is for the path, and nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from stockandflow.models import ApiToken
from tests.api import elsewhere
from tests.api.conftest import ROOT, Ask, bearer
from tests.users import EXPORTER, user_with

pytestmark = pytest.mark.django_db

PROCESSES = "api/v1/processes/"
MEMBERSHIP = f"{PROCESSES}membership/"


def test_nobody_is_told_how_to_come_in(client: Client, ask: Ask) -> None:
    error = ask(PROCESSES, status=401)["error"]
    assert error["code"] == "unauthorized"
    assert "Authorization: Bearer" in error["message"]
    assert client.get(f"{ROOT}{PROCESSES}")["WWW-Authenticate"] == 'Bearer realm="stockandflow"'


def test_even_what_is_not_there_is_not_told_to_nobody(ask: Ask) -> None:
    for path in (f"{PROCESSES}nowhere/", "api/v1/schema/", "api/v7"):
        ask(path, status=401)


def test_a_token_acts_for_its_user(ask: Ask) -> None:
    assert ask(PROCESSES, headers=bearer(user_with(*EXPORTER)))["rows"]
    assert ask(PROCESSES, headers=bearer(user_with()))["rows"] == []
    ask(MEMBERSHIP, headers=bearer(User.objects.get(username="nobody")), status=404)


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer x", "Bearer sf_1_2", "Basic c2Y6", "Digest a=b", "x", "Bearer \xe9"]
)
def test_a_header_that_is_no_token_is_refused_even_with_a_session(
    viewer: User, ask: Ask, header: str
) -> None:
    ask(PROCESSES, headers={"Authorization": header}, status=401)


def test_a_token_is_for_its_paths_alone_whether_they_are_there_or_not(ask: Ask) -> None:
    headers = bearer(user_with(*EXPORTER), "api/v1/processes/membership")
    ask(MEMBERSHIP, headers=headers)
    ask(f"{MEMBERSHIP}stocks/trial/", headers=headers)
    for path in (PROCESSES, f"{PROCESSES}leads/", f"{PROCESSES}nowhere/"):
        error = ask(path, headers=headers, status=403)["error"]
        assert f"The path is '{path}', and the token is for 'api/v1/processes/membership'" in error["message"]


def _revoke(token: ApiToken, user: User) -> None:
    token.revoked_at = datetime.now(UTC)
    token.save()


def _expire(token: ApiToken, user: User) -> None:
    token.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    token.save()


def _deactivate(token: ApiToken, user: User) -> None:
    user.is_active = False
    user.save()


def _delete(token: ApiToken, user: User) -> None:
    user.delete()


@pytest.mark.parametrize("end", [_revoke, _expire, _deactivate, _delete])
def test_a_token_that_is_no_longer_valid_is_refused_with_one_text(ask: Ask, end: Any) -> None:
    user = user_with(*EXPORTER)
    headers = bearer(user)
    ask(PROCESSES, headers=headers)
    end(ApiToken.objects.get(), user)
    assert ask(PROCESSES, headers=headers, status=401)["error"]["message"].startswith(
        "The token isn't known, was"
    )


def test_the_use_of_a_token_is_noted_once_an_hour(client: Client, ask: Ask) -> None:
    headers = bearer(user_with(*EXPORTER))
    ask(PROCESSES, headers=headers)
    assert ApiToken.objects.get().last_used_at == datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with CaptureQueriesContext(connection) as queries:
        client.get(f"{ROOT}{PROCESSES}", headers=headers)
    assert [query["sql"].split()[0] for query in queries] == ["SELECT"] * len(queries)


@pytest.mark.urls("tests.api.elsewhere")
def test_the_paths_of_a_token_do_not_depend_on_where_the_pages_are(client: Client) -> None:
    headers = bearer(user_with(*EXPORTER), "api/v1/processes/membership")
    assert client.get("/far/away/api/v1/processes/membership/", headers=headers).status_code == 200
    assert client.get("/far/away/api/v1/processes/leads/", headers=headers).status_code == 403


@pytest.mark.parametrize("header", ["Basic \xe9", "Basic =", "Basic gIA=", "Basic c2ZfAABf", "Basic"])
@pytest.mark.parametrize("path", ["metrics", "feeds/membership/stocks/active/"])
def test_a_wallboard_that_sends_what_is_no_token_is_told_so(client: Client, path: str, header: str) -> None:
    response = client.get(f"{ROOT}{path}", headers={"Authorization": header})
    assert response.status_code == 401, response.content


@pytest.mark.parametrize(
    ("urls", "root"), [("Within", "/in/pages/"), ("Twice", "/one/"), ("Twice", "/two/")], ids=str
)
def test_a_token_is_for_the_addresses_of_the_namespace_where_it_is_shown(
    client: Client, settings: Any, urls: str, root: str
) -> None:
    settings.ROOT_URLCONF = getattr(elsewhere, urls)
    headers = bearer(user_with(*EXPORTER), "api/v1", "feeds")
    for path in (f"{root}{PROCESSES}", f"{root}feeds/membership/stocks/active/"):
        assert client.get(path, headers=headers).status_code == 200
    rows = client.get(f"{root}{PROCESSES}", headers=headers).json()["rows"]
    assert rows[0]["url"] == f"{root}{MEMBERSHIP}"
    error = client.get(f"{root}api/v7", headers=bearer(user_with(), "api/v1")).json()["error"]
    assert error["code"] == "forbidden"
    client.force_login(User.objects.get(username="-".join(EXPORTER)))
    error = client.get(f"{root}api/v7").json()["error"]
    assert error["message"].endswith(f"begin with '{root}{PROCESSES}'.")


def test_a_project_that_wants_a_login_everywhere_lets_tokens_in(
    client: Client, settings: Any, ask: Ask
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    ask(PROCESSES, headers=bearer(user_with(*EXPORTER)))
    ask(PROCESSES, status=401)
