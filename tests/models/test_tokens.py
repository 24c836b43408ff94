"""Tokens: known by their secret alone, for their paths alone, until they are revoked or expire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from stockandflow.exceptions import InvalidInput
from stockandflow.models import ApiToken

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 27, 12, 34, 56, tzinfo=UTC)


@pytest.fixture
def user() -> User:
    return User.objects.create_user("robot")


def test_a_token_is_known_by_its_secret_and_the_secret_is_kept_nowhere(user: User) -> None:
    token, secret = ApiToken.objects.issue("wallboard", user, ["api/v1/"])
    assert ApiToken.objects.known(secret, NOW) == token
    kept = ApiToken.objects.filter(pk=token.pk).values_list().get()
    assert secret.split("_", 2)[2] not in " ".join(map(str, kept))
    assert str(token) == f"wallboard ({secret[:19]}_…)"


@pytest.mark.parametrize("change", ["", "x", "sf", "sf_", "sf__", "_____", "sf_" + "0" * 16 + "_abc"])
def test_anything_else_is_not_known(user: User, change: str) -> None:
    _, secret = ApiToken.objects.issue("wallboard", user, ["api/v1"])
    assert ApiToken.objects.known(change, NOW) is None
    assert ApiToken.objects.known(f"{secret}{change or 'A'}", NOW) is None
    assert ApiToken.objects.known(secret[:-1], NOW) is None


def test_no_two_tokens_share_a_secret(user: User) -> None:
    made = [ApiToken.objects.issue("same", user, ["metrics"]) for _ in range(5)]
    assert len({secret for _, secret in made}) == 5
    assert [ApiToken.objects.known(secret, NOW) for _, secret in made] == [token for token, _ in made]


def test_a_revoked_and_an_expired_token_are_not_known(user: User) -> None:
    token, secret = ApiToken.objects.issue("short", user, ["metrics"], expires_at=NOW + timedelta(hours=1))
    assert ApiToken.objects.known(secret, NOW) == token
    assert ApiToken.objects.known(secret, NOW + timedelta(hours=1)) is None
    ApiToken.objects.filter(pk=token.pk).update(revoked_at=NOW)
    assert ApiToken.objects.known(secret, NOW) is None


def test_a_token_covers_its_paths_and_what_is_below_and_nothing_that_begins_alike(user: User) -> None:
    token, _ = ApiToken.objects.issue("one", user, ["/api/v1/processes/leads/", " ", "metrics"])
    assert token.paths == "api/v1/processes/leads\nmetrics"
    covered = [
        "api/v1/processes/leads",
        "/api/v1/processes/leads/",
        "api/v1/processes/leads/events",
        "metrics",
    ]
    assert all(token.covers(path) for path in covered)
    others = ["api/v1/processes", "api/v1/processes/leads-2", "metrics2", "", "feeds/leads"]
    assert not any(token.covers(path) for path in others)


@pytest.mark.parametrize(
    "paths", ["leads", ["api/v2"], ["api"], ["apiv1"], ["metrics", "admin"], ["api/v10"]]
)
def test_a_path_that_no_token_can_be_used_below_is_refused(user: User, paths: list[str]) -> None:
    with pytest.raises(InvalidInput, match="begins with 'api/v1', 'metrics', 'feeds'"):
        ApiToken.objects.issue("wrong", user, paths)


def test_a_token_for_nothing_for_nobody_or_until_no_instant_is_refused(user: User) -> None:
    with pytest.raises(InvalidInput, match="paths is empty"):
        ApiToken.objects.issue("wrong", user, [" "])
    with pytest.raises(InvalidInput, match="give a saved user"):
        ApiToken.objects.issue("wrong", User(username="ghost"), ["metrics"])
    with pytest.raises(InvalidInput, match="expires_at"):
        ApiToken.objects.issue("wrong", user, ["metrics"], expires_at=NOW.replace(tzinfo=None))
    assert not ApiToken.objects.exists()


def test_its_last_use_is_told_to_the_hour_and_written_once_an_hour(user: User) -> None:
    token, secret = ApiToken.objects.issue("busy", user, ["metrics"])
    ApiToken.objects.used(token, NOW)
    token.refresh_from_db()
    assert token.last_used_at == NOW.replace(minute=0, second=0)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        ApiToken.objects.used(token, NOW + timedelta(minutes=20))
    assert len(queries) == 0
    found = ApiToken.objects.known(secret, NOW)
    assert found is not None
    ApiToken.objects.used(found, NOW + timedelta(hours=1))
    token.refresh_from_db()
    assert token.last_used_at == NOW.replace(minute=0, second=0) + timedelta(hours=1)
