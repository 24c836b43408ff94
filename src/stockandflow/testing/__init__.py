"""For a project's own tests: a registry to itself, and assertions about moves, counts and balances.

They need no test runner of their own: Django's TestCase and TransactionTestCase do, and pytest-django's ``db`` and
``transactional_db``.
"""

from __future__ import annotations

from stockandflow.testing.isolation import isolated_registry
from stockandflow.testing.levels import assert_balanced, assert_stock_delta
from stockandflow.testing.moves import assert_flows

__all__ = ["assert_balanced", "assert_flows", "assert_stock_delta", "isolated_registry"]
