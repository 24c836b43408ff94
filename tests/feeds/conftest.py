"""The fixtures of the API."""

from tests.api.conftest import ask, members, viewer

__all__ = ["ask", "members", "viewer"]
