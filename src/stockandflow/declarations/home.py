"""Where a declaration is registered, so that it can answer for its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stockandflow.registry import Registry


class Home:
    """The registry that answers for a declaration's neighbours: the project's, else the last one that took it.

    So a test may register the project's declarations in a registry of its own and change nothing for the project.
    """

    def __init__(self) -> None:
        self.registry: Registry | None = None

    def take(self, registry: Registry) -> None:
        """Make ``registry`` the home, unless the project's is."""
        if self.registry is None or not self.registry.is_projects:
            self.registry = registry

    def leave(self, registry: Registry) -> None:
        """Be without a home, if ``registry`` is it."""
        if self.registry is registry:
            self.registry = None
