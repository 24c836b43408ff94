"""A caller with a session, a program with a token, and members who moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from django.contrib.auth.models import User
from django.test import Client

from example.membership.models import Member, Plan
from stockandflow.api.views import json_schema
from stockandflow.models import ApiToken
from tests.users import EXPORTER, user_with

ROOT = "/stockandflow/"
Ask = Callable[..., Any]


@pytest.fixture
def viewer(client: Client) -> User:
    user = user_with(*EXPORTER)
    client.force_login(user)
    return user


@pytest.fixture
def ask(client: Client) -> Ask:
    """Ask for a path below that of the pages; the answer is what the schema says, whatever its status."""

    def asked(path: str, *, status: int = 200, headers: Any = None, **parameters: Any) -> Any:
        response = client.get(f"{ROOT}{path}", parameters, headers=headers)
        assert response.status_code == status, response.content
        document = response.json()
        jsonschema.Draft202012Validator(json_schema()).validate(document)
        return document

    return asked


@pytest.fixture
def members() -> None:
    """Three joined, and one of them converted."""
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.bulk_create(Member(name=f"m{n}", email="m@example.org", plan=plan) for n in range(3))
    Member.objects.filter(name="m0").convert()


def bearer(user: User, *paths: str, **more: Any) -> dict[str, str]:
    _, secret = ApiToken.objects.issue("robot", user, paths or ["api/v1"], **more)
    return {"Authorization": f"Bearer {secret}"}
