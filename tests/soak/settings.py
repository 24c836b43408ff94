"""Settings of every process of a long run: the one database that ``SOAK_DATABASE`` and ``SOAK_NAME`` name."""

import os
from typing import Any

from tests.databases import settings_for


def _shared() -> dict[str, Any]:
    settings = settings_for(os.environ["SOAK_DATABASE"])
    settings["TEST"]["NAME"] = f"{settings['TEST']['NAME']}_soak"
    if settings["ENGINE"].endswith("sqlite3"):
        settings["TEST"]["NAME"] = settings["TEST"]["NAME"].replace(".sqlite3_soak", "_soak.sqlite3")
        # As a project has it that several processes write to: readers don't wait, and writers wait for each other.
        settings["OPTIONS"] |= {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
        }
    settings["NAME"] = os.environ.get("SOAK_NAME") or settings["NAME"]
    return settings


SECRET_KEY = "nothing-is-signed-here"  # noqa: S105
INSTALLED_APPS = ["stockandflow", "tests.soak"]
DATABASES = {"default": _shared()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
