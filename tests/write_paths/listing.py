"""How a path gets into the list: a function that writes, below what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.write_paths.scene import DATABASES, Database, Gap, Move, Role, Scene, WritePath

Write = Callable[[Scene], object]


class Listing:
    """The paths of one group, in order; decorate each with ``makes``."""

    def __init__(self, group: str, role: Role = "subject") -> None:
        self.group, self.role = group, role
        self.paths: list[WritePath] = []

    def makes(
        self,
        *moves: Move,
        role: Role | None = None,
        absent: Mapping[Database, str] | None = None,
        gaps: Mapping[Database, Gap] | None = None,
        elsewhere: bool = False,
    ) -> Callable[[Write], Write]:
        """Put the function below into the list; its docstring says what it does, its name is the path's."""

        def note(write: Write) -> Write:
            named: Any = write
            self.paths.append(
                WritePath(
                    name=named.__name__.rstrip("_"),
                    group=self.group,
                    does=(named.__doc__ or "").strip().removesuffix("."),
                    write=write,
                    moves=moves,
                    role=role or self.role,
                    absent=absent or {},
                    gaps=gaps or {},
                    elsewhere=elsewhere,
                )
            )
            return write

        return note


def only_on(*databases: Database, why: str) -> dict[Database, str]:
    """Why a path is absent from all databases but these."""
    return {database: why for database in DATABASES if database not in databases}


def everywhere(gap: Gap) -> dict[Database, Gap]:
    """One gap for all databases."""
    return dict.fromkeys(DATABASES, gap)
