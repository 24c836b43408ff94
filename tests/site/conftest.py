"""The users that the tests of the pages share: who may see numbers, who may list objects, and who may act on them."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.users import ACTS, LISTS, user_with


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(user_with("view_process", name="viewer"))
    return client


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(user_with(*LISTS))
    return client


@pytest.fixture
def actor(client: Client) -> Client:
    client.force_login(user_with(*ACTS))
    return client
