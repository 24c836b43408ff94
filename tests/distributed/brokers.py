"""The brokers that the tests of Celery run with, where they answer.

``STOCKANDFLOW_RABBITMQ`` and ``STOCKANDFLOW_REDIS`` say where they are. With ``STOCKANDFLOW_REQUIRE_BROKERS=1``
one that can't be used is a failure.
"""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from urllib.parse import urlsplit

import pytest

BROKERS = {
    "rabbitmq": os.environ.get("STOCKANDFLOW_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//"),
    "redis": os.environ.get("STOCKANDFLOW_REDIS", "redis://127.0.0.1:6379/0"),
}
NEEDS = {"rabbitmq": "celery", "redis": "redis"}
PORTS = {"amqp": 5672, "redis": 6379}
REQUIRED = os.environ.get("STOCKANDFLOW_REQUIRE_BROKERS", "0") not in ("", "0")


def broker(name: str) -> str:
    """The address of the broker of that name; skips the test where it can't be used, or fails it where it must be."""
    if why := _why_left_out(name):
        (pytest.fail if REQUIRED else pytest.skip)(why)
    return BROKERS[name]


def _why_left_out(name: str) -> str:
    if not find_spec("celery") or not find_spec(NEEDS[name]):
        return f"{name} needs celery[redis], see requirements/test.txt"
    address = urlsplit(BROKERS[name])
    try:
        socket.create_connection((address.hostname, address.port or PORTS[address.scheme]), timeout=5).close()
    except OSError as error:
        return f"no {name} answers at {address.hostname}:{address.port}: {error}"
    return ""
