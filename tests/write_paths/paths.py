"""All the paths, in the order of their groups."""

from __future__ import annotations

from tests.write_paths.instances import INSTANCES
from tests.write_paths.querysets import CASCADES, QUERYSETS
from tests.write_paths.scene import WritePath
from tests.write_paths.shapes import CLOCK, INHERITANCE, KEYS, RELATED
from tests.write_paths.sql import PROGRAMS, SQL
from tests.write_paths.transactions import ASYNCHRONOUS, OTHER_DATABASE, TRANSACTIONS

GROUPS = (
    INSTANCES,
    QUERYSETS,
    CASCADES,
    TRANSACTIONS,
    ASYNCHRONOUS,
    INHERITANCE,
    KEYS,
    SQL,
    PROGRAMS,
    OTHER_DATABASE,
    RELATED,
    CLOCK,
)
PATHS: tuple[WritePath, ...] = tuple(path for group in GROUPS for path in group.paths)
