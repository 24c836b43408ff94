"""The keys by which records name what they count."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

ALL = "*"
"""In a flow record's source and sink: the total over all of them. No slug can be this."""


class KeyField(models.CharField):  # type: ignore[type-arg]  # Django's own takes none
    """The key of a facet value: a text that equals another only to the letter.

    MariaDB's collations take ``a``, ``A`` and ``á`` for one and ignore spaces at the end, so two values of a facet
    could not be kept beside each other.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters: Any = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_nopad_bin"
        return parameters
